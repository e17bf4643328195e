"""What a session knows, without its file: items, open calls, measures, and how each record of a journal changes them.

A session changes its state and writes the record that says so; reading a file applies the records. Both come out the
same. Nothing here waits, opens or writes.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from ..approvals import Decision, Rule
from ..errors import InvalidPromptError, SessionError
from ..events import Usage
from ..items import (
    CallItem,
    CallOutputItem,
    CustomToolCallOutput,
    FunctionCallOutput,
    GhostSnapshot,
    JsonObject,
    Message,
    ResponseItem,
    ToolSearchOutput,
    checked_items,
    parse_item,
)
from .calls import OpenCalls
from .compact import Compacted, load_compacted
from .estimate import TokenEstimate, estimate_item
from .history import OutputBudget
from .records import ParentCall, count_of, load_rule, load_usage, text_at
from .waiting import Waiting, load_decision, load_waiting

__all__ = ["SessionState"]


class SessionState:
    """The conversation so far. `items` is all of it, whatever was compacted; `places` says where each stands, by id;
    `turns` counts its user turns, `left_out` the secrets its file does not hold, `rules` is what need not be asked. Of
    a paused run, by the call's id: `waiting`, what is waited for, and `held`, outputs that stand behind a call that has
    none yet."""

    __slots__ = (
        "_at_rest", "_calls", "_estimates", "_view", "compactions", "held", "id", "items", "labels", "left_out",
        "measured", "model", "parent", "places", "rules", "started", "turns", "unended", "usage", "waiting",
    )  # fmt: skip

    def __init__(self, session_id: str) -> None:
        self.id = session_id
        self.labels: Mapping[str, str] = {}
        self.parent = ParentCall()
        self.items: list[ResponseItem] = []
        self.places: dict[str, int] = {}
        self.compactions: list[Compacted] = []
        self.started: set[str] = set()
        self.rules: dict[Rule, None] = {}
        self.waiting: dict[str, Waiting] = {}
        self.held: dict[str, CallOutputItem] = {}
        self.model = ""
        self.turns = 0
        self.left_out = 0
        self.usage = Usage()
        self.unended: Usage | None = None
        self.measured: list[TokenEstimate] = []
        self._estimates: dict[OutputBudget | None, TokenEstimate] = {}
        self._view: tuple[ResponseItem, ...] | None = ()
        self._calls: OpenCalls | None = OpenCalls()
        self._at_rest: set[int] = set()

    @property
    def view(self) -> tuple[ResponseItem, ...]:
        """The items, and where they were compacted what stands for them; the same tuple until they change."""
        if self._view is None:
            last = self.compacted
            kept = self.items[last.replaced :] if last.replaced else self.items
            self._view = checked_items((*last.items, *kept) if self.compactions else kept)
        return self._view

    @property
    def compacted(self) -> Compacted:
        """The newest compaction; one of nothing, if there is none."""
        return self.compactions[-1] if self.compactions else Compacted(0, ())

    @property
    def open_calls(self) -> OpenCalls:
        if self._calls is None:
            self._calls = OpenCalls(self.items)
        return self._calls

    @property
    def awaits_answer(self) -> bool:
        if self.open_calls.calls:
            return True
        last = next((item for item in reversed(self.items) if not isinstance(item, GhostSnapshot)), None)
        if isinstance(last, Message):
            return last.role != "assistant"
        return isinstance(last, FunctionCallOutput | CustomToolCallOutput | ToolSearchOutput)

    def take(self, item: ResponseItem) -> None:
        if item.id is not None:
            self.places[item.id] = len(self.items)
        self.items.append(item)
        self._view = None
        if self._calls is not None:
            self._calls.take(item)
        if _begins_turn(item):
            self.turns += 1
            if self._calls is not None and not self._calls:
                self._at_rest.add(len(self.items) - 1)
            else:
                self._at_rest.discard(len(self.items) - 1)

    def start_of(self, turns: int) -> int:
        """Where the last user turns begin; at least one, at most `self.turns`."""
        start, left = len(self.items), turns
        while start and left:
            start -= 1
            left -= _begins_turn(self.items[start])
        return start

    def roll_back(self, turns: int) -> tuple[ResponseItem, ...]:
        """Take the last user turns off the end."""
        start = self.start_of(turns)
        gone = tuple(self.items[start:])
        del self.items[start:]
        self.turns -= turns
        self._view = None
        # Before most turns no call was open, and that needs no looking through the whole history.
        self._calls = OpenCalls() if start in self._at_rest else None
        for item in gone:
            self.places.pop(item.id or "", None)
        while self.measured and self.measured[-1].items > start:
            self.measured.pop()
        while self.compactions and self.compactions[-1].replaced > start:
            self.compactions.pop()  # what it summarised is no longer what was said
        if self.compactions:
            last = self.compactions[-1]
            self.compactions[-1] = replace(last, measured=min(last.measured, len(self.measured)))
        self._estimates.clear()
        return gone

    def measure(self, usage: Usage) -> None:
        """What the provider counted for the response that ends here."""
        self.measured.append(TokenEstimate().calibrated(usage, len(self.items)))
        self._estimates.clear()

    def take_compaction(self, compacted: Compacted) -> None:
        self.compactions.append(compacted)
        self._view = None
        self._estimates.clear()

    def drop_compaction(self) -> None:
        """The newest one no longer counts; what a provider counted since was of a history it had shortened."""
        last = self.compactions.pop()
        del self.measured[last.measured :]
        self._view = None
        self._estimates.clear()

    def estimate(self, budget: OutputBudget | None) -> TokenEstimate:
        known = self._estimates.get(budget) or self._counted(budget)
        estimate = self._estimates[budget] = known.over(self.items, budget)
        return estimate

    def _counted(self, budget: OutputBudget | None) -> TokenEstimate:
        """What is known without looking at the newest items: the last count of this history, else its replacement."""
        last = self.compacted
        if len(self.measured) > last.measured:
            return self.measured[-1]
        return TokenEstimate(sum(estimate_item(item, budget) for item in last.items), last.replaced)

    def identity(self, call: CallItem) -> str:
        """The id of a call's item: call ids are the model's, and repeat. A call that has none yet is the first open
        one of its call id."""
        if call.id is not None:
            return call.id
        named = self.open_calls.with_call_id(call.call_id)
        return next((found.id for found in named if found.id is not None), call.call_id or "")

    def decide(self, item_id: str, decision: Decision) -> None:
        """The answer to what a call waits for."""
        waiting = self.waiting.get(item_id) or Waiting("deferred")
        self.waiting[item_id] = replace(waiting, decision=decision)

    def waits(self) -> int:
        """How many calls wait for somebody: the run is paused."""
        known = [(self.waiting.get(call.id or ""), call.id in self.held) for call in self.open_calls.calls]
        return sum(one is not None and one.decision is None and not held for one, held in known)

    def end_reading(self) -> None:
        """After the last record: a turn whose end is missing was cut off, and took what its responses took."""
        if self.unended is not None:
            self.usage += self.unended
        self.unended = None

    def apply(self, record: JsonObject, where: str) -> None:
        """What a record of a journal changes. Raises SessionError for one that cannot be, naming `where`."""
        match record.get("type"):
            case "session":
                self.id = text_at(record, "id") or self.id
                self.model = text_at(record, "model")
                self.parent = ParentCall(text_at(record, "parent"), text_at(record, "parent_call"))
                labels = record.get("labels")
                self.labels = {k: str(v) for k, v in labels.items()} if isinstance(labels, dict) else {}
            case "item":
                self._apply_item(record, where)
            case "tool_started":
                self._apply_start(record)
            case "call_waits":
                self.waiting[text_at(record, "item_id")] = load_waiting(record)
            case "call_decided":
                self._apply_decision(text_at(record, "item_id"), load_decision(record))
            case "output_held":
                self._apply_held(record, where)
            case "turn_started":
                self.end_reading()
                self.unended = Usage()
                self.model = text_at(record, "model") or self.model
            case "sample_finished":
                usage = load_usage(record.get("usage"))
                self.measure(usage)
                self.unended = None if self.unended is None else self.unended + usage
            case "spent":
                self.unended = None if self.unended is None else self.unended + load_usage(record.get("usage"))
            case "turn_finished":
                self._apply_end(record)
            case "rollback":
                turns = record.get("turns")
                if type(turns) is not int or turns < 1:
                    raise SessionError(f"{where} rolls back no number of turns: {turns!r}")
                self.roll_back(min(turns, self.turns))
            case "compaction":
                self.take_compaction(load_compacted(record, self.items, self.places, len(self.measured), where))
            case "uncompaction":
                if not self.compactions:
                    raise SessionError(f"{where} takes back a compaction, and there is none")
                self.drop_compaction()
            case "approval_rule":
                if (rule := load_rule(record.get("rule"))) is not None:
                    self.rules[rule] = None
            case "approval_rule_revoked":
                if (rule := load_rule(record.get("rule"))) is not None:
                    self.rules.pop(rule, None)
            case "lost":
                self.rules.clear()  # one of them may have taken a rule back
                # One of the lost records may have said that a tool was started.
                self.started.update(call.id for call in self.open_calls.calls if call.id is not None)
            case _:
                pass  # a record of a later minor version: it annotates, it holds no conversation

    def _apply_decision(self, item_id: str, decision: Decision) -> None:
        """A file may come from somebody else: nothing leaves the sandbox because of what stands in one."""
        waiting = self.waiting.get(item_id)
        escalated = waiting is not None and waiting.request is not None and waiting.request.escalated
        if not (decision.approved and escalated):
            self.decide(item_id, decision)

    def _apply_item(self, record: JsonObject, where: str) -> None:
        self.take(_item_of(record, where))
        self.left_out += count_of(record, "redacted")

    def _apply_held(self, record: JsonObject, where: str) -> None:
        item = _item_of(record, where)
        if isinstance(item, FunctionCallOutput | CustomToolCallOutput | ToolSearchOutput):
            self.held[text_at(record, "item_id")] = item

    def _apply_end(self, record: JsonObject) -> None:
        """The totals know more than the turn: what a turn took whose end could not be written."""
        totals = record.get("totals")
        if isinstance(totals, dict) and "usage" in totals:
            self.usage = load_usage(totals["usage"])
        else:
            self.usage += load_usage(record.get("usage"))
        self.unended = None

    def _apply_start(self, record: JsonObject) -> None:
        item_id = text_at(record, "item_id")
        if item_id:
            self.started.add(item_id)
            return
        # Format 1 has call ids alone: then every open call of that id may be meant.
        named = self.open_calls.with_call_id(text_at(record, "call_id"))
        self.started.update(call.id for call in named if call.id is not None)


def _item_of(record: JsonObject, where: str) -> ResponseItem:
    try:
        return parse_item(record.get("item"))
    except InvalidPromptError as error:
        raise SessionError(f"{where} holds no readable item: {error.message}") from None


def _begins_turn(item: ResponseItem) -> bool:
    return isinstance(item, Message) and item.role == "user"
