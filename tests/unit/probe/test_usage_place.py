"""Where a Chat stream says its usage: one row for each place of providers.md 3c."""

from __future__ import annotations

import json

import pytest

from agent_core.items import JsonObject, JsonValue
from agent_core.probe.usage_place import usage_place

USAGE: JsonObject = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chunk(*choices: JsonObject, **members: JsonValue) -> JsonObject:
    return {"id": "c", "choices": list(choices), **members}


TEXT = chunk({"index": 0, "delta": {"content": "a"}, "finish_reason": None})
STOP: JsonObject = {"index": 0, "delta": {}, "finish_reason": "stop"}
FINISH = chunk(STOP)
AFTER: JsonObject = {"index": 0, "delta": {}, "finish_reason": None}
SAID: JsonObject = {"usage": USAGE}
NULL: JsonObject = {"usage": None}

PLACES: dict[str, tuple[list[JsonObject], str]] = {
    "OpenAI": ([TEXT, FINISH, chunk(usage=USAGE)], "own chunk, after finish"),
    "before the finish": ([TEXT, chunk(usage=USAGE), FINISH], "own chunk, before finish"),
    "DeepSeek": ([TEXT, FINISH | SAID], "finish chunk"),
    "OpenRouter": ([TEXT, FINISH, chunk(AFTER, usage=USAGE)], "with a choice, after finish"),
    "Moonshot": ([TEXT, chunk({**STOP, **SAID})], "inside the choice"),
    "Groq": ([TEXT, chunk(STOP, x_groq=SAID)], "x_groq"),
    "continuous": ([TEXT | SAID, TEXT | SAID, FINISH | SAID], "3 times, last: finish chunk"),
    "only a null": ([TEXT | NULL, FINISH | NULL], "none"),
    "nothing": ([], "none"),
}


@pytest.mark.parametrize("name", PLACES)
def test_usage_place(name: str) -> None:
    """The place, whatever else the stream holds."""
    chunks, place = PLACES[name]
    body = "".join(f"data: {json.dumps(one)}\n\n" for one in chunks) + ": a comment\n\ndata: [DONE]\n\n"
    assert usage_place(body.encode()) == place


@pytest.mark.parametrize("body", [b"", b"<html>", b"data: [1]\n\n", b"data: {\xff\n\n", b'data: {"choices": 3}\n\n'])
def test_what_is_no_stream_has_none(body: bytes) -> None:
    """Nothing a peer sends makes it fail."""
    assert usage_place(body) == "none"
