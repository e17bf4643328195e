"""Judges of request bodies: would a server of this wire take it?

    assert check_request("chat", body) == []                    every violation, in a list
    assert_valid_request("messages", body, compat=compat)       the same as an AssertionError that names them

Each wire's rules are in a module of its own, written from what its servers answer, not from what our encoders write:
they judge any client's bodies. Without a `compat` they hold what the wire's standard server enforces and let through
what some server of the wire is known to take; with one, what that very server takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic_core import from_json

from ...codecs.base import Compat, json_object
from ...items import JsonObject, JsonValue, WireName
from .chat import check_chat
from .messages import check_messages
from .responses import check_responses
from .shapes import Report, Rule, Violation

__all__ = ["Rule", "Violation", "assert_valid_request", "check_request"]

_CHECKS: Mapping[WireName, Callable[[JsonObject, Compat | None, Report], None]] = {
    "chat": check_chat,
    "responses": check_responses,
    "messages": check_messages,
}
_SHOWN = 20


def check_request(wire: WireName, body: bytes | JsonObject, *, compat: Compat | None = None) -> list[Violation]:
    """Every rule the body breaks, empty if a server would take it. Never raises for what is in the body."""
    report = Report()
    value: JsonValue
    if isinstance(body, bytes):
        report.is_clean = rb"\u0000" not in body  # JSON has no other way to write it
        try:
            value = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            report.add("not_json", "", f"is no JSON: {error}")
            return report.violations
    else:
        value = body
    found = json_object(value)
    if found is None:
        report.add("not_json", "", "must be a JSON object")
    else:
        _CHECKS[wire](found, compat, report)
    return report.violations


def assert_valid_request(wire: WireName, body: bytes | JsonObject, *, compat: Compat | None = None) -> None:
    """AssertionError that names every violation, one a line, the first 20."""
    violations = check_request(wire, body, compat=compat)
    if not violations:
        return
    lines = [str(violation) for violation in violations[:_SHOWN]]
    more = [f"… and {len(violations) - _SHOWN} more"] if len(violations) > _SHOWN else []
    raise AssertionError("\n".join([f"a server of the {wire} wire would refuse this request:", *lines, *more]))
