"""`agent-core probe`: what a live endpoint takes, fact by fact, and the provider row to paste.

Facts are shown as they are found, on stdout; with --json one object a line, the row last. It costs some twenty small
requests, none of them repeated.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from ..codecs import WIRES
from ..items import JsonObject, JsonValue
from .exits import Exit
from .numbers import seconds
from .screen import Screen, Style, one_line, write_json
from .watch import errors_told

if TYPE_CHECKING:
    from ..probe import Finding, ProbeReport

__all__ = ["add_arguments", "run"]

_WIDTHS = (24, 28)
_EVIDENCE_CHARS = 120
_TIMEOUT_MAX_S = 3600.0
_STYLES: dict[str, Style] = {"no": "bad", "ignored": "bad", "unclear": "dim", "not asked": "dim"}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-m", "--model", metavar="PROVIDER/MODEL", required=True, help="the model to ask")
    parser.add_argument("--base-url", metavar="URL", help="another server, e.g. http://localhost:8000/v1")
    parser.add_argument("--wire", choices=WIRES, help="default: the provider's")
    parser.add_argument("--json", action="store_true", help="one JSON object a line: the facts, then the row")
    parser.add_argument(
        "--timeout",
        type=seconds(_TIMEOUT_MAX_S),
        metavar="S",
        default=60.0,
        help="seconds a request may take (default: 60)",
    )


def run(args: Namespace) -> int:
    as_json = cast("bool", args.json)
    screen = Screen(sys.stdout)
    with errors_told(Screen(sys.stderr), as_json=as_json):
        if as_json:
            write_json(_row_json(_ask(args, lambda found: write_json(_fact_json(found)))))
            return Exit.OK
        _show_row(screen, _ask(args, _Table(screen).show))
    return Exit.OK


def _ask(args: Namespace, on_finding: Callable[[Finding], None]) -> ProbeReport:
    from .. import blocking

    async def ask() -> ProbeReport:
        from contextlib import AsyncExitStack

        from ..probe import probe

        model, base_url = cast("str", args.model), cast("str | None", args.base_url)
        timeout_s = cast("float", args.timeout)
        async with AsyncExitStack() as stack:
            provider = None
            if base_url is None and model.startswith("rehearsal/"):
                from ..testing import RehearsalServer

                provider = (await stack.enter_async_context(RehearsalServer(pace_s=0))).provider
            return await probe(
                model,
                provider=provider,
                wire=cast("str | None", args.wire),
                base_url=base_url,
                timeout_s=timeout_s,
                on_finding=on_finding,
            )

    return blocking.run(ask)


class _Table:
    """Shows findings as they come; the headings with the first, so that a refused connection shows none."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._begun = False

    def show(self, found: Finding) -> None:
        if not self._begun:
            self._begun = True
            self._screen.line(_cell("FACT", 0) + _cell("ANSWER", 1) + "EVIDENCE", "strong")
        answer = one_line(found.answer)
        self._screen.put(_cell(found.fact, 0))
        self._screen.put(_cell(answer, 1), _STYLES.get(answer, "plain"))
        self._screen.put(one_line(found.evidence, _EVIDENCE_CHARS) + "\n", "dim")


def _cell(text: str, column: int) -> str:
    return text.ljust(_WIDTHS[column] - 1) + " "  # a longer text pushes the rest of its line


def _show_row(screen: Screen, report: ProbeReport) -> None:
    resolved = report.resolved
    screen.gap()
    screen.line(f"# measured with {one_line(resolved.model)!r} on the {resolved.wire} wire", "dim")
    screen.line(report.row, "strong")
    screen.gap()
    if report.contradicts:
        screen.line(
            f"the shipped row of {resolved.provider.name} says otherwise: {', '.join(report.contradicts)}", "bad"
        )
    screen.line(f"{report.requests} requests, {report.duration_s:.1f} s", "dim")


def _fact_json(found: Finding) -> JsonObject:
    return {
        "type": "fact",
        "fact": found.fact,
        "answer": found.answer,
        "evidence": found.evidence,
        "compat": cast("JsonObject", dict(found.compat)),
    }


def _row_json(report: ProbeReport) -> JsonObject:
    contradicts: list[JsonValue] = [*report.contradicts]
    return {
        "type": "row",
        "provider": report.resolved.provider.name,
        "model": report.resolved.model,
        "wire": report.resolved.wire,
        "compat": cast("JsonObject", dict(report.compat)),
        "row": report.row,
        "contradicts": contradicts,
        "requests": report.requests,
        "duration_s": round(report.duration_s, 3),
    }
