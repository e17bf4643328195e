"""Requests somebody really sent and a server took, read to a prompt and written again: the same, minus declared losses.

Bodies are compared, not prompts, so that nothing can be lost in reading unseen. Both are first brought into one of the
forms in which a wire can say the same (`CANONICAL`); what then differs has to be a declared `Loss`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

import pytest

from agent_core.codecs import codec_for
from agent_core.codecs.base import Compat, json_list, json_object, json_str
from agent_core.items import JsonObject, JsonValue, WireName
from tests.recordings import Recording, needs_recordings, streams

pytestmark = needs_recordings

WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")


def recorded(wire: WireName) -> list[Recording]:
    """Those with a conversation: completions of a `prompt` stream like Chat but are another API."""
    return [one for one in streams(wire) if one.request is not None and "prompt" not in one.request]


# the server that took it, as far as its request shows


def compat_for(wire: WireName, body: JsonObject) -> Compat:
    """A profile that sends what this client sent; what it does not say is the standard's."""
    if wire == "messages":
        adaptive = (json_object(body.get("thinking")) or {}).get("type") == "adaptive"
        return Compat(reasoning_request="adaptive" if adaptive else "budget", max_stop=None)
    if wire == "responses":
        sealed = "reasoning.encrypted_content" in json_list(body.get("include"))
        return Compat(
            custom_tools=True,
            send_item_ids=True,
            prompt_cache_key=True,
            encrypted_reasoning=sealed,
            reasons_by_default=sealed,
        )
    said = [as_object(message) for message in json_list(body.get("messages"))]
    return Compat(
        custom_tools=True,
        max_stop=None,
        reasoning_always_present=True,
        reasoning_request="object" if "reasoning" in body else "effort",
        tool_message_name=any(each.get("role") == "tool" and each.get("name") for each in said),
        required_choice="any" if body.get("tool_choice") == "any" else "required",
        max_tokens_field="max_completion_tokens" if "max_completion_tokens" in body else "max_tokens",
    )


# what is the same


def without(value: JsonValue, *saying_nothing: JsonValue) -> JsonValue:
    """Members that are null, or say nothing, left out, at any depth."""
    if isinstance(value, dict):
        kept = {name: without(member, *saying_nothing) for name, member in value.items()}
        return {name: member for name, member in kept.items() if member is not None and member not in saying_nothing}
    return [without(each, *saying_nothing) for each in value] if isinstance(value, list) else value


def renamed(body: JsonObject, names: tuple[str, ...], ours: Callable[[str], bool]) -> None:
    """Call ids by the order of their first appearance: servers differ on what may be in one."""
    known: dict[str, str] = {}

    def walk(value: JsonValue) -> None:
        for each in value if isinstance(value, list) else ():
            walk(each)
        for name, member in value.items() if isinstance(value, dict) else ():
            if name in names and isinstance(member, str) and isinstance(value, dict):
                if ours(member):
                    value[name] = known.setdefault(member, f"call {len(known)}")
            elif name not in ("parameters", "input_schema"):
                walk(member)

    walk(dict(body))


def chat(body: JsonObject) -> JsonObject:
    """Text is a string however it is cut; a step's outputs come in the order of its calls; reasoning is reasoning by
    whatever name; a cap is a cap; how a stream reports usage is between a server and its client."""
    body = json_object(without(body)) or {}
    messages: list[JsonObject] = []
    for message in map(as_object, json_list(body.get("messages"))):
        content = message.get("content")
        if isinstance(content, list) and all(as_object(part).get("type") == "text" for part in content):
            joined = "\n" if message["role"] in ("system", "developer") else ""
            message["content"] = joined.join(json_str(as_object(part).get("text")) for part in content)
        if message.get("role") == "developer" and not messages:
            message["role"] = "system"
        if message.get("role") == "assistant":
            details = json_list(message.pop("reasoning_details", None))
            said = [message.pop(name, None) for name in ("reasoning", "reasoning_content")]
            said.append("".join(json_str(as_object(detail).get("text")) for detail in details))
            if any(said):
                message["reasoning"] = next(text for text in said if text)
            if message.get("prefix") is False:
                del message["prefix"]
        if not json_str(message.get("content")).strip() and not isinstance(message.get("content"), list):
            message.pop("content", None)
        for call in map(as_object, json_list(message.get("tool_calls"))):
            call.pop("index", None)
        if message.keys() - {"role"}:
            messages.append(message)
    renamed({"messages": list(messages)}, ("id", "tool_call_id"), lambda _: True)
    in_order: list[JsonObject] = []
    for message in messages:
        at = len(in_order)
        if message["role"] == "tool":
            while (
                at
                and in_order[at - 1]["role"] == "tool"
                and str(in_order[at - 1]["tool_call_id"]) > str(message["tool_call_id"])
            ):
                at -= 1
        in_order.insert(at, message)
    stop = body.get("stop")
    return {
        **{name: value for name, value in body.items() if name not in ("stream_options", "model")},
        "messages": list(in_order),
        "model": body.get("model", ""),
        "reasoning": body.get("reasoning", {}),
        "stop": [stop] if isinstance(stop, str) else stop or [],
        "tools": [described(tool) for tool in json_list(body.get("tools"))],
        "tool_choice": body.get("tool_choice", "auto"),
        "logprobs": body.get("logprobs", False),
        "top_logprobs": body.get("top_logprobs", 0),
    }


