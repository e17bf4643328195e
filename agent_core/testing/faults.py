"""Faults as data: what goes wrong, where in an answer, and how long or how much of it.

    Fault("reset", "text")                       the connection is reset while the answer's text streams
    Fault("stall", "before_headers")             a server that never sends headers
    Fault("status", status=429, headers={"retry-after": "2"})

A `FaultServer` makes them on real sockets, a `ChaosTransport` in front of any transport; both take them as a plan: the
fault of the n-th request, or None. Where in an answer a phase is depends on its wire; the wire's own decoder finds it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import partial
from typing import Literal, NamedTuple, TypeAlias, get_args

from ..errors import ConfigError

__all__ = [
    "EVERYDAY_FAULTS",
    "Fault",
    "FaultKind",
    "Faults",
    "PHASES",
    "Phase",
    "Struck",
    "phases_of",
    "plan_of",
    "random_faults",
]

MAX_SIZE_BYTES = 1024 * 1024 * 1024

FaultKind = Literal[
    "eof",
    "truncate",
    "reset",
    "refused",
    "stall",
    "keep_alive",
    "drip",
    "split",
    "status",
    "error",
    "error_body",
    "html",
    "not_utf8",
    "torn",
    "long_event",
    "gzip_bomb",
    "duplicate",
    "reorder",
]
"""What goes wrong. Before the headers are out, some mean the nearest thing there is (in brackets).

