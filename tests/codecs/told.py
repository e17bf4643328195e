"""What a stream of any wire tells, in brief: one word or two per frame, so that a test reads as a story.

    messages    start · +0 text · +1 tool_use c1 add · 0:piece · -0 · end tool_use 5/2 · stop
    chat        role · text piece · think piece · call0 c1 add · args0 piece · finish stop · usage 5/2 · [DONE]
    responses   the event without `response.`, and its kind, its piece, or its status and usage
    any         error type: message

`told` also holds what every stream of a wire must: named and numbered events, one id, one role.
"""

from __future__ import annotations

import json

from agent_core.codecs.base import json_int, json_list, json_object, json_str
from agent_core.items import JsonObject, JsonValue, WireName

__all__ = ["frames", "told"]


def frames(body: bytes) -> list[tuple[str, JsonObject]]:
    """The event's name and its data, frame by frame; `[DONE]` is an empty object."""
    found: list[tuple[str, JsonObject]] = []
    for block in body.decode().split("\n\n")[:-1]:
        *name, data = block.split("\n")
        assert data.startswith("data: ")
        loaded: JsonObject = {} if data == "data: [DONE]" else json.loads(data[6:])
        found.append((name[0].removeprefix("event: ") if name else "", loaded))
    return found


def told(wire: WireName, body: bytes) -> list[str]:
    return [word for name, frame in frames(body) for word in _WIRES[wire](name, frame)]


def _messages(name: str, frame: JsonObject) -> list[str]:
    assert name == frame["type"]
    number = frame.get("index")
    match name:
        case "message_start":
            return ["start"]
        case "content_block_start":
            block = _object(frame, "content_block")
            assert block["type"] != "tool_use" or block["input"] == {}  # X-S3-18: what a call says comes as deltas
            return [" ".join([f"+{number}", *(str(block[key]) for key in ("type", "id", "name") if key in block)])]
        case "content_block_delta":
            delta = _object(frame, "delta")
            pieces = [delta[key] for key in ("text", "thinking", "partial_json", "signature") if key in delta]
            return [f"{number}:{pieces[0] if pieces else delta['type']}"]
        case "content_block_stop":
            return [f"-{number}"]
        case "message_delta":
            usage = _object(frame, "usage")
            delta = _object(frame, "delta")
            sequence = [repr(delta["stop_sequence"])] if delta["stop_sequence"] is not None else []
            return [" ".join(["end", str(delta["stop_reason"]), *sequence, _spent(usage, "input", "output")])]
        case "error":
            return [_error(frame)]
        case _:
            return [name.removeprefix("message_")]


def _chat(name: str, frame: JsonObject) -> list[str]:
    assert not name
    if not frame:
        return ["[DONE]"]
    if "error" in frame:
        return [_error(frame)]
    if not frame["choices"]:
        return [f"usage {_spent(_object(frame, 'usage'), 'prompt', 'completion')}"]
    (choice,) = (json_object(choice) or {} for choice in json_list(frame["choices"]))
    delta = _object(choice, "delta")
    words = ["role"] if "role" in delta else []
    for member, word in (("content", "text"), ("reasoning_content", "think"), ("refusal", "refusal")):
        words += [f"{word} {delta[member]}"] if delta.get(member) else []
    for call in (json_object(call) or {} for call in json_list(delta.get("tool_calls"))):
        said = json_object(call.get("function")) or json_object(call.get("custom")) or {}
        number, text = call["index"], said.get("arguments", said.get("input"))
        words += [f"call{number} {call['id']} {said['name']}"] if "id" in call else []
        words += [f"args{number} {text}"] if text else []
    return words + ([f"finish {choice['finish_reason']}"] if choice["finish_reason"] else [])


def _responses(name: str, frame: JsonObject) -> list[str]:
    assert name == frame["type"]
    word = name.removeprefix("response.")
    if word == "failed":
        return [_error(_object(frame, "response"), "code")]
    if word in ("completed", "incomplete"):
        response = _object(frame, "response")
        assert response["status"] == word
        usage, cut = json_object(response["usage"]), json_object(response["incomplete_details"])
        spent = [_spent(usage, "input", "output")] if usage else []
        return [" ".join([word, *([str(cut["reason"])] if cut else []), *spent])]
    item = json_object(frame.get("item"))
    if item is not None:
        said = [str(item[key]) for key in ("type", "call_id", "name") if key in item]
        return [" ".join([word, *said])]
    return [f"{word} {frame['delta']}" if "delta" in frame else word]


_WIRES = {"chat": _chat, "messages": _messages, "responses": _responses}


def _object(frame: JsonObject, member: str) -> JsonObject:
    return json_object(frame[member]) or {}


def _spent(usage: JsonObject, before: str, after: str) -> str:
    return f"{json_int(usage[f'{before}_tokens'])}/{json_int(usage[f'{after}_tokens'])}"


def _error(holder: JsonObject, kind: str = "type") -> str:
    error: JsonValue = holder["error"]
    found = json_object(error) or {}
    return f"error {json_str(found[kind])}: {json_str(found['message'])}"
