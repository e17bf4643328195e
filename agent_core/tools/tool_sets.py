"""Tools that come and go: what gives them, and those a request shows only once they were found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from ..errors import CallerError
from .base import Tool

__all__ = ["Deferred", "GiveTools", "ToolSet", "tool_set"]


@runtime_checkable
class ToolSet(Protocol):
    """Gives tools that may change: those of an MCP server, or of what a user may do. An agent takes it among its tools.

    `tools` is called before every request, so it must be quick, and should give the same objects while nothing changed:
    prompt caches live on that. The tools it gives are those the response may call. An exception ends the turn.
    """

    def tools(self) -> Sequence[Tool] | Awaitable[Sequence[Tool]]: ...


GiveTools: TypeAlias = Callable[[], Sequence[Tool] | Awaitable[Sequence[Tool]]]


class _FunctionSet:
    def __init__(self, give: GiveTools) -> None:
        self._give = give

    def __repr__(self) -> str:
        return f"tool_set({getattr(self._give, '__name__', self._give)})"

    def tools(self) -> Sequence[Tool] | Awaitable[Sequence[Tool]]:
        return self._give()


def tool_set(give: GiveTools) -> ToolSet:
    """A tool set of a function, plain or async: `@tool_set`."""
    return _FunctionSet(give)


class Deferred:
    """Tools and tool sets an agent shows only once the model has found them with `tool_search`, which it gets then:
    `Agent(…, tools=[add, Deferred(servers)])`. For one function tool there is `@tool(deferred=True)`."""

    def __init__(self, *entries: Tool | ToolSet) -> None:
        for entry in entries:
            if not isinstance(entry, Tool | ToolSet):
                raise CallerError(f"{entry!r:.100} is neither a tool nor a tool set", remedy="use @tool for a function")
        self.entries = entries

    def __repr__(self) -> str:
        return f"Deferred({', '.join(map(repr, self.entries))})"
