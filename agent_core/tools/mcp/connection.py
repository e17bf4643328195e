"""One MCP server for as long as it is wanted: started, listed, asked, started again.

    starting ──► ready ──► reconnecting ──► ready …        a server that is gone, up to `max_restarts` times in a row
        └──► failed ◄───────────┘

One task, `run`, enters and leaves the SDK's contexts; everybody else hands it work through a stream (`ask`). Work that
waits while the server is gone is done when it is back. Work that was under way is answered with a failure: what it did
nobody knows, so it is not done again. The one exception is what an HTTP server refused because it has forgotten our
session: of that it did nothing.
"""

from __future__ import annotations

import contextvars
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import anyio
import anyio.lowlevel

from ...cancellation import being_cancelled, is_cancellation, lone
from ...errors import AgentCoreError, ToolError
from ...redaction import redacted
from .config import McpServer
from .link import Link

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from mcp import Client, types
    from mcp.client._transport import TransportStreams
    from mcp.client.session import ClientRequestContext, IncomingMessage

__all__ = ["Connection", "Elicit", "Elicitation", "ElicitationAnswer", "State"]

T = TypeVar("T")

State = Literal["starting", "ready", "reconnecting", "failed", "closed"]

MAX_TOOLS = 1000
MAX_PAGES = 100
MAX_WAITING = 1000
_STEADY_S = 60.0
"""A connection that lasted this long was a good one: the count of restarts begins anew."""
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_SETTLE_S = 5.0
"""How long an answer waits for the new list of tools that was announced before it."""


@dataclass(frozen=True, slots=True)
class Elicitation:
    """What a server asks the person for in the middle of a call: a form (`schema`), or to go to `url`. The words are
    the server's."""

    server: str
    message: str
    schema: Mapping[str, object] | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class ElicitationAnswer:
    """`content` is the filled-in form, where the person accepts one."""

    action: Literal["accept", "decline", "cancel"] = "decline"
    content: Mapping[str, str | int | float | bool | list[str] | None] | None = None


Elicit: TypeAlias = Callable[[Elicitation], Awaitable[ElicitationAnswer]]


@dataclass(slots=True, eq=False)
class _Job:
    """Work for the owner. `context`: the asker's, so that its trace goes on in what is sent."""

    work: Callable[[Client], Awaitable[None]]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)
    error: Exception | None = None
    begun: bool = False
    again: bool = False

    def finish(self, error: Exception | None = None) -> None:
        self.error = error
        self.done.set()


