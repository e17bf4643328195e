"""One step: what stays of it, and in which order.

A *step* is a maximal run of items the model made. The looks at it follow one another, each safe from those behind it,
so that what comes out of the last passes all of them unchanged:

    1  halves        a provider's call without its result goes, and the reverse     depends on nothing below
    2  reasoning     what the profile does not want goes                            on the calls of the step
    3  calls         go behind all else, where the wire wants that                  on what is there
    4  neighbours    a result goes behind its call, a text goes that repeats        on what stands directly before each
    5  anchors       reasoning at the end goes before the item it follows           on the end
    6  names         stored reasoning before an item that is not stored             on what follows each

4 is one pass, since a text that goes moves a result up and a result that goes makes neighbours of texts; whatever it
asks of an item's predecessor it asks of what is already settled. 6 is the one look that can unsettle an earlier one: it
may drop what stood between two texts. Then 4 looks once more, and has no reason to touch what 6 looked at: what repeats
stands behind a text, what 6 judges is reasoning and what it stands before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ..items import Message, OutputText, Reasoning, Refusal, ResponseItem, WireName
from .base import Compat, Repair, RepairKind
from .replay_items import sent_id, without_id
from .replay_origin import is_whole, join_reasonings
from .replay_pairs import CallIds, Place
from .replay_server import ServerHalf, server_half

__all__ = ["Arranger", "Entry", "Step"]

Entry: TypeAlias = tuple[int, Place, ResponseItem]
"""An item as it may be sent, with its place in the history and in its step."""


class Step:
    """What the model made between two things of ours; or, alone, one thing of ours that is no output."""

    __slots__ = (
        "answers",
        "calls",
        "end",
        "entries",
        "is_ours",
        "messages",
        "reasonings",
        "start",
        "stray",
        "unknowns",
    )

    def __init__(self, first: Entry, *, is_ours: bool = False) -> None:
        self.is_ours = is_ours
        self.entries = [first]
        self.start = first[0]
        self.calls = self.answers = self.messages = self.reasonings = self.unknowns = 0
        self.stray = False
        self.end: int | None = None
        """Index of the item that ended it; None while it is open."""


class Arranger:
    """Puts steps in order, one `arrange` per step. Takes the ids of providers' own calls from `ids`, and adds what it
    changed to `repairs`."""

    __slots__ = ("_compat", "_ids", "_keeps_reasoning", "_repairs", "_wire")

    def __init__(
        self, *, wire: WireName, compat: Compat, keeps_reasoning: bool, ids: CallIds, repairs: list[Repair]
    ) -> None:
        self._wire: WireName = wire
        self._compat = compat
        self._keeps_reasoning = keeps_reasoning
        self._ids = ids
        self._repairs = repairs

    def arrange(self, step: Step, unwanted: str | None) -> list[Entry]:
        """What may be sent of the step, its outputs aside. `unwanted`: why its reasoning may not be; None if it may."""
        entries, reasonings = step.entries, step.reasonings
        if step.unknowns:
            entries = self._without_halves(entries, waits=step.end is None and not step.calls)
        if reasonings and unwanted is not None:
            entries, reasonings = self._without_reasoning(entries, unwanted), 0
        if step.stray:
            entries = self._calls_last(entries)
        if step.messages > 1:
            entries = self._beside(entries)
        if reasonings:
            entries = self._anchored(entries)
            if self._wire == "responses" and self._compat.send_item_ids:
                before, entries = len(entries), self._named_together(entries)
                return entries if len(entries) == before else self._beside(entries)
            if self._wire == "chat":
                return self._joined(entries)
        return entries

    def _without_halves(self, entries: list[Entry], *, waits: bool) -> list[Entry]:
        """Without halves of what a provider or its own client ran (see replay_server), and without a second pair under
        one id. `waits`: the history ends here, and may end with uses that the provider is to go on with."""
        uses: dict[tuple[str, str], tuple[int, bool]] = {}  # open ones: their index, and if they may wait
        halves: set[int] = set()
        newest = -1  # item that is no half: what stands before it ends no turn
        for index, _, item in entries:
            half = _half(item)
            if half is None:
                newest = newest if item.type == "reasoning" else index
            elif half.half == "use" and half.key not in uses:
                uses[half.key] = (index, half.may_wait)
            elif half.half == "result" and half.key in uses:
                at, _ = uses.pop(half.key)
                if not self._ids.reserve(half.key[1]):
                    halves |= {at, index}
            else:
                halves.add(index)
        for key, (at, may_wait) in uses.items():
            if not (waits and may_wait and at > newest and self._ids.reserve(key[1])):
                halves.add(at)
        for index in sorted(halves):
            self._report("dropped_item", index, "half of a call that only its provider knows")
        return [entry for entry in entries if entry[0] not in halves] if halves else entries

    def _without_reasoning(self, entries: list[Entry], unwanted: str) -> list[Entry]:
        for index, _, item in entries:
            if item.type == "reasoning":
                self._report("dropped_reasoning", index, unwanted)
        return [entry for entry in entries if entry[2].type != "reasoning"]

    def _calls_last(self, entries: list[Entry]) -> list[Entry]:
        """What is no call goes before the first call (behaviours.md W-S1-05); the order is kept otherwise."""
        others: list[Entry] = []
        calls: list[Entry] = []
        for entry in entries:
            if entry[1] == "call":
                calls.append(entry)
                continue
            if calls:
                kind: RepairKind = "moved_reasoning" if entry[2].type == "reasoning" else "moved_message"
                self._report(kind, entry[0], "brought before the calls of its step")
            others.append(entry)
        return others + calls

    def _beside(self, entries: list[Entry]) -> list[Entry]:
        """Results of a provider's calls where they may stand, and no assistant text that repeats the one directly
        before it (behaviours.md W-S1-06).

        Reasoning stands between two texts only where it will always be sent; else the next turn, which drops it, would
        drop a text with it and change what was sent before. It stands before what it produced, which is no result; with
        `calls_last` nothing but other calls and results stands between a call and its result.
        """
        out: list[Entry | None] = []
        rooms: dict[tuple[str, str], tuple[int, int]] = {}  # behind open uses: where, and what `others` was
        others = 0  # items so far that are no halves
        before: ResponseItem | None = None  # what stands directly before
        text: Message | None = None  # the text that does
        for entry in entries:
            item = entry[2]
            half = _half(item)
            if half is not None and half.half == "use":
                rooms[half.key] = (len(out) + 1, others)
                out += (entry, None)
            elif half is not None:
                room, then = rooms.pop(half.key)
                if others > then if self._compat.calls_last else before is not None and before.type == "reasoning":
                    self._report("moved_output", entry[0], "brought behind its call")
                    out[room] = entry
                    continue
                out.append(entry)
            elif text is not None and item.type == "message" and _said(item) == _said(text):
                self._report("dropped_duplicate_message", entry[0], "the same text stands directly before it")
                continue
            else:
                out.append(entry)
                others += 1
            before = item
            if item.type != "reasoning" or self._keeps_reasoning:
                text = item if item.type == "message" else None
        return [entry for entry in out if entry is not None]

    def _anchored(self, entries: list[Entry]) -> list[Entry]:
        """Every reasoning directly before an item of its step that is sent, or dropped."""
        end = len(entries)
        while end and entries[end - 1][2].type == "reasoning":
            end -= 1
        trailing = entries[end:]
        if not trailing:
            return entries
        if not end or self._wire == "responses":
            # Responses: an item that produced nothing is refused ("without its required following item").
            reason = "nothing that is sent follows it in its step" if end else "nothing else of its step is sent"
            for index, _, _ in trailing:
                self._report("dropped_reasoning", index, reason)
            return entries[:end]
        anchor = _anchor(entries, end - 1)
        for index, _, _ in trailing:
            self._report("moved_reasoning", index, "brought before the item it follows")
        return entries[:anchor] + trailing + entries[anchor:end]

    def _named_together(self, entries: list[Entry]) -> list[Entry]:
        """A stored reasoning is followed by a stored item; before one without an id it goes without its own."""
        out: list[Entry] = []
        follower = ""
        for index, place, item in reversed(entries):
            if item.type != "reasoning":
                follower = sent_id(item, self._compat)
            elif not follower and sent_id(item, self._compat):
                if item.encrypted_content is None and (self._compat.encrypted_reasoning or not item.text.strip()):
                    self._report("dropped_reasoning", index, "stored, and what it produced is not")
                    continue
                self._report("dropped_opaque", index, "its provider's id: what it produced has none")
                item = without_id(item)
            out.append((index, place, item))
        return out[::-1]

    def _joined(self, entries: list[Entry]) -> list[Entry]:
        out: list[Entry] = []
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


def _half(item: ResponseItem) -> ServerHalf | None:
    return server_half(item.raw) if item.type == "unknown" else None


def _anchor(entries: Sequence[Entry], at: int) -> int:
    """Where reasoning that follows the item at `at` can stand before it: not among calls, nor between a provider's call
    and its result where nothing else stands between them."""
    while at and entries[at][1] == "call" and entries[at - 1][1] == "call":
        at -= 1
    results: set[tuple[str, str]] = set()  # whose use stands further up
    while at and (half := _half(entries[at][2])) is not None:
        if half.half == "result":
            results.add(half.key)
        else:
            results.discard(half.key)
            if not results or _half(entries[at - 1][2]) is None:
                break
        at -= 1
    return at


def _runs(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Neighbouring reasonings that can be joined, together; everything else, alone."""
    runs: list[list[Entry]] = []
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


def _said(message: Message) -> str:
    return "".join(
        part.refusal if isinstance(part, Refusal) else part.text
        for part in message.content
        if isinstance(part, (OutputText, Refusal))
    )
