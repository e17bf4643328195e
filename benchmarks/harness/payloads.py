"""What models send on the three wires, made up from seeds: the server, decoders from memory and checks agree on it.

An event is the complete SSE text of one, with its blank line. A call is (id, name, fragments of its arguments).
"""

from __future__ import annotations

import functools
import json
import random
import string
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

WIRES = ("chat", "responses", "messages")
Texts = tuple[str, ...]
Call = tuple[str, str, Texts]
Calls = Sequence[Call]

_TEXT = """
the of to and in is that it for on with as this be are not can from function return value list string file test error
import class self None True False async await def if else while patch apply command output tool call model token stream
buffer parse event state index line
"""
_WORDS = _TEXT.split()
_LETTERS = string.ascii_letters + '  "\\/'
_SPECIAL = ["\n", "\n\n", '"', "\\", "\t", " —", " é", "```", "()", " =", ".", ",", ":", " 🙂"]


@functools.lru_cache(None)
def deltas(n: int, seed: int = 7) -> tuple[str, ...]:
    """n text deltas, about 4-6 characters each, ~8 % of them needing JSON escapes or UTF-8."""
    rnd = random.Random(seed)
    out = []
    for _ in range(n):
        if rnd.random() < 0.08:
            out.append(rnd.choice(_SPECIAL))
        else:
            w = rnd.choice(_WORDS)
            out.append(" " + w if rnd.random() < 0.8 else w)
    return tuple(out)


@functools.lru_cache(None)
def arg_fragments(frags: int, total: int, seed: int = 11) -> tuple[str, ...]:
    """A JSON object text of about `total` characters cut in exactly `frags` fragments."""
    rnd = random.Random(seed)
    body: list[str] = []
    size = 0
    i = 0
    while size < max(8, total - 60):
        line = f"{i:4d}: {''.join(rnd.choices(_LETTERS, k=50))}\n"
        body.append(line)
        size += len(json.dumps(line)) - 2
        i += 1
    text = json.dumps({"path": "src/pkg/module.py", "content": "".join(body), "mode": "w"})
    step = len(text) / frags
    cuts = [round(step * j) for j in range(frags + 1)]
    parts = tuple(text[start:end] for start, end in pairwise(cuts))
    assert len(parts) == frags and all(parts), (len(text), frags)
    return parts


def _obf(rnd: random.Random) -> str:
    return "".join(rnd.choices(string.ascii_letters + string.digits, k=rnd.randint(4, 16)))


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def sse(data: object, event: str | None = None) -> bytes:
    """Text as it is, anything else as JSON."""
    text = data if isinstance(data, str) else _dumps(data)
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


# chat completions

CHAT_ID = "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG"
CHAT_MODEL = "gpt-4o-2024-08-06"
USAGE_CHAT = {
    "prompt_tokens": 1117,
    "completion_tokens": 46,
    "total_tokens": 1163,
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def _chat_chunk(rnd: random.Random, delta: dict[str, Any], finish: str | None = None) -> bytes:
    return sse(
        {
            "id": CHAT_ID,
            "object": "chat.completion.chunk",
            "created": 1741570283,
            "model": CHAT_MODEL,
            "service_tier": "default",
            "system_fingerprint": "fp_fc9f1d7035",
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
            "usage": None,
            "obfuscation": _obf(rnd),
        }
    )


def chat_events(text: Texts, calls: Calls = ()) -> list[bytes]:
    rnd = random.Random(3)
    ev = [_chat_chunk(rnd, {"role": "assistant", "content": "", "refusal": None})]
    ev += [_chat_chunk(rnd, {"content": d}) for d in text]
    for i, (cid, name, frags) in enumerate(calls):
        ev.append(
            _chat_chunk(
                rnd,
                {
                    "tool_calls": [
                        {"index": i, "id": cid, "type": "function", "function": {"name": name, "arguments": ""}}
                    ]
                },
            )
        )
        ev += [_chat_chunk(rnd, {"tool_calls": [{"index": i, "function": {"arguments": f}}]}) for f in frags]
    ev.append(_chat_chunk(rnd, {}, "tool_calls" if calls else "stop"))
    ev.append(
        sse(
            {
                "id": CHAT_ID,
                "object": "chat.completion.chunk",
                "created": 1741570283,
                "model": CHAT_MODEL,
                "service_tier": "default",
                "system_fingerprint": "fp_fc9f1d7035",
                "choices": [],
                "usage": USAGE_CHAT,
                "obfuscation": _obf(rnd),
            }
        )
    )
    ev.append(sse("[DONE]"))
    return ev


def chat_json(text: Texts, calls: Calls = ()) -> bytes:
    msg = {"role": "assistant", "content": "".join(text) or None, "refusal": None, "annotations": []}
    if calls:
        msg["tool_calls"] = [
            {"id": c, "type": "function", "function": {"name": n, "arguments": "".join(f)}} for c, n, f in calls
        ]
    return _dumps(
        {
            "id": CHAT_ID,
            "object": "chat.completion",
            "created": 1741570283,
            "model": CHAT_MODEL,
            "choices": [
                {"index": 0, "message": msg, "logprobs": None, "finish_reason": "tool_calls" if calls else "stop"}
            ],
            "usage": USAGE_CHAT,
            "service_tier": "default",
            "system_fingerprint": "fp_fc9f1d7035",
        }
    ).encode()


# responses

RESP_ID = "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41"
MSG_ID = "msg_67ccd3acc8d48190a77525dc6de64b4104becb25c45c1d41"
_INSTR = "You are a coding agent running in a terminal. " * 12
_TOOL_SCHEMA = {
    "type": "function",
    "description": "Read a file of the workspace",
    "name": "read_file",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "content": {"type": "string"}, "mode": {"type": "string"}},
        "required": ["path", "content", "mode"],
        "additionalProperties": False,
    },
    "strict": True,
}
USAGE_RESP = {
    "input_tokens": 1117,
    "input_tokens_details": {"cached_tokens": 1024},
    "output_tokens": 46,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 1163,
}


