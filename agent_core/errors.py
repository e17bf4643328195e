"""Every error agent_core raises: by whose fault it is, and what to do about it.

    AgentCoreError
    ├── CallerError                 the caller's fault: fix the code or the configuration; nothing was sent
    │   ├── ConfigError             unknown provider, unusable base URL, bad option
    │   │   ├── MissingKeyError     no API key for a provider that needs one
    │   │   └── SandboxUnavailable  nothing on this machine can hold the sandbox that was asked for
    │   ├── InvalidPromptError      the prompt is not a prompt (bad item, schema, duplicate tool, broken image)
    │   └── UnsupportedError        the wire cannot carry something the prompt insists on (a hard loss)
    ├── ModelError                  the call to the model failed
    │   ├── HeldBack                nothing was sent: something on this side, set by the caller, said not now
    │   │   ├── CircuitOpen         the server has failed too often in a row; it is asked again later
    │   │   └── NotAdmitted         the limiter's queue was too long for the time it may take
    │   ├── TransportError          the network's fault: connect, TLS, reset; usually worth another try
    │   │   └── TransportTimeout    one of the four timers ran out: connect, first_event, idle, total
    │   ├── StreamError             the peer broke the protocol of its wire after HTTP 200
    │   │   ├── StreamInterrupted   the stream ended before its terminal marker
    │   │   ├── MalformedStream     the body is not a stream of this wire (HTML, binary, broken JSON)
    │   │   └── EventTooLarge       one event is larger than the reader's cap
    │   └── ApiError                the peer said no, by HTTP status or by an error object inside a stream
    │       ├── InvalidRequestError     400, 413, 422: the request is wrong; sending it again will not help
    │       │   ├── ContextLengthError  the prompt does not fit the model's window
    │       │   └── BadImageError       an image or file in the prompt was refused
    │       ├── AuthenticationError     401, or a bad key reported as 400
    │       ├── PermissionDeniedError   403, model or region not allowed
    │       ├── ModelNotFoundError      404, or an unknown model reported as 400
    │       ├── ContentFilterError      policy refused the prompt or the answer
    │       ├── RateLimitError          429: wait and try again
    │       ├── QuotaExceededError      out of credit: waiting will not help
    │       │   └── UsageLimitError     a plan's limit, with the time it resets where the peer says so
    │       ├── OverloadedError         529, 503 and the codes that mean it: wait and try again
    │       └── ServerError             other 5xx
    ├── ToolError                   a tool's fault; becomes an output for the model unless it is fatal
    │   └── FatalToolError          ends the turn
    ├── SessionError                the session file is unusable, locked or of an unknown version
    ├── CompactionError             no summary came of it; the session is as it was
    ├── RunPaused                   a run waits for an answer to a call, where only its text was asked for
    ├── LimitReached                a limit the caller set on a run (turns, calls, tokens, time) was met
    └── PatchError                  a patch that does not parse or does not apply; nothing was written

Cancellation is not an error and is never wrapped in one. A lone error never leaves as an ExceptionGroup.
Messages never hold keys or conversation text; `body` is what the peer sent, bounded and without what looks like a key,
and is not part of str(). Every ModelError has the same facts, whatever the wire; `reason` is its class in one word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

if TYPE_CHECKING:
    from .events import Attempt, Response

__all__ = [
    "AgentCoreError",
    "ApiError",
    "AuthenticationError",
    "BadImageError",
    "CallerError",
    "CircuitOpen",
    "CompactionError",
    "ConfigError",
    "ContentFilterError",
    "ContextLengthError",
    "EventTooLarge",
    "FatalToolError",
    "HeldBack",
    "InvalidPromptError",
    "InvalidRequestError",
    "LimitReached",
    "MalformedStream",
    "MissingKeyError",
    "ModelError",
    "ModelNotFoundError",
    "NotAdmitted",
    "OverloadedError",
    "PatchError",
    "PermissionDeniedError",
    "QuotaExceededError",
    "RateLimitError",
    "RunPaused",
    "SandboxUnavailable",
    "ServerError",
    "SessionError",
    "StreamError",
    "StreamInterrupted",
    "TimeoutKind",
    "ToolError",
    "TransportError",
    "TransportTimeout",
    "Tried",
    "UnsupportedError",
    "UsageLimitError",
    "MAX_BODY_CHARS",
]

TimeoutKind = Literal["connect", "first_event", "idle", "total"]

MAX_BODY_CHARS = 8192
"""How much of a peer's error body an error keeps: enough for every recorded one, small enough to log."""


