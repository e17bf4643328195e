"""Errors in the words of the wire that was asked, and the headers of answers."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence

from starlette.datastructures import Headers

from ..codecs import CODECS
from ..codecs.base import Loss
from ..codecs.rate_limits import encode_rate_limits, rate_limits
from ..errors import (
    AgentCoreError,
    ApiError,
    AuthenticationError,
    CallerError,
    InvalidRequestError,
    MissingKeyError,
    ModelError,
    NotAdmitted,
    OverloadedError,
    RateLimitError,
    ServerError,
)
from ..events import RateLimits
from ..items import WireName

__all__ = [
    "LOSSES_HEADER",
    "RETRY_HEADER",
    "Shaped",
    "answer_headers",
    "limits_said",
    "lost",
    "request_id_of",
    "shaped_error",
    "told",
]

LOSSES_HEADER = "x-agent-core-losses"

RETRY_HEADER = "x-should-retry"
"""Heeded by OpenAI's and Anthropic's clients, above what a status means to them."""

_NO_ROOM = "too many requests are being answered at the moment; try again in a while"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_FEATURE = re.compile(r"[^A-Za-z0-9_.\-]+")
_MAX_FEATURES = 20

Shaped = tuple[int, dict[str, str], bytes]
"""Status, headers with lower-case names, body."""


def request_id_of(headers: Headers) -> str:
    """The client's own id for its request where it can be sent back, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else f"req_{os.urandom(12).hex()}"


def told(error: AgentCoreError) -> ModelError:
    """A backend's error as the client of a gateway may be told it. What is wrong with the gateway's own keys is not
    said in the words that would mean the client's."""
    match error:
        case MissingKeyError():
            return ServerError("the gateway has no key for its backend", status=502, code="backend_credentials")
        case AuthenticationError():
            return ServerError("the backend refused the gateway's key", status=502, code="backend_credentials")
        case ModelError():
            return error
        case CallerError():
            return InvalidRequestError(error.message, status=400)
        case _:
            return ServerError("the gateway failed", status=500)


def shaped_error(error: ModelError, wire: WireName, request_id: str) -> Shaped:
    """Status, headers and body of an error; where no wire was asked, in OpenAI's words. What a peer's error says of
    limits is said in the words of the wire."""
    if isinstance(error, NotAdmitted):
        error = _no_room(error, wire)
    status, headers, body = CODECS[wire].encode_error(error)
    named = {name.lower(): value for name, value in headers.items()}
    said: Mapping[str, str] = error.headers if isinstance(error, ApiError) else {}
    if said.get(RETRY_HEADER) in ("true", "false"):
        named[RETRY_HEADER] = said[RETRY_HEADER]
    return status, {**named, **limits_said(rate_limits(said), wire), **answer_headers(wire, request_id)}, body


def limits_said(limits: RateLimits | None, wire: WireName) -> dict[str, str]:
    """Headers that tell the client of a wire what is left of its limits."""
    return {} if limits is None else encode_rate_limits(limits, wire, now=time.time())


def _no_room(error: NotAdmitted, wire: WireName) -> ApiError:
    """Too many requests at once. Clients of Messages know 529 as what it is, and 429 as their own fault."""
    wait_s = error.retry_after_s
    if wire == "messages":
        return OverloadedError(_NO_ROOM, status=529, error_type="overloaded_error", retry_after_s=wait_s)
    return RateLimitError(
        _NO_ROOM, status=429, error_type="rate_limit_error", code="backpressure", retry_after_s=wait_s
    )


def answer_headers(wire: WireName, request_id: str) -> dict[str, str]:
    ids = {"x-request-id": request_id}
    return {**ids, "request-id": request_id} if wire == "messages" else ids


def lost(losses: Sequence[Loss]) -> Mapping[str, str]:
    """What of the request was not carried to the backend, by name."""
    features = dict.fromkeys(_FEATURE.sub("-", loss.feature) for loss in losses)
    return {LOSSES_HEADER: ", ".join(list(features)[:_MAX_FEATURES])} if features else {}
