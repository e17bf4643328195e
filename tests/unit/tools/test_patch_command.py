"""Patches sent through a shell: taken for one only where there is nothing else (codex.md 4 and 8)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent_core.items import JsonValue
from agent_core.tools import ApplyPatch, Shell, ToolContext
from agent_core.tools.patch_command import ShellPatch, shell_patch

from .calls import call

PATCH = "*** Begin Patch\n*** Add File: a.txt\n+it's $HOME\n*** End Patch"
HEREDOC = f"apply_patch <<'EOF'\n{PATCH}\nEOF"


@pytest.mark.parametrize(
    ("command", "workdir"),
    [
        (HEREDOC, ""),
        (f"{HEREDOC}\n", ""),
        (f'applypatch <<"PATCH"\n{PATCH}\nPATCH\n', ""),
        (f"apply_patch <<X\n{PATCH}\nX", ""),
        (f"  apply_patch  << 'EOF'\n{PATCH}\nEOF\n\n", ""),
        (f"cd sub/dir && {HEREDOC}", "sub/dir"),
        (f"cd 'with space' && {HEREDOC}", "with space"),
        (f'cd "with space" &&\n{HEREDOC}', "with space"),
        (["apply_patch", PATCH], ""),
        (["applypatch", PATCH], ""),
        (["bash", "-lc", HEREDOC], ""),
        (["/usr/bin/zsh", "-c", f"cd x && {HEREDOC}"], "x"),
        (["sh", "-c", HEREDOC], ""),
        (["powershell.exe", "-NoProfile", "-Command", HEREDOC], ""),
        (["pwsh", "-Command", HEREDOC], ""),
        (["cmd", "/c", HEREDOC], ""),
    ],
)
def test_taken_for_a_patch(command: str | list[str], workdir: str) -> None:
    """One command and its heredoc, whose text is taken as it stands."""
    assert shell_patch(command) == ShellPatch(PATCH, workdir)


@pytest.mark.parametrize(
    "command",
    [
        "ls",
        "",
        "apply_patch",
        f"echo hi; {HEREDOC}",
        f"{HEREDOC}\necho done",
        f"apply_patch <<'EOF' && echo done\n{PATCH}\nEOF",
        f"apply_patch <<'EOF' | tee log\n{PATCH}\nEOF",
        f"apply_patch x <<'EOF'\n{PATCH}\nEOF",
        f"apply_patch <<'EOF'\n{PATCH}\nOTHER",
        f"apply_patch <<'EOF'\n{PATCH}\nEOF\nrm -r x\nEOF",
        f"cd a b && {HEREDOC}",
        f"cd -P a && {HEREDOC}",
        f"cd $HOME && {HEREDOC}",
        f'cd "$HOME" && {HEREDOC}',
        f"cd a || {HEREDOC}",
        f"cd a; {HEREDOC}",
        f"FOO=1 {HEREDOC}",
        f"cat <<'EOF'\n{PATCH}\nEOF",
        f"sudo {HEREDOC}",
        [],
        ["apply_patch"],
        ["apply_patch", PATCH, "x"],
        ["bash", "-x", HEREDOC],
        ["python", "-c", HEREDOC],
    ],
)
def test_not_taken_for_a_patch(command: str | list[str]) -> None:
    """What has anything around it, or is ambiguous, is a command like any other."""
    assert shell_patch(command) is None


@pytest.mark.anyio
async def test_the_shell_hands_it_on(tmp_path: Path) -> None:
    """Asked about as a patch, run as one, below the same roots, in the directory it names."""
    shell, context = Shell(patches=ApplyPatch()), ToolContext(tmp_path)
    asked = call("shell", {"command": f"cd sub && {HEREDOC}"})
    request = shell.approval(asked, context)
    assert request is not None
    assert (request.tool, request.summary, request.detail) == ("apply_patch", "patch a.txt", PATCH)
    output = await shell.run(asked, context)
    assert (output.content, output.success) == ("Success. Updated the following files:\nA a.txt", True)
    assert (tmp_path / "sub/a.txt").read_text() == "it's $HOME\n"
    outside = await shell.run(call("shell", {"command": HEREDOC, "workdir": ".."}), context)
    assert (outside.success, list(tmp_path.parent.glob("a.txt"))) == (False, [])


@pytest.mark.anyio
async def test_a_bare_patch_is_no_command(tmp_path: Path) -> None:
    """Not asked about and not run: the model is told which tool it meant."""
    arguments: dict[str, JsonValue] = {"command": PATCH}
    asked = call("shell", json.dumps(arguments))
    assert Shell().approval(asked, ToolContext(tmp_path)) is None
    output = await Shell().run(asked, ToolContext(tmp_path))
    assert (output.content, output.success) == ("command: it is a patch; call apply_patch with it", False)
