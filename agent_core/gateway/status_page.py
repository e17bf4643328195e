"""The status page over HTTP: one file of HTML, and a stream of pictures for it.

    GET /status           the page: no script, style or font of anywhere else, and a policy that allows none
    GET /status/events    SSE: a picture now, then one a second while something changes

A watcher gets the newest picture when it has taken the one before: who reads slowly sees less, and holds nobody up.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Protocol

import anyio
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.types import Receive, Scope, Send

from .asking import Page

__all__ = ["MAX_WATCHERS", "Pictured", "StatusPage"]

MAX_WATCHERS = 16
_STILL_S = 10.0
"""Another picture is sent after that at the latest: what happened minutes ago stops counting."""

_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


class Pictured(Protocol):
    """What there is to see. `version` changes when a picture would."""

    version: int

    def picture(self) -> bytes: ...


class StatusPage:
    """The pages of a status. `every_s`: how long after a picture the next one is sent at the earliest."""

    def __init__(self, status: Pictured, *, every_s: float = 1.0) -> None:
        self._status = status
        self._every_s = every_s
        self._watching: set[anyio.CancelScope] = set()
        self._drawn_at = float("-inf")
        self._drawn = (-1, b"")

    def pages(self) -> Sequence[Page]:
        return Page("/status", self._show, "admin"), Page("/status/events", self._follow, "admin")

    async def _show(self, scope: Scope, receive: Receive, send: Send) -> None:
        page, headers = _page()
        await HTMLResponse(page, headers=headers)(scope, receive, send)

    def end_pages(self) -> None:
        """Who watches is let go."""
        for scope in list(self._watching):
            scope.cancel()

    async def _follow(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self._watching) >= MAX_WATCHERS:
            refused = PlainTextResponse(f"{MAX_WATCHERS} watch already", 503, {"retry-after": "10"})
            await refused(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        async with anyio.create_task_group() as tasks:
            self._watching.add(tasks.cancel_scope)
            try:
                tasks.start_soon(self._send_pictures, send)
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()
            finally:
                self._watching.discard(tasks.cancel_scope)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_pictures(self, send: Send) -> None:
        version, due = -1, 0.0
        while True:
            if self._status.version != version or time.monotonic() >= due:
                version, picture = self._newest()
                await send({"type": "http.response.body", "body": b"data: %b\n\n" % picture, "more_body": True})
                due = time.monotonic() + _STILL_S
            await anyio.sleep(self._every_s)

    def _newest(self) -> tuple[int, bytes]:
        """A picture that is as new as it has to be: all watchers share it."""
        now = time.monotonic()
        if now - self._drawn_at >= self._every_s:
            self._drawn = self._status.version, self._status.picture()
            self._drawn_at = now
        return self._drawn


@cache
def _page() -> tuple[str, Mapping[str, str]]:
    """The file, and headers that allow what is in it and nothing else."""
    page = (files("agent_core.gateway") / "status.html").read_text("utf-8")
    allowed = {
        kind: " ".join(f"'sha256-{_digest(text)}'" for text in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S))
        for kind, tag in (("script-src", "script"), ("style-src", "style"))
    }
    policy = [
        "default-src 'none'",
        *(f"{kind} {hashes}" for kind, hashes in allowed.items()),
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return page, {
        "content-security-policy": "; ".join(policy),
        "cache-control": "no-store",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


def _digest(text: str) -> str:
    return base64.b64encode(sha256(text.encode()).digest()).decode()
