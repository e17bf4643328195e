"""Scripts of a rehearsed model: what it says at each step, as data, and how that becomes items and events.

A script is a sequence of `Step`s or a function from the prompt to a step. Nothing here knows HTTP or a wire's JSON:
the server decodes a request, asks `step_for`, and writes what `answer_events` or `answer_response` make of the step
with the wire's own codec, so its bytes are the bytes the codecs are tested for.

Which step answers: the number of answers the model has already given in the request's history. The server keeps no
conversation, so a request may be repeated and gets the same answer, ids included. A request for a summary of the
history (agent_core.compaction) is answered with one that says how many answers it stands for, and the script goes on
after it. A function is given that request like any other; `asks_for_summary` knows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, TypeAlias, get_args

from ..compaction.policy import SUMMARY_PROMPT
from ..errors import (
    ApiError,
    AuthenticationError,
    ConfigError,
    InvalidRequestError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from ..events import (
    Completed,
    Created,
    FinishReason,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    ReasoningSummaryPartAdded,
    RefusalDelta,
    Response,
    ResponseEvent,
    ToolCallInputDelta,
    Usage,
)
from ..items import (
    AssistantPart,
    CallItem,
    Compaction,
    CustomToolCall,
    FunctionCall,
    ItemStatus,
    JsonValue,
    Message,
    Origin,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    WireName,
    text_of,
)
from ..prompt import CustomToolSpec, Prompt

__all__ = [
    "Call",
    "Cut",
    "Script",
    "Step",
    "answer_events",
    "answer_response",
    "answers_in",
    "asks_for_summary",
    "compaction_of",
    "error_of_status",
    "last_user_text",
    "step_for",
    "turn_items",
]

Cut = Literal["disconnect", "truncate", "stall", "garbage", "error"]
"""How a stream breaks: the connection drops; the body ends cleanly but too early; nothing more comes; bytes that are
no event of any wire; the wire's own error event."""

