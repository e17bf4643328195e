"""A session: the conversation so far, in memory or in a journal. The only state there is.

Everything appended is in the journal before the call returns, so a process may end at any moment. A session that ends
in unanswered calls is a paused run: the loop answers them before it does anything else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from ..errors import CallerError, InvalidPromptError, SessionError
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
    Message,
    ResponseItem,
    ToolSearchCall,
    ToolSearchOutput,
    checked_items,
    dump_item,
    parse_item,
)
from .compact import Compacted, dump_compacted, load_compacted, safe_cuts
from .estimate import TokenEstimate, estimate_item
from .history import OutputBudget
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
    "compaction": "cmp",
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
        self._open: dict[str, CallItem] | None = {}
        self._started: set[str] = set()
        self._in_turn = False
        self._measured: list[TokenEstimate] = []
        self._compactions: list[Compacted] = []
        self._estimates: dict[OutputBudget | None, TokenEstimate] = {}
        self.usage = Usage()
        self.warnings: tuple[str, ...] = ()
        self.append(*items)

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Session:
        """A new session in a new file. Raises SessionError if the file exists or cannot be written."""
        session = cls()
        session._journal = Journal.create(Path(path), {"id": session.id, "created": _now()})
        return session

    @classmethod
    def resume(cls, path: str | os.PathLike[str]) -> Session:
        """A session from its file. Raises SessionError if there is none, or it is damaged, locked or too new."""
        session = cls()

        def take(record: JsonObject, number: int) -> None:
            session._restore(record, f"line {number} of {str(path)!r}")

        session._journal = journal = Journal.open(Path(path), take)
        if journal.torn:
            session.warnings = (f"the last record of {str(path)!r} was cut off by a crash and set aside",)
        return session

    def fork(self, path: str | os.PathLike[str] | None = None) -> Session:
        """A new session with the same history, in a new file or in memory; from here on they go separate ways.

        It has used nothing yet (`usage` is zero). Calls that are open here are open there and are answered in both, so
        a tool may run in each; one that was started already is run in neither. Raises SessionError if the file exists
        or cannot be written; then none is left behind.
        """
        fork = Session()
        if path is not None:
            header: JsonObject = {"id": fork.id, "created": _now(), "forked_from": self.id}
            fork._journal = Journal.create(Path(path), header)
        try:
            fork._copy(self)
        except BaseException:
            if fork._journal is not None:
                fork._journal.close()
                fork._journal.path.unlink(missing_ok=True)
            raise
        return fork

    @property
    def items(self) -> tuple[ResponseItem, ...]:
        """The conversation as it goes on, in order: what the next prompt is made of. Where it was compacted, it begins
        with what stands for its beginning; `transcript` has that too."""
        if self._view is None:
            last = self._compactions[-1] if self._compactions else None
            self._view = checked_items(self._items if last is None else (*last.items, *self._items[last.replaced :]))
        return self._view

    @property
    def transcript(self) -> tuple[ResponseItem, ...]:
        """Everything that was said and done, in order, whatever was compacted since; what was rolled back is gone."""
        return checked_items(self._items) if self._compactions else self.items

    @property
    def path(self) -> Path | None:
        return self._journal.path if self._journal else None

    def append(self, *items: ResponseItem) -> tuple[ResponseItem, ...]:
        """Add items; each gets an id if it has none, one whose id is already there is skipped. Written on return."""
        added: list[ResponseItem] = []
        for item in items:
            if item.id is None:
                item = _named(item)
            elif item.id in self._ids:
                continue
            if self._journal:
                self._journal.write({"type": "item", "item": dump_item(item)})
            self._take(item)
            added.append(item)
        return tuple(added)

    def rollback(self, turns: int = 1) -> tuple[ResponseItem, ...]:
        """Take back the last user turns: the items they added, in order, no longer part of the conversation.

        A turn begins with a user's message; what came before the first one stays, however many are asked for
        (codex.md 2.6). The file keeps everything: what it gets is a marker. What tools did is not undone, and tokens
        stay spent. Raises SessionError for less than one turn, and while a turn runs.
        """
        if turns < 1:
            raise SessionError(f"cannot roll back {turns} turns", remedy="give the number of turns, at least 1")
        if self._in_turn:
            raise SessionError("cannot roll back while a turn runs", remedy="cancel it, or wait for its end")
        start = self._turn_start(turns)
        if start == len(self._items):
            return ()
        self._note({"type": "rollback", "turns": turns})
        return self._roll_back(start)

    def compact(self, upto: int, items: Sequence[ResponseItem], *, kind: str = "local") -> None:
        """From now on `items` stand for the first `upto` of `self.items`; each gets an id if it has none.

        One record, so it is there whole or not at all. Nothing is lost: `transcript` and the file keep what is
        replaced, and rolling back to before it brings it back. `kind` says how it was made. Whoever calls this has
        chosen a safe cut (session.compact). Raises SessionError where `upto` parts a call from its output.
        """
        before = self.items
        last = self._compactions[-1] if self._compactions else None
        shown = len(last.items) if last is not None else 0
        if not shown <= upto <= len(before) or upto not in safe_cuts(before):
            raise SessionError(f"a history of {len(before)} items cannot be cut before item {upto}")
        replaced = upto - shown + (last.replaced if last is not None else 0)
        named = tuple(item if item.id is not None else _named(item) for item in items)
        self._add_compaction(Compacted(replaced, named, kind, len(self._measured)))

    def output(self, call_id: str) -> FunctionCallOutput | CustomToolCallOutput | None:
        """A whole tool output, by its own id or that of its call; the newest, where a call id was used twice."""
        for item in reversed(self._items):
            if isinstance(item, FunctionCallOutput | CustomToolCallOutput) and call_id in (item.id, item.call_id):
                return item
        return None

    def estimated_tokens(
        self,
        budget: OutputBudget | None = OutputBudget(),  # noqa: B008 - frozen
        *,
        base_tokens: int = 0,
    ) -> int:
        """About how many tokens the next request takes: what the provider counted for the last response, and an
        estimate of what came after. Of outputs, what `budget` shows. Asking again costs what is new.

        Before the first response, and before the first one after a compaction, instructions and tool specs are not in
        it: that is where `base_tokens` are added.
        """
        known = self._estimates.get(budget) or self._counted(budget)
        estimate = self._estimates[budget] = known.over(self._items, budget)
        return estimate.tokens + (0 if estimate.measured else base_tokens)

    def open_calls(self) -> tuple[CallItem, ...]:
        """Calls without an output, in order."""
        if self._open is None:
            self._open = {}
            for item in self._items:
                _follow(self._open, item)
        return tuple(self._open.values())

    def was_started(self, call_id: str) -> bool:
        """A tool was started for this call; with no output recorded, its outcome is unknown."""
        return call_id in self._started

    def tool_started(self, call_id: str) -> None:
        """Note, before it happens, that a tool with side effects starts."""
        self._started.add(call_id)
        self._note({"type": "tool_started", "call_id": call_id})

    def turn_started(self, turn_id: str) -> None:
        """Note that a turn begins. Raises CallerError while another one runs: two would mix their calls and outputs."""
        if self._in_turn:
            raise CallerError(
                "this session is in the middle of a turn", remedy="wait for it, or give each agent its own: fork() it"
            )
        self._note({"type": "turn_started", "turn_id": turn_id})
        self._in_turn = True

    def sample_finished(self, usage: Usage | None) -> None:
        """Note what the provider counted for a response, right after its items were appended; None: it did not say."""
        if usage is not None:
            self._note({"type": "sample_finished", "usage": _dump_usage(usage)})
            self._measure(usage)

    def turn_finished(self, turn_id: str, stop_reason: str, usage: Usage) -> None:
        """Note the end of a turn and bring the file down to the disk."""
        self._in_turn = False
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
        if self._open is not None:
            _follow(self._open, item)
        if isinstance(item, FunctionCall | CustomToolCall | LocalShellCall):
            self._started.discard(item.call_id)

    def _measure(self, usage: Usage) -> None:
        self._measured.append(TokenEstimate().calibrated(usage, len(self._items)))
        self._estimates.clear()

    def _counted(self, budget: OutputBudget | None) -> TokenEstimate:
        """What is known without looking at the newest items: the last count of this history, else its replacement."""
        last = self._compactions[-1] if self._compactions else Compacted(0, ())
        if len(self._measured) > last.measured:
            return self._measured[-1]
        return TokenEstimate(sum(estimate_item(item, budget) for item in last.items), last.replaced)

    def _add_compaction(self, compacted: Compacted) -> None:
        self._note(dump_compacted(compacted, self._items))
        self._take_compaction(compacted)

    def _take_compaction(self, compacted: Compacted) -> None:
        self._compactions.append(compacted)
        self._view = None
        self._estimates.clear()

    def _turn_start(self, turns: int) -> int:
        """Where the last `turns` user turns begin; the end of the items if there is none."""
        start = len(self._items)
        for n in range(start - 1, -1, -1):
            item = self._items[n]
            if isinstance(item, Message) and item.role == "user":
                start = n
                turns -= 1
                if not turns:
                    break
        return start

    def _roll_back(self, start: int) -> tuple[ResponseItem, ...]:
        gone = tuple(self._items[start:])
        del self._items[start:]
        self._view = self._open = None
        self._ids.difference_update(item.id for item in gone if item.id is not None)
        while self._measured and self._measured[-1].items > start:
            self._measured.pop()
        while self._compactions and self._compactions[-1].replaced > start:
            self._compactions.pop()  # what it summarised is no longer what was said
        if self._compactions:
            last = self._compactions[-1]
            self._compactions[-1] = replace(last, measured=min(last.measured, len(self._measured)))
        self._estimates.clear()
        return gone

    def _copy(self, other: Session) -> None:
        """Everything the other remembers of its conversation, in the order a journal has it."""
        measured, compactions = list(other._measured), list(other._compactions)
        for n, item in enumerate(other._items, 1):
            self.append(item)
            while True:
                if compactions and compactions[0].replaced <= n and compactions[0].measured == len(self._measured):
                    self._add_compaction(compactions.pop(0))
                elif len(self._measured) < len(measured) and measured[len(self._measured)].items <= n:
                    self.sample_finished(Usage(input=measured[len(self._measured)].tokens))
                else:
                    break
        for call in self.open_calls():
            if call.call_id is not None and other.was_started(call.call_id):
                self.tool_started(call.call_id)

    def _restore(self, record: JsonObject, where: str) -> None:
        match record.get("type"):
            case "session":
                self.id = str(record.get("id") or self.id)
            case "item":
                try:
                    self._take(parse_item(record.get("item")))
                except InvalidPromptError as error:
                    raise SessionError(f"{where} holds no readable item: {error.message}") from None
            case "tool_started":
                self._started.add(str(record.get("call_id")))
            case "sample_finished":
                self._measure(_load_usage(record.get("usage")))
            case "turn_finished":
                self.usage += _load_usage(record.get("usage"))
            case "compaction":
                self._take_compaction(load_compacted(record, self._items, len(self._measured), where))
            case "rollback":
                turns = record.get("turns")
                if not isinstance(turns, int) or turns < 1:
                    raise SessionError(f"{where} rolls back no number of turns: {turns!r}")
                self._roll_back(self._turn_start(turns))
            case _:
                pass  # a record of a later minor version: it annotates, it holds no conversation


def _follow(calls: dict[str, CallItem], item: ResponseItem) -> None:
    """Keep the calls that have no output yet."""
    match item:
        case FunctionCall() | CustomToolCall() | LocalShellCall():
            calls[item.call_id] = item
        case ToolSearchCall(execution="client", call_id=str(call_id)):
            calls[call_id] = item
        case FunctionCallOutput() | CustomToolCallOutput():
            calls.pop(item.call_id, None)
        case ToolSearchOutput(call_id=str(call_id)):
            calls.pop(call_id, None)
        case _:
            pass


def _named(item: ResponseItem) -> ResponseItem:
    return item.model_copy(update={"id": f"{_PREFIX.get(item.type, 'it')}_{_random()}"})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


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
        **({} if usage.context is None else {"context": usage.context}),
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
        context=count("context") if "context" in record else None,
    )
