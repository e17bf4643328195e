"""What was said: never without being asked for, then in the conventions' form, bounded and without keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

import pytest

from agent_core import Agent, ModelClient, Prompt, RetryPolicy, tool
from agent_core.errors import InvalidRequestError
from agent_core.items import (
    Compaction,
    CustomToolCall,
    FunctionCall,
    FunctionCallOutput,
    GhostSnapshot,
    InputFile,
    InputImage,
    InputText,
    JsonValue,
    Message,
    Reasoning,
    ResponseItem,
    assistant_message,
    system_message,
    user_message,
)
from agent_core.telemetry.content import TEXT_BYTES, VARIABLE, Content, content_asked_for, messages
from agent_core.testing import Call, RehearsalServer, Step

from .recorded import Recorded

WORDS: dict[str, Content] = {
    "": Content.NO_CONTENT,
    "no_content": Content.NO_CONTENT,
    "SPAN_ONLY": Content.SPAN_ONLY,
    " event_only ": Content.EVENT_ONLY,
    "Span_And_Event": Content.SPAN_AND_EVENT,
    "true": Content.NO_CONTENT,
    "everything": Content.NO_CONTENT,
}


@pytest.mark.parametrize("word", WORDS)
def test_the_standard_variable(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the conventions' words, in any case; what is none of them turns nothing on."""
    monkeypatch.setenv(VARIABLE, word)
    assert content_asked_for() is WORDS[word]


KEY = "sk-proj-0123456789abcdef0123"
PROMPT_WORDS, ANSWER, ARGUMENT, RESULT = (
    "the user's secret wish",
    "the model's answer",
    "a-secret-argument",
    "a tool's result",
)
SYSTEM, REASONED, ERROR_TEXT, PATTERN = "the instructions", "the model's thoughts", "your prompt said", "stop-at-this"


@tool
def look(name: str) -> str:
    """Look it up."""
    return f"{RESULT} of {name}"


async def run_with(recorded: Recorded) -> None:
    """A run in which everything is said that can be said, and then one that fails."""
    steps = (
        Step(reasoning=REASONED, calls=(Call("look", {"name": ARGUMENT}),)),
        Step(text=ANSWER, failures=(Step(status=503, error=ERROR_TEXT),)),
    )
    quick = RetryPolicy(base_delay_s=0, jitter_s=0)
    with RehearsalServer(steps, pace_s=0) as server:
        agent = Agent(
            "rehearsal/m", provider=server.provider, api_key=KEY, tools=[look], instructions=SYSTEM, retry=quick,
            telemetry=recorded.telemetry,
        )  # fmt: skip
        await agent.run(PROMPT_WORDS)
    with RehearsalServer([Step(status=400, error=f"{ERROR_TEXT}: {PROMPT_WORDS}")], pace_s=0) as server:
        client = ModelClient(
            "rehearsal/m", provider=server.provider, api_key=KEY, telemetry=recorded.telemetry,
            headers={"x-mine": KEY},
        )  # fmt: skip
        with pytest.raises(InvalidRequestError):
            async with client:
                await client.complete(Prompt(PROMPT_WORDS))


@pytest.mark.anyio
async def test_by_default_nothing_that_was_said_leaves() -> None:
    """All spans, events, metrics and logs of a run, searched for every text in it, and for the key."""
    recorded = Recorded()
    await run_with(recorded)
    exported = recorded.everything
    assert len(recorded.spans) == 5 and "invoke_agent" in exported
    for text in (KEY, PROMPT_WORDS, ANSWER, ARGUMENT, RESULT, SYSTEM, REASONED, ERROR_TEXT):
        assert text not in exported and json.dumps(text)[1:-1] not in exported


