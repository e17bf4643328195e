"""Messages: what its requests, answers and streams have in common. Blocks of items, stop reasons, sources, JSON.

A content block is this wire's atom. Items become blocks here, one small function per kind; blocks become items in
`messages_open`, as `messages_stream` feeds them: the only place that reads what a model made (a whole answer is a
stream whose blocks come complete).

    item (assistant's)                      block
    Message, each part                      text (citations of this wire's own kinds are kept)
    Reasoning                               thinking, or redacted_thinking where that is what came
    FunctionCall                            tool_use
    CustomToolCall                          tool_use with {"input": text}
    LocalShellCall                          tool_use "local_shell" with the action
    UnknownItem of this wire                its raw block
    other kinds                             none
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic_core import from_json

from ..errors import (
    ApiError,
    AuthenticationError,
    ContentFilterError,
    HeldBack,
    InvalidRequestError,
    ModelError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    StreamError,
    TransportError,
    TransportTimeout,
)
from ..events import Completed, FinishReason
from ..items import (
    CustomToolCall,
    FunctionCall,
    JsonObject,
    JsonValue,
    LocalShellCall,
    Message,
    Origin,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    UnknownItem,
    dump_item,
)
from .answer_words import readable
from .base import Loss, json_bytes, json_object, json_str
from .replay_text import json_arguments

__all__ = [
    "LOCAL_SHELL",
    "REDACTED",
    "STOP_REASONS",
    "THINKING",
    "answer_losses",
    "assistant_blocks",
    "call_arguments",
    "call_name",
    "citations_of",
    "dump_text",
    "error_to_wire",
    "finish_reason_of",
    "input_of",
    "is_call",
    "is_error_object",
    "is_redacted",
    "json_or_text",
    "load_json",
    "of_this_wire",
    "reasoning_block",
    "stop_reason_of",
    "tool_use_block",
]

LOCAL_SHELL = "local_shell"
"""The function a local shell call becomes where the wire has no such call; replay uses the same name."""

THINKING = "thinking"
REDACTED = "redacted_thinking"
"""`Origin.field` of a reasoning item, which is also the type of its block."""

STOP_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
    "pause_turn": "pause",
    "compaction": "pause",  # pause_after_compaction: the call is to be made again with the compacted history
}

_STOP_WORDS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",  # behaviours.md W-S2-05: not an ordinary end
    "refusal": "refusal",
    "pause": "pause_turn",
    "error": "end_turn",
    "unknown": "end_turn",
}

_STATUSES: tuple[tuple[type[ModelError], int], ...] = (
    (AuthenticationError, 401),
    (PermissionDeniedError, 403),
    (ModelNotFoundError, 404),
    (InvalidRequestError, 400),
    (ContentFilterError, 400),
    (RateLimitError, 429),
    (QuotaExceededError, 402),
    (OverloadedError, 529),
    (HeldBack, 529),
    (TransportTimeout, 504),
    (TransportError, 502),  # of our upstream's making, not ours: behaviours.md S0-5
    (StreamError, 502),
    (ModelError, 500),
)

_ERROR_TYPES: dict[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_ERROR_WORDS = frozenset({*_ERROR_TYPES.values(), "invalid_request_error"})

_CITATIONS = frozenset(
    {
        "char_location",
        "page_location",
        "content_block_location",
        "search_result_location",
        "web_search_result_location",
    }
)


def load_json(data: bytes) -> JsonValue:
    """The JSON value of one frame or body. Raises ValueError for anything else.

    Half surrogate pairs, which pydantic-core refuses and some servers send, become U+FFFD.
    """
    try:
        parsed: JsonValue = from_json(data)
    except ValueError:
        try:
            parsed = from_json(json_bytes(json.loads(data)))
        except RecursionError:
            raise ValueError("JSON nested too deep") from None
    return parsed


def json_or_text(text: str) -> JsonValue:
    """The JSON value it is the text of, or itself."""
    try:
        return load_json(text.encode())
    except ValueError:
        return text


def dump_text(value: JsonValue) -> str:
    return json_bytes(value).decode()


def input_of(arguments: str) -> JsonObject | None:
    """A call's arguments as the object this wire wants; None if they are none (cut, invalid, or another value)."""
    try:
        return json_object(load_json(arguments.encode("utf-8", "surrogatepass")))
    except ValueError:
        return None


def of_this_wire(origin: Origin | None) -> bool:
    return origin is not None and origin.wire == "messages"


def assistant_blocks(item: ResponseItem) -> list[JsonObject]:
    """The blocks of a model-made item, in order; empty for a kind this wire cannot show."""
    match item:
        case Message():
            return [block for part in item.content if isinstance(part, (OutputText, Refusal)) for block in _text(part)]
        case Reasoning():
            return reasoning_block(item)
        case FunctionCall() | CustomToolCall() | LocalShellCall():
            return [tool_use_block(item)]
        case UnknownItem() if of_this_wire(item.origin):
            return [item.raw]
        case _:
            return []


def _text(part: OutputText | Refusal) -> list[JsonObject]:
    if isinstance(part, Refusal):
        return [{"type": "text", "text": part.refusal}] if part.refusal else []
    citations = citations_of(part)
    if citations:
        return [{"type": "text", "text": part.text, "citations": citations}]
    return [{"type": "text", "text": part.text}] if part.text else []


def citations_of(part: OutputText) -> list[JsonValue]:
    """The annotations that are citations of this wire; those of other wires have no place in it."""
    return [dict(note) for note in part.annotations if json_str(note.get("type")) in _CITATIONS]


