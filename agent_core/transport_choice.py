"""Which transport sends a request: aiohttp's parts where they can be had, h11 elsewhere, httpx2 through a proxy.

AGENT_CORE_TRANSPORT=aiohttp, h11 or httpx2 decides it for a whole program, `ModelClient(transport="h11")` for a client.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Literal, TypeAlias, get_args

from .deadlines import asyncio_loop
from .errors import CallerError, ConfigError
from .http_faults import is_loopback, proxied
from .transport import HttpRequest, HttpStream, HttpxTransport, Transport

__all__ = ["VARIABLE", "ChosenTransport", "TransportName"]

TransportName: TypeAlias = Literal["aiohttp", "h11", "httpx2"]
VARIABLE = "AGENT_CORE_TRANSPORT"


class ChosenTransport:
    """Requests by aiohttp's parts on asyncio, where it is installed, else by h11; by httpx2 where the environment names
    a proxy.

    `name`, or AGENT_CORE_TRANSPORT, decides instead. Raises ConfigError for a name there is not, and by `open` where
    aiohttp was asked for and is not installed; CallerError where the event loop is not asyncio's.
    """

    def __init__(self, name: TransportName | None = None, *, env: Mapping[str, str] = os.environ) -> None:
        self._name = name or env.get(VARIABLE, "").strip() or None
        if self._name is not None and self._name not in get_args(TransportName):
            what = "transport=" if name else VARIABLE
            raise ConfigError(f"{what} names no transport: {self._name!r}", remedy="aiohttp, h11 and httpx2 are known")
        self._made: dict[str, Transport] = {}
        self._last: Transport | None = None
        self._last_asked = ("", False)  # a client has one URL, and one event loop
        self._closed = False

    def open(self, request: HttpRequest, *, connect_s: float | None = None) -> AbstractAsyncContextManager[HttpStream]:
        asked = request.url, asyncio_loop() is not None
        if self._last is None or asked != self._last_asked:
            if self._closed:
                raise CallerError("this transport is closed", remedy="make a new client")
            self._last, self._last_asked = self._of_name(self.name_for(request.url)), asked
        return self._last.open(request, connect_s=connect_s)

    async def aclose(self) -> None:
        self._closed, self._last = True, None
        for transport in self._made.values():
            await transport.aclose()

    def name_for(self, url: str) -> TransportName:
        """Which of them sends to that URL from here. Raises as `open` does."""
        if self._name == "httpx2":
            return "httpx2"
        if self._name == "h11":
            return "h11"
        if self._name is None and not is_loopback(url) and proxied():
            return "httpx2"
        if asyncio_loop() is None:
            if self._name is None:
                return "h11"
            raise CallerError("aiohttp needs asyncio", remedy="choose the h11 transport, which has trio too")
        try:
            self._of_name("aiohttp")
        except ImportError as error:
            if self._name is None:
                return "h11"
            raise ConfigError("aiohttp is not installed", remedy="pip install 'agent-core[fast]'") from error
        return "aiohttp"

    def _of_name(self, name: TransportName) -> Transport:
        transport = self._made.get(name)
        if transport is None:
            transport = self._made[name] = _made(name)
        return transport


def _made(name: TransportName) -> Transport:
    match name:
        case "aiohttp":
            from .fast_transport import AiohttpTransport

            return AiohttpTransport()
        case "h11":
            from .h11_transport import H11Transport

            return H11Transport()
        case "httpx2":
            return HttpxTransport()