def _response(status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": RESP_ID,
        "object": "response",
        "created_at": 1741476777,
        "status": status,
        "background": False,
        "completed_at": 1741476778 if status == "completed" else None,
        "error": None,
        "incomplete_details": None,
        "instructions": _INSTR,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "gpt-4o-2024-08-06",
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default" if status == "completed" else "auto",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [_TOOL_SCHEMA],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": USAGE_RESP if status == "completed" else None,
        "user": None,
        "metadata": {},
    }


def _resp_items(text: Texts, calls: Calls) -> list[dict[str, Any]]:
    items = []
    if text:
        items.append(
            {
                "id": MSG_ID,
                "type": "message",
                "status": "completed",
                "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "".join(text)}],
                "role": "assistant",
            }
        )
    for cid, name, frags in calls:
        items.append(
            {
                "id": "fc_" + cid,
                "type": "function_call",
                "status": "completed",
                "arguments": "".join(frags),
                "call_id": cid,
                "name": name,
            }
        )
    return items


def responses_events(text: Texts, calls: Calls = ()) -> list[bytes]:
    rnd = random.Random(5)
    ev: list[bytes] = []
    seq = 0

    def add(type_: str, **kw: object) -> None:
        nonlocal seq
        ev.append(sse({"type": type_, "sequence_number": seq, **kw}, type_))
        seq += 1

    add("response.created", response=_response("in_progress", []))
    add("response.in_progress", response=_response("in_progress", []))
    oi = 0
    if text:
        add(
            "response.output_item.added",
            output_index=oi,
            item={"id": MSG_ID, "type": "message", "status": "in_progress", "content": [], "role": "assistant"},
        )
        add(
            "response.content_part.added",
            item_id=MSG_ID,
            output_index=oi,
            content_index=0,
            part={"type": "output_text", "annotations": [], "logprobs": [], "text": ""},
        )
        for d in text:
            add(
                "response.output_text.delta",
                item_id=MSG_ID,
                output_index=oi,
                content_index=0,
                delta=d,
                logprobs=[],
                obfuscation=_obf(rnd),
            )
        full = "".join(text)
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": full}
        add("response.output_text.done", item_id=MSG_ID, output_index=oi, content_index=0, text=full, logprobs=[])
        add("response.content_part.done", item_id=MSG_ID, output_index=oi, content_index=0, part=part)
        add(
            "response.output_item.done",
            output_index=oi,
            item={"id": MSG_ID, "type": "message", "status": "completed", "content": [part], "role": "assistant"},
        )
        oi += 1
    for cid, name, frags in calls:
        item = {
            "id": "fc_" + cid,
            "type": "function_call",
            "status": "in_progress",
            "arguments": "",
            "call_id": cid,
            "name": name,
        }
        add("response.output_item.added", output_index=oi, item=item)
        for f in frags:
            add(
                "response.function_call_arguments.delta",
                item_id="fc_" + cid,
                output_index=oi,
                delta=f,
                obfuscation=_obf(rnd),
            )
        args = "".join(frags)
        add("response.function_call_arguments.done", item_id="fc_" + cid, output_index=oi, arguments=args, name=name)
        add("response.output_item.done", output_index=oi, item={**item, "status": "completed", "arguments": args})
        oi += 1
    add("response.completed", response=_response("completed", _resp_items(text, calls)))
    return ev


def responses_json(text: Texts, calls: Calls = ()) -> bytes:
    return _dumps(_response("completed", _resp_items(text, calls))).encode()


# anthropic messages

ANT_ID = "msg_01XFDUDYJgAACzvnptvVoYEL"
ANT_MODEL = "claude-sonnet-4-6"
USAGE_ANT = {
    "input_tokens": 472,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 1024,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 2,
    "service_tier": "standard",
}


