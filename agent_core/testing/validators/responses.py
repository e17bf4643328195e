"""What servers of the OpenAI Responses wire enforce about a request body (codex.md 1.1 to 1.3, 2.1; providers.md 3).

    input           text, or a list of items; at least one unless the request continues something stored
    messages        with content of their role: input parts, or output text and refusals of the assistant
    calls           answered exactly once, by an output of their kind that comes later; ids once in a request
    reasoning       directly before what it produced, never alone (agents-js#929)
    items           each id once

With a `Compat` its server's own rules hold as well. A request that names a `previous_response_id`, a `conversation` or
a `prompt` continues what is stored there: its outputs may answer calls that are not in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...codecs.base import Compat, json_list, json_object
from ...items import JsonObject, JsonValue
from .shapes import (
    ANY,
    BOOL,
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
    check_arguments,
    check_clean,
    check_name,
    check_url,
    is_blank,
    one_of,
    refuse,
    shape,
)
from .strict_schemas import check_openai_strict

__all__ = ["check_responses"]

_TEXT_OR_LIST = Kind("a string or a list", lambda value: isinstance(value, (str, list)))
_TEXT_OR_OBJECT = Kind("a string or an object", lambda value: isinstance(value, (str, dict)))

_BODY = shape(
    {},
    model=TEXT,
    input=_TEXT_OR_LIST,
    instructions=TEXT,
    tools=LIST,
    tool_choice=_TEXT_OR_OBJECT,
    parallel_tool_calls=BOOL,
    max_tool_calls=COUNT,
    reasoning=OBJECT,
    text=OBJECT,
    max_output_tokens=COUNT,
    temperature=between(0, 2),
    top_p=between(0, 1),
    top_logprobs=between(0, 20),
    store=BOOL,
    include=TEXTS,
    stream=BOOL,
    stream_options=OBJECT,
    metadata=OBJECT,
    client_metadata=OBJECT,
    user=TEXT,
    safety_identifier=TEXT,
    service_tier=TEXT,
    prompt_cache_key=TEXT,
    prompt_cache_retention=TEXT,
    previous_response_id=TEXT,
    conversation=_TEXT_OR_OBJECT,
    prompt=OBJECT,
    background=BOOL,
    truncation=one_of("auto", "disabled"),
    context_management=LIST,
    # OpenRouter
    provider=OBJECT,
    models=LIST,
    plugins=LIST,
)
_REASONING_SETTINGS = shape(
    {}, effort=TEXT, summary=TEXT, generate_summary=TEXT, context=TEXT, mode=TEXT, max_tokens=INT, enabled=BOOL
)
_TEXT_SETTINGS = shape({}, format=OBJECT, verbosity=TEXT)
_FORMAT = shape(
    {"type": one_of("text", "json_object", "json_schema")}, name=TEXT, description=TEXT, schema=OBJECT, strict=BOOL
)

_TOOLS: Mapping[str, Shape] = {
    "function": shape(
        {"type": TEXT, "name": TEXT},
        description=TEXT,
        parameters=OBJECT,
        strict=BOOL,
        defer_loading=BOOL,
        output_schema=OBJECT,
    ),
    "custom": shape({"type": TEXT, "name": TEXT}, description=TEXT, format=OBJECT, defer_loading=BOOL),
}
"""The tools of ours; what the provider runs has members of its own."""

_STATUS = one_of("completed", "incomplete", "in_progress")
_ITEMS: Mapping[str, Shape] = {
    "message": shape(
        {"role": one_of("user", "system", "developer", "assistant"), "content": _TEXT_OR_LIST},
        type=TEXT,
        id=TEXT,
        status=_STATUS,
        phase=one_of("commentary", "final_answer"),
    ),
    "reasoning": shape(
        {"type": TEXT, "summary": LIST}, id=TEXT, status=_STATUS, content=LIST, encrypted_content=TEXT, format=TEXT
    ),
    "function_call": shape(
        {"type": TEXT, "call_id": TEXT, "name": TEXT, "arguments": TEXT},
        id=TEXT,
        status=_STATUS,
        namespace=TEXT,
        caller=OBJECT,
    ),
    "function_call_output": shape(
        {"type": TEXT, "call_id": TEXT, "output": _TEXT_OR_LIST}, id=TEXT, status=_STATUS, caller=OBJECT
    ),
    "custom_tool_call": shape(
        {"type": TEXT, "call_id": TEXT, "name": TEXT, "input": TEXT},
        id=TEXT,
        status=_STATUS,
        namespace=TEXT,
        caller=OBJECT,
    ),
    "custom_tool_call_output": shape({"type": TEXT, "call_id": TEXT, "output": _TEXT_OR_LIST}, id=TEXT, status=_STATUS),
    "local_shell_call": shape({"type": TEXT, "call_id": TEXT, "action": OBJECT, "status": _STATUS}, id=TEXT),
    "tool_search_call": shape(
        {"type": TEXT, "arguments": ANY}, call_id=TEXT, execution=one_of("client", "server"), id=TEXT, status=_STATUS
    ),
    "tool_search_output": shape(
        {"type": TEXT, "tools": LIST}, call_id=TEXT, execution=one_of("client", "server"), id=TEXT, status=_STATUS
    ),
    "web_search_call": shape({"type": TEXT, "status": TEXT}, id=TEXT, action=OBJECT),
    "image_generation_call": shape(
        {"type": TEXT, "id": TEXT},
        status=TEXT,
        result=TEXT,
        revised_prompt=TEXT,
        action=TEXT,
        background=TEXT,
        output_format=TEXT,
        quality=TEXT,
        size=TEXT,
    ),
    "additional_tools": shape({"type": TEXT, "tools": LIST}, id=TEXT, role=one_of("developer", "system")),
    "compaction": shape({"type": TEXT, "encrypted_content": TEXT}, id=TEXT),
    "compaction_summary": shape({"type": TEXT, "encrypted_content": TEXT}, id=TEXT),
    "item_reference": shape({"type": TEXT, "id": TEXT}),
}

_HOSTED = frozenset(
    {
        "code_interpreter_call",
        "file_search_call",
        "mcp_approval_request",
        "mcp_call",
        "mcp_list_tools",
        "program",
        "program_output",
    }
)
"""Items of tools that the provider runs: their members are its business."""

_CLIENT_TOOLS: Mapping[str, str] = {
    "function_call": "function_call_output",
    "local_shell_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "tool_search_call": "tool_search_output",
    "shell_call": "shell_call_output",
    "apply_patch_call": "apply_patch_call_output",
    "computer_call": "computer_call_output",
}
"""Calls a client answers, by the type of their output."""

_OUTPUTS = frozenset({*_CLIENT_TOOLS.values(), "local_shell_call_output"})
_KNOWN = _HOSTED | _ITEMS.keys() | _CLIENT_TOOLS.keys() | _OUTPUTS | {"mcp_approval_response", "compaction_trigger"}
_NO_ANCHOR = _OUTPUTS | {
    "additional_tools",
    "item_reference",
    "compaction",
    "compaction_summary",
    "compaction_trigger",
    "mcp_approval_response",
}
"""What no reasoning can have produced."""

_TEXT_PART = shape({"type": TEXT, "text": TEXT})
_PARTS: Mapping[str, Shape] = {
    "input_text": _TEXT_PART,
    "input_image": shape(
        {"type": TEXT}, image_url=TEXT, file_id=TEXT, detail=one_of("auto", "low", "high", "original")
    ),
    "input_file": shape({"type": TEXT}, file_id=TEXT, file_url=TEXT, file_data=TEXT, filename=TEXT, detail=TEXT),
    "output_text": shape({"type": TEXT, "text": TEXT}, annotations=LIST, logprobs=LIST),
    "refusal": shape({"type": TEXT, "refusal": TEXT}),
}
_INPUT_PARTS = frozenset({"input_text", "input_image", "input_file"})
_OUTPUT_PARTS = frozenset({"output_text", "refusal"})

_CALL_ID = re.compile(r"[\x21-\x7e]+")
_NAME_MAX = 64
_ID_MAX = 64


def check_responses(body: JsonObject, compat: Compat | None, report: Report) -> None:
    """Everything that is wrong with `body` goes into `report`."""
    _BODY.check(report, "", body)
    _check_settings(report, body)
    names = _check_tools(report, body)
    _check_choice(report, body, names)
    if compat is not None:
        _check_profile(report, body, compat)
    continues = any(body.get(name) is not None for name in ("previous_response_id", "conversation", "prompt"))
    given = body.get("input")
    if isinstance(given, list):
        _Input(report, compat, continues=continues).check(given)
    elif isinstance(given, str):
        if is_blank(given):
            report.add("empty", "input", "is blank")
        check_clean(report, "input", given)
    elif given is None and not continues:
        report.add("missing_member", "input", "is required")


# everything but the conversation


def _check_settings(report: Report, body: JsonObject) -> None:
    if body.get("model") == "":
        report.add("empty", "model", "is blank")
    if isinstance(body.get("reasoning"), dict):
        _REASONING_SETTINGS.check(report, "reasoning", body["reasoning"])
    if body.get("stream_options") is not None and body.get("stream") is not True:
        report.add("not_together", "stream_options", "is only allowed in a streamed request")
    if body.get("previous_response_id") is not None and body.get("conversation") is not None:
        report.add("not_together", "conversation", "stands beside previous_response_id")
    if not isinstance(body.get("text"), dict):
        return
    text = _TEXT_SETTINGS.check(report, "text", body["text"]) or {}
    if isinstance(text.get("format"), dict):
        form = _FORMAT.check(report, "text.format", text["format"]) or {}
        if form.get("type") == "json_schema":
            for name in ("name", "schema"):
                if form.get(name) is None:
                    report.add("missing_member", f"text.format.{name}", "is required")
            check_name(report, "text.format.name", form.get("name"), _NAME_MAX)


def _check_tools(report: Report, body: JsonObject) -> dict[str, str]:
    """The types of the tools with a name, by it."""
    names: dict[str, str] = {}
    for n, each in enumerate(json_list(body.get("tools"))):
        where = f"tools[{n}]"
        tool = json_object(each)
        kind = tool.get("type") if tool is not None else None
        if tool is None or not isinstance(kind, str):
            report.add("wrong_type", where, "must be an object with a type")
            continue
        if kind not in _TOOLS:
            continue  # hosted: web_search, mcp, namespace, ...
        _TOOLS[kind].check(report, where, tool)
        name = tool.get("name")
        if not isinstance(name, str):
            continue
        check_name(report, f"{where}.name", name, _NAME_MAX)
        if name in names:
            report.add("bad_tools", f"{where}.name", f"two tools are called {name!r}")
        names[name] = kind
    return names


def _check_choice(report: Report, body: JsonObject, names: Mapping[str, str]) -> None:
    choice = body.get("tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        report.add("out_of_range", "tool_choice", "must be none, auto, required or an object")
    if choice == "required" and not body.get("tools"):
        report.add("bad_tools", "tool_choice", "must be met by a tool, and there is none")
    if isinstance(choice, dict) and choice.get("type") in ("function", "custom"):
        name = choice.get("name")
        if not isinstance(name, str) or names.get(name) != choice["type"]:
            report.add("bad_tools", "tool_choice.name", f"{name!r} is not among the {choice['type']} tools")


def _check_profile(report: Report, body: JsonObject, compat: Compat) -> None:
    """What the server of this profile does not take."""
    if body.get("tools") == [] and compat.empty_tools == "omit":
        report.add("not_here", "tools", "this server takes no empty list (pains.md 13)")
    if compat.reasoning_request == "none":
        refuse(report, "", body, ("reasoning",), "this model takes no reasoning settings")
    if compat.reasoning_request != "object":
        reasoning = json_object(body.get("reasoning")) or {}
        refuse(report, "reasoning", reasoning, ("max_tokens", "enabled"), "this server takes an effort")
    effort = (json_object(body.get("reasoning")) or {}).get("effort")
    reasons = compat.reasons_by_default if effort is None else effort != "none"
    if effort is not None and compat.efforts and effort not in compat.efforts:
        report.add("not_here", "reasoning.effort", f"this model knows {', '.join(compat.efforts)}")
    if not compat.sampling or (reasons and not compat.sampling_beside_reasoning):
        refuse(report, "", body, ("temperature", "top_p"), "this model takes no sampling parameters")
    if not compat.prompt_cache_key:
        refuse(report, "", body, ("prompt_cache_key",), "this server does not know it")
    if not compat.parallel_tool_calls:
        refuse(report, "", body, ("parallel_tool_calls",), "this server does not know it")
    temperature = body.get("temperature")
    if isinstance(temperature, (int, float)) and temperature > compat.temperature_max:
        report.add("not_here", "temperature", f"this server takes at most {compat.temperature_max}")
    form = json_object((json_object(body.get("text")) or {}).get("format")) or {}
    if form.get("type") == "json_schema" and compat.output_schema != "json_schema":
        report.add("not_here", "text.format", "this server takes no schemas")
    if form.get("type") not in (None, "text") and body.get("tools") and not compat.schema_beside_tools:
        report.add("not_here", "text.format", "this server takes none beside tools")
    for n, each in enumerate(json_list(body.get("tools"))):
        tool = json_object(each) or {}
        if tool.get("type") == "custom" and not compat.custom_tools:
            report.add("not_here", f"tools[{n}].type", "this server has no free-form tools")
        if compat.schema_dialect == "openai_strict" and tool.get("strict") is True:
            check_openai_strict(report, f"tools[{n}].parameters", tool.get("parameters"))
        if not compat.strict_tools:
            refuse(report, f"tools[{n}]", tool, ("strict",), "this server does not know it")
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and not compat.named_choice:
        report.add("not_here", "tool_choice", "this server can be made to call some tool, not a certain one")
    if choice == "required" and compat.required_choice == "auto":
        report.add("not_here", "tool_choice", "this server cannot be made to call a tool")
    forced = choice == "required" or (isinstance(choice, dict) and choice.get("type") in ("function", "custom"))
    if forced and reasons and not compat.choice_beside_reasoning:
        report.add("not_here", "tool_choice", "this model does not take it while it reasons")


# the conversation


class _Input:
    """Checks the items one by one, and what they mean to each other."""

    def __init__(self, report: Report, compat: Compat | None, *, continues: bool) -> None:
        self._report = report
        self._compat = compat
        self._continues = continues
        self._ids: set[str] = set()  # of items
        self._call_ids: set[str] = set()
        self._open: dict[tuple[str, str], str] = {}  # calls without an output yet, by the output's type and the id
        self._answered: set[tuple[str, str]] = set()
        self._alone = ""  # where a reasoning stands that what it produced has not followed yet
        self._alone_is_named = False
        self._called = ""  # where the first call of the step stands that has no output yet

    def check(self, items: list[JsonValue]) -> None:
        if not items and not self._continues:
            self._report.add("empty", "input", "must not be an empty list")
        for n, each in enumerate(items):
            where = f"input[{n}]"
            item = json_object(each)
            if item is None:
                self._report.add("wrong_type", where, "must be an object")
                continue
            self._item(where, item)
        if self._alone:
            self._report.add("bad_reasoning", self._alone, "is without its required following item")
        for (_, call_id), asked in self._open.items():
            self._report.add("unanswered_call", asked, f"{call_id[:80]!r} has no output")

    def _item(self, where: str, item: JsonObject) -> None:
        kind = item.get("type", "message" if "role" in item else None)
        if not isinstance(kind, str) or kind not in _KNOWN:
            self._report.add("unknown_type", f"{where}.type", f"{kind!r} is no type of item")
            return
        found = _ITEMS.get(kind)
        if found is not None:
            found.check(self._report, where, item)
        self._identity(where, kind, item)
        self._anchor(where, kind, item)
        if kind in _CLIENT_TOOLS:
            self._call(where, kind, item)
        elif kind in _OUTPUTS:
            self._output(where, kind, item)
        elif kind == "message":
            self._message(where, item)
        elif kind == "reasoning":
            self._reasoning(where, item)
        check_clean(self._report, where, item)

    def _identity(self, where: str, kind: str, item: JsonObject) -> None:
        item_id = item.get("id")
        if not isinstance(item_id, str):
            return
        if not item_id or len(item_id) > 512:
            self._report.add("out_of_range", f"{where}.id", "must have 1 to 512 characters")
        if item_id in self._ids and kind != "item_reference":
            self._report.add("duplicate_id", f"{where}.id", f"two items have the id {item_id[:80]!r}")
        self._ids.add(item_id)
        compat = self._compat
        if compat is not None and not compat.send_item_ids and kind in _ITEMS and kind != "image_generation_call":
            self._report.add("not_here", f"{where}.id", "this server does not store items")

    def _anchor(self, where: str, kind: str, item: JsonObject) -> None:
        """A reasoning is followed by what it produced; several may produce one thing. Where items are stored, one with
        an id is looked up, and what follows it has to be (recorded: OpenAI; DeepSeek and xAI do not look)."""
        if self._alone:
            stored = self._alone_is_named and self._compat is not None and self._compat.send_item_ids
            named = kind == "reasoning" or not stored or item.get("id") is not None
            made = kind not in _NO_ANCHOR and (kind != "message" or item.get("role") == "assistant")
            made = made or item.get("execution") == "server"
            if not (made and named):
                self._report.add("bad_reasoning", self._alone, "is without its required following item")
        self._alone = where if kind == "reasoning" else ""
        self._alone_is_named = item.get("id") is not None

    # calls and outputs

    def _call(self, where: str, kind: str, item: JsonObject) -> None:
        if kind == "function_call":
            check_arguments(self._report, f"{where}.arguments", item.get("arguments"))
        if kind in ("function_call", "custom_tool_call"):
            check_name(self._report, f"{where}.name", item.get("name"), _NAME_MAX)
        compat = self._compat
        if kind == "custom_tool_call" and compat is not None and not compat.custom_tools:
            self._report.add("not_here", f"{where}.type", "this server has no free-form calls")
        if kind == "tool_search_call" and item.get("execution", "server") == "server":
            return
        call_id = item.get("call_id")
        if not isinstance(call_id, str):
            if kind not in _ITEMS or kind == "tool_search_call":
                self._report.add("missing_member", f"{where}.call_id", "is required")
            return
        longest = compat.call_id_max if compat is not None else _ID_MAX
        if len(call_id) > longest or _CALL_ID.fullmatch(call_id) is None:
            self._report.add(
                "bad_call_id", f"{where}.call_id", f"{call_id[:80]!r} must be 1 to {longest} printable characters"
            )
        if call_id in self._call_ids:
            self._report.add("duplicate_id", f"{where}.call_id", f"two calls have the id {call_id[:80]!r}")
        self._call_ids.add(call_id)
        self._open[_CLIENT_TOOLS[kind], call_id] = where
        self._called = self._called or where

    def _output(self, where: str, kind: str, item: JsonObject) -> None:
        if kind in ("function_call_output", "custom_tool_call_output") and isinstance(item.get("output"), list):
            for n, part in enumerate(json_list(item["output"])):
                self._part(f"{where}.output[{n}]", "output", _INPUT_PARTS, part)
        call_id = item.get("call_id")
        if not isinstance(call_id, str) or (kind == "tool_search_output" and item.get("execution") == "server"):
            return
        if self._open.pop((kind, call_id), None) is None and not self._continues:
            known = (kind, call_id) in self._answered
            why = "is answered twice" if known else "is the id of no call before it that takes such an output"
            self._report.add("orphan_output", f"{where}.call_id", f"{call_id[:80]!r} {why}")
        self._answered.add((kind, call_id))
        if not self._open:
            self._called = ""

    # what an item says

    def _reasoning(self, where: str, item: JsonObject) -> None:
        for n, part in enumerate(json_list(item.get("summary"))):
            self._typed_text(f"{where}.summary[{n}]", "summary_text", part)
        for n, part in enumerate(json_list(item.get("content"))):
            self._typed_text(f"{where}.content[{n}]", "reasoning_text", part)
        compat = self._compat
        if compat is not None and compat.reasoning_replay == "never":
            self._report.add("not_here", where, "this server takes no reasoning back")
        holds = item.get("encrypted_content") or item.get("content") or item.get("summary") or item.get("id")
        if not holds:
            self._report.add("empty", where, "is a reasoning that holds nothing")

    def _typed_text(self, where: str, kind: str, part: JsonValue) -> None:
        found = _TEXT_PART.check(self._report, where, part)
        if found is not None and found.get("type") != kind:
            self._report.add("unknown_type", f"{where}.type", f"must be {kind}")

    def _message(self, where: str, item: JsonObject) -> None:
        role, content, compat = item.get("role"), item.get("content"), self._compat
        if role != "assistant" and item.get("phase") is not None:
            self._report.add("unknown_member", f"{where}.phase", "is the assistant's")
        if role in ("system", "developer") and compat is not None:
            if role != compat.system_role:
                self._report.add("not_here", f"{where}.role", f"this server calls it {compat.system_role}")
            if compat.merge_system:
                self._report.add("not_here", where, "this server takes one system message, the instructions")
        if role == "assistant" and self._called and compat is not None and compat.calls_last:
            self._report.add("unanswered_call", self._called, f"this server wants its output before {where}")
        if isinstance(content, str) and is_blank(content):
            self._report.add("empty", f"{where}.content", "the message is blank")
        if not isinstance(content, list):
            return
        if not content:
            self._report.add("empty", f"{where}.content", "must not be an empty list")
        allowed = _OUTPUT_PARTS if role == "assistant" else _INPUT_PARTS
        kinds = [self._part(f"{where}.content[{n}]", str(role), allowed, part) for n, part in enumerate(content)]
        if (
            compat is not None
            and compat.content_as_string
            and all(kind in ("input_text", "output_text") for kind in kinds)
        ):
            self._report.add("not_here", f"{where}.content", "this server takes text as a plain string")

    def _part(self, where: str, role: str, allowed: frozenset[str], each: JsonValue) -> str:
        """The type of the part."""
        part = json_object(each)
        kind = part.get("type") if part is not None else None
        if part is None or not isinstance(kind, str) or kind not in allowed:
            known = " or ".join(sorted(allowed))
            self._report.add("unknown_type", f"{where}.type", f"a part of the {role} must be {known}")
            return ""
        _PARTS[kind].check(self._report, where, part)
        compat = self._compat
        if kind == "input_image":
            if part.get("image_url") is None and part.get("file_id") is None:
                self._report.add("bad_media", where, "needs image_url or file_id")
            check_url(self._report, f"{where}.image_url", part.get("image_url"))
            if compat is not None and not compat.images:
                self._report.add("not_here", where, "this model reads text only")
        elif kind == "input_file":
            if all(part.get(name) is None for name in ("file_id", "file_url", "file_data")):
                self._report.add("bad_media", where, "needs file_id, file_url or file_data")
            check_url(self._report, f"{where}.file_data", part.get("file_data"), what="file")
            if compat is not None and not compat.files:
                self._report.add("not_here", where, "this model reads no files")
        return kind