@pytest.mark.anyio
@pytest.mark.parametrize("content", [Content.SPAN_ONLY, Content.EVENT_ONLY, Content.SPAN_AND_EVENT])
async def test_what_was_said_where_it_is_asked_for(content: Content) -> None:
    """On spans as JSON text, in events as values; on each where it is asked for, and the key nowhere."""
    recorded = Recorded(content)
    await run_with(recorded)
    first, second = [span for span in recorded.spans if span.name == "chat m"][:2]
    logged = [log.log_record for log in recorded.logs_out.get_finished_logs()]
    assert bool(logged) == content.in_events
    assert ("gen_ai.input.messages" in (first.attributes or {})) == content.on_spans
    said = [{"role": "user", "parts": [{"type": "text", "content": PROMPT_WORDS}]}]
    arguments = json.dumps({"name": ARGUMENT})
    if content.on_spans:
        found = {name: json.loads(str(value)) for name, value in (first.attributes or {}).items() if "messages" in name}
        assert found["gen_ai.input.messages"] == said
        ((role, (thought, call)),) = [(m["role"], m["parts"]) for m in found["gen_ai.output.messages"]]
        assert (role, thought["content"], call["name"], json.loads(call["arguments"])) == (
            "assistant", REASONED, "look", json.loads(arguments)
        )  # fmt: skip
        assert json.loads(str((second.attributes or {})["gen_ai.input.messages"]))[-1]["role"] == "tool"
        assert (recorded.named("execute_tool").attributes or {})["gen_ai.tool.call.result"] == f"{RESULT} of {ARGUMENT}"
        turn = recorded.named("invoke_agent").attributes or {}
        assert json.loads(str(turn["gen_ai.input.messages"])) == said
        assert json.loads(str(turn["gen_ai.output.messages"]))[-1]["parts"] == [{"type": "text", "content": ANSWER}]
        assert json.loads(str(turn["gen_ai.system_instructions"])) == [{"type": "text", "content": SYSTEM}]
    if content.in_events:
        assert {record.event_name for record in logged} == {"gen_ai.client.inference.operation.details"}
        assert first.context is not None and logged[0].span_id == first.context.span_id
        (message,) = _values(logged[0].attributes, "gen_ai.input.messages")
        assert message["role"] == "user" and PROMPT_WORDS in str(message["parts"])
    assert KEY not in recorded.everything


def _values(attributes: Mapping[str, object] | None, name: str) -> list[Mapping[str, object]]:
    return cast("list[Mapping[str, object]]", list(cast("Sequence[object]", (attributes or {})[name])))


def text(content: str) -> JsonValue:
    return {"type": "text", "content": content}


FORMS: dict[str, tuple[list[ResponseItem], list[JsonValue]]] = {
    "neighbours of one role are one message": (
        [system_message("s"), user_message("a"), user_message("b"), assistant_message("c")],
        [
            {"role": "system", "parts": [text("s")]},
            {"role": "user", "parts": [text("a"), text("b")]},
            {"role": "assistant", "parts": [text("c")]},
        ],
    ),
    "calls and their answers": (
        [
            FunctionCall(call_id="1", name="f", arguments="{}"),
            CustomToolCall(call_id="2", name="g", input="raw"),
            FunctionCallOutput(call_id="1", output="one"),
            FunctionCallOutput(call_id="2", output=(InputText(text="two"),)),
        ],
        [
            {
                "role": "assistant",
                "parts": [
                    {"type": "tool_call", "id": "1", "name": "f", "arguments": "{}"},
                    {"type": "tool_call", "id": "2", "name": "g", "arguments": "raw"},
                ],
            },
            {
                "role": "tool",
                "parts": [
                    {"type": "tool_call_response", "id": "1", "response": "one"},
                    {"type": "tool_call_response", "id": "2", "response": [text("two")]},
                ],
            },
        ],
    ),
    "images and files are named": (
        [
            Message(
                role="user",
                content=(
                    InputImage(image_url="data:image/png;base64,AAAA"),
                    InputImage(image_url="https://example.com/a.png"),
                    InputFile(file_data="data:application/pdf;base64,AAAA"),
                ),
            )
        ],
        [
            {
                "role": "user",
                "parts": [
                    {"type": "blob", "modality": "image", "mime_type": "image/png"},
                    {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
                    {"type": "file", "modality": "document", "file_id": ""},
                ],
            }
        ],
    ),
    "what is sealed stays sealed": (
        [Reasoning(summary=("why",), encrypted_content="sealed"), Compaction(encrypted_content="sealed")],
        [{"role": "assistant", "parts": [{"type": "reasoning", "content": "why"}, {"type": "compaction"}]}],
    ),
    "what is no part of a conversation": ([GhostSnapshot(ghost_commit={}), user_message("x")], [
        {"role": "user", "parts": [text("x")]}
    ]),
    "what looks like a key": ([user_message(f"my key is {KEY}")], [
        {"role": "user", "parts": [text("my key is [key]")]}
    ]),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_messages(form: str) -> None:
    """Roles and parts, as the conventions' JSON schema has them."""
    items, expected = FORMS[form]
    assert messages(items) == expected


def test_content_is_bounded() -> None:
    """Each text, and all of them: of a long history the newest is kept."""
    long = messages([user_message("z" * (TEXT_BYTES + 5))])
    assert str(long).count("z") == TEXT_BYTES and "(5 bytes left out)" in str(long)
    many = messages([user_message(f"{n:05}" + "x" * 10_000) for n in range(100)])
    assert "00099" in str(many) and "00000" not in str(many) and len(str(many)) < 300_000
