"""A gateway that runs: uvicorn in a thread, on loopback, until the block ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

import httpx2
import uvicorn
from starlette.types import ASGIApp

from agent_core.gateway.connections import HEAD_S, WRITE_S, server_config

START_S = 20.0


class _Server(uvicorn.Server):
    """Says when it can be called, or that it never will."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def client(url: str) -> httpx2.Client:
    """Of a gateway on loopback, without certificates: to load them takes longer than most tests."""
    return httpx2.Client(base_url=url, verify=False, timeout=20)


@contextmanager
def running(gateway: ASGIApp, *, head_s: float = HEAD_S, write_s: float = WRITE_S) -> Generator[str]:
    """The URL, without a path, of a Gateway or what is around one. It is closed at the end."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = _Server(server_config(gateway, head_s=head_s, write_s=write_s, stop_s=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="gateway", daemon=True)
    thread.start()
    try:
        assert server.ready.wait(START_S), "the gateway did not start"
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(START_S)
        listening.close()
    assert not thread.is_alive(), "the gateway did not stop"
