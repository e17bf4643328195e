"""Guards against runs that get nowhere: the same calls with the same results, over and over, nothing but failures, or
one tool that is called again and again with what it does not take.

Each counts responses in a row. When its limit is met the model is told, at the end of the last output; if the next
response is no better the run ends, and says why. (A limit of 0 ends it at once.) What does not count:

    repeated   other arguments (ids and the order of calls aside) · another result (durations aside) · calls that took a
               second or more: polling what is still running is waiting, not spinning
    failed     a command that ran and ended with an exit code, whichever (tests that fail) · what was denied
    bad calls  counted for each tool, by its own `retries`; one call among several that the tool took ends the count
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal, TypeAlias

from .items import OutputPart
from .tools.base import ToolCall
from .tools.run import Answer

__all__ = ["GuardStop", "Guards", "canonical_arguments"]

GuardStop: TypeAlias = Literal["repeated", "all_failed", "bad_calls"]

WAITING_S = 1.0
"""A tool that takes this long is no busy loop: write_stdin and its like wait for seconds before they say "nothing"."""

_DURATION = re.compile(r"\b\d+(?:\.\d+)? ?(?:m?s|sec(?:ond)?s?|minutes?)\b")
_REPEATED = "[the same calls with the same results as before: {n} in a row; one more ends the run]"
_FAILED = "[not one call succeeded: {n} in a row; one more such response ends the run]"

_BAD = "[{tool} was called in a way it does not take: {n} in a row; one more such response ends the run]"


class Guards:
    """One turn's. None for a count never stops. `stop`: why the turn has to end."""

    __slots__ = ("_bad", "_failed", "_last", "_max_failed", "_max_repeats", "_repeated", "stop")

    def __init__(self, *, max_repeats: int | None = None, max_failed: int | None = None) -> None:
        self.stop: GuardStop | None = None
        self._max_repeats = max_repeats
        self._max_failed = max_failed
        self._last: _Made | None = None
        self._repeated = self._failed = 0
        self._bad: Counter[str] = Counter()

    def take(self, calls: Sequence[ToolCall], answers: Sequence[Answer]) -> str:
        """What became of the calls of one response. Returns what the model is to be told of it, mostly nothing."""
        made, before = _Made(calls, answers), self._last
        waited = any(answer.duration_s >= WAITING_S for answer in answers)
        same = not waited and before is not None and made.is_like(before)
        self._repeated = self._repeated + 1 if same else 0
        self._last = made
        if not all(answer.outcome == "denied" for answer in answers):
            self._failed = self._failed + 1 if all(map(_failed, answers)) else 0
        self.stop = None
        remarks = (
            *self._bad_calls(calls, answers),
            self._remark(self._repeated, self._max_repeats, "repeated", _REPEATED),
            self._remark(self._failed, self._max_failed, "all_failed", _FAILED),
        )
        return "\n".join(filter(None, remarks))

    def _bad_calls(self, calls: Sequence[ToolCall], answers: Sequence[Answer]) -> Iterator[str]:
        for tool in dict.fromkeys(call.name for call in calls):
            tried = [
                answer
                for call, answer in zip(calls, answers, strict=True)
                if call.name == tool and answer.outcome not in ("not_run", "denied")
            ]
            if all(answer.bad_arguments for answer in tried):
                self._bad[tool] += bool(tried)
            else:
                del self._bad[tool]
            if tried:
                yield self._remark(self._bad[tool], tried[0].retries, "bad_calls", _BAD.replace("{tool}", tool))

    def _remark(self, count: int, most: int | None, stop: GuardStop, words: str) -> str:
        if most is None or count < most or not count:
            return ""
        if count > most:
            self.stop = self.stop or stop
            return ""
        return words.format(n=count)


class _Made:
    """The calls of a response and their results, in any order. Looked at closely only where tools and arguments are
    the same: outputs are long, and few calls are made twice."""

    def __init__(self, calls: Sequence[ToolCall], answers: Sequence[Answer]) -> None:
        self._calls = calls
        self._answers = answers
        self._names = sorted(call.name for call in calls)

    def is_like(self, other: _Made) -> bool:
        return self._names == other._names and self._asked == other._asked and self._told() == other._told()

    @cached_property
    def _asked(self) -> list[tuple[str, str]]:
        return sorted((call.name, canonical_arguments(call.arguments)) for call in self._calls)

    def _told(self) -> Counter[tuple[str, str, str | tuple[OutputPart, ...]]]:
        return Counter(
            (call.name, canonical_arguments(call.arguments), _without_durations(answer.output.content))
            for call, answer in zip(self._calls, self._answers, strict=True)
        )


def _without_durations(content: str | tuple[OutputPart, ...]) -> str | tuple[OutputPart, ...]:
    return _DURATION.sub("…", content) if isinstance(content, str) else content


def canonical_arguments(arguments: str) -> str:
    """Arguments that mean the same are the same text."""
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except (ValueError, RecursionError):
        return arguments


def _failed(answer: Answer) -> bool:
    return answer.outcome != "ok" and "exit_code" not in answer.output.metadata
