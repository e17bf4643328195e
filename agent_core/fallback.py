"""Fallback models: an ordered list, and the first that answers.

    models = Fallback(["anthropic/claude-sonnet-4-6", "openai/gpt-5.6", local_client])
    async with models.stream(Prompt("Hello")) as events: ...
    agent = Agent("anthropic/claude-sonnet-4-6", fallbacks=["openai/gpt-5.6"])

Each model first spends its own retries; what fails then, and is of a class the policy names, goes to the next one. The
whole history goes with it: it is written anew by the next model's codec, and what that cannot carry is reported as
always. `FallbackTurn` is one way through the list: it stays with the model that answered, because prompt caches and
reasoning live there, and only goes on, never back. The next turn begins at the first model again, unless that failed a
moment ago: then it rests. Every step is a `FellBack`, and the last error has the ones before it in `tried`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from math import isfinite
from types import TracebackType

import msgspec

from .client import EventStream, ModelClient
from .errors import (
    AuthenticationError,
    CallerError,
    CompactionError,
    ConfigError,
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
    Tried,
    UnsupportedError,
)
from .events import Attempt, Response
from .items import JsonValue
from .prompt import Prompt
from .providers import Resolved
from .retry import FellBack, RetryPolicy, Tries

__all__ = ["Fallback", "FallbackPolicy", "FallbackTurn", "FellBack", "Rests"]

MAX_REST_S = 3600.0
"""A plan's limit may reset in days; what is bought meanwhile is worth a request an hour to notice."""

_UNFIT = (AuthenticationError, PermissionDeniedError, InvalidRequestError)
"""What says of a stand-in that it cannot stand in. Of the first model it is the caller's to know and to mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackPolicy:
    """Which failures go to the next model, once a model has spent its own retries on them.

    `on`: their classes. Not in it: a bad key or a forbidden model, which somebody has to hear of; a request that is
    wrong, which is wrong everywhere; what a content policy refused, which is not to be shopped around. Of a model
    further down the list the first two only say that it cannot stand in, and the next one is asked. The caller's own
    deadline (`total_s`) never falls through. `larger_window`: a prompt that is too long goes to a model whose window is
    known to be larger than that of the one that refused it.

    `rest_s`: how long a model that failed is left alone by turns that begin, longer where it named a time itself.
    """

    on: tuple[type[ModelError], ...] = (
        TransportError,
        StreamError,
        RateLimitError,
        QuotaExceededError,
        OverloadedError,
        ServerError,
        ModelNotFoundError,
        HeldBack,
    )
    larger_window: bool = True
    rest_s: float = 60.0

    def __post_init__(self) -> None:
        on: object = self.on
        if not isinstance(on, tuple) or not all(isinstance(kind, type) and issubclass(kind, ModelError) for kind in on):
            raise ConfigError(f"on must be a tuple of ModelError classes, got {on!r:.100}")
        rest_s: object = self.rest_s
        if not isinstance(rest_s, int | float) or not isfinite(rest_s) or rest_s < 0:
            raise ConfigError(f"rest_s must be a number of seconds, got {rest_s!r}")

    def falls(self, error: ModelError, *, stand_in: bool) -> bool:
        """Whether the next model is asked. `stand_in`: it is not the first one's failure."""
        if isinstance(error, TransportTimeout) and error.timeout == "total":
            return False
        if isinstance(error, ContextLengthError):
            return self.larger_window
        return isinstance(error, self.on) or (stand_in and isinstance(error, _UNFIT))

    def rests_s(self, error: ModelError) -> float:
        """How long the model is left alone after that failure. A prompt that is too long says nothing of the model."""
        if isinstance(error, ContextLengthError) or not self.rest_s:
            return 0.0
        return max(self.rest_s, min(error.retry_after_s or 0.0, MAX_REST_S))


class Rests:
    """Which models are left alone, by name, and until when. May be kept for longer than the clients."""

    __slots__ = ("_clock", "_until")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def rest(self, model: str, seconds: float) -> None:
        self._until[model] = max(self._until.get(model, 0.0), self._clock() + seconds)

    def resting(self, model: str) -> bool:
        return self._until.get(model, 0.0) > self._clock()


