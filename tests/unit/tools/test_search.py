"""list_dir, glob and grep over a small real project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent_core.items import JsonValue
from agent_core.tools import Glob, Grep, ListDir, Tool, ToolContext, ToolOutput, search, tree

from .calls import call

FILES = {
    ".gitignore": "*.log\n/build/\n",
    "README.md": "# The project\nIt adds numbers.\n",
    "src/add.py": "def add(a, b):\n    return a + b\n\n\ndef more():\n    return add(1, 2)\n",
    "src/data.bin": "a\0add\n",
    "src/sub/.gitignore": "!kept.log\nlocal.py\n",
    "src/sub/kept.log": "add\n",
    "src/sub/local.py": "add\n",
    "src/sub/deep.py": "import add\r\n",
    "debug.log": "add\n",
    "build/out.py": "add\n",
    ".git/config": "add\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    cwd = tmp_path / "project"
    for n, (name, text) in enumerate(FILES.items()):
        path = cwd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, newline="")
        os.utime(path, (1000 + n, 1000 + n))
    (tmp_path / "secret.py").write_text("add secret\n")
    (cwd / "link.py").symlink_to("../secret.py")
    (cwd / "loop").symlink_to(".")
    return cwd


async def run(tool: Tool, cwd: Path, **arguments: JsonValue) -> ToolOutput:
    return await tool.run(call(tool.spec.name, arguments), ToolContext(cwd))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, ".gitignore|README.md|link.py@|loop@|src/"),
        ({"path": "src", "depth": 2}, "add.py|data.bin|sub/|  .gitignore|  deep.py|  kept.log"),
        ({"ignored": True}, ".git/|.gitignore|README.md|build/|debug.log|link.py@|loop@|src/"),
        ({"limit": 2}, ".gitignore|README.md|[3 more names; set limit or path]"),
        ({"path": "none"}, "'none' is no directory; name a directory"),
        ({"path": "README.md"}, "'README.md' is no directory; name a directory"),
        ({"path": ".."}, "'..' is outside the allowed directories; use a path below the working directory"),
        ({"depth": 0}, "invalid arguments: depth: Input should be greater than or equal to 1 (got 0); correct"),
    ],
)
async def test_list_dir(arguments: dict[str, JsonValue], expected: str, project: Path) -> None:
    """Names in order, folders marked, links marked and never followed, what git ignores left out unless asked for."""
    output = await run(ListDir(), project, **arguments)
    assert isinstance(output.content, str)
    assert output.content.replace("\n", "|")[: len(expected)] == expected


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"pattern": "*.py"}, "link.py|src/sub/deep.py|src/add.py"),
        ({"pattern": "/*.md"}, "README.md"),
        ({"pattern": "src/**/*.py"}, "src/sub/deep.py|src/add.py"),
        ({"pattern": "*.py", "path": "src/sub"}, "src/sub/deep.py"),
        ({"pattern": "*.py", "path": "src/sub", "ignored": True}, "src/sub/deep.py|src/sub/local.py"),
        ({"pattern": "*.log"}, "src/sub/kept.log"),
        ({"pattern": "*.py", "limit": 1}, "link.py|[2 more files; set limit or path]"),
        ({"pattern": "*.rs"}, "[no file matches]"),
        ({"pattern": " "}, "pattern: it is empty; As in .gitignore"),
    ],
)
async def test_glob(arguments: dict[str, JsonValue], expected: str, project: Path) -> None:
    """Patterns mean what they mean to git; what changed last comes first (the links are newer than the files)."""
    output = await run(Glob(), project, **arguments)
    assert isinstance(output.content, str)
    assert output.content.replace("\n", "|")[: len(expected)] == expected


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"pattern": r"\badd\b"},
            "src/add.py:1:def add(a, b):|src/add.py:6:    return add(1, 2)|src/sub/deep.py:1:import add"
            "|src/sub/kept.log:1:add",
        ),
        ({"pattern": "ADD", "ignore_case": True, "path": "src/sub", "glob": "*.py"}, "src/sub/deep.py:1:import add"),
        ({"pattern": "add", "path": "src/add.py", "limit": 1}, "src/add.py:1:def add(a, b):|[stopped at 1 matches"),
        (
            {"pattern": "return a|return add", "context": 1, "path": "src/add.py"},
            "src/add.py-1-def add(a, b):|src/add.py:2:    return a + b|src/add.py-3-|--|src/add.py-5-def more():"
            "|src/add.py:6:    return add(1, 2)",
        ),
        ({"pattern": "nowhere"}, "[no match in 7 files]"),
        ({"pattern": "secret"}, "[no match in 7 files]"),
        ({"pattern": "("}, "the pattern is no regular expression: missing ), unterminated subpattern at position 0; "),
        ({"pattern": "a", "path": "none"}, "there is no file or folder 'none'; check the path"),
        ({"pattern": "a", "path": "link.py"}, "'link.py' is outside the allowed directories"),
    ],
)
async def test_grep(arguments: dict[str, JsonValue], expected: str, project: Path) -> None:
    """Lines as path:line:text; lines beside them with dashes; binary files and links are not searched."""
    output = await run(Grep(), project, **arguments)
    assert isinstance(output.content, str)
    assert output.content.replace("\n", "|")[: len(expected)] == expected


@pytest.mark.anyio
async def test_a_pattern_without_end_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pattern that backtracks for ever is stopped, and the model told so."""
    monkeypatch.setattr(search, "SEARCH_S", 0.3)
    (tmp_path / "f").write_text("a" * 60 + "b\n")
    output = await run(Grep(), tmp_path, pattern="(a+)+$")
    assert output.content == "the search took longer than 0.3 s; use a simpler pattern, or set path or glob"


@pytest.mark.anyio
async def test_what_is_too_large_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Files, trees and outputs beyond the bounds are cut, and the cut is named."""
    monkeypatch.setattr(search, "MAX_FILE_BYTES", 1024 * 1024)
    monkeypatch.setattr(search, "MAX_OUTPUT_CHARS", 100)
    (tmp_path / "big").write_bytes(b"add\n" * 300_000)
    (tmp_path / "long").write_text("add" + "x" * 1000 + "\n" + "add\n" * 50)
    output = await run(Grep(), tmp_path, pattern="add", path=".")
    assert output.content == "[51 more lines do not fit]\n[1 files of more than 1 MiB were not searched]"
    monkeypatch.setattr(tree, "MAX_ENTRIES", 1)
    listed = await run(ListDir(), tmp_path)
    assert listed.content == "big\n[stopped after 1 names: look in a folder below]"
