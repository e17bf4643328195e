"""The history as the model should see it: tool outputs cut to a budget, everything else as it is.

A session keeps every output whole. What a prompt shows of one depends on that output and the budget alone, never on
what stands around it: it is cut the same way in every request, so a longer history still starts with the bytes of the
shorter one. A cut output fits its budget, marker included, so cutting it again changes nothing.

    Total output lines: 356
                                                          the beginning
    [... omitted 100 of 356 lines (1234 tokens) ...]      lines were left out
    …2500 tokens truncated…                               or the middle of one long line was
                                                          the end

Figures are what is left out, all of it: a cut that keeps its loss to itself misleads the model (codex#35421).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from ..errors import ConfigError
from ..items import CustomToolCallOutput, FunctionCallOutput, InputText, OutputPart, ResponseItem, checked_items

__all__ = [
    "BYTES_PER_TOKEN",
    "MIN_BYTES",
    "OutputBudget",
    "PromptView",
    "prompt_view",
    "shortened",
    "text_bytes",
    "truncate_output",
]

BYTES_PER_TOKEN = 4
"""The field's rule of thumb (codex.md 2.3)."""
MIN_BYTES = 512
"""Room for a header, a marker that names a tool and an id, and some text on both sides."""
MAX_ID_CHARS = 96
"""A longer id is not repeated in a marker."""

_Output: TypeAlias = str | tuple[OutputPart, ...]
# Patterns stay text until they are used: compiling them would be half of what importing this module costs.
_HEADER = r"Total output lines: \d+\n\n"
_HEADER_LINES = 4
"""Header, empty line, marker, and the line break of a cut line: what a cut text has beyond the lines it shows."""
_NOTE = (
    r"\[\.\.\. omitted (?:(?P<chars>\d+) chars? of the text above)?(?: and )?(?:(?P<texts>\d+) text items?)?"
    r"(?:; read_output\([^\n]*\) shows them)? \.\.\.\]"
)


class OutputBudget(Struct, frozen=True):
    """How much of one tool output a prompt shows.

    `bytes` (of UTF-8), where given, counts instead of `tokens`; a token is taken for 4 bytes. `lines` caps a plain text
    as well, half from each end. Codex gives most models 10,000 tokens, its companion 10 KiB and 256 lines (codex.md
    2.3, behaviours.md S1-68). Raises ConfigError for a budget too small to say what was left out.
    """

    tokens: int = 10_000
    bytes: int | None = None
    lines: int | None = None

    def __post_init__(self) -> None:
        if self.max_bytes < MIN_BYTES:
            raise ConfigError(
                f"an output budget of {self.max_bytes} bytes is too small",
                remedy=f"give at least {MIN_BYTES} bytes, or None for no limit",
            )
        if self.lines is not None and self.lines < 2:
            raise ConfigError(f"an output budget of {self.lines} lines is too small", remedy="give at least 2 lines")

    @property
    def max_bytes(self) -> int:
        return self.bytes if self.bytes is not None else self.tokens * BYTES_PER_TOKEN


def truncate_output(output: _Output, budget: OutputBudget, *, read_with: str | None = None) -> _Output:
    """An output within its budget: the same object if it fits, else beginning and end with what was left out between.

    Parts share one budget of bytes in order: the text that crosses it is cut, later texts are left out and counted in
    a last note, images and files are kept and not charged (behaviours.md S1-69). `read_with` is the id under which
    the model finds the whole output with `read_output`; None if it has no such tool.
    """
    if not isinstance(output, str):
        return _cut_parts(output, budget, _Place(_quoted(read_with)))
    if text_bytes(output) > budget.max_bytes or _too_many_lines(output, budget.lines):
        return _cut(output, budget.max_bytes, budget, _Place(_quoted(read_with)))
    return output


def prompt_view(
    items: Sequence[ResponseItem], budget: OutputBudget | None, *, readable: bool = False
) -> tuple[ResponseItem, ...]:
    """The items as the model should see them; an item that fits is the same object. None as budget: no limit.

    `readable`: the model has `read_output`, so a cut output says how to read the rest. It names the output's own id,
    which is unique where call ids are not: some servers start at call_0 with every response.
    """
    if budget is None:
        return tuple(items)
    return tuple([_seen(item, budget, readable) for item in items])


class PromptView:
    """`prompt_view` of a history that grows: only what is new is looked at, and what was cut stays the same object."""

    __slots__ = ("_budget", "_items", "_readable", "_seen")

    def __init__(self, budget: OutputBudget | None, *, readable: bool = False) -> None:
        self._budget = budget
        self._readable = readable
        self._items: tuple[ResponseItem, ...] = ()
        self._seen: tuple[ResponseItem, ...] = ()

    def of(self, items: tuple[ResponseItem, ...]) -> tuple[ResponseItem, ...]:
        """The view of these items of a session. Where they do not go on from the last ones, all are looked at again."""
        known = len(self._items)
        # Comparing tuples looks at identity first, so this costs nanoseconds per item.
        if items[:known] != self._items:
            known, self._seen = 0, ()
        new = prompt_view(items[known:], self._budget, readable=self._readable)
        self._seen = checked_items((*self._seen, *new))  # they are a session's, so the prompt need not look again
        self._items = items
        return self._seen


