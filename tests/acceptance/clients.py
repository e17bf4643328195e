"""Command-line clients that others wrote, each run on one task in a folder and a home of its own, on loopback alone.

    ran = codex(url, "lab-model", "Make made.txt.", tmp_path)
    assert ran.returncode == 0, ran

They see nothing of this machine but PATH: no settings, no keys, no proxies. Each has a hard time limit and is killed
with all it started. What cannot be had here is skipped with the command that installs it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_core.codecs.base import json_object
from agent_core.items import JsonObject, WireName

from .codex_patches import codex_binary

__all__ = ["MODULES", "Ran", "Request", "Witness", "claude", "codex", "llm", "opencode", "run"]

LIMIT_S = 120.0
"""They take 1 to 15 seconds; what is stuck ends here."""

MODULES = Path(__file__).resolve().parents[2] / ".ci-node" / "node_modules"

_CODEX_SETTINGS = """\
check_for_update_on_startup = false
approval_policy = "never"
sandbox_mode = "danger-full-access"
[analytics]
enabled = false
"""
"""No calls home, nobody to ask. Its own sandbox may not run where tests run in one."""

_CLAUDE_SETTINGS = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
}
_OPENCODE_SETTINGS = {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"}
_OPENCODE_PACKAGES: Mapping[WireName, str] = {
    "chat": "@ai-sdk/openai-compatible",
    "responses": "@ai-sdk/openai",
    "messages": "@ai-sdk/anthropic",
}


@dataclass(frozen=True, slots=True)
class Ran:
    """How a client ended: `folder` is where it worked, `output` what it said."""

    folder: Path
    returncode: int
    output: str

    def __repr__(self) -> str:
        return f"it ended with {self.returncode} and said:\n{self.output[-6000:]}"

    @property
    def events(self) -> list[JsonObject]:
        """The lines of its output that are JSON objects."""
        return [event for line in self.output.splitlines() if (event := _json_line(line)) is not None]


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked a gateway for: the status it got, and what of the request was not carried on."""

    path: str
    status: int
    losses: frozenset[str]


@dataclass(slots=True)
class Witness:
    """A gateway that keeps what it was asked for, and how it answered."""

    app: ASGIApp
    requests: list[Request] = field(default_factory=list[Request])

    @property
    def refused(self) -> list[Request]:
        return [request for request in self.requests if request.status >= 400]

    @property
    def losses(self) -> set[str]:
        return {loss for request in self.requests for loss in request.losses}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def seen(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: dict[bytes, bytes] = dict(message["headers"])
                said = headers.get(b"x-agent-core-losses", b"").decode()
                losses = frozenset(loss for loss in said.split(", ") if loss)
                self.requests.append(Request(scope["path"], message["status"], losses))
            await send(message)

        await self.app(scope, receive, seen if scope["type"] == "http" else send)


def codex(url: str, model: str, task: str, place: Path, config: str = "") -> Ran:
    """npm's `@openai/codex`. `config`: what its config.toml says of the model, where it is not this gateway."""
    binary = codex_binary()
    home, folder = _home(place), _folder(place)
    (home / ".codex").mkdir()
    config = config or (
        f'model = "{model}"\nmodel_provider = "lab"\n[model_providers.lab]\nname = "lab"\n'
        f'base_url = "{url}/v1"\nwire_api = "responses"\n'
    )
    (home / ".codex" / "config.toml").write_text(_before_tables(config, _CODEX_SETTINGS))
    return run([binary, "exec", "--json", "--skip-git-repo-check", task], home, folder)


def claude(url: str, model: str, task: str, place: Path, settings: Mapping[str, str] | None = None) -> Ran:
    """npm's `@anthropic-ai/claude-code`. `settings`: its environment, where it is not this gateway and model."""
    binary = _claude_binary()
    home, folder = _home(place), _folder(place)
    settings = settings or {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": "none",
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_SMALL_FAST_MODEL": model,
    }
    command = [binary, "-p", task, "--output-format", "stream-json", "--verbose", "--allowedTools", "Bash"]
    return run(command, home, folder, {**_CLAUDE_SETTINGS, **settings})


def opencode(url: str, wire: WireName, model: str, task: str, place: Path) -> Ran:
    """npm's `opencode-ai`, whose settings say which wire it speaks."""
    binary = MODULES / "opencode-ai" / "bin" / "opencode.exe"
    if not binary.is_file():
        pytest.skip("opencode is not installed: npm install --prefix .ci-node opencode-ai@1.18.33")
    home, folder = _home(place), _folder(place)
    provider = {
        "npm": _OPENCODE_PACKAGES[wire],
        "name": "lab",
        "options": {"baseURL": f"{url}/v1", "apiKey": "none"},
        "models": {model: {"name": model, "tool_call": True, "limit": {"context": 100_000, "output": 4_000}}},
    }
    config = {
        "autoupdate": False,
        "share": "disabled",
        "model": f"lab/{model}",
        "small_model": f"lab/{model}",
        "permission": {"bash": "allow"},
        "provider": {"lab": provider},
    }
    (folder / "opencode.json").write_text(json.dumps(config))
    return run([str(binary), "run", "--format", "json", task], home, folder, _OPENCODE_SETTINGS)


def llm(url: str, model: str, task: str, place: Path, *options: str) -> Ran:
    """PyPI's `llm`, of the environment the tests run in."""
    if find_spec("llm") is None:
        pytest.skip("llm is not installed: pip install -e '.[dev]'")
    home, folder = _home(place), _folder(place)
    described = {"model_id": "lab", "model_name": model, "api_base": f"{url}/v1", "supports_tools": True}
    (home / "extra-openai-models.yaml").write_text(json.dumps([described]))  # JSON is YAML
    command = [sys.executable, "-m", "llm", "-m", "lab", "--key", "none", *options, task]
    return run(command, home, folder, {"LLM_USER_PATH": str(home)})


def run(command: Sequence[str], home: Path, folder: Path, settings: Mapping[str, str] | None = None) -> Ran:
    """One command to its end. Raises AssertionError with what it said where that does not come in LIMIT_S."""
    node = shutil.which("node")
    path = os.pathsep.join([*([str(Path(node).parent)] if node else []), "/usr/bin", "/bin"])
    environment = {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", **(settings or {})}
    said = home / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            returncode = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            returncode = None
        finally:
            _kill_group(process)
    ran = Ran(folder, returncode if returncode is not None else -1, said.read_text("utf-8", "replace"))
    assert returncode is not None, f"after {LIMIT_S:g} s {Path(command[0]).name} was not done; {ran}"
    return ran


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # a group of its own; also what it left behind
    process.wait()


def _claude_binary() -> str:
    named = os.environ.get("AGENT_CORE_CLAUDE")
    if named:
        return named
    there = sorted(MODULES.glob("@anthropic-ai/claude-code-*/claude"))
    found = str(there[0]) if there else shutil.which("claude")
    if found is None:
        pytest.skip("Claude Code is not installed: npm install --prefix .ci-node @anthropic-ai/claude-code")
    return found


def _home(place: Path) -> Path:
    home = place / "home"
    home.mkdir()
    return home


def _folder(place: Path) -> Path:
    folder = place / "work"
    folder.mkdir()
    return folder


def _before_tables(config: str, settings: str) -> str:
    """One TOML document of two: plain members stand before the first table."""
    plain, bracket, tables = config.partition("[")
    return plain + settings + bracket + tables


def _json_line(line: str) -> JsonObject | None:
    try:
        return json_object(json.loads(line))
    except ValueError:
        return None
