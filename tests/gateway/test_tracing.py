"""One trace from the caller through the gateway to the backend, and a span that is closed however a request ends."""

from __future__ import annotations

import re
from collections.abc import Iterator

import anyio
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from agent_core import ModelClient, Usage
from agent_core.errors import OverloadedError
from agent_core.gateway import Gateway
from agent_core.items import JsonObject, WireName
from agent_core.telemetry import names
from agent_core.testing import RehearsalServer, Step

from ..unit.telemetry.recorded import Recorded
from .asgi import call
from .playing import Playing, said
from .running import running

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
ASKED: JsonObject = {"model": "known", "stream": True, "messages": [{"role": "user", "content": "a secret"}]}
CALLER = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "mine=1"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    found = Recorded()
    yield found
    found.tracers.shutdown()
    found.meters.shutdown()


@pytest.mark.parametrize("wire", ["chat", "messages"])
async def test_one_trace_from_the_caller_to_the_backend(recorded: Recorded, wire: WireName) -> None:
    """Each below the one before; what goes to the backend names the span it was sent in."""
    telemetry = recorded.telemetry
    with RehearsalServer([Step(text="hello")], pace_s=0) as server:
        backend = ModelClient("rehearsal/m", provider=server.provider, telemetry=telemetry)
        with running(Gateway({"known": backend}, telemetry=telemetry)) as url:
            base = f"{url}/v1"
            asking = ModelClient("lab/known", base_url=base, wire=wire, telemetry=telemetry)
            async with asking, asking.stream("hi") as events:
                async for _event in events:
                    pass
    route = {"chat": CHAT, "messages": "/v1/messages"}[wire]
    assert recorded.tree == ["chat known", f"  POST {route}", "    chat m"]
    assert len({span.context.trace_id for span in recorded.spans if span.context}) == 1
    sent = server.requests[-1].headers["traceparent"]
    last = recorded.named("chat m").context
    assert last is not None and f"{last.trace_id:032x}-{last.span_id:016x}" in sent


async def test_the_callers_trace_is_joined(recorded: Recorded) -> None:
    """By the W3C's headers, with the state that came along; no word of what was said in it."""
    app = Gateway(
        {"known": ModelClient("lab/m", base_url="http://127.0.0.1:1")},
        services=[Playing(*said("sesame", usage=Usage(input=7, cache_read=2, output=5)))],
        telemetry=recorded.telemetry,
    )
    async with app:
        await call(app, CHAT, ASKED, headers={**CALLER, "x-request-id": "mine-1"})
    (span,) = recorded.spans
    assert span.parent is not None and span.kind is SpanKind.SERVER
    assert f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" in CALLER["traceparent"]
    assert span.parent.trace_state.get("mine") == "1"
    found = dict(span.attributes or {})
    assert isinstance(found.pop(names.TIME_TO_FIRST_CHUNK), float)
    assert found == {
        names.METHOD: "POST", names.ROUTE: CHAT, names.STATUS_CODE: 200, names.OPERATION: "chat",
        names.WIRE: "chat", names.STREAM: True, names.REQUEST_MODEL: "known", names.PROVIDER: "lab",
        names.RESPONSE_MODEL: "m", names.INPUT_TOKENS: 9, names.OUTPUT_TOKENS: 5, names.CACHE_READ_TOKENS: 2,
        names.GATEWAY_OUTCOME: "completed", names.GATEWAY_REQUEST_ID: "mine-1",
    }  # fmt: skip
    assert not re.search("secret|sesame", recorded.everything)
    assert set(found) <= {entry.name for entry in names.TABLE}


ENDINGS: dict[str, tuple[Playing, str, StatusCode, int]] = {
    "refused": (Playing(OverloadedError("busy", status=429)), "refused", StatusCode.UNSET, 429),
    "failed": (Playing(OverloadedError("busy", status=529)), "backend_error", StatusCode.ERROR, 529),
    "failed half way": (Playing(*said("a")[:3], OverloadedError("busy")), "backend_error", StatusCode.ERROR, 200),
    "left": (Playing(*said("a")[:3], anyio.Event()), "client_left", StatusCode.UNSET, 200),
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_a_span_ends_however_the_request_does(recorded: Recorded, name: str) -> None:
    """With the outcome; an error only where something behind the gateway failed; a model's name, cut."""
    playing, outcome, status, code = ENDINGS[name]
    client = ModelClient("lab/m", base_url="http://127.0.0.1:1")
    app = Gateway(default=client, services=[playing], telemetry=recorded.telemetry)
    asked: JsonObject = {**ASKED, "model": "x" * 500}
    async with app:
        await call(app, CHAT, asked, leave=lambda got: name == "left" and len(got.pieces) > 0)
    (span,) = recorded.spans
    found = dict(span.attributes or {})
    assert (found[names.GATEWAY_OUTCOME], span.status.status_code, found[names.STATUS_CODE]) == (outcome, status, code)
    assert found[names.REQUEST_MODEL] == "x" * 200
    assert not span.status.description and not span.events


async def test_a_span_that_is_current_is_the_parent(recorded: Recorded) -> None:
    """A server that is instrumented has read the caller's headers already."""
    client = ModelClient("lab/m", base_url="http://127.0.0.1:1")
    app = Gateway(default=client, services=[Playing(*said("a"))], telemetry=recorded.telemetry)
    async with app:
        with recorded.tracers.get_tracer("server").start_as_current_span("around"):
            await call(app, CHAT, ASKED, headers=CALLER)
    assert recorded.tree == ["around", f"  POST {CHAT}"]
