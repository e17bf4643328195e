"""`agent-core providers`: the table, and which keys are set. A key's value is never read further than "not empty"."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence

from ..codecs import WIRES
from ..items import JsonObject, WireName
from ..providers import PROVIDERS, Provider
from .exits import Exit
from .screen import Screen, Style, write_json

__all__ = ["add_arguments", "run"]

_HEADINGS = ("PROVIDER", "WIRES", "BASE URL", "KEY")
_NOTE = (
    "The first wire is the default. Any other server: -m NAME/MODEL --base-url URL. "
    "Without any: -m rehearsal/hello, a scripted model."
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line and provider")


def run(args: Namespace) -> int:
    rows = list(PROVIDERS.values())
    if args.json:
        for row in rows:
            write_json(_as_json(row, os.environ))
    else:
        _show(Screen(sys.stdout), rows, os.environ)
    return Exit.OK


def wires_of(row: Provider) -> tuple[WireName, ...]:
    """The wires a row offers, its default first; a row that names none speaks any."""
    offered = tuple(row.wires) or WIRES
    return (row.wire, *(wire for wire in offered if wire != row.wire))


def _base_url(row: Provider) -> str:
    """Where the default wire is; `{NAME}` in it is an environment variable and stays one."""
    endpoint = row.wires.get(row.wire)
    return (endpoint.base_url if endpoint else "") or row.base_url


def _key(row: Provider, env: Mapping[str, str]) -> tuple[str, Style]:
    """What is said of a row's key: the variable that is set, else those that may be."""
    found = next((name for name in row.key_env if env.get(name, "").strip()), None)
    if found:
        return f"{found} is set", "good"
    if not row.key_env:
        return "none needed", "dim"
    names = " or ".join(row.key_env)
    return (f"{names}, if the server wants one", "dim") if row.key_optional else (f"{names} is not set", "plain")


def _show(screen: Screen, rows: list[Provider], env: Mapping[str, str]) -> None:
    cells = [(row.name, " ".join(wires_of(row)), _base_url(row)) for row in rows]
    widths = [max(len(cell[n]) for cell in (_HEADINGS, *cells)) for n in range(3)]
    screen.line(_padded(_HEADINGS[:3], widths) + _HEADINGS[3], "strong")
    for row, cell in zip(rows, cells, strict=True):
        text, style = _key(row, env)
        screen.put(_padded(cell, widths))
        screen.put(text + "\n", style)
    screen.line("\n" + _NOTE, "dim")


def _padded(words: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(word.ljust(width + 2) for word, width in zip(words, widths, strict=True))


def _as_json(row: Provider, env: Mapping[str, str]) -> JsonObject:
    return {
        "name": row.name,
        "wires": list(wires_of(row)),
        "default_wire": row.wire,
        "base_url": _base_url(row),
        "key_env": [{"name": name, "set": bool(env.get(name, "").strip())} for name in row.key_env],
        "key_required": bool(row.key_env) and not row.key_optional,
    }