def reasoning_block(item: Reasoning) -> list[JsonObject]:
    """A `thinking` or `redacted_thinking` block, or nothing for reasoning that is opaque to this wire."""
    if is_redacted(item):
        return [{"type": REDACTED, "data": item.encrypted_content}]
    if not item.text and not item.signature:
        return []
    return [{"type": THINKING, "thinking": readable(item), "signature": item.signature or ""}]


def is_redacted(item: Reasoning) -> bool:
    return bool(item.encrypted_content) and item.origin is not None and item.origin.field == REDACTED


def is_call(item: ResponseItem) -> bool:
    return isinstance(item, (FunctionCall, CustomToolCall, LocalShellCall))


def call_name(item: FunctionCall | CustomToolCall | LocalShellCall) -> str:
    return LOCAL_SHELL if isinstance(item, LocalShellCall) else item.name


def call_arguments(item: FunctionCall | CustomToolCall | LocalShellCall) -> str:
    """What the call says, as the JSON text a model of this wire would have written."""
    match item:
        case FunctionCall():
            return item.arguments
        case CustomToolCall():
            return dump_text({"input": item.input})
        case LocalShellCall():
            action = json_object(dump_item(item).get("action")) or {}
            return dump_text({name: value for name, value in action.items() if name != "type"})


def tool_use_block(item: FunctionCall | CustomToolCall | LocalShellCall) -> JsonObject:
    """A whole `tool_use` block. `input` must be an object: arguments that are none are kept as replay keeps them
    (behaviours.md S2-24: an empty object in their place would be run as a call without arguments)."""
    block: JsonObject = {
        "type": "tool_use",
        "id": item.call_id,
        "name": call_name(item),
        "input": input_of(json_arguments(call_arguments(item))) or {},
    }
    if item.opaque and of_this_wire(item.origin):
        block.update(item.opaque)
    return block


def finish_reason_of(native: str | None, *, has_calls: bool) -> FinishReason:
    """One vocabulary. Calls that came whole are calls, also under `end_turn` (behaviours.md W-S2-05)."""
    reason = STOP_REASONS.get(native or "", "unknown")
    return "tool_calls" if has_calls and reason in ("stop", "unknown") else reason


def stop_reason_of(
    reason: FinishReason,
    *,
    native: str | None = None,
    stop_sequence: str | None = None,
    has_calls: bool = False,
    refused: bool = False,
) -> str:
    """The wire's word for how an answer ended: its own, where the answer came from this wire. `refused`: some of its
    text was a refusal, which this wire tells by the reason alone."""
    if refused and reason == "stop":
        return "refusal"
    if native in STOP_REASONS and finish_reason_of(native, has_calls=has_calls) == reason:
        return native
    if has_calls and reason in ("stop", "unknown"):
        return "tool_use"
    if reason == "tool_calls" and not has_calls:  # they were of a kind this wire has no word for
        return "end_turn"
    if reason == "stop" and stop_sequence is not None:
        return "stop_sequence"
    return _STOP_WORDS[reason]


def answer_losses(said: ResponseItem | Completed) -> Iterator[Loss]:
    """See WireCodec."""
    match said:
        case Completed():
            if said.finish_reason in ("content_filter", "unknown"):
                yield Loss("finish_reason", said.finish_reason)
            if said.end_turn is not None:
                yield Loss("end_turn")
        case Reasoning():
            yield from _reasoning_losses(said)
        case Message():
            yield from _message_losses(said)
        case FunctionCall() | CustomToolCall():
            if isinstance(said, CustomToolCall):
                yield Loss("custom_tool_call", "written as a function of one string")
            if said.namespace is not None:
                yield Loss("namespace")
            if said.opaque and not of_this_wire(said.origin):
                yield Loss("opaque", said.type)
        case LocalShellCall():
            yield Loss("local_shell_call", "written as a function")
        case UnknownItem() if of_this_wire(said.origin):
            pass
        case _:
            yield Loss("item", said.type)


def _reasoning_losses(item: Reasoning) -> Iterator[Loss]:
    if item.encrypted_content is not None and not is_redacted(item):
        yield Loss("reasoning.encrypted_content")
    if item.details:
        yield Loss("reasoning.details")
    if item.summary and item.content:
        yield Loss("reasoning.summary", "one text of the two")


def _message_losses(item: Message) -> Iterator[Loss]:
    if item.phase is not None:
        yield Loss("phase")
    if item.opaque:
        yield Loss("opaque", item.type)
    for part in item.content:
        if isinstance(part, Refusal):
            yield Loss("refusal", "told as text, and by the reason to stop")
        elif isinstance(part, OutputText) and len(citations_of(part)) < len(part.annotations):
            yield Loss("annotations")


def is_error_object(found: JsonObject) -> bool:
    """Whether a body that came with HTTP 200 is an error: in this wire's envelope, in OpenAI's, vLLM's or MiniMax's
    (providers.md 3c)."""
    if found.get("error") or "error" in (found.get("type"), found.get("object")):
        return True
    return "base_resp" in found and "content" not in found


def error_to_wire(error: ModelError) -> tuple[int, JsonObject]:
    """The HTTP status and the error object this wire tells `error` with (behaviours.md S0-4, S2-23). A peer's own
    status and type are kept where this wire knows them."""
    status = error.status if isinstance(error, ApiError) else None
    if type(error) is QuotaExceededError:  # 429 elsewhere; here that is throttling, which clients wait out
        return 402, {"type": "billing_error", "message": error.message}
    if status is None or not 400 <= status < 600:
        status = next(number for kind, number in _STATUSES if isinstance(error, kind))
    kind = error.error_type if isinstance(error, ApiError) else None
    if kind not in _ERROR_WORDS:
        kind = _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return status, {"type": kind, "message": error.message}
