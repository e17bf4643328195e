"""What the documentation says is true: its Python runs, its command lines parse, its links lead somewhere.

A fence ```python is run as it stands, in an empty directory, without keys, and with warnings as errors. One that needs
a key is marked ```python no-run; it has to compile.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

import pytest

from agent_core.cli import _COMMANDS

from ..forked import run_python

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

FENCE = re.compile(r"^```(\w+)?[ ]?([\w -]*)\n(.*?)^```$", re.M | re.S)
INLINE_COMMAND = re.compile(rf"`(agent-core (?:{'|'.join(_COMMANDS)})[^`]*)`")
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
OPTION = re.compile(r"(?<![\w-])(--?[a-z][a-z-]*)")


@dataclass(frozen=True, slots=True)
class Fence:
    page: Path
    line: int
    language: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def fences(*languages: str) -> list[Fence]:
    found: list[Fence] = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in FENCE.finditer(text):
            if (match[1] or "") in languages:
                line = text.count("\n", 0, match.start()) + 1
                found.append(Fence(page, line, match[1] or "", match[2].strip(), match[3]))
    return found


def keyless() -> dict[str, str]:
    """An environment in which nothing can reach a real provider."""
    secrets = ("_KEY", "_TOKEN", "_SECRET")
    return {
        name: value for name, value in os.environ.items() if not name.endswith(secrets) and "AGENT_CORE" not in name
    }


@pytest.mark.parametrize("fence", [fence for fence in fences("python") if not fence.mark], ids=str)
def test_python_runs(fence: Fence, tmp_path: Path) -> None:
    """An example does what a reader who pastes it would see: no error, no warning, some output."""
    ran = run_python(fence.text, tmp_path, keyless())
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout


def test_python_that_needs_a_key_compiles() -> None:
    """What is not run is marked so, and is Python at least."""
    for fence in fences("python"):
        if fence.mark:
            assert fence.mark == "no-run", fence
            compile(fence.text, str(fence), "exec")


@pytest.mark.parametrize("fence", fences("json"), ids=str)
def test_json_is_json(fence: Fence) -> None:
    """What is shown as JSON can be read as JSON."""
    json.loads(fence.text)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_examples_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each example is short, runs without a key, and shows something."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ.keys() - keyless().keys():
        monkeypatch.delenv(name)
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out
    assert len(path.read_text("utf-8").splitlines()) < 40


def parser_of(command: str) -> ArgumentParser:
    parser = ArgumentParser(prog=f"agent-core {command}")
    import_module(f"agent_core.cli.{command}").add_arguments(parser)
    return parser


def command_lines() -> list[str]:
    shown = [line[2:] for fence in fences("console", "sh") for line in fence.text.splitlines() if line.startswith("$ ")]
    prose = [match[1] for page in PAGES for match in INLINE_COMMAND.finditer(page.read_text("utf-8"))]
    return [line for line in shown + prose if line.startswith("agent-core ")]


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_parse(line: str) -> None:
    """A command line that is shown is one that is understood."""
    _, command, *arguments = shlex.split(line, comments=True)
    parser_of(command).parse_args(arguments)  # leaves with a usage error if it is none


@pytest.mark.parametrize("command", _COMMANDS)
def test_the_synopsis_names_every_option(command: str) -> None:
    """docs/cli.md lists all options a command has, and none it has not."""
    (synopsis,) = [fence.text for fence in fences("") if "agent-core demo" in fence.text]
    usage = re.search(rf"^agent-core {command}(?=\s).*?(?=^agent-core|\Z)", synopsis, re.M | re.S)
    assert usage is not None, f"docs/cli.md has no synopsis of {command}"
    named = set(OPTION.findall(usage[0].removeprefix(f"agent-core {command}")))
    options = list(options_of(parser_of(command)))
    assert named <= set().union(*options)
    assert [names for names in options if names and not names & named] == []


def options_of(parser: ArgumentParser) -> Iterator[set[str]]:
    """Of a command and of its actions, where it has some: the names of each option."""
    for action in parser._actions:
        choices = cast("object", action.choices)
        if isinstance(choices, Mapping):  # actions of the command, by name
            for below in cast("Mapping[str, ArgumentParser]", choices).values():
                yield from options_of(below)
        elif action.dest != "help":
            yield set(action.option_strings)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    """Files and headings that are linked to exist."""
    broken: list[str] = []
    for target, heading in LINK.findall(page.read_text("utf-8")):
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (heading and heading not in anchors(path)):
            broken.append(f"{target}#{heading}")
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub spells them in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
