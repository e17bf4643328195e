"""Recorded provider streams: read where they are kept, never copied. Tests that need them skip where there are none."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_core.items import JsonObject, WireName

ROOT = Path(os.environ.get("AGENT_CORE_WIRES") or Path(__file__).resolve().parents[2] / "shared" / "wires")

needs_recordings = pytest.mark.skipif(
    not (ROOT / "chat").is_dir(), reason="no recorded streams: set AGENT_CORE_WIRES to their folder"
)


@dataclass(frozen=True, slots=True)
class Recording:
    """One folder: `response.sse` beside what it folds to."""

    folder: Path

    def __str__(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def body(self) -> bytes:
        return (self.folder / "response.sse").read_bytes()

    @property
    def expected(self) -> JsonObject:
        loaded: JsonObject = json.loads((self.folder / "expected.json").read_text())
        return loaded

    @property
    def meta(self) -> JsonObject:
        loaded: JsonObject = json.loads((self.folder / "meta.json").read_text())
        return loaded

    @property
    def request(self) -> JsonObject | None:
        path = self.folder / "request.json"
        return json.loads(path.read_text()) if path.exists() else None


def streams(wire: WireName) -> list[Recording]:
    """All recorded streams of a wire, by name; empty where there are no recordings."""
    folder = ROOT / wire
    if not folder.is_dir():
        return []
    return [Recording(path) for path in sorted(folder.iterdir()) if (path / "response.sse").exists()]
