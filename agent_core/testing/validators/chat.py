"""What Chat Completions servers enforce about a request body (behaviours.md 2.1, codex.md 1.7, providers.md 3).

    messages        a list of system, developer, user, assistant and tool messages, none of them saying nothing
    a step          an assistant message with `tool_calls`, followed at once by one tool message per call, and no more
    calls           ids once in a request, arguments the text of an object, names of legal letters
    tools           no name twice; `tool_choice` and `parallel_tool_calls` only beside them

With a `Compat` its server's own rules hold as well: members it does not know, media it does not read, its ids, the one
field its reasoning goes back in. Members of vendors that OpenAI does not have are known without a profile, since
somebody takes them; with one, only what the profile sends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...codecs.base import Compat, json_list, json_object
from ...items import JsonObject, JsonValue
from .shapes import (
    BOOL,
    BREAKPOINT,
    COUNT,
    INT,
    LIST,
    NUMBER,
    OBJECT,
    TEXT,
    TEXTS,
    Kind,
    Report,
    Shape,
    between,
    check_arguments,
    check_breakpoints,
    check_clean,
    check_name,
    check_url,
    is_blank,
    one_of,
    refuse,
    shape,
)
from .strict_schemas import check_openai_strict

__all__ = ["check_chat"]

_STOP = Kind("a string or a list of strings", lambda value: isinstance(value, str) or TEXTS.holds(value))
_WORD_OR_OBJECT = Kind("a string or an object", lambda value: isinstance(value, (str, dict)))
_CONTENT = Kind("a string or a list of parts", lambda value: isinstance(value, (str, list)))
_TEXT_OR_OBJECT = Kind("a string or an object", lambda value: isinstance(value, (str, dict)))
_STRING_MAP = Kind(
    "an object of strings",
    lambda value: isinstance(value, dict) and all(isinstance(each, str) for each in value.values()),
)

_STANDARD: Mapping[str, Kind] = {
    "model": TEXT,
    "messages": LIST,
    "stream": BOOL,
    "stream_options": OBJECT,
    "max_tokens": COUNT,
    "max_completion_tokens": COUNT,
    "temperature": between(0, 2),
    "top_p": between(0, 1),
    "presence_penalty": between(-2, 2),
    "frequency_penalty": between(-2, 2),
    "stop": _STOP,
    "seed": INT,
    "n": COUNT,
    "logprobs": BOOL,
    "top_logprobs": between(0, 20),
    "logit_bias": OBJECT,
    "tools": LIST,
    "tool_choice": _WORD_OR_OBJECT,
    "parallel_tool_calls": BOOL,
    "response_format": OBJECT,
    "reasoning_effort": TEXT,
    "verbosity": TEXT,
    "service_tier": TEXT,
    "metadata": _STRING_MAP,
    "user": TEXT,
    "safety_identifier": TEXT,
    "store": BOOL,
    "prompt_cache_key": TEXT,
    "prompt_cache_retention": TEXT,
    "modalities": TEXTS,
    "audio": OBJECT,
    "prediction": OBJECT,
    "web_search_options": OBJECT,
    "moderation": OBJECT,
}

_VENDORS: Mapping[str, Kind] = {
    # OpenRouter
    "reasoning": OBJECT,
    "include_reasoning": BOOL,
    "usage": OBJECT,
    "provider": OBJECT,
    "models": LIST,
    "plugins": LIST,
    "transforms": LIST,
    "cache_control": BREAKPOINT,
    # DeepSeek, Moonshot, Z.AI, MiniMax; DashScope; Groq; Mistral; Venice
    "thinking": OBJECT,
    "tool_stream": BOOL,
    "reasoning_split": BOOL,
    "enable_thinking": BOOL,
    "thinking_budget": INT,
    "reasoning_format": TEXT,
    "random_seed": INT,
    "safe_prompt": BOOL,
    "prompt_mode": TEXT,
    "venice_parameters": OBJECT,
    # vLLM, SGLang, llama.cpp, Cerebras
    "top_k": INT,
    "min_p": NUMBER,
    "repetition_penalty": NUMBER,
    "chat_template_kwargs": OBJECT,
    "separate_reasoning": BOOL,
    "disable_reasoning": BOOL,
    "cache_prompt": BOOL,
}
"""Members some server takes: recorded, or providers.md 3a and 3b."""

_REASONING_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "effort": ("reasoning_effort",),
    "object": ("reasoning",),
    "enabled_object": ("reasoning",),
    "thinking_type": ("thinking",),
    "thinking_effort": ("thinking", "reasoning_effort"),
    "enable_thinking": ("enable_thinking", "thinking_budget"),
}
"""By `Compat.reasoning_request`: the members that ask for reasoning."""

_BODY = Shape({**_STANDARD, **_VENDORS}, ("messages",))

_REASONING_TEXTS = ("reasoning", "reasoning_content", "reasoning_text")
_REASONING_FIELDS = (*_REASONING_TEXTS, "reasoning_details")

_INPUT = shape({"role": TEXT, "content": _CONTENT}, name=TEXT, cache_control=BREAKPOINT)
_MESSAGES: Mapping[str, Shape] = {
    "system": _INPUT,
    "developer": _INPUT,
    "user": _INPUT,
    "assistant": shape(
        {"role": TEXT},
        content=_CONTENT,
        name=TEXT,
        refusal=TEXT,
        audio=OBJECT,
        tool_calls=LIST,
        reasoning=_TEXT_OR_OBJECT,
        reasoning_content=TEXT,
        reasoning_text=TEXT,
        reasoning_details=LIST,
        reasoning_opaque=TEXT,
        extra_content=OBJECT,
        prefix=BOOL,
        cache_control=BREAKPOINT,
    ),
    "tool": shape({"role": TEXT, "tool_call_id": TEXT, "content": _CONTENT}, name=TEXT, cache_control=BREAKPOINT),
}

_TEXT_PART = shape({"type": TEXT, "text": TEXT}, cache_control=BREAKPOINT)
_PARTS: Mapping[str, Shape] = {
    "text": _TEXT_PART,
    "image_url": shape({"type": TEXT, "image_url": OBJECT}, cache_control=BREAKPOINT),
    "file": shape({"type": TEXT, "file": OBJECT}, cache_control=BREAKPOINT),
    "input_audio": shape({"type": TEXT, "input_audio": OBJECT}),
    "video_url": shape({"type": TEXT, "video_url": OBJECT}),
    "refusal": shape({"type": TEXT, "refusal": TEXT}),
    "thinking": shape({"type": TEXT, "thinking": LIST}, closed=BOOL, signature=TEXT),
}
_PARTS_OF: Mapping[str, frozenset[str]] = {
    "system": frozenset({"text"}),
    "developer": frozenset({"text"}),
    "user": frozenset({"text", "image_url", "file", "input_audio", "video_url"}),
    "assistant": frozenset({"text", "refusal", "thinking"}),
    # "Content blocks are expected to be either text or image_url type" (recorded, OpenAI).
    "tool": frozenset({"text", "image_url"}),
}
_IMAGE = shape({"url": TEXT}, detail=one_of("auto", "low", "high"))
_FILE = shape({}, file_data=TEXT, filename=TEXT, file_id=TEXT)

_CALL = shape(
    {"id": TEXT, "type": one_of("function", "custom")},
    function=OBJECT,
    custom=OBJECT,
    index=INT,
    extra_content=OBJECT,
    thought_signature=TEXT,
    provider_specific_fields=OBJECT,
)
_CALL_BODIES: Mapping[str, Shape] = {
    "function": shape({"name": TEXT, "arguments": TEXT}),
    "custom": shape({"name": TEXT, "input": TEXT}),
}
_FUNCTION_TOOL = shape({"name": TEXT}, description=TEXT, parameters=OBJECT, strict=BOOL)
_CUSTOM_TOOL = shape({"name": TEXT}, description=TEXT, format=OBJECT)
_MARKED = shape({}, cache_control=BREAKPOINT)
_FORMAT = shape({"type": one_of("text", "json_object", "json_schema")}, json_schema=OBJECT)
_SCHEMA = shape({"name": TEXT}, description=TEXT, schema=OBJECT, strict=BOOL)
_STREAM_OPTIONS = shape({}, include_usage=BOOL, include_obfuscation=BOOL, stream_tool_calls=BOOL)

_CALL_ID = re.compile(r"[\x21-\x7e]+")
_EXACT_ID = re.compile(r"[A-Za-z0-9]+")
_NAME_MAX = 64
_ID_MAX = 64


def check_chat(body: JsonObject, compat: Compat | None, report: Report) -> None:
    """Everything that is wrong with `body` goes into `report`."""
    _BODY.check(report, "", body)
    _check_settings(report, body)
    names = _check_tools(report, body)
    _check_choice(report, body, names)
    if compat is not None:
        _check_profile(report, body, compat)
    _Conversation(report, compat).check(body.get("messages"))
    check_breakpoints(report, body)


# everything but the conversation


def _check_settings(report: Report, body: JsonObject) -> None:
    if body.get("model") == "":
        report.add("empty", "model", "is blank")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        report.add("not_together", "max_tokens", "stands beside max_completion_tokens")
    options = body.get("stream_options")
    if isinstance(options, dict):
        _STREAM_OPTIONS.check(report, "stream_options", options)
        if body.get("stream") is not True:
            report.add("not_together", "stream_options", "is only allowed in a streamed request")
    if body.get("top_logprobs") is not None and body.get("logprobs") is not True:
        report.add("not_together", "top_logprobs", "needs logprobs to be true")
    stop = body.get("stop")
    if stop == "" or (isinstance(stop, list) and "" in stop):
        report.add("empty", "stop", "holds a blank to stop at")
    wanted = body.get("response_format")
    if isinstance(wanted, dict):
        _FORMAT.check(report, "response_format", wanted)
        if wanted.get("type") == "json_schema":
            schema = _SCHEMA.check(report, "response_format.json_schema", wanted.get("json_schema"))
            if schema is not None:
                check_name(report, "response_format.json_schema.name", schema.get("name"), _NAME_MAX)


def _check_tools(report: Report, body: JsonObject) -> dict[str, str]:
    """The types of the tools, by name."""
    names: dict[str, str] = {}
    for n, each in enumerate(json_list(body.get("tools"))):
        where = f"tools[{n}]"
        tool = json_object(each)
        kind = tool.get("type") if tool is not None else None
        if tool is None or not isinstance(kind, str):
            report.add("wrong_type", where, "must be an object with a type")
            continue
        if kind not in ("function", "custom"):
            continue  # a vendor's own, such as openrouter:web_search
        _MARKED.check(report, where, {name: tool[name] for name in ("cache_control",) if name in tool})
        for member in tool.keys() - {"type", kind, "cache_control"}:
            report.add("unknown_member", f"{where}.{member}", "nobody knows this member here")
        form = _FUNCTION_TOOL if kind == "function" else _CUSTOM_TOOL
        name = (form.check(report, f"{where}.{kind}", tool.get(kind)) or {}).get("name")
        if not isinstance(name, str):
            continue
        check_name(report, f"{where}.{kind}.name", name, _NAME_MAX)
        if name in names:
            report.add("bad_tools", f"{where}.{kind}.name", f"two tools are called {name!r}")
        names[name] = kind
    return names


def _check_choice(report: Report, body: JsonObject, names: Mapping[str, str]) -> None:
    choice = body.get("tool_choice")
    if not body.get("tools"):
        # "none" says what the absence of tools says.
        if choice is not None and choice != "none":
            report.add("bad_tools", "tool_choice", "is only allowed beside tools")
        if body.get("parallel_tool_calls") is not None:
            report.add("bad_tools", "parallel_tool_calls", "is only allowed beside tools")
    if isinstance(choice, str) and choice not in ("none", "auto", "required", "any"):
        report.add("out_of_range", "tool_choice", "must be none, auto, required, any or an object")
    if isinstance(choice, dict) and choice.get("type") in ("function", "custom"):
        kind = str(choice["type"])
        name = (json_object(choice.get(kind)) or {}).get("name")
        if not isinstance(name, str) or names.get(name) != kind:
            report.add("bad_tools", f"tool_choice.{kind}.name", f"{name!r} is not among the {kind} tools")


def _check_profile(report: Report, body: JsonObject, compat: Compat) -> None:
    """What the server of this profile does not take."""
    if body.get("tools") == [] and compat.empty_tools == "omit":
        report.add("not_here", "tools", "this server takes no empty list (pains.md 13)")
    own = {*compat.extra_body, *_REASONING_MEMBERS.get(compat.reasoning_request, ()), compat.seed_field}
    own |= {"top_k"} if compat.top_k else set()
    asking = {name for names in _REASONING_MEMBERS.values() for name in names}
    strangers = (set(_VENDORS) | asking | {"seed"}) - own
    refuse(report, "", body, sorted(strangers & body.keys()), "this server does not know it")
    other = {"max_tokens", "max_completion_tokens"} - {compat.max_tokens_field}
    refuse(report, "", body, sorted(other & body.keys()), f"this server takes {compat.max_tokens_field}")
    penalties = ("presence_penalty", "frequency_penalty")
    if not compat.sampling or (not compat.sampling_beside_reasoning and _reasons(body, compat)):
        refuse(report, "", body, ("temperature", "top_p", *penalties), "this model takes no sampling parameters")
    if not compat.logprobs:
        refuse(report, "", body, ("logprobs", "top_logprobs"), "this server does not give them")
    if not compat.penalties:
        refuse(report, "", body, penalties, "this server does not know it")
    refuse(report, "", body, compat.unknown_members, "this server does not know it")
    for where, effort in _efforts(body):
        if compat.efforts and effort not in compat.efforts:
            report.add("not_here", where, f"this model knows the efforts {', '.join(compat.efforts)}")
    if not compat.stop:
        refuse(report, "", body, ("stop",), "this model takes no stop sequences")
    if not compat.prompt_cache_key:
        refuse(report, "", body, ("prompt_cache_key",), "this server does not know it")
    if not compat.parallel_tool_calls:
        refuse(report, "", body, ("parallel_tool_calls",), "this server does not know it")
    if not compat.include_usage:
        refuse(report, "", body, ("stream_options",), "this server does not know it")
    temperature = body.get("temperature")
    if isinstance(temperature, (int, float)) and temperature > compat.temperature_max:
        report.add("not_here", "temperature", f"this server takes at most {compat.temperature_max}")
    if compat.max_stop is not None and len(json_list(body.get("stop"))) > compat.max_stop:
        report.add("not_here", "stop", f"this server takes at most {compat.max_stop}")
    wanted = (json_object(body.get("response_format")) or {}).get("type")
    if wanted == "json_schema" and compat.output_schema != "json_schema":
        report.add("not_here", "response_format", "this server takes no schemas")
    if wanted not in (None, "text") and body.get("tools") and not compat.schema_beside_tools:
        report.add("not_here", "response_format", "this server takes none beside tools")
    _check_profile_tools(report, body, compat)


def _efforts(body: JsonObject) -> list[tuple[str, JsonValue]]:
    """The efforts a request asks for, with where."""
    reasoning = json_object(body.get("reasoning")) or {}
    asked = (("reasoning_effort", body.get("reasoning_effort")), ("reasoning.effort", reasoning.get("effort")))
    return [(where, effort) for where, effort in asked if effort is not None]


def _reasons(body: JsonObject, compat: Compat) -> bool:
    """Whether the model of this profile reasons about the request."""
    thinking = (json_object(body.get("thinking")) or {}).get("type")
    if thinking is not None:
        return thinking != "disabled"
    efforts = _efforts(body)
    if efforts:
        return any(effort != "none" for _, effort in efforts)
    enabled = (json_object(body.get("reasoning")) or {}).get("enabled", body.get("enable_thinking"))
    return enabled is True if enabled is not None else compat.reasons_by_default


def _check_profile_tools(report: Report, body: JsonObject, compat: Compat) -> None:
    for n, each in enumerate(json_list(body.get("tools"))):
        tool = json_object(each) or {}
        if tool.get("type") == "custom" and not compat.custom_tools:
            report.add("not_here", f"tools[{n}].type", "this server has no free-form tools")
        function = json_object(tool.get("function")) or {}
        if compat.schema_dialect == "openai_strict" and function.get("strict") is True:
            check_openai_strict(report, f"tools[{n}].function.parameters", function.get("parameters"))
        if not compat.strict_tools:
            refuse(report, f"tools[{n}].function", function, ("strict",), "this server does not know it")
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and not compat.named_choice:
        report.add("not_here", "tool_choice", "this server can be made to call some tool, not a certain one")
    if choice in ("required", "any") and choice != compat.required_choice:
        report.add("not_here", "tool_choice", f"this server has no {choice!r}")
    forced = isinstance(choice, dict) or choice in ("required", "any")
    if forced and not compat.choice_beside_reasoning and _reasons(body, compat):
        report.add("not_here", "tool_choice", "this model does not take it while it reasons")
    asked = any(body.get(name) is not None for name in _REASONING_MEMBERS.get(compat.reasoning_request, ()))
    if forced and asked and not compat.reasoning_beside_choice and _reasons(body, compat):
        report.add("not_here", "tool_choice", "this server drops the reasoning beside it")


# the conversation


class _Conversation:
    """Checks the messages one by one, and who answers whom between them."""

    def __init__(self, report: Report, compat: Compat | None) -> None:
        self._report = report
        self._compat = compat
        self._ids: set[str] = set()
        self._names: dict[str, str] = {}
        self._open: dict[
            str, str
        ] = {}  # ids of the last assistant message that have no output yet, and where they stand
        self._asked = ""  # where that message stands
        self._answered: set[str] = set()

    def check(self, messages: JsonValue) -> None:
        if not isinstance(messages, list):
            return
        if not messages:
            self._report.add("empty", "messages", "must not be an empty list")
        for n, each in enumerate(messages):
            self._message(f"messages[{n}]", n, each)
        self._close_step("the end")
        compat = self._compat
        last = (json_object(messages[-1]) or {}) if messages else {}
        if (
            compat is not None
            and compat.assistant_prefix
            and last.get("role") == "assistant"
            and not last.get("prefix")
        ):
            self._report.add(
                "not_here", f"messages[{len(messages) - 1}]", "a last assistant message needs prefix: true"
            )

    def _message(self, where: str, n: int, each: JsonValue) -> None:
        message = json_object(each)
        role = message.get("role") if message is not None else None
        found = _MESSAGES.get(role) if isinstance(role, str) else None
        if message is None or not isinstance(role, str) or found is None:
            self._report.add("unknown_type", f"{where}.role", "must be system, developer, user, assistant or tool")
            return
        found.check(self._report, where, message)
        if self._compat is not None:
            self._profile_message(where, n, role, message, self._compat)
        if role == "tool":
            self._output(where, message)
        else:
            self._close_step(where)
        self._content(where, role, message)
        if role == "assistant":
            self._assistant(where, message)
        check_clean(self._report, where, message)

    # calls and outputs

    def _output(self, where: str, message: JsonObject) -> None:
        call_id = message.get("tool_call_id")
        if not isinstance(call_id, str):
            return
        if self._open.pop(call_id, None) is None:
            known = call_id in self._answered
            why = "is answered twice" if known else "is no call of the assistant message before it"
            self._report.add("orphan_output", f"{where}.tool_call_id", f"{call_id[:80]!r} {why}")
        self._answered.add(call_id)

    def _close_step(self, where: str) -> None:
        for call_id, asked in self._open.items():
            self._report.add("unanswered_call", asked, f"{call_id[:80]!r} has no tool message before {where}")
        self._open = {}

    def _calls(self, where: str, calls: list[JsonValue]) -> None:
        if not calls:
            self._report.add("empty", f"{where}.tool_calls", "must not be an empty list")
        for n, each in enumerate(calls):
            at = f"{where}.tool_calls[{n}]"
            call = _CALL.check(self._report, at, each)
            if call is None:
                continue
            self._call_id(f"{at}.id", call.get("id"))
            kind = call.get("type")
            if not isinstance(kind, str) or kind not in _CALL_BODIES:
                continue
            if kind == "custom" and self._compat is not None and not self._compat.custom_tools:
                self._report.add("not_here", f"{at}.type", "this server has no free-form calls")
            said = _CALL_BODIES[kind].check(self._report, f"{at}.{kind}", call.get(kind))
            if said is not None:
                check_name(self._report, f"{at}.{kind}.name", said.get("name"), _NAME_MAX)
                check_arguments(self._report, f"{at}.{kind}.arguments", said.get("arguments"))
                self._names[str(call.get("id"))] = str(said.get("name"))

    def _call_id(self, where: str, call_id: JsonValue) -> None:
        if not isinstance(call_id, str):
            return
        compat = self._compat
        longest = compat.call_id_max if compat is not None else _ID_MAX
        exact = compat.call_id_exact if compat is not None else None
        if exact is not None and (len(call_id) != exact or _EXACT_ID.fullmatch(call_id) is None):
            self._report.add("bad_call_id", where, f"{call_id[:80]!r} must be {exact} letters and digits")
        elif len(call_id) > longest or _CALL_ID.fullmatch(call_id) is None:
            self._report.add("bad_call_id", where, f"{call_id[:80]!r} must be 1 to {longest} printable characters")
        if call_id in self._ids:
            self._report.add("duplicate_id", where, f"two calls have the id {call_id[:80]!r}")
        self._ids.add(call_id)
        self._open[call_id] = where

    # what a message says

    def _assistant(self, where: str, message: JsonObject) -> None:
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            self._calls(where, calls)
        content = message.get("content")
        says = not is_blank(content) if isinstance(content, str) else bool(content)
        if not (says or calls or message.get("refusal") or message.get("audio")):
            self._report.add("empty", where, "an assistant message needs content or tool_calls")

    def _content(self, where: str, role: str, message: JsonObject) -> None:
        content = message.get("content")
        if isinstance(content, str) and role not in ("assistant", "tool") and is_blank(content):
            self._report.add("empty", f"{where}.content", f"the {role} message is blank")
        if not isinstance(content, list):
            return
        if not content:
            self._report.add("empty", f"{where}.content", "must not be an empty list")
        for n, each in enumerate(content):
            self._part(f"{where}.content[{n}]", role, each)

    def _part(self, where: str, role: str, each: JsonValue) -> None:
        part = json_object(each)
        kind = part.get("type") if part is not None else None
        if part is None or not isinstance(kind, str) or kind not in _PARTS_OF[role]:
            known = " or ".join(sorted(_PARTS_OF[role]))
            self._report.add("unknown_type", f"{where}.type", f"a part of a {role} message must be {known}")
            return
        _PARTS[kind].check(self._report, where, part)
        if kind == "text" and is_blank(str(part.get("text"))):
            self._report.add("empty", f"{where}.text", "the part is blank")
        elif kind == "image_url":
            image = _IMAGE.check(self._report, f"{where}.image_url", part.get("image_url"))
            check_url(self._report, f"{where}.image_url.url", (image or {}).get("url"))
        elif kind == "file":
            file = _FILE.check(self._report, f"{where}.file", part.get("file")) or {}
            if file.get("file_data") is None and file.get("file_id") is None:
                self._report.add("bad_media", f"{where}.file", "needs file_data or file_id")
            check_url(self._report, f"{where}.file.file_data", file.get("file_data"), what="file")
        if self._compat is not None:
            self._profile_part(where, role, kind, self._compat)

    # what the server of a profile takes

    def _profile_part(self, where: str, role: str, kind: str, compat: Compat) -> None:
        if kind == "image_url" and (not compat.images or (role == "tool" and not compat.images_in_tool_results)):
            self._report.add("not_here", where, f"this server takes no image in a {role} message")
        if kind in ("input_audio", "video_url") and not compat.images:
            self._report.add("not_here", where, "this server reads text only")
        if kind == "file" and not compat.files:
            self._report.add("not_here", where, "this server reads no files")
        if kind == "thinking" and compat.reasoning_field not in ("as_received", "content_list"):
            self._report.add("not_here", where, "this server takes no thinking parts")

    def _profile_message(self, where: str, n: int, role: str, message: JsonObject, compat: Compat) -> None:
        content = message.get("content")
        only_text = isinstance(content, list) and all((json_object(p) or {}).get("type") == "text" for p in content)
        if compat.content_as_string and only_text:
            self._report.add("not_here", f"{where}.content", "this server takes text as a plain string")
        if role in ("system", "developer"):
            if role != compat.system_role:
                self._report.add("not_here", f"{where}.role", f"this server calls it {compat.system_role}")
            if compat.merge_system and n > 0:
                self._report.add("not_here", where, "this server takes one system message, at the start")
        if (
            role == "tool"
            and compat.tool_message_name
            and message.get("name") != self._names.get(str(message.get("tool_call_id")))
        ):
            self._report.add("not_here", f"{where}.name", "this server wants the name of the tool")
        if role != "assistant":
            return
        if compat.omit_null_content and "content" in message and not content:
            self._report.add("not_here", f"{where}.content", "this server wants no content rather than an empty one")
        sent = [name for name in _REASONING_FIELDS if message.get(name) is not None]
        # Where it must always be there, it is empty for what is not sent.
        said = [name for name in sent if message[name] != "" or not compat.reasoning_always_present]
        if compat.reasoning_replay == "never" and said:
            self._report.add("not_here", f"{where}.{said[0]}", "this server takes no reasoning back")
        if compat.reasoning_field != "as_received":
            for name in said:
                if name != compat.reasoning_field:
                    self._report.add("not_here", f"{where}.{name}", "reasoning goes back in another field here")
        if compat.reasoning_always_present and not any(name in _REASONING_TEXTS for name in sent):
            self._report.add("not_here", where, "this server wants reasoning on every assistant message")