def described(tool: JsonValue) -> JsonValue:
    found = as_object(tool)
    function = as_object(found.get("function"))
    return {**found, "function": without(function, "")} if function else found


def responses(body: JsonObject) -> JsonObject:
    """A string is a message; a message needs no type; `developer` is `system`; ids name what is stored there, and of
    the client's own items nothing; a status says nothing about what is over."""
    body = json_object(without(body, [], "")) or {}
    given = body.get("input")
    items: list[JsonValue] = [{"role": "user", "content": given}] if isinstance(given, str) else json_list(given)
    out: list[JsonValue] = []
    for item in map(as_object, items):
        if "role" in item:
            item["type"] = "message"
            item["role"] = "system" if item["role"] == "developer" else item["role"]
            kind = "output_text" if item["role"] == "assistant" else "input_text"
            if isinstance(item.get("content"), str):
                item["content"] = [{"type": kind, "text": item["content"]}]
        if item.get("status") == "completed":
            del item["status"]
        item.pop("id", None)
        out.append(item)
    return {
        **body,
        "input": out,
        "tool_choice": body.get("tool_choice", "auto"),
        "instructions": body.get("instructions", ""),
        "tools": body.get("tools", []),
    }


def messages(body: JsonObject) -> JsonObject:
    """A string is a text block; `auto` and `is_error: false` say nothing; system blocks are one text; with a budget
    temperature is 1 whoever says so."""
    body = json_object(without(body)) or {}
    said: list[JsonValue] = []
    for message in map(as_object, json_list(body.get("messages"))):
        content = message.get("content")
        blocks: list[JsonValue] = (
            [{"type": "text", "text": content}] if isinstance(content, str) else json_list(content)
        )
        for block in map(as_object, blocks):
            if block.get("is_error") is False:
                del block["is_error"]
        message["content"] = blocks
        said.append(message)
    system = body.get("system")
    texts = [json_str(as_object(block).get("text")) for block in json_list(system)]
    if as_object(body.get("thinking")).get("type") == "enabled":
        body.pop("temperature", None)
    return {
        **body,
        "messages": said,
        "model": body.get("model", ""),
        "system": system if isinstance(system, str) else "\n\n".join(filter(None, texts)),
        "tools": body.get("tools", []),
        "tool_choice": body.get("tool_choice", {"type": "auto"}),
    }


def as_object(value: JsonValue) -> JsonObject:
    return json_object(value) or {}


CANONICAL: Mapping[WireName, Callable[[JsonObject], JsonObject]] = {
    "chat": chat,
    "responses": responses,
    "messages": messages,
}


# what is not


def differences(before: JsonValue, after: JsonValue, where: str = "") -> Iterator[str]:
    """Paths of what is in one and not the same in the other, without places in lists."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from differences(before.get(name), after.get(name), f"{where}.{name}" if where else name)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after, strict=True):
            yield from differences(one, other, where)
    elif before != after:
        yield where


def is_declared(path: str, lost: set[str]) -> bool:
    """A loss names a member by its last name, perhaps with the kind of thing that has it."""
    return any(path.split(".")[-1] == name.split(".")[-1] or name.startswith(f"{path}.") for name in lost)


@pytest.mark.parametrize("wire", WIRES)
def test_a_recorded_request_is_written_again_as_it_was(wire: WireName) -> None:
    """Every one that was accepted, per wire: each difference is a declared loss, and is found with every loss."""
    codec = codec_for(wire)
    judged, wrong = 0, dict[str, list[str]]()
    for recording in recorded(wire):
        body = recording.request or {}
        read = codec.decode_request(json.dumps(body).encode())
        written = codec.encode_request(read.prompt, compat_for(wire, body), stream=read.stream)
        again = json.loads(written.body)
        assert (read.stream, again.get("stream", False)) == (body.get("stream", False), read.stream)
        lost = {loss.feature for loss in (*read.losses, *written.losses)}
        before, after = (CANONICAL[wire](each) for each in (body, again))
        found = [path for path in differences(before, after) if not is_declared(path, lost)]
        if found:
            wrong[str(recording)] = found
        judged += 1
    assert wrong == {}
    assert judged > 80


def test_a_difference_would_be_seen() -> None:
    """The comparison itself can fail: a member changed, left out, or put elsewhere is named."""
    body = next(one.request for one in recorded("chat") if one.request is not None and "tools" in one.request)
    changes: list[JsonObject] = [
        {"temperature": 0.123},
        {"messages": json_list(body["messages"])[:-1]},
        {"tools": []},
    ]
    for change in changes:
        assert list(differences(chat(body), chat({**body, **change}))) == list(change)
