"""Answers as decoders could tell them: legal sequences of events, of any kinds of items, interleaved; and what of an
answer every wire has to keep.

An item is announced with its first word; parts of a message come in order; an answer that refuses only refuses. What it
ends with fits what is in it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from agent_core.codecs.answer_words import readable
from agent_core.events import (
    Completed,
    Created,
    FinishReason,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    RateLimits,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    ReasoningSummaryPartAdded,
    RefusalDelta,
    Response,
    ResponseEvent,
    ResponseStatus,
    ToolCallInputDelta,
    Usage,
)
from agent_core.items import (
    CustomToolCall,
    FunctionCall,
    LocalShellAction,
    LocalShellCall,
    Message,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    WebSearchCall,
    WireName,
)
from agent_core.prompt import CustomToolSpec, Prompt, ToolSpec

__all__ = ["PROMPT", "Said", "answers", "fitted", "said_by"]

PROMPT = Prompt("hi", model="m", tools=[ToolSpec("add"), CustomToolSpec("patch")])

WORDS = ("a", "bc", " ", "\n\n", '"', "\\", "né\u2028", "\U0001f600", "{", "}", "data: [DONE]\n\n", "<think>", "\r\t")
ARGUMENTS = ("{}", '{"a": 1}', '{"text": "é \\" } {"}', '{"a": {"b": [1, "x"]}, "c": "\\n"}')

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5)


@dataclass(frozen=True, slots=True)
class _Part:
    """One text of an item: its place and the pieces it comes in."""

    place: int
    pieces: Sequence[str]
    kind: str


@dataclass(frozen=True, slots=True)
class _Item:
    item: ResponseItem
    announced: ResponseItem
    parts: Sequence[_Part]

    def events(self, index: int, *, streamed: bool) -> list[list[ResponseEvent]]:
        """What comes of it, in order; the events of one step are not torn apart."""
        words = [step for part in self.parts for step in _events(index, self.item, part)] if streamed else []
        return [*words, [OutputItemDone(index, self.item)]]


def _events(index: int, item: ResponseItem, part: _Part) -> list[list[ResponseEvent]]:
    match part.kind:
        case "text":
            return [[OutputTextDelta(index, piece, part.place)] for piece in part.pieces]
        case "refusal":
            return [[RefusalDelta(index, piece, part.place)] for piece in part.pieces]
        case "content":
            return [[ReasoningContentDelta(index, piece, part.place)] for piece in part.pieces]
        case "summary":
            deltas = [ReasoningSummaryDelta(index, piece, part.place) for piece in part.pieces]
            steps: list[list[ResponseEvent]] = [[delta] for delta in deltas]
            steps[0].insert(0, ReasoningSummaryPartAdded(index, part.place))
            return steps
        case _:
            assert isinstance(item, (FunctionCall, CustomToolCall))
            return [[ToolCallInputDelta(index, item.call_id, piece)] for piece in part.pieces]


@st.composite
def _messages(draw: st.DrawFn, kind: str) -> _Item:
    said = [_Part(place, draw(texts), kind) for place in range(draw(st.integers(1, 2)))]
    parts = ["".join(part.pieces) for part in said]
    content = tuple(OutputText(text=text) if kind == "text" else Refusal(refusal=text) for text in parts)
    return _Item(Message(role="assistant", content=content), Message(role="assistant"), said)


@st.composite
def _reasonings(draw: st.DrawFn) -> _Item:
    kind = draw(st.sampled_from(["content", "summary"]))
    said = [_Part(place, draw(texts), kind) for place in range(draw(st.integers(1, 2)))]
    item = Reasoning.model_validate({kind: ["".join(part.pieces) for part in said]})
    return _Item(item, Reasoning(), said)


@st.composite
def _calls(draw: st.DrawFn) -> _Item:
    if draw(st.booleans()):
        arguments = draw(st.sampled_from(ARGUMENTS))
        empty = FunctionCall(call_id="c", name="add")
        return _Item(empty.model_copy(update={"arguments": arguments}), empty, _cut(draw, arguments))
    text = "".join(draw(texts))
    custom = CustomToolCall(call_id="c", name="patch")
    return _Item(custom.model_copy(update={"input": text}), custom, _cut(draw, text))


def _cut(draw: st.DrawFn, text: str) -> list[_Part]:
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=3)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return [_Part(0, [piece for piece in pieces if piece], "input")]


_shell = LocalShellCall(call_id="c", action=LocalShellAction(command=("ls", "-a")))
_search = WebSearchCall(action={"type": "search", "query": "q"}, status="completed")
others = st.sampled_from([_Item(_shell, _shell, ()), _Item(_search, _search, ())])
answered = st.one_of(_messages("text"), _reasonings(), _calls(), _calls(), others)
refused = st.one_of(_messages("refusal"), _reasonings(), others)
items = st.one_of(st.lists(answered, max_size=5), st.lists(answered, max_size=5), st.lists(refused, max_size=3))

usages = st.none() | st.builds(
    Usage,
    input=st.integers(0, 50),
    cache_read=st.integers(0, 9),
    cache_write=st.integers(2, 9),
    cache_write_1h=st.integers(0, 2),
    output=st.integers(0, 50),
    reasoning=st.integers(0, 5),
)


@st.composite
def answers(draw: st.DrawFn) -> list[ResponseEvent]:
    """The events of one answer that ended well, or was cut by its cap."""
    made = [_numbered(item, number) for number, item in enumerate(draw(items))]
    cut = bool(made) and draw(st.integers(0, 4)) == 0
    if cut:
        made = _with_last_cut(made)
    lines = [item.events(number, streamed=draw(st.booleans()) or item.parts == ()) for number, item in enumerate(made)]
    events: list[ResponseEvent] = [Created("resp_1", "m")]
    events += [RateLimits(())] if draw(st.booleans()) else []
    open_lines: list[int] = []
    begun = 0
    while begun < len(lines) or open_lines:
        if begun < len(lines) and (not open_lines or draw(st.booleans())):
            number, begun = begun, begun + 1
            events.append(OutputItemAdded(number, made[number].announced))
            open_lines.append(number)
        else:
            number = draw(st.sampled_from(open_lines))
        events += lines[number].pop(0)
        if not lines[number]:
            open_lines.remove(number)
    return [*events, draw(_ends([item.item for item in made], cut=cut))]


def _numbered(one: _Item, number: int) -> _Item:
    if not hasattr(one.item, "call_id"):
        return one
    ids = {"call_id": f"call_{number}"}
    return replace(one, item=one.item.model_copy(update=ids), announced=one.announced.model_copy(update=ids))


def _with_last_cut(made: list[_Item]) -> list[_Item]:
    """The answer was cut in its last item: what comes in an order of its own on some wire stands before it."""
    last = made[-1]
    if any(one.item.type.endswith("_call") for one in made) and last.item.type != "function_call":
        empty = FunctionCall(call_id="call_99", name="add")
        last = _Item(empty.model_copy(update={"arguments": "{"}), empty, ())
        made = [*made, last]
    item = last.item.model_copy(update={"status": "incomplete"})
    if isinstance(item, FunctionCall):
        half = item.arguments[: max(1, len(item.arguments) // 2)]
        item = item.model_copy(update={"arguments": half})
        last = replace(last, parts=(_Part(0, (half,), "input"),))
    return [*made[:-1], replace(last, item=item)]


@st.composite
def _ends(draw: st.DrawFn, made: list[ResponseItem], *, cut: bool) -> Completed:
    calls = any(isinstance(item, (FunctionCall, CustomToolCall, LocalShellCall)) for item in made)
    reasons: list[FinishReason] = ["stop", "content_filter", "refusal", "pause", "unknown"]
    reason: FinishReason = "length" if cut else "tool_calls" if calls else draw(st.sampled_from(reasons))
    status: ResponseStatus = "incomplete" if reason in ("length", "content_filter") else "completed"
    sequence = draw(st.none() | st.just("###")) if reason == "stop" else None
    return Completed("resp_1", "m", reason, status, draw(usages), stop_sequence=sequence)


@dataclass(frozen=True, slots=True)
class Said:
    """What every wire has to keep of an answer, each in its way."""

    text: str
    refusal: str
    reasoning: str
    calls: tuple[tuple[str, str, str, str, str], ...]
    finish: FinishReason
    status: ResponseStatus
    usage: Usage | None
    stop_sequence: str | None


def said_by(response: Response) -> Said:
    thoughts = [readable(item) for item in response.items if isinstance(item, Reasoning)]
    return Said(
        response.text,
        response.refusal,
        "".join(thoughts),
        tuple(_call(item) for item in response.tool_calls),
        response.finish_reason,
        response.status,
        response.usage,
        response.stop_sequence,
    )


def _call(item: ResponseItem) -> tuple[str, str, str, str, str]:
    match item:
        case FunctionCall():
            return item.type, item.call_id, item.name, item.arguments, item.status
        case CustomToolCall():
            return item.type, item.call_id, item.name, item.input, item.status
        case LocalShellCall():
            action = item.action.model_dump(mode="json", exclude_none=True, exclude={"type"})
            return (
                "local_shell_call",
                item.call_id,
                "local_shell",
                json.dumps(action, separators=(",", ":")),
                item.status,
            )
        case _:
            return item.type, "", "", "", ""


def fitted(wire: WireName, said: Said, items: Sequence[ResponseItem]) -> Said:
    """What is left of an answer on a wire: all of it but the losses the wire declares. `items` are the answer's."""
    return _FITS[wire](said, items)


