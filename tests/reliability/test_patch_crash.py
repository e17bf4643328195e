"""Files written for a patch through crashes and a failing disk: each old or new, and in the end all of them alike."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_core import Agent
from agent_core.errors import PatchError
from agent_core.testing import RehearsalServer, Step
from agent_core.tools import ApplyPatch, ToolContext
from agent_core.tools.apply_patch import apply_patch
from agent_core.tools.file_writes import FileHistory
from agent_core.tools.write_journal import WriteJournal

from ..forked import in_a_child
from . import LONG
from .disks import own_mounts, small_disk
from .write_faults import CRASHED, JOURNAL, REFUSED, THROUGH, WORK, Faults

STRIDE = 1 if LONG else 7
LINES = "".join(f"line {n}\n" for n in range(50))
BEFORE = {"a.txt": LINES, "b.txt": LINES, "old.txt": LINES, "there.txt": "there\n", "kept.txt": "kept\n"}
PATCH = """*** Begin Patch
*** Add File: new/deep/one.txt
+one
*** Update File: a.txt
@@
-line 0
+LINE 0
*** Update File: b.txt
*** Move to: moved/b.txt
@@
-line 1
+LINE 1
*** Delete File: old.txt
*** Add File: there.txt
+replaced
*** End Patch"""
AFTER = {
    "new/deep/one.txt": "one\n",
    "a.txt": LINES.replace("line 0\n", "LINE 0\n"),
    "moved/b.txt": LINES.replace("line 1\n", "LINE 1\n"),
    "there.txt": "replaced\n",
    "kept.txt": "kept\n",
}
ENDLESS = 10_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("patched")


@pytest.fixture(scope="module")
def faults(place: Path) -> Iterator[Faults]:
    with Faults(place) as running:
        yield running


def laid_out(folder: Path) -> None:
    """The files before the patch, and no record of anything."""
    for name in (WORK, JOURNAL):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / WORK).mkdir()
    for name, text in BEFORE.items():
        (folder / WORK / name).write_text(text)


def tree(folder: Path, *, hidden: bool = True) -> dict[str, str]:
    """Every file; without what is called as we call what we make beside files."""
    return {
        path.relative_to(folder / WORK).as_posix(): path.read_text()
        for path in sorted((folder / WORK).rglob("*"))
        if path.is_file() and (hidden or not (path.name.startswith(".") and path.name.endswith(".agent-core")))
    }


def folders(folder: Path) -> set[str]:
    return {path.name for path in (folder / WORK).rglob("*") if path.is_dir()}


def assert_each_is_whole(folder: Path) -> None:
    """Whoever looks sees of every file the old text or the new one; all else is recognisably ours."""
    for name, text in tree(folder, hidden=False).items():
        assert text in (BEFORE.get(name), AFTER.get(name)), name


def assert_one_or_the_other(folder: Path) -> bool:
    """All old or all new, and nothing left over. Whether it is new."""
    found = tree(folder)
    assert found in (BEFORE, AFTER)
    assert folders(folder) == ({"new", "deep", "moved"} if found == AFTER else set())
    assert {path.suffix for path in (folder / JOURNAL).glob("*")} <= {
        ".lock",
        ".draft",
    }  # of a crash; the next removes it
    return found == AFTER


def test_a_crash_at_any_point(faults: Faults, place: Path) -> None:
    """Old or new, never half: each file at once, and after the next start all of them. Once begun, it is finished."""
    ends: list[bool] = []
    for n in range(0, ENDLESS, STRIDE):
        laid_out(place)
        ended = faults.ask(PATCH, "crash", n)
        assert_each_is_whole(place)
        if ended == THROUGH:
            break
        visible = tree(place, hidden=False)
        assert (ended, faults.ask(None)) == (CRASHED, THROUGH)
        ends.append(assert_one_or_the_other(place))
        assert ends[-1] or visible == BEFORE  # nothing is taken back that somebody may have seen
    assert assert_one_or_the_other(place)
    assert ends == sorted(ends)
    assert set(ends) == {False, True}


def test_a_crash_while_settling(faults: Faults, place: Path) -> None:
    """Settling may be cut off as well, and is gone on with."""
    for n in range(20, ENDLESS, STRIDE * 3):
        for m in range(0, ENDLESS, STRIDE * 2 + 1):
            laid_out(place)
            if faults.ask(PATCH, "crash", n) == THROUGH:
                return
            ended = faults.ask(None, "crash", m)
            assert_each_is_whole(place)
            if ended == THROUGH:
                break
            assert faults.ask(None) == THROUGH
            assert_one_or_the_other(place)


def test_a_disk_that_fails_at_any_point(faults: Faults, place: Path) -> None:
    """Everything is put back and nothing is left over; where it is only the record that fails, the patch is applied."""
    ends: set[int] = set()
    for n in range(0, ENDLESS, STRIDE):
        laid_out(place)
        ended = faults.ask(PATCH, "fail", n)
        assert ended in (REFUSED, THROUGH)
        assert faults.ask(None) == THROUGH
        assert assert_one_or_the_other(place) == (ended == THROUGH)
        ends.add(ended)
        if n > 120:
            break
    assert ends == {REFUSED, THROUGH}


def test_a_crash_while_it_is_put_back(faults: Faults, place: Path) -> None:
    """A disk that fails in the middle, and then the process ends: each file is whole, and after the next start all."""
    for n in range(30, 90, STRIDE * 2):
        for m in range(0, ENDLESS, STRIDE):
            laid_out(place)
            if faults.ask(PATCH, "fail", n, m) != CRASHED:
                break
            assert_each_is_whole(place)
            assert faults.ask(None) == THROUGH
            assert_one_or_the_other(place)


def crashed_half_way(faults: Faults, folder: Path) -> None:
    """A crash after some files were renamed and before others were: the first two renamings are of the record."""
    laid_out(folder)
    assert faults.ask(PATCH, "half-way", 4) == CRASHED
    assert tree(folder, hidden=False) not in (BEFORE, AFTER)


def test_what_somebody_changed_since_is_left(faults: Faults, place: Path) -> None:
    """Half-way, and then a person goes on with one of the files: no file is touched, what we made is removed."""
    crashed_half_way(faults, place)
    (place / WORK / "there.txt").write_text("by a person\n")
    visible = tree(place, hidden=False)
    WriteJournal(place / JOURNAL).settle(place / WORK)
    assert tree(place) == visible
    assert list((place / JOURNAL).glob("*")) == []


def test_the_next_patch_settles_first(faults: Faults, place: Path) -> None:
    """A tool that writes there sees the files as the interrupted patch leaves them."""
    crashed_half_way(faults, place)
    patch = "*** Begin Patch\n*** Update File: there.txt\n@@\n-replaced\n+again\n*** End Patch"
    journal = WriteJournal(place / JOURNAL)
    apply_patch(patch, ToolContext(place / WORK), history=FileHistory(journal=journal))
    assert tree(place) == AFTER | {"there.txt": "again\n"}


@pytest.mark.anyio
async def test_an_agent_settles_before_its_model_looks(faults: Faults, place: Path) -> None:
    """The model that is told of an outcome that is unknown finds one that is known."""
    crashed_half_way(faults, place)
    tool = ApplyPatch(history=FileHistory(journal=WriteJournal(place / JOURNAL)))
    with RehearsalServer({"talk": (Step(text="I see."),)}) as server:
        agent = Agent("rehearsal/talk", base_url=server.base_url, tools=[tool], cwd=place / WORK)
        await agent.ask("Go on.")
    assert assert_one_or_the_other(place)


@pytest.mark.parametrize("content", [b"", b"{", b'{"files": 1, "folders": []}', b'{"files": [{}], "folders": []}'])
def test_a_record_that_is_none_is_dropped(content: bytes, faults: Faults, place: Path) -> None:
    """What cannot be read says nothing, and is in nobody's way."""
    crashed_half_way(faults, place)
    (record,) = (place / JOURNAL).glob("*.ready")
    record.write_bytes(content)
    visible = tree(place)
    WriteJournal(place / JOURNAL).settle(place / WORK)
    assert (tree(place), record.exists()) == (visible, False)


