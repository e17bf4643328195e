"""Errors in the words of the wire that was asked, and the headers of answers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from starlette.datastructures import Headers

from ..codecs import CODECS
from ..codecs.base import Loss
from ..errors import (
    AgentCoreError,
    AuthenticationError,
    CallerError,
    InvalidRequestError,
    MissingKeyError,
    ModelError,
    ServerError,
)
from ..items import WireName

__all__ = ["LOSSES_HEADER", "Shaped", "answer_headers", "lost", "request_id_of", "shaped_error", "told"]

LOSSES_HEADER = "x-agent-core-losses"

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
    """Status, headers and body of an error; where no wire was asked, in OpenAI's words."""
    status, headers, body = CODECS[wire].encode_error(error)
    named = {name.lower(): value for name, value in headers.items()}
    return status, {**named, **answer_headers(wire, request_id)}, body


def answer_headers(wire: WireName, request_id: str) -> dict[str, str]:
    ids = {"x-request-id": request_id}
    return {**ids, "request-id": request_id} if wire == "messages" else ids


def lost(losses: Sequence[Loss]) -> Mapping[str, str]:
    """What of the request was not carried to the backend, by name."""
    features = dict.fromkeys(_FEATURE.sub("-", loss.feature) for loss in losses)
    return {LOSSES_HEADER: ", ".join(list(features)[:_MAX_FEATURES])} if features else {}
