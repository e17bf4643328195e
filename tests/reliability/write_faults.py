"""A process that writes the files of a patch and is ended, or whose disk fails, where it touches the disk.

Each try is a forked child of `python -m tests.reliability.write_faults FOLDER`: one JSON list a line in, the exit code
out.

    [patch]                    apply it
    [patch, "crash", n]        and end, without a word, before the n-th operation on the disk
    [patch, "half-way", n]     and end before the n-th renaming
    [patch, "fail", n]         and let that operation fail: the disk is full
    [patch, "fail", n, m]      and end before the m-th operation after that
    [null, "crash", n]         settle what an earlier process left, and end so
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from agent_core.errors import PatchError
from agent_core.tools import ToolContext
from agent_core.tools.apply_patch import apply_patch
from agent_core.tools.file_writes import FileHistory
from agent_core.tools.write_journal import WriteJournal

Ask: TypeAlias = list[str | int | None]

CRASHED, REFUSED, THROUGH = 9, 3, 0
WORK, JOURNAL = "work", "journal"
_OPERATIONS = frozenset(
    (
        "open",
        "os.mkdir",
        "os.link",
        "os.rename",
        "os.remove",
        "os.rmdir",
        "os.chmod",
        "os.chown",
        "fsync",
        "fcntl.flock",
    )
)
"""What touches the disk, as Python's audit events have it; fsync, of which there is none, is told by hand."""


class Faults:
    """The process, from the side that asks. A context manager."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", __name__, str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *asked: str | int | None) -> int:
        """How the child ended: CRASHED, REFUSED (the tool said no) or THROUGH."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def __enter__(self) -> Faults:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process as process:
            process.kill()


def main(folder: Path) -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            os._exit(child(folder, asked))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def child(folder: Path, asked: Ask) -> int:
    patch, fault, *at = [*asked, "none"] if len(asked) == 1 else asked
    journal = WriteJournal(folder / JOURNAL)
    try:
        if fault != "none":
            _install(str(fault), [int(number or 0) for number in at])
        if patch is None:
            journal.settle(folder / WORK)
        else:
            apply_patch(str(patch), ToolContext(folder / WORK), history=FileHistory(journal=journal))
    except PatchError:
        return REFUSED
    except BaseException:  # noqa: BLE001  # a forked child must not go on as its parent
        traceback.print_exc()
        return 1
    return THROUGH


def _install(fault: str, at: list[int]) -> None:
    """From here on operations are counted. Those that only read count too: they are where a process may end."""
    left, crash = at[0], at[1] if len(at) > 1 else -1
    failed = False

    def operation(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left, crash, failed
        if event not in _OPERATIONS or (fault == "half-way" and event != "os.rename"):
            return
        left -= 1
        if fault != "fail" and left < 0:
            os._exit(CRASHED)
        if failed:
            crash -= 1
            if crash == -1 and len(at) > 1:
                os._exit(CRASHED)
        if fault == "fail" and left == -1:
            failed = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "disk")

    sync = os.fsync

    def fsync(handle: int) -> None:
        operation("fsync", ())
        sync(handle)

    os.fsync = fsync  # type: ignore[assignment]  # in a child that ends with it
    sys.addaudithook(operation)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
