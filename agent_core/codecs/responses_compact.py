"""The compaction endpoint of the Responses wire: `POST …/responses/compact`, both ways.

The request is that of a response, without all that shapes an answer: the API knows no tools there, nor settings. The
answer has the user's messages and one `compaction` item, whose content only the provider can read; `decode_response`
reads it as it is. `encode_compacted` is the server's side of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from ..events import Response
from ..items import Compaction, JsonObject, JsonValue, Message
from ..prompt import Prompt
from .base import Compat, Encoded, Loss, json_bytes, json_object
from .responses_items import encode_item, encode_output_item, encode_usage
from .responses_reading import load_json

__all__ = ["COMPACT_PATH", "compact_request", "encode_compacted"]

COMPACT_PATH = "/compact"
"""What follows the URL of responses."""

_MEMBERS = ("model", "instructions", "previous_response_id", "prompt_cache_key", "service_tier", "input")


def compact_request(encoded: Encoded) -> Encoded:
    """The request for a compaction of the history in the request for a response."""
    body = json_object(load_json(encoded.body)) or {}
    return replace(encoded, body=json_bytes({name: body[name] for name in _MEMBERS if name in body}))


def encode_compacted(prompt: Prompt, made: Sequence[Compaction], response: Response) -> bytes:
    """What a server answers: the user's messages of the prompt as they came, and what was made of the rest."""
    kept = [item for item in prompt.items if isinstance(item, Message) and item.role == "user"]
    output: list[JsonValue] = []
    for n, item in enumerate(kept):
        written = encode_item(item, Compat())
        if not isinstance(written, Loss):
            output.append({"id": f"msg_{n}", "status": "completed", **written})
    output += (encode_output_item(item, response.id, len(kept) + n) for n, item in enumerate(made))
    body: JsonObject = {
        "id": response.id,
        "object": "response.compaction",
        "created_at": 0,
        "output": output,
        "usage": encode_usage(response.usage),
    }
    return json_bytes(body)
