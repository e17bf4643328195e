"""The tools of an agent, as they are now: those it was given, those its tool sets give, those the model has found.

Requests and the dispatcher read the same list, so what a response may call is what its request showed. The list keeps
its order: what stays stands where it stood, what is new comes last, and nothing changes where nothing changed: the
requests of a conversation go on with the same bytes, and prompt caches hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from inspect import isawaitable
from typing import TypeAlias, cast

from msgspec.structs import replace

from .errors import CallerError
from .items import ResponseItem
from .prompt import CustomToolSpec, ToolSpec
from .session import OutputBudget, Session
from .tools.base import ClosingTool, Tool
from .tools.read_output import ReadOutput
from .tools.tool_search import FoundTools, ToolSearch
from .tools.tool_sets import Deferred, ToolSet

__all__ = ["AgentTool", "Entry", "Toolbox", "entries_of", "with_reader"]

Entry: TypeAlias = Tool | ToolSet | Deferred
AgentTool: TypeAlias = Entry | Callable[..., object] | ToolSpec | CustomToolSpec
"""What an agent takes as a tool; a spec alone is a tool somebody else runs."""


class Toolbox:
    """`hold` is applied to tools as they come: what the agent's sandbox makes of them. `tools` and `specs` are what
    `refresh` last made of it all; before the first time, of the tools that do not change."""

    def __init__(self, entries: Sequence[Entry], hold: Callable[[Sequence[Tool]], tuple[Tool, ...]]) -> None:
        self._entries = entries
        self._hold = hold
        self._held: dict[int, tuple[Tool, Tool]] = {}
        self._specs: dict[str, ToolSpec] = {}
        self._deferred: tuple[ToolSpec, ...] = ()
        self._search = ToolSearch(lambda: self._deferred)
        self._found = FoundTools()
        self.tools: tuple[Tool, ...] = ()
        self.specs: tuple[ToolSpec | CustomToolSpec, ...] = ()
        self.changes = any(not isinstance(entry, Tool) for entry in entries)
        given = [(entry, False, "") for entry in entries if isinstance(entry, Tool)]
        self._arrange(given, ())
        self.changes = self.changes or bool(self._deferred)
        self._asked = False

    async def refresh(self, transcript: Callable[[], Sequence[ResponseItem]]) -> bool:
        """Look again; whether `tools` changed. Raises CallerError for two tools of one name and for what is no tool."""
        if not self.changes:
            return False
        given: list[tuple[Tool, bool, str]] = []
        for entry in self._entries:
            deferred = isinstance(entry, Deferred)
            for each in entry.entries if isinstance(entry, Deferred) else (entry,):
                if isinstance(each, Tool):
                    given.append((each, deferred, ""))
                else:
                    given += [(tool, deferred, f" of {each!r:.100}") for tool in await _given_by(each)]
        if not self._asked:  # the order is that of the entries, in every process
            self._asked, self.tools = True, ()
        return self._arrange(given, self._found.of(transcript()))

    async def aclose(self) -> None:
        """Close the tools that keep something, also those not shown; each, whatever becomes of another."""
        async with AsyncExitStack() as stack:
            for _, held in self._held.values():
                if isinstance(held, ClosingTool):
                    stack.push_async_callback(held.aclose)

    def _arrange(self, given: Sequence[tuple[Tool, bool, str]], found: Sequence[str]) -> bool:
        direct: dict[str, Tool] = {}
        behind: dict[str, Tool] = {}
        deferred: list[ToolSpec] = []
        self._held = {id(tool): (tool, self._as_held(tool)) for tool, _, _ in given}
        for tool, hidden, source in given:
            spec, held = tool.spec, self._held[id(tool)][1]
            if spec.name in direct or spec.name in behind:
                raise CallerError(f"two tools are called {spec.name!r}{source}", remedy="rename or remove one of them")
            if isinstance(spec, ToolSpec) and (hidden or spec.deferred):
                behind[spec.name] = held
                deferred.append(spec)
            else:
                direct[spec.name] = held
        if deferred:
            if ToolSearch.name in direct or ToolSearch.name in behind:
                raise CallerError(
                    f"two tools are called {ToolSearch.name!r}: it finds deferred tools", remedy="rename yours"
                )
            direct[ToolSearch.name] = self._search
        self._deferred = tuple(deferred)
        direct.update((name, behind[name]) for name in found if name in behind)
        names = [tool.spec.name for tool in self.tools]
        stay = [name for name in names if name in direct]
        tools = tuple(direct[name] for name in (*stay, *(name for name in direct if name not in names)))
        specs = tuple(self._spec_of(tool) for tool in tools)
        if tools == self.tools and specs == self.specs:
            return False
        self.tools, self.specs = tools, specs
        return True

    def _as_held(self, tool: Tool) -> Tool:
        """The same object for the same tool."""
        known = self._held.get(id(tool))
        return self._hold((tool,))[0] if known is None or known[0] is not tool else known[1]

    def _spec_of(self, tool: Tool) -> ToolSpec | CustomToolSpec:
        """As requests show it: the same object as long as it says the same, for codecs keep what they wrote of it."""
        spec = tool.spec
        if not isinstance(spec, ToolSpec):
            return spec
        shown = replace(spec, deferred=False) if spec.deferred else spec
        if self._specs.get(spec.name) != shown:
            self._specs[spec.name] = shown
        return self._specs[spec.name]


async def _given_by(entry: ToolSet) -> Sequence[Tool]:
    given: object = entry.tools()
    if isawaitable(given):
        given = await given
    listed = list(cast("Sequence[object]", given)) if isinstance(given, (list, tuple)) else [None]
    tools = [tool for tool in listed if isinstance(tool, Tool)]
    if len(tools) != len(listed):
        raise CallerError(
            f"{entry!r:.100} gave {given!r:.100}, which is no list of tools", remedy="give @tool functions or Tools"
        )
    return tools


def entries_of(tools: Sequence[AgentTool]) -> tuple[Entry, ...]:
    """What the caller gave, functions as tools. Raises CallerError for what is none."""
    given: object = tools
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise CallerError(f"tools must be a list, got {tools!r:.100}", remedy="pass tools=[…], also for one tool")
    return tuple(_entry_of(entry) for entry in tools)


def _entry_of(entry: AgentTool) -> Entry:
    if isinstance(entry, Tool | Deferred):
        return entry
    if isinstance(entry, ToolSpec | CustomToolSpec):
        from .tools.hand_back import HandBack

        return HandBack(entry)
    if isinstance(entry, ToolSet) and callable(entry.tools):
        return entry
    if not callable(entry):
        raise CallerError(
            f"{entry!r:.100} is no tool", remedy="pass functions, @tool functions, Tool objects or tool sets"
        )
    from .tools.function import tool

    return tool(entry)


def with_reader(entries: tuple[Entry, ...], session: Session, budget: OutputBudget | None) -> tuple[Entry, ...]:
    """The entries and, if they make outputs that are cut, `read_output` over this session. One the caller brings, or
    another tool of that name, stays the only one."""
    if budget is None:
        return entries
    if not isinstance(budget, OutputBudget):
        raise CallerError(f"output_budget must be an OutputBudget or None, got {budget!r}")
    named = any(isinstance(entry, Tool) and entry.spec.name == ReadOutput.name for entry in entries)
    if not entries or named:
        return entries
    return (*entries, ReadOutput(session.output, max_bytes=budget.max_bytes, max_lines=budget.lines))
