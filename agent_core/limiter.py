"""A limiter on this side: so many requests and tokens a minute, so many at once, everybody else in line.

    limiter = RateLimiter(requests_per_minute=500, tokens_per_minute=200_000, max_in_flight=32)
    a, b = ModelClient("openai/gpt-5.6", limiter=limiter), ModelClient("openai/gpt-5.6-mini", limiter=limiter)

First come, first served: only the first in line looks at the limits, so a large request is not overtaken by small ones
for ever, and nobody else is woken for nothing. The first sleeps until the window lets it go or somebody gives a place
back; there is no polling. Joining, leaving (also by being cancelled), going and giving back cost the same with one in
line as with thousands.

The minute is any 60 seconds, not one of the clock: a log of what went in the last minute, so servers that count in
fixed windows and servers that refill a bucket are both satisfied. Tokens are estimated before a request and corrected
when the answer says what it took; the estimate learns from that. What a server says of its own limits (headers, a 429)
holds up everybody who shares the limiter.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from math import ceil, inf

import anyio

from .errors import ConfigError, ModelError, NotAdmitted, RateLimitError
from .events import RateLimits, Usage
from .items import CustomToolCallOutput, FunctionCallOutput, InputFile, InputImage, Message, ResponseItem
from .prompt import Prompt

__all__ = ["Place", "RateLimiter", "request_tokens"]

BYTES_PER_TOKEN = 4
PICTURE_TOKENS = 1844
"""What Codex counts for an image, whatever its data (codex.md 2.4)."""

WINDOW_S = 60.0
MAX_HOLD_S = 60.0
"""How long a server's "none remaining" is believed without a refusal: one that is wrong may slow us, not stop us."""
_LEARNS = 0.2  # how much of a new measurement goes into the estimate: five answers are most of it
_SCALES = (0.05, 20.0)  # what an estimate may be wrong by before the numbers are taken for nonsense


class Place:
    """The place of one request, from the line to its end. `waited_s` is how long it stood in line."""

    __slots__ = ("called", "counted", "estimate", "sent_at", "tokens", "waited_s")

    def __init__(self, estimate: int, tokens: int) -> None:
        self.estimate = estimate
        self.tokens = tokens
        self.sent_at = -inf
        self.waited_s = 0.0
        self.counted = False
        self.called: anyio.Event | None = None


class _Window:
    """What a server said is left until it resets. `counts` is requests or tokens, `kind` the server's own name."""

    __slots__ = ("counts", "kind", "remaining", "resets_at")

    def __init__(self, counts: str, kind: str, remaining: float, resets_at: float) -> None:
        self.counts = counts
        self.kind = kind
        self.remaining = remaining
        self.resets_at = resets_at


