"""What a paused run waits for, as its session keeps it: beside the conversation, until the call has its output."""

from __future__ import annotations

from typing import Literal, TypeVar, cast

import msgspec
from msgspec import Struct

from ..approvals import ApprovalRequest, Decision
from ..items import JsonObject, JsonValue
from .records import text_at

__all__ = ["Waiting", "WaitsFor", "dump_decision", "dump_waiting", "load_decision", "load_waiting"]

WaitsFor = Literal["handed_back", "deferred"]
_S = TypeVar("_S", bound=Struct)


class Waiting(Struct, frozen=True):
    """Why a call waits: its tool is the caller's to run, or a decision on `request` was put off. `decision`: what it
    was answered with, until the call is acted on."""

    why: WaitsFor
    request: ApprovalRequest | None = None
    decision: Decision | None = None


def dump_waiting(item_id: str, waiting: Waiting) -> JsonObject:
    """The record of a call that waits."""
    record: JsonObject = {"type": "call_waits", "item_id": item_id, "why": waiting.why}
    return record if waiting.request is None else {**record, "request": _dumped(waiting.request)}


def load_waiting(record: JsonObject) -> Waiting:
    why: WaitsFor = "deferred" if text_at(record, "why") == "deferred" else "handed_back"
    return Waiting(why, _loaded(record.get("request"), ApprovalRequest))


def dump_decision(item_id: str, decision: Decision) -> JsonObject:
    """The record of a decision on a call that waits."""
    return {"type": "call_decided", "item_id": item_id, "decision": _dumped(decision)}


def load_decision(record: JsonObject) -> Decision:
    """One that cannot be read is a no."""
    return _loaded(record.get("decision"), Decision) or Decision("denied", "the decision could not be read")


def _dumped(value: Struct) -> JsonValue:
    return cast("JsonValue", msgspec.to_builtins(value))


def _loaded(value: JsonValue, kind: type[_S]) -> _S | None:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None
