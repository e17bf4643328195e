"""What becomes of a sample that failed: it is taken again, another model takes it, or the caller hears of it.

A stream that breaks is sampled again by the policy, with the counts and the budget its requests had (retry.Tries). When
that is over, or where it was never worth a try, a fallback model may go on; for it everything is counted anew.
"""

from __future__ import annotations

from collections.abc import Callable

from .errors import ModelError
from .permission import Emit
from .retry import FellBack, RetryPolicy, RetryScheduled, Tries

__all__ = ["FallBack", "Resampling", "no_fallback"]

FallBack = Callable[[ModelError], FellBack | None]
"""Goes on to the next model, so that the next stream is its; None where the error is the caller's."""


def no_fallback(error: ModelError) -> None:
    """For a model that has none behind it."""


class Resampling:
    """For one sample. `tries` goes with each of its streams; `watch` hears of the requests, and must not wait."""

    __slots__ = ("_emit", "_fall_back", "_retry", "_watch", "tries")

    def __init__(
        self, retry: RetryPolicy, emit: Emit, watch: Callable[[RetryScheduled], None] | None, fall_back: FallBack
    ) -> None:
        self._retry = retry
        self._emit = emit
        self._watch = watch
        self._fall_back = fall_back
        self.tries = Tries(watch)

    async def after(self, error: ModelError) -> float | None:
        """How long to wait before the sample is taken again, told to the watcher; None where it is not."""
        scheduled = self.tries.broke(error, self._retry, model=error.model)
        if scheduled is not None:
            await self._emit(scheduled)
            if scheduled.will_retry:
                return scheduled.delay_s
        fell = self._fall_back(error)
        if fell is None:
            return None
        await self._emit(fell)
        self.tries = Tries(self._watch)
        return 0.0
