"""Which calls of a history have no output yet, and for which of them a tool was started.

An output answers a call before it, of its kind and call id; among several, the first of the newest step that has an
open one, as replay pairs them. Servers count `call_0` anew in every response, so calls are told apart by their items'
ids, which are ours: what was started for one is never taken for another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TypeAlias

from ..items import (
    CallItem,
    Compaction,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    LocalShellCall,
    Message,
    ResponseItem,
    ToolSearchCall,
    ToolSearchOutput,
)

__all__ = ["OpenCalls"]

_Key: TypeAlias = tuple[str, str]


class OpenCalls:
    """Feed the items of a history in order; `calls` are those without an output, oldest first."""

    __slots__ = ("_calls", "_groups", "_number", "_step")

    def __init__(self, items: Iterable[ResponseItem] = ()) -> None:
        self._calls: dict[int, CallItem] = {}
        self._groups: dict[_Key, list[tuple[int, deque[int]]]] = {}
        self._number = 0
        self._step = 0
        for item in items:
            self.take(item)

    def __bool__(self) -> bool:
        """Whether any call is open."""
        return bool(self._calls)

    @property
    def calls(self) -> tuple[CallItem, ...]:
        return tuple(self._calls.values())

    def with_call_id(self, call_id: str | None) -> list[CallItem]:
        return [call for call in self._calls.values() if call.call_id == call_id]

    def take(self, item: ResponseItem) -> None:
        """The next item of the history."""
        match item:
            case FunctionCall() | LocalShellCall():
                self._open(("function", item.call_id), item)
            case CustomToolCall():
                self._open(("custom", item.call_id), item)
            case ToolSearchCall(execution="client"):
                self._open(("search", item.call_id or ""), item)
            case FunctionCallOutput():
                self._answer(("function", item.call_id))
            case CustomToolCallOutput():
                self._answer(("custom", item.call_id))
            case ToolSearchOutput(execution="client"):
                self._answer(("search", item.call_id or ""))
            case Message() if item.role != "assistant":
                self._step += 1
            case Compaction():
                self._step += 1
            case _:
                pass

    def _open(self, key: _Key, call: CallItem) -> None:
        self._number += 1
        self._calls[self._number] = call
        groups = self._groups.setdefault(key, [])
        if groups and groups[-1][0] == self._step:
            groups[-1][1].append(self._number)
        else:
            groups.append((self._step, deque((self._number,))))

    def _answer(self, key: _Key) -> None:
        self._step += 1
        groups = self._groups.get(key)
        if not groups:
            return
        waiting = groups[-1][1]
        del self._calls[waiting.popleft()]
        if not waiting:
            groups.pop()
            if not groups:
                del self._groups[key]
