"""The Anthropic Messages wire: requests, answers and errors, both ways. Streams are `messages_stream`.

Spoken by Anthropic, by vLLM, llama.cpp and LiteLLM, and by the `/anthropic` endpoints of MiniMax, Kimi, DeepSeek and
others. A request is encoded in `messages_request` and decoded in `messages_inbound`; a whole answer is decoded as a
stream whose message comes at once, so both ways of answering give the same items.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil, isfinite

from ..errors import ApiError, MalformedStream, ModelError
from ..events import Completed, Response
from ..items import JsonObject, JsonValue, ResponseItem, WireName
from ..prompt import Prompt
from .answer_tool import answering, as_answer
from .answer_words import own_id, stopped_by_error
from .api_errors import api_error, decode_http_error
from .base import (
    Compat,
    DecodedRequest,
    Encoded,
    Loss,
    RequestEncoder,
    StreamDecoder,
    StreamEncoder,
    WireCodec,
    json_bytes,
    json_object,
)
from .incremental import KeptEncoder
from .messages_blocks import (
    answer_losses,
    assistant_blocks,
    error_to_wire,
    is_call,
    is_error_object,
    load_json,
    stop_reason_of,
)
from .messages_history import MessagesHistory
from .messages_inbound import decode_request
from .messages_request import encode_request
from .messages_stream import MessagesStreamDecoder, MessagesStreamEncoder
from .messages_usage import usage_to_wire
from .output_forms import answer_tool_name
from .text_calls import as_calls, reading_calls

__all__ = ["CODEC"]

_LOSSES = frozenset(
    {
        "annotations",  # other wires' citations; and in streams, those of all but the last part of a message
        "custom_tool_format",
        "file",  # neither PDF nor text
        "frequency_penalty",
        "hosted_tool",  # of another wire
        "image_detail",
        "logprobs",
        "metadata",  # anything but a user id
        "n",
        "namespace",
        "output_schema.name",  # the wire has no word for it, and needs none
        "phase",
        "presence_penalty",
        "prompt_cache_key",
        "refusal",  # told as text, and as the reason to stop
        "seed",
        "store",
        "verbosity",
    }
)


class _MessagesCodec:
    """See codecs.base.WireCodec."""

    wire: WireName = "messages"
    path = "/messages"
    losses = _LOSSES

    def encode_request(self, prompt: Prompt, compat: Compat, *, stream: bool = True) -> Encoded:
        return encode_request(prompt, compat, MessagesHistory(compat), stream=stream)

    def request_encoder(self, compat: Compat) -> RequestEncoder:
        return KeptEncoder(
            lambda: MessagesHistory(compat),
            lambda prompt, history, stream: encode_request(prompt, compat, history, stream=stream),
        )

    def decode_request(self, body: bytes) -> DecodedRequest:
        return decode_request(body)

    def decode_response(self, body: bytes, prompt: Prompt, compat: Compat) -> Response:
        try:
            answer = json_object(load_json(body))
        except ValueError:
            answer = None
        if answer is not None and is_error_object(answer):
            raise api_error(answer, body=body.decode("utf-8", "replace"))
        if answer is None or not isinstance(answer.get("content"), (list, str)):
            raise MalformedStream(f"the answer of {len(body)} bytes is no Messages answer: it has no content")
        response = as_calls(MessagesStreamDecoder(prompt, compat).whole(answer), prompt, compat)
        return as_answer(response, answer_tool_name(prompt, compat))

    def encode_response(self, response: Response, prompt: Prompt) -> bytes:
        if response.finish_reason == "error":
            return json_bytes({"type": "error", "error": error_to_wire(stopped_by_error(response.native_reason))[1]})
        content: list[JsonValue] = [block for item in response.items for block in assistant_blocks(item)]
        stop_reason = stop_reason_of(
            response.finish_reason,
            native=response.native_reason,
            stop_sequence=response.stop_sequence,
            has_calls=any(map(is_call, response.items)),
            refused=bool(response.refusal),
        )
        message: JsonObject = {
            "id": own_id(response.id, self.wire) or "msg_unknown",
            "type": "message",
            "role": "assistant",
            "model": response.model or prompt.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": response.stop_sequence,
            "usage": usage_to_wire(response.usage),
        }
        return json_bytes(message)

    def answer_losses(self, said: ResponseItem | Completed) -> Iterator[Loss]:
        return answer_losses(said)

    def stream_decoder(self, prompt: Prompt, compat: Compat) -> StreamDecoder:
        return answering(reading_calls(MessagesStreamDecoder(prompt, compat), prompt, compat), prompt, compat)

    def stream_encoder(self, prompt: Prompt, *, include_usage: bool = True) -> StreamEncoder:
        """Usage is always told: on this wire it is a part of the end."""
        return MessagesStreamEncoder(prompt)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        return decode_http_error(status, headers, body)

    def encode_error(self, error: ModelError) -> tuple[int, dict[str, str], bytes]:
        status, described = error_to_wire(error)
        headers = {"content-type": "application/json"}
        envelope: JsonObject = {"type": "error", "error": described}
        if error.retry_after_s is not None and isfinite(error.retry_after_s):
            headers["retry-after"] = str(ceil(error.retry_after_s))
        if isinstance(error, ApiError) and error.request_id:
            headers["request-id"] = error.request_id
            envelope["request_id"] = error.request_id
        return status, headers, json_bytes(envelope)


CODEC: WireCodec = _MessagesCodec()