def _on_chat(said: Said, items: Sequence[ResponseItem]) -> Said:
    return _ended(
        replace(said, calls=_lowered(said)), {"refusal": "content_filter", "pause": "stop", "unknown": "stop"}
    )


def _on_responses(said: Said, items: Sequence[ResponseItem]) -> Said:
    words: dict[FinishReason, FinishReason] = {"refusal": "content_filter", "pause": "stop", "unknown": "stop"}
    return _ended(replace(said, stop_sequence=None), words)


def _on_messages(said: Said, items: Sequence[ResponseItem]) -> Said:
    words: dict[FinishReason, FinishReason] = {"content_filter": "refusal", "unknown": "stop"}
    if said.refusal:
        words["stop"] = "refusal"
    text = "".join(_all_text(item) for item in items if isinstance(item, Message))
    kept = replace(said, text=text, refusal="", calls=_lowered(said), usage=said.usage or Usage())
    return _ended(kept, words, incomplete=("length",))


_FITS = {"chat": _on_chat, "responses": _on_responses, "messages": _on_messages}


def _ended(
    said: Said, words: dict[FinishReason, FinishReason], incomplete: tuple[str, ...] = ("length", "content_filter")
) -> Said:
    finish = words.get(said.finish, said.finish)
    status: ResponseStatus = "incomplete" if finish in incomplete else "completed"
    return replace(said, finish=finish, status=status)


def _lowered(said: Said) -> tuple[tuple[str, str, str, str, str], ...]:
    """The wire knows no call of a shell: it is one of a function."""
    return tuple(("function_call", *call[1:]) if call[0] == "local_shell_call" else call for call in said.calls)


def _all_text(item: Message) -> str:
    return "".join(
        part.refusal if isinstance(part, Refusal) else part.text
        for part in item.content
        if isinstance(part, (OutputText, Refusal))
    )