def messages_events(text: Texts, calls: Calls = ()) -> list[bytes]:
    rnd = random.Random(9)
    ev: list[bytes] = []

    def add(o: dict[str, Any]) -> None:
        # the real API pads its events with spaces after the closing brace of the inner object
        s = _dumps(o)
        ev.append(sse(s[:-1] + " " * rnd.randint(0, 14) + "}", o["type"]))

    add(
        {
            "type": "message_start",
            "message": {
                "model": ANT_MODEL,
                "id": ANT_ID,
                "type": "message",
                "role": "assistant",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": USAGE_ANT,
            },
        }
    )
    idx = 0
    if text:
        add({"type": "content_block_start", "index": idx, "content_block": {"type": "text", "text": ""}})
        ev.append(sse('{"type": "ping"}', "ping"))
        for d in text:
            add({"type": "content_block_delta", "index": idx, "delta": {"type": "text_delta", "text": d}})
        add({"type": "content_block_stop", "index": idx})
        idx += 1
    for cid, name, frags in calls:
        add(
            {
                "type": "content_block_start",
                "index": idx,
                "content_block": {"type": "tool_use", "id": cid, "name": name, "input": {}},
            }
        )
        add({"type": "content_block_delta", "index": idx, "delta": {"type": "input_json_delta", "partial_json": ""}})
        for f in frags:
            add({"type": "content_block_delta", "index": idx, "delta": {"type": "input_json_delta", "partial_json": f}})
        add({"type": "content_block_stop", "index": idx})
        idx += 1
    add(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None},
            "usage": {
                "input_tokens": 472,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 1024,
                "output_tokens": 89,
            },
        }
    )
    add({"type": "message_stop"})
    return ev


def messages_json(text: Texts, calls: Calls = ()) -> bytes:
    content = []
    if text:
        content.append({"type": "text", "text": "".join(text)})
    for cid, name, frags in calls:
        content.append({"type": "tool_use", "id": cid, "name": name, "input": json.loads("".join(frags))})
    return _dumps(
        {
            "model": ANT_MODEL,
            "id": ANT_ID,
            "type": "message",
            "role": "assistant",
            "content": content,
            "stop_reason": "tool_use" if calls else "end_turn",
            "stop_sequence": None,
            "usage": {**USAGE_ANT, "output_tokens": 89},
        }
    ).encode()


EVENTS = {"chat": chat_events, "responses": responses_events, "messages": messages_events}
JSON = {"chat": chat_json, "responses": responses_json, "messages": messages_json}

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}


# the named scenarios

TOOL_NAME = "read_file"


@functools.lru_cache(64)
def scenario(wire: str, mode: str, n: int, frags: int = 200, argsize: int = 4000) -> tuple[list[bytes], dict[str, int]]:
    """(events, expected) of one response. mode: text | tool (n text deltas, then one call)."""
    text = deltas(n)
    calls = ()
    if mode == "tool":
        calls = (("call_wDfyLq0XnAHjYq2Yk4c3bmzj", TOOL_NAME, arg_fragments(frags, argsize)),)
    ev = EVENTS[wire](text, calls)
    expected = {
        "deltas": n,
        "chars": sum(map(len, text)),
        "arg_frags": frags if calls else 0,
        "arg_chars": sum(map(len, calls[0][2])) if calls else 0,
    }
    return ev, expected


LOOP_TEXT = deltas(8, 21)
LOOP_FINAL = deltas(20, 22)
TOOL_OUTPUT = "".join(
    f"line {n}: some tool output, as a shell command or a file read would print it\n" for n in range(27)
)[:2048]


def loop_call_id(turn: int) -> str:
    return f"call_t{turn:05d}n00xQ7dK2pLm9"


@functools.lru_cache(4096)
def loop_turn(turn: int, turns: int) -> tuple[tuple[str, ...], tuple[Call, ...]]:
    """Turn `turn` (from 0) of a scripted loop: a text and a call, or after `turns` of them the final text."""
    if turn >= turns:
        return LOOP_FINAL, ()
    arguments = json.dumps({"path": f"src/pkg/module_{turn}_0.py", "start": 1 + turn, "end": 200 + turn})
    step = max(1, len(arguments) // 12)
    fragments = tuple(arguments[start : start + step] for start in range(0, len(arguments), step))
    return LOOP_TEXT, ((loop_call_id(turn), TOOL_NAME, fragments),)


TOOL_PARAMS = _TOOL_SCHEMA["parameters"]
LOOP_PARAMS = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "start": {"type": "integer"}, "end": {"type": "integer"}},
    "required": ["path", "start", "end"],
    "additionalProperties": False,
}


def tool_specs(wire: str, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    params = params or TOOL_PARAMS
    d = "Read a file of the workspace"
    if wire == "chat":
        return [{"type": "function", "function": {"name": TOOL_NAME, "description": d, "parameters": params}}]
    if wire == "responses":
        return [{"type": "function", "name": TOOL_NAME, "description": d, "parameters": params, "strict": False}]
    return [{"name": TOOL_NAME, "description": d, "input_schema": params}]


def stamps(text: str) -> tuple[int, int]:
    """(sent, arrived) in monotonic ns: when the server sent the delta that says so, and when it had the request."""
    return int(text[1:20]), int(text[21:40])