_BYTES_PER_TOKEN = 4
_SUMMARISED = re.compile(r"A rehearsed summary of (\d+) answers")
_WORD = re.compile(r"\s*\S{1,12}|\s+")
_ARGUMENT_PIECE = 12  # characters; real servers send 2 to 20
_INCOMPLETE: Mapping[str, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
_RESPONSE_PREFIX: Mapping[WireName, str] = {"chat": "chatcmpl-", "responses": "resp_", "messages": "msg_"}
_CALL_PREFIX: Mapping[WireName, str] = {"chat": "call_", "responses": "call_", "messages": "toolu_"}
_BLANK: Mapping[str, Mapping[str, object]] = {
    "reasoning": {"summary": (), "content": (), "encrypted_content": None, "signature": None},
    "message": {"content": ()},
    "function_call": {"arguments": ""},
    "custom_tool_call": {"input": ""},
}
_ERRORS: Mapping[int, type[ApiError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: ModelNotFoundError,
    429: RateLimitError,
    503: OverloadedError,
    529: OverloadedError,
}
_REASONING_FIELD: Mapping[WireName, str] = {"chat": "reasoning_content", "responses": "summary", "messages": "thinking"}


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call. `arguments` is an object, or text that is sent as it is (broken JSON too; the whole input of a
    free-form tool). Without `call_id` one is derived from the request."""

    name: str
    arguments: Mapping[str, JsonValue] | str = field(default_factory=dict[str, JsonValue])
    call_id: str = ""

    @property
    def text(self) -> str:
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(dict(self.arguments), ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One answer of the model, or the way it fails to come.

    An answer is `reasoning`, then `text` and `refusal`, then `calls`; `finish` and `usage` are derived where not given,
    and `Prompt.max_output_tokens` cuts it as a server would.

    `status` other than 200 makes it an HTTP error with `error` as its message, `code` as the wire's code and `headers`
    (e.g. `{"retry-after": "1"}`). `cut_after_events` breaks the answer after that many events, in the way `cut` says.
    `body` is sent verbatim instead of anything else: a recorded stream, an HTML error page. `delay_s` passes before the
    first byte.

    `failures` are what the first attempts at this step get, one each; the next attempt gets this step, and the count
    starts again. An attempt is the same request, byte for byte.
    """

    reasoning: str = ""
    text: str = ""
    refusal: str = ""
    calls: tuple[Call, ...] = ()
    finish: FinishReason | Literal[""] = ""
    usage: Usage | None = None
    status: int = 200
    error: str = ""
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    cut_after_events: int | None = None
    cut: Cut = "disconnect"
    body: bytes = b""
    delay_s: float = 0.0
    failures: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if self.status != 200 and not 400 <= self.status <= 599:
            raise ConfigError(f"a step's status must be 200 or 400 to 599, got {self.status!r}")
        if self.finish and self.finish not in get_args(FinishReason):
            raise ConfigError(f"a step's finish must be one of {get_args(FinishReason)}, got {self.finish!r}")
        if self.cut not in get_args(Cut):
            raise ConfigError(f"a step's cut must be one of {get_args(Cut)}, got {self.cut!r}")
        if self.cut_after_events is not None and self.cut_after_events < 0:
            raise ConfigError(f"cut_after_events must not be negative, got {self.cut_after_events!r}")
        if self.delay_s < 0:
            raise ConfigError(f"delay_s must not be negative, got {self.delay_s!r}")
        if any(step.failures for step in self.failures):
            raise ConfigError("the failures of a step cannot have failures themselves", remedy="list them one by one")


Script: TypeAlias = Sequence[Step] | Callable[[Prompt], Step]


def answers_in(items: Sequence[ResponseItem]) -> int:
    """How many answers of the model a history holds: a run of model-made items is one, a rehearsed summary is as many
    as it says."""
    count = 0
    inside = False
    for item in items:
        if isinstance(item, Message) and item.role == "user":
            count += sum(map(int, _SUMMARISED.findall(text_of(item))))
        elif isinstance(item, Compaction):
            count += sum(map(int, _SUMMARISED.findall(item.encrypted_content or "")))
        made = _made_by_model(item)
        count += made and not inside
        inside = made
    return count


def asks_for_summary(prompt: Prompt) -> bool:
    """Whether a request is for a summary of its history, with the words an agent uses unless it is told others."""
    last = prompt.items[-1] if prompt.items else None
    return isinstance(last, Message) and last.role == "user" and SUMMARY_PROMPT in text_of(last)


def compaction_of(prompt: Prompt) -> Compaction:
    """What the compaction endpoint of a rehearsed provider makes of a history: sealed, for all a client knows."""
    return Compaction(encrypted_content=f"rehearsal: {_summary(prompt)}", origin=Origin(wire="responses"))


def _summary(prompt: Prompt) -> str:
    return f"A rehearsed summary of {answers_in(prompt.items)} answers."


def turn_items(prompt: Prompt) -> tuple[ResponseItem, ...]:
    """What follows the last user message: the calls and outputs of the turn that is going on."""
    for n in range(len(prompt.items) - 1, -1, -1):
        item = prompt.items[n]
        if isinstance(item, Message) and item.role == "user":
            return prompt.items[n + 1 :]
    return prompt.items


def last_user_text(prompt: Prompt) -> str:
    """The text of the last user message, or an empty string."""
    for item in reversed(prompt.items):
        if isinstance(item, Message) and item.role == "user":
            return text_of(item)
    return ""


def step_for(name: str, script: Script, prompt: Prompt) -> Step:
    """The step that answers `prompt`. Raises InvalidRequestError (status 400) when there is none, or when the script is
    a function that fails: the message names the script and the step. An ApiError a function raises is its answer."""
    if callable(script):
        try:
            step = script(prompt)
            if not isinstance(step, Step):
                raise TypeError(f"it must return a Step, not {type(step).__name__}")
            return step
        except ApiError:
            raise
        except Exception as error:
            problem = f"script {name!r} failed on this prompt: {type(error).__name__}: {error}"
            raise InvalidRequestError(problem, status=400, code="script_failed") from error
    number = answers_in(prompt.items)
    if asks_for_summary(prompt):
        return Step(text=_summary(prompt))
    if number < len(script):
        return script[number]
    raise InvalidRequestError(
        f"script {name!r} has no step {number + 1}: it ends with step {len(script)}, and the history holds answers of "
        f"the model up to step {number}; add a step, or start a new conversation",
        status=400,
        code="script_ended",
    )


def answer_response(step: Step, prompt: Prompt, wire: WireName, *, request: bytes) -> Response:
    """The step as a whole answer. `request` is the body it answers: ids and input tokens are derived from it."""
    seed = sha256(request).hexdigest()
    items, cut = _cut_at_cap(_items(step, prompt, wire, seed), step, prompt)
    finish: FinishReason = step.finish or ("length" if cut else _natural_finish(step, wire))
    incomplete_reason = _INCOMPLETE.get(finish)
    if incomplete_reason and items and not cut:
        items[-1] = _marked(items[-1], "incomplete")
    return Response(
        id=_RESPONSE_PREFIX[wire] + seed[:24],
        model=prompt.model,
        items=tuple(items),
        finish_reason=finish,
        status="incomplete" if incomplete_reason else "completed",
        usage=step.usage or _usage(items, request),
        incomplete_reason=incomplete_reason,
    )


def answer_events(response: Response) -> Iterator[ResponseEvent]:
    """The events of a response as a server streams it: word by word, arguments in small pieces."""
    yield Created(response.id, response.model)
    for index, item in enumerate(response.items):
        yield OutputItemAdded(index, _emptied(item))
        yield from _deltas(index, item)
        yield OutputItemDone(index, item)
    yield Completed(
        response_id=response.id,
        model=response.model,
        finish_reason=response.finish_reason,
        status=response.status,
        usage=response.usage,
        end_turn=response.end_turn,
        native_reason=response.native_reason,
        incomplete_reason=response.incomplete_reason,
        stop_sequence=response.stop_sequence,
    )


def error_of_status(status: int, message: str, code: str | None = None) -> ApiError:
    """The error an HTTP status stands for."""
    kind = _ERRORS.get(status, ServerError if status >= 500 else InvalidRequestError)
    return kind(message or f"a rehearsed failure with status {status}", status=status, code=code)


def _made_by_model(item: ResponseItem) -> bool:
    if isinstance(item, Message):
        return item.role == "assistant"
    return isinstance(item, (Reasoning, CallItem))


def _items(step: Step, prompt: Prompt, wire: WireName, seed: str) -> list[ResponseItem]:
    origin = Origin(wire=wire, provider="rehearsal", model=prompt.model)
    items: list[ResponseItem] = []
    if step.reasoning:
        items.append(_reasoning(step.reasoning, origin.model_copy(update={"field": _REASONING_FIELD[wire]})))
    parts: list[AssistantPart] = []
    if step.text:
        parts.append(OutputText(text=step.text))
    if step.refusal:
        parts.append(Refusal(refusal=step.refusal))
    if parts:
        items.append(Message(role="assistant", content=tuple(parts), origin=origin))
    custom = {spec.name for spec in prompt.tools if isinstance(spec, CustomToolSpec)}
    for n, call in enumerate(step.calls):
        call_id = call.call_id or _CALL_PREFIX[wire] + sha256(f"{seed}:{n}".encode()).hexdigest()[:24]
        if call.name in custom:
            items.append(CustomToolCall(call_id=call_id, name=call.name, input=call.text, origin=origin))
        else:
            items.append(FunctionCall(call_id=call_id, name=call.name, arguments=call.text, origin=origin))
    return items


def _reasoning(text: str, origin: Origin) -> Reasoning:
    """Reasoning as each wire's own vendor gives it: a summary beside an encrypted whole on Responses, signed thinking
    on Messages, plain text on Chat."""
    proof = sha256(text.encode()).hexdigest()
    match origin.wire:
        case "responses":
            return Reasoning(summary=(text,), encrypted_content=f"rehearsal:{proof}", origin=origin)
        case "messages":
            return Reasoning(content=(text,), signature=f"rehearsal:{proof}", origin=origin)
        case "chat":
            return Reasoning(content=(text,), origin=origin)


def _natural_finish(step: Step, wire: WireName) -> FinishReason:
    """OpenAI says a refusal in the message and ends with `stop`; Anthropic says it in the stop reason."""
    if step.calls:
        return "tool_calls"
    return "refusal" if step.refusal and wire == "messages" else "stop"


def _spoken(item: ResponseItem) -> str:
    """Everything the model generated for an item: what its tokens are counted on."""
    match item:
        case Reasoning():
            return item.text
        case Message():
            return text_of(item) + "".join(part.refusal for part in item.content if isinstance(part, Refusal))
        case FunctionCall():
            return item.name + item.arguments
        case CustomToolCall():
            return item.name + item.input
        case _:
            return ""


def _tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


def _usage(items: Sequence[ResponseItem], request: bytes) -> Usage:
    thought = sum(_tokens(_spoken(item)) for item in items if isinstance(item, Reasoning))
    said = sum(_tokens(_spoken(item)) for item in items if not isinstance(item, Reasoning))
    return Usage(input=max(1, len(request) // _BYTES_PER_TOKEN), output=said, reasoning=thought)


def _cut_at_cap(items: list[ResponseItem], step: Step, prompt: Prompt) -> tuple[list[ResponseItem], bool]:
    """The items that fit under the prompt's cap of output tokens, the one it falls into cut short and marked."""
    cap = prompt.max_output_tokens
    if cap is None or step.finish:
        return items, False
    kept: list[ResponseItem] = []
    for item in items:
        need = _tokens(_spoken(item))
        if need > cap:
            shortened = _shortened(item, cap * _BYTES_PER_TOKEN)
            if _tokens(_spoken(shortened)) <= cap and cap:  # not even a call's name may fit
                kept.append(_marked(shortened, "incomplete"))
            return kept, True
        cap -= need
        kept.append(item)
    return kept, False


def _shortened(item: ResponseItem, size: int) -> ResponseItem:
    """The item with what was generated for it cut to `size` bytes; a signature comes last and is lost."""
    match item:
        case Reasoning() if item.summary:
            return item.model_copy(update={"summary": (_first_bytes(item.text, size),)})
        case Reasoning():
            return item.model_copy(update={"content": (_first_bytes(item.text, size),), "signature": None})
        case Message():
            return item.model_copy(update={"content": _first_parts(item, size)})
        case FunctionCall():
            return item.model_copy(update={"arguments": _first_bytes(item.arguments, size - len(item.name))})
        case CustomToolCall():
            return item.model_copy(update={"input": _first_bytes(item.input, size - len(item.name))})
        case _:
            return item


def _first_parts(message: Message, size: int) -> tuple[AssistantPart, ...]:
    parts: list[AssistantPart] = []
    for part in message.content:
        if isinstance(part, OutputText):
            parts.append(OutputText(text=_first_bytes(part.text, size)))
            size -= len(part.text.encode("utf-8", "replace"))
        elif isinstance(part, Refusal):
            parts.append(Refusal(refusal=_first_bytes(part.refusal, size)))
    return tuple(part for part in parts if part != OutputText(text="") and part != Refusal(refusal=""))


def _first_bytes(text: str, size: int) -> str:
    return text.encode("utf-8", "replace")[: max(0, size)].decode("utf-8", "ignore")


def _marked(item: ResponseItem, status: ItemStatus) -> ResponseItem:
    return item.model_copy(update={"status": status})


def _emptied(item: ResponseItem) -> ResponseItem:
    """The item as it is announced: nothing generated yet."""
    return item.model_copy(update={**_BLANK.get(item.type, {}), "status": "in_progress"})


def _deltas(index: int, item: ResponseItem) -> Iterator[ResponseEvent]:
    match item:
        case Reasoning():
            for n, text in enumerate(item.summary):
                yield ReasoningSummaryPartAdded(index, n)
                yield from (ReasoningSummaryDelta(index, word, n) for word in _WORD.findall(text))
            for n, text in enumerate(item.content):
                yield from (ReasoningContentDelta(index, word, n) for word in _WORD.findall(text))
        case Message():
            for n, part in enumerate(item.content):
                if isinstance(part, OutputText):
                    yield from (OutputTextDelta(index, word, n) for word in _WORD.findall(part.text))
                elif isinstance(part, Refusal):
                    yield from (RefusalDelta(index, word, n) for word in _WORD.findall(part.refusal))
        case FunctionCall():
            yield from (ToolCallInputDelta(index, item.call_id, piece) for piece in _pieces(item.arguments))
        case CustomToolCall():
            yield from (ToolCallInputDelta(index, item.call_id, piece) for piece in _pieces(item.input))
        case _:
            return


def _pieces(text: str) -> Iterator[str]:
    return (text[n : n + _ARGUMENT_PIECE] for n in range(0, len(text), _ARGUMENT_PIECE))
