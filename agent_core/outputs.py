"""How the outputs of a batch are written: exactly one per call, in call order, whatever order they come in.

An output behind a call that waits for somebody is held: it is in the session's file at once, and becomes part of the
conversation in its turn. So nothing that was done is lost or done again, and outputs still stand as their calls do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec.structs import replace

from .call_items import output_item, tool_call
from .guards import Guards
from .items import CallItem, CallOutputItem, InputText, ResponseItem
from .session.waiting import Waiting
from .tools.base import ToolOutput
from .tools.run import Answer, not_run
from .turn_events import ToolFinished, TurnEvent

__all__ = ["Outputs", "SessionLog"]


class SessionLog(Protocol):
    """What acting needs of a session. What its methods write is durable when they return."""

    @property
    def id(self) -> str: ...

    def append(self, *items: ResponseItem) -> tuple[ResponseItem, ...]: ...

    def tool_started(self, call: CallItem) -> None: ...

    def was_started(self, call: CallItem) -> bool: ...

    def waiting(self, call: CallItem) -> Waiting | None: ...

    def wait_for(self, call: CallItem, waiting: Waiting) -> None: ...

    def held_output(self, call: CallItem) -> CallOutputItem | None: ...

    def hold_output(self, call: CallItem, output: CallOutputItem) -> None: ...


class Outputs:
    """The outputs of one batch, written in call order as the gaps close."""

    __slots__ = ("_answers", "_calls", "_guards", "_next", "_note", "_outputs", "_session", "_waiting")

    def __init__(
        self,
        calls: Sequence[CallItem],
        session: SessionLog,
        note: Callable[[TurnEvent], None],
        guards: Guards | None = None,
    ) -> None:
        self._calls = calls
        self._session = session
        self._note = note
        self._outputs: list[CallOutputItem | None] = [session.held_output(call) for call in calls]
        self._answers: dict[int, Answer] = {}
        self._waiting: dict[int, Waiting] = {}
        self._guards = guards
        self._next = 0
        self._write()

    @property
    def waits(self) -> bool:
        """Whether a call waits for somebody."""
        return bool(self._waiting)

    def has(self, n: int) -> bool:
        """Whether call n has its output."""
        return self._outputs[n] is not None

    def wait(self, n: int, waiting: Waiting) -> None:
        """Call n is not answered now."""
        self._waiting[n] = waiting
        self._write()

    def record(self, n: int, answer: Answer) -> ToolFinished | None:
        """The answer of call n, and what to tell of it. The first one counts."""
        if self._outputs[n] is not None:
            return None
        self._answers[n] = answer
        self._outputs[n] = output_item(self._calls[n], answer.output)
        if self._guards is not None and len(self._answers) == len(self._calls):
            self._remark(self._guards)
        self._write()
        return ToolFinished(tool_call(self._calls[n]), answer.output, answer.outcome, answer.duration_s)

    def put(self, n: int, answer: Answer) -> None:
        """Record it, and tell it at once."""
        finished = self.record(n, answer)
        if finished is not None:
            self._note(finished)

    def close(self, text: str) -> None:
        """Answer what is still open, and write what could not be written before."""
        self._guards = None
        self._waiting.clear()
        for n in range(len(self._calls)):
            self.put(n, not_run(text))
        self._write()

    def pause(self) -> None:
        """Note what the calls without an output wait for."""
        for n, waiting in self._waiting.items():
            if self._session.waiting(self._calls[n]) != waiting:
                self._session.wait_for(self._calls[n], waiting)

    def _remark(self, guards: Guards) -> None:
        """What there is to tell the model of the whole batch stands at the end of its last output: that is not written
        before all others are there."""
        answers = [self._answers[n] for n in range(len(self._calls))]
        if text := guards.take([tool_call(call) for call in self._calls], answers):
            self._outputs[-1] = output_item(self._calls[-1], with_remark(answers[-1].output, text))

    def _write(self) -> None:
        while self._next < len(self._calls):
            ready = self._outputs[self._next]
            if ready is None:
                break
            self._session.append(ready)
            self._next += 1
        if self._next in self._waiting:
            for n in range(self._next + 1, len(self._calls)):
                if (behind := self._outputs[n]) is not None:
                    self._session.hold_output(self._calls[n], behind)


def with_remark(output: ToolOutput, text: str) -> ToolOutput:
    """The output, and a word to the model after it."""
    content = output.content
    if isinstance(content, str):
        return replace(output, content=f"{content}\n{text}" if content else text)
    return replace(output, content=(*content, InputText(text=text)))
