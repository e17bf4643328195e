"""The connections under httpx2 on asyncio, byte by byte; on sockets they are tested with the transports."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable

import httpcore2
import pytest

from agent_core.asyncio_network import AsyncioBackend, AsyncioStream, one_failure

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

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

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
    """What is not read is held up to a bound; it is given out in bounded pieces, and then the peer may go on."""
    stream, wire = connected()
    held: list[bool] = []
    for _ in range(3):
        stream.data_received(PIECE)
        held.append(wire.paused)
    assert held == [False, False, True]
    sizes = [len(await stream.read(65536)) for _ in range(5)]
    assert (sizes, wire.paused) == ([65536] * 4 + [37856], False)


async def test_a_writer_waits_for_a_slow_peer() -> None:
    """Until it reads, or the timeout is over, or the connection is lost."""
    stream, wire = connected()
    stream.pause_writing()
    writing = await begun(stream.write(b"a"))
    assert not writing.done()
    stream.resume_writing()
    await writing
    stream.pause_writing()
    with pytest.raises(httpcore2.WriteTimeout):
        await stream.write(b"b", timeout=0.001)
    writing = await begun(stream.write(b"c"))
    stream.connection_lost(ConnectionResetError())
    with pytest.raises(httpcore2.WriteError):
        await writing
    assert wire.sent == b"abc"


async def test_what_came_before_a_loss_is_read_first() -> None:
    stream, _ = connected()
    stream.data_received(b"last")
    stream.connection_lost(ConnectionResetError("reset"))
    assert await stream.read(65536) == b"last"
    with pytest.raises(httpcore2.ReadError) as caught:
        await stream.read(65536)
    assert isinstance(caught.value.__cause__, ConnectionResetError)


async def test_the_end_is_no_bytes_as_often_as_it_is_read() -> None:
    """It wakes the reader, and an idle connection is known to be over."""
    stream, _ = connected()
    reading = await begun(stream.read(65536))
    assert not stream.get_extra_info("is_readable")
    stream.eof_received()
    assert (await reading, await stream.read(65536)) == (b"", b"")
    assert stream.get_extra_info("is_readable")


async def test_a_read_that_is_given_up_loses_nothing() -> None:
    """Cancelled, or over its timeout: what comes later is there for the next one."""
    stream, wire = connected()
    reading = await begun(stream.read(65536))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    with pytest.raises(httpcore2.ReadTimeout):
        await stream.read(65536, timeout=0.001)
    stream.data_received(b"later")
    assert await stream.read(65536) == b"later"
    await stream.aclose()
    with pytest.raises(httpcore2.WriteError):
        await stream.write(b"too late")
    assert (wire.aborted, wire.sent) == (True, b"")


async def test_who_is_not_there_refuses() -> None:
    with pytest.raises(httpcore2.ConnectError) as caught:
        await AsyncioBackend().connect_tcp("127.0.0.1", 1)
    assert isinstance(caught.value.__cause__, OSError)


def test_several_addresses_that_refuse_are_one_refusal() -> None:
    """Of different failures nothing is chosen: all are told."""
    refused, elsewhere = ConnectionRefusedError(errno.ECONNREFUSED, "refused"), OSError(errno.EHOSTUNREACH, "no route")
    assert one_failure([refused, refused]) is refused
    assert str(one_failure([refused, elsewhere])) == f"{refused}; {elsewhere}"


async def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody listens at the first; what is connected is one connection."""
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])

    async def two(*_: object, **__: object) -> list[object]:
        return [(2, 1, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two)
    stream = await AsyncioBackend().connect_tcp("two.test", port)
    assert stream.get_extra_info("socket").getpeername() == ("127.0.0.1", port)
    await stream.aclose()
    server.close()
    for writer in accepted:
        writer.close()