class Connection:
    """Made inside of an event loop. `listed` are the server's tools as it last named them, filtered; `version` counts
    the lists."""

    def __init__(self, server: McpServer, *, cwd: Path, elicit: Elicit | None) -> None:
        self.server = server
        self.state: State = "starting"
        self.problem: AgentCoreError | None = None
        self.listed: tuple[types.Tool, ...] = ()
        self.version = 0
        self.has_resources = False
        self.settled = anyio.Event()
        """Set when the first start has come to its end, good or bad."""
        self.ended = anyio.Event()
        """Set when `run` is over: nothing of the server is left."""
        self._cwd = server.cwd or cwd
        self._elicit = elicit
        self._closing = anyio.Event()
        self._waiting, self._jobs = anyio.create_memory_object_stream[_Job](MAX_WAITING)
        self._first: list[_Job] = []
        self._tasks: TaskGroup | None = None
        self._current: Client | None = None
        self._relisting: anyio.Event | None = None
        self._stale = False

    async def ask(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Have the owner do `work`. Raises what it raises, or ToolError where it cannot be done or was cut off; a
        cancelled caller cancels it."""
        if self.problem is not None and self.state in ("failed", "closed"):
            raise ToolError(self.problem.message, remedy=self.problem.remedy)
        answer: list[T] = []

        async def run(client: Client) -> None:
            answer.append(await work(client))

        job = _Job(run)
        try:
            self._waiting.send_nowait(job)
        except anyio.WouldBlock:
            raise self._error(f"has {MAX_WAITING} calls waiting", "wait for some of them") from None
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            raise self._error("is closed", "call it inside of the block of its McpServers") from None
        try:
            await job.done.wait()
        except BaseException as cancelled:
            job.scope.cancel()
            cancelled.add_note(self._note(job))
            raise
        if job.error is not None:
            raise job.error
        return answer[0]

    def _note(self, job: _Job) -> str:
        """What a model should know of a call that nobody waits for any more."""
        if job.begun:
            return "the MCP server was told to stop; whether it did is not known"
        return "it was not begun" + (f": {self.problem.message}" if self.problem is not None else "")

    def close(self) -> None:
        """Let `run` come to its end."""
        self._closing.set()

    async def run(self) -> None:
        """The owner: until it is closed, or the server cannot be had any more. Raises nothing but cancellation."""
        restarts = 0
        with self._waiting, self._jobs:
            try:
                while not self._closing.is_set():
                    began, was_ready = anyio.current_time(), self.state == "reconnecting"
                    self.problem = await self._live()
                    was_ready = was_ready or self.state == "ready"
                    restarts = 0 if anyio.current_time() - began >= _STEADY_S else restarts
                    restarts += 1
                    if self._closing.is_set() or not was_ready or restarts > self.server.max_restarts:
                        break
                    self.state = "reconnecting"
                    with anyio.move_on_after(_wait_s(restarts)):
                        await self._closing.wait()
            finally:
                self._end("closed" if self._closing.is_set() else "failed")

    # --- one life of the server --------------------------------------------------------------------------------------

    async def _live(self) -> AgentCoreError:
        """Start the server and serve it until it is gone. Returns why it is."""
        link = Link()
        ready = False
        try:
            limit_s = self.server.startup_timeout_s
            with anyio.CancelScope(deadline=anyio.current_time() + limit_s) as starting:
                async with self._client(link) as client:
                    await self._list(client)
                    starting.deadline = math.inf
                    ready = True
                    self.state, self.problem = "ready", None
                    self.settled.set()
                    await self._serve(client, link)
            reason = f"it was not ready after {limit_s:g} s" if starting.cancelled_caught else link.reason
        except BaseException as error:
            if is_cancellation(error) and being_cancelled():
                raise
            alone = lone(error)
            if isinstance(alone, AgentCoreError):
                return self._error(f"cannot be started: {alone.message}", alone.remedy)
            if not isinstance(alone, Exception) and not is_cancellation(alone):
                raise
            reason = link.reason or link.refusal or _said(alone)
        words = "was lost" if ready else "cannot be started"
        return self._error(f"{words}: {reason or 'it is gone'}{link.last_words()}", _remedy(self.server))

    def _client(self, link: Link) -> Client:
        from importlib.metadata import version

        from mcp import Client, types

        return Client(
            self._transport(link),
            mode="legacy",
            cache=None,
            client_info=types.Implementation(name="agent-core", version=version("agent-core")),
            message_handler=self._told,
            list_roots_callback=self._roots if self.server.roots else None,
            elicitation_callback=self._ask_person if self._elicit is not None else None,
        )

    def _transport(self, link: Link) -> AbstractAsyncContextManager[TransportStreams]:
        server = self.server
        if server.url:
            from .http import streamable_http

            return streamable_http(server.url, headers=server.headers(), max_bytes=server.max_message_bytes, link=link)
        from ..command import child_environment
        from .stdio import stdio

        return stdio(
            [server.command, *server.args],
            cwd=self._cwd,
            env=child_environment(os.environ, inherit=server.env_vars, extra=server.env),
            max_bytes=server.max_message_bytes,
            link=link,
        )

    async def _serve(self, client: Client, link: Link) -> None:
        async with anyio.create_task_group() as tasks:
            self._tasks, self._current = tasks, client

            async def until(event: anyio.Event) -> None:
                await event.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(until, link.lost)
            tasks.start_soon(until, self._closing)
            try:
                for job in self._take_first():
                    job.context.run(tasks.start_soon, self._do, job, client, link)
                async for job in self._jobs:
                    if link.lost.is_set():
                        self._first.append(job)
                        break
                    job.context.run(tasks.start_soon, self._do, job, client, link)
            finally:
                self._tasks = self._current = None

    def _take_first(self) -> list[_Job]:
        first, self._first = self._first, []
        return first

    async def _do(self, job: _Job, client: Client, link: Link) -> None:
        error: Exception | None = None
        whole = False
        try:
            with job.scope:
                job.begun = True
                try:
                    await job.work(client)
                    await self._settle()
                except Exception as raised:  # noqa: BLE001  # whatever it is, it is the asker's
                    error = raised
                whole = True
        finally:
            if error is not None and _is_forgotten(error, link) and not job.again:
                self._do_again(job, link)
            else:
                job.finish(error if whole and not _is_closed(error) else self._cut_off(link))

    def _do_again(self, job: _Job, link: Link) -> None:
        """The server has not looked at it: it is the first of the next connection."""
        job.again, job.begun, job.scope = True, False, anyio.CancelScope()  # a scope is entered once
        self._first.append(job)
        link.lose("it is gone, or has forgotten this session")

    def _cut_off(self, link: Link) -> ToolError:
        why = f" ({link.reason}{link.last_words()})" if link.reason else ""
        return self._error(
            f"was lost during this call{why}; what the call did is not known", "look before you repeat it"
        )

    def _end(self, state: State) -> None:
        """Answer everybody who waits: nothing will be done any more."""
        self.state = state
        if self.problem is None or state == "closed":
            self.problem = self._error("is closed", "call it inside of the block of its McpServers")
        left = self._take_first()
        with suppress(anyio.WouldBlock):
            while True:
                left.append(self._jobs.receive_nowait())
        for job in left:
            job.finish(ToolError(self.problem.message, remedy=self.problem.remedy))
        self.settled.set()
        self.ended.set()

    # --- what the server says by itself ------------------------------------------------------------------------------

    async def _told(self, message: IncomingMessage) -> None:
        from mcp import types

        if isinstance(message, types.ToolListChangedNotification | types.ResourceListChangedNotification):
            self._stale = True
            if self._relisting is None and self._tasks is not None:
                self._relisting = anyio.Event()
                self._tasks.start_soon(self._list_again, self._relisting)

    async def _roots(self, context: ClientRequestContext) -> types.ListRootsResult:
        from mcp import types
        from pydantic import FileUrl

        return types.ListRootsResult(roots=[types.Root(uri=FileUrl(self._cwd.as_uri()), name=self._cwd.name)])

    async def _ask_person(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        from mcp import types

        assert self._elicit is not None
        if isinstance(params, types.ElicitRequestURLParams):
            asked = Elicitation(self.server.name, params.message, url=params.url)
        else:
            asked = Elicitation(self.server.name, params.message, schema=params.requested_schema)
        try:
            answer = await self._elicit(asked)
        except Exception:  # noqa: BLE001  # the caller's; its words are none of the server's business
            return types.ErrorData(code=types.INTERNAL_ERROR, message="the person could not be asked")
        content = dict(answer.content) if answer.content is not None and answer.action == "accept" else None
        return types.ElicitResult(action=answer.action, content=content)

    # --- the list of tools -------------------------------------------------------------------------------------------

    async def _list(self, client: Client) -> None:
        """Raises what the server's refusal is."""
        capabilities = client.server_capabilities
        self.has_resources = await _has_resources(client) if self.server.resources else False
        found: dict[str, types.Tool] = {}
        cursor: str | None = None
        if capabilities.tools is not None:
            for _ in range(MAX_PAGES):
                page = await client.list_tools(cursor=cursor)
                for tool in page.tools:
                    found.setdefault(tool.name, tool)
                if page.next_cursor in (None, cursor) or len(found) >= MAX_TOOLS:
                    break
                cursor = page.next_cursor
        offered = [tool for tool in found.values() if self.server.offers(tool.name)]
        self.listed = tuple(offered[:MAX_TOOLS])
        self.version += 1

    async def _list_again(self, fresh: anyio.Event) -> None:
        """As often as the server has changed its list meanwhile; a list that cannot be had leaves the old one."""
        client = self._current
        try:
            with anyio.move_on_after(self.server.startup_timeout_s):
                while self._stale and client is not None:
                    self._stale = False
                    await self._list(client)
                    self.problem = None
        except Exception as error:  # noqa: BLE001  # the old list stays; calls say what is wrong
            self.problem = self._error(f"changed its tools and does not name them: {_said(error)}", "start it again")
        finally:
            self._relisting = None
            fresh.set()

    async def _settle(self) -> None:
        """An answer that came after news of other tools waits for their list: the next turn should know them."""
        await anyio.lowlevel.checkpoint()  # the news is told by a task of its own, which is about to run
        if self._relisting is not None:
            with anyio.move_on_after(_SETTLE_S):
                await self._relisting.wait()

    def _error(self, what: str, remedy: str) -> ToolError:
        return ToolError(f"MCP server {self.server.name!r} {what}", remedy=remedy)


async def _has_resources(client: Client) -> bool:
    """Whether there are any: many servers say that they could have some."""
    from mcp import MCPError

    if client.server_capabilities.resources is None:
        return False
    with suppress(MCPError):
        if (await client.list_resources()).resources:
            return True
    with suppress(MCPError):
        return bool((await client.list_resource_templates()).resource_templates)
    return False


def _wait_s(restarts: int) -> float:
    """Before the n-th start in a row: at once, then ever longer."""
    return 0.0 if restarts == 1 else min(_FIRST_WAIT_S * 2 ** (restarts - 2), _LONGEST_WAIT_S)


def _is_closed(error: Exception | None) -> bool:
    from mcp import MCPError
    from mcp.types import CONNECTION_CLOSED

    return isinstance(error, MCPError) and error.code == CONNECTION_CLOSED


def _is_forgotten(error: Exception, link: Link) -> bool:
    """Whether a request was not looked at because its session is none: the SDK's words for a 404 to its POST."""
    from mcp import MCPError

    return link.forgotten and isinstance(error, MCPError) and error.message == "Session terminated"


def _said(error: BaseException) -> str:
    words = redacted(str(error)).strip().split("\n")[0][:300]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _remedy(server: McpServer) -> str:
    if server.url:
        return "check its url, its headers, and that it runs"
    return "run its command by hand to see what is wrong; startup_timeout_sec gives it more time"
