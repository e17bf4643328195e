"""Replay: history items → what one wire and model may legally see again, plus a report of every repair. Pure.

A history may have been cut by a cancel or a crash, trimmed, edited, or made on another wire; a server accepts none of
that (pains.md 1, 2, 12). Three looks, each leaving alone what the one before it has settled:

    1  each item alone             characters, arguments, names, media, kinds the wire lacks, items of other origins
    2  calls and outputs           one output per call, by position; the rest are orphans
    3  each step                   order, reasoning beside its item, repeated text, ids, outputs

A *step* is a maximal run of items the model made. It ends where something of ours follows that is sent: a message, or
the output of one of its own calls. What comes out of a step:

    chat        messages and reasoning in their order, then the calls, then one output per call in call order
    messages    the model's order; if a message follows a call, all that is no call goes first; then the outputs
    responses   the model's order, then the outputs; for servers with `calls_last` as on messages

Reasoning stands directly before the item it belongs to: the next one of its step, else (chat, messages) the last one.
On chat neighbouring reasonings are joined; a codec that writes a step as one message joins what is left.

Replaying what was replayed changes nothing and reports nothing. A longer history gives the same items for its prefix,
except for reasoning of what was then the last turn and for calls that were then open. Linear in items and text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

from ..items import (
    CallItem,
    CallOutputItem,
    Message,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    WireName,
    user_message,
)
from .base import Compat, Repair, RepairKind
from .replay_items import ItemFitter, sent_id, without_id
from .replay_origin import is_whole, join_reasonings
from .replay_pairs import CallIds, Pairing, Place, call_with_id, output_with_id, place_of, synthetic_output
from .replay_server import server_half

__all__ = ["Replayed", "Replayer", "replay"]

_OPENING = "(The conversation continues.)"

_Entry: TypeAlias = tuple[int, Place, ResponseItem]
"""An item as it may be sent, with its place in the history and in its step."""

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


class _Step:
    """What the model made between two things of ours; or, alone, one thing of ours that is no output."""

    __slots__ = (
        "calls",
        "end",
        "entries",
        "has_answer",
        "is_ours",
        "messages",
        "reasonings",
        "start",
        "stray",
        "unknowns",
    )

    def __init__(self, first: _Entry, *, is_ours: bool = False) -> None:
        self.is_ours = is_ours
        self.entries = [first]
        self.start = first[0]
        self.calls = self.messages = self.reasonings = self.unknowns = 0
        self.stray = self.has_answer = False
        self.end: int | None = None
        """Index of the item that ended it; None while it is open."""


class Replayer:
    """Replay of a history that grows: `feed` items as they come, `settle`, and `items` is what may be sent of them all.

    Nothing that was fed is looked at again. Of what was written, two things can change, and then it is written again
    from the first step they touch: a late output answers a call of an earlier step, or a new user message makes the
    reasoning before it that of an earlier turn. The step that is still open is always written again.
    """

    __slots__ = (
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
        self._kept: list[_Entry | None] = []
        self._steps: list[_Step] = []
        self._open: _Step | None = None
        self._marks: list[_Mark] = []  # where each written step begins
        self._unwritten = 0  # the first step to write
        self._judged: int | None = None  # the first step whose reasoning is there because its turn is the current one
        self._last_user = -1
        self._opened = wire != "messages"

    def feed(self, items: Iterable[ResponseItem]) -> None:
        kept, fit, pair, calls = self._kept, self._fitter.fit, self._pairing.feed, self._pairing.calls
        for index, item in enumerate(items, len(kept)):
            fitted = fit(index, item)
            if fitted is None:
                kept.append(None)
                continue
            place = place_of(fitted)
            pair(index, item, place)
            entry = (index, place, fitted)
            if place != "output":
                kept.append(entry)
                if place == "other":
                    self._ours(entry)
                else:
                    self._made(entry)
                continue
            call = calls.get(index)
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
            if step.is_ours:
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
            step.has_answer = True
        else:
            late = bisect_right(self._steps, call, key=_start) - 1
            self._unwritten = min(self._unwritten, late)

    def _ours(self, entry: _Entry) -> None:
        index, _, item = entry
        if self._open is not None:
            self._open.end = index
            self._open = None
        self._steps.append(_Step(entry, is_ours=True))
        if item.type != "message" or item.role != "user":
            return
        self._last_user = index
        if self._judged is not None:
            self._unwritten = min(self._unwritten, self._judged)
            self._judged = None

    def _made(self, entry: _Entry) -> None:
        step = self._open
        if step is None or step.has_answer:
            if step is not None:
                step.end = entry[0]
            step = self._open = _Step(entry)
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

    def _write_step(self, step: _Step) -> None:
        entries = step.entries
        reasonings = step.reasonings
        if step.unknowns:
            entries = self._paired(entries, waits=step.end is None and not step.calls)
        if reasonings:
            unwanted = self._why_unwanted(step)
            if unwanted is not None:
                entries, reasonings = self._without_reasoning(entries, unwanted), 0
        if step.stray:
            entries = self._calls_last(entries)
        if reasonings and self._compat.send_item_ids and self._wire == "responses":
            entries = self._named_together(entries)  # what it drops makes neighbours of texts
        if step.messages > 1:
            entries = self._without_echoes(entries)
        if reasonings:
            entries = self._anchored(entries)
        if entries:
            self._write(entries, len(self._kept) if step.end is None else step.end)

    def _write(self, entries: Sequence[_Entry], end: int) -> None:
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
            call_id = self._ids.assign(call)
            if call_id != call.call_id:
                self._report("renamed_call_id", index, "an id this server refuses, or one that was used before")
                call = call_with_id(call, call_id)
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
            output = self._output_at(answer)
            if output.call_id != call.call_id:
                self._report("renamed_call_id", answer, "the id its call is sent with")
                output = output_with_id(output, call.call_id or "")
            self.items.append(output)

    def _output_at(self, index: int) -> CallOutputItem:
        entry = self._kept[index]
        assert entry is not None, "an output that answers a call is kept"
        return cast("CallOutputItem", entry[2])  # what place_of says

    def _without_reasoning(self, entries: list[_Entry], unwanted: str) -> list[_Entry]:
        for index, _, item in entries:
            if item.type == "reasoning":
                self._report("dropped_reasoning", index, unwanted)
        return [entry for entry in entries if entry[2].type != "reasoning"]

    def _why_unwanted(self, step: _Step) -> str | None:
        """Why the profile does not want the step's reasoning back; None if it does."""
        mode = self._compat.reasoning_replay
        current = step.start > self._last_user
        if mode == "never":
            return "the profile sends no reasoning back"
        if mode == "open_calls":
            return None if current and step.calls else "not of a tool call in the current turn"
        return None if current or self._keeps_reasoning else "of an earlier turn"

    def _paired(self, entries: list[_Entry], *, waits: bool) -> list[_Entry]:
        """Without halves of what a provider or its own client ran (see replay_server), and without a second pair under
        one id. `waits`: the history ends here, and may end with a use that the provider is to go on with."""
        uses: dict[tuple[str, str], tuple[int, bool]] = {}  # open ones: where they stand in `out`, and if they may wait
        out: list[_Entry | None] = []
        halves: list[int] = []
        for entry in entries:
            half = server_half(entry[2].raw) if entry[2].type == "unknown" else None
            if half is None:
                out.append(entry)
            elif half.half == "use" and half.key not in uses and self._ids.reserve(half.key[1]):
                uses[half.key] = (len(out), half.may_wait)
                out += (entry, None)  # room for a result
            elif half.half == "result" and half.key in uses:
                at, _ = uses.pop(half.key)
                before = out[-1]
                # Reasoning has to stand before what it produced, and that is not the client's result.
                if before is not None and (before[2].type == "reasoning" or self._compat.calls_last):
                    self._report("moved_output", entry[0], "brought behind its call")
                    out[at + 1] = entry
                else:
                    out.append(entry)
            else:
                halves.append(entry[0])
        for at, may_wait in uses.values():
            use = out[at]
            if use is not None and not (waits and may_wait):
                halves.append(use[0])
                out[at] = None
        for index in sorted(halves):
            self._report("dropped_item", index, "half of a call that only its provider knows")
        return [entry for entry in out if entry is not None]

    def _calls_last(self, entries: list[_Entry]) -> list[_Entry]:
        """What is no call goes before the first call (behaviours.md W-S1-05); the order is kept otherwise."""
        others: list[_Entry] = []
        calls: list[_Entry] = []
        for entry in entries:
            if entry[1] == "call":
                calls.append(entry)
                continue
            if calls:
                kind: RepairKind = "moved_reasoning" if entry[2].type == "reasoning" else "moved_message"
                self._report(kind, entry[0], "brought before the calls of its step")
            others.append(entry)
        return others + calls

    def _without_echoes(self, entries: list[_Entry]) -> list[_Entry]:
        """Without assistant texts that repeat the one directly before them (behaviours.md W-S1-06).

        Reasoning stands between two texts only where it will always be sent; else the next turn, which drops it, would
        drop a text with it and change what was sent before.
        """
        out: list[_Entry] = []
        before: ResponseItem | None = None
        for entry in entries:
            item = entry[2]
            if item.type == "reasoning":
                before = None if self._keeps_reasoning else before
            elif before is not None and _repeats(item, before):
                self._report("dropped_duplicate_message", entry[0], "the same text stands directly before it")
                continue
            else:
                before = item
            out.append(entry)
        return out

    def _anchored(self, entries: list[_Entry]) -> list[_Entry]:
        """Every reasoning directly before an item of its step that is sent, or dropped."""
        end = len(entries)
        while end and entries[end - 1][2].type == "reasoning":
            end -= 1
        trailing = entries[end:]
        if trailing and (not end or self._wire == "responses"):
            # Responses: an item that produced nothing is refused ("without its required following item").
            reason = "nothing that is sent follows it in its step" if end else "nothing else of its step is sent"
            for index, _, _ in trailing:
                self._report("dropped_reasoning", index, reason)
            entries = entries[:end]
        elif trailing:
            anchor = end - 1
            while anchor and _is_result(entries[anchor][2]):  # its use is the item
                anchor -= 1
            while anchor and entries[anchor][1] == "call" and entries[anchor - 1][1] == "call":
                anchor -= 1
            for index, _, _ in trailing:
                self._report("moved_reasoning", index, "brought before the item it follows")
            entries = entries[:anchor] + trailing + entries[anchor:end]
        if self._wire == "responses" and self._compat.send_item_ids:
            return self._named_together(entries)
        return self._joined(entries) if self._wire == "chat" else entries

    def _named_together(self, entries: list[_Entry]) -> list[_Entry]:
        """A stored reasoning is followed by a stored item; before one without an id it goes without its own. One that
        nothing follows is left to `_anchored`."""
        out: list[_Entry] = []
        follower: str | None = None
        for index, place, item in reversed(entries):
            if item.type != "reasoning":
                follower = sent_id(item, self._compat)
            elif follower == "" and sent_id(item, self._compat):
                if item.encrypted_content is None and (self._compat.encrypted_reasoning or not item.text.strip()):
                    self._report("dropped_reasoning", index, "stored, and what it produced is not")
                    continue
                self._report("dropped_opaque", index, "its provider's id: what it produced has none")
                item = without_id(item)
            out.append((index, place, item))
        return out[::-1]

    def _joined(self, entries: list[_Entry]) -> list[_Entry]:
        out: list[_Entry] = []
        for run in _runs(entries):
            if len(run) == 1:
                out += run
                continue
            for index, _, _ in run:
                self._report("joined_reasoning", index, "one of several reasonings of one item")
            joined = join_reasonings([item for _, _, item in run if isinstance(item, Reasoning)])
            out.append((run[0][0], "made", joined))
        return out

    def _report(self, kind: RepairKind, index: int, reason: str) -> None:
        self._repairs.append(Repair(kind, index, reason))


def _is_result(item: ResponseItem) -> bool:
    half = server_half(item.raw) if item.type == "unknown" else None
    return half is not None and half.half == "result"


def _item_index(repair: Repair) -> int:
    return repair.item_index


def _start(step: _Step) -> int:
    return step.start


def _runs(entries: Sequence[_Entry]) -> list[list[_Entry]]:
    """Neighbouring reasonings that can be joined, together; everything else, alone."""
    runs: list[list[_Entry]] = []
    is_open = has_whole = False
    for entry in entries:
        item = entry[2]
        whole = isinstance(item, Reasoning) and is_whole(item)
        if is_open and isinstance(item, Reasoning) and not (whole and has_whole):
            runs[-1].append(entry)
            has_whole = has_whole or whole
            continue
        runs.append([entry])
        is_open, has_whole = isinstance(item, Reasoning), whole
    return runs


def _repeats(item: ResponseItem, before: ResponseItem) -> bool:
    return item.type == "message" and before.type == "message" and _said(item) == _said(before)


def _said(message: Message) -> str:
    return "".join(
        part.refusal if isinstance(part, Refusal) else part.text
        for part in message.content
        if isinstance(part, (OutputText, Refusal))
    )
