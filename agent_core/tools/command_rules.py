"""Commands as rules see them: each command of a line on its own, and what may be remembered of it.

A line counts only if a real shell parser understood it whole (safe_commands): with a redirection, an expansion, a
variable or a loop in it there is nothing to remember. What is proposed is narrow: all words of the command, or the
first two of a few programs where those say what is done (`git status`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..approvals import Action, Rule
from .safe_commands import SHELLS, is_known_safe, parsed_commands

__all__ = ["actions_of", "proposed_rule"]

_FIRST_WORDS: Mapping[str, frozenset[str]] = {
    "git": frozenset(("status", "add", "commit", "blame", "restore", "switch", "stash", "branch", "tag")),
    "ruff": frozenset(("check", "format")),
}
"""Programs of which two words say enough: nothing that may follow runs a program of its own choosing. `make --eval`,
`go test -exec`, `cargo --config`, `pytest -p` and any interpreter do; of those only the very command is proposed."""


_MOVES = frozenset(("cd", "pushd", "popd"))


def actions_of(command: str | Sequence[str], *, escalated: bool = False, cwd: str = "") -> tuple[Action, ...]:
    """The commands of a line, or the one of a list of a program and its arguments; none if they cannot be told."""
    argv = [] if isinstance(command, str) else list(command)
    if len(argv) == 3 and argv[0] in SHELLS and argv[1] in ("-c", "-lc"):
        return actions_of(argv[2], escalated=escalated, cwd=cwd)
    if not isinstance(command, str):
        return (_action(tuple(argv), escalated=escalated, cwd=cwd),)
    parsed = parsed_commands(command)
    if parsed is None or any(expands for words in parsed for _, expands in words):
        return ()  # a pattern stands for other files tomorrow
    lines = [tuple(word for word, _ in words) for words in parsed]
    if escalated and len(lines) > 1:
        # Parts of different lines that may leave the sandbox must not be put together to one that nobody was shown.
        return tuple(Action("command", words, is_known_safe(words)) for words in lines)
    moved = next((n for n, words in enumerate(lines) if words[0] in _MOVES), len(lines))
    return tuple(_action(words, escalated=escalated, cwd=cwd if n <= moved else "") for n, words in enumerate(lines))


def proposed_rule(words: tuple[str, ...], *, escalated: bool = False, cwd: str = "") -> Rule | None:
    """What "for this session" remembers of a command; outside the sandbox that very command. None if its place would
    have to be known and is not."""
    first = None if escalated else _FIRST_WORDS.get(words[0])
    if first is None or len(words) < 2 or words[1] not in first:
        return Rule("command", words, escalated=escalated, cwd=cwd) if cwd else None
    return Rule("command", words[:2], prefix=True)


def _action(words: tuple[str, ...], *, escalated: bool, cwd: str) -> Action:
    rule = proposed_rule(words, escalated=escalated, cwd=cwd)
    return Action("command", words, is_known_safe(words), cwd, rule)
