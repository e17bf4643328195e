"""What a log is told: facts as fields, fixed sentences, nothing that was said."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent_core import Agent, Limits, RetryPolicy, Session
from agent_core.errors import CompactionError, ServerError
from agent_core.items import user_message
from agent_core.logs import fields_of
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.testing.scripts import asks_for_summary

pytestmark = pytest.mark.anyio

KEY, SAID, ERROR = "sk-proj-0123456789abcdef0123", "the user's secret wish", "your prompt said"
QUICK = RetryPolicy(max_attempts=2, max_restarts=1, base_delay_s=0, jitter_s=0)
BUMPY = Step(
    text="x", failures=(Step(status=503, error=f"{ERROR}: {SAID}"), Step(text="half of it", cut_after_events=4))
)


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, dict[str, object]]]:
    """Logger, sentence and fields of each record; all of ours have exactly the fields they are promised to have."""
    records = [record for record in caplog.records if record.name.startswith("agent_core")]
    standard = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    found = [(r.name, r.getMessage(), {k: v for k, v in vars(r).items() if k not in standard}) for r in records]
    for _, _, fields in found:
        assert tuple(fields) == ("event", *fields_of[str(fields["event"])])
    return found


async def run(agent: Agent) -> None:
    async with agent.stream(SAID) as turn:
        async for _ in turn:
            pass


async def test_retries_and_restarts(caplog: pytest.LogCaptureFixture) -> None:
    """What failed, how often, and what comes of it; not what the server said, which quotes the prompt."""
    with RehearsalServer([BUMPY], pace_s=0) as server:
        await run(Agent("rehearsal/m", provider=server.provider, api_key=KEY, retry=QUICK))
    (_, first, retry), (_, second, restart) = told(caplog)
    assert first == "request failed (overloaded), 1 of 2: trying again in 0.00 s"
    assert second == "stream broke (stream_interrupted), 1 of 2: trying again in 0.00 s"
    assert (retry["model"], retry["stage"], retry["status"], retry["will_retry"]) == (
        "rehearsal/m",
        "request",
        503,
        True,
    )
    assert (restart["stage"], restart["reason"], restart["gave_up"]) == ("stream", "stream_interrupted", None)


async def test_giving_up(caplog: pytest.LogCaptureFixture) -> None:
    """The last failure says so, and why."""
    with RehearsalServer([Step(status=500, error=SAID)], pace_s=0) as server, pytest.raises(ServerError):
        await run(Agent("rehearsal/m", provider=server.provider, retry=QUICK))
    *_, (_, sentence, fields) = told(caplog)
    assert (sentence.endswith("2 of 2: giving up"), fields["gave_up"]) == (True, "attempts")


async def test_limits(caplog: pytest.LogCaptureFixture) -> None:
    """Which, and what had been used."""
    steps = [Step(calls=(Call("nothing_like_it", {}),)), Step(text="x")]
    with RehearsalServer(steps, pace_s=0) as server:
        agent = Agent("rehearsal/m", provider=server.provider, limits=Limits(max_turns=1))
        await run(agent)
    ((name, sentence, fields),) = told(caplog)
    assert (name, sentence) == ("agent_core.turn", "turn ended at its limit max_turns")
    assert (fields["session_id"], fields["samples"], fields["tool_calls"]) == (agent.session.id, 1, 1)


async def test_a_compaction_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    """By the class of what went wrong."""
    with RehearsalServer(lambda prompt: Step(text="" if asks_for_summary(prompt) else SAID), pace_s=0) as server:
        agent = Agent("rehearsal/m", provider=server.provider)
        await run(agent)
        with pytest.raises(CompactionError):
            await agent.compact()
    ((_, sentence, fields),) = told(caplog)
    assert sentence == "compaction failed (CompactionError)"
    assert (fields["reason"], fields["session_id"]) == ("asked", agent.session.id)


def test_a_session_that_was_torn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was wrong with its file, in our words."""
    path = tmp_path / "s.jsonl"
    with Session.create(path) as session:
        session.append(user_message(SAID))
    with path.open("ab") as file:
        file.write(SAID.encode())
    with Session.resume(path) as session:
        (warning,) = session.warnings
    ((name, sentence, fields),) = told(caplog)
    assert (name, sentence, fields["warning"]) == ("agent_core.session", warning, warning)
    assert SAID not in caplog.text


async def test_nothing_that_was_said_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At any level, in any field: no text, no key, no error's words."""
    caplog.set_level(logging.DEBUG)
    steps = Step(calls=(Call("nothing", {"a": SAID}),), failures=BUMPY.failures), Step(text=SAID)
    with RehearsalServer(steps, pace_s=0) as server:
        await run(Agent("rehearsal/m", provider=server.provider, api_key=KEY, retry=QUICK, instructions=SAID))
    everything = " ".join(str(vars(record)) for record in caplog.records if record.name.startswith("agent_core"))
    assert everything
    assert not [text for text in (KEY, SAID, ERROR) if text in everything]


def test_a_program_that_set_nothing_up_sees_nothing() -> None:
    """No handler of ours, no level of ours, and Python's last resort does not write either."""
    code = (
        "import logging; from agent_core.logs import limit_reached\n"
        "limit_reached('max_turns', 1, 0, 0, session_id='s', turn_id='t')\n"
        "logger = logging.getLogger('agent_core')\n"
        "print(logger.level, [type(handler).__name__ for handler in logger.handlers], logging.getLogger().handlers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0 ['NullHandler'] []\n", "")


def test_the_document_lists_the_fields() -> None:
    """docs/tracing.md, line by line."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "tracing.md").read_text()
    rows = re.findall(r"^\| `agent_core\.\w+` \| `(\w+)` \| (.+) \|$", text, re.MULTILINE)
    assert {event: tuple(re.findall(r"`(\w+)`", fields)) for event, fields in rows} == fields_of