class AgentCoreError(Exception):
    """The root. `str(error)` is one line: what happened, where, the value; `remedy` is the next step."""

    default_remedy: ClassVar[str] = "see the error's message"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy or self.default_remedy

    def __reduce__(self) -> tuple[object, ...]:
        """For pickle and copy: errors cross processes, and Exception's own way knows no keyword arguments."""
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[AgentCoreError], args: tuple[object, ...], members: dict[str, object]) -> AgentCoreError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(members)
    return error


class CallerError(AgentCoreError):
    """The caller's fault. Raised before anything is sent."""

    default_remedy = "fix the arguments and call again"


class ConfigError(CallerError):
    """A provider, model name, URL or option that cannot be used."""


class MissingKeyError(ConfigError):
    """No API key where the provider needs one."""

    default_remedy = "set the provider's environment variable or pass api_key="


class SandboxUnavailable(ConfigError):
    """Nothing on this machine can hold the sandbox that was asked for; no command was run without it."""


class InvalidPromptError(CallerError):
    """The prompt cannot be turned into any request; the message names the item, tool or field."""


class UnsupportedError(CallerError):
    """The wire has no way to carry something the prompt insists on."""

    default_remedy = "choose another wire or provider, or leave the feature out"


class Tried(NamedTuple):
    """One model that was tried before the one whose error this is, and what came of it."""

    model: str
    error: AgentCoreError


class ModelError(AgentCoreError):
    """A failed call to a model, with the facts a policy needs.

    `retryable`: the same request may succeed later. `retry_after_s`: what the peer asked for, in seconds, uncapped.
    `partial`: what had been decoded when the stream broke (items marked incomplete), or None. `status`, `code`,
    `request_id`, `body`: what the peer said, where it said anything. `reason`: the class in one word, for machines.

    Set by the client: `model`, whose failure it was; `attempt`, 1 for the first try; `earlier`, the tries before it
    that the server had counted; `output_emitted`, the consumer already saw an event of it. Set by the loop:
    `side_effects_started`, a tool with side effects ran earlier in this turn; its output is in the session, so go on
    with the session instead of running the turn anew. Set by a Fallback: `tried`, the models before, in order.
    """

    default_retryable: ClassVar[bool] = False
    default_reason: ClassVar[str] = "model_error"

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        retryable: bool | None = None,
        retry_after_s: float | None = None,
        partial: Response | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after_s = retry_after_s
        self.partial = partial
        self.status: int | None = None
        self.code: str | None = None
        self.request_id: str | None = None
        self.body = ""
        self.attempt = 1
        self.earlier: tuple[Attempt, ...] = ()
        self.model = ""
        self.output_emitted = False
        self.side_effects_started = False
        self.tried: tuple[Tried, ...] = ()

    @property
    def reason(self) -> str:
        """rate_limited, overloaded, timeout_idle, transport_reset, context_length …: stable, one per class or kind."""
        return self.default_reason


class HeldBack(ModelError):
    """Nothing was sent. `retry_after_s` is when it may be worth another try, where that is known."""

    default_retryable = True
    default_reason = "held_back"
    default_remedy = "wait and try again"


class CircuitOpen(HeldBack):
    """The server has failed too often in a row, so it is left alone until `retry_after_s` seconds from now."""

    default_reason = "circuit_open"
    default_remedy = "wait for retry_after_s and try again, or use another model"


class NotAdmitted(HeldBack):
    """A limiter of the caller's did not let the request through in the time it may wait."""

    default_reason = "not_admitted"
    default_remedy = "send less at a time, raise the limits, or raise max_wait_s"


class TransportError(ModelError):
    """The network failed. `kind` is one of dns, refused, tls, reset, truncated, proxy, protocol, timeout, other."""

    default_retryable = True
    default_remedy = "check the base URL and the network, then try again"

    def __init__(
        self,
        message: str,
        *,
        kind: str = "other",
        remedy: str = "",
        retryable: bool | None = None,
        partial: Response | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, retryable=retryable, partial=partial)
        self.kind = kind

    @property
    def reason(self) -> str:
        return f"transport_{self.kind}"


class TransportTimeout(TransportError):
    """One of the four timers ran out; `timeout` says which, `after_s` its length in seconds."""

    default_remedy = "raise the timer that ran out, or choose a faster model"

    def __init__(self, message: str, *, timeout: TimeoutKind, after_s: float, remedy: str = "") -> None:
        super().__init__(message, kind="timeout", remedy=remedy, retryable=timeout != "total")
        self.timeout: TimeoutKind = timeout
        self.after_s = after_s

    @property
    def reason(self) -> str:
        return f"timeout_{self.timeout}"


class StreamError(ModelError):
    """HTTP said 200 and then the stream broke the rules of its wire."""

    default_reason = "stream_error"
    default_retryable = True
    default_remedy = "sample again; if it keeps happening, the server or a proxy before it is broken"


class StreamInterrupted(StreamError):
    """The stream ended before its terminal marker; `partial` holds what had come."""

    default_reason = "stream_interrupted"


