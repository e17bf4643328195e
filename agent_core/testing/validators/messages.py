"""What servers of the Anthropic Messages wire enforce about a request body (behaviours.md 6.G, providers.md 3a, 3b).

    max_tokens      is required
    messages        user and assistant in turn, the user first, none of them blank
    a step          an assistant message with `tool_use` blocks; the next message begins with one `tool_result` for each
    thinking        signed, never the last block; a turn with tools that thinks begins with it (openai-agents#1704)
    server tools    their results stand in the same message, after them (claude-code#62885)
    cache markers   at most four

With a `Compat` its server's own rules hold as well. A `system` message inside the conversation is for newer models:
without a profile it is let through, with one only where the profile says `inline_system`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...codecs.base import Compat, json_list, json_object
from ...items import JsonObject, JsonValue
from .shapes import (
    BASE64,
    BOOL,
    BREAKPOINT,
    COUNT,
    INT,
    LIST,
    OBJECT,
    TEXT,
    TEXTS,
    Kind,
    Report,
    Shape,
    between,
    check_breakpoints,
    check_clean,
    check_name,
    is_blank,
    one_of,
    refuse,
    shape,
)
from .strict_schemas import check_anthropic_limits

__all__ = ["check_messages"]

_TEXT_OR_LIST = Kind("a string or a list of blocks", lambda value: isinstance(value, (str, list)))

_BODY = shape(
    {"max_tokens": COUNT, "messages": LIST},
    model=TEXT,
    anthropic_version=TEXT,  # in the body on Vertex and Bedrock, where the URL names the model
    anthropic_beta=TEXTS,
    system=_TEXT_OR_LIST,
    tools=LIST,
    tool_choice=OBJECT,
    thinking=OBJECT,
    output_config=OBJECT,
    temperature=between(0, 1),
    top_p=between(0, 1),
    top_k=INT,
    stop_sequences=TEXTS,
    stream=BOOL,
    metadata=OBJECT,
    service_tier=one_of("auto", "standard_only"),
    cache_control=BREAKPOINT,
    context_management=OBJECT,
    container=Kind("a string or an object", lambda value: isinstance(value, (str, dict))),
    mcp_servers=LIST,
    betas=TEXTS,
)
_METADATA = shape({}, user_id=TEXT)
_OUTPUT_CONFIG = shape({}, effort=one_of("low", "medium", "high", "xhigh", "max"), format=OBJECT)
_FORMAT = shape({"type": one_of("json_schema"), "schema": OBJECT})
_CHOICES: Mapping[str, Shape] = {
    "auto": shape({"type": TEXT}, disable_parallel_tool_use=BOOL),
    "any": shape({"type": TEXT}, disable_parallel_tool_use=BOOL),
    "tool": shape({"type": TEXT, "name": TEXT}, disable_parallel_tool_use=BOOL),
    "none": shape({"type": TEXT}),
}
_THINKING: Mapping[str, Shape] = {
    "enabled": shape({"type": TEXT, "budget_tokens": INT}, display=one_of("summarized", "omitted")),
    "adaptive": shape({"type": TEXT}, display=one_of("summarized", "omitted")),
    "disabled": shape({"type": TEXT}),
}
_TOOL = shape(
    {"name": TEXT, "input_schema": OBJECT},
    type=one_of("custom"),
    description=TEXT,
    strict=BOOL,
    cache_control=BREAKPOINT,
    eager_input_streaming=BOOL,
    defer_loading=BOOL,
    allowed_callers=TEXTS,
    input_examples=LIST,
)

_MESSAGE = shape({"role": TEXT, "content": _TEXT_OR_LIST})
_TEXT = shape({"type": TEXT, "text": TEXT}, citations=LIST, cache_control=BREAKPOINT)
_SEALED: Mapping[str, Shape] = {
    "thinking": shape({"type": TEXT, "thinking": TEXT}, signature=TEXT),
    "redacted_thinking": shape({"type": TEXT, "data": TEXT}),
}
_BLOCKS: Mapping[str, Shape] = {
    "text": _TEXT,
    **_SEALED,
    "image": shape({"type": TEXT, "source": OBJECT}, cache_control=BREAKPOINT),
    "document": shape(
        {"type": TEXT, "source": OBJECT}, title=TEXT, context=TEXT, citations=OBJECT, cache_control=BREAKPOINT
    ),
    "search_result": shape(
        {"type": TEXT, "source": TEXT, "title": TEXT, "content": LIST}, citations=OBJECT, cache_control=BREAKPOINT
    ),
    "tool_use": shape(
        {"type": TEXT, "id": TEXT, "name": TEXT, "input": OBJECT}, caller=OBJECT, cache_control=BREAKPOINT
    ),
    "tool_result": shape(
        {"type": TEXT, "tool_use_id": TEXT}, content=_TEXT_OR_LIST, is_error=BOOL, cache_control=BREAKPOINT
    ),
}
_USER_BLOCKS = frozenset({"text", "image", "document", "search_result", "tool_result", "container_upload"})
_RESULT_BLOCKS = frozenset({"text", "image", "document", "search_result", "tool_reference"})
_SERVER_USES = frozenset({"server_tool_use", "mcp_tool_use"})
_SERVER_BLOCKS = frozenset({"compaction", "container_upload", "fallback"})
_SERVER_RESULT = re.compile(r"(?!tool_result$)\w+_tool_result")
_SOURCES: Mapping[str, Shape] = {
    "base64": shape({"type": TEXT, "media_type": TEXT, "data": TEXT}),
    "url": shape({"type": TEXT, "url": TEXT}),
    "file": shape({"type": TEXT, "file_id": TEXT}),
    "text": shape({"type": TEXT, "media_type": one_of("text/plain"), "data": TEXT}),
    "content": shape({"type": TEXT, "content": _TEXT_OR_LIST}),
}
_MEDIA_TYPES: Mapping[str, frozenset[str]] = {
    "image": frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"}),
    "document": frozenset({"application/pdf"}),
}
_FORCED = ("any", "tool")

_CALL_ID = re.compile(r"[A-Za-z0-9_-]+")
_NAME_MAX = 128
_ID_MAX = 64
_MIN_BUDGET = 1024


def check_messages(body: JsonObject, compat: Compat | None, report: Report) -> None:
    """Everything that is wrong with `body` goes into `report`."""
    _BODY.check(report, "", body)
    if body.get("model") is None and body.get("anthropic_version") is None:
        report.add("missing_member", "model", "is required")
    if compat is not None and not compat.model_in_body:
        refuse(report, "", body, ("model",), "this server has it in the URL")
    if body.get("model") == "":
        report.add("empty", "model", "is blank")
    _check_system(report, body)
    names = _check_tools(report, body)
    _check_strict_tools(report, body)
    _check_choice(report, body, names)
    _check_thinking(report, body)
    _check_settings(report, body)
    if compat is not None:
        _check_profile(report, body, compat)
    messages = body.get("messages")
    if isinstance(messages, list):
        _Conversation(report, compat).check(messages)
        _check_turn(report, body, messages, compat)
    check_breakpoints(report, body)


# everything but the conversation


def _check_system(report: Report, body: JsonObject) -> None:
    system = body.get("system")
    if isinstance(system, str) and is_blank(system):
        report.add("empty", "system", "is blank")
    if system == []:
        report.add("empty", "system", "must not be an empty list")
    for n, each in enumerate(json_list(system)):
        block = _TEXT.check(report, f"system[{n}]", each)
        if block is not None and is_blank(str(block.get("text"))):
            report.add("empty", f"system[{n}].text", "the block is blank")


def _check_tools(report: Report, body: JsonObject) -> set[str]:
    """The names of the tools."""
    names: set[str] = set()
    for n, each in enumerate(json_list(body.get("tools"))):
        where = f"tools[{n}]"
        tool = json_object(each)
        if tool is None:
            report.add("wrong_type", where, "must be an object")
            continue
        if tool.get("type") in (None, "custom"):  # any other is the provider's own and has members of its own
            _TOOL.check(report, where, tool)
            schema = json_object(tool.get("input_schema"))
            if schema is not None and schema.get("type") != "object":
                report.add("wrong_type", f"{where}.input_schema.type", "must be 'object'")
        name = tool.get("name")
        if not isinstance(name, str):
            continue
        check_name(report, f"{where}.name", name, _NAME_MAX)
        if name in names:
            report.add("bad_tools", f"{where}.name", f"two tools are called {name!r}")
        names.add(name)
    return names


def _check_strict_tools(report: Report, body: JsonObject) -> None:
    tools = [json_object(each) or {} for each in json_list(body.get("tools"))]
    schemas = {
        f"tools[{n}].input_schema": json_object(tool.get("input_schema")) or {}
        for n, tool in enumerate(tools)
        if tool.get("strict") is True
    }
    check_anthropic_limits(report, schemas)


def _check_choice(report: Report, body: JsonObject, names: set[str]) -> None:
    choice = json_object(body.get("tool_choice"))
    if choice is None:
        return
    kind = choice.get("type")
    if not isinstance(kind, str) or kind not in _CHOICES:
        report.add("out_of_range", "tool_choice.type", "must be auto, any, tool or none")
        return
    _CHOICES[kind].check(report, "tool_choice", choice)
    if not body.get("tools"):
        report.add("bad_tools", "tool_choice", "is only allowed beside tools")
    if kind == "tool" and choice.get("name") not in names:
        report.add("bad_tools", "tool_choice.name", f"{choice.get('name')!r} is not among the tools")


def _check_thinking(report: Report, body: JsonObject) -> None:
    thinking = json_object(body.get("thinking"))
    if thinking is None:
        return
    kind = thinking.get("type")
    if not isinstance(kind, str) or kind not in _THINKING:
        report.add("out_of_range", "thinking.type", "must be enabled, adaptive or disabled")
        return
    _THINKING[kind].check(report, "thinking", thinking)
    if kind == "disabled":
        return
    budget, cap = thinking.get("budget_tokens"), body.get("max_tokens")
    if isinstance(budget, int) and isinstance(cap, int) and not _MIN_BUDGET <= budget < cap:
        report.add("out_of_range", "thinking.budget_tokens", f"must be at least {_MIN_BUDGET} and below max_tokens")
    if (json_object(body.get("tool_choice")) or {}).get("type") in _FORCED:
        report.add("not_together", "thinking", "may not be enabled when tool_choice forces tool use")
    if body.get("temperature") not in (None, 1):
        report.add("not_together", "temperature", "may only be 1 when thinking is enabled")
    if body.get("top_k") is not None:
        report.add("not_together", "top_k", "must be unset when thinking is enabled")
    top_p = body.get("top_p")
    if isinstance(top_p, (int, float)) and top_p < 0.95:
        report.add("not_together", "top_p", "must be at least 0.95 or unset when thinking is enabled")


def _check_settings(report: Report, body: JsonObject) -> None:
    if isinstance(body.get("metadata"), dict):
        _METADATA.check(report, "metadata", body["metadata"])
    if isinstance(body.get("output_config"), dict):
        config = _OUTPUT_CONFIG.check(report, "output_config", body["output_config"]) or {}
        if isinstance(config.get("format"), dict):
            _FORMAT.check(report, "output_config.format", config["format"])
    for n, text in enumerate(json_list(body.get("stop_sequences"))):
        if isinstance(text, str) and is_blank(text):
            report.add("empty", f"stop_sequences[{n}]", "must hold more than white space")


def _check_profile(report: Report, body: JsonObject, compat: Compat) -> None:
    """What the server of this profile does not take."""
    if body.get("tools") == [] and compat.empty_tools == "omit":
        report.add("not_here", "tools", "this server takes no empty list (pains.md 13)")
    thinking = (json_object(body.get("thinking")) or {}).get("type")
    if compat.reasoning_request == "none":
        refuse(report, "", body, ("thinking",), "this model takes no reasoning settings")
    if compat.reasoning_request == "budget" and thinking == "adaptive":
        report.add("not_here", "thinking.type", "this model takes a budget")
    if compat.reasoning_request == "adaptive" and thinking == "enabled":
        report.add("not_here", "thinking.type", "this model takes no budget")
    config = json_object(body.get("output_config")) or {}
    effort = config.get("effort")
    if compat.reasoning_request != "adaptive":
        refuse(report, "output_config", config, ("effort",), "this model takes no effort")
    elif effort is not None and compat.efforts and effort not in compat.efforts:
        report.add("not_here", "output_config.effort", f"this model knows {', '.join(compat.efforts)}")
    if compat.output_schema != "json_schema":
        refuse(report, "output_config", config, ("format",), "this server takes no schemas")
    if not compat.sampling:
        refuse(report, "", body, ("temperature", "top_p", "top_k"), "this model takes no sampling parameters")
    if not compat.stop:
        refuse(report, "", body, ("stop_sequences",), "this model takes no stop sequences")
    if compat.max_stop is not None and len(json_list(body.get("stop_sequences"))) > compat.max_stop:
        report.add("not_here", "stop_sequences", f"this server takes at most {compat.max_stop}")
    temperature = body.get("temperature")
    if isinstance(temperature, (int, float)) and temperature > compat.temperature_max:
        report.add("not_here", "temperature", f"this server takes at most {compat.temperature_max}")
    choice = json_object(body.get("tool_choice")) or {}
    if choice.get("type") == "tool" and not compat.named_choice:
        report.add("not_here", "tool_choice", "this server can be made to call some tool, not a certain one")
    if choice.get("type") == "any" and compat.required_choice == "auto":
        report.add("not_here", "tool_choice", "this server cannot be made to call a tool")
    for n, each in enumerate(json_list(body.get("tools"))):
        if not compat.strict_tools:
            refuse(report, f"tools[{n}]", json_object(each) or {}, ("strict",), "this server does not know it")


# the turn that goes on


def _check_turn(report: Report, body: JsonObject, messages: list[JsonValue], compat: Compat | None) -> None:
    """Whether the assistant messages since the last word of the user's go with `thinking` on or off."""
    mode = (json_object(body.get("thinking")) or {}).get("type")
    last = len(messages) - 1
    said = [json_object(each) or {} for each in messages]
    if last < 0:
        return
    if mode in (None, "disabled") and said[last].get("role") == "assistant":
        for n, block in enumerate(json_list(said[last].get("content"))):
            if (json_object(block) or {}).get("type") in _SEALED and (compat is None or not compat.unsigned_thinking):
                where = f"messages[{last}].content[{n}]"
                report.add("bad_reasoning", where, "a last assistant message cannot think when thinking is off")
    if mode != "enabled" or (compat is not None and compat.unsigned_thinking):
        return
    turn: list[int] = []
    for n in range(last, -1, -1):
        if said[n].get("role") == "assistant":
            turn.append(n)
        elif not _only_results(said[n]):
            break
    if turn and not any(_first_type(said[n]) in _SEALED for n in (turn[0], turn[-1])):
        where = f"messages[{turn[0]}].content[0]"
        report.add("bad_reasoning", where, "must be thinking: the turn goes on, and thinking is enabled")


