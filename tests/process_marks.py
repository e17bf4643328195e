"""Finding what a test's commands left running: by a mark in their environment, wherever they went (Linux)."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import uuid4

VARIABLE = "AGENT_CORE_TEST_MARK"


class ProcessMark:
    """Put `env` into the environment of a command; `running` are the processes that have it then."""

    def __init__(self) -> None:
        self.value = uuid4().hex

    @property
    def env(self) -> dict[str, str]:
        return {VARIABLE: self.value}

    def running(self) -> list[int]:
        """Their numbers. The dead do not count: their environment is gone."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._on(entry)]

    def gone_within(self, seconds: float) -> bool:
        """Whether none is left, at the latest after so long: a killed process ends a moment after its signal."""
        deadline = time.monotonic() + seconds
        while self.running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def _on(self, process: Path) -> bool:
        try:
            return self.value.encode() in (process / "environ").read_bytes()
        except OSError:
            return False
