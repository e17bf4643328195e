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
    responses   the model's order, then the outputs

Reasoning stands directly before the item it belongs to: the next one of its step, else (chat, messages) the last one.
On chat neighbouring reasonings are joined; a codec that writes a step as one message joins what is left.

Replaying what was replayed changes nothing and reports nothing. A longer history gives the same items for its prefix,
except for reasoning of what was then the last turn and for calls that were then open. Linear in items and text.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from .replay_items import ItemFitter
from .replay_origin import is_whole, join_reasonings
from .replay_pairs import CallIds, Pairing, Place, call_with_id, output_with_id, place_of, synthetic_output

__all__ = ["Replayed", "replay"]

_OPENING = "(The conversation continues.)"

_Entry: TypeAlias = tuple[int, Place, ResponseItem]
"""An item as it may be sent, with its place in the history and in its step."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Items in an order every server of the wire accepts, and what was changed to get there, by item index.

    An item that was not repaired is the very object that came in.
    """

    items: tuple[ResponseItem, ...]
    repairs: tuple[Repair, ...] = ()


def replay(items: Sequence[ResponseItem], *, wire: WireName, model: str, compat: Compat) -> Replayed:
    """What `model` on `wire` may see of `items`. Raises ConfigError only where `compat` allows no call ids."""
    repairs: list[Repair] = []
    fitter = ItemFitter(wire=wire, model=model, compat=compat, repairs=repairs)
    pairing = Pairing()
    kept: list[_Entry | None] = []
    last_user = -1
    for index, item in enumerate(items):
        fitted = fitter.fit(index, item)
        if fitted is None:
            kept.append(None)
            continue
        place = place_of(fitted)
        kept.append((index, place, fitted))
        if fitted.type == "message" and fitted.role == "user":
            last_user = index
        pairing.feed(index, item, place)
    for orphan in pairing.orphan_repairs():
        kept[orphan.item_index] = None
        repairs.append(orphan)
    assembly = _Assembly(kept, pairing, last_user, repairs, wire=wire, compat=compat)
    out = assembly.run()
    if not repairs:
        return Replayed(tuple(items))
    repairs.sort(key=lambda repair: repair.item_index)
    return Replayed(tuple(out), tuple(repairs))


