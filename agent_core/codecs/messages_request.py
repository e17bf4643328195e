"""A prompt as a Messages request body. The way back, for servers, is `messages_inbound`.

The body's members come in a fixed order and `messages` comes last, so a longer history starts with the bytes of the
shorter one. Items become (role, blocks) one by one; neighbours of one role become one message, because the wire wants
user and assistant to alternate; in a user message the tool results come first, because it wants all answers of a step
at once and before anything else (behaviours.md 6.G T-G3, providers.md 3a).

What the wire or the server cannot carry is dropped with a `Loss`; `Losses` collects them, each once.
"""

from __future__ import annotations

import base64
from binascii import Error as Base64Error
from collections.abc import Sequence
from typing import Literal
from urllib.parse import unquote_to_bytes

from ..errors import InvalidPromptError, UnsupportedError
from ..items import (
    ContentPart,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputFile,
    InputImage,
    InputText,
    JsonObject,
    JsonValue,
    LocalShellCall,
    Message,
    Origin,
    OutputText,
    Refusal,
    ResponseItem,
)
from ..prompt import CustomToolSpec, HostedToolSpec, NamedTool, Prompt, ToolSpec, ToolSpecs
from .base import Compat, Encoded, Loss, json_bytes, json_list, json_object, json_str
from .messages_blocks import assistant_blocks, of_this_wire, schema_tool_of, tool_use_block
from .replay import replay

__all__ = ["DEFAULT_MAX_TOKENS", "EFFORT_BUDGETS", "Losses", "encode_request"]

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

_EPHEMERAL: JsonObject = {"type": "ephemeral"}
_SERVICE_TIERS = {"auto": "auto", "standard_only": "standard_only", "default": "standard_only"}
_Role = Literal["user", "assistant", "system"]


class Losses:
    """What a request could not carry, in order of discovery, each once."""

    def __init__(self) -> None:
        self._seen: dict[Loss, None] = {}

    def add(self, feature: str, detail: str = "") -> None:
        self._seen[Loss(feature, detail)] = None

    def all(self) -> tuple[Loss, ...]:
        return tuple(self._seen)


def encode_request(prompt: Prompt, compat: Compat, *, stream: bool = True) -> Encoded:
    """Raises InvalidPromptError for a prompt without anything to send or with something that is no JSON or no image,
    UnsupportedError for one that continues a response stored elsewhere."""
    if prompt.previous_response_id is not None:
        raise UnsupportedError(
            "the messages wire stores no responses to continue from",
            remedy="send the whole history instead of previous_response_id",
        )
    losses = Losses()
    replayed = replay(prompt.items, wire="messages", model=prompt.model, compat=compat)
    leading, items = _leading_system(replayed.items, compat)
    messages = encode_items(items, compat, losses)
    if not messages:
        raise InvalidPromptError("the prompt has no message to send", remedy="add a user message")
    body = _head(prompt, compat, leading, losses)
    body.update(compat.extra_body)
    body.update(prompt.extra)
    body["stream"] = stream
    if compat.cache_control:
        _mark_newest(messages)
    body["messages"] = body.pop("messages", list[JsonValue](messages))  # last; `extra` has the last word
    try:
        encoded = json_bytes(body)
    except (ValueError, RecursionError) as error:
        raise InvalidPromptError(f"the prompt holds a value that is no JSON: {error}") from None
    return Encoded(encoded, losses.all(), replayed.repairs)


def _head(prompt: Prompt, compat: Compat, leading: Sequence[str], losses: Losses) -> JsonObject:
    """Everything but the conversation."""
    max_tokens = prompt.max_output_tokens or compat.default_max_tokens or DEFAULT_MAX_TOKENS
    tools = _tools(prompt, compat, losses)
    choice = _tool_choice(prompt, compat, losses) if tools else None
    forced = choice is not None and choice.get("type") in ("any", "tool")
    thinking, output_config = _thinking(prompt, compat, max_tokens, forced, losses)
    body: JsonObject = {"model": prompt.model, "max_tokens": max_tokens}
    if system := _system((prompt.instructions, *leading), compat):
        body["system"] = system
    if tools or compat.empty_tools == "send":
        body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice
    if thinking is not None:
        body["thinking"] = thinking
    if schema_format := _schema_format(prompt, compat, losses):
        output_config["format"] = schema_format
    if output_config:
        body["output_config"] = output_config
    body.update(_sampling(prompt, compat, thinking, losses))
    body.update(_account(prompt, losses))
    return body


