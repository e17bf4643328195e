"""What an open connection knows of its server beside the protocol: whether it is still there, and its last words."""

from __future__ import annotations

import anyio

from ...redaction import redacted

__all__ = ["Link"]

_TAIL_BYTES = 8 * 1024
_SHOWN_CHARS = 600


class Link:
    """Written by the transport, read by the task that owns the connection.

    `lost` is set once the server cannot be spoken to any more, `reason` says why. `refusal`: the last HTTP status that
    was an error. `forgotten`: the server is there and knows our session no more.
    """

    __slots__ = ("_tail", "forgotten", "lost", "reason", "refusal")

    def __init__(self) -> None:
        self.lost = anyio.Event()
        self.reason = ""
        self.refusal = ""
        self.forgotten = False
        self._tail = bytearray()

    def lose(self, reason: str) -> None:
        """The first reason counts."""
        if not self.lost.is_set():
            self.reason = reason
            self.lost.set()

    def heard(self, chunk: bytes) -> None:
        """What the server wrote beside the protocol; its end is kept."""
        self._tail += chunk[-_TAIL_BYTES:]
        if len(self._tail) > 2 * _TAIL_BYTES:
            del self._tail[:-_TAIL_BYTES]

    def last_words(self) -> str:
        """For an error: `; it said: …`, without what looks like a secret, or nothing."""
        lines = [line.strip() for line in self._tail.decode("utf-8", "replace").splitlines() if line.strip()]
        words = redacted(" | ".join(lines))
        return f"; it said: {words[-_SHOWN_CHARS:]}" if words else ""
