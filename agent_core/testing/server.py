"""The rehearsal server: a scripted model that answers over real HTTP on loopback, in any of the three wires.

    with RehearsalServer([Step(calls=(Call("add", {"a": 2, "b": 3}),)), Step(text="5")]) as server:
        agent = Agent(server.model, provider=server.provider, tools=[add])
        assert agent.run_sync("What is 2 + 3?").text == "5"
    assert len(server.requests) == 2

A request's path says the wire; the wire's codec decodes the body into a prompt; the `model` names a script; the script
gives a step; the codec's encoder writes it, streamed or whole as the request asked (connection.py). Nothing a wire says
is spelled here, so what the codecs are tested for holds for these bytes.

Threads: one that accepts and one per connection, all daemons, all gone when `close` returns. Nothing is listened to but
127.0.0.1.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from ..errors import ConfigError
from .connection import Connection, RecordedRequest, Rehearsal, will_reset
from .scripts import Script, Step
from .shipped import SCRIPTS

if TYPE_CHECKING:
    from ..providers import Provider

__all__ = ["MAX_BODY_BYTES", "RehearsalServer"]

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Above any real request (vendors refuse at 20 to 50 MB), far below memory."""

_LONE_SCRIPT = "script"  # the name of a script that is given without one
_JOIN_S = 5.0  # a script function that will not end must not keep its server from closing


