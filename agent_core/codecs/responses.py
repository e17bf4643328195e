"""The OpenAI Responses wire: requests and whole answers, both ways. Streams are in `responses_stream`.

A request's `input` is its last member, so that a longer conversation starts with the bytes of a shorter one up to the
closing brackets. Items go out one by one (`encode_item`): a server of this wire takes them in the order they happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from ..errors import ApiError, InvalidPromptError, MalformedStream, ModelError
from ..events import Completed, Response
from ..items import JsonObject, JsonValue, ResponseItem, WireName
from ..prompt import CustomToolSpec, HostedToolSpec, Prompt, ToolSpec
from .answer_tool import answering, as_answer
from .answer_words import stopped_by_error
from .api_errors import api_error, decode_http_error
from .base import (
    Compat,
    DecodedRequest,
    Encoded,
    Loss,
    RequestEncoder,
    StreamDecoder,
    StreamEncoder,
    WireCodec,
    json_bytes,
    json_object,
    prompt_json,
)
from .incremental import KeptEncoder
from .output_forms import OutputPlan, answer_tool_name, plan_output, settled_choice
from .reasoning_rules import fitted_effort, may_sample
from .responses_envelope import (
    answer_losses,
    encode_choice,
    encode_envelope,
    encode_error,
    encode_format,
    encode_tool,
    error_object,
    fitted_end,
)
from .responses_history import ResponsesHistory
from .responses_reading import load_json
from .responses_request import decode_request
from .responses_stream import ResponsesStreamDecoder, decode_whole
from .responses_stream_encode import ResponsesStreamEncoder
from .schemas import fitted_schema
from .text_calls import as_calls, reading_calls

__all__ = ["CODEC", "encode_request"]

_LOST_SAMPLING = ("top_k", "stop", "seed", "presence_penalty", "frequency_penalty", "n")
"""Sampling settings the Responses API has no members for."""

_CONTINUED = ("previous_response_id", "conversation", "prompt")
"""Members that say where the rest of the input is."""


class _ResponsesCodec:
    """See WireCodec."""

    wire: WireName = "responses"
    path = "/responses"
    losses = frozenset({*_LOST_SAMPLING, "reasoning.budget_tokens"})

    def encode_request(self, prompt: Prompt, compat: Compat, *, stream: bool = True) -> Encoded:
        return encode_request(prompt, compat, ResponsesHistory(compat), stream=stream)

    def request_encoder(self, compat: Compat) -> RequestEncoder:
        return KeptEncoder(
            lambda: ResponsesHistory(compat),
            lambda prompt, history, stream: encode_request(prompt, compat, history, stream=stream),
        )

    def decode_request(self, body: bytes) -> DecodedRequest:
        return decode_request(body)

    def decode_response(self, body: bytes, prompt: Prompt, compat: Compat) -> Response:
        return _decode_response(body, prompt, compat)

    def encode_response(self, response: Response, prompt: Prompt) -> bytes:
        if response.finish_reason == "error":
            error = error_object(stopped_by_error(response.native_reason))
            return json_bytes(encode_envelope(response, prompt, status="failed", error=error))
        fitted = fitted_end(response)
        return json_bytes(encode_envelope(fitted, prompt, status=fitted.status))

    def answer_losses(self, said: ResponseItem | Completed) -> Iterator[Loss]:
        return answer_losses(said)

    def stream_decoder(self, prompt: Prompt, compat: Compat) -> StreamDecoder:
        return answering(reading_calls(ResponsesStreamDecoder(prompt, compat), prompt, compat), prompt, compat)

    def stream_encoder(self, prompt: Prompt, *, include_usage: bool = True) -> StreamEncoder:
        return ResponsesStreamEncoder(prompt)  # the terminal event of this wire always carries usage

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        return decode_http_error(status, headers, body)

    def encode_error(self, error: ModelError) -> tuple[int, dict[str, str], bytes]:
        return encode_error(error)


CODEC: WireCodec = _ResponsesCodec()


# requests


def encode_request(prompt: Prompt, compat: Compat, history: ResponsesHistory, *, stream: bool = True) -> Encoded:
    """The body of a request, with what it could not carry. `history` is empty, or that of the request before."""
    if compat.send_item_ids and _store(prompt, compat) is False:
        # Ids name stored items (behaviours.md S1-53): of a response that was not stored there is nothing to name.
        compat = replace(compat, send_item_ids=False)
        history = ResponsesHistory(compat)
    history.update(prompt)
    plan = plan_output(prompt, compat)
    losses: list[Loss] = list(plan.losses)
    instructions = history.instructions(plan.instructions)
    body: JsonObject = {"model": prompt.model} if prompt.model else {}
    if instructions:
        body["instructions"] = instructions
    body |= _tool_members(prompt, plan, compat, losses)
    body |= _reasoning_members(prompt, compat, losses)
    body |= _text_members(prompt, plan)
    body |= _sampling_members(prompt, compat, losses)
    body |= _account_members(prompt, compat, losses)
    body["stream"] = stream
    body |= dict(compat.extra_body)
    body |= dict(prompt.extra)
    losses += history.losses()
    given = body.pop("input", None)  # Prompt.extra has the last word, and input the last place
    body["input"] = [] if given is None else given
    written = prompt_json(body)
    if given is None:
        if not len(history.elements) and not any(body.get(name) is not None for name in _CONTINUED):
            raise InvalidPromptError("the prompt has no item to send", remedy="add a user message")
        written = history.elements.in_body(written)
    return Encoded(written, tuple(losses), history.repairs())


def _tool_members(prompt: Prompt, plan: OutputPlan, compat: Compat, losses: list[Loss]) -> JsonObject:
    tools: list[JsonValue] = []
    for spec in prompt.tools:
        if isinstance(spec, HostedToolSpec) and spec.wire != "responses":
            losses.append(Loss("hosted_tool", f"a tool of the {spec.wire} wire"))
            continue
        if isinstance(spec, CustomToolSpec) and not compat.custom_tools:
            spec = _lowered(spec)
        tools.append(_tool(spec, compat, losses) if isinstance(spec, ToolSpec) else encode_tool(spec))
    if plan.tool is not None:
        tools.append(_tool(plan.tool, compat, losses, of=f"output schema {plan.tool.name!r}"))
    out: JsonObject = {}
    if not tools:
        if compat.empty_tools == "send" and any(item.type.endswith("_call") for item in prompt.items):
            out["tools"] = []
        return out
    out["tools"] = tools
    choice, loss = settled_choice(prompt, compat, plan.tool)
    losses += [loss] if loss is not None else []
    out["tool_choice"] = encode_choice(choice, prompt.tools, lowered=not compat.custom_tools)
    if prompt.parallel_tool_calls is not None:
        if compat.parallel_tool_calls:
            out["parallel_tool_calls"] = prompt.parallel_tool_calls
        elif not prompt.parallel_tool_calls:
            losses.append(Loss("parallel_tool_calls"))
    return out


def _tool(spec: ToolSpec, compat: Compat, losses: list[Loss], *, of: str = "") -> JsonObject:
    if spec.strict and not compat.strict_tools:
        losses.append(Loss("strict", f"tool {spec.name!r}"))
    parameters, lost = fitted_schema(spec.parameters, compat, strict=spec.strict, of=of or f"tool {spec.name!r}")
    losses += lost
    return encode_tool(replace(spec, parameters=parameters), strict=compat.strict_tools)


def _lowered(spec: CustomToolSpec) -> ToolSpec:
    """A free-form tool for a server without them; the decoder turns its calls back."""
    parameters: JsonObject = {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    }
    description = spec.description
    definition = (spec.format or {}).get("definition")
    if isinstance(definition, str) and definition:
        description = f"{description}\n\nThe input must follow this grammar:\n{definition}".lstrip()
    return ToolSpec(spec.name, description, parameters)


def _reasoning_members(prompt: Prompt, compat: Compat, losses: list[Loss]) -> JsonObject:
    settings = prompt.reasoning
    if settings is None:
        return {}
    if compat.reasoning_request == "none":
        losses.append(Loss("reasoning", "the model takes no reasoning settings"))
        return {}
    reasoning: JsonObject = {}
    if settings.effort is not None:
        reasoning["effort"], loss = fitted_effort(settings.effort, compat)
        losses += [loss] if loss is not None else []
    if settings.summary is not None:
        reasoning["summary"] = settings.summary
    if settings.budget_tokens is not None:
        if compat.reasoning_request == "object":
            reasoning["max_tokens"] = settings.budget_tokens
        else:
            losses.append(Loss("reasoning.budget_tokens"))
    return {"reasoning": reasoning} if reasoning else {}


def _text_members(prompt: Prompt, plan: OutputPlan) -> JsonObject:
    text: JsonObject = {}
    if plan.form == "json_object":
        text["format"] = {"type": "json_object"}
    elif plan.form == "json_schema" and prompt.output_schema is not None:
        text["format"] = encode_format(replace(prompt.output_schema, schema=plan.schema))
    if prompt.verbosity is not None:
        text["verbosity"] = prompt.verbosity
    return {"text": text} if text else {}


def _sampling_members(prompt: Prompt, compat: Compat, losses: list[Loss]) -> JsonObject:
    sampling = prompt.sampling
    out: JsonObject = {}
    cap = prompt.max_output_tokens or compat.default_max_tokens
    if cap is not None:
        out["max_output_tokens"] = cap
    drawn: dict[str, float | None] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_logprobs": sampling.logprobs,
    }
    allowed = may_sample(prompt, compat)
    for name, value in drawn.items():
        if value is not None and not allowed:
            losses.append(Loss(name, "the model takes no sampling settings"))
        elif value is not None:
            out[name] = value
    if allowed and sampling.temperature is not None and sampling.temperature > compat.temperature_max:
        out["temperature"] = compat.temperature_max
        losses.append(Loss("temperature", f"lowered to {compat.temperature_max}"))
    given = (sampling.top_k, sampling.stop or None, sampling.seed, *_penalties(prompt), sampling.n)
    losses += (Loss(name) for name, value in zip(_LOST_SAMPLING, given, strict=True) if value is not None)
    return out


def _penalties(prompt: Prompt) -> tuple[float | None, float | None]:
    return prompt.sampling.presence_penalty, prompt.sampling.frequency_penalty


def _store(prompt: Prompt, compat: Compat) -> bool | None:
    return compat.store if prompt.store is None else prompt.store


def _account_members(prompt: Prompt, compat: Compat, losses: list[Loss]) -> JsonObject:
    """Storing, caching, and whom to bill."""
    out: JsonObject = {}
    store = _store(prompt, compat)
    if store is not None:
        out["store"] = store
    include: list[JsonValue] = []
    if compat.encrypted_reasoning and (prompt.reasoning is not None or compat.reasons_by_default):
        include.append("reasoning.encrypted_content")
    if prompt.sampling.logprobs is not None and may_sample(prompt, compat):
        include.append("message.output_text.logprobs")
    if include:
        out["include"] = include
    if prompt.prompt_cache_key is not None:
        if compat.prompt_cache_key:
            out["prompt_cache_key"] = prompt.prompt_cache_key
        else:
            losses.append(Loss("prompt_cache_key"))
    if prompt.metadata:
        out["metadata"] = dict(prompt.metadata)
    if prompt.user is not None:
        out["user"] = prompt.user
    if prompt.service_tier is not None:
        out["service_tier"] = prompt.service_tier
    if prompt.previous_response_id is not None:
        out["previous_response_id"] = prompt.previous_response_id
    return out


# whole answers


def _decode_response(body: bytes, prompt: Prompt, compat: Compat) -> Response:
    if body.lstrip().startswith((b"event:", b"data:", b":")):  # transformers streams even when it was not asked to
        return _decode_stream(body, prompt, compat)
    try:
        found = json_object(load_json(body))
    except ValueError:
        found = None
    if found is None:
        raise MalformedStream("the body is not a JSON object", remedy="check the base URL: the server sent no answer")
    if found.get("status") in ("queued", "in_progress"):
        raise MalformedStream(
            f"the response is still {found['status']}", remedy="background responses are not waited for: leave it out"
        )
    if found.get("object") == "response" or isinstance(found.get("output"), list):
        response = as_calls(decode_whole(found, prompt, compat), prompt, compat)
        return as_answer(response, answer_tool_name(prompt, compat))
    if found.get("error") or found.get("detail"):
        raise api_error(found, body=body.decode("utf-8", "replace"))
    raise MalformedStream("the body is no answer of the Responses wire: it has no 'output'")


def _decode_stream(body: bytes, prompt: Prompt, compat: Compat) -> Response:
    decoder = answering(reading_calls(ResponsesStreamDecoder(prompt, compat), prompt, compat), prompt, compat)
    decoder.feed(body)
    decoder.close()
    if decoder.error is not None:
        raise decoder.error
    return decoder.snapshot()
