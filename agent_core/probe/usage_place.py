"""Where a Chat stream says its usage (providers.md 3c). The decoder takes it anywhere; other readers may not."""

from __future__ import annotations

from pydantic_core import from_json

from ..codecs.base import json_list, json_object, json_str
from ..codecs.sse import SseReader
from ..items import JsonObject

__all__ = ["usage_place"]

NOWHERE = "none"


def usage_place(body: bytes) -> str:
    """Say where in the stream `body` usage stands: one phrase, "none" if it is nowhere."""
    places: list[str] = []
    finished = False
    for chunk in _chunks(body):
        choice = next((found for entry in json_list(chunk.get("choices")) if (found := json_object(entry))), None)
        finishes = choice is not None and bool(json_str(choice.get("finish_reason")))
        place = _place(chunk, choice, finishes=finishes, finished=finished)
        if place:
            places.append(place)
        finished = finished or finishes
    if not places:
        return NOWHERE
    return places[-1] if len(places) == 1 else f"{len(places)} times, last: {places[-1]}"


def _place(chunk: JsonObject, choice: JsonObject | None, *, finishes: bool, finished: bool) -> str:
    if json_object(chunk.get("usage")) is None:
        if choice is not None and json_object(choice.get("usage")) is not None:
            return "inside the choice"
        return "x_groq" if json_object((json_object(chunk.get("x_groq")) or {}).get("usage")) else ""
    if choice is None:
        return "own chunk, after finish" if finished else "own chunk, before finish"
    if finishes:
        return "finish chunk"
    return "with a choice, after finish" if finished else "with a choice, before finish"


def _chunks(body: bytes) -> list[JsonObject]:
    reader = SseReader()
    frames = [*reader.feed(body), *reader.close()]
    found: list[JsonObject] = []
    for frame in frames:
        try:
            value = json_object(from_json(frame.data))
        except ValueError:  # [DONE], and whatever a server writes between its chunks
            continue
        if value is not None:
            found.append(value)
    return found
