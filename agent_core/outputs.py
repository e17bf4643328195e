"""How the outputs of a batch are written: exactly one per call, in call order, whatever order they come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .call_items import output_item, tool_call
from .items import CallItem, ResponseItem
from .tools.run import Answer, not_run
from .turn_events import ToolFinished, TurnEvent

__all__ = ["Outputs", "SessionLog"]


class SessionLog(Protocol):
    """What acting needs of a session. `append` and `tool_started` are durable when they return."""

    @property
    def id(self) -> str: ...

    def append(self, *items: ResponseItem) -> tuple[ResponseItem, ...]: ...

    def tool_started(self, call: CallItem) -> None: ...

    def was_started(self, call: CallItem) -> bool: ...


class Outputs:
    """The outputs of one batch, written in call order as the gaps close."""

    __slots__ = ("_answers", "_calls", "_next", "_note", "_session")

    def __init__(self, calls: Sequence[CallItem], session: SessionLog, note: Callable[[TurnEvent], None]) -> None:
        self._calls = calls
        self._session = session
        self._note = note
        self._answers: list[Answer | None] = [None] * len(calls)
        self._next = 0

    def record(self, n: int, answer: Answer) -> ToolFinished | None:
        """The answer of call n, and what to tell of it. The first one counts."""
        if self._answers[n] is not None:
            return None
        self._answers[n] = answer
        self._write()
        return ToolFinished(tool_call(self._calls[n]), answer.output, answer.outcome, answer.duration_s)

    def put(self, n: int, answer: Answer) -> None:
        """Record it, and tell it at once."""
        finished = self.record(n, answer)
        if finished is not None:
            self._note(finished)

    def close(self, text: str) -> None:
        """Answer what is still open, and write what could not be written before."""
        for n in range(len(self._calls)):
            self.put(n, not_run(text))
        self._write()

    def _write(self) -> None:
        while self._next < len(self._calls):
            ready = self._answers[self._next]
            if ready is None:
                return
            self._session.append(output_item(self._calls[self._next], ready.output))
            self._next += 1
