"""What the Responses wire wraps around an answer: the response object, and its errors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from ..errors import (
    ApiError,
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
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
from ..events import Completed, FinishReason, Response
from ..items import (
    CustomToolCall,
    FunctionCall,
    JsonObject,
    JsonValue,
    Message,
    OutputText,
    Reasoning,
    ResponseItem,
    UnknownItem,
)
from ..prompt import CustomToolSpec, HostedToolSpec, NamedTool, OutputSchema, Prompt, ToolChoice, ToolSpec, ToolSpecs
from .answer_words import own_id, own_members
from .base import Loss, json_bytes
from .responses_items import annotations_of, encode_output_item, encode_usage

__all__ = [
    "answer_losses",
    "encode_choice",
    "encode_envelope",
    "encode_error",
    "encode_format",
    "encode_tool",
    "error_object",
    "fitted_end",
    "has_words_for",
    "id_stem",
]

_INCOMPLETE_REASONS: dict[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}

_ERRORS: tuple[tuple[type[ModelError], int, str], ...] = (
    (ContextLengthError, 400, "context_length_exceeded"),
    (ContentFilterError, 400, "content_filter"),
    (InvalidRequestError, 400, "invalid_prompt"),
    (AuthenticationError, 401, "invalid_api_key"),
    (PermissionDeniedError, 403, "permission_denied"),
    (ModelNotFoundError, 404, "model_not_found"),
    (QuotaExceededError, 429, "insufficient_quota"),
    (RateLimitError, 429, "rate_limit_exceeded"),
    (OverloadedError, 503, "server_is_overloaded"),
    (HeldBack, 503, "server_is_overloaded"),
    (TransportTimeout, 504, "server_error"),
    (TransportError, 502, "server_error"),
    (StreamError, 502, "server_error"),
    (ModelError, 500, "server_error"),
)
"""The HTTP status and the code of an error that has none of its own. Clients sort by the code (codex.md 3.6)."""


def id_stem(response_id: str) -> str:
    """What ids made for a response are made from."""
    return response_id.removeprefix("resp_")


def encode_envelope(response: Response, prompt: Prompt, *, status: str, error: JsonObject | None = None) -> JsonObject:
    """The response object, with the members of the request that clients expect to read back (behaviours.md S2-30).

    `created_at` is 0: a codec has no clock, and the same events always give the same bytes.
    """
    reasoning, sampling = prompt.reasoning, prompt.sampling
    reason = response.incomplete_reason or _INCOMPLETE_REASONS.get(response.finish_reason)
    stem = id_stem(own_id(response.id, "responses"))
    items = [item for item in response.items if has_words_for(item)]
    envelope: JsonObject = {
        "id": own_id(response.id, "responses"),
        "object": "response",
        "created_at": 0,
        "status": status,
        "background": False,
        "error": error,
        "incomplete_details": {"reason": reason} if status == "incomplete" and reason else None,
        "instructions": prompt.instructions or None,
        "max_output_tokens": prompt.max_output_tokens,
        "model": response.model or prompt.model,
        "output": [encode_output_item(item, stem, n) for n, item in enumerate(items)],
        "parallel_tool_calls": prompt.parallel_tool_calls is not False,
        "previous_response_id": prompt.previous_response_id,
        "reasoning": {
            "effort": reasoning.effort if reasoning else None,
            "summary": reasoning.summary if reasoning else None,
        },
        "service_tier": prompt.service_tier or "default",
        "store": prompt.store is not False,
        "temperature": 1.0 if sampling.temperature is None else sampling.temperature,
        "text": {"format": encode_format(prompt.output_schema) if prompt.output_schema else {"type": "text"}},
        "tool_choice": encode_choice(prompt.tool_choice, prompt.tools),
        "tools": [encode_tool(spec) for spec in prompt.tools if not _is_foreign(spec)],
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "truncation": "disabled",
        "usage": encode_usage(response.usage),
        "user": prompt.user,
        "metadata": dict(prompt.metadata or {}),
    }
    if response.end_turn is not None:
        envelope["end_turn"] = response.end_turn
    return envelope


def has_words_for(item: ResponseItem) -> bool:
    """Whether an answer can hold the item: all but raw items of other wires."""
    return not isinstance(item, UnknownItem) or item.origin is None or item.origin.wire == "responses"


def answer_losses(said: ResponseItem | Completed) -> Iterator[Loss]:
    """See WireCodec."""
    match said:
        case Completed():
            if said.stop_sequence is not None:
                yield Loss("stop_sequence")
            if said.finish_reason in ("refusal", "pause", "unknown"):
                yield Loss("finish_reason", said.finish_reason)
        case Reasoning():
            if said.signature is not None:
                yield Loss("reasoning.signature")
            if said.details:
                yield Loss("reasoning.details")
        case FunctionCall() | CustomToolCall():
            if said.opaque and not own_members(said, "responses").keys() & {"caller"}:
                yield Loss("opaque", said.type)
        case Message():
            if said.opaque:
                yield Loss("opaque", said.type)
            parts = [part for part in said.content if isinstance(part, OutputText)]
            if any(len(annotations_of(part)) < len(part.annotations) for part in parts):
                yield Loss("annotations")
        case _:
            if not has_words_for(said):
                yield Loss("item", said.type)


def fitted_end(response: Response) -> Response:
    """How an answer ended, where this wire has no word for it. A refusal by the provider is cut short, by its filter
    (W-S2-05: it must not look like an ordinary end); an answer that pauses has not ended the turn."""
    if response.finish_reason == "refusal" and response.status == "completed":
        return replace(response, finish_reason="content_filter", status="incomplete", incomplete_reason=None)
    if response.finish_reason == "pause" and response.end_turn is None:
        return replace(response, end_turn=False)
    return response


def _is_foreign(spec: ToolSpecs) -> bool:
    return isinstance(spec, HostedToolSpec) and spec.wire != "responses"


def encode_tool(spec: ToolSpecs, *, strict: bool = True) -> JsonObject:
    """A tool as this wire spells it: flat. `strict=False` leaves the member out for servers that do not know it."""
    match spec:
        case ToolSpec():
            out: JsonObject = {"type": "function", "name": spec.name}
            if spec.description:
                out["description"] = spec.description
            out["parameters"] = dict(spec.parameters)
            if strict and spec.strict is not None:
                out["strict"] = spec.strict
            return out
        case CustomToolSpec():
            custom: JsonObject = {"type": "custom", "name": spec.name}
            if spec.description:
                custom["description"] = spec.description
            if spec.format is not None:
                custom["format"] = dict(spec.format)
            return custom
        case HostedToolSpec():
            return dict(spec.raw)


def encode_choice(choice: ToolChoice, tools: Sequence[ToolSpecs], *, lowered: bool = False) -> JsonValue:
    """`tool_choice`. `lowered`: custom tools go out as functions."""
    if not isinstance(choice, NamedTool):
        return choice
    custom = any(isinstance(spec, CustomToolSpec) and spec.name == choice.name for spec in tools)
    return {"type": "custom" if custom and not lowered else "function", "name": choice.name}


def encode_format(schema: OutputSchema) -> JsonObject:
    """`text.format` of structured output."""
    return {
        "type": "json_schema",
        "name": schema.name,
        "schema": dict(schema.schema),
        "strict": schema.strict,
    }


def _meaning(error: ModelError) -> tuple[int, str]:
    return next((status, code) for kind, status, code in _ERRORS if isinstance(error, kind))


def error_object(error: ModelError) -> JsonObject:
    """`response.error`: the peer's own code where it is a word, else the one clients know for the class."""
    own = error.code if isinstance(error, ApiError) and error.code and not error.code.isdecimal() else None
    return {"code": own or _meaning(error)[1], "message": error.message}


def encode_error(error: ModelError) -> tuple[int, dict[str, str], bytes]:
    """An HTTP error answer: the upstream's status and words where it gave some (behaviours.md S0-4, X-S0-01)."""
    status, _ = _meaning(error)
    own = error.status if isinstance(error, ApiError) else None
    if own is not None:
        status = own if 400 <= own < 600 else 500
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    body: JsonObject = {
        "error": {
            "message": error.message,
            "type": kind,
            "param": error.param if isinstance(error, ApiError) else None,
            "code": error_object(error)["code"],
        }
    }
    headers = {"content-type": "application/json"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
    if isinstance(error, ApiError) and error.request_id:
        headers["x-request-id"] = error.request_id
    return status, headers, json_bytes(body)
