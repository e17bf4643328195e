"""`providers`: the table, and which keys are set."""

from __future__ import annotations

import json

import pytest

from agent_core.cli import main
from agent_core.cli.exits import Exit
from agent_core.cli.providers import wires_of
from agent_core.providers import PROVIDERS, Provider

SECRET = "sk-do-not-show-this"


def test_json_says_which_keys_are_set(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of variables and whether they are set, in the order of the table."""
    monkeypatch.setenv("GROQ_API_KEY", SECRET)
    monkeypatch.setenv("XAI_API_KEY", " ")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(["providers", "--json"]) == Exit.OK
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    rows = {line["name"]: line for line in lines}
    assert [line["name"] for line in lines] == list(PROVIDERS)
    assert rows["groq"] == {
        "name": "groq",
        "wires": list(wires_of(PROVIDERS["groq"])),
        "default_wire": PROVIDERS["groq"].wire,
        "base_url": "https://api.groq.com/openai/v1",
        "key_env": [{"name": "GROQ_API_KEY", "set": True}],
        "key_required": True,
    }
    assert [rows[name]["key_env"][0]["set"] for name in ("xai", "openai")] == [False, False]


def test_no_key_is_ever_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither form holds a key's value or any other value of the environment."""
    for row in PROVIDERS.values():
        for name in row.key_env:
            monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", f"https://{SECRET}.example")
    assert (main(["providers"]), main(["providers", "--json"])) == (Exit.OK, Exit.OK)
    out, err = capsys.readouterr()
    assert (SECRET in out, SECRET in err, "OPENAI_API_KEY is set" in out) == (False, False, True)


def test_the_table_has_a_row_for_every_provider(capsys: pytest.CaptureFixture[str]) -> None:
    """Name, wires and key of each, under headings, in aligned columns."""
    assert main(["providers"]) == Exit.OK
    head, *lines = capsys.readouterr().out.splitlines()
    rows = lines[: len(PROVIDERS)]
    assert head.split() == ["PROVIDER", "WIRES", "BASE", "URL", "KEY"]
    assert [row.split()[0] for row in rows] == list(PROVIDERS)
    assert {row[head.index("WIRES") - 1] for row in rows} == {" "}
    assert {row[head.index("KEY") - 1] for row in rows} == {" "}


def test_the_default_wire_comes_first() -> None:
    """A row that names no wires speaks any."""
    assert wires_of(Provider("lab", "http://x/v1", wire="messages")) == ("messages", "chat", "responses")
    assert wires_of(PROVIDERS["anthropic"])[0] == "messages"
