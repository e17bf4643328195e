"""Docstrings, as far as a tool's description needs them: the text, and what is said of each parameter.

Understands the three common styles, mixed too: Google (`Args:` and indented `name (type): text`), NumPy (`Parameters`
over dashes, `name : type` and indented text) and Sphinx (`:param type name: text`). Sections about results and errors
are left out of the description: they are for callers, not for the model that fills in arguments.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

__all__ = ["Docstring", "parse_docstring"]


@dataclass(frozen=True, slots=True)
class Docstring:
    """`description` keeps its paragraphs and lists; `parameters` are one line each, by name."""

    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict[str, str])


_PARAMETERS = frozenset(
    {"args", "arguments", "parameters", "params", "other parameters", "keyword args", "keyword arguments"}
)
_LEFT_OUT = frozenset(
    {"returns", "return", "yields", "yield", "raises", "except", "exceptions", "warns", "receives", "attributes"}
    | {"see also", "references"}
)
_GOOGLE_HEAD = re.compile(r"(\w[\w ]*):\s*")
_GOOGLE_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^()]*(?:\([^()]*\)[^()]*)*\))?\s*:(?:\s+(.*)|)")
_NUMPY_ENTRY = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")
_SPHINX_FIELD = re.compile(r":(\w+)(?:\s+([^:]*))?:\s*(.*)")
_SPHINX_PARAMETER = frozenset({"param", "parameter", "arg", "argument", "key", "keyword"})


def parse_docstring(text: str | None) -> Docstring:
    """The description and the parameters' texts. Never fails: what is not understood stays in the description."""
    lines = inspect.cleandoc(text or "").split("\n")
    kept: list[str] = []
    parameters: dict[str, str] = {}
    at = 0
    while at < len(lines):
        for read in (_numpy_section, _google_section, _sphinx_field):
            end = read(lines, at, parameters)
            if end > at:
                at = end
                break
        else:
            kept.append(lines[at].rstrip())
            at += 1
    description = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
    return Docstring(description, parameters)


def _google_section(lines: list[str], at: int, parameters: dict[str, str]) -> int:
    """Where the section that starts at line `at` ends; `at` itself if none does."""
    head = _GOOGLE_HEAD.fullmatch(lines[at])
    if not head or head[1].lower() not in _PARAMETERS | _LEFT_OUT:
        return at
    end = at + 1
    while end < len(lines) and (not lines[end].strip() or lines[end].startswith((" ", "\t"))):
        end += 1
    body = lines[at + 1 : end]
    if not any(line.strip() for line in body):
        return at
    if head[1].lower() in _PARAMETERS:
        _collect(body, _google_entry, parameters)
    return end


def _numpy_section(lines: list[str], at: int, parameters: dict[str, str]) -> int:
    name = lines[at].strip().lower()
    if at + 1 >= len(lines) or name not in _PARAMETERS | _LEFT_OUT or not _is_rule(lines[at + 1]):
        return at
    end = at + 2
    while end < len(lines) and not (end + 1 < len(lines) and lines[end].strip() and _is_rule(lines[end + 1])):
        end += 1
    if name in _PARAMETERS:
        _collect(lines[at + 2 : end], _numpy_entry, parameters)
    return end


def _sphinx_field(lines: list[str], at: int, parameters: dict[str, str]) -> int:
    found = _SPHINX_FIELD.fullmatch(lines[at].rstrip())
    if not found or found[1] not in _SPHINX_PARAMETER | {"type", "return", "returns", "rtype", "raises", "raise"}:
        return at
    end = at + 1
    while end < len(lines) and lines[end].startswith((" ", "\t")):
        end += 1
    words = (found[2] or "").split()
    if found[1] in _SPHINX_PARAMETER and words:
        parameters[words[-1].lstrip("*\\")] = _joined([found[3], *lines[at + 1 : end]])
    return end


def _is_rule(line: str) -> bool:
    return len(line.strip()) >= 3 and set(line.strip()) <= {"-", "="}


def _google_entry(line: str) -> tuple[list[str], str] | None:
    found = _GOOGLE_ENTRY.fullmatch(line)
    return ([found[1]], found[2] or "") if found else None


def _numpy_entry(line: str) -> tuple[list[str], str] | None:
    found = _NUMPY_ENTRY.fullmatch(line)
    return ([name.strip().lstrip("*") for name in found[1].split(",")], "") if found else None


def _collect(
    body: list[str], entry_of: Callable[[str], tuple[list[str], str] | None], parameters: dict[str, str]
) -> None:
    """Entries stand at the section's own indent; what is indented deeper belongs to the entry above."""
    for names, text in _entries(inspect.cleandoc("\n".join(["", *body])).split("\n"), entry_of):
        for name in names:
            parameters[name] = text


def _entries(
    lines: list[str], entry_of: Callable[[str], tuple[list[str], str] | None]
) -> Iterator[tuple[list[str], str]]:
    names: list[str] = []
    texts: list[str] = []
    for line in lines:
        entry = entry_of(line.rstrip()) if line[:1].strip() else None
        if entry:
            if names:
                yield names, _joined(texts)
            names, texts = entry[0], [entry[1]]
        else:
            texts.append(line)
    if names:
        yield names, _joined(texts)


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines if line.strip())
