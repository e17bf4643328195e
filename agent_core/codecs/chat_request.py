"""Prompt → the body of a Chat request.

The growing member, `messages`, comes last, so that two requests of one conversation have a long common beginning.
Every deviation of a server is a field of `Compat`; what cannot be carried is a `Loss`, or an UnsupportedError where the
answer would be useless without it.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from ..errors import InvalidPromptError
from ..items import JsonObject, JsonValue
from ..prompt import CustomToolSpec, HostedToolSpec, NamedTool, Prompt, ReasoningSettings, ToolChoice, ToolSpec
from .base import Compat, Encoded, Loss, json_object, prompt_json
from .chat_history import EPHEMERAL, ChatHistory
from .output_forms import OutputPlan, plan_output, settled_choice
from .reasoning_rules import fitted_effort, may_sample
from .schemas import fitted_schema

__all__ = ["encode_chat_request"]


def encode_chat_request(prompt: Prompt, compat: Compat, history: ChatHistory, *, stream: bool) -> Encoded:
    """The body, what it leaves out, and what replay repaired. `history` is empty, or that of the request before.

    Raises UnsupportedError for an output schema the server cannot be held to, InvalidPromptError for a prompt without
    anything to send or with something that is no JSON.
    """
    losses: list[Loss] = []
    history.update(prompt)
    body: JsonObject = {"model": prompt.model}
    if stream:
        body["stream"] = True
        if compat.include_usage:
            body["stream_options"] = {"include_usage": True}
    _put_sampling(body, prompt, compat, losses)
    _put_rest(body, prompt, compat, losses)
    plan = plan_output(prompt, compat)
    losses += plan.losses
    _put_schema(body, prompt, plan)
    _put_tools(body, prompt, plan, compat, losses, history)
    _put_reasoning_request(body, prompt.reasoning, compat, losses)
    body.update(compat.extra_body)
    body.update(prompt.extra)
    messages = body.pop("messages", None)  # only where the caller wrote them into `extra`
    body["messages"] = messages or history.leading(plan.instructions)
    written = prompt_json(body)
    if messages:
        return Encoded(written, tuple(dict.fromkeys(losses)), history.repairs())
    if not (body["messages"] or len(history.elements)):
        raise InvalidPromptError("the prompt has no message to send", remedy="add a user message")
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
        "top_k": asked.top_k,
        "presence_penalty": asked.presence_penalty,
        "frequency_penalty": asked.frequency_penalty,
        "logprobs": asked.logprobs,
    }
    given = {name: value for name, value in drawn.items() if value is not None}
    if not may_sample(prompt, compat):
        losses += (Loss(name, "the model takes no sampling parameters") for name in given)
        given = {}
    known = {
        "top_k": compat.top_k,
        "presence_penalty": compat.penalties,
        "frequency_penalty": compat.penalties,
        "logprobs": compat.logprobs,
    }
    for name in [name for name in given if not known.get(name, True)]:
        losses.append(Loss(name, "the server does not know it"))
        del given[name]
    if given.get("temperature", 0) > compat.temperature_max:
        losses.append(Loss("temperature", f"lowered to {compat.temperature_max}"))
        given["temperature"] = compat.temperature_max
    if (logprobs := given.pop("logprobs", None)) is not None:
        body["logprobs"] = True
        if logprobs > 0:
            body["top_logprobs"] = asked.logprobs
    body.update(given)
    if asked.stop and not compat.stop:
        losses.append(Loss("stop"))
    elif asked.stop:
        if compat.max_stop is not None and len(asked.stop) > compat.max_stop:
            losses.append(Loss("stop", f"only the first {compat.max_stop}"))
        body["stop"] = list(asked.stop[: compat.max_stop])
    if asked.seed is not None:
        body[compat.seed_field] = asked.seed
    if asked.n is not None:
        body["n"] = asked.n


def _put_rest(body: JsonObject, prompt: Prompt, compat: Compat, losses: list[Loss]) -> None:
    """Members for the account and the cache. Only some servers know them, and some refuse a body with any they do not
    know (Mistral: providers.md 3a), so each is sent where the row says so."""
    asked: dict[str, JsonValue] = {
        "prompt_cache_key": prompt.prompt_cache_key,
        "service_tier": prompt.service_tier,
        "metadata": dict(prompt.metadata) if prompt.metadata is not None else None,
        "user": prompt.user,
        "verbosity": prompt.verbosity,
        "store": prompt.store,
    }
    for name, value in asked.items():
        if value is None:
            continue
        if compat.prompt_cache_key if name == "prompt_cache_key" else name not in compat.unknown_members:
            body[name] = value
        elif name != "store" or value:  # a server that does not know the word stores nothing
            losses.append(Loss(name, "the server does not know it"))
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
    elif (
        _wanted(asked) and not compat.reasoning_beside_choice and body.get("tool_choice") not in (None, "auto", "none")
    ):
        losses.append(Loss("reasoning", "not together with a forced tool"))
    else:
        put(body, asked, compat, losses)


def _effort(body: JsonObject, asked: ReasoningSettings, compat: Compat, losses: list[Loss]) -> None:
    """A budget becomes the effort that comes nearest (behaviours.md S0-31)."""
    effort, budget = asked.effort, asked.budget_tokens
    if budget is not None:
        losses.append(Loss("reasoning_budget", "the server takes an effort"))
    if effort is None and budget is not None:
        effort = "none" if budget == 0 else "low" if budget < 4000 else "medium" if budget < 16000 else "high"
    if effort is not None:
        effort, loss = fitted_effort(effort, compat)
        losses += [loss] if loss is not None else []
        body["reasoning_effort"] = effort


def _object(body: JsonObject, asked: ReasoningSettings, compat: Compat, losses: list[Loss]) -> None:
    """OpenRouter takes one of the two; a budget says more."""
    if asked.budget_tokens is not None:
        body["reasoning"] = {"max_tokens": asked.budget_tokens} if asked.budget_tokens else {"enabled": False}
    else:
        body["reasoning"] = {"effort": asked.effort}


def _enabled_object(body: JsonObject, asked: ReasoningSettings, compat: Compat, losses: list[Loss]) -> None:
    body["reasoning"] = {"enabled": _wanted(asked)}
    _note_degree(asked, losses)


def _thinking_type(body: JsonObject, asked: ReasoningSettings, compat: Compat, losses: list[Loss]) -> None:
    _put_thinking(body, asked, compat)
    _note_degree(asked, losses)


def _thinking_effort(body: JsonObject, asked: ReasoningSettings, compat: Compat, losses: list[Loss]) -> None:
    _put_thinking(body, asked, compat)
    if _wanted(asked):
        _effort(body, asked, compat, losses)


def _put_thinking(body: JsonObject, asked: ReasoningSettings, compat: Compat) -> None:
    if _wanted(asked):
        body["thinking"] = {"type": "enabled", **compat.thinking_members}
    else:
        body["thinking"] = {"type": "disabled"}


def _enable_thinking(body: JsonObject, asked: ReasoningSettings, compat: Compat, losses: list[Loss]) -> None:
    body["enable_thinking"] = _wanted(asked)
    if asked.budget_tokens:
        body["thinking_budget"] = asked.budget_tokens
    _note_degree(replace(asked, budget_tokens=None), losses)


def _wanted(asked: ReasoningSettings) -> bool:
    return asked.effort != "none" and asked.budget_tokens != 0


def _note_degree(asked: ReasoningSettings, losses: list[Loss]) -> None:
    if asked.effort not in (None, "none"):
        losses.append(Loss("reasoning_effort", "the server only turns thinking on or off"))
    if asked.budget_tokens:
        losses.append(Loss("reasoning_budget", "the server only turns thinking on or off"))


_REASONING_FORMS: dict[str, Callable[[JsonObject, ReasoningSettings, Compat, list[Loss]], None]] = {
    "effort": _effort,
    "enabled_object": _enabled_object,
    "object": _object,
    "thinking_type": _thinking_type,
    "thinking_effort": _thinking_effort,
    "enable_thinking": _enable_thinking,
}
"""`budget` and `adaptive` are forms of the Messages wire."""


# Structured output


def _put_schema(body: JsonObject, prompt: Prompt, plan: OutputPlan) -> None:
    """A schema that became a tool goes out with the tools, one that is only said with the instructions."""
    if plan.form == "json_object":
        body["response_format"] = {"type": "json_object"}
    elif plan.form == "json_schema" and prompt.output_schema is not None:
        wanted = prompt.output_schema
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": wanted.name, "strict": wanted.strict, "schema": plan.schema},
        }


# Tools


def _put_tools(
    body: JsonObject, prompt: Prompt, plan: OutputPlan, compat: Compat, losses: list[Loss], history: ChatHistory
) -> None:
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
    if plan.tool is not None:
        tools.append(_function_tool(plan.tool, compat, losses, of=f"output schema {plan.tool.name!r}"))
    if not tools:
        if compat.empty_tools == "send" and history.has_calls():
            body["tools"] = []
        return
    body["tools"] = _with_breakpoint(tools) if compat.cache_control else tools
    choice, loss = settled_choice(prompt, compat, plan.tool)
    if loss is not None:
        losses.append(loss)
    if choice != "auto":  # which is what its absence means
        body["tool_choice"] = _choice(choice, prompt, compat)
    if prompt.parallel_tool_calls is not None:
        if compat.parallel_tool_calls:
            body["parallel_tool_calls"] = prompt.parallel_tool_calls
        elif not prompt.parallel_tool_calls:
            losses.append(Loss("parallel_tool_calls", "they cannot be turned off"))


def _with_breakpoint(tools: list[JsonValue]) -> list[JsonValue]:
    """A cache breakpoint on the last tool of ours: a server's own take none."""
    for n in range(len(tools) - 1, -1, -1):
        tool = json_object(tools[n]) or {}
        if tool.get("type") in ("function", "custom"):
            return [*tools[:n], {**tool, "cache_control": dict(EPHEMERAL)}, *tools[n + 1 :]]
    return tools


def _function_tool(spec: ToolSpec, compat: Compat, losses: list[Loss], *, of: str = "") -> JsonObject:
    function: JsonObject = {"name": spec.name}
    if spec.description:
        function["description"] = spec.description
    parameters, lost = fitted_schema(spec.parameters, compat, strict=spec.strict, of=of or f"tool {spec.name!r}")
    function["parameters"] = parameters
    losses += lost
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


def _choice(choice: ToolChoice, prompt: Prompt, compat: Compat) -> JsonValue:
    if choice == "required":
        return compat.required_choice
    if not isinstance(choice, NamedTool):
        return choice
    custom = any(isinstance(spec, CustomToolSpec) and spec.name == choice.name for spec in prompt.tools)
    kind = "custom" if custom and compat.custom_tools else "function"
    return {"type": kind, kind: {"name": choice.name}}
