"""A session: the conversation so far, in memory or in a journal. The only state there is.

Everything appended is in the journal before the call returns, so a process may end at any moment. What one call appends
is there as a whole or not at all, in memory and in the file, after a crash and on a full disk too. A session that ends
in unanswered calls is a paused run: the loop answers them before it does anything else.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from ..approvals import Decision, Rule
from ..errors import CallerError, SessionError
from ..events import Attempt, Usage
from ..items import (
    CallItem,
    CallOutputItem,
    CustomToolCallOutput,
    FunctionCallOutput,
    JsonObject,
    ResponseItem,
    checked_items,
    dump_item,
)
from .compact import Compacted, dump_compacted, safe_cuts
from .history import OutputBudget
from .lines import Record
from .reading import TakeRecord
from .records import ParentCall, dump_rule, dump_usage, new_session_id, random_id, utc_now
from .redaction import DEFAULT_REDACTION, Redaction, Redactor
from .rollout import TORN_SUFFIX, Fsync, Journal, read_only
from .state import SessionState
from .waiting import Waiting, dump_decision, dump_waiting

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
    `labels` are the caller's own words about it, `warnings` what was wrong with its file.
    """

    def __init__(self, *, session_id: str | None = None, items: Iterable[ResponseItem] = ()) -> None:
        self.warnings: tuple[str, ...] = ()
        self._state = SessionState(session_id or new_session_id())
        self._journal: Journal | None = None
        self._redactor: Redactor | None = None
        self._options: tuple[Fsync, Redaction | None] = ("turn", DEFAULT_REDACTION)
        self._in_turn = False
        self.append(*items)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        session_id: str | None = None,
        fsync: Fsync = "turn",
        redact: Redaction | None = DEFAULT_REDACTION,
        labels: Mapping[str, str] | None = None,
    ) -> Session:
        """A new session in a new file. Raises SessionError if the file exists or cannot be written.

        `fsync`: when it is brought down to the disk, so that it survives a power failure: at the end of a "turn", with
        each "item" and before each tool with side effects, or "never". The end of the process it survives in any case.
        `redact`: which secrets in tool outputs are left out of the file; None writes everything. `labels` are kept in
        the file's first line, and shown in lists.
        """
        session = cls(session_id=session_id)
        session._state.labels = dict(labels or {})
        session._keep(Journal.create(Path(path), session._header(), fsync=fsync), fsync, redact)
        return session

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike[str],
        *,
        fsync: Fsync = "turn",
        redact: Redaction | None = DEFAULT_REDACTION,
    ) -> Session:
        """A session from its file, to go on in it. Raises SessionError if there is none, or it is damaged before its
        end, open elsewhere or too new. A torn end is set aside beside the file, and said in `warnings`."""
        session, place = cls(), Path(path)
        journal = Journal.open(place, session._reader(place), fsync=fsync)
        session._keep(journal, fsync, redact)
        session._was_read(place, journal.torn)
        return session

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Session:
        """What a file holds, in memory: it is neither locked nor changed, and may be in use. Raises SessionError."""
        session, place = cls(), Path(path)
        extent = read_only(place, session._reader(place))
        session._was_read(place, extent.torn)
        return session

    def child(self, call_id: str = "") -> Session:
        """A new, empty session for a run inside a tool of this one's run: `parent` says so. It is kept as this one is,
        in a file of its own beside this one's, or in memory. Raises SessionError if that file cannot be written."""
        child = Session()
        child._state.parent = ParentCall(self.id, call_id)
        if self._journal:
            fsync, redact = self._options
            own = self._journal.path
            path = own.with_name(f"{own.stem.partition('.')[0]}.{child.id}{own.suffix}")
            header = child._header(parent=self.id, parent_call=call_id)
            child._keep(Journal.create(path, header, fsync=fsync), fsync, redact)
        return child

    def fork(self, path: str | os.PathLike[str] | None = None, *, session_id: str | None = None) -> Session:
        """A new session with the same history, in a new file or in memory; from here on they go separate ways.

        It has used nothing yet (`usage` is zero). Calls that are open here are open there and are answered in both, so
        a tool may run in each; one that was started already is run in neither. Raises SessionError if the file exists
        or cannot be written; then none is left behind.
        """
        fork = Session(session_id=session_id)
        fork._state.labels = self.labels
        fork._state.model = self.model
        if path is None:
            fork._copy(self)
            return fork
        fsync, redact = self._options
        journal = Journal.draft(Path(path), fork._header(forked_from=self.id, model=self.model), fsync=fsync)
        try:
            fork._keep(journal, fsync, redact)
            fork._copy(self)
            fork._note({"type": "totals", "totals": fork._totals()})
            journal.publish()
        except BaseException:
            journal.discard()
            raise
        return fork

    @property
    def id(self) -> str:
        return self._state.id

    @property
    def labels(self) -> Mapping[str, str]:
        return self._state.labels

    @property
    def parent(self) -> ParentCall:
        """The call that a sub-agent's run answers; false for a session that stands alone."""
        return self._state.parent

    @property
    def items(self) -> tuple[ResponseItem, ...]:
        """The conversation as it goes on, in order: what the next prompt is made of. Where it was compacted, it begins
        with what stands for its beginning; `transcript` has that too."""
        return self._state.view

    @property
    def transcript(self) -> tuple[ResponseItem, ...]:
        """Everything that was said and done, in order, whatever was compacted since; what was rolled back is gone."""
        state = self._state
        return checked_items(state.items) if state.compactions else state.view

    @property
    def turns(self) -> int:
        """How many user turns it has: messages of the user."""
        return self._state.turns

    @property
    def usage(self) -> Usage:
        """What its turns took, also those that were rolled back."""
        return self._state.usage

    @property
    def replacement(self) -> tuple[ResponseItem, ...]:
        """What of `items` stands for the beginning of the transcript; nothing where it was not compacted."""
        return self._state.compacted.items

    @property
    def model(self) -> str:
        """The model of its newest turn, as it was named; empty before the first."""
        return self._state.model

    @property
    def path(self) -> Path | None:
        return self._journal.path if self._journal else None

    @property
    def awaits_answer(self) -> bool:
        """The last word is not the model's: a user's message or a tool's output stands last, or a call is open.
        `agent.run([])` goes on from there, after a crash too."""
        return self._state.awaits_answer

    def append(self, *items: ResponseItem) -> tuple[ResponseItem, ...]:
        """Add items, all of them or (with the error) none; each gets an id if it has none, one whose id is already
        there is skipped. Returns those that were added, written to the file."""
        added: dict[str, ResponseItem] = {}
        for item in items:
            if item.id is None:
                item = _named(item)
            assert item.id is not None
            if item.id not in self._state.places and item.id not in added:
                added[item.id] = item
        if self._journal and added:
            self._journal.write(*map(self._record, added.values()))
        for item in added.values():
            self._state.take(item)
        return tuple(added.values())

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
        turns = min(turns, self.turns)
        if not turns:
            return ()
        start = self._state.start_of(turns)
        self._note({"type": "rollback", "turns": turns, "items": len(self._state.items) - start})
        return self._state.roll_back(turns)

    def compact(self, upto: int, items: Sequence[ResponseItem], *, kind: str = "local") -> None:
        """From now on `items` stand for the first `upto` of `self.items`; each gets an id if it has none.

        One record, so it is there whole or not at all. Nothing is lost: `transcript` and the file keep what is
        replaced, and rolling back to before it brings it back. `kind` says how it was made. Whoever calls this has
        chosen a safe cut (session.compact). Raises SessionError where `upto` parts a call from its output.
        """
        before, last = self.items, self._state.compacted
        if not len(last.items) <= upto <= len(before) or upto not in safe_cuts(before):
            raise SessionError(f"a history of {len(before)} items cannot be cut before item {upto}")
        replaced = upto - len(last.items) + last.replaced
        named = tuple(item if item.id is not None else _named(item) for item in items)
        self._add_compaction(Compacted(replaced, named, kind, len(self._state.measured)))

    def uncompact(self) -> bool:
        """Take the newest compaction back, whatever was said since: the conversation has again what it replaced. False
        if there is none. A marker, like it; tokens spent on it stay spent."""
        if not self._state.compactions:
            return False
        self._note({"type": "uncompaction"})
        self._state.drop_compaction()
        return True

    def output(self, call_id: str) -> FunctionCallOutput | CustomToolCallOutput | None:
        """A whole tool output, by its own id or that of its call; the newest, where a call id was used twice."""
        for item in reversed(self._state.items):
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
        estimate = self._state.estimate(budget)
        return estimate.tokens + (0 if estimate.measured else base_tokens)

    def open_calls(self) -> tuple[CallItem, ...]:
        """Calls without an output, in order."""
        return self._state.open_calls.calls

    def was_started(self, call: CallItem) -> bool:
        """A tool was started for this call; with no output recorded, its outcome is unknown."""
        return self._state.identity(call) in self._state.started

    def tool_started(self, call: CallItem) -> None:
        """Note, before it happens, that a tool with side effects starts. If this raises, it must not start."""
        item_id = self._state.identity(call)
        self._note({"type": "tool_started", "call_id": call.call_id, "item_id": item_id})
        self._state.started.add(item_id)

    @property
    def approval_rules(self) -> tuple[Rule, ...]:
        """What was allowed "for this session", in order: it runs unasked under an approval mode."""
        return tuple(self._state.rules)

    def remember(self, rule: Rule) -> None:
        """Let it run unasked from now on. Written to the file, and in force after a resume, unless it may leave the
        sandbox: a file may come from somebody else. A fork asks again."""
        if rule not in self._state.rules:
            if not rule.escalated:
                self._note({"type": "approval_rule", "rule": dump_rule(rule)})
            self._state.rules[rule] = None

    def revoke(self, rule: Rule) -> bool:
        """Ask about it again. False if it is no rule of this session."""
        if rule not in self._state.rules:
            return False
        if not rule.escalated:
            self._note({"type": "approval_rule_revoked", "rule": dump_rule(rule)})
        del self._state.rules[rule]
        return True

    def waiting(self, call: CallItem) -> Waiting | None:
        """What a paused run waits for to answer this call; None where it waits for nothing."""
        return self._state.waiting.get(self._state.identity(call))

    def held_output(self, call: CallItem) -> CallOutputItem | None:
        """The output of a call that stands behind one without: it is there, and not yet part of the conversation."""
        return self._state.held.get(self._state.identity(call))

    def wait_for(self, call: CallItem, waiting: Waiting) -> None:
        """Note what the run is paused for."""
        item_id = self._state.identity(call)
        self._note(dump_waiting(item_id, waiting))
        self._state.waiting[item_id] = waiting

    def hold_output(self, call: CallItem, output: CallOutputItem) -> None:
        """Keep an output that may not be appended yet. The first one counts."""
        item_id = self._state.identity(call)
        if item_id not in self._state.held:
            self.take_answers({item_id: output}, {})

    def take_answers(self, outputs: Mapping[str, CallOutputItem], decisions: Mapping[str, Decision]) -> None:
        """What somebody answered to a paused run, by the ids of the calls: all of it is kept, or (with the error) none.
        Whatever becomes of this process, each call is then acted on as it was answered."""
        records: list[Record] = [
            {**self._record(output), "type": "output_held", "item_id": item_id} for item_id, output in outputs.items()
        ]
        records += [dump_decision(item_id, decision) for item_id, decision in decisions.items()]
        if self._journal and records:
            self._journal.write(*records)
        self._state.held.update(outputs)
        for item_id, decision in decisions.items():
            self._state.decide(item_id, decision)

    def turn_started(self, turn_id: str, *, model: str = "") -> None:
        """Note that a turn begins. Raises CallerError while another one runs (two would mix their calls and outputs)
        and SessionError if the file has been removed."""
        if self._in_turn:
            raise CallerError(
                "this session is in the middle of a turn", remedy="wait for it, or give each agent its own: fork() it"
            )
        if self._journal:
            self._journal.check_place()
        self._note({"type": "turn_started", "turn_id": turn_id, "model": model, "at": utc_now()})
        self._state.model = model or self.model
        self._in_turn = True

    def sample_finished(self, usage: Usage | None) -> None:
        """Note what the provider counted for a response, right after its items were appended; None: it did not say."""
        if usage is not None:
            self._note({"type": "sample_finished", "usage": dump_usage(usage)})
            self._state.measure(usage)

    def spent(self, attempts: Iterable[Attempt]) -> None:
        """Note what the provider counted for answers that are not in the session: broken ones, summaries. The turn's
        end says it too; this is for a turn that has none."""
        for attempt in attempts:
            if attempt.response.usage is not None:
                self._note({"type": "spent", "usage": dump_usage(attempt.response.usage)})

    def turn_finished(self, turn_id: str, stop_reason: str, usage: Usage) -> None:
        """Note the end of a turn and, unless `fsync` says otherwise, bring the file down to the disk."""
        self._in_turn = False
        self._state.usage += usage
        self._note(
            {
                "type": "turn_finished",
                "turn_id": turn_id,
                "stop_reason": stop_reason,
                "usage": dump_usage(usage),
                "at": utc_now(),
                "totals": self._totals(),
            }
        )
        if self._journal:
            self._journal.end_turn()

    def close(self) -> None:
        """Release the file; the items stay readable. Closing twice is fine."""
        if self._journal:
            self._journal.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"Session(id={self.id!r}, items={len(self._state.items)}, path={str(self.path) if self.path else None!r})"
        )

    def _keep(self, journal: Journal, fsync: Fsync, redact: Redaction | None) -> None:
        self._journal = journal
        self._options = (fsync, redact)
        self._redactor = Redactor(redact) if redact is not None else None

    def _header(self, **members: str) -> Record:
        header: JsonObject = {"id": self.id, "created": utc_now(), **members}
        return {**header, "labels": dict(self.labels)} if self.labels else header

    def _record(self, item: ResponseItem) -> Record:
        """An item as the file has it."""
        if self._redactor is None:
            return {"type": "item", "item": dump_item(item)}
        written, left_out = self._redactor.of(item)
        record: JsonObject = {"type": "item", "item": dump_item(written)}
        return {**record, "redacted": left_out} if left_out else record

    def _note(self, record: Record) -> None:
        if self._journal:
            self._journal.write(record)

    def _totals(self) -> JsonObject:
        """What a list of sessions needs to know, so that it need not read what comes before."""
        state = self._state
        waits = state.waits()
        return {
            "turns": state.turns,
            "items": len(state.items),
            "model": state.model,
            "usage": dump_usage(state.usage),
            **({"waiting": waits} if waits else {}),
        }

    def _add_compaction(self, compacted: Compacted) -> None:
        written = compacted
        if self._redactor is not None:
            written = replace(compacted, items=tuple(self._redactor.of(item)[0] for item in compacted.items))
        self._note(dump_compacted(written, self._state.items, self._state.places))
        self._state.take_compaction(compacted)

    def _copy(self, other: Session) -> None:
        """Everything the other remembers of its conversation, in the order a journal has it."""
        measured, compactions = other._state.measured, deque(other._state.compactions)
        for n, item in enumerate(other._state.items, 1):
            self.append(item)
            while True:
                known = len(self._state.measured)
                if compactions and compactions[0].replaced <= n and compactions[0].measured == known:
                    self._add_compaction(compactions.popleft())
                elif known < len(measured) and measured[known].items <= n:
                    self.sample_finished(Usage(input=measured[known].tokens))
                else:
                    break
        for call in self.open_calls():
            if other.was_started(call):
                self.tool_started(call)
            if (waiting := other.waiting(call)) is not None:
                self.wait_for(call, waiting)
                if waiting.decision is not None:
                    self.take_answers({}, {self._state.identity(call): waiting.decision})
            if (held := other.held_output(call)) is not None:
                self.hold_output(call, held)

    def _reader(self, path: Path) -> TakeRecord:
        return lambda record, number: self._state.apply(record, f"line {number} of {str(path)!r}")

    def _was_read(self, path: Path, torn: int) -> None:
        """After the last record: what there is to say about the file."""
        self._state.end_reading()
        warnings: list[str] = []
        if torn:
            where = f"set aside in {path.name + TORN_SUFFIX!r}" if self._journal else "not read"
            warnings.append(f"the last {torn} bytes of {str(path)!r} were cut off by a crash or damaged: {where}")
        if self._state.left_out:
            warnings.append(f"{self._state.left_out} secrets in tool outputs were left out of {str(path)!r}")
        self.warnings = tuple(warnings)
        if warnings:
            from ..logs import session_warned

            for warning in warnings:
                session_warned(warning, session_id=self.id)


def _named(item: ResponseItem) -> ResponseItem:
    return item.model_copy(update={"id": f"{_PREFIX.get(item.type, 'it')}_{random_id()}"})
