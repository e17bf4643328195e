"""`mcp list | call` and `exec --mcp-config`, with a scripted server in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent_core.cli import main
from agent_core.cli.exits import Exit
from agent_core.testing import Call, RehearsalServer, Step
from tests.process_marks import ProcessMark

SCRIPT = Path(__file__).parents[1] / "tools" / "mcp" / "odd_server.py"


def table(log: Path, name: str = "odd", mode: str = "", more: str = "") -> str:
    args = json.dumps(["-I", "-S", str(SCRIPT), str(log), mode])
    return f"[mcp_servers.{name}]\ncommand = {json.dumps(sys.executable)}\nargs = {args}\n{more}\n"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("AGENT_CORE_MCP_CONFIG", raising=False)
    path = tmp_path / "mcp.toml"
    path.write_text(table(tmp_path / "log", more="trusted_tools = ['steps']\nread_only_tools = ['env']"))
    return path


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main([*argv])
    out, err = capsys.readouterr()
    return code, out, err


def test_list(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each tool, and how its calls are treated."""
    code, out, err = run(capsys, "mcp", "list", "--config", str(config))
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert (code, err, lines[0], len(lines)) == (Exit.OK, "", "odd: ready, 12 tools", 13)
    assert {"echo asks Does echo.", "env reads Does env.", "steps runs Does steps."} < set(lines)


def test_list_as_json_names_what_is_wrong(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One object a server; the file may be named by the environment; a server that is not there is a failure."""
    config.write_text(config.read_text() + table(tmp_path / "log", "bad", "broken"))
    monkeypatch.setenv("AGENT_CORE_MCP_CONFIG", str(config))
    code, out, err = run(capsys, "mcp", "list", "--json")
    good, bad = [json.loads(line) for line in out.splitlines()]
    problem = (
        "MCP server 'bad' cannot be started: it ended with exit code 1; "
        "it said: cannot find its database, api_key=[key]"
    )
    assert (good["name"], good["state"], good["problem"], good["tools"][1]["called"]) == (
        "odd", "ready", None, "mcp__odd__env",
    )  # fmt: skip
    assert bad == {"name": "bad", "state": "failed", "problem": problem, "tools": []}
    assert (code, err.startswith(problem)) == (Exit.FAILED, True)


CALLS: list[tuple[list[str], Exit, str, str]] = [
    (["odd", "echo", '{"n": 1}'], Exit.OK, '{"n": 1}\n', ""),
    (["odd", "mcp__odd__echo"], Exit.OK, "{}\n", ""),
    (["odd", "steps"], Exit.OK, "done\n", "1/4\nhalf way\n4/4\n"),
    (["odd", "refuse"], Exit.FAILED, "MCP error -32602: no such thing\n", ""),
    (["odd", "echo", "--json"], Exit.OK,
     '{"tool": "echo", "success": true, "content": [{"type": "input_text", "text": "{}"}]}\n', ""),
    (["odd", "hang", "--timeout", "0.1"], Exit.FAILED, "",
     "error: 'hang' did not answer within 0.1 s - give it more time with --timeout\n"),
    (["odd", "die"], Exit.FAILED, "", "error: MCP server 'odd' was lost during this call (it ended with exit"),
    (["odd", "echos"], Exit.USAGE, "", "error: the server offers no tool 'echos' - did you mean 'echo'?\n"),
    (["odd", "xxx"], Exit.USAGE, "", "error: the server offers no tool 'xxx' - agent-core mcp list names its"),
    (["odd", "echo", "[1]"], Exit.USAGE, "", "error: the arguments are no JSON object - write them like"),
    (["odd", "echo", "{"], Exit.USAGE, "", "error: the arguments are no JSON: Expecting property name"),
    (["else", "echo"], Exit.USAGE, "", "error: there is no MCP server 'else' in the file - it has: odd\n"),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "code", "out", "err"), CALLS, ids=[" ".join(argv) for argv, *_ in CALLS])
def test_call(
    config: Path, argv: list[str], code: Exit, out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer on stdout, progress and problems on stderr, and an exit code that says which."""
    told = run(capsys, "mcp", "call", *argv, "--config", str(config))
    assert (told[0], told[1], told[2][: len(err)]) == (code, out, err)
    assert err or not told[2]
    assert "Traceback" not in told[2]


def test_configurations_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, and nothing is started."""
    (tmp_path / "off.toml").write_text(table(tmp_path / "log", more="enabled = false"))
    for argv, words in (
        (["list"], "error: no configuration of MCP servers was named - give --config"),
        (["list", "--config", str(tmp_path / "none")], f"error: cannot read {tmp_path / 'none'}: No such file"),
        (["call", "odd", "echo", "--config", str(tmp_path / "off.toml")], "error: MCP server 'odd' is switched off"),
    ):
        code, out, err = run(capsys, "mcp", *argv)
        assert (code, out, err[: len(words)]) == (Exit.USAGE, "", words)


@pytest.mark.parametrize(("tool", "code", "calls"), [("steps", Exit.OK, ["call steps"]), ("echo", Exit.DENIED, [])])
def test_exec(config: Path, tmp_path: Path, tool: str, code: Exit, calls: list[str]) -> None:
    """The model has the tools; what is not trusted is denied where nobody can be asked."""
    steps = [Step(calls=(Call(f"mcp__odd__{tool}", {}, "call_1"),)), Step(text="Done.")]
    with RehearsalServer(steps, pace_s=0) as server:
        to = ["-m", "lab/any", "--base-url", server.base_url, "--cd", str(tmp_path)]
        assert main(["exec", "Do it", "--mcp-config", str(config), *to]) == code
    log = tmp_path / "log"
    assert (log.read_text().splitlines() if log.exists() else []) == calls


@pytest.mark.skipif(sys.platform != "linux", reason="finds the server by /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_no_server_outlives_its_command(config: Path, tmp_path: Path, number: signal.Signals) -> None:
    """Ended or killed in the middle of a call: the server goes with it."""
    mark = ProcessMark()
    config.write_text(config.read_text() + f"env = {{ {next(iter(mark.env))} = '{mark.value}' }}\n")
    command = ["mcp", "call", "odd", "hang", "--config", str(config)]
    code = f"import sys; from agent_core.cli import main; sys.exit(main({command!r}))"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as process:
        while not (tmp_path / "log").exists():
            assert process.poll() is None
            time.sleep(0.005)
        assert len(mark.running()) == 1
        process.send_signal(number)
        process.wait(20)
    assert mark.gone_within(10)
