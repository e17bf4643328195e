"""A server as a process: JSON lines over its pipes. An MCP SDK transport of our own.

The SDK's own one keeps a line of any length, mixes what the server complains of with our terminal, and leaves what the
server started alive where the server itself ends in time. Here lines are bounded, the end of stderr is kept for error
messages, and at the end the server's process group is ended, and what has left it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream

from ...cancellation import lone, sheltered
from ...errors import ToolError
from ..processes import MARK_VARIABLE, Mark, ProcessGroup

if TYPE_CHECKING:
    from anyio.abc import ByteReceiveStream, Process
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

    from .link import Link

__all__ = ["END_S", "stdio"]

END_S = 2.0
"""How long a server may take to end once its stdin is closed; as in the SDKs."""
_GONE = (BrokenResourceError, ClosedResourceError, EndOfStream, OSError)


@asynccontextmanager
async def stdio(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], max_bytes: int, link: Link
) -> AsyncGenerator[TransportStreams]:
    """The server's two streams of messages while the block lasts. Raises ToolError if it cannot be started."""
    from mcp.shared.message import SessionMessage

    mark = Mark(os.environ.get(MARK_VARIABLE, ""))
    group: ProcessGroup | None = None

    async def start() -> None:
        nonlocal group
        group = ProcessGroup(await _open(argv, cwd=cwd, env={**env, MARK_VARIABLE: mark.value}), mark)

    async def end() -> None:
        if group is not None:
            await _end(group)

    try:
        await sheltered(start)  # a cancel between fork and return would lose the process
        assert group is not None  # else `start` has raised
        process = group.leader
        incoming, heard = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        said, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        async with incoming, heard, said, outgoing, anyio.create_task_group() as tasks:
            tasks.start_soon(partial(_read, process, incoming, link=link, max_bytes=max_bytes))
            tasks.start_soon(_write, process, outgoing, link)
            tasks.start_soon(_listen, process, link)
            yield heard, said
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        raise lone(errors) from None
    finally:
        await sheltered(end)


async def _open(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Process:
    try:
        return await anyio.open_process(
            argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=cwd, env=env, start_new_session=True
        )
    except FileNotFoundError:
        if not cwd.is_dir():  # noqa: ASYNC240  # one look at the disk, once in a failure
            raise ToolError(f"there is no directory {str(cwd)!r}", remedy="correct its cwd") from None
        remedy = "install it, or give its whole path"
        raise ToolError(f"there is no program {argv[0][:200]!r}", remedy=remedy) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).split("\n")[0]
        raise ToolError(f"cannot start {argv[0][:200]!r}: {reason}", remedy="correct its command") from None


async def _end(group: ProcessGroup) -> None:
    """Ends the server as the protocol asks: its stdin is closed, it may end by itself; then whatever is left."""
    process = group.leader
    assert process.stdin is not None
    with suppress(*_GONE):  # it has closed it, or ended, before us
        await process.stdin.aclose()
    with anyio.move_on_after(END_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_drain, process.stdout)  # who is stuck writing does not see that stdin is closed
            tasks.start_soon(_drain, process.stderr)
            await process.wait()
            tasks.cancel_scope.cancel()
    await group.end(strays=True)
    await process.aclose()


async def _drain(stream: ByteReceiveStream | None) -> None:
    assert stream is not None
    try:
        while True:
            await stream.receive()
    except _GONE:
        return


async def _read(
    process: Process, incoming: MemoryObjectSendStream[SessionMessage | Exception], *, link: Link, max_bytes: int
) -> None:
    assert process.stdout is not None
    pieces = bytearray()
    async with incoming:
        try:
            while True:
                chunk = await process.stdout.receive()
                *lines, rest = chunk.split(b"\n")
                for line in lines:
                    pieces += line
                    await _hand_over(bytes(pieces), incoming, link)
                    pieces.clear()
                pieces += rest
                if len(pieces) > max_bytes:
                    link.lose(f"it sent a message of more than {max_bytes:,} bytes")
                    return
        except (BrokenResourceError, ClosedResourceError):  # nobody listens any more
            return
        except (EndOfStream, OSError):
            await _ended(process, link)


async def _ended(process: Process, link: Link) -> None:
    """Its output is at its end, so it is ending, as a rule; what it complained of is read meanwhile."""
    with anyio.move_on_after(END_S / 4):
        await process.wait()
    code = process.returncode
    if code is None:
        link.lose("it closed its output")
    else:
        link.lose(f"it was ended by signal {-code}" if code < 0 else f"it ended with exit code {code}")


async def _hand_over(line: bytes, incoming: MemoryObjectSendStream[SessionMessage | Exception], link: Link) -> None:
    from mcp.shared.message import SessionMessage
    from mcp.types import jsonrpc_message_adapter

    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:  # a server that prints: no message, but it may say what is wrong
        link.heard(line + b"\n")
        return
    await incoming.send(SessionMessage(message))


async def _write(process: Process, outgoing: MemoryObjectReceiveStream[SessionMessage], link: Link) -> None:
    assert process.stdin is not None
    async with outgoing:
        async for message in outgoing:
            line = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            try:
                await process.stdin.send(line.encode("utf-8", "replace") + b"\n")
            except _GONE:
                await _ended(process, link)
                return


async def _listen(process: Process, link: Link) -> None:
    assert process.stderr is not None
    try:
        while True:
            link.heard(await process.stderr.receive())
    except _GONE:
        return
