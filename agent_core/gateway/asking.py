"""The words of the gateway's inside: what is asked, what answers it, and what stands between the two.

    Ask ─► service ─► service ─► … ─► backends          each of them an Answerer: `async with it.answer(ask) as answer`
    client's bytes ◄─ encoder ◄─ Answer.events

A service (admission, cache, tools, …) wraps the Answerer inside it and is one itself. The block around `answer` is the
answer's whole life: what a service holds for it is given back when the block is left, however that happens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self, runtime_checkable

from msgspec import Struct
from msgspec.structs import replace as with_changes

from ..codecs.base import Loss
from ..events import RateLimits, ResponseEvent, Usage
from ..items import WireName
from ..prices import Cost, Prices, cost_of
from ..prompt import Prompt

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from .deployments import DeploymentHealth

__all__ = [
    "Answer",
    "Answerer",
    "Ask",
    "Bill",
    "Billed",
    "Caller",
    "Door",
    "Inside",
    "Outcome",
    "Page",
    "Place",
    "ReadAhead",
    "Served",
    "Service",
    "Shown",
    "Watcher",
    "cost_of_all",
]

Outcome = Literal["completed", "refused", "backend_error", "client_left"]
"""How a request ended: whole; turned away with a 4xx before an answer began; failed on the backend's side, before or in
the answer; left by the client."""


class Caller(Struct, frozen=True):
    """Who asks. Whatever outlives a request (cached and stored answers, sessions, budgets) is kept apart by `name`: it
    is unique for each key, no secret, and may be shown to whoever runs the gateway."""

    name: str = ""


class Billed(Struct, frozen=True):
    """What one call of a backend used. `model` is "provider/model"; `cost` is None where no price is known."""

    model: str
    usage: Usage
    cost: Cost | None = None


class Bill:
    """What a request has used so far: every call of every backend, also those whose answer was not whole. Read at any
    time, also after a failure."""

    __slots__ = ("_prices", "entries")

    def __init__(self, prices: Prices | None = None) -> None:
        self._prices = prices
        self.entries: list[Billed] = []

    def add(self, model: str, usage: Usage) -> None:
        self.entries.append(self.priced(model, usage))

    def priced(self, model: str, usage: Usage) -> Billed:
        """What that would be on the bill."""
        provider, _, name = model.partition("/")
        return Billed(model, usage, cost_of(self._prices, provider, (name,), usage))

    @property
    def cost(self) -> Cost | None:
        """See `cost_of_all`."""
        return cost_of_all(self.entries)


def cost_of_all(entries: Sequence[Billed]) -> Cost | None:
    """The sum, "at least" where a price is not known or is in another currency than the first; None where none is."""
    total: Cost | None = None
    for entry in entries:
        if entry.cost is not None and (total is None or total.currency == entry.cost.currency):
            total = entry.cost if total is None else total + entry.cost
    if total is None or all(entry.cost is not None and entry.cost.currency == total.currency for entry in entries):
        return total
    return with_changes(total, at_least=True)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as it was decoded. `prompt.model` is the name the client used; `losses` is what the decoding left out;
    `headers` are the client's, by lower-case name; `prefer` is the deployment that should answer if it can. `bill`
    belongs to the request, whatever is made of its prompt."""

    prompt: Prompt
    wire: WireName
    stream: bool = False
    caller: Caller = field(default_factory=Caller)
    request_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    losses: tuple[Loss, ...] = ()
    prefer: str = ""
    bill: Bill = field(default_factory=Bill, repr=False)

    def with_prompt(self, prompt: Prompt) -> Ask:
        return replace(self, prompt=prompt)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that has begun. `events` obey the event grammar and are read once, inside the block of `answer`: they
    end after `Completed`, or raise one ModelError. `model` is who answers, "provider/model", `deployment` the name of
    the one among several that serve it; `losses` is what of the request could not be carried to it; `limits` is what
    the backend said is left of its limits; `headers` are added to the HTTP answer, names in lower case."""

    events: AsyncIterator[ResponseEvent]
    model: str
    deployment: str = ""
    losses: tuple[Loss, ...] = ()
    limits: RateLimits | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@runtime_checkable
class ReadAhead(Protocol):
    """Events that come several at a time, as one read of a backend holds them. `Answer.events` may be that: then they
    are sent together."""

    def ready(self) -> Sequence[ResponseEvent]:
        """The next events, as many as are there without waiting; they are not given out again."""
        ...


class Answerer(Protocol):
    def answer(self, ask: Ask) -> AbstractAsyncContextManager[Answer]:
        """Entering returns once an answer has begun: until then nothing was shown, and another way may be tried. Raises
        ModelError or CallerError where none began."""
        ...


class Place(IntEnum):
    """Where a service stands, from the client inwards."""

    LIMITS = 1  # what a key may use: who has used it up stands in no line
    ADMISSION = 2  # nothing else is done for a request that finds no room
    STORE = 3  # earlier answers come into the prompt, this one is kept
    CACHE = 4  # an answer that is known needs no backend
    TOOLS = 5  # calls that the server runs itself
    AFFINITY = 6  # follow-ups go where their beginning is known


class Door(Struct, frozen=True):
    """A path of a service's own, with `/v1` and without. `answer` gets the request, who asks, and the request's id;
    what it raises is told in the words of `wire`."""

    method: str
    path: str
    answer: Callable[[Request, Caller, str], Awaitable[ASGIApp]]
    wire: WireName


class Service(ABC):
    """One of the things between the client and the backends. Used in the order of `place`, whatever order they are
    given in. Open for as long as the gateway is: `async with` brings and closes what it needs."""

    place: ClassVar[Place]

    @abstractmethod
    def around(self, inner: Answerer) -> Answerer:
        """This service, with `inner` behind it. Called once."""

    def doors(self) -> Sequence[Door]:
        """What else can be asked of it. Called once."""
        return ()

    def numbers(self) -> Mapping[str, float]:
        """What it counts at this moment, for whoever watches: always the same names, of small letters and `_`."""
        return {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Served(Struct, frozen=True):
    """A request that is over, in facts; no word of it. `asked` is the name of the model that was asked for (a client's
    text: bound and quote it), `model` who answered, empty if nobody did, and `deployment` which one; `status` what the
    client was told, 0 for nothing; times in seconds, `first_s` until the answer's head was sent, None if none was;
    `events` is how many of the answer came; `error` is what went wrong, in one word: a ModelError's `reason`, or a
    class; `cache` is what the answer's cache says (hit, miss or bypass), empty without one; `cost` is None where no
    price is known, and "at least" where not all are."""

    wire: WireName
    asked: str
    model: str
    caller: str
    request_id: str
    stream: bool
    outcome: Outcome
    status: int
    duration_s: float
    first_s: float | None
    bill: tuple[Billed, ...]
    error: str = ""
    cost: Cost | None = None
    deployment: str = ""
    events: int = 0
    cache: str = ""


class Watcher(Protocol):
    """Told of every request, in the gateway's event loop: must not block, and must not raise. A request is either
    `begun` and then `ended`, once each, or `turned_away` before it was understood: without a key, say, or no JSON."""

    def begun(self, ask: Ask) -> None: ...

    def ended(self, ask: Ask, served: Served) -> None: ...

    def turned_away(self, served: Served) -> None: ...


@dataclass(frozen=True, slots=True)
class Page:
    """Something of the gateway itself to look at: `GET path`, answered by an ASGI application. `who` says for whom it
    is: those who collect metrics, or those who run the gateway."""

    path: str
    app: ASGIApp
    who: Literal["metrics", "admin"]


class Inside(Protocol):
    """What a gateway knows of itself at a moment."""

    def names(self) -> Sequence[str]:
        """Of the models that are served."""
        ...

    def health(self) -> Mapping[str, Sequence[DeploymentHealth]]:
        """The deployments of each model."""
        ...

    def numbers(self) -> Mapping[str, Mapping[str, float]]:
        """What its services count, by their places."""
        ...


@runtime_checkable
class Shown(Protocol):
    """A Watcher that has pages: they are there as soon as it is one of a gateway's."""

    def pages(self, inside: Inside) -> Sequence[Page]:
        """Asked for once, when the gateway is made."""
        ...

    def end_pages(self) -> None:
        """The gateway is being stopped: pages that stay open end now."""
        ...
