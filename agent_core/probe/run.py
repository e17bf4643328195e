"""Asking a live endpoint: every question once, one after the other, under bounds that hold whatever it answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType

import anyio

from ..auth import ApiKey
from ..client import ModelClient
from ..codecs.base import Compat
from ..errors import ConfigError, ModelError
from ..providers import PROVIDERS, CompatOverrides, Provider, Resolved, resolve, with_overrides
from ..retry import RetryPolicy
from ..transport import HttpRequest, HttpStream, Timeouts, Transport
from ..transport_choice import ChosenTransport
from .asking import NOT_ASKED, Ask, Fact, Finding, Findings, Heard, Notes, said
from .facts import FACTS
from .row import compat_overrides, provider_source

__all__ = ["MAX_REQUESTS", "ProbeReport", "probe"]

MAX_REQUESTS = 50
"""Above what the questions can come to on any wire; a bound all the same."""

_MAX_ANSWER_BYTES = 4 * 1024 * 1024  # a capped answer has some tens of kilobytes; a server that ignores caps has more
_USELESS_IN_A_ROW = 3  # busy or gone: the rest would hear the same
_BUDGET_S = 300.0
_TIMEOUT_S = 60.0

_ONCE = RetryPolicy(max_attempts=1)


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What came of a probe. `compat` holds the fields of `Compat` that differ from the standard of the wire, measured
    or (where nothing was) as the known row has them; `row` is the source of a `Provider` with them; `contradicts` are
    the fields of a shipped row that turned out otherwise."""

    resolved: Resolved
    findings: Findings
    compat: Mapping[str, object]
    row: str
    contradicts: tuple[str, ...]
    requests: int
    duration_s: float


async def probe(
    model: str,
    *,
    provider: Provider | str | None = None,
    wire: str | None = None,
    base_url: str | None = None,
    api_key: ApiKey | None = None,
    transport: Transport | None = None,
    timeout_s: float = _TIMEOUT_S,
    budget_s: float = _BUDGET_S,
    on_finding: Callable[[Finding], None] | None = None,
) -> ProbeReport:
    """Ask the endpoint of `model` what it takes. Arguments as for ModelClient; `on_finding` is told of each in turn.

    Sends at most MAX_REQUESTS small requests, none twice, each ended after `timeout_s`, none begun after `budget_s`;
    what is left then is "not asked". Raises CallerError before anything is sent, and the ModelError of the first
    request if the endpoint answers in no known form.
    """
    for name, value in (("timeout_s", timeout_s), ("budget_s", budget_s)):
        if not value > 0:
            raise ConfigError(f"{name} must be a positive number of seconds, got {value!r}")
    resolved = resolve(model, provider=provider, wire=wire, base_url=base_url)
    notes = Notes(resolved.wire, resolved.compat)
    async with _Sender(model, provider, wire, base_url, api_key, transport, timeout_s, budget_s) as sender:
        findings: list[Finding] = []
        for fact in FACTS:
            if resolved.wire not in fact.wires:
                continue
            for found in await _settle(fact, notes, sender):
                notes.learned.update(found.compat)
                findings.append(found)
                if on_finding is not None:
                    on_finding(found)
        return _report(resolved, notes, tuple(findings), base_url, sender)


async def _settle(fact: Fact, notes: Notes, sender: _Sender) -> Findings:
    """Put one question, all its requests."""
    inquiry = fact.inquire(notes)
    why = sender.stopped()
    try:
        ask = None if why else next(inquiry)
        while ask is not None and not (why := sender.stopped()):
            heard = await sender.send(ask, notes.learned)
            notes.hear(heard)
            ask = inquiry.send(heard)
    except StopIteration as done:
        findings: Findings = done.value
        return findings
    inquiry.close()
    return tuple(Finding(name, NOT_ASKED, why) for name in fact.names)


def _report(resolved: Resolved, notes: Notes, findings: Findings, base_url: str | None, sender: _Sender) -> ProbeReport:
    compat = with_overrides(resolved.compat, notes.learned)
    overrides = compat_overrides(compat, resolved)
    return ProbeReport(
        resolved,
        findings,
        overrides,
        provider_source(resolved, overrides, base_url=base_url),
        _contradicted(resolved, compat),
        sender.requests,
        anyio.current_time() - sender.started,
    )


def _contradicted(resolved: Resolved, compat: Compat) -> tuple[str, ...]:
    if PROVIDERS.get(resolved.provider.name) is not resolved.provider:
        return ()
    names = Compat.__struct_fields__
    return tuple(name for name in names if getattr(resolved.compat, name) != getattr(compat, name))


class _Sender:
    """Sends each request once and says what was heard, over one set of connections. Knows when to stop."""

    def __init__(
        self,
        model: str,
        provider: Provider | str | None,
        wire: str | None,
        base_url: str | None,
        api_key: ApiKey | None,
        transport: Transport | None,
        timeout_s: float,
        budget_s: float,
    ) -> None:
        self._where = (model, provider, wire, base_url, api_key)
        self._own = transport is None
        self._transport: Transport = transport or ChosenTransport()
        self._timeouts = Timeouts(
            connect_s=min(10.0, timeout_s), first_event_s=timeout_s, idle_s=timeout_s, total_s=timeout_s
        )
        self._budget_s = budget_s
        self._useless = 0
        self._last = ""
        self.started = anyio.current_time()
        self.requests = 0

    async def __aenter__(self) -> _Sender:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own:
            with anyio.CancelScope(shield=True):
                await self._transport.aclose()

    def stopped(self) -> str:
        """Why nothing more is sent; empty while it is."""
        if self._useless >= _USELESS_IN_A_ROW:
            return f"{_USELESS_IN_A_ROW} requests in a row came to nothing: {self._last}"
        if anyio.current_time() - self.started >= self._budget_s:
            return f"the probe's {self._budget_s:g} s were over"
        return f"{MAX_REQUESTS} requests were sent" if self.requests >= MAX_REQUESTS else ""

    async def send(self, ask: Ask, learned: CompatOverrides) -> Heard:
        """One request. Whatever the peer does is heard; only a fault of the caller's raises."""
        model, provider, wire, base_url, api_key = self._where
        copy = _Copy(self._transport)
        client = ModelClient(
            model,
            provider=provider,
            wire=wire,
            base_url=base_url,
            api_key=api_key,
            transport=copy,
            retry=_ONCE,
            timeouts=self._timeouts,
            compat={**learned, **ask.changes},
        )
        self.requests += 1
        try:
            async with client.stream(ask.prompt) as events:
                async for _ in events:
                    pass
                heard = Heard(events.snapshot(), None, bytes(copy.body))
        except ModelError as error:
            heard = Heard(None, error, bytes(copy.body))
        self._useless = self._useless + 1 if heard.useless else 0
        self._last = said(heard) or self._last
        return heard


@dataclass(slots=True)
class _Copy:
    """A transport that keeps what came. An answer beyond the bound ends there: its decoder says what that means."""

    inner: Transport
    body: bytearray = field(default_factory=bytearray)

    @asynccontextmanager
    async def open(self, request: HttpRequest, *, connect_s: float | None = None) -> AsyncGenerator[HttpStream]:
        async with self.inner.open(request, connect_s=connect_s) as http:
            yield HttpStream(http.status, http.headers, self._kept(http.chunks))

    async def aclose(self) -> None:
        """The inner one is its owner's to close."""

    async def _kept(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        async for chunk in chunks:
            if len(self.body) + len(chunk) > _MAX_ANSWER_BYTES:
                return
            self.body += chunk
            yield chunk
