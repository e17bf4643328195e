"""Counters that several requests, processes or machines add to at once: what keys have used.

A ledger knows nothing but names and whole numbers. Whoever adds gets the sum that includes it, so that no two of them
can both take what is left.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import anyio
from anyio import to_thread

from ..errors import ConfigError, ServerError

__all__ = ["Ledger", "MemoryLedger", "SqliteLedger", "Step"]

_SWEEP = 1000  # additions between two looks at what has ended
_BUSY_S = 5.0


class Step(NamedTuple):
    """What to add to a counter. It is forgotten `keep_s` seconds after the last one; None: never."""

    by: int
    keep_s: float | None = None


class Ledger(Protocol):
    """Open for as long as its gateway is, by `async with`."""

    async def add(self, steps: Mapping[str, Step]) -> dict[str, int]:
        """Add to counters, to all of them or none, and return what each is then. One that is not there is 0; 0 added
        reads. Raises ServerError (503) where nothing can be counted."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class MemoryLedger:
    """For one process; what it knows ends with it."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counters: dict[str, tuple[int, float | None]] = {}
        self._added = 0

    async def add(self, steps: Mapping[str, Step]) -> dict[str, int]:
        now = self._clock()
        self._added += 1
        if self._added % _SWEEP == 0:
            self._counters = {name: kept for name, kept in self._counters.items() if not _over(kept[1], now)}
        sums: dict[str, int] = {}
        for name, step in steps.items():
            number, ends = self._counters.get(name, (0, None))
            sums[name] = (0 if _over(ends, now) else number) + step.by
            if step.by:
                self._counters[name] = sums[name], None if step.keep_s is None else now + step.keep_s
        return sums

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def _over(ends: float | None, now: float) -> bool:
    return ends is not None and ends <= now


_TABLE = "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, number INTEGER NOT NULL, ends REAL) WITHOUT ROWID"
_READ = "SELECT number FROM counters WHERE name = ? AND (ends IS NULL OR ends > ?)"
_ADD = """
INSERT INTO counters (name, number, ends) VALUES (:name, :by, :ends) ON CONFLICT (name) DO UPDATE SET
number = CASE WHEN ends IS NULL OR ends > :now THEN number ELSE 0 END + :by, ends = :ends RETURNING number
"""


class SqliteLedger:
    """A file, for any number of processes of one machine; it outlives them. It is opened at the start of the block,
    readable for its owner alone. Raises ConfigError for a folder that is not there, and where it cannot be opened."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._added = 0
        self._turn = anyio.CapacityLimiter(1)  # one connection, one thread at a time
        self._opened: sqlite3.Connection | None = None
        if not path.parent.is_dir():
            raise ConfigError(f"there is no folder {path.parent}", remedy="name a file in a folder you may write")

    @property
    def _file(self) -> sqlite3.Connection:
        if self._opened is None:
            raise RuntimeError("the ledger is used outside its block")
        return self._opened

    async def add(self, steps: Mapping[str, Step]) -> dict[str, int]:
        return await to_thread.run_sync(self._add, dict(steps), limiter=self._turn)

    def _add(self, steps: Mapping[str, Step]) -> dict[str, int]:
        now = self._clock()
        try:
            if not any(step.by for step in steps.values()):
                return {name: self._read(name, now) for name in steps}
            self._file.execute("BEGIN IMMEDIATE")  # the lock first: two readers that both mean to write would clash
            try:
                sums = {name: self._step(name, step, now) for name, step in steps.items()}
                self._added += 1
                if self._added % _SWEEP == 0:
                    self._file.execute("DELETE FROM counters WHERE ends <= ?", (now,))
                self._file.execute("COMMIT")
            except BaseException:
                self._file.rollback()
                raise
        except sqlite3.Error:
            raise ServerError("the gateway cannot count what is used", status=503, code="ledger") from None
        return sums

    def _step(self, name: str, step: Step, now: float) -> int:
        if not step.by:
            return self._read(name, now)
        ends = None if step.keep_s is None else now + step.keep_s
        row: tuple[int] = self._file.execute(_ADD, {"name": name, "by": step.by, "ends": ends, "now": now}).fetchone()
        return row[0]

    def _read(self, name: str, now: float) -> int:
        row: tuple[int] | None = self._file.execute(_READ, (name, now)).fetchone()
        return 0 if row is None else row[0]

    async def __aenter__(self) -> Self:
        self._opened = await to_thread.run_sync(_opened, self._path, limiter=self._turn)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        file, self._opened = self._file, None
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(file.close, limiter=self._turn)


def _opened(path: Path) -> sqlite3.Connection:
    file: sqlite3.Connection | None = None
    try:
        path.touch(mode=0o600)
        file = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last moments, never the file
        file.execute(_TABLE)
        return file
    except (OSError, sqlite3.Error) as error:
        if file is not None:
            file.close()
        raise ConfigError(f"{path} cannot be opened: {error}", remedy="name a file in a folder you may write") from None
