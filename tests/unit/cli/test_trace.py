"""`--trace`: what a command recorded leaves before it ends, however it ends."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from agent_core.cli.exits import Exit
from agent_core.testing import Call, RehearsalServer, Step

from ...loopback import free_port
from ..telemetry.receiver import receiving
from .test_exec import run
from .test_signals import interrupted

TURN = [
    "- > invoke_agent", "invoke_agent > chat any", "invoke_agent > execute_tool shell", "invoke_agent > chat any"
]  # fmt: skip


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def test_to_a_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the standard variable says; the answer is on stdout as ever."""
    steps = Step(calls=(Call("shell", {"command": "true"}),)), Step(text="Done.")
    with receiving() as received, RehearsalServer(steps, pace_s=0) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        argv = ["go", "-m", "lab/any", "--base-url", server.base_url, "--approve", "all", "--cd", str(tmp_path)]
        code, out, _ = run([*argv, "--trace", "otlp"], capsys)
    assert (code, out, received.tree, received.services) == (Exit.OK, "Done.\n", TURN, {"agent-core"})
    assert {"gen_ai.client.inference.duration", "gen_ai.execute_tool.duration"} <= received.metrics


def test_to_the_console(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the SDK shows them, on stderr, after the run; --json keeps stdout to itself."""
    with RehearsalServer([Step(text="Done.")], pace_s=0) as server:
        argv = ["go", "-m", "lab/any", "--base-url", server.base_url, "--cd", str(tmp_path)]
        code, out, err = run([*argv, "--trace", "console", "--json"], capsys)
    assert code == Exit.OK and all(json.loads(line) for line in out.splitlines())
    assert '"name": "invoke_agent"' in err and '"name": "gen_ai.client.inference.duration"' in err


def test_without_a_collector_a_run_is_as_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says that nobody took it, and the exit code is the run's."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr("agent_core.cli.trace._SEND_S", 0.2)
    with RehearsalServer([Step(text="Done.")], pace_s=0) as server:
        argv = ["go", "-m", "lab/any", "--base-url", server.base_url, "--cd", str(tmp_path)]
        code, out, err = run([*argv, "--trace", "otlp"], capsys)
    assert (code, out, err.splitlines()[-1]) == (
        Exit.OK, "Done.\n",
        "the trace could not be sent; is there a collector where OTEL_EXPORTER_OTLP_ENDPOINT says?",
    )  # fmt: skip
    assert "Traceback" not in err


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A clear error before anything is sent."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", None)
    code, out, err = run(["go", "-m", "lab/x", "--base-url", "http://127.0.0.1:9/v1", "--trace", "otlp"], capsys)
    assert (code, out) == (Exit.USAGE, "") and 'pip install "agent-core[otel]"' in err


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupted_run_is_sent_too(name: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C and SIGTERM end the spans that are open, none of them as an error, and the trace leaves."""
    sleeps = Step(calls=(Call("shell", {"command": "echo ready.; exec sleep 600"}),))
    with receiving() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        options = ("--approve", "all", "-v", "--cd", str(tmp_path), "--trace", "otlp")
        exited, _ = interrupted([sleeps], *options, when=b"ready.\n", by=signal.Signals[name])
    assert (exited, received.tree) == (code, TURN[:3])
    assert {span.status.code for span in received.spans} == {0}
