"""How a command ends: its exit code, and the one line on stderr that says why.

No traceback ever reaches the user: an error of ours prints its message and its remedy, any other exception its type and
how to see more. A reader that went away (`| head`) and Ctrl-C end quietly.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from enum import IntEnum
from types import FrameType
from typing import TYPE_CHECKING

from ..errors import AgentCoreError, CallerError, LimitReached
from ..items import Message, Refusal, text_of
from .screen import one_line

if TYPE_CHECKING:
    from ..turn_events import TurnResult

__all__ = [
    "DEBUG_VARIABLE",
    "EXIT_MEANINGS",
    "Exit",
    "UsageProblem",
    "exit_code_of",
    "exit_of_result",
    "guarded",
    "report",
]

DEBUG_VARIABLE = "AGENT_CORE_DEBUG"
_ENDING = (signal.SIGTERM, signal.SIGHUP) if sys.platform != "win32" else (signal.SIGTERM,)


class Exit(IntEnum):
    """The exit codes, promised in docs/cli.md. From 129 on, what a shell reports for a signal (128 + its number)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    LIMIT = 3
    DENIED = 4
    PAUSED = 5
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_MEANINGS: tuple[tuple[Exit, str], ...] = (
    (Exit.OK, "done"),
    (Exit.FAILED, "failed: the model, the network, a file, or the demo's tests"),
    (Exit.USAGE, "bad usage: a command line or a configuration nothing can be done with; nothing was sent"),
    (Exit.LIMIT, "a limit was reached: turns, calls, tokens, cost, time, length, or a run that got nowhere"),
    (Exit.DENIED, "an action was denied and the run ended without it"),
    (Exit.PAUSED, "paused: calls wait for an answer; a kept session goes on with exec --resume"),
    (Exit.HUNG_UP, "ended by SIGHUP: the terminal is gone"),
    (Exit.INTERRUPTED, "interrupted (Ctrl-C)"),
    (Exit.TERMINATED, "ended by SIGTERM"),
)


class UsageProblem(CallerError):
    """A command line that cannot be understood."""


def exit_code_of(error: BaseException) -> Exit:
    """What an error that ended a command makes of its exit code."""
    match error:
        case KeyboardInterrupt():
            return Exit.INTERRUPTED
        case CallerError():
            return Exit.USAGE
        case LimitReached():
            return Exit.LIMIT
        case _:
            return Exit.FAILED


def exit_of_result(result: TurnResult) -> Exit:
    """The exit code of a finished run. A completed run that had a call denied did not do what it set out to do, and
    one whose last word is a refusal did not either: Chat and Responses end those like any other answer."""
    match result.stop_reason:
        case "completed" if result.denied:
            return Exit.DENIED
        case "completed":
            return Exit.FAILED if refused(result) else Exit.OK
        case "aborted":
            return Exit.DENIED
        case "max_turns" | "max_tool_calls" | "max_tokens" | "max_cost" | "deadline" | "length":
            return Exit.LIMIT
        case "repeated" | "all_failed" | "bad_calls":
            return Exit.LIMIT
        case "paused":
            return Exit.PAUSED
        case "cancelled":
            return Exit.INTERRUPTED
        case "content_filter" | "refusal":
            return Exit.FAILED


def refused(result: TurnResult) -> bool:
    """Whether the model's last message is a refusal and nothing else."""
    said = [item for item in result.items if isinstance(item, Message) and item.role == "assistant"]
    return bool(said) and not text_of(said[-1]) and any(isinstance(part, Refusal) for part in said[-1].content)


def report(error: BaseException, *, where: str = "") -> None:
    """Write the error as one line to stderr: `error: <what happened> - <remedy>`."""
    if isinstance(error, AgentCoreError):
        message, remedy = error.message, error.remedy
    elif isinstance(error, OSError) and error.strerror:
        named = f": {error.filename}" if error.filename else ""
        message, remedy = f"{error.strerror}{named}", f"check the disk and permissions; {DEBUG_VARIABLE}=1 shows where"
        _show_traceback(error)
    else:
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        remedy = f"this is a bug; set {DEBUG_VARIABLE}=1 to see the traceback"
        _show_traceback(error)
    prefix = f"{where}: " if where else ""
    sys.stderr.write(f"error: {one_line(prefix + message)} - {one_line(remedy)}\n")
    sys.stderr.flush()


def _show_traceback(error: BaseException) -> None:
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error, file=sys.stderr)


def guarded(command: Callable[[], int]) -> int:
    """Run a command to its exit code; every exception becomes one."""
    _open_missing_streams()
    ended_by: list[int] = []
    try:
        with _signals_interrupt(ended_by):
            code = command()
        sys.stdout.flush()
    except SystemExit as stop:  # argparse, after --help and --version
        return stop.code if isinstance(stop.code, int) else Exit.OK
    except BrokenPipeError:
        _forget_stdout()
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit(128 + ended_by[0]) if ended_by else Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place where it can become one line
        with suppress(OSError):  # stderr may be what failed
            report(error)
        try:
            sys.stdout.flush()
        except OSError:
            _forget_stdout()
        return exit_code_of(error)
    return code


@contextmanager
def _signals_interrupt(ended_by: list[int]) -> Generator[None]:
    """SIGTERM and SIGHUP do what Ctrl-C does, so that commands are ended, children too, and the session is whole; which
    came is added to `ended_by`. One that is ignored (nohup) or handled already stays so."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        ended_by.append(number)
        handler = signal.getsignal(signal.SIGINT)  # inside an event loop it is the loop's
        (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)

    ours: list[int] = []
    if threading.current_thread() is threading.main_thread():
        ours = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _open_missing_streams() -> None:
    """A parent that closed a standard stream (`>&-`) is one that does not want to read it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process lives


def _forget_stdout() -> None:
    """Point stdout nowhere, so that the interpreter's own flush at exit does not fail once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
