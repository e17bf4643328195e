"""A prompt as a Messages request body. The way back, for servers, is `messages_inbound`.

The body's members come in a fixed order and `messages` comes last (`messages_history`), so a longer history starts with
the bytes of the shorter one. What the wire or the server cannot carry is dropped with a `Loss`.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from ..errors import InvalidPromptError, UnsupportedError
from ..items import JsonObject, JsonValue
from ..prompt import CustomToolSpec, HostedToolSpec, NamedTool, Prompt, ToolSpec, ToolSpecs
from .base import Compat, Encoded, json_object, json_str, prompt_json
from .messages_history import MessagesHistory, mark_last
from .messages_items import Losses
from .output_forms import OutputPlan, plan_output, settled_choice
from .reasoning_rules import fitted_effort, may_sample
from .schemas import fitted_schema

__all__ = ["DEFAULT_MAX_TOKENS", "EFFORT_BUDGETS", "encode_request"]

DEFAULT_MAX_TOKENS = 8192
"""The wire insists on a cap (behaviours.md 5.1, X-S0-04); a provider's row may set another."""

MIN_BUDGET = 1024  # what the API accepts as the smallest thinking budget

EFFORT_BUDGETS: dict[str, int] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 24576,
    "max": 32000,
}
"""Thinking tokens for an effort, on servers that count: read back by the thresholds of behaviours.md S0-31 and S2-26,
each budget is its effort again."""

_SERVICE_TIERS = {"auto": "auto", "standard_only": "standard_only", "default": "standard_only"}


def encode_request(prompt: Prompt, compat: Compat, history: MessagesHistory, *, stream: bool = True) -> Encoded:
    """The body, what it leaves out, and what replay repaired. `history` is empty, or that of the request before.

    Raises InvalidPromptError for a prompt without anything to send or with something that is no JSON or no image,
    UnsupportedError for one that continues a response stored elsewhere."""
    if prompt.previous_response_id is not None:
        raise UnsupportedError(
            "the messages wire stores no responses to continue from",
            remedy="send the whole history instead of previous_response_id",
        )
    if prompt.cache_breakpoints and not compat.cache_control:
        compat = replace(compat, cache_control=True)
        history = MessagesHistory(compat)
    history.update(prompt)
    if not len(history.elements):
        raise InvalidPromptError("the prompt has no message to send", remedy="add a user message")
    losses = Losses(history.losses.all())
    body = _head(prompt, compat, history.leading, losses)
    _settle_thinking(body, compat, history, losses)
    body.update(compat.extra_body)
    body.update(prompt.extra)
    body["stream"] = stream
    given = body.pop("messages", None)  # last; `extra` has the last word
    body["messages"] = [] if given is None else given
    encoded = prompt_json(body)
    if given is None:
        encoded = history.elements.in_body(encoded)
    return Encoded(encoded, losses.all(), history.repairs())


def _head(prompt: Prompt, compat: Compat, leading: Sequence[str], losses: Losses) -> JsonObject:
    """Everything but the conversation."""
    max_tokens = prompt.max_output_tokens or compat.default_max_tokens or DEFAULT_MAX_TOKENS
    plan = plan_output(prompt, compat, json_mode=False)
    for loss in plan.losses:
        losses.add(loss.feature, loss.detail)
    tools = _tools(prompt, plan, compat, losses)
    choice = _tool_choice(prompt, plan, compat, losses) if tools else None
    forced = choice is not None and choice.get("type") in ("any", "tool")
    thinking, output_config = _thinking(prompt, compat, max_tokens, forced, losses)
    body: JsonObject = {"model": prompt.model} if compat.model_in_body else {}
    body["max_tokens"] = max_tokens
    if system := _system((plan.instructions, *leading), compat):
        body["system"] = system
    if tools or compat.empty_tools == "send":
        body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice
    if thinking is not None:
        body["thinking"] = thinking
    if plan.form == "json_schema":
        output_config["format"] = {"type": "json_schema", "schema": plan.schema}
    if output_config:
        body["output_config"] = output_config
    body.update(_sampling(prompt, compat, thinking, losses))
    body.update(_account(prompt, losses))
    return body


# instructions and tools


def _system(texts: Sequence[str], compat: Compat) -> JsonValue:
    texts = [text for text in texts if text.strip()]
    if len(texts) == 1 and not compat.cache_control:
        return texts[0]
    blocks: list[JsonValue] = [{"type": "text", "text": text} for text in texts]
    if compat.cache_control:
        mark_last(blocks)
    return blocks


