"""Work in a forked child, and programs run as a user would run them, without paying for the same imports each time.

A server that has imported the package forks for each of them (`multiprocessing`'s forkserver): the program gets a fresh
main module, directory, environment and streams, and warnings are errors.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, NoReturn

__all__ = ["Ran", "in_a_child", "run_python"]

_SERVER = get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        *("agent_core.agent", "agent_core.client", "agent_core.loop", "agent_core.testing.server"),
        *("agent_core.compaction.compactor", "agent_core.tools.function", "agent_core.fast_transport"),
        *("agent_core.codecs.chat", "agent_core.codecs.responses", "agent_core.codecs.messages"),
        *("agent_core.testing.validators", "agent_core.testing.demo_project", "agent_core.provider_rows"),
    ]
)
_END_S = 5.0
_CANNOT = 77


def in_a_child(work: Callable[[], object]) -> None:
    """Do it in a forked child, which never goes on as its parent. Its assertions are told on stderr and fail here.

    Raises PermissionError where it does: this machine does not let it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: they are a server's, not ours
        pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        except PermissionError as error:
            sys.stderr.write(f"{error}\n")
            code = _CANNOT
        except BaseException:  # noqa: BLE001  # whatever it was, the child ends here
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == _CANNOT:
        raise PermissionError("this machine does not let a process do this")
    assert code == 0


class Ran(NamedTuple):
    code: int | None
    stdout: str
    stderr: str


def run_python(text: str, cwd: Path, env: Mapping[str, str], *, timeout_s: float = 60.0) -> Ran:
    """What came of a program. Raises TimeoutError when it does not end."""
    out, err = (cwd.with_name(f"{cwd.name}.{stream}") for stream in ("stdout", "stderr"))  # not in its directory
    process = _SERVER.Process(target=_main, args=(text, cwd, dict(env), out, err))
    process.start()
    process.join(timeout_s)
    if process.is_alive():
        process.kill()
        process.join(_END_S)
        raise TimeoutError(f"the program was not over after {timeout_s:g} s")
    code = process.exitcode
    process.close()
    return Ran(code, out.read_text("utf-8"), err.read_text("utf-8"))


def _main(text: str, cwd: Path, env: Mapping[str, str], out: Path, err: Path) -> NoReturn:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for stream, path in ((1, out), (2, err)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, stream)
        os.close(opened)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # closed with the process
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = ["-c"]
    warnings.resetwarnings()
    warnings.simplefilter("error")
    code = 0
    try:
        exec(compile(text, "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:  # noqa: BLE001  # what a reader would see: the traceback, and status 1
        traceback.print_exc()
        code = 1
    sys.exit(code)  # through multiprocessing's own end, which runs what is registered with atexit