class RateLimiter:
    """Share one between all clients that use one account. It belongs to one event loop.

    `requests_per_minute`, `tokens_per_minute`, `max_in_flight`: None is no limit. An answer is in flight until its
    stream is left. `max_wait_s`: how long a request may stand in line before it is NotAdmitted; None waits for ever.
    `adapt`: also hold everybody up while the server says that nothing is left, or after a 429 for as long as it asks.
    `count_cache_reads`: whether tokens read from a prompt cache count: Anthropic and Groq do not count them, OpenAI
    does.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        max_in_flight: int | None = None,
        max_wait_s: float | None = 300.0,
        adapt: bool = True,
        count_cache_reads: bool = True,
    ) -> None:
        self.requests_per_minute = _count("requests_per_minute", requests_per_minute)
        self.tokens_per_minute = _count("tokens_per_minute", tokens_per_minute)
        self.max_in_flight = _count("max_in_flight", max_in_flight)
        if max_wait_s is not None and (not isinstance(max_wait_s, int | float) or not 0 <= max_wait_s < inf):
            raise ConfigError(f"max_wait_s must be a number of seconds or None, got {max_wait_s!r}")
        self.max_wait_s = max_wait_s
        self.adapt = adapt
        self.count_cache_reads = count_cache_reads
        self._line: OrderedDict[Place, None] = OrderedDict()  # first come first; leaving the middle costs no more
        self._in_flight = 0
        self._minute: deque[Place] = deque()
        self._minute_tokens = 0
        self._scale = 1.0
        self._held_until = -inf
        self._server: dict[str, _Window] = {}

    def __repr__(self) -> str:
        limits = (self.requests_per_minute, self.tokens_per_minute, self.max_in_flight)
        names = ("requests_per_minute", "tokens_per_minute", "max_in_flight")
        shown = ", ".join(f"{name}={value}" for name, value in zip(names, limits, strict=True) if value is not None)
        return f"RateLimiter({shown})"

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def waiting(self) -> int:
        return len(self._line)

    def wait_s(self, tokens: int = 0) -> float:
        """How long a request of about that many tokens would have to wait now at least, were it the first in line: 0
        to go at once, infinity for a place that somebody has to give back."""
        return self._delay(ceil(tokens * self._scale), anyio.current_time())[0]

    @asynccontextmanager
    async def admit(self, tokens: int = 0) -> AsyncGenerator[Place]:
        """A place for one request of about that many tokens, once its turn has come; given back when the block is left.

        Raises NotAdmitted after `max_wait_s` in line. Cancelled there, it leaves the line as if it had never come.
        """
        place = Place(tokens, ceil(tokens * self._scale))
        began = anyio.current_time()
        delay, why = self._delay(place.tokens, began)
        if self._line:
            await self._stand_in_line(place, began, inf, "others are before it")
        elif delay > 0:
            await self._stand_in_line(place, began, delay, why)
        self._go(place)
        place.waited_s = place.sent_at - began
        try:
            yield place
        finally:
            self._in_flight -= 1
            self._call_first()

    def used(self, place: Place, usage: Usage | None) -> None:
        """What the request took; None, where it was refused or never arrived. The next estimate learns from it."""
        tokens = 0
        if usage is not None:
            tokens = usage.total if self.count_cache_reads else usage.total - usage.cache_read
            if place.estimate > 0 and tokens > 0:
                low, high = _SCALES
                self._scale += _LEARNS * (min(max(tokens / place.estimate, low), high) - self._scale)
        less, place.tokens = place.tokens - tokens, tokens
        if place.counted:
            self._minute_tokens -= less
        if less > 0:
            self._call_first()

    def heard(self, limits: RateLimits) -> None:
        """What a server says is left of its limits: nobody goes on while that is not enough."""
        now = anyio.current_time()
        for window in limits.windows if self.adapt else ():
            counts = "tokens" if "token" in window.kind else "requests" if "request" in window.kind else ""
            if counts and window.remaining is not None and window.reset_after_s is not None:
                resets_at = now + min(window.reset_after_s, MAX_HOLD_S)
                self._server[window.kind] = _Window(counts, window.kind, window.remaining, resets_at)

    def refused(self, error: ModelError) -> None:
        """A request failed: where the server asked for a wait because of its limits, everybody waits."""
        if self.adapt and isinstance(error, RateLimitError) and error.retry_after_s is not None:
            self._held_until = max(self._held_until, anyio.current_time() + error.retry_after_s)

    async def _stand_in_line(self, place: Place, began: float, delay: float, why: str) -> None:
        """Returns when the place is the first and may go. `delay` and `why` are what is in its way now."""
        self._line[place] = None
        ends = inf if self.max_wait_s is None else began + self.max_wait_s
        try:
            while (now := anyio.current_time()) < ends:
                if next(iter(self._line)) is place:
                    delay, why = self._delay(place.tokens, now)
                    if delay <= 0:
                        return
                place.called = anyio.Event()
                with anyio.CancelScope(deadline=min(ends, now + delay)):
                    await place.called.wait()
        finally:
            del self._line[place]
            self._call_first()
        raise self._not_admitted(why, delay)

    def _call_first(self) -> None:
        """The first in line looks again: it is the first now, or there may be room."""
        first = next(iter(self._line), None)
        if first is not None and first.called is not None:
            first.called.set()

    def _delay(self, tokens: int, now: float) -> tuple[float, str]:
        """How long a request has to wait at least, and for what: 0 to go, infinity for a place to be given back."""
        self._forget(now)
        minute = self._minute
        if self.max_in_flight is not None and self._in_flight >= self.max_in_flight:
            return inf, f"{self._in_flight} are in flight"
        if now < self._held_until:
            return self._held_until - now, "the server asked to wait"
        if self.requests_per_minute is not None and len(minute) >= self.requests_per_minute:
            return minute[0].sent_at + WINDOW_S - now, f"{len(minute)} went in the last minute"
        # What is larger than a whole minute's allowance goes when nothing else did: it will never fit better.
        most = self.tokens_per_minute
        if most is not None and minute and self._minute_tokens + tokens > most:
            return minute[0].sent_at + WINDOW_S - now, f"{self._minute_tokens} tokens went in the last minute"
        for window in self._server.values():
            if window.remaining < (1 if window.counts == "requests" else tokens):
                return window.resets_at - now, f"the server has {window.remaining:g} {window.kind} left"
        return 0.0, ""

    def _forget(self, now: float) -> None:
        """What is older than its window no longer counts."""
        while self._minute and self._minute[0].sent_at + WINDOW_S <= now:
            place = self._minute.popleft()
            place.counted = False
            self._minute_tokens -= place.tokens
        for kind in [kind for kind, window in self._server.items() if window.resets_at <= now]:
            del self._server[kind]

    def _go(self, place: Place) -> None:
        place.sent_at = anyio.current_time()
        self._in_flight += 1
        for window in self._server.values():
            window.remaining -= 1 if window.counts == "requests" else place.tokens
        if self.requests_per_minute is not None or self.tokens_per_minute is not None:
            self._minute.append(place)
            self._minute_tokens += place.tokens
            place.counted = True

    def _not_admitted(self, why: str, delay: float) -> NotAdmitted:
        others = f"{len(self._line)} more wait" if self._line else "nobody else waits"
        return NotAdmitted(
            f"not admitted within {self.max_wait_s:g} s: {why}, and {others}",
            retry_after_s=delay if delay < inf else None,
        )


def _count(name: str, value: int | None) -> int | None:
    given: object = value
    if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 1):
        raise ConfigError(f"{name} must be a whole number from 1 up, or None, got {given!r}")
    return value


def request_tokens(prompt: Prompt, body: bytes) -> int:
    """About how many tokens a request's input takes: 4 bytes each, and a picture what it costs, not what it weighs."""
    data = [url for item in prompt.items for url in _inline(item)]
    text = max(len(body) - sum(map(len, data)), 0)
    return text // BYTES_PER_TOKEN + len(data) * PICTURE_TOKENS


def _inline(item: ResponseItem) -> Iterator[str]:
    """The `data:` URLs of an item's images and files."""
    match item:
        case Message(content=parts) | FunctionCallOutput(output=parts) | CustomToolCallOutput(output=parts):
            for part in parts if isinstance(parts, tuple) else ():
                match part:
                    case InputImage(image_url=url) | InputFile(file_data=url) if url and url.startswith("data:"):
                        yield url
                    case _:
                        pass
        case _:
            pass