class MalformedStream(StreamError):
    """The body is not a stream of this wire."""

    default_reason = "malformed_stream"
    default_retryable = False
    default_remedy = "check the base URL and the wire: the server answered something else"


class EventTooLarge(StreamError):
    """One event exceeds the reader's cap."""

    default_reason = "event_too_large"
    default_retryable = False
    default_remedy = "ask for less at once; a server that sends this unasked is not to be trusted"


class ApiError(ModelError):
    """The peer refused: by HTTP status, or by an error object inside a 200 stream (`status` is then what the
    object says, or None). `code` and `error_type` are the peer's own words; `body` is its raw text, bounded.
    """

    default_reason = "api_error"
    default_remedy = "see the provider's message"

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        status: int | None = None,
        code: str | None = None,
        error_type: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retryable: bool | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        body: str = "",
        in_stream: bool = False,
        partial: Response | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, retryable=retryable, retry_after_s=retry_after_s, partial=partial)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.error_type = error_type
        self.param = param
        self.headers: Mapping[str, str] = headers or {}
        self.body = body[:MAX_BODY_CHARS]
        self.in_stream = in_stream


class InvalidRequestError(ApiError):
    """The request is wrong; the same request will fail again."""

    default_reason = "invalid_request"
    default_remedy = "change the request: the provider's message says what it refuses"


class ContextLengthError(InvalidRequestError):
    """The prompt does not fit the model's context window."""

    default_reason = "context_length"
    default_remedy = "compact or trim the session, or choose a model with a larger window"


class BadImageError(InvalidRequestError):
    """An image or file in the prompt was refused."""

    default_reason = "bad_image"
    default_remedy = "remove or convert the image, or choose a model that takes it"


class AuthenticationError(ApiError):
    """The key is missing, wrong or expired."""

    default_reason = "authentication"
    default_remedy = "check the API key of this provider"


class PermissionDeniedError(ApiError):
    """The key is valid but not allowed to do this."""

    default_reason = "permission_denied"
    default_remedy = "check the account's access to this model and region"


class ModelNotFoundError(ApiError):
    """The provider does not know the model (or the path)."""

    default_reason = "model_not_found"
    default_remedy = "check the model name and the base URL"


class ContentFilterError(ApiError):
    """Policy refused the prompt or the answer."""

    default_reason = "content_filter"
    default_remedy = "change the prompt; the provider's policy refused it"


class RateLimitError(ApiError):
    """Too many requests or tokens for now."""

    default_reason = "rate_limited"
    default_retryable = True
    default_remedy = "wait for retry_after_s and try again, or send less"


class QuotaExceededError(ApiError):
    """Out of credit or quota; waiting a little does not help."""

    default_reason = "quota_exceeded"
    default_remedy = "add credit or raise the quota with the provider"


class UsageLimitError(QuotaExceededError):
    """A plan's usage limit; `resets_at` is a unix time in seconds where the peer says so."""

    default_reason = "usage_limit"
    default_remedy = "wait until the plan's limit resets, or use another provider"
    resets_at: float | None = None


class OverloadedError(ApiError):
    """The provider has no capacity at the moment."""

    default_reason = "overloaded"
    default_retryable = True
    default_remedy = "wait and try again, or fall back to another model"


class ServerError(ApiError):
    """The provider failed."""

    default_reason = "server_error"
    default_retryable = True
    default_remedy = "try again; if it persists, report the request id to the provider"


class ToolError(AgentCoreError):
    """Raised by a tool to tell the model what went wrong; it becomes the call's output."""

    default_remedy = "the model sees this message and may try again"


class FatalToolError(ToolError):
    """Raised by a tool to end the turn; the call is still answered in the session."""

    default_remedy = "fix the tool or its environment"


class SessionError(AgentCoreError):
    """A session that cannot be opened, read or written."""

    default_remedy = "check the session file's path and permissions"


class CompactionError(AgentCoreError):
    """A history could not be compacted: there was nothing to compact, or no summary came of it. Nothing has changed."""

    default_remedy = "try again, give instructions for the summary, or fork the session from an earlier turn"


class RunPaused(AgentCoreError):
    """A run that only had its text to give waits for the caller: a call was handed back, or an approval put off."""

    default_remedy = "look at agent.pending, and answer with agent.resume(…); agent.run(…) returns paused runs"


class LimitReached(AgentCoreError):
    """A run met a limit its caller set; `limit` names it."""

    default_remedy = "raise the limit or continue the session"

    def __init__(self, message: str, *, limit: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.limit = limit


class PatchError(ToolError):
    """A patch that does not parse or does not apply. Nothing was written."""

    default_remedy = "read the file again and send a patch that matches its text"