def text_bytes(text: str) -> int:
    """Length in UTF-8. Lone surrogates, which a peer may have sent, count as the three bytes of what replaces them."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def shortened(text: str, max_bytes: int) -> str:
    """A text that is no output in at most `max_bytes`: its beginning and its end, and how much is missing between."""
    size = text_bytes(text)
    if size <= max_bytes:
        return text
    room = max_bytes - text_bytes(_text_marker(_tokens(size), ""))
    head = _head(text, (room + 1) // 2, None)
    tail = _tail(text, room - text_bytes(head), None)
    left_out = text_bytes(text[len(head) : len(text) - len(tail)])
    return f"{head}{_text_marker(_tokens(left_out), '')}{tail}"


class _Place(Struct, frozen=True):
    """Where in the whole output a text begins, and the quoted id the model reads the whole under (None: it cannot).

    The whole is the texts joined by line breaks, as `items.output_text_of` has it. Lines count from 1, bytes from 0.
    """

    read_with: str | None
    line: int = 1
    byte: int = 0

    def after(self, text: str) -> _Place:
        """Where the next text begins."""
        return _Place(self.read_with, self.line + text.count("\n") + 1, self.byte + text_bytes(text) + 1)

    def line_hint(self, lines: int) -> str:
        return self._hint(f"offset={self.line + lines}")

    def byte_hint(self, head: int) -> str:
        return self._hint(f'unit="bytes", offset={self.byte + head}')

    def _hint(self, offset: str) -> str:
        return "" if self.read_with is None else f"; read_output(call_id={self.read_with}, {offset}) shows them"


def _seen(item: ResponseItem, budget: OutputBudget, readable: bool) -> ResponseItem:
    if not isinstance(item, (FunctionCallOutput, CustomToolCallOutput)):
        return item
    output = item.output
    if isinstance(output, str) and budget.lines is None and len(output) * BYTES_PER_TOKEN <= budget.max_bytes:
        return item  # the common case, decided without looking at the text
    cut = truncate_output(output, budget, read_with=(item.id or item.call_id) if readable else None)
    return item if cut is output else item.model_copy(update={"output": cut})


def _quoted(read_with: str | None) -> str | None:
    """The id as it stands in a marker; None for one so long that it would be most of it."""
    quoted = None if read_with is None else json.dumps(read_with)
    return quoted if quoted is not None and len(quoted) <= MAX_ID_CHARS else None


def _cut(text: str, max_bytes: int, budget: OutputBudget, place: _Place) -> str:
    """The text in at most `max_bytes`, header and marker included."""
    total, size = _line_count(text), text_bytes(text)
    header = f"Total output lines: {total}\n\n"
    whole = _amount(len(text), size, budget)
    widest = max(
        len(_line_marker(total, total, whole, place.line_hint(total))),
        text_bytes(_text_marker(whole, place.byte_hint(size))),
    )
    room = max_bytes - len(header) - widest - len("\n")
    head = _head(text, (room + 1) // 2, None if budget.lines is None else (budget.lines + 1) // 2)
    tail = _tail(text, room - text_bytes(head), None if budget.lines is None else budget.lines // 2)
    middle = text[len(head) : len(text) - len(tail)]
    dropped = _whole_lines(middle, starts_line=not head or head.endswith("\n"))
    if not dropped:
        middle, line_break = (middle[:-1], "\n") if middle.endswith("\n") else (middle, "")
        marker = _text_marker(_amount(len(middle), text_bytes(middle), budget), place.byte_hint(text_bytes(head)))
        return f"{header}{head}{marker}{line_break}{tail}"
    amount = _amount(len(middle), text_bytes(middle), budget)
    line_break = "" if head.endswith("\n") else "\n"
    marker = _line_marker(dropped, total, amount, place.line_hint(head.count("\n")))
    return f"{header}{head}{line_break}{marker}{tail}"


def _cut_parts(output: tuple[OutputPart, ...], budget: OutputBudget, place: _Place) -> tuple[OutputPart, ...]:
    parts, chars, texts = _without_note(output)
    left = budget.max_bytes
    kept: list[OutputPart] = []
    missing: _Place | None = None
    fits = True
    for part in parts:
        if not isinstance(part, InputText):
            kept.append(part)
            continue
        size = text_bytes(part.text)
        if size <= left:
            kept.append(part)
            left -= size
        else:
            # Below that a marker would leave no room for text: the note counts what this text lost.
            shown = _cut(part.text, left, budget, place) if left >= MIN_BYTES else _prefix(part.text, left)
            if shown:
                kept.append(part.model_copy(update={"text": shown}))
            if left < MIN_BYTES:
                missing = missing or _Place(place.read_with, place.line + shown.count("\n"))
                texts += not shown
                chars += len(part.text) - len(shown) if shown else 0
            left, fits = 0, False
        place = place.after(part.text)
    if fits:
        return output
    if chars or texts:
        kept.append(InputText(text=_note(chars, texts, "" if missing is None else missing.line_hint(0))))
    return tuple(kept)


def _without_note(parts: tuple[OutputPart, ...]) -> tuple[tuple[OutputPart, ...], int, int]:
    """The parts without the note an earlier cut left at their end, and what it counted: it is not charged, and not
    counted as a text itself."""
    last = parts[-1] if parts else None
    found = re.fullmatch(_NOTE, last.text) if isinstance(last, InputText) and len(last.text) < MIN_BYTES else None
    if found is None:
        return parts, 0, 0
    return parts[:-1], int(found["chars"] or 0), int(found["texts"] or 0)


def _note(chars: int, texts: int, hint: str) -> str:
    missing = [f"{chars} chars of the text above"] if chars else []
    if texts:
        missing.append(f"{texts} text item{'s' if texts > 1 else ''}")
    return f"[... omitted {' and '.join(missing)}{hint} ...]"


def _line_marker(dropped: int, total: int, amount: str, hint: str) -> str:
    return f"[... omitted {dropped} of {total} lines ({amount}){hint} ...]\n"


def _text_marker(amount: str, hint: str) -> str:
    return f"…{amount} truncated{hint}…"


def _amount(chars: int, size: int, budget: OutputBudget) -> str:
    """What is left out, in the budget's own unit: bytes are said as characters, which is what the model sees."""
    return f"{chars} chars" if budget.bytes is not None else _tokens(size)


