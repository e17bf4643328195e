"""Prompt → the body of a Chat request.

The growing member, `messages`, comes last, so that two requests of one conversation have a long common beginning.
Every deviation of a server is a field of `Compat`; what cannot be carried is a `Loss`, or an UnsupportedError where the
answer would be useless without it.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InvalidPromptError, UnsupportedError
from ..items import JsonObject, JsonValue
from ..prompt import CustomToolSpec, HostedToolSpec, NamedTool, Prompt, ReasoningSettings, ToolSpec
from .base import Compat, Encoded, Loss, json_bytes
from .chat_history import ChatHistory

__all__ = ["encode_chat_request"]


def encode_chat_request(prompt: Prompt, compat: Compat, history: ChatHistory, *, stream: bool) -> Encoded:
    """The body, what it leaves out, and what replay repaired. `history` is empty, or that of the request before.

    Raises UnsupportedError for an output schema the server cannot be held to, InvalidPromptError for what is no JSON.
    """
    losses: list[Loss] = []
    history.update(prompt)
    body: JsonObject = {"model": prompt.model}
    if stream:
        body["stream"] = True
        if compat.include_usage:
            body["stream_options"] = {"include_usage": True}
    _put_sampling(body, prompt, compat, losses)
    _put_reasoning_request(body, prompt.reasoning, compat, losses)
    _put_rest(body, prompt, compat, losses)
    instructions = _put_schema(body, prompt, compat, losses)
    _put_tools(body, prompt, compat, losses, history)
    body.update(compat.extra_body)
    body.update(prompt.extra)
    messages = body.pop("messages", None)  # only where the caller wrote them into `extra`
    body["messages"] = messages or history.leading(instructions)
    try:
        written = json_bytes(body)
    except (ValueError, RecursionError) as error:
        raise InvalidPromptError(f"the prompt holds something that is no JSON: {error}") from None
    if messages:
        return Encoded(written, tuple(dict.fromkeys(losses)), history.repairs())
    losses += history.losses
    return Encoded(history.elements.in_body(written), tuple(dict.fromkeys(losses)), history.repairs())


def _put_sampling(body: JsonObject, prompt: Prompt, compat: Compat, losses: list[Loss]) -> None:
    cap = prompt.max_output_tokens or compat.default_max_tokens
    if cap is not None:
        body[compat.max_tokens_field] = cap
    asked = prompt.sampling
    drawn: dict[str, float | None] = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "presence_penalty": asked.presence_penalty,
        "frequency_penalty": asked.frequency_penalty,
    }
    for name, value in drawn.items():
        if value is None:
            continue
        if not compat.sampling:
            losses.append(Loss(name, "the model takes no sampling parameters"))
        elif name == "temperature" and value > compat.temperature_max:
            losses.append(Loss(name, f"lowered to {compat.temperature_max}"))
            body[name] = compat.temperature_max
        else:
            body[name] = value
    if asked.top_k is not None:
        losses.append(Loss("top_k"))
    if asked.stop and not compat.stop:
        losses.append(Loss("stop"))
    elif asked.stop:
        if compat.max_stop is not None and len(asked.stop) > compat.max_stop:
            losses.append(Loss("stop", f"only the first {compat.max_stop}"))
        body["stop"] = list(asked.stop[: compat.max_stop])
    if asked.seed is not None:
        body["seed"] = asked.seed
    if asked.n is not None:
        body["n"] = asked.n
    if asked.logprobs is not None:
        body["logprobs"] = True
        if asked.logprobs > 0:
            body["top_logprobs"] = asked.logprobs


def _put_rest(body: JsonObject, prompt: Prompt, compat: Compat, losses: list[Loss]) -> None:
    if prompt.prompt_cache_key is not None and compat.prompt_cache_key:
        body["prompt_cache_key"] = prompt.prompt_cache_key
    elif prompt.prompt_cache_key is not None:
        losses.append(Loss("prompt_cache_key"))
    plain: dict[str, JsonValue] = {
        "service_tier": prompt.service_tier,
        "metadata": dict(prompt.metadata) if prompt.metadata is not None else None,
        "user": prompt.user,
        "verbosity": prompt.verbosity,
        "store": prompt.store,
    }
    body.update({name: value for name, value in plain.items() if value is not None})
    if prompt.previous_response_id is not None:
        losses.append(Loss("previous_response_id"))


# Reasoning: what to ask for, in the form the server knows (providers.md 3b)


def _put_reasoning_request(
    body: JsonObject, asked: ReasoningSettings | None, compat: Compat, losses: list[Loss]
) -> None:
    if asked is None:
        return
    if asked.summary is not None:
        losses.append(Loss("reasoning_summary"))
    if asked.effort is None and asked.budget_tokens is None:
        return
    put = _REASONING_FORMS.get(compat.reasoning_request)
    if put is None:
        losses.append(Loss("reasoning", "the server cannot be asked for it"))
    else:
        put(body, asked, losses)


def _effort(body: JsonObject, asked: ReasoningSettings, losses: list[Loss]) -> None:
    """A budget becomes the effort that comes nearest (behaviours.md S0-31)."""
    effort, budget = asked.effort, asked.budget_tokens
    if budget is not None:
        losses.append(Loss("reasoning_budget", "the server takes an effort"))
        effort = effort or ("low" if budget < 4000 else "medium" if budget < 16000 else "high")
    body["reasoning_effort"] = effort


def _object(body: JsonObject, asked: ReasoningSettings, losses: list[Loss]) -> None:
    """OpenRouter takes one of the two; a budget says more."""
    if asked.budget_tokens is not None:
        body["reasoning"] = {"max_tokens": asked.budget_tokens}
    else:
        body["reasoning"] = {"effort": asked.effort}


def _thinking_type(body: JsonObject, asked: ReasoningSettings, losses: list[Loss]) -> None:
    body["thinking"] = {"type": "disabled" if asked.effort == "none" else "enabled"}
    _note_degree(asked, losses)
    if asked.budget_tokens is not None:
        losses.append(Loss("reasoning_budget", "the server only turns thinking on or off"))


def _enable_thinking(body: JsonObject, asked: ReasoningSettings, losses: list[Loss]) -> None:
    body["enable_thinking"] = asked.effort != "none"
    if asked.budget_tokens is not None:
        body["thinking_budget"] = asked.budget_tokens
    _note_degree(asked, losses)


def _note_degree(asked: ReasoningSettings, losses: list[Loss]) -> None:
    if asked.effort not in (None, "none"):
        losses.append(Loss("reasoning_effort", "the server only turns thinking on or off"))


_REASONING_FORMS: dict[str, Callable[[JsonObject, ReasoningSettings, list[Loss]], None]] = {
    "effort": _effort,
    "object": _object,
    "thinking_type": _thinking_type,
    "enable_thinking": _enable_thinking,
}
"""`budget` and `adaptive` are forms of the Messages wire."""


# Structured output


def _put_schema(body: JsonObject, prompt: Prompt, compat: Compat, losses: list[Loss]) -> str:
    """Ask for the output schema. Returns the instructions, which may have to say it in words."""
    schema = prompt.output_schema
    if schema is None:
        return prompt.instructions
    match compat.output_schema:
        case "json_schema":
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": schema.name, "strict": schema.strict, "schema": dict(schema.schema)},
            }
        case "json_object":
            losses.append(Loss("output_schema", "only JSON is enforced; the schema is in the instructions"))
            body["response_format"] = {"type": "json_object"}
            said = f"Answer with one JSON object of this schema: {json_bytes(dict(schema.schema)).decode()}"
            return f"{prompt.instructions}\n\n{said}" if prompt.instructions else said
        case "tool":
            pass  # a tool the model is made to call: see _put_tools
        case "none":
            raise UnsupportedError(
                f"the server {compat.provider!r} cannot be held to an output schema ({schema.name!r})"
            )
    return prompt.instructions


# Tools


def _put_tools(body: JsonObject, prompt: Prompt, compat: Compat, losses: list[Loss], history: ChatHistory) -> None:
    tools: list[JsonValue] = []
    for spec in prompt.tools:
        match spec:
            case ToolSpec():
                tools.append(_function_tool(spec, compat, losses))
            case CustomToolSpec():
                tools.append(_custom_tool(spec, compat, losses))
            case HostedToolSpec(wire="chat"):
                tools.append(dict(spec.raw))
            case HostedToolSpec():
                losses.append(Loss("hosted_tools", f"of the {spec.wire} wire"))
    choice: JsonValue = None
    if prompt.output_schema is not None and compat.output_schema == "tool":
        forced = ToolSpec(prompt.output_schema.name, "Give the final answer.", prompt.output_schema.schema)
        choice = _required(compat, losses) if tools else _named(forced.name, "function", compat, losses)
        tools.append(_function_tool(forced, compat, losses))
    if not tools:
        if compat.empty_tools == "send" and history.has_calls():
            body["tools"] = []
        return
    body["tools"] = tools
    choice = choice or _choice(prompt, compat, losses)
    if choice is not None:
        body["tool_choice"] = choice
    if prompt.parallel_tool_calls is not None:
        if compat.parallel_tool_calls:
            body["parallel_tool_calls"] = prompt.parallel_tool_calls
        elif not prompt.parallel_tool_calls:
            losses.append(Loss("parallel_tool_calls", "they cannot be turned off"))


def _function_tool(spec: ToolSpec, compat: Compat, losses: list[Loss]) -> JsonObject:
    function: JsonObject = {"name": spec.name}
    if spec.description:
        function["description"] = spec.description
    function["parameters"] = dict(spec.parameters)
    if spec.strict is not None:
        if compat.strict_tools:
            function["strict"] = spec.strict
        elif spec.strict:
            losses.append(Loss("strict_tools", spec.name))
    return {"type": "function", "function": function}


def _custom_tool(spec: CustomToolSpec, compat: Compat, losses: list[Loss]) -> JsonObject:
    """A free-form tool, or the function that stands for it where the server has none: one string, `input`."""
    if compat.custom_tools:
        custom: JsonObject = {"name": spec.name}
        if spec.description:
            custom["description"] = spec.description
        if spec.format is not None:
            custom["format"] = _chat_format(dict(spec.format))
        return {"type": "custom", "custom": custom}
    description = spec.description
    definition = (spec.format or {}).get("definition")
    if isinstance(definition, str):
        losses.append(Loss("tool_grammar", spec.name))
        syntax = (spec.format or {}).get("syntax") or "given"
        description = f"{description}\n\nThe input must match this {syntax} grammar:\n{definition}".strip()
    parameters: JsonObject = {
        "type": "object",
        "properties": {"input": {"type": "string", "description": "The whole input of the tool, as plain text."}},
        "required": ["input"],
        "additionalProperties": False,
    }
    return _function_tool(ToolSpec(spec.name, description, parameters), compat, losses)


def _chat_format(form: JsonObject) -> JsonObject:
    """The grammar object of a custom tool: the Responses wire writes it flat, this one in a member of its own."""
    if form.get("type") != "grammar" or "grammar" in form:
        return form
    return {"type": "grammar", "grammar": {name: value for name, value in form.items() if name != "type"}}


def _choice(prompt: Prompt, compat: Compat, losses: list[Loss]) -> JsonValue:
    """`tool_choice`; "auto" is what its absence means."""
    choice = prompt.tool_choice
    if isinstance(choice, NamedTool):
        custom = compat.custom_tools and any(
            isinstance(spec, CustomToolSpec) and spec.name == choice.name for spec in prompt.tools
        )
        return _named(choice.name, "custom" if custom else "function", compat, losses)
    if choice == "required":
        return _required(compat, losses)
    return "none" if choice == "none" else None


def _named(name: str, kind: str, compat: Compat, losses: list[Loss]) -> JsonValue:
    if compat.named_choice:
        return {"type": kind, kind: {"name": name}}
    losses.append(Loss("named_tool_choice", name))
    return _required(compat, losses)


def _required(compat: Compat, losses: list[Loss]) -> JsonValue:
    if compat.required_choice == "auto":
        losses.append(Loss("required_tool_choice", "the model may answer without a call"))
    return compat.required_choice
