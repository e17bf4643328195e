"""What the user says while a turn runs: collected here, taken by the loop at each sampling boundary."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from .errors import CallerError
from .items import ResponseItem, user_message

__all__ = ["Steering"]


class Steering:
    """Any task or thread may speak; the loop listens. What is said is heard, or refused: never lost in between."""

    __slots__ = ("_lock", "_over", "_said")

    def __init__(self) -> None:
        self._said: list[ResponseItem] = []
        self._over = False
        self._lock = Lock()

    def say(self, text: str) -> None:
        """Raises CallerError after the end, and for text that says nothing."""
        if not isinstance(text, str) or not text.strip():
            what = "an empty text" if isinstance(text, str) else repr(type(text).__name__)
            raise CallerError(f"a turn is steered with a text, not with {what}", remedy="say something")
        with self._lock:
            if self._over:
                raise CallerError("the turn has ended", remedy="start the next one with this text")
            self._said.append(user_message(text))

    def take(self) -> Sequence[ResponseItem]:
        """What was said since the last time."""
        with self._lock:
            said, self._said = self._said, []
        return said

    def close(self) -> Sequence[ResponseItem]:
        """What was said too late for this turn. From now on nobody listens."""
        with self._lock:
            self._over = True
        return self.take()