class Fallback:
    """Several models as one, for any number of calls at once.

    `models`: names or clients, the first is the one that is wanted. Clients stay the caller's; those made here of names
    take `options` (as ModelClient does, for all of them) and are closed with it. `on_fallback` is told of each step; it
    must not block. The errors of the last model that was asked are raised; `error.tried` has the others.
    """

    def __init__(
        self,
        models: Sequence[ModelClient | str],
        *,
        policy: FallbackPolicy | None = None,
        on_fallback: Callable[[FellBack], None] | None = None,
        rests: Rests | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        given: object = models
        if isinstance(given, str) or not isinstance(given, Sequence) or not models:
            raise ConfigError(f"a Fallback needs a list of models, got {models!r:.100}", remedy="pass names or clients")
        if policy is not None and not isinstance(policy, FallbackPolicy):
            raise ConfigError(f"policy must be a FallbackPolicy, got {policy!r:.100}")
        self.policy = policy or FallbackPolicy()
        self.models = tuple(self._client(entry, retry) for entry in models)
        self._own = [client for client, entry in zip(self.models, models, strict=True) if isinstance(entry, str)]
        self._on_fallback = on_fallback
        self.rests = rests or Rests()
        names = [client.model for client in self.models]
        if len(set(names)) < len(names):
            raise ConfigError(f"a model is named twice: {', '.join(names)}", remedy="name each model once")

    def __repr__(self) -> str:
        return f"Fallback({', '.join(repr(client.model) for client in self.models)})"

    @property
    def model(self) -> str:
        """The one that is wanted."""
        return self.models[0].model

    @property
    def resolved(self) -> Resolved:
        return self.models[0].resolved

    @property
    def retry(self) -> RetryPolicy:
        return self.models[0].retry

    def turn(self) -> FallbackTurn:
        """A way through the models of its own: those that rest come last."""
        return FallbackTurn(self, sorted(self.models, key=lambda client: self.rests.resting(client.model)))

    @asynccontextmanager
    async def stream(self, prompt: Prompt | str, *, tries: Tries | None = None) -> AsyncGenerator[EventStream]:
        """One answer as events, of the first model that begins one. What breaks after that is raised."""
        turn = self._begun()
        async with AsyncExitStack() as stack:
            while True:
                try:
                    events = await stack.enter_async_context(turn.stream(prompt, tries=tries))
                    break
                except ModelError as error:
                    if not self._falls(turn, error):
                        raise
                    tries = None
            events.earlier = (*turn.spent, *events.earlier)
            try:
                yield events
            finally:
                if events.error is not None:
                    events.error.tried = turn.tried

    async def complete(self, prompt: Prompt | str) -> Response:
        """One answer, whole, of the first model that gives one."""
        turn = self._begun()
        while True:
            try:
                response = await turn.complete(prompt)
                return msgspec.structs.replace(response, earlier=(*turn.spent, *response.earlier))
            except ModelError as error:
                if not self._falls(turn, error):
                    raise

    async def aclose(self) -> None:
        """Close the clients made here. Idempotent."""
        for client in self._own:
            await client.aclose()

    async def __aenter__(self) -> Fallback:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _begun(self) -> FallbackTurn:
        turn = self.turn()
        self._tell(turn.passed_over)
        return turn

    def _falls(self, turn: FallbackTurn, error: ModelError) -> bool:
        fell = turn.fall_back(error)
        self._tell(fell)
        return fell is not None

    def _tell(self, fell: FellBack | None) -> None:
        if fell is not None and self._on_fallback is not None:
            self._on_fallback(fell)

    @staticmethod
    def _client(entry: object, retry: RetryPolicy | None) -> ModelClient:
        if isinstance(entry, ModelClient):
            return entry
        if isinstance(entry, str):
            return ModelClient(entry, retry=retry)
        raise ConfigError(f"{entry!r:.100} is no model", remedy="pass names like 'openai/gpt-5.6', or ModelClients")


class FallbackTurn:
    """One way through the models of a Fallback: what a loop takes for its model. For one task at a time.

    `models` are all it may come to ask, in order, and `current` is asked now. `passed_over` is the step that was taken
    before it began: the model that is wanted rests, and another one is asked first.
    """

    __slots__ = ("_behind", "_bound", "_chain", "current", "models", "passed_over", "tried")

    def __init__(self, chain: Fallback, models: Sequence[ModelClient]) -> None:
        self._chain = chain
        self.models = tuple(models)
        self.current, *self._behind = self.models
        self._bound = False
        self.tried: tuple[Tried, ...] = ()
        self.passed_over = FellBack(chain.model, self.model, "resting") if self._stands_in else None

    @property
    def model(self) -> str:
        return self.current.model

    @property
    def _stands_in(self) -> bool:
        return self.current is not self._chain.models[0]

    @property
    def resolved(self) -> Resolved:
        return self.current.resolved

    @property
    def retry(self) -> RetryPolicy:
        return self.current.retry

    @property
    def spent(self) -> tuple[Attempt, ...]:
        """What the models before the current one had used, where their servers had counted it."""
        found: list[Attempt] = []
        for one in self.tried:
            if isinstance(one.error, ModelError):
                found += one.error.earlier
                if one.error.partial is not None and one.error.partial.usage is not None:
                    found.append(Attempt(one.model, one.error.partial))
        return tuple(found)

    @asynccontextmanager
    async def stream(self, prompt: Prompt | str, *, tries: Tries | None = None) -> AsyncGenerator[EventStream]:
        """One answer of the current model. As `ModelClient.stream`; but that a stand-in cannot carry the prompt, or has
        no key, is HeldBack."""
        async with AsyncExitStack() as stack:
            asked = self._asked(prompt)
            try:
                events = await stack.enter_async_context(self.current.stream(asked, tries=tries))
            except CallerError as error:
                if not self._stands_in:
                    raise
                raise self._unfit(error) from error
            yield events

    async def complete(self, prompt: Prompt | str) -> Response:
        """One answer of the current model, whole."""
        asked = self._asked(prompt)
        try:
            return await self.current.complete(asked)
        except CallerError as error:
            if not self._stands_in:
                raise
            raise self._unfit(error) from error

    async def compact(self, prompt: Prompt | str) -> Response:
        """The current model's own compaction of a history. Raises CompactionError where it has none."""
        try:
            return await self.current.compact(self._asked(prompt))
        except UnsupportedError as error:
            raise CompactionError(error.message, remedy=error.remedy) from error

    def fall_back(self, error: ModelError) -> FellBack | None:
        """Go on to the next model because of that failure of the current one; None where it is the caller's to hear.
        Either way the error gets to know what was `tried` before it."""
        chain, failed = self._chain, self.current
        error.tried = self.tried
        if self._bound or not chain.policy.falls(error, stand_in=self._stands_in):
            return None
        if (rests_s := chain.policy.rests_s(error)) > 0:
            chain.rests.rest(failed.model, rests_s)
        following = self._next(error)
        if following is None:
            return None
        self.tried = (*self.tried, Tried(failed.model, error))
        self._go_to(following)
        fell = FellBack(failed.model, self.model, error.reason, error)
        from .logs import fell_back  # with logging: not before there is something to say

        fell_back(fell)
        return fell

    def _next(self, error: ModelError) -> ModelClient | None:
        """The next model, for a prompt that was too long the next with a larger window."""
        if not isinstance(error, ContextLengthError):
            return next(iter(self._behind), None)
        window = _window(self.current)
        larger = (client for client in self._behind if window and (_window(client) or 0) > window)
        return next(larger, None)

    def _go_to(self, client: ModelClient) -> None:
        self._behind = self._behind[self._behind.index(client) + 1 :]
        self.current = client

    def _asked(self, prompt: Prompt | str) -> Prompt:
        """The prompt as the current model is asked it: the model's own name, and no members of another wire."""
        prompt = Prompt(prompt) if isinstance(prompt, str) else prompt
        # What went before is kept by the provider that gave the id: nobody else can go on from there.
        self._bound = prompt.previous_response_id is not None
        if self._bound:
            self.current = self._chain.models[0]
        if not self._stands_in:
            return prompt
        current, first = self.current.resolved, self._chain.models[0].resolved
        extra: Mapping[str, JsonValue] = prompt.extra if current.wire == first.wire else {}
        return replace(prompt, model=current.model, extra=extra)

    def _unfit(self, error: CallerError) -> HeldBack:
        wanted = self._chain.models[0].model
        what = f"{self.model} cannot stand in for {wanted}: {error.message}"
        return HeldBack(what, remedy=error.remedy, retryable=False)


def _window(client: ModelClient) -> int | None:
    return client.resolved.compat.context_window
