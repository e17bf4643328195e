"""The official SDKs share a turn with a gateway that runs one of its two calls: what their streaming helpers take for
an answer, with every member held to the vendor's schema."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent_core import ModelClient, tool
from agent_core.gateway import Gateway
from agent_core.gateway.server_tools import ServerTools
from agent_core.testing import RehearsalServer

from ..gateway.running import running

pytest.importorskip("openai", reason="the openai SDK is not installed")
pytest.importorskip("anthropic", reason="the anthropic SDK is not installed")

import anthropic
import openai
from anthropic.types import MessageParam
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseInputParam

from .test_gateway_sdks import chat, message, respond
from .test_official_sdks import CHAT_TOOLS, MESSAGES_TOOLS, RESPONSES_TOOLS, calculate

pytestmark = pytest.mark.acceptance
ANSWER = "Sum and product: 13, 42."


@tool
def multiply(a: int, b: int) -> int:
    """Multiply."""
    return a * b


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A gateway that multiplies; its clients add."""
    with RehearsalServer(calculate, pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider, wire="messages")
        with running(Gateway(default=client, services=[ServerTools([multiply])])) as address:
            yield address


@pytest.fixture
def vendor(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, _strict_response_validation=True) as client:
        yield client


def test_openai_chat(vendor: openai.OpenAI) -> None:
    """One call out, its output in, and both results are told."""
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "6 and 7?"}]
    first, second = (chat(vendor, messages, CHAT_TOOLS[:1]) for _ in range(2))
    assert len(first.choices[0].message.tool_calls or []) == 1
    assert second.choices[0].message.content == ANSWER


def test_openai_responses(vendor: openai.OpenAI) -> None:
    """The call that is run elsewhere is no item."""
    items: ResponseInputParam = [{"role": "user", "content": "6 and 7?"}]
    first, second = (respond(vendor, items, RESPONSES_TOOLS[:1]) for _ in range(2))
    assert [item.type for item in first.output] == ["reasoning", "message", "function_call"]
    assert second.output_text == ANSWER


def test_anthropic_messages(url: str) -> None:
    """It is no block either."""
    messages: list[MessageParam] = [{"role": "user", "content": "6 and 7?"}]
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0, _strict_response_validation=True) as client:
        first, second = (message(client, messages, MESSAGES_TOOLS[:1]) for _ in range(2))
    assert [block.type for block in first.content] == ["thinking", "text", "tool_use"]
    assert [block.text for block in second.content if block.type == "text"] == [ANSWER]
