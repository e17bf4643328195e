"""A server behind a URL: the SDK's streamable HTTP, over an httpx2 client that knows our headers and bounds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

    from .link import Link

__all__ = ["streamable_http"]

_CONNECT_S = 30.0
_SESSION = "mcp-session-id"


@asynccontextmanager
async def streamable_http(
    url: str, *, headers: Mapping[str, str], max_bytes: int, link: Link
) -> AsyncGenerator[TransportStreams]:
    """The server's two streams of messages while the block lasts. Opening sends nothing yet.

    Streams may be silent for as long as they like: how long a call may take is its own timer's business, and the
    stream of the server's own requests is silent by nature.
    """
    from mcp.client.streamable_http import streamable_http_client

    async with (
        _Client(headers, max_bytes=max_bytes, link=link) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=max_bytes) as streams,
    ):
        yield streams


class _Client(httpx2.AsyncClient):
    """Tells the link what it sees, and the SDK that a session is over where it would not notice: a 400 that says so
    (the TypeScript SDK's example does that, spec and SDK know 404), and a server that cannot be reached any more. In
    neither case has the server looked at the request."""

    def __init__(self, headers: Mapping[str, str], *, max_bytes: int, link: Link) -> None:
        # What is small on its way may be huge when unpacked: hence no encoding.
        super().__init__(
            headers={**headers, "accept-encoding": "identity"}, timeout=httpx2.Timeout(_CONNECT_S, read=None)
        )
        self._max_bytes = max_bytes
        self._link = link

    async def send(
        self,
        request: httpx2.Request,
        *,
        stream: bool = False,
        auth: httpx2._types.AuthTypes | httpx2._client.UseClientDefault | None = httpx2.USE_CLIENT_DEFAULT,
        follow_redirects: bool | httpx2._client.UseClientDefault = httpx2.USE_CLIENT_DEFAULT,
    ) -> httpx2.Response:
        in_session = _SESSION in request.headers
        if self._link.forgotten and request.method == "DELETE":
            return httpx2.Response(200, request=request)  # there is no session to be ended
        try:
            response = await super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            if not in_session:
                raise
            self._link.forgotten = True
            return httpx2.Response(404, request=request)
        event_stream = "text/event-stream" in response.headers.get("content-type", "").lower()
        if not event_stream and isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Bounded(response.stream, self._max_bytes)
        if response.status_code < 400:
            return response
        self._link.refusal = f"HTTP {response.status_code} {response.reason_phrase[:60]}".strip()
        if in_session and await _is_forgotten(response):
            self._link.forgotten = True
            await response.aclose()
            return httpx2.Response(404, request=request)
        return response


async def _is_forgotten(response: httpx2.Response) -> bool:
    if response.status_code == 404:
        return True
    return response.status_code == 400 and b"session" in (await response.aread()).lower()


class _TooLarge(httpx2.StreamError):
    """A body beyond its bound. The SDK answers the request with it."""


class _Bounded(httpx2.AsyncByteStream):
    """A body of at most `max_bytes`."""

    def __init__(self, stream: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = 0
        async for chunk in self._stream:
            total += len(chunk)
            if total > self._max_bytes:
                raise _TooLarge(f"the server sent more than {self._max_bytes:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