class _LoopbackServer(ThreadingTCPServer):
    """Accepts on 127.0.0.1 and knows its connections, so that `stop` can end them."""

    allow_reuse_address = os.name == "posix"  # elsewhere it would let two servers share a port
    daemon_threads = True
    request_queue_size = 1024  # of a thousand clients at once none has to ask again a second later

    def __init__(self, port: int, rehearsal: Rehearsal, *, deaf_s: float = 0.0) -> None:
        self.rehearsal = rehearsal
        self._live: dict[threading.Thread, socket.socket] = {}
        self._owner_pid = os.getpid()
        self._deaf_s = 0.0
        self._deaf = threading.Event()
        super().__init__(("127.0.0.1", port), Connection)
        self.port = cast("tuple[str, int]", self.server_address)[1]
        if deaf_s:
            self._deaf_s = deaf_s
            self._stop_listening()
        self._acceptor = threading.Thread(target=self._accept, name="rehearsal", daemon=True)
        self._acceptor.start()

    def deafen(self, seconds: float) -> None:
        """From when this returns nobody listens, for so long: connections are refused. From any thread but that which
        accepts."""
        self._deaf.clear()
        self._deaf_s = seconds
        self._wake()
        self._deaf.wait(_JOIN_S)

    def _accept(self) -> None:
        closing = self.rehearsal.closing
        while not closing.is_set():
            if self._deaf_s:
                if not self._deaf.is_set():
                    self._stop_listening()
                if closing.wait(self._deaf_s):
                    return
                self._deaf_s = 0.0
                self.server_activate()
            self.handle_request()

    def _stop_listening(self) -> None:
        """Keep the port, on a new socket that does not listen yet: connecting to it is refused."""
        self.socket.close()
        self.socket = socket.socket(self.address_family, self.socket_type)
        self.server_address = ("127.0.0.1", self.port)
        self.server_bind()
        self._deaf.set()

    def _wake(self) -> None:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()

    def verify_request(self, request: object, client_address: object) -> bool:
        return not self.rehearsal.closing.is_set()

    # Any in what follows: what socketserver's own signatures say.
    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), name="rehearsal-client", daemon=True
        )
        with self.rehearsal.lock:
            self._live[thread] = request
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self.rehearsal.lock:
                self._live.pop(threading.current_thread(), None)

    def shutdown_request(self, request: Any) -> None:
        """As socketserver does, but a connection that is to end in a reset gets no orderly end before it."""
        if will_reset(request):
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left is no error. Anything else is a fault of ours and ends its thread, loudly."""
        error = sys.exception()
        if error is not None and not isinstance(error, (ConnectionError, TimeoutError)):
            raise error

    def stop(self) -> None:
        """End every connection and thread. From any thread; in a forked child it only lets go of the socket."""
        if os.getpid() != self._owner_pid:
            self.socket.close()
            return
        self.rehearsal.closing.set()
        self._wake()
        if self._acceptor is not threading.current_thread():
            self._acceptor.join(_JOIN_S)
        self.server_close()
        with self.rehearsal.lock:
            live = dict(self._live)
        for connection in live.values():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in live:
            if thread is not threading.current_thread():
                thread.join(_JOIN_S)


class RehearsalServer:
    """A scripted model on loopback. Starts when it is entered, or first asked for `base_url` or `provider`.

    `script`: one script, which answers whatever `model` a request names; or a mapping of names to scripts (default: the
    shipped `SCRIPTS`), where `model` is the name and any other a 404 that lists them. `pace_s` is the time between two
    deltas of a stream; tests want 0. `port` 0 takes a free one. `strict`: a request that breaks a rule of its wire
    (`check_request`) is answered as a vendor answers it, with a 400 that names the first one; a lenient server takes
    all that can be read.

    A context manager, sync and async; or call `close`. One that is forgotten is closed with its last reference, or at
    exit. It may be started again; its record stays, its port need not.
    """

    def __init__(
        self,
        script: Script | Mapping[str, Script] = SCRIPTS,
        *,
        pace_s: float = 0.005,
        port: int = 0,
        strict: bool = True,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        scripts = _named(script)
        if pace_s < 0:
            raise ConfigError(f"pace_s must not be negative, got {pace_s!r}")
        self._port = port
        self._rehearsal = Rehearsal(scripts, not isinstance(script, Mapping), pace_s, max_body_bytes, strict)
        self._deaf_s = 0.0  # nobody listens for so long after the first start
        self._running: _LoopbackServer | None = None
        self._stop: Callable[[], object] | None = None
        self._starting = threading.Lock()

    def __repr__(self) -> str:
        where = f"127.0.0.1:{self._running.port}" if self._running else "not started"
        return f"RehearsalServer({', '.join(self._rehearsal.scripts)}; {where})"

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:PORT/v1`: what OpenAI's clients call a base URL. Anthropic's wants it without `/v1`."""
        return f"http://127.0.0.1:{self._start().port}/v1"

    @property
    def provider(self) -> Provider:
        """A provider row for this server: any of the three wires, no key."""
        from ..providers import Endpoint, Provider

        # What a vendor's own Responses endpoint can do; the other wires are spoken by their standard.
        responses = Endpoint(compat={"custom_tools": True, "encrypted_reasoning": True})
        return Provider(
            "rehearsal",
            self.base_url,
            wires={"chat": Endpoint(), "responses": responses, "messages": Endpoint()},
            auth="none",
        )

    @property
    def model(self) -> str:
        """`rehearsal/<name of the first script>`."""
        return f"rehearsal/{next(iter(self._rehearsal.scripts))}"

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """What was asked so far, oldest first; the last 1000."""
        with self._rehearsal.lock:
            return tuple(self._rehearsal.requests)

    def close(self) -> None:
        """Stop listening, drop all connections, end all threads. Idempotent."""
        stop, self._stop, self._running = self._stop, None, None
        if stop is not None:
            stop()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        from anyio import CancelScope, to_thread

        with CancelScope(shield=True):  # joins threads: short, and never on the event loop
            await to_thread.run_sync(self.close)

    def _start(self) -> _LoopbackServer:
        with self._starting:
            if self._running is not None:
                return self._running
            self._rehearsal.closing.clear()
            try:
                self._running = server = _LoopbackServer(self._port, self._rehearsal, deaf_s=self._deaf_s)
                self._deaf_s = 0.0
            except (OSError, OverflowError) as error:
                problem = f"the rehearsal server cannot listen on port {self._port} of 127.0.0.1: {error}"
                raise ConfigError(problem, remedy="leave port out, or choose a free one") from error
            self._stop = weakref.finalize(self, server.stop)
            return server


def _named(script: object) -> Mapping[str, Script]:
    """Scripts by name, each looked at: what is no script fails here, not in the middle of a test."""
    scripts = cast("Mapping[str, object]", script) if isinstance(script, Mapping) else {_LONE_SCRIPT: script}
    if not scripts:
        raise ConfigError("a rehearsal needs a script", remedy="leave the argument out for the shipped ones")
    for name, one in scripts.items():
        _check_script(name, one)
    return cast("Mapping[str, Script]", scripts)


def _check_script(name: str, script: object) -> None:
    if callable(script):
        return
    if not isinstance(script, Sequence) or isinstance(script, (str, bytes)):
        kind = type(script).__name__
        problem = f"script {name!r} must be a list of steps or a function from a prompt to a step, not {kind}"
        raise ConfigError(problem, remedy="write [Step(text=...)]")
    steps = cast("Sequence[object]", script)
    if not steps:
        raise ConfigError(f"script {name!r} has no steps", remedy="write [Step(text=...)]")
    for n, step in enumerate(steps, 1):
        if not isinstance(step, Step):
            raise ConfigError(f"step {n} of script {name!r} must be a Step, not {type(step).__name__}")