def _tools(prompt: Prompt, plan: OutputPlan, compat: Compat, losses: Losses) -> list[JsonValue]:
    tools: list[JsonValue] = [tool for spec in prompt.tools for tool in _tool(spec, compat, losses)]
    if plan.tool is not None:
        tools.append(_function_tool(plan.tool, compat, losses, of=f"output schema {plan.tool.name!r}"))
    if compat.cache_control:
        mark_last(tools)
    return tools


def _tool(spec: ToolSpecs, compat: Compat, losses: Losses) -> list[JsonObject]:
    match spec:
        case ToolSpec():
            return [_function_tool(spec, compat, losses)]
        case CustomToolSpec():
            if spec.format is not None:
                losses.add("custom_tool_format", spec.name)
            text: JsonObject = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
            return [_function_tool(ToolSpec(spec.name, spec.description, text), compat, losses)]
        case HostedToolSpec(wire="messages"):
            return [dict(spec.raw)]
        case HostedToolSpec():
            losses.add("hosted_tool", json_str(spec.raw.get("type")))
            return []


def _function_tool(spec: ToolSpec, compat: Compat, losses: Losses, *, of: str = "") -> JsonObject:
    tool: JsonObject = {"name": spec.name}
    if spec.description:
        tool["description"] = spec.description
    schema, lost = fitted_schema(spec.parameters, compat, strict=spec.strict, of=of or f"tool {spec.name!r}")
    for loss in lost:
        losses.add(loss.feature, loss.detail)
    tool["input_schema"] = schema if "type" in schema else {"type": "object", **schema}  # the API insists on it
    if spec.strict is not None:
        if compat.strict_tools:
            tool["strict"] = spec.strict
        elif spec.strict:
            losses.add("strict", spec.name)
    return tool


def _tool_choice(prompt: Prompt, plan: OutputPlan, compat: Compat, losses: Losses) -> JsonObject | None:
    """The member, or None where the server's default (auto, several calls at once) says the same."""
    wanted, loss = settled_choice(prompt, compat, plan.tool)
    if loss is not None:
        losses.add(loss.feature, loss.detail)
    if wanted == "none":
        return {"type": "none"}
    choice: JsonObject = {"type": "any" if wanted == "required" else "auto"}
    if isinstance(wanted, NamedTool):
        choice = {"type": "tool", "name": wanted.name}
    if plan.tool is not None and wanted == NamedTool(plan.tool.name):
        choice["disable_parallel_tool_use"] = True  # one answer
    elif prompt.parallel_tool_calls is not None and compat.parallel_tool_calls:
        choice["disable_parallel_tool_use"] = not prompt.parallel_tool_calls
    elif prompt.parallel_tool_calls is False:
        losses.add("parallel_tool_calls")
    return None if choice == {"type": "auto"} else choice


# how to answer


def _thinking(
    prompt: Prompt, compat: Compat, max_tokens: int, forced: bool, losses: Losses
) -> tuple[JsonObject | None, JsonObject]:
    """The `thinking` member, and what belongs into `output_config`."""
    wanted = prompt.reasoning
    if wanted is None:
        return None, {}
    if compat.reasoning_request == "none":
        losses.add("reasoning", "not adjustable here")
        return None, {}
    if wanted.effort == "none" or wanted.budget_tokens == 0:
        return {"type": "disabled"}, {}
    if forced:  # "Thinking may not be enabled when tool_choice forces tool use"
        losses.add("reasoning", "not together with a forced tool")
        return None, {}
    config: JsonObject = {}
    if compat.reasoning_request == "adaptive":
        thinking: JsonObject = {"type": "adaptive"}
        effort = wanted.effort
        if wanted.budget_tokens is not None:
            losses.add("reasoning.budget_tokens", "this model takes an effort")
            effort = effort or _effort_of(wanted.budget_tokens)
        if effort is not None:
            config["effort"] = _known_effort(effort, compat, losses)
    else:
        budget = _budget(wanted.effort, wanted.budget_tokens, max_tokens, losses)
        if budget is None:
            return None, {}
        thinking = {"type": "enabled", "budget_tokens": budget}
    if wanted.summary is not None:
        thinking["display"] = "omitted" if wanted.summary == "none" else "summarized"
    return thinking, config


def _settle_thinking(body: JsonObject, compat: Compat, history: MessagesHistory, losses: Losses) -> None:
    """What is asked for has to go with what the messages hold: thinking by budget cannot begin in the middle of a turn,
    and an answer begun for the model cannot think while thinking is off (forgecode#1853). Servers that do not sign
    thinking check neither."""
    thinking = (json_object(body.get("thinking")) or {}).get("type", "disabled")
    if compat.unsigned_thinking:
        return
    if thinking == "enabled" and history.goes_on_unthought():
        del body["thinking"]
        thinking = "disabled"
        losses.add("reasoning", "the turn that goes on began without thinking")
    if thinking == "disabled" and history.unthink_last():
        losses.add("reasoning", "an answer begun without thinking goes on without")