# instructions and tools


def _leading_system(items: Sequence[ResponseItem], compat: Compat) -> tuple[list[str], Sequence[ResponseItem]]:
    """System messages before everything else belong to the instructions, unless an assistant message would then
    come first."""
    texts: list[str] = []
    for item in items:
        if not isinstance(item, Message) or item.role not in ("system", "developer"):
            break
        texts.append(_plain_text(item))
    rest = items[len(texts) :]
    if rest and _role_of(rest[0], compat) == "assistant":
        return [], items
    return texts, rest


def _system(texts: Sequence[str], compat: Compat) -> JsonValue:
    texts = [text for text in texts if text.strip()]
    if len(texts) == 1 and not compat.cache_control:
        return texts[0]
    blocks: list[JsonValue] = [{"type": "text", "text": text} for text in texts]
    if compat.cache_control:
        _mark(blocks)
    return blocks


def _tools(prompt: Prompt, compat: Compat, losses: Losses) -> list[JsonValue]:
    tools: list[JsonValue] = [tool for spec in prompt.tools for tool in _tool(spec, compat, losses)]
    if (name := schema_tool_of(prompt, compat)) is not None and prompt.output_schema is not None:
        if any(isinstance(spec, (ToolSpec, CustomToolSpec)) and spec.name == name for spec in prompt.tools):
            raise InvalidPromptError(
                f"the output schema and a tool are both called {name!r}, and this provider takes schemas as tools",
                remedy="rename one of them",
            )
        answer = ToolSpec(
            name=name,
            description="Give the final answer by calling this tool.",
            parameters=prompt.output_schema.schema,
            strict=prompt.output_schema.strict or None,
        )
        tools.append(_function_tool(answer, compat, losses))
    if compat.cache_control:
        _mark(tools)
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


def _function_tool(spec: ToolSpec, compat: Compat, losses: Losses) -> JsonObject:
    tool: JsonObject = {"name": spec.name}
    if spec.description:
        tool["description"] = spec.description
    schema = dict(spec.parameters)
    tool["input_schema"] = schema if "type" in schema else {"type": "object", **schema}  # the API insists on it
    if spec.strict is not None:
        if compat.strict_tools:
            tool["strict"] = spec.strict
        elif spec.strict:
            losses.add("strict", spec.name)
    return tool


def _tool_choice(prompt: Prompt, compat: Compat, losses: Losses) -> JsonObject | None:
    """The member, or None where the server's default (auto, several calls at once) says the same."""
    schema_tool = schema_tool_of(prompt, compat)
    wanted = prompt.tool_choice
    if schema_tool is not None and (not prompt.tools or wanted == "none"):
        return {"type": "tool", "name": schema_tool, "disable_parallel_tool_use": True}
    if wanted == "none":
        return {"type": "none"}
    choice: JsonObject = {"type": "any" if wanted == "required" or schema_tool is not None else "auto"}
    if isinstance(wanted, NamedTool):
        choice = {"type": "tool", "name": wanted.name} if compat.named_choice else {"type": "any"}
        if not compat.named_choice:
            losses.add("tool_choice", "this server can be made to call some tool, not a certain one")
    if choice["type"] != "auto" and compat.required_choice == "auto":
        losses.add("tool_choice", "this server cannot be made to call a tool")
        choice = {"type": "auto"}
    if prompt.parallel_tool_calls is not None and compat.parallel_tool_calls:
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
            config["effort"] = "low" if effort == "minimal" else effort
    else:
        budget = _budget(wanted.effort, wanted.budget_tokens, max_tokens, losses)
        if budget is None:
            return None, {}
        thinking = {"type": "enabled", "budget_tokens": budget}
    if wanted.summary is not None:
        thinking["display"] = "omitted" if wanted.summary == "none" else "summarized"
    return thinking, config


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


def _effort_of(budget: int) -> str:
    return next((effort for effort in ("low", "medium") if budget <= EFFORT_BUDGETS[effort]), "high")


