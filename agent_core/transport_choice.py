"""Which transport sends a request: aiohttp's where it can be had, httpx2's everywhere else.

AGENT_CORE_TRANSPORT=httpx2 or =aiohttp decides it for a whole program, `ModelClient(transport="httpx2")` for a client.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Literal, TypeAlias

from .errors import CallerError, ConfigError
from .http_faults import is_loopback, proxied
from .transport import HttpRequest, HttpStream, HttpxTransport

if TYPE_CHECKING:
    from .fast_transport import AiohttpTransport

__all__ = ["VARIABLE", "ChosenTransport", "TransportName"]

TransportName: TypeAlias = Literal["httpx2", "aiohttp"]
VARIABLE = "AGENT_CORE_TRANSPORT"


class ChosenTransport:
    """Requests by aiohttp on asyncio, where it is installed and a request goes through no proxy; else by httpx2.

    `name`, or AGENT_CORE_TRANSPORT, decides instead. Raises ConfigError for a name there is not, and by `open` where
    aiohttp was asked for and is not installed; CallerError where the event loop is not asyncio's.
    """

    def __init__(self, name: TransportName | None = None, *, env: Mapping[str, str] = os.environ) -> None:
        self._name = name or env.get(VARIABLE, "").strip() or None
        if self._name not in (None, "httpx2", "aiohttp"):
            what = "transport=" if name else VARIABLE
            raise ConfigError(f"{what} names no transport: {self._name!r}", remedy="httpx2 and aiohttp are known")
        self._httpx = HttpxTransport()
        self._fast: AiohttpTransport | None = None
        self._fast_for = ""  # the URL of the last request, where aiohttp sent it: a client has one
        self._closed = False

    def open(self, request: HttpRequest, *, connect_s: float | None = None) -> AbstractAsyncContextManager[HttpStream]:
        url = request.url
        if self._fast is not None and url == self._fast_for and not self._closed and _on_asyncio():
            return self._fast.open(request, connect_s=connect_s)
        if self._closed or self.name_for(url) == "httpx2":
            return self._httpx.open(request, connect_s=connect_s)
        self._fast_for = url
        return self._aiohttp().open(request, connect_s=connect_s)

    async def aclose(self) -> None:
        self._closed = True
        await self._httpx.aclose()
        if self._fast is not None:
            await self._fast.aclose()

    def name_for(self, url: str) -> TransportName:
        """Which of them sends to that URL from here. Raises as `open` does."""
        if self._name == "httpx2":
            return "httpx2"
        if not _on_asyncio():
            if self._name is None:
                return "httpx2"
            raise CallerError("aiohttp needs asyncio", remedy="choose the httpx2 transport, which has trio too")
        if self._name is None and not is_loopback(url) and proxied():
            return "httpx2"
        try:
            self._aiohttp()
        except ImportError as error:
            if self._name is None:
                return "httpx2"
            raise ConfigError("aiohttp is not installed", remedy="pip install 'agent-core[fast]'") from error
        return "aiohttp"

    def _aiohttp(self) -> AiohttpTransport:
        if self._fast is None:
            from .fast_transport import AiohttpTransport

            self._fast = AiohttpTransport()
        return self._fast


def _on_asyncio() -> bool:
    from asyncio import CancelledError

    import anyio

    return anyio.get_cancelled_exc_class() is CancelledError