def _tokens(size: int) -> str:
    return f"{-(-size // BYTES_PER_TOKEN)} tokens"


def _too_many_lines(text: str, lines: int | None) -> bool:
    if lines is None:
        return False
    return _line_count(text) > lines + (_HEADER_LINES if re.match(_HEADER, text) else 0)


def _line_count(text: str) -> int:
    return text.count("\n") + (not text.endswith("\n") and text != "")


def _whole_lines(middle: str, *, starts_line: bool) -> int:
    """How many lines lie wholly in the middle; at its ends may be the rests of lines that are partly shown."""
    start = 0 if starts_line else middle.find("\n") + 1
    return middle.count("\n", start) if start or starts_line else 0


def _head(text: str, max_bytes: int, max_lines: int | None) -> str:
    """The beginning: whole lines, unless that would leave out most of the room because a line is long."""
    piece = _prefix(text, max_bytes)
    if max_lines is not None:
        end = 0
        for _ in range(max_lines):
            end = piece.find("\n", end) + 1
            if not end:
                break
        if end:
            return piece[:end]
    whole = piece.rfind("\n") + 1
    return piece[:whole] if 2 * whole >= len(piece) else piece


def _tail(text: str, max_bytes: int, max_lines: int | None) -> str:
    """The end, by the same rule."""
    piece = _suffix(text, max_bytes)
    if max_lines is not None:
        start = len(piece) - piece.endswith("\n")
        for _ in range(max_lines):
            start = piece.rfind("\n", 0, start)
            if start < 0:
                break
        if start >= 0:
            return piece[start + 1 :]
    before = len(text) - len(piece)
    start = 0 if before == 0 or text[before - 1] == "\n" else piece.find("\n") + 1
    return piece[start:] if 2 * start <= len(piece) else piece


def _prefix(text: str, max_bytes: int) -> str:
    """The longest beginning of at most `max_bytes` that ends between two characters."""
    piece = text[:max_bytes]
    raw = piece.encode("utf-8", "surrogatepass")
    if len(raw) > max_bytes:
        end = max_bytes
        while raw[end] & 0xC0 == 0x80:
            end -= 1
        piece = raw[:end].decode("utf-8", "surrogatepass")
    return piece[:-1] if _splits_pair(text, len(piece)) else piece


def _suffix(text: str, max_bytes: int) -> str:
    """The longest end of at most `max_bytes` that begins between two characters."""
    piece = text[len(text) - max_bytes :] if max_bytes < len(text) else text
    raw = piece.encode("utf-8", "surrogatepass")
    start = len(raw) - max_bytes
    if start > 0:
        while start < len(raw) and raw[start] & 0xC0 == 0x80:
            start += 1
        piece = raw[start:].decode("utf-8", "surrogatepass")
    return piece[1:] if _splits_pair(text, len(text) - len(piece)) else piece


def _splits_pair(text: str, at: int) -> bool:
    """A cut here would come between the halves of a character that a peer sent as two surrogates."""
    return 0 < at < len(text) and "\ud800" <= text[at - 1] <= "\udbff" and "\udc00" <= text[at] <= "\udfff"
