"""Full disks, read-only ones, disks that come back: a clear error, and session and file say the same."""

from __future__ import annotations

import errno
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from agent_core import Session
from agent_core.errors import SessionError
from agent_core.items import user_message
from agent_core.testing import RehearsalServer
from tests.full_disk import no_file_beyond

from ..forked import in_a_child
from . import LONG, disks
from .session_work import runs_of, script, shape_of, work, work_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts and limits of Linux")
TURNS = 4
STEP_BYTES = 200 if LONG else 3500


@pytest.fixture(scope="module")
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(script, pace_s=0) as running:
        yield running


@pytest.fixture(scope="module")
def whole(server: RehearsalServer, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The work as it is on a good disk."""
    folder = tmp_path_factory.mktemp("whole")
    anyio.run(work, folder / "s.jsonl", folder / "effects", server.base_url, "chat", TURNS)
    (folder / "size").write_text(str((folder / "s.jsonl").stat().st_size))
    return Session.read(folder / "s.jsonl")


def test_the_disk_is_full_at_any_byte(server: RehearsalServer, whole: Session, tmp_path: Path) -> None:
    """Wherever writing fails the run ends in an error that says so, and what is in memory is what is in the file; once
    there is room it goes on to its end, with no tool run twice."""
    stopped = unknown = 0
    loops = itertools.cycle(("asyncio", "trio"))
    for limit in range(400, 30_000, STEP_BYTES):
        path, effects = tmp_path / f"{limit}.jsonl", tmp_path / f"{limit}.effects"
        with Session.create(path) as session:
            try:
                with no_file_beyond(limit):
                    anyio.run(work_in, session, effects, server.base_url, "chat", TURNS, backend=next(loops))
                break  # all of it fits
            except SessionError as error:
                assert os.strerror(errno.EFBIG) in error.message
            stopped += 1
            assert Session.read(path).items == session.items
            anyio.run(work_in, session, effects, server.base_url, "chat", TURNS)
            assert shape_of(session.items) == shape_of(whole.items)
            assert (Session.read(path).items, Session.read(path).warnings) == (session.items, ())
            assert set(runs_of(effects).values()) == {1}
            unknown += str(session.items).count("outcome unknown")
    assert stopped > 5
    print(f"stopped at {stopped} places, {unknown} outcomes unknown")


def test_a_real_disk_is_full_and_has_room_again(server: RehearsalServer, whole: Session, tmp_path: Path) -> None:
    """ENOSPC, not a limit: the same."""

    def full() -> None:
        disks.own_mounts()
        disks.small_disk(tmp_path, 64)
        path, effects, ballast = (tmp_path / name for name in ("s.jsonl", "effects", "ballast"))
        with Session.create(path) as session:
            ballast.write_bytes(bytes(44 * 1024))
            effects.write_text("")
            with pytest.raises(SessionError, match=os.strerror(errno.ENOSPC)) as caught:
                anyio.run(work_in, session, effects, server.base_url, "chat", TURNS)
            assert "free space" in caught.value.remedy
            assert Session.read(path).items == session.items
            with pytest.raises(SessionError, match=os.strerror(errno.ENOSPC)):
                session.fork(tmp_path / "fork.jsonl")
            assert sorted(os.listdir(tmp_path)) == ["ballast", "effects", "s.jsonl"]
            ballast.unlink()
            anyio.run(work_in, session, effects, server.base_url, "chat", TURNS)
        assert shape_of(Session.read(path).items) == shape_of(whole.items)
        assert max(runs_of(effects).values()) == 1

    on_a_disk_of_its_own(full)


def test_a_disk_that_may_only_be_read(whole: Session, tmp_path: Path) -> None:
    """Resuming is refused and says what to do; reading works, and so does going on elsewhere."""

    def fixed() -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        whole.fork(disk / "s.jsonl").close()
        content = (disk / "s.jsonl").read_bytes()
        disks.own_mounts()
        disks.read_only(disk)
        with pytest.raises(SessionError, match=os.strerror(errno.EROFS)) as caught:
            Session.resume(disk / "s.jsonl")
        assert "fork()" in caught.value.remedy
        with pytest.raises(SessionError, match=os.strerror(errno.EROFS)):
            Session.create(disk / "new.jsonl")
        with Session.read(disk / "s.jsonl").fork(tmp_path / "elsewhere.jsonl") as fork:
            fork.append(user_message("go on"))
            assert fork.items[:-1] == whole.items
        assert (disk / "s.jsonl").read_bytes() == content

    on_a_disk_of_its_own(fixed)


def test_a_file_that_may_only_be_read(whole: Session, tmp_path: Path) -> None:
    """By an ordinary user: refused, told, untouched; with its permissions back it goes on."""
    whole.fork(tmp_path / "s.jsonl").close()

    def protected() -> None:
        disks.as_nobody(tmp_path)
        path = Path("s.jsonl")
        content = path.read_bytes()
        path.chmod(0o400)
        with pytest.raises(SessionError, match=os.strerror(errno.EACCES)) as caught:
            Session.resume(path)
        assert "readable and writable" in caught.value.remedy
        assert (path.read_bytes(), len(Session.read(path).items)) == (content, len(whole.items))
        path.chmod(0o600)
        Path().chmod(0o500)
        with pytest.raises(SessionError, match=os.strerror(errno.EACCES)):
            Session.create("new.jsonl")
        with Session.resume(path) as session:
            session.append(user_message("go on"))
        path.write_bytes(path.read_bytes() + b"half a li")
        with pytest.raises(SessionError, match=os.strerror(errno.EACCES)):  # nowhere to set it aside
            Session.resume(path)
        Path().chmod(0o700)
        with Session.resume(path) as session:
            assert len(session.items) == len(whole.items) + 1

    in_a_child(protected)


def on_a_disk_of_its_own(work: Callable[[], None]) -> None:
    try:
        in_a_child(work)
    except PermissionError as error:
        pytest.skip(str(error))
