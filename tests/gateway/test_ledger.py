"""Counters that are added to by several at once."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from agent_core.errors import ConfigError, ServerError
from agent_core.gateway.ledger import Ledger, MemoryLedger, SqliteLedger, Step

pytestmark = pytest.mark.anyio

Make = Callable[[Callable[[], float]], Ledger]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "memory":
        return lambda clock: MemoryLedger(clock=clock)
    return lambda clock: SqliteLedger(tmp_path / "used.sqlite", clock=clock)


async def test_sums_include_what_was_added(make: Make) -> None:
    """What is not there is 0; nothing added reads, and makes no counter."""
    async with make(lambda: 0.0) as ledger:
        assert await ledger.add({"a": Step(2), "b": Step(0)}) == {"a": 2, "b": 0}
        assert await ledger.add({"a": Step(-5), "b": Step(1)}) == {"a": -3, "b": 1}
        assert await ledger.add({"a": Step(0), "b": Step(0)}) == {"a": -3, "b": 1}
        assert await ledger.add({"a": Step(10**15)}) == {"a": 10**15 - 3}


async def test_counters_end(make: Make) -> None:
    """So long after the last addition; then they start anew."""
    now = [0.0]
    async with make(lambda: now[0]) as ledger:
        await ledger.add({"a": Step(1, 60), "for ever": Step(1)})
        now[0] = 59
        assert await ledger.add({"a": Step(1, 60)}) == {"a": 2}
        now[0] = 119
        assert await ledger.add({"a": Step(0)}) == {"a": 0}
        assert await ledger.add({"a": Step(5, 60), "for ever": Step(0)}) == {"a": 5, "for ever": 1}


async def test_old_counters_are_swept(tmp_path: Path) -> None:
    """Minutes of long ago do not stay in the file."""
    now = [0.0]
    path = tmp_path / "used.sqlite"
    async with SqliteLedger(path, clock=lambda: now[0]) as ledger:
        for minute in range(1000):
            now[0] = 60.0 * minute
            await ledger.add({f"a/{minute}": Step(1, 180)})
        with sqlite3.connect(path) as file:
            assert file.execute("SELECT count(*) FROM counters").fetchone() == (3,)
        file.close()


async def test_a_file_outlives_its_process(tmp_path: Path) -> None:
    """What was spent is still spent; nobody else may read it."""
    path = tmp_path / "used.sqlite"
    async with SqliteLedger(path) as ledger:
        await ledger.add({"a": Step(7)})
    async with SqliteLedger(path) as ledger:
        assert await ledger.add({"a": Step(0)}) == {"a": 7}
    assert path.stat().st_mode & 0o077 == 0


@asynccontextmanager
async def opened(path: Path) -> AsyncGenerator[SqliteLedger]:
    async with SqliteLedger(path) as ledger:
        yield ledger


def add_often(path: Path, times: int) -> None:
    async def add() -> None:
        async with opened(path) as ledger, anyio.create_task_group() as tasks:
            for _ in range(times):
                tasks.start_soon(ledger.add, {"a": Step(1), "b": Step(-1)})

    anyio.run(add)


def test_processes_share_a_file(tmp_path: Path) -> None:
    """No addition is lost, none is done by half."""
    path = tmp_path / "used.sqlite"
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=add_often, args=(path, 50)) for _ in range(1)]
    for other in others:
        other.start()
    add_often(path, 50)
    for other in others:
        other.join(60)
    assert [other.exitcode for other in others] == [0]
    with sqlite3.connect(path) as file:
        assert dict(file.execute("SELECT name, number FROM counters")) == {"a": 100, "b": -100}
    file.close()


async def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    """At the start as a mistake in the configuration, later as the gateway's own failure."""
    with pytest.raises(ConfigError, match="there is no folder"):
        SqliteLedger(tmp_path / "nowhere" / "used.sqlite")
    (tmp_path / "text.sqlite").write_text("no database" * 100)
    with pytest.raises(ConfigError, match="cannot be opened"):
        async with SqliteLedger(tmp_path / "text.sqlite"):
            raise AssertionError
    async with SqliteLedger(tmp_path / "used.sqlite") as ledger:
        with sqlite3.connect(tmp_path / "used.sqlite") as file:
            file.execute("DROP TABLE counters")
        file.close()
        with pytest.raises(ServerError) as caught:
            await ledger.add({"a": Step(1)})
        assert caught.value.status == 503
