"""The log of a command: all of it, its owner's alone, up to a size."""

from __future__ import annotations

from pathlib import Path

from agent_core.tools.output_log import OutputLog


def test_all_that_was_written(tmp_path: Path) -> None:
    """In order, and nobody else may read it; without output there is no file."""
    log = OutputLog(tmp_path / "log", 100)
    log.write(b"")
    assert not log.path.exists()
    log.write(b"one\n")
    log.write(b"\xfftwo\n")
    log.close()
    assert (log.path.read_bytes(), log.path.stat().st_mode & 0o777, log.error) == (b"one\n\xfftwo\n", 0o600, "")


def test_it_ends_at_its_size(tmp_path: Path) -> None:
    """And says so; what comes after is not written."""
    log = OutputLog(tmp_path / "log", 5)
    for piece in (b"abc", b"defgh", b"ijk"):
        log.write(piece)
    assert log.path.read_bytes() == b"abcde\n[the log ends here, at 5 bytes]\n"


def test_what_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    """The command goes on; the reason is kept. A file that is there already is left alone."""
    taken = tmp_path / "taken"
    taken.write_text("mine")
    for path, reason in ((tmp_path / "gone/log", "No such file or directory"), (taken, "File exists")):
        log = OutputLog(path, 100)
        log.write(b"x")
        log.write(b"y")
        assert log.error == reason
    assert taken.read_text() == "mine"
