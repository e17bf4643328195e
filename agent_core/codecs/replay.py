"""Replay: history items → what one wire and model may legally see again, plus a report of every repair. Pure.

A history may have been cut by a cancel or a crash, trimmed, edited, or made on another wire; a server accepts none of
that (pains.md 1, 2, 12). Three looks, each leaving alone what the one before it has settled:

    1  each item alone             characters, arguments, names, media, kinds the wire lacks, items of other origins
    2  calls and outputs           one output per call, by position; the rest are orphans
    3  each step (replay_step)     order, reasoning beside its item, repeated text, ids, outputs

Whole steps that all three would leave as they are pass without them (replay_plain).

A *step* is a maximal run of items the model made. It ends where something of ours follows that is sent: a message, or
the output of one of its own calls. What comes out of a step:

    chat        messages and reasoning in their order, then the calls, then one output per call in call order
    messages    the model's order; if a message follows a call, all that is no call goes first; then the outputs
    responses   the model's order, then the outputs; for servers with `calls_last` as on messages

Reasoning stands directly before the item it belongs to: the next one of its step, else (chat, messages) the last one.
On chat neighbouring reasonings are joined; a codec that writes a step as one message joins what is left.

Replaying what was replayed changes nothing and reports nothing. A longer history gives the same items for its prefix,
except for reasoning of what was then the last turn, and for calls that were then open. Linear in items and text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

from ..items import (
    CallItem,
    CallOutputItem,
    ResponseItem,
    WireName,
    user_message,
)
from .base import Compat, Repair, RepairKind
from .replay_items import ItemFitter
from .replay_pairs import CallIds, Pairing, call_with_id, output_with_id, place_of, synthetic_output
from .replay_plain import PlainRun, PlainRuns
from .replay_step import Arranger, Entry, Step

__all__ = ["Replayed", "Replayer", "replay"]

_OPENING = "(The conversation continues.)"

_Mark: TypeAlias = tuple[int, int, int, bool]
"""How many items, repairs and call ids were written before a step, and whether a user message was."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Items in an order every server of the wire accepts, and what was changed to get there, by item index.

    An item that was not repaired is the very object that came in.
    """

    items: tuple[ResponseItem, ...]
    repairs: tuple[Repair, ...] = ()


def replay(
    items: Sequence[ResponseItem], *, wire: WireName, model: str, compat: Compat, mend: bool = False
) -> Replayed:
    """What `model` on `wire` may see of `items`. Raises ConfigError where `compat` allows no call ids, and unless it is
    to `mend` them InvalidPromptError for items that no server takes."""
    replayer = Replayer(wire=wire, model=model, compat=compat, mend=mend)
    replayer.feed(items)
    replayer.settle()
    return Replayed(tuple(replayer.items), replayer.repairs())


class Replayer:
    """Replay of a history that grows: `feed` items as they come, `settle`, and `items` is what may be sent of them all.

    Nothing that was fed is looked at again. Of what was written, two things can change, and then it is written again
    from the first step they touch: a late output answers a call of an earlier step, or a new user message makes the
    reasoning before it that of an earlier turn. The step that is still open is always written again.
    """

    __slots__ = (
        "_arranger",
        "_calls_go_last",
        "_compat",
        "_fitter",
        "_ids",
        "_judged",
        "_judges",
        "_keeps_reasoning",
        "_kept",
        "_last_user",
        "_marks",
        "_open",
        "_opened",
        "_pairing",
        "_plain",
        "_repairs",
        "_seen",
        "_steps",
        "_unwritten",
        "_wire",
        "items",
    )

    def __init__(self, *, wire: WireName, model: str, compat: Compat, mend: bool = False) -> None:
        self.items: list[ResponseItem] = []
        """What may be sent, as of the last `settle`. Not to be changed by others."""
        self._seen: list[Repair] = []
        self._repairs: list[Repair] = []
        self._fitter = ItemFitter(wire=wire, model=model, compat=compat, repairs=self._seen, mend=mend)
        self._pairing = Pairing()
        self._ids = CallIds(wire=wire, compat=compat)
        self._wire: WireName = wire
        self._compat = compat
        # behaviours.md S1-6, T-B5: Chat servers want the reasoning of the current turn, unless they insist on all.
        every_turn = wire != "chat" or compat.reasoning_always_present
        self._keeps_reasoning = every_turn and compat.reasoning_replay == "always"
        self._calls_go_last = wire != "responses" or compat.calls_last
        self._judges = compat.reasoning_replay != "never" and not self._keeps_reasoning
        self._arranger = Arranger(
            wire=wire,
            compat=compat,
            keeps_reasoning=self._keeps_reasoning,
            ids=self._ids,
            repairs=self._repairs,
        )
        self._kept: list[Entry | None] = []
        self._steps: list[Step | PlainRun] = []
        self._open: Step | None = None
        # Where items go by their provider's ids, each is looked at: none may go twice.
        self._plain: PlainRuns | None = None
        if not (wire == "responses" and compat.send_item_ids):
            self._plain = PlainRuns(
                wire=wire,
                compat=compat,
                ids=self._ids,
                called=self._pairing.functions,
                # On chat, reasoning becomes a member of another item's message.
                is_plain_reasoning=self._fitter.is_plain_reasoning
                if self._keeps_reasoning and wire != "chat"
                else None,
            )
        self._marks: list[_Mark] = []  # where each written step begins
        self._unwritten = 0  # the first step to write
        self._judged: int | None = None  # the first step whose reasoning is there because its turn is the current one
        self._last_user = -1
        self._opened = wire != "messages"

    def feed(self, items: Sequence[ResponseItem]) -> None:
        at, end = 0, len(items)
        while at < end:
            step = self._open
            if self._plain is not None and (step is None or 0 < step.calls == step.answers):
                run = self._plain.take(items, at, len(self._kept), spoken=self._last_user >= 0)
                if run is not None:
                    self._pass(run)
                    at += len(run.items)
                    continue
            self._look_at(items[at])
            at += 1

    def _pass(self, run: PlainRun) -> None:
        """Take what needs no look."""
        if self._open is not None:
            self._open.end = run.start
            self._open = None
        self._kept += [None] * len(run.items)
        self._steps.append(run)
        if run.last_user >= 0:
            self._spoke(run.last_user)

    def _look_at(self, item: ResponseItem) -> None:
        kept = self._kept
        index = len(kept)
        fitted = self._fitter.fit(index, item)
        if fitted is None:
            kept.append(None)
            return
        place = place_of(fitted)
        self._pairing.feed(index, item, place)
        entry = (index, place, fitted)
        if place != "output":
            kept.append(entry)
            if place == "other":
                self._ours(entry)
            else:
                self._made(entry)
            return
        call = self._pairing.calls.get(index)
        kept.append(None if call is None else entry)  # None: an orphan
        if call is not None:
            self._answered(call)

    def settle(self) -> int:
        """Bring `items` up to date. Returns how many of them, from the start, are the objects they were before.

        Raises ConfigError where the profile leaves no call id; the replayer is of no use then.
        """
        first = self._unwritten
        if first < len(self._marks):
            written, repairs, ids, self._opened = self._marks[first]
            del self.items[written:], self._repairs[repairs:], self._marks[first:]
            self._ids.forget(ids)
        unchanged = len(self.items)
        for step in self._steps[first:]:
            self._marks.append((len(self.items), len(self._repairs), len(self._ids), self._opened))
            if isinstance(step, PlainRun):
                self._write_run(step)
            elif step.is_ours:
                item = step.entries[0][2]
                self._opened = self._opened or (item.type == "message" and item.role == "user")
                self.items.append(item)
            else:
                self._write_step(step)
        self._unwritten = len(self._steps) - (self._open is not None)
        return unchanged

    def repairs(self) -> tuple[Repair, ...]:
        """Every repair of what was fed, by item index; as of the last `settle`."""
        repairs = [*self._seen, *self._pairing.orphan_repairs(), *self._repairs]
        repairs.sort(key=_item_index)
        return tuple(repairs)

    def _answered(self, call: int) -> None:
        step = self._open
        if step is not None and call >= step.start:
            step.answers += 1
        else:
            late = bisect_right(self._steps, call, key=_start) - 1
            self._unwritten = min(self._unwritten, late)

    def _ours(self, entry: Entry) -> None:
        index, _, item = entry
        if self._open is not None:
            self._open.end = index
            self._open = None
        self._steps.append(Step(entry, is_ours=True))
        if item.type == "message" and item.role == "user":
            self._spoke(index)

    def _spoke(self, index: int) -> None:
        """A message of the user's begins a turn."""
        self._last_user = index
        if self._judged is not None:
            self._unwritten = min(self._unwritten, self._judged)
            self._judged = None

    def _made(self, entry: Entry) -> None:
        step = self._open
        if step is None or step.answers:
            if step is not None:
                step.end = entry[0]
            step = self._open = Step(entry)
            self._steps.append(step)
        else:
            step.entries.append(entry)
        item = entry[2]
        if entry[1] == "call":
            step.calls += 1
        elif item.type == "reasoning":
            step.reasonings += 1
            # On chat a step's calls are one message with one field for reasoning.
            step.stray = step.stray or (step.calls > 0 and self._wire == "chat")
            if self._judges and self._judged is None:
                self._judged = len(self._steps) - 1
        else:
            step.messages += 1
            step.unknowns += item.type == "unknown"
            step.stray = step.stray or (step.calls > 0 and self._calls_go_last)

    def _write_run(self, run: PlainRun) -> None:
        self._opened = self._opened or run.last_user >= 0
        if self._ids.keep(run.call_ids):
            self.items += run.items
            return
        renamed: dict[str, str] = {}
        for index, item in enumerate(run.items, run.start):
            if item.type == "function_call":
                renamed[item.call_id] = call_id = self._ids.assign(item)
                self.items.append(self._call_named(index, item, call_id))
            elif item.type == "function_call_output":
                self.items.append(self._output_named(index, item, renamed[item.call_id]))
            else:
                self.items.append(item)

    def _write_step(self, step: Step) -> None:
        entries = self._arranger.arrange(step, self._why_unwanted(step) if step.reasonings else None)
        if entries:
            self._write(entries, len(self._kept) if step.end is None else step.end)

    def _write(self, entries: Sequence[Entry], end: int) -> None:
        if not self._opened:
            self._opened = True
            self._report("inserted_message", entries[0][0], "the first message of this wire is the user's")
            self.items.append(user_message(_OPENING))
        calls: list[tuple[int, CallItem]] = []
        for index, place, item in entries:
            if place != "call":
                self.items.append(item)
                continue
            call = cast("CallItem", item)  # what place_of says
            call = self._call_named(index, call, self._ids.assign(call))
            calls.append((index, call))
            self.items.append(call)
        newest = -1
        for index, call in calls:
            answer = self._pairing.answers.get(index)
            if answer is None:
                reason = "it was cut off" if call.status == "incomplete" else "it was never answered"
                self._report("answered_open_call", index, reason)
                self.items.append(synthetic_output(call))
                continue
            if answer > end or answer < newest:
                self._report("moved_output", answer, "brought behind its call, in call order")
            newest = max(newest, answer)
            self.items.append(self._output_named(answer, self._output_at(answer), call.call_id or ""))

    def _call_named(self, index: int, call: CallItem, call_id: str) -> CallItem:
        if call_id != call.call_id:
            self._report("renamed_call_id", index, "an id this server refuses, or one that was used before")
        return call_with_id(call, call_id)

    def _output_named(self, index: int, output: CallOutputItem, call_id: str) -> CallOutputItem:
        if call_id != output.call_id:
            self._report("renamed_call_id", index, "the id its call is sent with")
        return output_with_id(output, call_id)

    def _output_at(self, index: int) -> CallOutputItem:
        entry = self._kept[index]
        assert entry is not None, "an output that answers a call is kept"
        return cast("CallOutputItem", entry[2])  # what place_of says

    def _why_unwanted(self, step: Step) -> str | None:
        """Why the profile does not want the step's reasoning back; None if it does."""
        mode = self._compat.reasoning_replay
        current = step.start > self._last_user
        if mode == "never":
            return "the profile sends no reasoning back"
        if mode == "open_calls":
            return None if current and step.calls else "not of a tool call in the current turn"
        return None if current or self._keeps_reasoning else "of an earlier turn"

    def _report(self, kind: RepairKind, index: int, reason: str) -> None:
        self._repairs.append(Repair(kind, index, reason))


def _item_index(repair: Repair) -> int:
    return repair.item_index


def _start(step: Step | PlainRun) -> int:
    return step.start
