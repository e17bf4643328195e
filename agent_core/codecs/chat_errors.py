"""Errors as a server of the Chat wire says them: `{"error": {message, type, param, code}}`, and their status.

What the peer behind said (type, code, param, status) is kept; what it left out is filled in from the error's class
(W-S0-01). Errors of the network say in general terms what happened: their detail is for logs (behaviours.md S0-5).
"""

from __future__ import annotations

import math

from ..errors import (
    ApiError,
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    HeldBack,
    InvalidRequestError,
    ModelError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamError,
    TransportError,
    TransportTimeout,
)
from ..items import JsonObject
from .base import json_bytes

__all__ = ["encode_chat_error", "error_object"]

_CLASSES: tuple[tuple[type[ModelError], int, str, str | None], ...] = (
    (ContextLengthError, 400, "invalid_request_error", "context_length_exceeded"),
    (InvalidRequestError, 400, "invalid_request_error", None),
    (AuthenticationError, 401, "authentication_error", "invalid_api_key"),
    (PermissionDeniedError, 403, "permission_error", None),
    (ModelNotFoundError, 404, "not_found_error", "model_not_found"),
    (ContentFilterError, 400, "invalid_request_error", "content_filter"),
    (RateLimitError, 429, "rate_limit_error", "rate_limit_exceeded"),
    (QuotaExceededError, 429, "insufficient_quota", "insufficient_quota"),
    (OverloadedError, 503, "overloaded_error", "overloaded"),
    (ServerError, 500, "server_error", None),
    (ApiError, 502, "server_error", None),
    (HeldBack, 503, "overloaded_error", "overloaded"),
    (TransportTimeout, 504, "server_error", "timeout"),
    (TransportError, 502, "server_error", "connection_error"),
    (StreamError, 502, "server_error", "stream_error"),
)
"""Subclasses before their classes: status, type and code where the error does not say."""

_GENERAL = (
    (HeldBack, "too much is asked of the model at the moment"),
    (TransportTimeout, "the model did not answer in time"),
    (TransportError, "the model's server could not be reached"),
    (StreamError, "the model's answer broke off"),
)


def encode_chat_error(error: ModelError) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an error answer."""
    status, _, _ = _defaults(error)
    headers = {"content-type": "application/json"}
    if isinstance(error, ApiError):
        if error.status is not None and 400 <= error.status < 600:
            status = error.status
        if error.request_id:
            headers["x-request-id"] = error.request_id
    if error.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
    return status, headers, json_bytes({"error": error_object(error)})


def error_object(error: ModelError) -> JsonObject:
    """The object under `error`, in an HTTP body and in a stream."""
    _, kind, code = _defaults(error)
    message = next((said for cls, said in _GENERAL if isinstance(error, cls)), error.message)
    if not isinstance(error, ApiError):
        return {"message": message, "type": kind, "param": None, "code": code}
    return {
        "message": message,
        "type": error.error_type or kind,
        "param": error.param,
        "code": error.code or code,
    }


def _defaults(error: ModelError) -> tuple[int, str, str | None]:
    for cls, status, kind, code in _CLASSES:
        if isinstance(error, cls):
            return status, kind, code
    return 500, "server_error", None
