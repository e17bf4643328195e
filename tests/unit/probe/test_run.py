"""A probe as a whole: against the rehearsal server, and against servers that misbehave. Over HTTP on loopback."""

from __future__ import annotations

import json

import pytest

from agent_core.codecs import WIRES
from agent_core.errors import (
    AuthenticationError,
    ConfigError,
    InvalidRequestError,
    MalformedStream,
    MissingKeyError,
    ModelError,
    ModelNotFoundError,
    RateLimitError,
    TransportError,
    TransportTimeout,
)
from agent_core.items import JsonObject, WireName
from agent_core.probe import Finding, probe
from agent_core.probe.asking import NOT_ASKED
from agent_core.probe.facts import FACTS
from agent_core.probe.run import MAX_REQUESTS
from agent_core.testing import RehearsalServer

from ...loopback import RESET, STALL, Exchange, Received, chunk, exchange, free_port, reply, serve, sse_head
from .endpoint import Endpoint, obliging

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("wire", WIRES)
async def test_the_rehearsal_server_does_all_it_is_asked(wire: WireName) -> None:
    """Every fact of the wire is told once, in order and as it is found; each request is sent once."""
    told: list[Finding] = []
    with RehearsalServer(obliging, pace_s=0) as server:
        report = await probe("rehearsal/any", provider=server.provider, wire=wire, on_finding=told.append)
    names = [name for fact in FACTS if wire in fact.wires for name in fact.names]
    assert (tuple(told), [found.fact for found in told]) == (report.findings, names)
    assert not {"no", "unclear", "ignored", NOT_ASKED} & {found.answer for found in told}
    assert len(server.requests) == report.requests <= MAX_REQUESTS / 2
    assert {(request.wire, request.status) for request in server.requests} == {(wire, 200)}


ERRORS: dict[str, tuple[Exchange, type[ModelError], int]] = {
    "key": (exchange(reply(401, b'{"error": {"message": "bad key"}}')), AuthenticationError, 1),
    "model": (exchange(reply(404, b'{"error": {"message": "no such model"}}')), ModelNotFoundError, 1),
    "busy": (exchange(reply(429, b"{}", {"retry-after": "1"})), RateLimitError, 1),
    "web page": (exchange(reply(200, b"<html><title>Hi</title></html>")), MalformedStream, 1),
    "reset": (exchange(RESET), TransportError, 1),
    "silence": (exchange(STALL), TransportTimeout, 1),
    "refuses all forms": (exchange(reply(400, b'{"error": {"message": "no"}}')), InvalidRequestError, 4),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_an_endpoint_that_does_not_answer_is_an_error(name: str) -> None:
    """Nothing else is asked, nothing is asked twice; what was heard first is raised."""
    answer, kind, requests = ERRORS[name]
    told: list[Finding] = []
    async with serve(answer) as server:
        with pytest.raises(ModelError) as caught:
            await probe("lab/m", base_url=server.url, timeout_s=0.2, on_finding=told.append)
    assert (type(caught.value), len(server.requests), told) == (kind, requests, [])


async def test_what_cannot_be_sent_is_the_callers_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad bounds, unknown providers and missing keys are told before anything is sent."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    for timeout_s, budget_s in ((0.0, 1.0), (1.0, -1.0), (float("nan"), 1.0)):
        with pytest.raises(ConfigError, match="positive number of seconds"):
            await probe("lab/m", base_url="http://127.0.0.1:1", timeout_s=timeout_s, budget_s=budget_s)
    with pytest.raises(ConfigError, match="unknown provider"):
        await probe("nosuch/m")
    with pytest.raises(MissingKeyError):
        await probe("groq/m")
    with pytest.raises(TransportError, match="refused"):
        await probe("lab/m", base_url=f"http://127.0.0.1:{free_port()}")


async def test_a_server_that_goes_away_is_left_alone() -> None:
    """Three requests in a row that come to nothing end the asking; what was learned before is kept."""
    good = Endpoint("chat")
    async with serve(good, good, good, exchange(reply(503, b"{}"))) as server:
        report = await probe("lab/m", base_url=server.url)
    answers = {found.fact: found.answer for found in report.findings}
    assert (answers["output cap"], answers["temperature"], answers["output schema"]) == ("both", "unclear", NOT_ASKED)
    assert (report.requests, len(server.requests), report.compat) == (6, 6, {})
    assert "3 requests in a row came to nothing: 503" in report.findings[-1].evidence


async def test_one_failure_is_unclear_and_settles_nothing() -> None:
    """A server error for one question leaves that field as it was; all others are asked."""
    good = Endpoint("chat")

    def answer(received: Received) -> Exchange:
        body: JsonObject = json.loads(received.body)
        return exchange(reply(500, b"oops")) if "parallel_tool_calls" in body else good(received)

    async with serve(answer) as server:
        report = await probe("lab/m", base_url=server.url)
    unclear = [(found.fact, found.compat) for found in report.findings if found.answer == "unclear"]
    assert unclear == [("parallel_tool_calls", {})]
    assert not any(found.answer == NOT_ASKED for found in report.findings)


async def test_an_answer_without_end_is_cut() -> None:
    """A server that ignores caps and talks for ever is heard to a bound, and the question is unclear."""
    good = Endpoint("chat")
    flood = b"".join(b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"a" * 4096) for _ in range(64))

    def answer(received: Received) -> Exchange:
        if "Count from" not in received.body.decode():
            return good(received)
        return exchange(sse_head(), *[chunk(flood)] * 20, STALL)

    async with serve(answer) as server:
        report = await probe("lab/m", base_url=server.url, timeout_s=30)
    cap = next(found for found in report.findings if found.fact == "output cap")
    assert (cap.answer, dict(cap.compat)) == ("unclear", {})


async def test_the_time_of_a_probe_is_bounded() -> None:
    """After the budget nothing is begun; what was not asked says why."""
    async with serve(Endpoint("chat")) as server:
        report = await probe("lab/m", base_url=server.url, budget_s=1e-9)
    assert (report.requests, len(server.requests)) == (0, 0)
    told = {(found.answer, found.evidence) for found in report.findings}
    assert told == {(NOT_ASKED, "the probe's 1e-09 s were over")}


async def test_a_shipped_row_that_is_contradicted_says_so() -> None:
    """Only fields of a shipped row can be: a server of the user's own promised nothing."""
    async with serve(Endpoint("chat")) as server:
        shipped = await probe("vllm/m", base_url=server.url)
        own = await probe("lab/m", base_url=server.url)
    assert "merge_system" in shipped.contradicts
    assert own.contradicts == ()


async def test_a_key_is_sent_and_shown_nowhere() -> None:
    """Neither the row nor any evidence holds it, not even where the server echoes it."""
    key = "sk-do-not-show-this"
    echo = Endpoint("chat", lambda body: f"your key {key} may not" if "temperature" in body else None)
    async with serve(echo) as server:
        report = await probe("lab/m", base_url=server.url, api_key=key)
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {key}"}
    assert key not in str(report.findings) + report.row
    assert "your key [key] may not" in str(report.findings)
