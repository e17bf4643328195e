"""The official SDKs read what `reframe` makes of recorded streams: all pairs of two, every member validated strictly.

They are the outside judges of a target's grammar: their accumulators find items by index and id, and raise for what the
vendor would not send. Failed streams have to reach their users as the SDK's own error.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from agent_core.codecs import WIRES, reframe
from agent_core.events import Response
from agent_core.items import WireName

from ..recordings import Recording, needs_recordings, streams
from ..reliability import LONG

pytest.importorskip("openai", reason="the openai SDK is not installed")
pytest.importorskip("anthropic", reason="the anthropic SDK is not installed")

import anthropic
import httpx2
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

pytestmark = [pytest.mark.acceptance, needs_recordings]

RECORDINGS: list[tuple[WireName, Recording]] = [(wire, recording) for wire in WIRES for recording in streams(wire)]
SAMPLE = RECORDINGS if LONG else random.Random(8).sample(RECORDINGS, min(30, len(RECORDINGS)))


def http(body: bytes) -> httpx2.Client:
    """A client whose server always answers with this stream."""
    headers = {"content-type": "text/event-stream"}
    return httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=body)))


def openai_client(body: bytes) -> openai.OpenAI:
    return openai.OpenAI(
        api_key="k", base_url="http://test", max_retries=0, http_client=http(body), _strict_response_validation=True
    )


def by_chat(body: bytes) -> tuple[str, list[str]]:
    """Text and ids of the calls, as the openai SDK's own accumulator folds the chunks."""
    state = ChatCompletionStreamState()
    with openai_client(body) as sdk:
        chunks = sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
        for chunk in chunks:
            state.handle_chunk(chunk)
    (choice,) = state.current_completion_snapshot.choices
    return choice.message.content or "", [call.id for call in choice.message.tool_calls or []]


def by_responses(body: bytes) -> tuple[str, list[str]]:
    """The same by the openai SDK's events; where the answer is complete, by its accumulator too."""
    with openai_client(body) as sdk:
        *_, last = sdk.responses.create(model="m", input="hi", stream=True)
    if last.type == "response.failed":
        raise openai.OpenAIError(str(last.response.error))
    assert last.type == "response.completed" or last.type == "response.incomplete"
    answer = last.response
    if last.type == "response.completed":
        with openai_client(body) as sdk, sdk.responses.stream(model="m", input="hi") as stream:
            assert stream.get_final_response().output_text == answer.output_text
    made = [item for item in answer.output if item.type == "function_call" or item.type == "custom_tool_call"]
    return answer.output_text, [item.call_id for item in made]


def by_messages(body: bytes) -> tuple[str, list[str]]:
    with (
        anthropic.Anthropic(
            api_key="k", base_url="http://test", max_retries=0, http_client=http(body), _strict_response_validation=True
        ) as sdk,
        sdk.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as stream,
    ):
        message = stream.get_final_message()
    text = "".join(block.text for block in message.content if block.type == "text")
    return text, [block.id for block in message.content if block.type == "tool_use"]


READERS: dict[WireName, Callable[[bytes], tuple[str, list[str]]]] = {
    "chat": by_chat,
    "responses": by_responses,
    "messages": by_messages,
}


def said(target: WireName, response: Response) -> tuple[str, list[str]]:
    """The same of the answer that went in. Messages has refusals among its texts, and the other two no searches."""
    text = response.text + (response.refusal if target == "messages" else "")
    kinds = ["function_call", "custom_tool_call", *(["local_shell_call"] if target != "responses" else [])]
    return text, [str(call.call_id) for call in response.tool_calls if call.type in kinds]


@pytest.mark.parametrize(("source", "recording"), SAMPLE, ids=str)
def test_the_sdks_read_it(source: WireName, recording: Recording) -> None:
    """Each SDK accepts every frame and makes of them what was said, or raises its own error where it failed."""
    for target in WIRES:
        if target == source:
            continue
        reframer = reframe(source, target)
        body = reframer.feed(recording.body) + reframer.close()
        if reframer.error is None:
            assert READERS[target](body) == said(target, reframer.response), target
        else:
            with pytest.raises((openai.OpenAIError, anthropic.APIError)):
                READERS[target](body)
