"""The Chat Completions wire, both directions.

Files: `chat_request` and `chat_messages` (prompt → body), `chat_prompt` (body → prompt), `chat_stream` and
`chat_answer` (bytes → events, items), `chat_encoder` (items, events → bytes), `chat_errors`, and what they share:
`chat_reasoning`, `chat_words`, `tool_calls`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..errors import MAX_BODY_CHARS, ApiError, MalformedStream, ModelError
from ..events import Completed, Response
from ..items import ResponseItem, WireName
from ..prompt import Prompt
from .answer_tool import answering, as_answer
from .api_errors import api_error, decode_http_error
from .base import Compat, DecodedRequest, Encoded, Loss, RequestEncoder, StreamDecoder, WireCodec, json_list
from .chat_answer import ChatAnswer
from .chat_encoder import answer_losses, encode_chat_response
from .chat_errors import encode_chat_error
from .chat_history import ChatHistory
from .chat_prompt import decode_chat_request
from .chat_request import encode_chat_request
from .chat_stream import ChatStreamDecoder, ChatStreamEncoder, error_in, read_object
from .incremental import KeptEncoder
from .output_forms import answer_tool_name
from .text_calls import as_calls, reading_calls

__all__ = ["CODEC", "ChatCodec"]


class ChatCodec:
    """`WireCodec` of Chat Completions. What an answer loses on the way out, beside `answer_losses`: item identity and
    order."""

    wire: WireName = "chat"
    path: str = "/chat/completions"
    losses: frozenset[str] = frozenset({"hosted_tools", "phase", "previous_response_id", "reasoning_summary"})

    def encode_request(self, prompt: Prompt, compat: Compat, *, stream: bool = True) -> Encoded:
        return encode_chat_request(prompt, compat, ChatHistory(compat), stream=stream)

    def request_encoder(self, compat: Compat) -> RequestEncoder:
        return KeptEncoder(
            lambda: ChatHistory(compat),
            lambda prompt, history, stream: encode_chat_request(prompt, compat, history, stream=stream),
        )

    def decode_request(self, body: bytes) -> DecodedRequest:
        return decode_chat_request(body)

    def decode_response(self, body: bytes, prompt: Prompt, compat: Compat) -> Response:
        """A whole completion is a chunk whose choice holds a message."""
        text = body.decode("utf-8", "replace").strip()
        completion = read_object(body)
        if completion is None:
            raise MalformedStream(f"the answer is no Chat completion: it begins with {text[:40]!r}")
        answer = ChatAnswer(prompt, compat)
        error = answer.chunk(completion, [])
        if error_in(completion) is not None or error is not None:
            raise api_error(error or completion, body=text[:MAX_BODY_CHARS])
        if not json_list(completion.get("choices")):
            raise MalformedStream("the answer is no Chat completion: it has no choices")
        answer.complete([])
        response = as_calls(answer.response(), prompt, compat)
        return as_answer(response, answer_tool_name(prompt, compat))

    def encode_response(self, response: Response, prompt: Prompt) -> bytes:
        return encode_chat_response(response, prompt)

    def answer_losses(self, said: ResponseItem | Completed) -> Iterator[Loss]:
        return answer_losses(said)

    def stream_decoder(self, prompt: Prompt, compat: Compat) -> StreamDecoder:
        return answering(reading_calls(ChatStreamDecoder(prompt, compat), prompt, compat), prompt, compat)

    def stream_encoder(self, prompt: Prompt, *, include_usage: bool = True) -> ChatStreamEncoder:
        return ChatStreamEncoder(prompt, include_usage=include_usage)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        return decode_http_error(status, headers, body)

    def encode_error(self, error: ModelError) -> tuple[int, dict[str, str], bytes]:
        return encode_chat_error(error)


CODEC: WireCodec = ChatCodec()
