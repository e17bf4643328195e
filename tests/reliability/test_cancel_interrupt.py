"""Ctrl-C in a program without an event loop: a bare KeyboardInterrupt, the socket closed, and one can go on.

A real process, a real signal, a real socket; nothing is printed by anybody but the program.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from agent_core import Session
from agent_core.items import FunctionCallOutput, Message
from agent_core.testing import Call, Step, assert_valid_request

from ..loopback import STALL, Exchange, Loopback, chunk, exchange, serve, sse, sse_head
from .held import held, streamed, whole

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),  # of the test alone: the program has its own
    pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals"),
]


def calls(name: str, **arguments: str) -> Exchange:
    return exchange(sse(streamed("responses", Step(calls=(Call(name, arguments),)))))


class Row(NamedTuple):
    """What the model says; the words of the program at which a Ctrl-C comes each; what is in the session then, of
    outputs their first words (a second Ctrl-C may find the tool at work, or the event loop)."""

    answer: Exchange
    at: tuple[str, ...] = ("there",)
    message: tuple[str, ...] = ()
    output: tuple[str, ...] = ()


SPEAKS = streamed("responses", Step(text="one two", calls=(Call("look"),)), ends=False)
ABORTED = "aborted by the user"
ROWS: Mapping[str, Row] = {
    "in an answer": Row(exchange(sse_head(), chunk(SPEAKS), STALL), message=("completed",)),
    "a tool runs": Row(calls("wait"), output=(ABORTED,)),
    "a tool swallows it": Row(calls("swallow"), output=("it did not work",)),
    "a tool does not end": Row(calls("stubborn"), at=("there", "tidying"), output=("",)),
}


class Program:
    """The program in its process."""

    def __init__(self, process: Process) -> None:
        assert process.stdout and process.stdin and process.stderr
        self._process = process
        self._stdin = process.stdin
        self._stderr = process.stderr
        self._lines = BufferedByteReceiveStream(process.stdout)

    async def line(self) -> str:
        return (await self._lines.receive_until(b"\n", 65536)).decode()

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    async def goes_on(self) -> str:
        await self._stdin.send(b"\n")
        return await self.line()

    async def ended(self) -> tuple[int, bytes]:
        """Its exit code, and what was printed beside its own words."""
        printed = b"".join([piece async for piece in self._stderr])
        return await self._process.wait(), printed


@asynccontextmanager
async def running(door: str, url: str, session: Path) -> AsyncGenerator[Program]:
    command = [sys.executable, "-W", "error", "-m", "tests.reliability.interrupted", door, url, str(session)]
    with anyio.fail_after(30):
        async with await anyio.open_process(command) as process:
            try:
                yield Program(process)
            finally:
                if process.returncode is None:
                    process.kill()


async def interrupted(server: Loopback, child: Program) -> None:
    """What holds each time: a bare KeyboardInterrupt; the socket closed while the program lives; nothing printed."""
    assert await child.line() == "KeyboardInterrupt None"
    with anyio.fail_after(10):
        await server.left.wait()
    assert (await child.goes_on(), *await child.ended()) == ("fine", 0, b"")
    assert_valid_request("responses", server.requests[-1].body)


@pytest.mark.parametrize("name", ROWS)
async def test_ctrl_c(name: str, tmp_path: Path) -> None:
    """It ends the run, whatever the tool does about it, and the agent goes on with the same session."""
    row, path = ROWS[name], tmp_path / "s.jsonl"
    async with serve(row.answer, whole("responses", "fine")) as server, running("run_sync", server.url, path) as child:
        for words in row.at:
            assert await child.line() == words
            child.interrupt()
        await interrupted(server, child)
    items = Session.read(path).items
    said = [item.status for item in items if isinstance(item, Message) and item.role == "assistant"]
    assert said == [*row.message, "completed"]
    told = [str(item.output) for item in items if isinstance(item, FunctionCallOutput)]
    assert all(text.startswith(words) for text, words in zip(told, row.output, strict=True))


@pytest.mark.parametrize("door", ["run_sync", "ask"])
async def test_before_the_headers(door: str, tmp_path: Path) -> None:
    """Through both doors."""
    asked = anyio.Event()
    answer = held("responses", "before the headers", asked.set)
    async with serve(answer, whole("responses", "fine")) as server, running(door, server.url, tmp_path / "s") as child:
        await asked.wait()
        child.interrupt()
        await interrupted(server, child)