def test_a_full_disk(tmp_path: Path) -> None:
    """A real one: of a patch that does not fit nothing is left, and the message says why."""

    def work() -> None:
        own_mounts()
        disk = tmp_path / "disk"
        disk.mkdir()
        small_disk(disk, 64)
        (disk / "a.txt").write_text("a\n")
        added = "\n".join(f"+{n:0100}" for n in range(200))
        patch = f"*** Begin Patch\n*** Update File: a.txt\n@@\n-a\n+b\n*** Add File: b\n{added}\n"
        patch += f"*** Add File: c\n{added}\n*** Add File: d\n{added}\n*** Add File: e\n{added}\n*** End Patch"
        with pytest.raises(PatchError, match="No space left on device"):
            apply_patch(patch, ToolContext(disk), history=FileHistory(journal=WriteJournal(tmp_path / "j")))
        assert {path.name: path.read_text() for path in disk.iterdir()} == {"a.txt": "a\n"}

    try:
        in_a_child(work)
    except PermissionError as error:
        pytest.skip(str(error))


def test_two_at_a_time(tmp_path: Path) -> None:
    """Who holds the record writes alone; without a place for records files are written all the same."""
    laid_out(tmp_path)
    journal = WriteJournal(tmp_path / JOURNAL)
    with journal.writing(tmp_path / WORK) as record:
        assert record is not None
        assert journal.is_settled(tmp_path / WORK)
    (tmp_path / "file").write_text("")
    for nowhere in (tmp_path / "file", tmp_path / WORK / "below"):
        with WriteJournal(nowhere).writing(tmp_path / WORK) as record:
            assert record is None
