"""Which tools run, which are asked about, which are refused, and which are the caller's to run: rules, not code.

    ToolPolicy([ToolRule("fs_read", "allow"), ToolRule("fs_*", "ask"), ToolRule("shell", "deny")], default="hand_back")

The first rule whose name matches a call decides; where none does, `default`. Without a policy each tool says itself
what it needs a yes for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from msgspec import Struct

from .errors import ConfigError

__all__ = ["ToolAction", "ToolPolicy", "ToolRule"]

ToolAction = Literal["allow", "ask", "deny", "hand_back", "tool"]
"""`allow`: it runs and nobody is asked. `ask`: an approval is asked for, even where the tool asks for none. `deny`: the
model is told that the policy denies the tool. `hand_back`: the call is the caller's to answer, and the run pauses for
it. `tool`: what the tool says itself, its `approval`."""


class ToolRule(Struct, frozen=True):
    """`name`: a tool's, or the beginning of one and a `*`. `timeout_s`: instead of the tool's own."""

    name: str
    action: ToolAction
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or "*" in self.name[:-1]:
            raise ConfigError(
                f"a rule names a tool, got {self.name!r:.100}", remedy="give a whole name, or its beginning and one '*'"
            )
        _check_action(self.action)
        limit: object = self.timeout_s
        if limit is not None and (type(limit) not in (int, float) or not 0 < self.timeout_s < math.inf):  # type: ignore[operator]  # checked just before
            raise ConfigError(f"timeout_s must be a number above 0, or None, got {limit!r:.100}")

    def matches(self, name: str) -> bool:
        if self.name.endswith("*"):
            return name.startswith(self.name[:-1])
        return name == self.name


class ToolPolicy:
    """Ordered rules and what holds where none matches. Immutable."""

    __slots__ = ("default", "rules")

    def __init__(self, rules: Sequence[ToolRule] = (), *, default: ToolAction = "tool") -> None:
        given: object = rules
        if not isinstance(given, list | tuple) or not all(isinstance(rule, ToolRule) for rule in rules):
            raise ConfigError(f"rules must be a list of ToolRule, got {rules!r:.100}")
        _check_action(default)
        self.rules = tuple(rules)
        self.default: ToolAction = default

    def rule_for(self, name: str) -> ToolRule | None:
        """The first rule that matches."""
        return next((rule for rule in self.rules if rule.matches(name)), None)

    def action_for(self, name: str) -> ToolAction:
        rule = self.rule_for(name)
        return self.default if rule is None else rule.action

    def timeout_for(self, name: str) -> float | None:
        """The time its rule gives the tool, if it gives one."""
        rule = self.rule_for(name)
        return None if rule is None else rule.timeout_s

    def __repr__(self) -> str:
        return f"ToolPolicy({list(self.rules)!r}, default={self.default!r})"


def _check_action(action: object) -> None:
    if action not in get_args(ToolAction):
        known = ", ".join(get_args(ToolAction))
        raise ConfigError(f"there is no action {action!r:.100}", remedy=f"use one of: {known}")
