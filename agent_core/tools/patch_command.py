"""Patches that a model sends through a shell: `apply_patch <<'EOF' …`, which is no program there is.

Taken for a patch is only what is nothing else: one command, `cd DIR &&` before it at most, its heredoc to the end of
the script. What has anything around it is left to the shell, which knows no such command (codex.md 4).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

__all__ = ["ShellPatch", "shell_patch"]

_NAMES = ("apply_patch", "applypatch")
_FLAGS = {
    **dict.fromkeys(("bash", "zsh", "sh"), ("-c", "-lc")),
    **dict.fromkeys(("pwsh", "powershell"), ("-command",)),
    "cmd": ("/c",),
}
_PLAIN = r"""[^\s'"$`\\;&|<>(){}*?~#]"""
_SCRIPT = re.compile(
    rf"""\s*(?:cd[ \t]+(?:'([^'\n]+)'|"([^"$`\\\n]+)"|((?!-){_PLAIN}+))[ \t]*&&\s*)?"""
    r"""(?:apply_patch|applypatch)[ \t]*<<-?[ \t]*(?:'(\w+)'|"(\w+)"|(\w+))[ \t]*\r?\n(.*)""",
    re.DOTALL,
)


class ShellPatch(Struct, frozen=True):
    """The text of the patch, and the directory it is meant for, as it was named; empty for the one it is sent to."""

    text: str
    workdir: str = ""


def shell_patch(command: str | Sequence[str]) -> ShellPatch | None:
    """The patch a shell command is, or None if it is another command. Runs nothing."""
    if isinstance(command, str):
        return _of_script(command)
    argv = list(command)
    if len(argv) == 2 and argv[0] in _NAMES:
        return ShellPatch(argv[1])
    if not argv:
        return None
    shell = re.split(r"[/\\]", argv[0])[-1].lower().removesuffix(".exe")
    if len(argv) == 4 and shell in ("pwsh", "powershell") and argv[1].lower() == "-noprofile":
        del argv[1]
    if len(argv) == 3 and argv[1].lower() in _FLAGS.get(shell, ()):
        return _of_script(argv[2])
    return None


def _of_script(script: str) -> ShellPatch | None:
    found = _SCRIPT.fullmatch(script)
    if found is None:
        return None
    *directory, single, double, bare, body = found.groups()
    word = single or double or bare
    lines = body.rstrip().split("\n")
    ends = [n for n, line in enumerate(lines) if line.removesuffix("\r") == word]
    if ends != [len(lines) - 1]:  # no end, or something below it
        return None
    return ShellPatch("\n".join(lines[:-1]), next(filter(None, directory), ""))
