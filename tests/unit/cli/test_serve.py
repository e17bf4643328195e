"""`serve`: a backend on all three wires, from the command line; where it may listen, and how it stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from agent_core import ask
from agent_core.cli import main
from agent_core.cli.exits import Exit
from agent_core.cli.serve import KEYS_VARIABLE
from agent_core.codecs import WIRES
from agent_core.testing import RehearsalServer, Step

# A test run in the background ignores SIGINT, and so would its child.
_MAIN = """import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from agent_core.cli import main
sys.exit(main())"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_it_serves_until_it_is_stopped() -> None:
    """It says where, answers on each wire, logs what it did, and ends quietly when it is interrupted: at once, also if
    somebody looks at its status."""
    argv = [sys.executable, "-c", _MAIN, "serve", "-m", "rehearsal/hello", "--port", "0", "--log"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        answers = {ask("lab/any", "Hello", base_url=f"{url}/v1", wire=wire) for wire in WIRES}
        with httpx2.stream("GET", f"{url}/status/events", timeout=30) as watched:
            shown = next(watched.iter_lines())
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
    assert len(answers) == 1 and answers != {""} and '"outcomes":{"completed":3}' in shown
    assert all(f'completed 200 {wire} "any" by rehearsal/hello' in err for wire in WIRES)
    assert "timeout graceful shutdown" not in err
    assert (process.returncode, "Traceback" in err) == (Exit.INTERRUPTED, False)
    assert "Gateway(rehearsal/hello) on chat, responses and messages, without a key" in err


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_it_serves_what_a_file_names(tmp_path: Path) -> None:
    """At the place the file names, by the names it gives."""
    file = tmp_path / "gateway.toml"
    with RehearsalServer([Step(text="hello from the file")], pace_s=0) as server:
        model = f'model = "lab/m"\nbase_url = "{server.base_url}"\nwire = "messages"\n'
        file.write_text(f'[server]\nport = 0\n[routing]\ndefault = "mine"\n[models.mine]\n{model}')
        argv = [sys.executable, "-c", _MAIN, "serve", "--config", str(file)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            answer = ask("lab/any", "Hello", base_url=f"{url}/v1")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
    assert (answer, process.returncode) == ("hello from the file", Exit.INTERRUPTED)
    assert "Gateway(mine) on chat, responses and messages" in err


def test_it_listens_to_others_only_with_keys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can reach it could use it."""
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    assert main(["serve", "-m", "rehearsal/hello", "--host", "0.0.0.0", "--port", "0"]) == Exit.USAGE
    assert f"set {KEYS_VARIABLE}" in capsys.readouterr().err
    monkeypatch.setenv(KEYS_VARIABLE, "short")
    assert main(["serve", "-m", "rehearsal/hello", "--host", "0.0.0.0", "--port", "0"]) == Exit.USAGE
    assert "key 1 of the gateway is no key" in capsys.readouterr().err


def test_keys_of_a_file_let_it_listen_to_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As those of the environment do."""
    file = tmp_path / "gateway.toml"
    lab = '[models.m]\nmodel = "lab/m"\nbase_url = "http://127.0.0.1:1/v1"\n'
    file.write_text(lab)
    everywhere = ["serve", "--config", str(file), "--check", "--host", "0.0.0.0"]
    assert main(everywhere) == Exit.USAGE
    assert main(["serve", "--new-key", "alice"]) == Exit.OK
    key, table = capsys.readouterr()
    assert key.startswith("agc-") and key.strip() not in table
    file.write_text(lab + table[table.rindex("[[keys]]") :])
    assert main(everywhere) == Exit.OK


def test_a_name_no_key_can_have(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--new-key", "a b"]) == Exit.USAGE
    assert capsys.readouterr().out == ""


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "-m", "rehearsal/hello", "--port", port]) == Exit.USAGE
    assert capsys.readouterr().err.startswith(f"error: cannot listen at 127.0.0.1:{port}: Address already in use")


CONFIG = """
[server]
port = 1
[models.m]
model = "lab/m"
base_url = "http://127.0.0.1:1/v1"
fallbacks = ["n"]
[[models.n.deployments]]
model = "lab/n"
base_url = "http://127.0.0.1:1/v1"
[[models.n.deployments]]
name = "other"
model = "lab/n"
base_url = "http://127.0.0.1:2/v1"
"""
PLAN = "  m: lab/m; then n\n  n: lab/n, other = lab/n (round_robin)\n"


def test_a_configuration_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Read, said, and nothing is opened; the command line's place goes before the file's."""
    file = tmp_path / "gateway.toml"
    file.write_text(CONFIG)
    assert main(["serve", "--config", str(file), "--check"]) == Exit.OK
    assert capsys.readouterr().out == "Gateway(m, n) at 127.0.0.1:1\n" + PLAN
    assert main(["serve", "--config", str(file), "--check", "--port", "2"]) == Exit.OK
    assert capsys.readouterr().out == "Gateway(m, n) at 127.0.0.1:2\n" + PLAN


MISUSED: dict[str, tuple[list[str], str]] = {
    "neither": ([], "one of the arguments -m/--model --config --new-key is required"),
    "both": (["-m", "a/b", "--config", "x"], "not allowed with argument"),
    "a check of nothing": (["-m", "a/b", "--check"], "name one with --config"),
    "a backend's option": (["--config", "x", "--base-url", "http://h"], "--base-url is for a backend named with -m"),
    "no file": (["--config", "/no/such.toml"], "cannot read"),
}


@pytest.mark.parametrize("name", MISUSED)
def test_options_that_do_not_fit(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, wrong = MISUSED[name]
    assert main(["serve", *arguments]) == Exit.USAGE
    assert wrong in capsys.readouterr().err
