"""Errors: facts and a remedy in every one, and a way through a process border."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from agent_core import errors
from agent_core.errors import (
    AgentCoreError,
    ApiError,
    LimitReached,
    ModelError,
    RateLimitError,
    StreamInterrupted,
    TransportError,
    TransportTimeout,
    Tried,
)
from agent_core.events import Response

KINDS = [
    kind
    for name in errors.__all__
    if isinstance(kind := getattr(errors, name), type) and issubclass(kind, AgentCoreError)
]


def made(kind: type[AgentCoreError]) -> AgentCoreError:
    if issubclass(kind, LimitReached):
        return kind("it ended", limit="max_turns")
    if issubclass(kind, TransportTimeout):
        return kind("it ended", timeout="idle", after_s=3.0)
    return kind("it ended")


def full() -> AgentCoreError:
    """An error as the client raises it, with all it can hold."""
    error: ApiError = RateLimitError(
        "slow down", status=429, code="rpm", request_id="r1", retry_after_s=2.0, headers={"a": "b"}, body="{}",
        partial=Response(),
    )  # fmt: skip
    error.attempt, error.output_emitted = 3, True
    error.tried = (Tried("lab/m", StreamInterrupted("it ended")),)
    return error


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_says_what_to_do(kind: type[AgentCoreError]) -> None:
    """`remedy` is never empty, and str() is the message alone."""
    error = made(kind)
    assert (str(error), error.message, bool(error.remedy)) == ("it ended", "it ended", True)


def through_pickle(error: AgentCoreError) -> AgentCoreError:
    back = pickle.loads(pickle.dumps(error))
    assert isinstance(back, AgentCoreError)
    return back


@pytest.mark.parametrize("copied", [through_pickle, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
@pytest.mark.parametrize("error", [*map(made, KINDS), full()], ids=lambda error: type(error).__name__)
def test_errors_cross_processes(error: AgentCoreError, copied: Callable[[AgentCoreError], AgentCoreError]) -> None:
    """Worker pools pickle what a task raised: type, words and every fact arrive."""
    back = copied(error)
    assert (type(back), back.args) == (type(error), error.args)
    assert {**vars(back), "tried": 0} == {**vars(error), "tried": 0}
    if isinstance(back, ModelError) and isinstance(error, ModelError):
        assert [(one.model, str(one.error)) for one in back.tried] == [(o.model, str(o.error)) for o in error.tried]


def test_a_broken_stream_keeps_what_had_come() -> None:
    """Across a border too."""
    error = StreamInterrupted("it ended", partial=Response(model="m"))
    back = through_pickle(error)
    assert isinstance(back, StreamInterrupted)
    assert back.partial == Response(model="m")


REASONS = {
    "ModelError": "model_error", "HeldBack": "held_back", "CircuitOpen": "circuit_open", "NotAdmitted": "not_admitted",
    "TransportError": "transport_other", "TransportTimeout": "timeout_idle", "StreamError": "stream_error",
    "StreamInterrupted": "stream_interrupted", "MalformedStream": "malformed_stream",
    "EventTooLarge": "event_too_large", "ApiError": "api_error", "InvalidRequestError": "invalid_request",
    "ContextLengthError": "context_length", "BadImageError": "bad_image", "AuthenticationError": "authentication",
    "PermissionDeniedError": "permission_denied", "ModelNotFoundError": "model_not_found",
    "ContentFilterError": "content_filter", "RateLimitError": "rate_limited", "QuotaExceededError": "quota_exceeded",
    "UsageLimitError": "usage_limit", "OverloadedError": "overloaded", "ServerError": "server_error",
}  # fmt: skip


def test_every_model_error_has_its_word_and_its_facts() -> None:
    """`reason` is one word per class, promised; the facts are there on every class, not only where a peer spoke."""
    found = [error for kind in KINDS if isinstance(error := made(kind), ModelError)]
    assert {type(error).__name__: error.reason for error in found} == REASONS
    assert TransportError("x", kind="dns").reason == "transport_dns"
    facts = [(e.status, e.code, e.request_id, e.body, e.attempt, e.output_emitted, e.tried) for e in found]
    assert set(facts) == {(None, None, None, "", 1, False, ())}
