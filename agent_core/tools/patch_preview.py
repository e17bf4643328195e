"""A patch as it is being written, out of the pieces of a call's arguments: free text, or JSON around it.

For showing only: what is applied is the whole call, parsed whole. So nothing here raises; where the text is no patch,
or one wrapped in a way that only the whole shows, nothing is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from ..errors import PatchError
from .patch_format import PatchPiece
from .patch_reader import PatchReader

__all__ = ["PatchPreview"]

_OPENING = re.compile(r'\s*\{\s*"(?:input|patch)"\s*:\s*"')
_OPENING_CHARS = 64
_TOKEN = re.compile(
    r'[^"\\]+|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|\\[^u]|"'
)
"""A run of plain characters, an escape (a surrogate pair is one), or the end of the string."""
_LONE_SURROGATE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\[^u]|[^\\])")


class PatchPreview:
    """One call. `feed` takes its arguments in pieces of any size and says what they add to the patch."""

    def __init__(self) -> None:
        self._reader = PatchReader()
        self._text: Callable[[str], str] = self._opening
        self._waiting = ""

    def feed(self, delta: str) -> tuple[PatchPiece, ...]:
        """What the piece adds to the patch; nothing once the text has turned out to be none."""
        try:
            text = self._text(delta)
            return self._reader.feed(text) if text else ()
        except (PatchError, ValueError):  # ValueError: no JSON
            self._text = _over
            return ()

    def _opening(self, delta: str) -> str:
        """The text to its first character that is not blank, or to the string of `{"input": "`."""
        self._waiting += delta
        begun = self._waiting.lstrip()
        if begun and begun[0] != "{":
            self._text = str
            return self._waiting
        if (opening := _OPENING.match(self._waiting)) is not None:
            self._text, rest, self._waiting = self._inside, self._waiting[opening.end() :], ""
            return self._inside(rest)
        if len(begun) > _OPENING_CHARS:
            raise ValueError("the patch is not the first member")
        return ""

    def _inside(self, delta: str) -> str:
        """The string's characters, as far as its escapes are complete."""
        self._waiting += delta
        at = 0
        while (token := _TOKEN.match(self._waiting, at)) and token[0] != '"':
            at = token.end()
        if token is not None:
            self._text = _over
        elif _LONE_SURROGATE.match(self._waiting, at):
            raise ValueError("half a character")
        found, self._waiting = self._waiting[:at], self._waiting[at:]
        return str(json.loads(f'"{found}"', strict=False))


def _over(delta: str) -> str:
    """Nothing that follows is patch."""
    return ""
