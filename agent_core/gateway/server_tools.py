"""Tools that the gateway runs for its clients: functions and MCP servers, behind any of the three wires.

The model is shown them beside the client's own; what it calls of them is run here and the client never sees it. A name
that the client uses itself is the client's. What is asked about before it runs is refused, unless a rule allows it:
nobody is there to be asked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from types import TracebackType
from typing import Self

from ..errors import ConfigError
from ..items import ToolSearchOutput, UnknownItem
from ..limits import Limits
from ..logs import tools_missing
from ..prompt import CustomToolSpec, HostedToolSpec, Prompt, ToolSpec
from ..tool_policy import ToolPolicy
from ..toolbox import AgentTool, Toolbox, entries_of
from ..tools.base import Tool
from ..tools.hand_back import HandBack
from ..tools.mcp import McpServers
from .asking import Answer, Answerer, Ask, Place, Service
from .server_tools_kept import KeptTurns
from .server_tools_turn import Keep, Kit, ToolTurn

__all__ = ["LIMITS", "ServerTools"]

MAX_TURNS = 10
MAX_CALLS = 16
"""In one answer (behaviours.md S0-51)."""
DEADLINE_S = 900.0
"""Of a whole request: what is told takes its time, too (behaviours.md S0-75)."""
LIMITS = Limits(max_turns=MAX_TURNS, deadline_s=DEADLINE_S, max_calls_per_sample=MAX_CALLS, max_repeats=2, max_failed=3)
"""Of one request. A client waits for it, and sees nothing of what goes wrong: less than a turn of an agent gets."""
TIMEOUT_S = 30.0
"""For tools that name none (behaviours.md S0-51)."""


class ServerTools(Service):
    """`tools`: functions, Tools, and tool sets such as `McpServers`, which is opened and closed with the gateway.

    `policy`: rules by name, the first that matches counts. `allow`: it runs; `deny`: it is not offered; `hand_back`: it
    is offered, and the client runs it. Where none matches, a tool that asks for approval is refused.

    `limits` are those of one request: after `max_turns` answers with calls, or when a guard says stop, the model is
    asked for an answer without any; after `deadline_s` the client gets an error. `models`: which names (as clients use
    them) get the tools, as patterns. `kept`: where turns wait that a client has to answer a part of.
    """

    place = Place.TOOLS

    def __init__(
        self,
        tools: Sequence[AgentTool],
        *,
        policy: ToolPolicy | None = None,
        limits: Limits = LIMITS,
        timeout_s: float = TIMEOUT_S,
        models: Sequence[str] = ("*",),
        kept: KeptTurns | None = None,
    ) -> None:
        if timeout_s <= 0:
            raise ConfigError(f"timeout_s must be above 0, got {timeout_s!r}")
        self._entries = entries_of(tools)
        self._toolbox = Toolbox(self._entries, tuple)
        self._policy = policy or ToolPolicy()
        self._limits = limits
        self._timeout_s = timeout_s
        self._models = tuple(models)
        self._kept = KeptTurns() if kept is None else kept
        self._open = AsyncExitStack()

    def __repr__(self) -> str:
        named = (entry.spec.name if isinstance(entry, Tool) else repr(entry) for entry in self._entries)
        return f"ServerTools({', '.join(named)})"

    def around(self, inner: Answerer) -> Answerer:
        return _Around(self, inner)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._kept.aclose)
            stack.push_async_callback(self._toolbox.aclose)
            for entry in self._entries:
                if isinstance(entry, AbstractAsyncContextManager):
                    await stack.enter_async_context(entry)
                if isinstance(entry, McpServers):
                    _tell(entry)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def equipped(self, ask: Ask) -> tuple[Ask, Kit | None]:
        """The request with what is kept of its history, and what it has of the tools."""
        items = await self._kept.put_back(ask.caller.name, ask.prompt.items)
        if items is not ask.prompt.items:
            ask = ask.with_prompt(replace(ask.prompt, items=items))
        return ask, await self._kit(ask.prompt)

    def keeper(self, ask: Ask) -> Keep:
        """What is told of a turn that the client has to answer a part of."""
        return partial(self._kept.keep, ask.caller.name, ask.prompt.items)

    async def _kit(self, prompt: Prompt) -> Kit | None:
        if prompt.tool_choice == "none" or not any(fnmatchcase(prompt.model, pattern) for pattern in self._models):
            return None
        await self._toolbox.refresh(tuple)
        theirs = {spec.name for spec in prompt.tools if not isinstance(spec, HostedToolSpec)}
        offered: list[ToolSpec | CustomToolSpec] = []
        run: list[Tool] = []
        for tool, spec in zip(self._toolbox.tools, self._toolbox.specs, strict=True):
            action = self._policy.action_for(spec.name)
            if spec.name in theirs:
                continue
            if action != "deny":
                offered.append(spec)
            # What is denied is not offered; one that is called all the same is told so.
            if action != "hand_back" and not isinstance(tool, HandBack):
                run.append(tool)
        if not offered:
            return None
        names = frozenset(tool.spec.name for tool in run)
        return Kit(
            tools=run,
            specs=offered,
            policy=self._policy,
            limits=self._limits,
            timeout_s=self._timeout_s,
            alone=not _has_tools(prompt) and all(spec.name in names for spec in offered),
            names=names,
        )


class _Around:
    def __init__(self, service: ServerTools, inner: Answerer) -> None:
        self._service = service
        self._inner = inner

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        ask, kit = await self._service.equipped(ask)
        if kit is None:
            answering = self._inner.answer(ask)
        else:
            answering = ToolTurn(self._inner, ask, kit, self._service.keeper(ask)).answer()
        async with answering as answer:
            yield answer


def _has_tools(prompt: Prompt) -> bool:
    """Whether the client has tools: some give theirs, or more of them, as items (codex.md 1.3)."""
    return bool(prompt.tools) or any(isinstance(item, UnknownItem | ToolSearchOutput) for item in prompt.items)


def _tell(servers: McpServers) -> None:
    """Say which servers could not be started: clients will not miss tools that they know nothing of."""
    for status in servers.status():
        if status.problem is not None:
            tools_missing(status.name, type(status.problem).__name__)