def _budget(effort: str | None, budget: int | None, max_tokens: int, losses: Losses) -> int | None:
    """Thinking tokens: at least 1024 and fewer than `max_tokens`, of which they are a part. An effort never takes more
    than three quarters of them; a budget somebody asked for is changed only as far as the wire insists."""
    if max_tokens <= MIN_BUDGET:
        losses.add("reasoning", f"no room for thinking in {max_tokens} tokens")
        return None
    if budget is None:
        wish = EFFORT_BUDGETS.get(effort or "medium", EFFORT_BUDGETS["medium"])
        return max(MIN_BUDGET, min(wish, max_tokens * 3 // 4))
    fitted = max(MIN_BUDGET, min(budget, max_tokens - 1))
    if fitted != budget:
        losses.add("reasoning.budget_tokens", f"{budget} became {fitted}")
    if effort is not None:
        losses.add("reasoning.effort", "the budget is used")
    return fitted


def _known_effort(effort: str, compat: Compat, losses: Losses) -> str:
    fitted, loss = fitted_effort("low" if effort == "minimal" else effort, compat)
    if loss is not None:
        losses.add(loss.feature, loss.detail)
    return fitted


def _effort_of(budget: int) -> str:
    return next((effort for effort in ("low", "medium") if budget <= EFFORT_BUDGETS[effort]), "high")


def _sampling(prompt: Prompt, compat: Compat, thinking: JsonObject | None, losses: Losses) -> JsonObject:
    wanted = prompt.sampling
    out: JsonObject = {}
    if stop := _stop(wanted.stop, compat, losses):
        out["stop_sequences"] = stop
    thinks = thinking is not None and thinking.get("type") != "disabled"
    if wanted.temperature is not None:
        highest = min(compat.temperature_max, 1.0)
        fitted = min(max(wanted.temperature, 0.0), highest)
        if not may_sample(prompt, compat):
            losses.add("temperature", "this model refuses it")
        elif thinks:
            if wanted.temperature != 1:
                losses.add("temperature", "not together with thinking")
        else:
            if fitted != wanted.temperature:
                losses.add("temperature", f"{wanted.temperature} became {fitted}")
            out["temperature"] = fitted
    for name, value, allowed in (
        ("top_p", wanted.top_p, not thinks or (wanted.top_p or 0) >= 0.95),
        ("top_k", wanted.top_k, not thinks),
    ):
        if value is not None and may_sample(prompt, compat) and allowed:
            out[name] = value
        elif value is not None:
            losses.add(name, "not together with thinking" if not allowed else "this model refuses it")
    return out


def _stop(stop: Sequence[str], compat: Compat, losses: Losses) -> list[JsonValue]:
    if stop and not compat.stop:
        losses.add("stop", "this model refuses it")
        return []
    usable: list[JsonValue] = [text for text in stop if text.strip()]
    if len(usable) < len(stop):
        losses.add("stop", "a stop sequence may not be blank")
    if compat.max_stop is not None and len(usable) > compat.max_stop:
        losses.add("stop", f"only the first {compat.max_stop} of {len(usable)}")
        usable = usable[: compat.max_stop]
    return usable


def _account(prompt: Prompt, losses: Losses) -> JsonObject:
    """Whose request it is, and what has no member here at all."""
    out: JsonObject = {}
    metadata = dict(prompt.metadata or {})
    user = prompt.user or metadata.pop("user_id", None)
    if user is not None:
        out["metadata"] = {"user_id": user}
    for name in metadata:
        losses.add("metadata", name)
    if prompt.service_tier is not None:
        if tier := _SERVICE_TIERS.get(prompt.service_tier):
            out["service_tier"] = tier
        else:
            losses.add("service_tier", prompt.service_tier)
    sampling = prompt.sampling
    absent: tuple[tuple[str, object], ...] = (
        ("seed", sampling.seed),
        ("presence_penalty", sampling.presence_penalty or None),
        ("frequency_penalty", sampling.frequency_penalty or None),
        ("n", None if sampling.n == 1 else sampling.n),
        ("logprobs", sampling.logprobs),
        ("prompt_cache_key", prompt.prompt_cache_key),
        ("verbosity", prompt.verbosity),
        ("store", prompt.store or None),
    )
    for name, value in absent:
        if value is not None:
            losses.add(name)
    return out