def _only_results(message: JsonObject) -> bool:
    content = message.get("content")
    blocks = [json_object(each) or {} for each in json_list(content)]
    return bool(blocks) and any(block.get("type") == "tool_result" for block in blocks)


def _first_type(message: JsonObject) -> str:
    blocks = json_list(message.get("content"))
    kind = (json_object(blocks[0]) or {}).get("type") if blocks else None
    return kind if isinstance(kind, str) else "text"


# the conversation


class _Conversation:
    """Checks the messages one by one, and who answers whom between them."""

    def __init__(self, report: Report, compat: Compat | None) -> None:
        self._report = report
        self._compat = compat
        self._ids: set[str] = set()
        self._open: dict[str, str] = {}  # tool_use ids of the last assistant message, and where they stand
        self._last = 0

    def check(self, messages: list[JsonValue]) -> None:
        if not messages:
            self._report.add("empty", "messages", "must not be an empty list")
        self._last = len(messages) - 1
        before = ""
        for n, each in enumerate(messages):
            where = f"messages[{n}]"
            message = _MESSAGE.check(self._report, where, each)
            role = message.get("role") if message is not None else None
            if message is None or role not in ("user", "assistant", "system"):
                self._report.add("unknown_type", f"{where}.role", "must be user or assistant")
                continue
            before = self._role(where, str(role), before)
            self._message(where, n, str(role), message)
            check_clean(self._report, where, message)
        self._close_step("the end")

    def _role(self, where: str, role: str, before: str) -> str:
        """The role the next message is compared with."""
        if role == "system":
            if self._compat is not None and not self._compat.inline_system:
                self._report.add("not_here", f"{where}.role", "this model takes no system message in a conversation")
            elif not before:
                self._report.add("wrong_order", f"{where}.role", "the first message must be the user's")
            return role  # it stands between two messages of one role as anything else does
        if not before and role != "user":
            self._report.add("wrong_order", f"{where}.role", "the first message must be the user's")
        elif role == before:
            self._report.add("wrong_order", f"{where}.role", f"two messages of the {role} in a row")
        return role

    def _message(self, where: str, n: int, role: str, message: JsonObject) -> None:
        content = message.get("content")
        if role == "assistant":
            self._close_step(where)
        if isinstance(content, str):
            # "except for the optional final assistant message" (recorded)
            if is_blank(content) and not (role == "assistant" and n == self._last):
                self._report.add("empty", f"{where}.content", f"the {role} message is blank")
            if role == "assistant" and n == self._last and content != content.rstrip():
                self._report.add("out_of_range", f"{where}.content", "a last assistant message must not end in space")
            if role == "user":
                self._close_step(where)
            return
        blocks = json_list(content)
        if not blocks and isinstance(content, list) and not (role == "assistant" and n == self._last):
            self._report.add("empty", f"{where}.content", "must not be an empty list")
        if role == "assistant":
            self._assistant(where, n, blocks)
        else:
            self._user(where, role, blocks)

    # the user's

    def _user(self, where: str, role: str, blocks: list[JsonValue]) -> None:
        allowed = _USER_BLOCKS if role == "user" else frozenset({"text"})
        others = False
        answered: set[str] = set()
        for n, each in enumerate(blocks):
            at = f"{where}.content[{n}]"
            block = self._block(at, role, allowed, each)
            if block is None:
                continue
            if block.get("type") != "tool_result":
                others = True
                continue
            if others:
                self._report.add("wrong_order", at, "tool results come before anything else of the message")
            self._result(at, block, answered)
        if role == "user":
            self._close_step(where)

    def _result(self, where: str, block: JsonObject, answered: set[str]) -> None:
        content = block.get("content")
        if isinstance(content, list):
            for n, part in enumerate(content):
                self._block(f"{where}.content[{n}]", "tool_result", _RESULT_BLOCKS, part)
        if block.get("is_error") is True and (not content or (isinstance(content, str) and is_blank(content))):
            self._report.add("empty", f"{where}.content", "cannot be empty if is_error is true")
        call_id = block.get("tool_use_id")
        if not isinstance(call_id, str):
            return
        if self._open.pop(call_id, None) is None:
            why = "is answered twice" if call_id in answered else "is no tool_use of the message before"
            self._report.add("orphan_output", f"{where}.tool_use_id", f"{call_id[:80]!r} {why}")
        answered.add(call_id)

    def _close_step(self, where: str) -> None:
        for call_id, asked in self._open.items():
            self._report.add("unanswered_call", asked, f"{call_id[:80]!r} has no tool_result in {where}")
        self._open = {}

    # the assistant's

    def _assistant(self, where: str, n: int, blocks: list[JsonValue]) -> None:
        server: dict[str, str] = {}
        called = False
        for m, each in enumerate(blocks):
            at = f"{where}.content[{m}]"
            block = json_object(each)
            kind = block.get("type") if block is not None else None
            if block is None or not isinstance(kind, str):
                self._report.add("wrong_type", at, "must be an object with a type")
                continue
            if kind in _SERVER_USES:
                server[str(block.get("id"))] = at
            elif _SERVER_RESULT.fullmatch(kind):
                if server.pop(str(block.get("tool_use_id")), None) is None:
                    self._report.add("orphan_output", at, f"no {kind.removesuffix('_result')} use stands before it")
            elif kind not in _SERVER_BLOCKS:
                self._model_block(at, kind, block, is_last=m == len(blocks) - 1, called=called)
                called = called or kind == "tool_use"
        if n < self._last:  # a paused turn ends with a use that has no result yet
            for call_id, at in server.items():
                self._report.add("unanswered_call", at, f"{call_id[:80]!r} has no result in its message")
        final = json_object(blocks[-1]) if blocks and n == self._last else None
        if final is not None and final.get("type") == "text" and (text := str(final.get("text"))) != text.rstrip():
            self._report.add("out_of_range", f"{where}.content", "a last assistant message must not end in space")

    def _model_block(self, where: str, kind: str, block: JsonObject, *, is_last: bool, called: bool) -> None:
        if kind in _SEALED:
            _SEALED[kind].check(self._report, where, block)
            self._thought(where, kind, block, is_last=is_last)
        elif kind == "tool_use":
            _BLOCKS[kind].check(self._report, where, block)
            check_name(self._report, f"{where}.name", block.get("name"), _NAME_MAX)
            self._call_id(f"{where}.id", block.get("id"))
        elif self._block(where, "assistant", frozenset({"text"}), block) is not None and called:
            self._report.add("wrong_order", where, "text comes before the tool_use blocks of its message")

    def _thought(self, where: str, kind: str, block: JsonObject, *, is_last: bool) -> None:
        compat = self._compat
        if is_last:
            self._report.add("bad_reasoning", where, "the last block of an assistant message cannot be thinking")
        if kind == "thinking" and not block.get("signature") and (compat is None or not compat.unsigned_thinking):
            self._report.add("bad_reasoning", f"{where}.signature", "thinking goes back with its signature only")
        if compat is not None and compat.reasoning_replay == "never":
            self._report.add("not_here", where, "this server takes no reasoning back")

    def _call_id(self, where: str, call_id: JsonValue) -> None:
        if not isinstance(call_id, str):
            return
        longest = self._compat.call_id_max if self._compat is not None else _ID_MAX
        if len(call_id) > longest or _CALL_ID.fullmatch(call_id) is None:
            self._report.add("bad_call_id", where, f"{call_id[:80]!r} must be 1 to {longest} of A-Z a-z 0-9 _ -")
        if call_id in self._ids:
            self._report.add("duplicate_id", where, f"tool_use ids must be unique: {call_id[:80]!r}")
        self._ids.add(call_id)
        self._open[call_id] = where

    # blocks of either

    def _block(self, where: str, role: str, allowed: frozenset[str], each: JsonValue) -> JsonObject | None:
        block = json_object(each)
        kind = block.get("type") if block is not None else None
        if block is None or not isinstance(kind, str) or kind not in allowed:
            known = " or ".join(sorted(allowed))
            self._report.add("unknown_type", f"{where}.type", f"a block of {role} must be {known}")
            return None
        found = _BLOCKS.get(kind)
        if found is None:
            return block
        found.check(self._report, where, block)
        if kind == "text" and is_blank(str(block.get("text"))):
            self._report.add("empty", f"{where}.text", "the block is blank")
        elif kind in _MEDIA_TYPES:
            self._source(f"{where}.source", kind, block.get("source"))
            if self._compat is not None and not (self._compat.images if kind == "image" else self._compat.files):
                self._report.add("not_here", where, f"this model reads no {kind}")
        return block

    def _source(self, where: str, kind: str, each: JsonValue) -> None:
        source = json_object(each)
        form = source.get("type") if source is not None else None
        if source is None or not isinstance(form, str) or form not in _SOURCES:
            self._report.add("bad_media", where, "must be base64, url, file, text or content")
            return
        _SOURCES[form].check(self._report, where, source)
        if form == "url" and not str(source.get("url")).lower().startswith(("http://", "https://")):
            self._report.add("bad_media", f"{where}.url", "must be an http(s) URL")
        if form != "base64":
            return
        if source.get("media_type") not in _MEDIA_TYPES[kind]:
            known = " or ".join(sorted(_MEDIA_TYPES[kind]))
            self._report.add("bad_media", f"{where}.media_type", f"must be {known}")
        if BASE64.fullmatch(str(source.get("data"))) is None:
            self._report.add("bad_media", f"{where}.data", "must be base64")
