"""A process that does the work of session_work.py in children it forks: they start at once, and can be killed.

One line of JSON in, one out: {"start": {arguments of work}} → {"pid": …}; {"wait": pid} → {"status": …}, as waitpid
has it. A child's exit code is 0 for work that came to its end, 3 for a SessionError (told on stderr), 1 for anything
else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from types import TracebackType

import anyio

from agent_core.errors import SessionError
from agent_core.items import WireName

from .session_work import TURNS, work

REFUSED = 3


class Worker:
    """The process, from the side that kills. A context manager."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, base_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, path: Path, effects: Path, wire: WireName, window: int | None = None) -> int:
        """Begin or go on in a child; its process id."""
        return self._ask({"start": [str(path), str(effects), wire, window]})

    def wait(self, pid: int) -> int:
        """How a child ended: its exit code, or minus the signal."""
        return os.waitstatus_to_exitcode(self._ask({"wait": pid}))

    def _ask(self, question: dict[str, object]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process as process:
            process.kill()


def main(base_url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # everything a child needs is loaded before there is one
        anyio.run(work, Path(folder, "s.jsonl"), Path(folder, "effects"), base_url, "chat", 2)
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            print(os.waitpid(question["wait"], 0)[1], flush=True)
            continue
        path, effects, wire, window = question["start"]
        pid = os.fork()
        if not pid:
            os._exit(child(Path(path), Path(effects), wire, window, base_url))
        print(pid, flush=True)


def child(path: Path, effects: Path, wire: WireName, window: int | None, base_url: str) -> int:
    try:
        anyio.run(work, path, effects, base_url, wire, TURNS, window)
    except SessionError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    except BaseException:  # noqa: BLE001  # a forked child must not go on as its parent
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main(sys.argv[1])
