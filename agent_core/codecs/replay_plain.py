"""Plain runs: the part of a history that goes out as it came in, told apart item by item without the looks of replay.

Almost all of a coding session is that: text of the user, then steps of one text of the model at most, its function
calls, and their outputs in call order. Nothing in it is repaired, moved or renamed, so it needs no fitting, no pairs
and no step of its own: a run of it is one list of items and one of call ids. What is in any way unusual ends the run,
and replay looks at it. Every rule stands there in full; a run is plain only where each of them leaves all as it is.
Nor does what follows change it: its steps have all their outputs, or a message of the user's behind them.

That saves four fifths of what replay costs otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..items import ResponseItem, WireName
from .base import Compat
from .input_checks import MAX_INPUT_CHARS
from .replay_pairs import CallIds
from .replay_text import is_clean, legal_name, plain_object

__all__ = ["PlainRun", "PlainRuns"]


class PlainRun:
    """Items of a history from `start` on that are sent as they are, and the ids of the calls among them."""

    __slots__ = ("call_ids", "items", "last_user", "start")

    def __init__(self, start: int, items: Sequence[ResponseItem], call_ids: list[str], last_user: int) -> None:
        self.start = start
        self.items = items
        self.call_ids = call_ids
        self.last_user = last_user
        """Index of the last message of the user's; -1 if there is none."""


class PlainRuns:
    """Finds them. `called` holds the first index of every function call so far by its id; those of runs are added to
    it. `is_plain_reasoning` says of a reasoning that it is sent as it is, or is None where replay has to see to all."""

    __slots__ = ("_called", "_calls_go_last", "_is_legal_id", "_is_plain_reasoning", "_names", "_opens_itself", "_wire")

    def __init__(
        self,
        *,
        wire: WireName,
        compat: Compat,
        ids: CallIds,
        called: dict[str, int],
        is_plain_reasoning: Callable[[ResponseItem], bool] | None,
    ) -> None:
        self._wire: WireName = wire
        self._calls_go_last = wire != "responses" or compat.calls_last
        self._is_legal_id = ids.is_legal
        self._called = called
        self._is_plain_reasoning = is_plain_reasoning
        self._names: set[str] = set()  # of tools, those that stay as they are
        self._opens_itself = wire == "messages"  # the first message has to be the user's

    def take(self, items: Sequence[ResponseItem], at: int, start: int, *, spoken: bool) -> PlainRun | None:
        """The longest run that begins with `items[at]`, which is number `start` of the history; None if there is none.
        No step may be open. `spoken`: a message of the user's is sent before."""
        if self._opens_itself and not (spoken or _is_users(items[at])):
            return None
        called, names, calls_go_last = self._called, self._names, self._calls_go_last
        offset = start - at
        closed, last_user = at, -1
        call_ids: list[str] = []
        answerable: str | None = None  # the id of the step's first open call
        waiting: list[str] = []  # of those behind it
        says = thinks = answers = False  # whether the step has a text, an output, and ends in reasoning
        for n in range(at, len(items)):
            # The dict of a model, not its attributes: to look there costs a fifth.
            fields = items[n].__dict__
            kind = fields["type"]
            if kind == "function_call_output":
                output = fields["output"]
                if fields["call_id"] != answerable or thinks or type(output) is not str:
                    break
                if not ((output.isascii() and "\0" not in output) or is_clean(output)):
                    break
                if waiting:
                    answerable, answers = waiting.pop(0), True
                else:
                    answerable, says, answers, closed = None, False, False, n + 1
            elif kind == "function_call":
                call_id, name, arguments = fields["call_id"], fields["name"], fields["arguments"]
                if answers or call_id in called or fields["opaque"] is not None or fields["namespace"] is not None:
                    break
                if (name not in names and not self._is_legal_name(name)) or not self._is_legal_id(call_id):
                    break
                if len(arguments) > MAX_INPUT_CHARS or plain_object(arguments) is None:
                    break
                called[call_id] = n + offset
                call_ids.append(call_id)
                if answerable is None:
                    answerable = call_id
                else:
                    waiting.append(call_id)
                thinks = False
            elif kind == "message":
                content = fields["content"]
                if len(content) != 1 or fields["opaque"] is not None:
                    break
                part = content[0].__dict__
                if fields["role"] == "assistant":
                    if says or answers or (calls_go_last and answerable is not None) or part["type"] != "output_text":
                        break
                    says, thinks = True, False
                else:
                    if fields["role"] != "user" or answerable is not None or thinks or part["type"] != "input_text":
                        break
                    says = False
                text = part["text"]
                if not text or text.isspace() or not ((text.isascii() and "\0" not in text) or is_clean(text)):
                    break
                if not says:
                    closed, last_user = n + 1, n + offset
            elif kind == "reasoning" and self._is_plain_reasoning is not None:
                if answers or not self._is_plain_reasoning(items[n]):
                    break
                thinks = True
            else:
                break
        while call_ids and called[call_ids[-1]] >= closed + offset:  # of a step that is still open
            del called[call_ids.pop()]
        return PlainRun(start, items[at:closed], call_ids, last_user) if closed > at else None

    def _is_legal_name(self, name: str) -> bool:
        if legal_name(name, self._wire) != name:
            return False
        self._names.add(name)
        return True


def _is_users(item: ResponseItem) -> bool:
    return item.type == "message" and item.role == "user"
