"""What counts as a refusal, and what an error looks like as evidence."""

from __future__ import annotations

import pytest

from agent_core.errors import (
    ApiError,
    AuthenticationError,
    BadImageError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    MalformedStream,
    ModelError,
    ModelNotFoundError,
    OverloadedError,
    RateLimitError,
    ServerError,
    StreamInterrupted,
    TransportError,
)
from agent_core.events import Response
from agent_core.items import Origin, Reasoning, WireName
from agent_core.probe.asking import Heard, Notes, said
from agent_core.providers import resolve

REFUSED: list[tuple[ModelError | None, bool]] = [
    (None, False),
    (InvalidRequestError("no", status=400), True),
    (InvalidRequestError("no", status=422), True),
    (InvalidRequestError("no, said in the stream"), True),
    (BadImageError("no", status=400), True),
    (ModelNotFoundError("no host has this feature", status=404), True),
    (ServerError("not implemented", status=501), True),
    (ApiError("who knows"), False),
    (InvalidRequestError("the model failed", status=400, code="tool_use_failed"), False),
    (ContextLengthError("too long", status=400), False),
    (ContentFilterError("policy", status=400), False),
    (AuthenticationError("key", status=401), False),
    (RateLimitError("busy", status=429), False),
    (ServerError("oops", status=500), False),
    (OverloadedError("busy", status=529), False),
    (TransportError("reset"), False),
    (StreamInterrupted("cut"), False),
    (MalformedStream("a page"), False),
]


@pytest.mark.parametrize(("error", "refused"), REFUSED, ids=lambda value: repr(value) if value else "")
def test_what_a_refusal_is(error: ModelError | None, refused: bool) -> None:
    """The request, not the moment, the key or the model's failure; all other errors say nothing."""
    heard = Heard(None, error) if error else Heard(Response())
    assert (heard.refused, heard.useless) == (refused, error is not None and not refused)


def test_evidence_is_one_bounded_line() -> None:
    """The status and the peer's words."""
    assert said(Heard(None, InvalidRequestError("no\n\n  such\tfield", status=400))) == "400: no such field"
    assert said(Heard(None, TransportError("reset"))) == "reset"
    assert said(Heard(Response())) == ""
    long = said(Heard(None, InvalidRequestError("x" * 5000, status=400)))
    assert (len(long), long[-1]) == (200, "…")


@pytest.mark.parametrize("wire", ["responses", "messages"])
def test_the_reasoning_that_is_kept(wire: WireName) -> None:
    """The last sealed item, else the first; one that was cut is none."""
    notes = Notes(wire, resolve("lab/m", base_url="http://h/v1", wire=wire).compat)
    first, second = (Reasoning(content=(text,), origin=Origin(wire=wire)) for text in ("one", "two"))
    sealed = Reasoning(content=("three",), encrypted_content="E", origin=Origin(wire=wire))
    cut = Reasoning(content=("four",), signature="S", status="incomplete")
    for items, kept in (((cut,), None), ((first,), first), ((second,), first), ((sealed, cut), sealed)):
        notes.hear(Heard(Response(items=items)))
        assert notes.reasoning == kept
