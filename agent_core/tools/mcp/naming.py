"""What the model calls an MCP server's tool: `mcp__server__tool`, by the rules of Codex (codex.md 4)."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping

__all__ = ["MAX_NAME_BYTES", "names_of"]

MAX_NAME_BYTES = 64
"""The longest name every wire takes."""
_HASH_CHARS = 12
_UNUSABLE = re.compile(r"[^A-Za-z0-9_]")

Owned = tuple[str, str]
"""A server's name, and its own name of a tool."""


def names_of(tools: Iterable[Owned], given: Mapping[Owned, str]) -> dict[Owned, str]:
    """A name for each, all different. What is in `given` keeps its name, so that a model's calls and a person's
    answers stay right when another tool comes along.

    Only letters, digits and `_`, at most 64. Names that are too long, or that several tools would have, end in the
    beginning of a SHA-1 of what they stand for: the same in every run.
    """
    wanted = dict.fromkeys(tools)
    plain = {owned: _plain(owned) for owned in wanted}
    shared = Counter(plain.values())
    names = {owned: given[owned] for owned in wanted if owned in given}
    taken = set(given.values())
    for owned, name in plain.items():
        if owned in names:
            continue
        if len(name) > MAX_NAME_BYTES or shared[name] > 1 or name in taken:
            name = _hashed(owned, name)
        names[owned] = name
        taken.add(name)
    return {owned: names[owned] for owned in wanted}


def _plain(owned: Owned) -> str:
    return "__".join(("mcp", *(_UNUSABLE.sub("_", part) or "_" for part in owned)))


def _hashed(owned: Owned, name: str) -> str:
    digest = hashlib.sha1("\0".join(owned).encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return f"{name[: MAX_NAME_BYTES - _HASH_CHARS - 1]}_{digest[:_HASH_CHARS]}"