def _schema_format(prompt: Prompt, compat: Compat, losses: Losses) -> JsonObject | None:
    if prompt.output_schema is None or compat.output_schema == "tool":
        return None
    if compat.output_schema != "json_schema":
        losses.add("output_schema", "this server takes none")
        return None
    return {"type": "json_schema", "schema": dict(prompt.output_schema.schema)}


def _sampling(prompt: Prompt, compat: Compat, thinking: JsonObject | None, losses: Losses) -> JsonObject:
    wanted = prompt.sampling
    out: JsonObject = {}
    if stop := _stop(wanted.stop, compat, losses):
        out["stop_sequences"] = stop
    thinks = thinking is not None and thinking.get("type") != "disabled"
    if wanted.temperature is not None:
        highest = min(compat.temperature_max, 1.0)
        fitted = min(max(wanted.temperature, 0.0), highest)
        if not compat.sampling:
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
        if value is not None and compat.sampling and allowed:
            out[name] = value
        elif value is not None:
            losses.add(name, "not together with thinking" if compat.sampling else "this model refuses it")
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


# the conversation


def encode_items(items: Sequence[ResponseItem], compat: Compat, losses: Losses) -> list[JsonObject]:
    """The `messages` array: runs of one role as one message, tool results first in it."""
    messages: list[JsonObject] = []
    role: _Role | None = None
    results: list[JsonValue] = []
    content: list[JsonValue] = []
    for item in items:
        blocks = encode_item(item, compat, losses)
        if not blocks:
            continue
        if _role_of(item, compat) != role:
            if role is not None:
                messages.append({"role": role, "content": [*results, *content]})
            role, results, content = _role_of(item, compat), [], []
        (results if isinstance(item, (FunctionCallOutput, CustomToolCallOutput)) else content).extend(blocks)
    if role is not None:
        messages.append({"role": role, "content": [*results, *content]})
    if role == "assistant":
        _trim_prefill(content)
        messages[-1]["content"] = content
    return messages


def encode_item(item: ResponseItem, compat: Compat, losses: Losses) -> list[JsonObject]:
    """The blocks of one item; none for an item that says nothing or that this wire has no place for (a Loss)."""
    match item:
        case Message(role="assistant"):
            blocks = assistant_blocks(item)
            return [_said(block, item.origin, compat, losses) for block in blocks if _is_visible(block)]
        case Message(role="user"):
            return _parts(item.content, losses)
        case Message():
            text = _plain_text(item)
            if not compat.inline_system and text.strip():
                losses.add("system_role", "a system message after the first was sent as the user's")
                text = f"<system-reminder>\n{text}\n</system-reminder>"
            return _text(text)
        case FunctionCallOutput() | CustomToolCallOutput():
            return [_result(item, losses)]
        case FunctionCall() | CustomToolCall() | LocalShellCall():
            if not isinstance(item, LocalShellCall) and item.namespace is not None:
                losses.add("namespace", item.namespace)
            return [tool_use_block(item)]
        case _:
            blocks = assistant_blocks(item)
            if not blocks:
                losses.add("item", item.type)
            return blocks


def _role_of(item: ResponseItem, compat: Compat) -> _Role:
    match item:
        case Message(role="assistant"):
            return "assistant"
        case Message(role="system" | "developer") if compat.inline_system:
            return "system"
        case Message() | FunctionCallOutput() | CustomToolCallOutput():
            return "user"
        case _:
            return "assistant"


def _is_own(origin: Origin | None, compat: Compat) -> bool:
    return of_this_wire(origin) and origin is not None and origin.provider == compat.provider


def _is_visible(block: JsonObject) -> bool:
    return bool(json_str(block.get("text")).strip())  # the API refuses blank text


def _said(block: JsonObject, origin: Origin | None, compat: Compat, losses: Losses) -> JsonObject:
    """A text block of the model's. Of its citations only those of web searches are accepted back as they came, and
    only where they came from: their `encrypted_index` is opaque."""
    citations = json_list(block.get("citations"))
    if not citations:
        return block
    kept = [note for note in citations if (json_object(note) or {}).get("type") == "web_search_result_location"]
    if not _is_own(origin, compat):
        kept = []
    if len(kept) < len(citations):
        losses.add("annotations")
    out: JsonObject = {"type": "text", "text": block["text"]}
    if kept:
        out["citations"] = kept
    return out


