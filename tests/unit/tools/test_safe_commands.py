"""is_known_safe: what certainly changes nothing, and everything that may."""

from __future__ import annotations

import pytest

from agent_core.tools import safe_commands
from agent_core.tools.safe_commands import is_known_safe, parsed_commands


@pytest.mark.parametrize(
    "command",
    [
        "ls -la src",
        "cat 'a file' \"another\" *.py",
        "cd src && grep -rn 'def x' . | head -20; wc -l a.py",
        "ls # what is here",
        "find . -name '*.py' -type f",
        "rg -n pattern src",
        "sed -n 1,20p a.py",
        "sed -n '5p' a.py",
        "git status --short",
        "git --no-pager log --oneline -5",
        "git diff HEAD~1 -- src",
        "git branch -a",
        "git stash list",
        ["ls", "-la"],
        ["cat", "a; rm -rf b"],
        ["bash", "-lc", "ls && pwd"],
    ],
)
def test_safe(command: str | list[str]) -> None:
    """Reading commands, alone, in lists and in pipes."""
    assert is_known_safe(command)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "rm -rf x",
        "ls && rm x",
        "ls; (rm x)",
        "ls > x",
        "cat < /dev/tcp/127.0.0.1/1",
        "ls &",
        "! ls",
        "echo $(rm x)",
        "echo `rm x`",
        'echo "a $(rm x)"',
        "cat <(rm x)",
        "echo $HOME",
        "PATH=. ls",
        "PATH=.",
        "if true; then ls; fi",
        "for x in a; do ls; done",
        "f() { rm x; }; f",
        "cat <<EOF\nx\nEOF",
        "echo $'a'",
        "l\\s",
        "./ls",
        "/bin/ls",
        "find . -delete",
        "find . -name x -exec rm {} +",
        "find *",
        "rg --pre ./x a",
        "rg --pr=./x a",
        "sed -i s/a/b/ x",
        "sed -n '1e rm x' y",
        "sed -n 1p -i x",
        "git commit -m x",
        "git -c core.pager=x log",
        "git -C /other status",
        "git diff --output=x",
        "git log --outp x",
        "git diff --ext-diff",
        "git branch new",
        "git branch -D main",
        "git remote add a b",
        "base64 -o x y",
        "sort -o x y",
        "xargs rm",
        "env rm x",
        "awk 'BEGIN { system(\"rm x\") }'",
        "ls 'unclosed",
        ["rm", "x"],
        ["bash", "-c", "rm x"],
        ["bash", "script.sh"],
        [],
        "ls;" * 100,
        "echo " + "x" * 20_000,
    ],
)
def test_not_known_to_be_safe(command: str | list[str]) -> None:
    """What writes, runs, expands, or is not understood whole."""
    assert not is_known_safe(command)


def test_words_as_the_shell_sees_them() -> None:
    """Quotes are gone, and what the shell would expand is marked."""
    assert parsed_commands("cat 'a b'\"c\"d *.py") == [[("cat", False), ("a bcd", False), ("*.py", True)]]


def test_without_a_parser_no_line_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of words needs none."""
    monkeypatch.setattr(safe_commands, "_parser", lambda: None)
    assert (is_known_safe("ls"), is_known_safe(["ls"])) == (False, True)


@pytest.mark.parametrize(
    ("program", "safe"),
    [
        ("bash", True),
        ("/bin/sh", True),
        ("/usr/bin/zsh", True),
        ("./bash", False),
        ("/tmp/bash", False),
        ("x/sh", False),
    ],
)
def test_a_program_called_like_a_shell_is_none(program: str, safe: bool) -> None:
    """The workspace may hold a `bash` of its own: only the system's reads a script and nothing else."""
    assert is_known_safe([program, "-c", "ls"]) == safe
