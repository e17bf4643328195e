"""Names leave from one file, and the tables of docs/tracing.md are what that file says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics

from agent_core import Agent, RetryPolicy, tool
from agent_core.prices import Price, PriceTable
from agent_core.providers import PROVIDERS
from agent_core.telemetry import names
from agent_core.telemetry.content import Content
from agent_core.testing import Call, RehearsalServer, Step

from .recorded import Recorded

ROOT = Path(__file__).resolve().parents[3]
DOC = (ROOT / "docs" / "tracing.md").read_text().partition("\n## Logs\n")[0]
SPELT = {
    value
    for name, value in vars(names).items()
    if name.isupper() and isinstance(value, str) and not name.startswith("_")
}


def test_the_table_has_every_name() -> None:
    """Each constant once, and nothing else."""
    listed = [entry.name for entry in names.TABLE]
    assert sorted(listed) == sorted(SPELT)


def test_the_document_has_the_table() -> None:
    """Line by line: name, where, what it says."""
    rows = re.findall(r"^\| `([^`]+)` \| (.+?) \| (.+?) \|$", DOC, re.MULTILINE)
    assert set(rows) >= {(entry.name, entry.where, entry.says) for entry in names.TABLE}
    documented = {
        name for name, *_ in rows if name.startswith(("gen_ai.", "agent_core.", "server.", "error.", "http."))
    }
    assert documented <= SPELT


def test_no_other_file_spells_a_name() -> None:
    """So that a change of the conventions is a change of one file."""
    for path in (ROOT / "agent_core").rglob("*.py"):
        if path.name != "names.py":
            spelt = re.findall(r'"((?:gen_ai|error\.type|server\.)[a-z_.]*)"', path.read_text())
            assert not set(spelt) & SPELT, path


NEWER = {
    "gen_ai.usage.cache_write.input_tokens", "gen_ai.request.reasoning.level", "gen_ai.token.modality",
    "gen_ai.request.previous_response.id", "gen_ai.conversation.compacted",
}  # fmt: skip
"""In v0.1.0 of semantic-conventions-genai, and not yet in the package of the release before."""


def test_the_names_are_those_of_the_conventions() -> None:
    """Held against OpenTelemetry's own package, which ends at v1.41; what is newer is listed."""
    known = {value for value in vars(gen_ai_attributes).values() if isinstance(value, str)}
    ours = {entry.name for entry in names.TABLE if entry.kind in ("attribute", "content") and "gen_ai" in entry.name}
    assert ours - known == NEWER
    assert {value for value in vars(gen_ai_metrics).values() if isinstance(value, str)} >= names.BEFORE_0_1


def test_providers_are_called_as_the_conventions_call_them() -> None:
    """Rows that exist, to words the conventions know."""
    listed = vars(gen_ai_attributes)["GenAiProviderNameValues"]  # by name: it is marked as moved elsewhere
    known = {entry.value for entry in listed} | {"moonshot_ai"}
    assert set(names.PROVIDERS.values()) <= known
    assert names.provider_name("openai") == "openai" and names.provider_name("xai") == "x_ai"
    assert {row for row in names.PROVIDERS if row != "vertex"} <= set(PROVIDERS)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.anyio
async def test_a_run_uses_no_name_that_is_not_in_the_table() -> None:
    """Everything a run with everything in it exports."""
    recorded = Recorded(Content.SPAN_AND_EVENT)
    steps = Step(calls=(Call("add", {"a": 1, "b": 2}),), failures=(Step(status=503),)), Step(text="x"), Step(text="y")
    with RehearsalServer(steps, pace_s=0) as server:
        agent = Agent(
            "rehearsal/m", provider=server.provider, tools=[add], name="a", telemetry=recorded.telemetry,
            prices=PriceTable({"*": Price(1, 1)}), retry=RetryPolicy(base_delay_s=0, jitter_s=0),
        )  # fmt: skip
        await agent.run("go")
        await agent.compact()
    used = {span.name.split()[0] for span in recorded.spans} | set(recorded.metrics)
    for span in recorded.spans:
        used |= set(span.attributes or {}) | {event.name for event in span.events}
        used |= {name for event in span.events for name in event.attributes or {}}
    for points in recorded.metrics.values():
        used |= {name for point in points for name in point.attributes or {}}
    for log in recorded.logs_out.get_finished_logs():
        used |= {log.log_record.event_name or "", *(log.log_record.attributes or {})}
    assert used <= SPELT, used - SPELT
    assert len(used) > 50