def _text(text: str) -> list[JsonObject]:
    return [{"type": "text", "text": text}] if text.strip() else []


def _plain_text(item: Message) -> str:
    return "\n".join(part.text for part in item.content if isinstance(part, (InputText, OutputText)))


def _result(item: FunctionCallOutput | CustomToolCallOutput, losses: Losses) -> JsonObject:
    block: JsonObject = {"type": "tool_result", "tool_use_id": item.call_id}
    if isinstance(item.output, str):
        if item.output.strip():
            block["content"] = item.output
    elif parts := _parts(item.output, losses):
        block["content"] = list[JsonValue](parts)
    if item.success is False:
        block["is_error"] = True
    return block


def _parts(content: Sequence[ContentPart], losses: Losses) -> list[JsonObject]:
    blocks: list[JsonObject] = []
    for part in content:
        match part:
            case InputText() | OutputText():
                blocks.extend(_text(part.text))
            case Refusal():
                blocks.extend(_text(part.refusal))
            case InputImage():
                if part.detail not in (None, "auto"):
                    losses.add("image_detail", part.detail)
                blocks.append({"type": "image", "source": _source(part.image_url)})
            case InputFile():
                blocks.append(_document(part, losses))
    return blocks


def _source(url: str) -> JsonObject:
    if url[:8].lower().startswith(("http://", "https://")):
        return {"type": "url", "url": url}
    media_type, data = _data_url(url)
    return {"type": "base64", "media_type": media_type, "data": data}


def _data_url(url: str) -> tuple[str, str]:
    """Media type and base64 text of a `data:` URL. Raises InvalidPromptError for a URL that is none."""
    head, comma, data = url.partition(",")
    if head[:5].lower() != "data:" or not comma or not data:
        raise InvalidPromptError(
            f"an image or file must be an http(s) or data: URL, got {url[:24]!r}",
            remedy="pass an URL, or data:<media type>;base64,<data>",
        )
    media_type, *flags = head[5:].split(";")
    if "base64" not in (flag.strip().lower() for flag in flags):
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return media_type.strip().lower() or "text/plain", data


def _document(part: InputFile, losses: Losses) -> JsonObject:
    """A `document` block: PDF as base64, text as text, or by URL or file id. Other kinds the wire does not know; the
    model is told that they were there."""
    source: JsonObject | None = None
    refused = "neither data, url nor id"
    if part.file_data is not None:
        media_type, data = _data_url(part.file_data)
        if media_type == "application/pdf":
            source = {"type": "base64", "media_type": media_type, "data": data}
        elif media_type.startswith("text/") or media_type == "application/json":
            source = {"type": "text", "media_type": "text/plain", "data": _decoded(data)}
        refused = f"{media_type} is no document here"
    elif part.file_url is not None:
        source = {"type": "url", "url": part.file_url}
    elif part.file_id is not None:
        source = {"type": "file", "file_id": part.file_id}
    if source is None:
        losses.add("file", refused)
        return {"type": "text", "text": f"[file {part.filename or 'without a name'} left out: not supported here]"}
    block: JsonObject = {"type": "document", "source": source}
    if part.filename:
        block["title"] = part.filename
    return block


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data).decode("utf-8", "replace")
    except Base64Error:
        raise InvalidPromptError("a file's data: URL holds no base64", remedy="encode its bytes as base64") from None


def _trim_prefill(content: list[JsonValue]) -> None:
    """An answer begun for the model must not end in white space, the API says."""
    last = json_object(content[-1])
    if last is not None and last.get("type") == "text":
        content[-1] = {**last, "text": json_str(last.get("text")).rstrip()}


# cache breakpoints: at most four, on what stays the same for the next request


def _mark(blocks: list[JsonValue]) -> None:
    last = json_object(blocks[-1]) if blocks else None
    if last is not None:
        blocks[-1] = {**last, "cache_control": dict(_EPHEMERAL)}


def _mark_newest(messages: Sequence[JsonObject]) -> None:
    """The newest user message, which the next request repeats, and the one before it, which this one repeats."""
    marked = [message for message in messages if message["role"] == "user"][-2:]
    for message in marked:
        _mark(json_list(message["content"]))
