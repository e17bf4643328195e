"""`probe`: an endpoint's facts and its row, as a table and as JSON lines."""

from __future__ import annotations

import json

import pytest

from agent_core.cli import main
from agent_core.cli.exits import Exit
from agent_core.codecs import WIRES
from agent_core.items import WireName
from agent_core.probe.facts import FACTS
from agent_core.providers import Endpoint, Provider
from agent_core.testing import RehearsalServer, Step

from ..probe.endpoint import obliging


def facts_of(wire: WireName) -> list[str]:
    return [name for fact in FACTS if wire in fact.wires for name in fact.names]


@pytest.mark.parametrize("wire", WIRES)
def test_the_table_and_the_row(wire: WireName, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each fact, in aligned columns, then source that can be pasted, then what it took."""
    with RehearsalServer(obliging, pace_s=0) as server:
        assert main(["probe", "-m", "lab/any", "--base-url", server.base_url, "--wire", wire]) == Exit.OK
        asked = len(server.requests)
    out, err = capsys.readouterr()
    table, row, took = out.split("\n\n")
    head, *lines = table.splitlines()
    assert (err, head.split()) == ("", ["FACT", "ANSWER", "EVIDENCE"])
    assert [line[: head.index("ANSWER")].strip() for line in lines] == facts_of(wire)
    assert all(line[head.index("ANSWER") - 1] == " " and line[head.index("ANSWER")] != " " for line in lines)
    assert row.startswith(f"# measured with 'any' on the {wire} wire\nProvider(\n")
    assert isinstance(eval(row, {"Provider": Provider, "Endpoint": Endpoint}), Provider)
    assert took.startswith(f"{asked} requests, ")


def test_json_is_a_line_a_fact_and_the_row(capsys: pytest.CaptureFixture[str]) -> None:
    """The facts as they are found, the row last."""
    with RehearsalServer(obliging, pace_s=0) as server:
        assert main(["probe", "-m", "lab/any", "--base-url", server.base_url, "--json"]) == Exit.OK
    out, err = capsys.readouterr()
    *facts, row = [json.loads(line) for line in out.splitlines()]
    assert (err, [(fact["type"], fact["fact"]) for fact in facts]) == ("", [("fact", n) for n in facts_of("chat")])
    assert facts[0] == {
        "type": "fact",
        "fact": "streams text",
        "answer": "yes",
        "evidence": "13 characters, ended by 'stop', calls itself 'any'",
        "compat": {"include_usage": True, "max_tokens_field": "max_tokens"},
    }
    assert set(row) == {
        "type", "provider", "model", "wire", "compat", "row", "contradicts", "requests", "duration_s",
    }  # fmt: skip
    assert (row["type"], row["provider"], row["model"], row["wire"]) == ("row", "lab", "any", "chat")
    assert row["compat"] == {"custom_tools": True, "images_in_tool_results": True}


def test_a_shipped_script_needs_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    """`rehearsal/…` brings its own."""
    assert main(["probe", "-m", "rehearsal/think"]) == Exit.OK
    out, err = capsys.readouterr()
    assert (err, "in reasoning_content" in out, '\n    "rehearsal",\n' in out) == ("", True, True)


def test_a_refused_key_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """No headings without facts; with --json the error is a line of stdout too."""
    with RehearsalServer([Step(status=401, error="bad key")]) as server:
        argv = ["probe", "-m", "lab/any", "--base-url", server.base_url]
        assert main(argv) == Exit.FAILED
        assert capsys.readouterr() == ("", "error: bad key - check the API key of this provider\n")
        assert main([*argv, "--json"]) == Exit.FAILED
        assert json.loads(capsys.readouterr().out)["error"] == "AuthenticationError"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "the following arguments are required: -m/--model"),
        (["-m", "nosuch/x"], "unknown provider 'nosuch'"),
        (["-m", "lab/x", "--base-url", "ftp://x"], "base URL 'ftp://x'"),
        (["-m", "lab/x", "--wire", "bogus"], "'bogus'"),
        (["-m", "lab/x", "--timeout", "0"], "'0' is not a number of seconds up to 3600"),
        (["-m", "lab/x", "--timeout", "nan"], "'nan' is not a number of seconds up to 3600"),
        (["-m", "lab/x", "--timeout", "soon"], "'soon' is not a number of seconds up to 3600"),
    ],
)
def test_bad_usage_sends_nothing(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says what is wrong, and exit code 2."""
    assert main(["probe", *argv]) == Exit.USAGE
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines()), said in err) == ("", 1, True)
