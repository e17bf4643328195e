"""The connections on asyncio, byte by byte; on sockets they are tested with the transports."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable

import pytest

from agent_core.asyncio_network import AsyncioStream, connect, one_failure

pytestmark = pytest.mark.anyio

PIECE = b"x" * 100_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Wire(asyncio.Transport):
    """A connection to nobody: what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = self.aborted = False
        self.sent = b""
        self.unsent = 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def connected() -> tuple[AsyncioStream, Wire]:
    stream, wire = AsyncioStream(asyncio.get_running_loop()), Wire()
    stream.connection_made(wire)
    return stream, wire


async def begun(step: Awaitable[object]) -> asyncio.Future[object]:
    """The step, as far as it comes by itself."""
    future = asyncio.ensure_future(step)
    await asyncio.sleep(0)
    return future


async def test_a_peer_waits_for_a_slow_reader() -> None:
    """What is not read is held up to a bound; once it is read the peer may go on."""
    stream, wire = connected()
    held: list[bool] = []
    for _ in range(3):
        stream.data_received(PIECE)
        held.append(wire.paused)
    assert held == [False, False, True]
    assert (await stream.read(), wire.paused) == (3 * PIECE, False)


async def test_what_came_before_a_loss_is_read_first() -> None:
    stream, _ = connected()
    stream.data_received(b"last")
    stream.connection_lost(BrokenPipeError("lost"))
    assert await stream.read() == b"last"
    with pytest.raises(ConnectionResetError) as caught:
        await stream.read()
    assert isinstance(caught.value.__cause__, BrokenPipeError)


async def test_the_end_is_no_bytes_as_often_as_it_is_read() -> None:
    """It wakes the reader."""
    stream, _ = connected()
    reading = await begun(stream.read())
    stream.eof_received()
    assert (await reading, await stream.read()) == (b"", b"")


async def test_a_read_that_is_given_up_loses_nothing() -> None:
    """What comes later is there for the next one; after closing nothing is sent."""
    stream, wire = connected()
    reading = await begun(stream.read())
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    stream.data_received(b"later")
    assert await stream.read() == b"later"
    await stream.aclose()
    with pytest.raises(ConnectionResetError):
        await stream.write(b"too late")
    assert (wire.aborted, wire.sent) == (True, b"")


async def test_when_a_connection_is_quiet() -> None:
    """Not while something is to be read or still to be sent, nor after its end."""
    stream, wire = connected()
    told = [stream.quiet()]
    wire.unsent = 1
    told.append(stream.quiet())
    wire.unsent = 0
    stream.data_received(b"unasked")
    told.append(stream.quiet())
    await stream.read()
    told.append(stream.quiet())
    stream.eof_received()
    assert [*told, stream.quiet()] == [True, False, False, True, False]


async def test_who_is_not_there_refuses() -> None:
    with pytest.raises(ConnectionRefusedError):
        await connect("127.0.0.1", 1, None)


def test_several_addresses_that_refuse_are_one_refusal() -> None:
    """Of different failures nothing is chosen: all are told."""
    refused, elsewhere = ConnectionRefusedError(errno.ECONNREFUSED, "refused"), OSError(errno.EHOSTUNREACH, "no route")
    assert one_failure([refused, refused]) is refused
    assert str(one_failure([refused, elsewhere])) == f"{refused}; {elsewhere}"


async def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody listens at the first; what is connected is one connection."""
    accepted: list[asyncio.StreamWriter] = []
    told = asyncio.Event()

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        told.set()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])

    async def two(*_: object, **__: object) -> list[object]:
        return [(2, 1, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two)
    stream = await connect("two.test", port, None)
    await told.wait()
    assert len(accepted) == 1
    await stream.aclose()
    server.close()
    for writer in accepted:
        writer.close()