`eof`         the body ends as a whole one does, too early [the connection is closed without an answer]
`truncate`    the connection is closed in the middle of the body [of the headers]
`reset`       it is reset
`refused`     nobody listens, for `lasts_s` (1 s)
`stall`       nothing comes, for `lasts_s`; then the answer goes on
`keep_alive`  nothing but a comment every `every_s`, for `lasts_s`; then the answer goes on [103 Early Hints]
`drip`        the rest comes one byte every `every_s`
`split`       the rest comes in writes of one byte, as fast as they go
`status`      an HTTP error: `status`, `headers`, `message`
`error`       the wire's own error inside a 200: of the class `status` has, with `message`
`error_body`  a 200 whose body is the JSON of an error
`html`        a web page in place of the rest
`not_utf8`    an event whose text is no UTF-8; then the answer goes on [bytes that are no HTTP]
`torn`        an event of which the second half is missing; then the answer goes on
`long_event`  an event of `size_bytes` [a header of that size]; then the answer goes on
`gzip_bomb`   a compressed answer, of which the rest is an event of `size_bytes`, a thousandth of that on the network
`duplicate`   an event comes twice
`reorder`     two events come in the wrong order
"""

Phase = Literal["before_headers", "before_event", "reasoning", "text", "arguments", "finish", "end"]
"""Where it goes wrong: before the first byte; after the headers, before the first event; among the pieces of reasoning,
text or tool arguments; after the answer was said to be over, before it is (on Chat before the usage, elsewhere before
the last event); after the last event, before the end of the body. An answer that is not streamed has no middle: all
that lies between `before_event` and `end` is after half of its bytes."""

PHASES: tuple[Phase, ...] = get_args(Phase)

_ALL = PHASES
_BODY = PHASES[1:]
_EVENTS = PHASES[1:-1]
_FIRST: tuple[Phase, ...] = ("before_headers",)
_KINDS: Mapping[FaultKind, tuple[tuple[Phase, ...], tuple[str, ...]]] = {
    "eof": (_ALL, ()),
    "truncate": (_ALL, ()),
    "reset": (_ALL, ()),
    "refused": (_FIRST, ("lasts_s",)),
    "stall": (_ALL, ("lasts_s",)),
    "keep_alive": (_ALL, ("lasts_s", "every_s")),
    "drip": (_ALL, ("every_s",)),
    "split": (_ALL, ()),
    "status": (_FIRST, ("status", "headers", "message")),
    "error": (_BODY, ("status", "message")),
    "error_body": (("before_event",), ("status", "message")),
    "html": (_BODY, ()),
    "not_utf8": (_ALL, ()),
    "torn": (_BODY, ()),
    "long_event": (_ALL, ("size_bytes",)),
    "gzip_bomb": (_BODY, ("size_bytes",)),
    "duplicate": (_EVENTS, ()),
    "reorder": (_EVENTS, ()),
}
"""For each kind the phases it can strike in, and the parameters it has."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what, and where (by default in the text, or where alone that can be). `after` is how many pieces of
    that phase pass first; an answer that has fewer is not struck.

    The others are parameters of some kinds, see `FaultKind`: `lasts_s` in seconds, None until the client leaves;
    `every_s`; `size_bytes`, by default beyond every reader's cap; `status`, `headers`, `message`. Raises ConfigError
    for a fault that cannot be.
    """

    kind: FaultKind
    phase: Phase | None = None
    after: int = field(default=1, kw_only=True)
    lasts_s: float | None = field(default=None, kw_only=True)
    every_s: float = field(default=1.0, kw_only=True)
    size_bytes: int = field(default=64 * 1024 * 1024, kw_only=True)
    status: int = field(default=529, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True, hash=False)
    message: str = field(default="a fault on purpose", kw_only=True)

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ConfigError(f"there is no fault {self.kind!r}", remedy=f"the kinds are {', '.join(_KINDS)}")
        phases, parameters = _KINDS[self.kind]
        if self.phase is not None and self.phase not in phases:
            raise ConfigError(
                f"a fault {self.kind!r} cannot strike in phase {self.phase!r}", remedy=f"it can in {', '.join(phases)}"
            )
        for name in _PARAMETERS:
            if name not in parameters and getattr(self, name) != _default(name):
                raise ConfigError(f"a fault {self.kind!r} has no {name}", remedy="leave it out")
        if self.after < 0:
            raise ConfigError(f"after must not be negative, got {self.after!r}")
        if self.lasts_s is not None and not 0 <= self.lasts_s < float("inf"):
            raise ConfigError(f"lasts_s must be a number of seconds or None, got {self.lasts_s!r}")
        if not 0 < self.every_s < float("inf"):
            raise ConfigError(f"every_s must be a positive number of seconds, got {self.every_s!r}")
        if not 0 < self.size_bytes <= MAX_SIZE_BYTES:
            raise ConfigError(f"size_bytes must be between 1 and {MAX_SIZE_BYTES}, got {self.size_bytes!r}")
        if not 400 <= self.status <= 599:
            raise ConfigError(f"the status of a fault must be 400 to 599, got {self.status!r}")

    @property
    def place(self) -> Phase:
        """The phase it strikes in."""
        if self.phase is not None:
            return self.phase
        phases = phases_of(self.kind)
        return "text" if "text" in phases else phases[0]


class Struck(NamedTuple):
    """A fault that happened: to which request, counted from 1, and what."""

    request: int
    fault: Fault


_PARAMETERS = tuple(entry.name for entry in fields(Fault) if entry.name not in ("kind", "phase", "after"))

Faults: TypeAlias = Sequence[Fault | None] | Callable[[int], Fault | None]
"""The fault of the n-th request, counted from 1, or None for none. A sequence says none after its end."""


def phases_of(kind: FaultKind) -> tuple[Phase, ...]:
    """Where a fault of that kind can strike, in the order of an answer."""
    return _KINDS[kind][0]


def plan_of(faults: Faults) -> Callable[[int], Fault | None]:
    """A plan as a function. Raises ConfigError for what is none."""
    given: object = faults
    if callable(faults):
        return partial(_planned, faults)
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise ConfigError(f"faults must be a list or a function, not {type(given).__name__}", remedy="write [Fault(…)]")
    planned = tuple(faults)
    for n, fault in enumerate(planned, 1):
        if fault is not None and not isinstance(fault, Fault):
            raise ConfigError(f"fault {n} must be a Fault or None, got {fault!r:.100}")
    return lambda n: planned[n - 1] if n <= len(planned) else None


def _planned(plan: Callable[[int], Fault | None], n: int) -> Fault | None:
    fault: object = plan(n)
    if fault is not None and not isinstance(fault, Fault):
        raise ConfigError(f"fault {n} must be a Fault or None, got {fault!r:.100}")
    return fault


def random_faults(seed: int, *, rate: float = 0.3, faults: Sequence[Fault] = ()) -> Callable[[int], Fault | None]:
    """A plan by chance: each request is struck with probability `rate`, by one of `faults` (EVERYDAY_FAULTS if there
    are none). The same seed gives the n-th request the same fate, whatever the order requests are made in."""
    if not 0 <= rate <= 1:
        raise ConfigError(f"rate must be between 0 and 1, got {rate!r}")
    choices = tuple(faults) or EVERYDAY_FAULTS

    def fault(n: int) -> Fault | None:
        chance = random.Random(f"{seed}:{n}")
        return chance.choice(choices) if chance.random() < rate else None

    return fault


def _default(name: str) -> object:
    entry = next(entry for entry in fields(Fault) if entry.name == name)
    return {} if entry.default is MISSING else entry.default


EVERYDAY_FAULTS: tuple[Fault, ...] = (
    Fault("status", status=429, headers={"retry-after": "0.05"}, message="too many requests"),
    Fault("status", status=503, message="no capacity"),
    Fault("eof", "before_headers"),
    Fault("reset", "before_event"),
    Fault("reset", "reasoning"),
    Fault("truncate", "text"),
    Fault("eof", "arguments"),
    Fault("error", "text"),
    Fault("torn", "text"),
    Fault("stall", "before_headers", lasts_s=0.05),
    Fault("keep_alive", "text", every_s=0.02, lasts_s=0.1),
    Fault("split", "before_event"),
)
"""What happens on a bad day, and passes: a client that retries and samples again gets its answer."""
