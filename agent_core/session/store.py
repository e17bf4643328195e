"""A session: the conversation so far, in memory or in a journal. The only state there is.

Everything appended is in the journal before the call returns, so a process may end at any moment. A session that ends
in unanswered calls is a paused run: the loop answers them before it does anything else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ..errors import InvalidPromptError, SessionError
from ..events import Usage
from ..items import (
    CallItem,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    JsonObject,
    JsonValue,
    LocalShellCall,
    ResponseItem,
    ToolSearchCall,
    ToolSearchOutput,
    dump_item,
    parse_item,
)
from .rollout import Journal

__all__ = ["Session"]

_PREFIX = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "local_shell_call": "lsh",
}


class Session:
    """Items in order, each with an id of ours. `Session()` lives in memory; `create` and `resume` keep a file.

    One writer at a time; not for several threads. Close it (or use it as a context manager) to release its file.
    """

    def __init__(self, *, session_id: str | None = None, items: Iterable[ResponseItem] = ()) -> None:
        self.id = session_id or f"ses_{_random()}"
        self._journal: Journal | None = None
        self._items: list[ResponseItem] = []
        self._ids: set[str] = set()
        self._view: tuple[ResponseItem, ...] | None = ()
        self._open: dict[str, CallItem] = {}
        self._started: set[str] = set()
        self.usage = Usage()
        self.warnings: tuple[str, ...] = ()
        self.append(*items)

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Session:
        """A new session in a new file. Raises SessionError if the file exists or cannot be written."""
        session = cls()
        created = datetime.now(UTC).isoformat(timespec="seconds")
        session._journal = Journal.create(Path(path), {"id": session.id, "created": created})
        return session

    @classmethod
    def resume(cls, path: str | os.PathLike[str]) -> Session:
        """A session from its file. Raises SessionError if there is none, or it is damaged, locked or too new."""
        journal = Journal.open(Path(path))
        try:
            session = cls(session_id=str(journal.records[0].get("id", "")) or None)
            for number, record in enumerate(journal.records[1:], 2):
                session._restore(record, f"line {number} of {str(path)!r}")
        except BaseException:
            journal.close()
            raise
        session._journal = journal
        if journal.torn:
            session.warnings = (f"the last record of {str(path)!r} was cut off by a crash and set aside",)
        journal.records = []
        return session

    @property
    def items(self) -> tuple[ResponseItem, ...]:
        """The whole conversation, in order."""
        if self._view is None:
            self._view = tuple(self._items)
        return self._view

    @property
    def path(self) -> Path | None:
        return self._journal.path if self._journal else None

    def append(self, *items: ResponseItem) -> tuple[ResponseItem, ...]:
        """Add items; each gets an id if it has none, one whose id is already there is skipped. Written on return."""
        added: list[ResponseItem] = []
        for item in items:
            if item.id is None:
                item = item.model_copy(update={"id": f"{_PREFIX.get(item.type, 'it')}_{_random()}"})
            elif item.id in self._ids:
                continue
            if self._journal:
                self._journal.write({"type": "item", "item": dump_item(item)})
            self._take(item)
            added.append(item)
        return tuple(added)

    def open_calls(self) -> tuple[CallItem, ...]:
        """Calls without an output, in order."""
        return tuple(self._open.values())

    def was_started(self, call_id: str) -> bool:
        """A tool was started for this call; with no output recorded, its outcome is unknown."""
        return call_id in self._started

    def tool_started(self, call_id: str) -> None:
        """Note, before it happens, that a tool with side effects starts."""
        self._started.add(call_id)
        self._note({"type": "tool_started", "call_id": call_id})

    def turn_started(self, turn_id: str) -> None:
        self._note({"type": "turn_started", "turn_id": turn_id})

    def turn_finished(self, turn_id: str, stop_reason: str, usage: Usage) -> None:
        """Note the end of a turn and bring the file down to the disk."""
        self.usage += usage
        self._note(
            {"type": "turn_finished", "turn_id": turn_id, "stop_reason": stop_reason, "usage": _dump_usage(usage)}
        )
        if self._journal:
            self._journal.sync()

    def close(self) -> None:
        """Release the file; the items stay readable. Closing twice is fine."""
        if self._journal:
            self._journal.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Session(id={self.id!r}, items={len(self._items)}, path={str(self.path) if self.path else None!r})"

    def _note(self, record: JsonObject) -> None:
        if self._journal:
            self._journal.write(record)

    def _take(self, item: ResponseItem) -> None:
        self._items.append(item)
        self._view = None
        if item.id is not None:
            self._ids.add(item.id)
        match item:
            case FunctionCall() | CustomToolCall() | LocalShellCall():
                self._open[item.call_id] = item
                self._started.discard(item.call_id)
            case ToolSearchCall(execution="client", call_id=str(call_id)):
                self._open[call_id] = item
            case FunctionCallOutput() | CustomToolCallOutput():
                self._open.pop(item.call_id, None)
            case ToolSearchOutput(call_id=str(call_id)):
                self._open.pop(call_id, None)
            case _:
                pass

    def _restore(self, record: JsonObject, where: str) -> None:
        match record.get("type"):
            case "item":
                try:
                    self._take(parse_item(record.get("item")))
                except InvalidPromptError as error:
                    raise SessionError(f"{where} holds no readable item: {error.message}") from None
            case "tool_started":
                self._started.add(str(record.get("call_id")))
            case "turn_finished":
                self.usage += _load_usage(record.get("usage"))
            case _:
                pass  # a record of a later minor version: it annotates, it holds no conversation


def _random() -> str:
    return os.urandom(12).hex()


def _dump_usage(usage: Usage) -> JsonObject:
    return {
        "input": usage.input,
        "cache_read": usage.cache_read,
        "cache_write": usage.cache_write,
        "cache_write_1h": usage.cache_write_1h,
        "output": usage.output,
        "reasoning": usage.reasoning,
    }


def _load_usage(value: JsonValue) -> Usage:
    record = value if isinstance(value, dict) else {}

    def count(name: str) -> int:
        number = record.get(name)
        return number if isinstance(number, int) else 0

    return Usage(
        input=count("input"),
        cache_read=count("cache_read"),
        cache_write=count("cache_write"),
        cache_write_1h=count("cache_write_1h"),
        output=count("output"),
        reasoning=count("reasoning"),
    )
