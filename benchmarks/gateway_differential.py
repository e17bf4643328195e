"""The same requests through our gateway and through the LiteLLM proxy, over the same backend, in every pair of wires.

    python benchmarks/gateway_differential.py
    LITELLM_PYTHON=/path/to/venv/bin/python python benchmarks/gateway_differential.py

A rehearsed backend answers on each of three wires; clients ask on each of three. Judges of every streamed answer:

    sdk        the wire's official SDK, with every member held to the vendor's schema, makes of it what was said
    grammar    the events it decodes to are in their legal order (agent_core.codecs.grammar)
    shape      what the wire's documentation says of a stream: names, numbers, ids, one block after the other
    end        what was cut, refused or broken is told as that, and never looks whole

Prints a row for each pair and case, and what each judge said where it was not content.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import anthropic
import httpx2
import openai

sys.path.insert(0, str(Path(__file__).resolve().parent))

from gateway_load import litellm, ours

from agent_core.codecs import CODECS, WIRES
from agent_core.codecs.base import Compat
from agent_core.codecs.grammar import GrammarError, check_events
from agent_core.events import OutputItemDone, ResponseEvent, Usage
from agent_core.items import (
    CallItem,
    FunctionCall,
    FunctionCallOutput,
    JsonObject,
    Message,
    WireName,
    text_of,
    user_message,
)
from agent_core.prompt import Prompt, ReasoningSettings, ToolSpec
from agent_core.testing import Call, RehearsalServer, Step

SCHEMA: JsonObject = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
TOOLS = [ToolSpec("add", "Adds.", SCHEMA), ToolSpec("multiply", "Multiplies.", SCHEMA)]
ARGUMENTS: JsonObject = {"a": 6, "b": 7}
CALLS = (Call("add", ARGUMENTS, "call_a"), Call("multiply", ARGUMENTS, "call_b"))
USED = Usage(input=31, output=17)


@dataclass(frozen=True)
class Case:
    name: str
    prompt: Prompt
    step: Step

    @property
    def fails(self) -> bool:
        return self.step.cut_after_events is not None or self.step.status != 200


HISTORY = [
    user_message("6 and 7?"),
    *(FunctionCall(call_id=call.call_id, name=call.name, arguments=json.dumps(ARGUMENTS)) for call in CALLS),
    FunctionCallOutput(call_id="call_a", output="13"),
    FunctionCallOutput(call_id="call_b", output="42"),
]
CASES = [
    Case("text", Prompt("Hello?", max_output_tokens=500), Step(text="Hello, you there.", usage=USED)),
    Case(
        "reasoning",
        Prompt("Hello?", reasoning=ReasoningSettings(effort="low"), max_output_tokens=4000),
        Step(reasoning="They greet me.", text="Hello, you there.", usage=USED),
    ),
    Case("two calls", Prompt("6 and 7?", tools=TOOLS, max_output_tokens=500), Step(calls=CALLS, usage=USED)),
    Case(
        "text and two calls",
        Prompt("6 and 7?", tools=TOOLS, max_output_tokens=500),
        Step(text="I calculate.", calls=CALLS, usage=USED),
    ),
    Case("results", Prompt(HISTORY, tools=TOOLS, max_output_tokens=500), Step(text="13 and 42.", usage=USED)),
    Case(
        "cut at the limit",
        Prompt("Tell me.", max_output_tokens=500),
        Step(text="Once upon", finish="length", usage=USED),
    ),
    Case(
        "429",
        Prompt("Hello?", max_output_tokens=500),
        Step(status=429, error="slow down", headers={"retry-after": "1"}),
    ),
    Case(
        "broken off",
        Prompt("Tell me.", max_output_tokens=500),
        Step(text="Once upon a time there was", cut_after_events=4),
    ),
    Case(
        "the wire's own error",
        Prompt("Tell me.", max_output_tokens=500),
        Step(text="Once upon a time", cut_after_events=4, cut="error"),
    ),
]


@dataclass(frozen=True)
class Heard:
    """What an SDK made of an answer."""

    text: str
    calls: tuple[tuple[str, object], ...]
    end: str
    tokens: tuple[int, int]


ENDS = {
    "stop": {"chat": "stop", "responses": "completed", "messages": "end_turn"},
    "tool_calls": {"chat": "tool_calls", "responses": "completed", "messages": "tool_use"},
    "length": {"chat": "length", "responses": "incomplete", "messages": "max_tokens"},
}


def expected(case: Case, wire: WireName) -> Heard:
    step = case.step
    finish = step.finish or ("tool_calls" if step.calls else "stop")
    calls = tuple((call.name, dict(cast("JsonObject", call.arguments))) for call in step.calls)
    return Heard(step.text, calls, ENDS[finish][wire], (31, 17))


# the official SDKs


def chat(url: str, body: JsonObject) -> Heard:
    with openai.OpenAI(
        base_url=f"{url}/v1", api_key="sk-lab", max_retries=0, _strict_response_validation=True
    ) as client:
        body = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
        with client.chat.completions.stream(**body, stream_options={"include_usage": True}) as stream:  # type: ignore[arg-type]
            try:
                for _ in stream:
                    pass
            except openai.LengthFinishReasonError:
                pass
            answer = stream.current_completion_snapshot
    choice = answer.choices[0]
    calls = tuple(
        (call.function.name, json.loads(call.function.arguments))
        for call in choice.message.tool_calls or []
        if call.type == "function"
    )
    used = answer.usage
    tokens = (used.prompt_tokens, used.completion_tokens) if used else (0, 0)
    return Heard(choice.message.content or "", calls, choice.finish_reason or "no end", tokens)


def responses(url: str, body: JsonObject) -> Heard:
    with openai.OpenAI(
        base_url=f"{url}/v1", api_key="sk-lab", max_retries=0, _strict_response_validation=True
    ) as client:
        body = {name: value for name, value in body.items() if name != "stream"}
        answer = None
        with client.responses.stream(**body) as stream:  # type: ignore[arg-type]
            for event in stream:
                if event.type in ("response.completed", "response.incomplete", "response.failed"):
                    answer = event.response
                elif event.type == "error":
                    raise RuntimeError(f"error event: {event.message}")
    if answer is None:
        raise RuntimeError("the stream ended without an end")
    if answer.status == "failed":
        raise RuntimeError(f"failed: {answer.error}")
    calls = tuple((item.name, json.loads(item.arguments)) for item in answer.output if item.type == "function_call")
    tokens = (answer.usage.input_tokens, answer.usage.output_tokens) if answer.usage else (0, 0)
    return Heard(answer.output_text, calls, answer.status or "no end", tokens)


def messages(url: str, body: JsonObject) -> Heard:
    with anthropic.Anthropic(base_url=url, api_key="sk-lab", max_retries=0, _strict_response_validation=True) as client:
        body = {name: value for name, value in body.items() if name != "stream"}
        with client.messages.stream(**body) as stream:  # type: ignore[arg-type]
            for _ in stream:
                pass
            answer = stream.get_final_message()
    text = "".join(block.text for block in answer.content if block.type == "text")
    calls = tuple((block.name, block.input) for block in answer.content if block.type == "tool_use")
    return Heard(text, calls, answer.stop_reason or "no end", (answer.usage.input_tokens, answer.usage.output_tokens))


SDKS: dict[WireName, Callable[[str, JsonObject], Heard]] = {"chat": chat, "responses": responses, "messages": messages}
PATHS: dict[WireName, str] = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}


# the judges


def complaints(url: str, wire: WireName, case: Case) -> Iterator[str]:
    """What the judges have against an answer; nothing where they are content."""
    encoded = CODECS[wire].encode_request(
        case.prompt.with_model("m"), Compat(reasoning_request="budget" if wire == "messages" else "effort")
    )
    body = cast("JsonObject", json.loads(encoded.body))
    try:
        heard: Heard | None = SDKS[wire](url, body)
    except Exception as error:  # noqa: BLE001  # whatever an SDK raises is its verdict
        heard = None
        if not case.fails:
            yield f"sdk: {type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}"
        elif isinstance(error, AttributeError | TypeError | AssertionError):
            yield f"sdk: dies of {type(error).__name__}: {str(error)[:120]}"
    if heard is not None:
        if case.fails:
            yield f"end: a failure looks whole: {heard.end}, {heard.text!r}"
        elif heard != (wanted := expected(case, wire)):
            yield f"sdk: {difference(heard, wanted)}"
    yield from broken_grammar(url, wire, case, encoded.body)


def difference(heard: Heard, wanted: Heard) -> str:
    names = [name for name in ("text", "calls", "end", "tokens") if getattr(heard, name) != getattr(wanted, name)]
    return "; ".join(f"{name} {getattr(heard, name)!r}, not {getattr(wanted, name)!r}"[:160] for name in names)


def broken_grammar(url: str, wire: WireName, case: Case, asked: bytes) -> Iterator[str]:
    headers = {"authorization": "Bearer sk-lab", "x-api-key": "sk-lab", "content-type": "application/json"}
    decoder = CODECS[wire].stream_decoder(case.prompt.with_model("m"), Compat())
    events: list[ResponseEvent] = []
    cut: Exception | None = None
    with httpx2.stream("POST", url + PATHS[wire], content=asked, headers=headers, timeout=30) as answer:
        if answer.status_code != 200:
            answer.read()
            retry = answer.headers.get("retry-after")
            if not case.fails:
                yield f"end: HTTP {answer.status_code}: {answer.text[:160]}"
            elif case.step.status != 200 and (answer.status_code, retry) != (case.step.status, "1"):
                yield f"end: HTTP {answer.status_code} with retry-after {retry}, not {case.step.status} with 1"
            return
        body = bytearray()
        try:
            for data in answer.iter_bytes():
                body += data
                events += decoder.feed(data)
        except httpx2.HTTPError as error:
            cut = error
        events += decoder.close()
    error = decoder.error
    if case.fails and error is None:
        yield f"end: decodes as a whole answer ({'cut off by HTTP' if cut else 'no error'})"
    if not case.fails and error is not None:
        yield f"grammar: {type(error).__name__}: {error.message[:140]}"
        return
    try:
        check_events(events, error)
    except GrammarError as wrong:
        yield f"grammar: {wrong}"
    if not case.fails:
        yield from (f"shape: {what}" for what in dict.fromkeys(misshapen(wire, bytes(body))))
        items = [event.item for event in events if isinstance(event, OutputItemDone)]
        text = "".join(text_of(item) for item in items if isinstance(item, Message))
        calls = [item for item in items if isinstance(item, CallItem)]
        if (text, len(calls)) != (case.step.text, len(case.step.calls)):
            yield f"grammar: decodes to {text!r} and {len(calls)} calls"


# what the documentation of each wire says of a stream


def misshapen(wire: WireName, body: bytes) -> Iterator[str]:
    frames: list[tuple[str, JsonObject | None]] = []
    for block in body.decode().replace("\r\n", "\n").split("\n\n"):
        lines = dict(line.partition(": ")[::2] for line in block.splitlines() if line and not line.startswith(":"))
        if "data" in lines:
            done = lines["data"] == "[DONE]"
            frames.append((lines.get("event", ""), None if done else cast("JsonObject", json.loads(lines["data"]))))
    yield from _SHAPES[wire](frames)


Frames = list[tuple[str, JsonObject | None]]


def chat_shape(frames: Frames) -> Iterator[str]:
    chunks = [frame for _, frame in frames if frame is not None]
    if not frames or frames[-1][1] is not None:
        yield "no [DONE] at the end"
    if len({json.dumps(chunk.get("id")) for chunk in chunks}) != 1:
        yield "more than one id"
    choices = [choice for chunk in chunks for choice in cast("list[JsonObject]", chunk.get("choices") or [])]
    deltas = [cast("JsonObject", choice.get("delta") or {}) for choice in choices]
    if sum("role" in delta for delta in deltas) != 1:
        yield f"the role is said {sum('role' in delta for delta in deltas)} times"
    ends = [n for n, choice in enumerate(choices) if choice.get("finish_reason")]
    if len(ends) != 1:
        yield f"{len(ends)} finish reasons"
    elif any(deltas[n] for n in range(ends[0] + 1, len(deltas))):
        yield "content after the finish reason"
    used = [chunk for chunk in chunks if chunk.get("usage")]
    if len(used) != 1 or used[0].get("choices") != []:
        yield "usage is not one chunk of its own"


def responses_shape(frames: Frames) -> Iterator[str]:
    events = [(name, frame) for name, frame in frames if frame is not None]
    if len(events) != len(frames):
        yield "[DONE], which this wire has not"
    if any(name != frame.get("type") for name, frame in events):
        yield "events without their name on the event line"
    numbers = [frame.get("sequence_number") for _, frame in events]
    if numbers != list(range(len(numbers))):
        yield (
            "sequence numbers are not 0, 1, 2, …"
            if any(number is not None for number in numbers)
            else "no sequence numbers"
        )
    kinds = [str(frame.get("type")) for _, frame in events]
    if kinds[:1] != ["response.created"]:
        yield f"it begins with {kinds[:1]}"
    whole = [cast("JsonObject", frame["response"]) for _, frame in events if "response" in frame]
    if len({json.dumps(one.get("id")) for one in whole}) != 1:
        yield "more than one response id"
    added = [frame.get("output_index") for _, frame in events if frame.get("type") == "response.output_item.added"]
    done = [frame for _, frame in events if frame.get("type") == "response.output_item.done"]
    if sorted(map(str, added)) != sorted(str(frame.get("output_index")) for frame in done):
        yield "items that are added are not those that are done"
    ids = [
        cast("JsonObject", frame["item"]).get("id")
        for frame in sorted(done, key=lambda one: str(one.get("output_index")))
    ]
    if whole and ids != [item.get("id") for item in cast("list[JsonObject]", whole[-1].get("output") or [])]:
        yield "the last event's output is not the items that were streamed"
    deltas = [frame for _, frame in events if frame.get("type") == "response.output_text.delta"]
    known = {json.dumps(item) for item in ids}
    if any(json.dumps(frame.get("item_id")) not in known for frame in deltas):
        yield "text of an item that there is not"


def messages_shape(frames: Frames) -> Iterator[str]:
    events = [(name, frame) for name, frame in frames if frame is not None]
    if len(events) != len(frames):
        yield "[DONE], which this wire has not"
    if any(name != frame.get("type") for name, frame in events):
        yield "events without their name on the event line"
    kinds = [str(frame.get("type")) for _, frame in events if frame.get("type") != "ping"]
    if kinds[:1] != ["message_start"] or kinds[-2:] != ["message_delta", "message_stop"]:
        yield f"it goes from {kinds[:1]} to {kinds[-2:]}"
    open_block: object = None
    following = 0
    for _, frame in events:
        kind, index = frame.get("type"), frame.get("index")
        if kind == "content_block_start":
            if open_block is not None:
                yield "a block begins in another"
            if index != following:
                yield "blocks are not numbered 0, 1, 2, …"
            open_block, following = index, following + 1
        elif kind == "content_block_delta" and index != open_block:
            yield "a delta of a block that is not open"
        elif kind == "content_block_stop":
            if index != open_block:
                yield "a block stops that is not open"
            open_block = None


_SHAPES: dict[WireName, Callable[[Frames], Iterator[str]]] = {
    "chat": chat_shape,
    "responses": responses_shape,
    "messages": messages_shape,
}


def script(prompt: Prompt) -> Step:
    """Which case a request is of is told by its last words and what it offers."""
    wanted = [case for case in CASES if case.name == CURRENT[0]]
    return wanted[0].step


CURRENT = ["text"]


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    kinds = {"agent-core": ours, **({"LiteLLM": litellm} if os.environ.get("LITELLM_PYTHON") else {})}
    wrong: dict[str, int] = {}
    with RehearsalServer(script, pace_s=0, strict=False) as backend:
        port = int(backend.base_url.split(":")[2].partition("/")[0])
        for kind, start in kinds.items():
            for upstream in WIRES:
                with start(port, upstream) as (url, _):
                    for wire in WIRES:
                        wrong[kind] = wrong.get(kind, 0) + pair(kind, url, wire, upstream)
            print(f"{kind}: {wrong[kind]} of {len(CASES) * len(WIRES) ** 2} cases with a complaint", flush=True)
    if wrong["agent-core"]:
        raise SystemExit(1)


def pair(kind: str, url: str, wire: WireName, upstream: WireName) -> int:
    """Prints a pair's cases that somebody complains of, and gives how many they are."""
    failed: dict[str, list[str]] = {}
    for case in CASES:
        CURRENT[0] = case.name
        if said := list(complaints(url, wire, case)):
            failed[case.name] = said
    print(f"{kind}, {wire} client, {upstream} backend: {len(CASES) - len(failed)} of {len(CASES)}", flush=True)
    for name, said in failed.items():
        print(f"    {name}: {' | '.join(said)}", flush=True)
    return len(failed)


if __name__ == "__main__":
    main()
