"""What the encoders of all wires do alike when they write an answer: ids, readable reasoning, ends that are none."""

from __future__ import annotations

from ..errors import ServerError
from ..items import Reasoning, WireName

__all__ = ["SUMMARY_GAP", "own_id", "readable", "stopped_by_error"]

SUMMARY_GAP = "\n\n"
"""Between the parts of a summary, where the wire has one text for them: each is a paragraph with a heading."""

_PREFIXES: dict[WireName, str] = {"chat": "chatcmpl-", "responses": "resp_", "messages": "msg_"}


def own_id(response_id: str, wire: WireName) -> str:
    """The answer's id, with this wire's prefix in place of another's (T-J1, T-H19, T-M12); an id with neither stays."""
    for other, prefix in _PREFIXES.items():
        if other != wire and response_id.startswith(prefix):
            return _PREFIXES[wire] + response_id[len(prefix) :]
    return response_id


def readable(item: Reasoning) -> str:
    """A reasoning as one text, for wires that have one: its content, else its summary as paragraphs."""
    return "".join(item.content) or SUMMARY_GAP.join(text for text in item.summary if text)


def stopped_by_error(native: str | None) -> ServerError:
    """An answer that ended, but with an error as its reason, for wires that have no such reason: W-S3-16."""
    return ServerError(f"the model's server stopped the answer: {native or 'error'}")
