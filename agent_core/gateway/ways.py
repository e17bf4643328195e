"""One request's way: deployment by deployment, until one of them begins an answer.

Those of the model that was asked for come first, then those of the models that stand in; those that rest come last, and
who is cooling or at its limit is passed over. A way is gone before anything was shown, so each step is unseen.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from math import inf

from ..errors import (
    AgentCoreError,
    CallerError,
    ContextLengthError,
    HeldBack,
    InvalidPromptError,
    ModelError,
    OverloadedError,
    RateLimitError,
    Tried,
)
from ..retry import FellBack
from .asking import Answer, Ask
from .deployments import Deployment
from .estimate import estimated_tokens
from .routes import Route

__all__ = ["Way"]

FULL_S = 1.0
"""When to ask again where an answer has to end first, and nobody knows when it will."""


class Way:
    """`routes`: of the model that was asked for, then of those that stand in. Used once."""

    def __init__(self, ask: Ask, model: str, routes: tuple[Route, ...]) -> None:
        self._ask = ask
        self._model = model
        self._routes = routes
        every = tuple(dict.fromkeys(one for route in routes for one in route.deployments))
        self._every = every
        self._asked: set[Deployment] = set()
        self._policy = routes[0].policy
        # What went before is kept by the server that gave the id: nobody else can go on from there.
        self._bound = ask.prompt.previous_response_id is not None
        # Where nobody can stand in, leaving a server alone helps nobody: it may be well again.
        self._insist = len(every) == 1
        counts_tokens = any(one.limiter.tokens_per_minute is not None for one in every)
        self._tokens = estimated_tokens(ask.prompt) if counts_tokens else 0
        self._larger_than = 0.0
        self._failed: list[tuple[Deployment, AgentCoreError]] = []

    async def open(self) -> tuple[AsyncExitStack, Answer]:
        """An answer that has begun, and what closes it. Raises the failure that says most, or RateLimitError (429) and
        OverloadedError, not to be tried again here, where nobody could be asked."""
        while (deployment := self._next()) is not None:
            self._tell(deployment)
            stack = AsyncExitStack()
            try:
                answering = deployment.answer(self._ask, tokens=self._tokens, insist=self._insist)
                return stack, await stack.enter_async_context(answering)
            except (ModelError, CallerError) as error:
                falls = self._falls(error)
                self._failed.append((deployment, error))
                if not falls:
                    self._tried(error)
                    raise
                if isinstance(error, ContextLengthError):
                    self._larger_than = max(self._larger_than, _window(deployment) or inf)
        raise self._failure()

    def _next(self) -> Deployment | None:
        for resting in (False, True):
            for route in self._routes:
                ready = [one for one in route.deployments if one.resting is resting and self._can(one)]
                chosen = route.choose(ready, self._ask.prefer, counts=not self._failed)
                if chosen is not None:
                    self._asked.add(chosen)
                    return chosen
        return None

    def _can(self, one: Deployment) -> bool:
        if one in self._asked or (self._larger_than and (_window(one) or 0) <= self._larger_than):
            return False
        return (self._insist or not one.circuit.wait_s) and not one.limiter.wait_s(self._tokens)

    def _falls(self, error: AgentCoreError) -> bool:
        """Whether the next one is asked."""
        if self._bound:
            return False
        stand_in = bool(self._failed)
        if isinstance(error, ModelError):
            return self._policy.falls(error, stand_in=stand_in)
        return stand_in or not isinstance(error, InvalidPromptError)  # a prompt that is none is none anywhere

    def _tell(self, deployment: Deployment) -> None:
        if self._failed:
            failed, error = self._failed[-1]
            from ..logs import fell_back  # with logging: not before there is something to say

            if isinstance(error, ModelError):
                fell_back(FellBack(failed.name, deployment.name, error.reason, error))
            else:
                fell_back(FellBack(failed.name, deployment.name, "unfit"))

    def _failure(self) -> AgentCoreError:
        """Of several failures the last that may pass, so that it is tried again; else the first, which is of what was
        asked for. Those of this side's own only say that nobody could be asked."""
        errors = [error for _, error in self._failed if not isinstance(error, HeldBack)]
        if not errors:
            return self._busy()
        hopeful = [error for error in errors if isinstance(error, ModelError) and error.retryable]
        return self._tried(hopeful[-1] if hopeful else errors[0])

    def _tried(self, error: AgentCoreError) -> AgentCoreError:
        if isinstance(error, ModelError):
            error.tried = tuple(Tried(one.name, other) for one, other in self._failed if other is not error)
        return error

    def _busy(self) -> ModelError:
        limits = [one.limiter.wait_s(self._tokens) for one in self._every]
        waits = [max(one.circuit.wait_s, limited_s) for one, limited_s in zip(self._every, limits, strict=True)]
        soonest = min(waits)
        after_s = FULL_S if soonest in (0.0, inf) else soonest
        shown = f"{self._model!r:.200}"
        if any(limited_s and not one.circuit.wait_s for one, limited_s in zip(self._every, limits, strict=True)):
            message = f"everything that answers for {shown} is at its limit"
            return RateLimitError(message, status=429, retryable=False, retry_after_s=after_s)
        message = f"everything that answers for {shown} has failed too often and is left alone"
        return OverloadedError(message, retryable=False, retry_after_s=after_s)


def _window(deployment: Deployment) -> int | None:
    return deployment.client.resolved.compat.context_window