class _Assembly:
    """The third look: collects a step, writes it out, and puts each call's output behind it."""

    __slots__ = (
        "_answers",
        "_calls",
        "_compat",
        "_entries",
        "_ids",
        "_keeps_reasoning",
        "_kept",
        "_last_user",
        "_messages",
        "_opened",
        "_out",
        "_pairing",
        "_reasonings",
        "_repairs",
        "_stray",
        "_wire",
    )

    def __init__(
        self,
        kept: Sequence[_Entry | None],
        pairing: Pairing,
        last_user: int,
        repairs: list[Repair],
        *,
        wire: WireName,
        compat: Compat,
    ) -> None:
        self._kept = kept
        self._pairing = pairing
        self._last_user = last_user
        self._repairs = repairs
        self._wire: WireName = wire
        self._compat = compat
        # behaviours.md S1-6, T-B5: Chat servers want the reasoning of the current turn, unless they insist on all.
        every_turn = wire != "chat" or compat.reasoning_always_present
        self._keeps_reasoning = every_turn and compat.reasoning_replay == "always"
        self._ids = CallIds(wire=wire, compat=compat)
        self._out: list[ResponseItem] = []
        self._opened = wire != "messages"
        self._begin()

    def run(self) -> list[ResponseItem]:
        for entry in self._kept:
            if entry is None:
                continue
            index, place, item = entry
            if place == "output":
                if self._entries and self._pairing.calls[index] >= self._entries[0][0]:
                    self._answers += 1
            elif place == "other":
                self._end_step(index)
                self._opened = self._opened or (item.type == "message" and item.role == "user")
                self._out.append(item)
            else:
                if self._answers:
                    self._end_step(index)
                self._add(entry)
        self._end_step(len(self._kept))
        return self._out

    def _begin(self) -> None:
        self._entries: list[_Entry] = []
        self._answers = self._calls = self._messages = self._reasonings = 0
        self._stray = False

    def _add(self, entry: _Entry) -> None:
        self._entries.append(entry)
        _, place, item = entry
        if place == "call":
            self._calls += 1
            return
        if item.type == "reasoning":
            self._reasonings += 1
            # On chat a step's calls are one message with one field for reasoning.
            self._stray = self._stray or (self._calls > 0 and self._wire == "chat")
            return
        self._messages += 1
        self._stray = self._stray or (self._calls > 0 and self._wire != "responses")

    def _end_step(self, end: int) -> None:
        """Write the step out; `end` is the index of the item that ended it."""
        entries = self._entries
        if not entries:
            return
        if self._reasonings:
            entries = self._wanted(entries)
        if self._stray:
            entries = self._calls_last(entries)
        if self._messages > 1:
            entries = self._without_echoes(entries)
        if self._reasonings:
            entries = self._anchored(entries)
        if entries:
            self._write(entries, end)
        self._begin()

    def _write(self, entries: Sequence[_Entry], end: int) -> None:
        if not self._opened:
            self._opened = True
            self._report("inserted_message", entries[0][0], "the first message of this wire is the user's")
            self._out.append(user_message(_OPENING))
        calls: list[tuple[int, CallItem]] = []
        for index, place, item in entries:
            if place != "call":
                self._out.append(item)
                continue
            call = cast("CallItem", item)  # what place_of says
            call_id = self._ids.assign(call)
            if call_id != call.call_id:
                self._report("renamed_call_id", index, "an id this server refuses, or one that was used before")
                call = call_with_id(call, call_id)
            calls.append((index, call))
            self._out.append(call)
        newest = -1
        for index, call in calls:
            answer = self._pairing.answers.get(index)
            if answer is None:
                reason = "it was cut off" if call.status == "incomplete" else "it was never answered"
                self._report("answered_open_call", index, reason)
                self._out.append(synthetic_output(call))
                continue
            if answer > end or answer < newest:
                self._report("moved_output", answer, "brought behind its call, in call order")
            newest = max(newest, answer)
            output = self._output_at(answer)
            if output.call_id != call.call_id:
                self._report("renamed_call_id", answer, "the id its call is sent with")
                output = output_with_id(output, call.call_id or "")
            self._out.append(output)

    def _output_at(self, index: int) -> CallOutputItem:
        entry = self._kept[index]
        assert entry is not None, "an output that answers a call is kept"
        return cast("CallOutputItem", entry[2])  # what place_of says

    def _wanted(self, entries: list[_Entry]) -> list[_Entry]:
        """The step without its reasoning where the profile does not want it back."""
        unwanted = self._why_unwanted(entries[0][0])
        if unwanted is None:
            return entries
        for index, _, item in entries:
            if item.type == "reasoning":
                self._report("dropped_reasoning", index, unwanted)
        self._reasonings = 0
        return [entry for entry in entries if entry[2].type != "reasoning"]

    def _why_unwanted(self, start: int) -> str | None:
        mode = self._compat.reasoning_replay
        current = start > self._last_user
        if mode == "never":
            return "the profile sends no reasoning back"
        if mode == "open_calls":
            return None if current and self._calls else "not of a tool call in the current turn"
        return None if current or self._keeps_reasoning else "of an earlier turn"

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
            while anchor and entries[anchor][1] == "call" and entries[anchor - 1][1] == "call":
                anchor -= 1
            for index, _, _ in trailing:
                self._report("moved_reasoning", index, "brought before the item it follows")
            entries = entries[:anchor] + trailing + entries[anchor:end]
        return self._joined(entries) if self._wire == "chat" else entries

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
