"""The access log of a gateway that a command runs: one line a request, for people or for programs.

    21:04:07 completed 200 chat "fast" by lab/qwen3 1.24 s (first 0.31 s) 1200+240 tokens $0.0012 team-a req_7f3a…
    {"at":"2026-11-29T21:04:07.120Z","event":"served","wire":"chat","asked":"fast",…}

It is what the logger `agent_core.gateway` is told (docs/tracing.md), which has no word of what was said. Lines are
written by a thread of their own: a reader that does not read holds no request up, and costs lines.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from queue import Full, Queue
from threading import Thread
from typing import Literal, TextIO

from ..logs import fields_of
from .settings import Table

__all__ = ["LogForm", "LogSettings", "access_log"]

LogForm = Literal["off", "text", "json"]

MAX_WAITING = 10_000
"""Lines that are not written yet; the newest beyond are dropped, and counted."""

_LAST_S = 2.0
"""What who reads the log gets to take the last lines in."""


class LogSettings(Table):
    """`[log]`: the access log on stderr."""

    format: LogForm = "off"


@contextmanager
def access_log(form: LogForm, stream: TextIO) -> Generator[None]:
    """Requests, and what else the gateway has to say, are written to `stream` in the block; what is still to be written
    at its end, for a moment more."""
    if form == "off":
        yield
        return
    logger = logging.getLogger("agent_core.gateway")
    writer = _Writer(stream)
    writer.setFormatter(_Json() if form == "json" else _Text())
    before = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(writer)
    try:
        yield
    finally:
        logger.removeHandler(writer)
        logger.setLevel(before[0])
        logger.propagate = before[1]
        writer.close()


class _Writer(logging.Handler):
    """Takes a record without waiting, and writes it in a thread of its own."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: Queue[str | None] = Queue(MAX_WAITING)
        self._dropped = 0
        self._thread = Thread(target=self._write, name="access log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(self.format(record))
        except Full:
            self._dropped += 1

    def close(self) -> None:
        with suppress(Full):  # then nobody has read for long, and does not now
            self._lines.put(None, timeout=_LAST_S)
            self._thread.join(_LAST_S)
        super().close()

    def _write(self) -> None:
        with suppress(OSError, ValueError):  # a stream that is closed takes no more lines
            for line in iter(self._lines.get, None):
                self._stream.write(line + "\n")
                self._stream.flush()
            if self._dropped:
                self._stream.write(f"{self._dropped} lines of the access log were dropped: nobody read them in time\n")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = record.__dict__
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = facts.get("event", "")
        line = {"at": at, "event": event, **{name: facts.get(name) for name in fields_of.get(event, ())}}
        return json.dumps(line, separators=(",", ":"))


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts, at = record.__dict__, datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        if facts.get("event") != "served":
            return f"{at} {record.getMessage()}"
        first_s, cost, error = facts["first_s"], facts["cost"], facts["error"]
        words = [
            at,
            f"{facts['outcome']} ({error})" if error else facts["outcome"],
            facts["status"] or "-",
            facts["wire"],
            f'"{facts["asked"]}"',
            f"by {facts['deployment'] or facts['model']}" if facts["model"] else "",
            f"(cache: {facts['cache']})" if facts["cache"] else "",
            f"{facts['duration_s']:.2f} s",
            f"(first {first_s:.2f} s)" if first_s is not None and facts["stream"] else "",
            f"{facts['tokens_in']}+{facts['tokens_out']} tokens" if facts["tokens_in"] is not None else "",
            f"{cost:.6g} {facts['currency']}" if cost is not None else "",
            facts["caller"],
            facts["request_id"],
        ]
        return " ".join(str(word) for word in words if word != "")
