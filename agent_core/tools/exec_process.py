"""One command that goes on beside the conversation: a process and the thread that serves it.

                 ┌───────── pump: a thread of its own ─────────┐
    output  ───► │ read at once ─► what nobody saw yet (ends)  │ ───► take
                 │              ─► log on disk (up to a size)  │
    input   ◄─── │ what was sent, as the program reads it      │ ◄─── send, close_input, interrupt
    exit    ───► │ reap, end what is left, last output         │ ◄─── end
                 └─────────────────────────────────────────────┘

A thread and no task, because it has to go on between two turns, when no event loop runs or another one: so the program
never stops at a full pipe, and is reaped when it ends. It alone touches the process and its files; others leave word
under the lock and wake it. Who waits does so in the loop of the moment, by a pipe of their own (`watch`).
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from ..errors import ToolError
from .capture import Capture
from .command import exit_code_of
from .output_log import OutputLog
from .processes import GRACE_S, MARK_VARIABLE, Family, Mark
from .terminal_text import PlainText, TerminalText

if TYPE_CHECKING:
    from ..sandbox import Confined

__all__ = ["ExecProcess", "Stdin", "Taken", "Watch"]

Stdin = Literal["none", "pipe", "terminal"]

MAX_UNSEEN_BYTES = 128 * 1024
"""How much is kept, of both ends, of what nobody saw yet. The log has more."""
MAX_FRESH_BYTES = 64 * 1024
MAX_INPUT_BYTES = 1024 * 1024
"""Input that waits for a program that does not read."""
DRAIN_S = 2.0
"""How long after its exit output is awaited from what it left behind; as in Codex (codex.md 4)."""
_NEVER = float("inf")
_LOOK_S = 0.05
"""How often is looked where nothing tells of an exit (no pidfd)."""
_READ_BYTES = 64 * 1024

# Takes the terminal that is its input as its own, which only the leader of a session can; where no launcher does it.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


class Taken(Struct, frozen=True):
    """What became of a command since it was last looked at. `exit_code`: None while it runs. `limit`: the bound of its
    sandbox that it was ended for."""

    output: Capture
    exit_code: int | None
    limit: str = ""


class Watch:
    """Somebody's waiting for a command. `fd` is readable when there is news: then `news`, and `over` says whether there
    is anything more to wait for."""

    def __init__(self, needle: bytes) -> None:
        self.over = False
        self.fd, self._write_end = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write_end, False)
        self._needle = needle
        self._near = b""
        self._fresh = bytearray()

    def news(self) -> str:
        """What came since the last time, of a flood the last of it. Called under the lock of the command."""
        with suppress(BlockingIOError):
            os.read(self.fd, 4096)
        text = self._fresh.decode("utf-8", "replace")
        self._fresh.clear()
        return text

    def feed(self, piece: bytes) -> None:
        self._fresh += piece
        if len(self._fresh) > MAX_FRESH_BYTES:
            del self._fresh[:-MAX_FRESH_BYTES]
        self.look(piece)
        self.tell()

    def look(self, piece: bytes) -> None:
        """Whether the needle is in what came, across pieces too."""
        if self._needle and not self.over:
            near = self._near + piece
            self.over = self._needle in near
            self._near = near[max(len(near) - len(self._needle) + 1, 0) :]

    def tell(self) -> None:
        with suppress(BlockingIOError):  # it is full: told already
            os.write(self._write_end, b".")

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._write_end)


class ExecProcess:
    """Started when it is made (blocking, briefly); `end` and `join` end it. Every method may be called in any thread.

    `confined` is its own from then on, also when it cannot be started. Raises ToolError then.
    """

    def __init__(
        self,
        confined: Confined,
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: Stdin = "none",
        window: tuple[int, int] = (24, 80),
        log: OutputLog,
    ) -> None:
        self.log = log
        self.started_at = time.monotonic()
        self.ended_at: float | None = None
        self.stdin: Stdin = stdin
        self._confined = confined
        self._lock = threading.Lock()
        self._unseen = Capture(MAX_UNSEEN_BYTES)
        self._watches: list[Watch] = []
        self._input = bytearray()
        self._input_open = stdin != "none"
        self._wanted: set[Literal["end", "close input", "interrupt"]] = set()
        self._exit_code: int | None = None
        self._limit = ""
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wakes, False)
        try:
            mark = Mark(os.environ.get(MARK_VARIABLE, ""))
            marked = {**env, **confined.env, MARK_VARIABLE: mark.value}
            started, self._output_fd, self._input_fd = _start(confined, stdin, window, cwd=cwd, env=marked)
        except BaseException:
            confined.finish()
            os.close(self._woken)
            os.close(self._wakes)
            raise
        pump = _Pump(self, started, Family(started.pid, mark))
        self._thread = threading.Thread(target=pump.run, name=f"exec {started.pid}", daemon=True)
        self._thread.start()

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._exit_code

    @property
    def input_open(self) -> bool:
        """Whether it can be sent anything, as far as is known."""
        return self._input_open and self._exit_code is None

    def take(self) -> Taken:
        """What nobody saw yet; it counts as seen now."""
        with self._lock:
            taken = Taken(self._unseen, self._exit_code, self._limit)
            self._unseen = Capture(MAX_UNSEEN_BYTES)
        return taken

    def send(self, text: bytes) -> bool:
        """Input for the program, which gets it as it reads. False, and nothing of it is sent, if more than
        MAX_INPUT_BYTES would wait for it."""
        with self._lock:
            if len(self._input) + len(text) > MAX_INPUT_BYTES:
                return False
            self._input += text
        self._wake()
        return True

    def close_input(self) -> None:
        """After what was sent, the program reads the end of its input. For a pipe."""
        self._input_open = False
        self._want("close input")

    def interrupt(self) -> None:
        """SIGINT, as from a terminal, for the command and its group."""
        self._want("interrupt")

    def end(self) -> None:
        """TERM, a short grace, KILL: to all that the command started. Returns at once; `join` waits."""
        self._want("end")

    def join(self, timeout_s: float | None = None) -> None:
        """Waits until it has ended and nothing is left of it."""
        self._thread.join(timeout_s)

    @contextmanager
    def watch(self, needle: str = "", *, from_now: bool = False) -> Generator[Watch]:
        """Wait for its end, or until there is output with `needle` in it that nobody saw yet; `from_now`: that was not
        there before."""
        watch = Watch(needle.encode("utf-8", "replace"))
        with self._lock:
            if needle and not from_now:
                watch.look(self._unseen.result()[0].encode("utf-8", "replace"))
            watch.over = watch.over or self._exit_code is not None
            self._watches.append(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.remove(watch)
                watch.close()

    def news(self, watch: Watch) -> str:
        with self._lock:
            return watch.news()

    def _want(self, what: Literal["end", "close input", "interrupt"]) -> None:
        with self._lock:
            self._wanted.add(what)
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            if self._exit_code is None:  # else the pump has closed it
                with suppress(BlockingIOError, BrokenPipeError):  # it is full, or the pump is on its way out
                    os.write(self._wakes, b".")


class _Pump:
    """The thread's side: everything here runs in it alone."""

    def __init__(self, shared: ExecProcess, started: subprocess.Popen[bytes], family: Family) -> None:
        self._shared = shared
        self._process = started
        self._family = family
        self._confined = shared._confined
        self._text = TerminalText() if shared.stdin == "terminal" else PlainText()
        self._output_fd = shared._output_fd
        self._input_fd = shared._input_fd
        self._output_open = True
        self._kill_at = _NEVER
        self._over_at = _NEVER
        self._close_input = False
        self._pidfd = -1
        with suppress(AttributeError, OSError):  # not on macOS
            self._pidfd = os.pidfd_open(started.pid)

    def run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._shared._woken, selectors.EVENT_READ, "woken")
                selector.register(self._output_fd, selectors.EVENT_READ, "output")
                if self._pidfd >= 0:
                    selector.register(self._pidfd, selectors.EVENT_READ, "exit")
                while not self._over():
                    self._step(selector)
        finally:
            self._finish()

    def _step(self, selector: selectors.BaseSelector) -> None:
        self._watch_input(selector)
        for key, events in selector.select(self._patience()):
            if key.data == "output" and events & selectors.EVENT_READ:
                self._read(selector)
            elif key.data == "exit":
                selector.unregister(self._pidfd)
            elif key.data == "woken":
                with suppress(BlockingIOError):
                    os.read(self._shared._woken, 4096)
            if events & selectors.EVENT_WRITE:
                self._write(selector)
        self._obey()
        if self._over_at == _NEVER and self._process.poll() is not None:
            self._exited()
        if time.monotonic() >= self._kill_at:
            self._kill_at = _NEVER
            self._family.kill(strays=True)

    def _over(self) -> bool:
        ended = self._over_at != _NEVER
        return ended and (not self._output_open or time.monotonic() >= self._over_at)

    def _patience(self) -> float | None:
        until = min(self._kill_at, self._over_at)
        if until != _NEVER:
            left = max(until - time.monotonic(), 0)
            return left if self._pidfd >= 0 else min(left, _LOOK_S)
        return None if self._pidfd >= 0 else _LOOK_S

    def _obey(self) -> None:
        with self._shared._lock:
            wanted = set(self._shared._wanted)
            self._shared._wanted.clear()
        if "interrupt" in wanted:
            self._signal(signal.SIGINT)
        if "close input" in wanted:
            self._close_input = True
        if "end" in wanted and self._kill_at == _NEVER and self._over_at == _NEVER:
            self._kill_at = time.monotonic() + GRACE_S
            if self._confined.apart:
                self._confined.signal(signal.SIGTERM)  # the launcher hands it on, and ends everything itself
            else:
                self._family.terminate(strays=True)

    def _signal(self, number: int) -> None:
        if self._confined.apart:
            self._confined.signal(number)
        else:
            self._family.signal(number)

    def _exited(self) -> None:
        """It has ended; what it left behind is ended too, and has a short while for its last words."""
        now = time.monotonic()
        self._over_at = now + DRAIN_S
        if not self._all_ended():
            self._family.terminate(strays=True)
            self._kill_at = min(self._kill_at, now + GRACE_S)

    def _all_ended(self) -> bool:
        """Whether a launcher has seen to it; one that was killed has not."""
        code = self._process.returncode
        return self._confined.ends_all and code is not None and code >= 0

    # --- files -------------------------------------------------------------------------------------------------------

    def _read(self, selector: selectors.BaseSelector) -> None:
        try:
            chunk = os.read(self._output_fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # Linux says so of a terminal whose last program has gone
            chunk = b""
        if chunk:
            self._shared.log.write(chunk)
            self._feed(self._text.feed(chunk))
            return
        self._output_open = False
        selector.unregister(self._output_fd)

    def _feed(self, piece: bytes) -> None:
        if piece:
            with self._shared._lock:
                self._shared._unseen.feed(piece)
                for watch in self._shared._watches:
                    watch.feed(piece)

    def _watch_input(self, selector: selectors.BaseSelector) -> None:
        """Wait until the program can be written to, only while there is something to write."""
        with self._shared._lock:
            waits = bool(self._shared._input)
        if self._shared.stdin == "terminal":
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if waits else 0)
            if self._output_open and selector.get_key(self._output_fd).events != events:
                selector.modify(self._output_fd, events, "output")
        elif self._input_fd >= 0:
            registered = self._input_fd in selector.get_map()
            if waits and not registered:
                selector.register(self._input_fd, selectors.EVENT_WRITE, "input")
            elif not waits and registered:
                selector.unregister(self._input_fd)
            if not waits and self._close_input:
                self._drop_input()

    def _write(self, selector: selectors.BaseSelector) -> None:
        with self._shared._lock:
            piece = bytes(self._shared._input[:_READ_BYTES])
        try:
            written = os.write(self._input_fd, piece)
        except BlockingIOError:
            return
        except OSError:  # it has closed its input: nobody will read this
            written = -1
        with self._shared._lock:
            if written >= 0:
                del self._shared._input[:written]
            else:
                self._shared._input.clear()
                self._shared._input_open = False
        if written < 0 and self._shared.stdin == "pipe":
            selector.unregister(self._input_fd)
            self._drop_input()

    def _drop_input(self) -> None:
        os.close(self._input_fd)
        self._input_fd = -1

    def _finish(self) -> None:
        """Nothing is left that runs, nothing is open, and who waits is told. Also if the pump itself has failed."""
        shared = self._shared
        if not self._all_ended() or self._output_open:
            self._family.kill(strays=True)
        code = exit_code_of(self._process.wait())
        limit = self._confined.finish().limit
        for fd in {self._output_fd, self._input_fd, self._pidfd, shared._woken} - {-1}:
            os.close(fd)
        self._feed(self._text.close())
        shared.log.close()
        with shared._lock:
            os.close(shared._wakes)
            shared.ended_at = time.monotonic()
            shared._limit = limit
            shared._exit_code = code
            for watch in shared._watches:
                watch.over = True
                watch.tell()


def _start(
    confined: Confined, stdin: Stdin, window: tuple[int, int], *, cwd: Path, env: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], int, int]:
    """The process, where its output is read and where its input is written (-1: it has none). Raises ToolError."""
    argv = confined.argv
    if stdin == "terminal":
        ours, theirs = _terminal(window)
        streams = (theirs, theirs, ours, ours)
        if not confined.apart:
            argv = (sys.executable, "-I", "-S", "-c", _TAKE_TERMINAL, *argv)
    else:
        read_end, write_end = os.pipe()
        input_end, our_end = os.pipe() if stdin == "pipe" else (subprocess.DEVNULL, -1)
        streams = (input_end, write_end, read_end, our_end)
    for_input, for_output, output_fd, input_fd = streams
    try:
        started = subprocess.Popen(
            argv,
            stdin=for_input,
            stdout=for_output,
            stderr=for_output,
            cwd=cwd,
            env=env,
            start_new_session=True,
            pass_fds=confined.pass_fds,
        )
    except BaseException as error:
        for fd in {output_fd, input_fd} - {-1}:
            os.close(fd)
        if isinstance(error, FileNotFoundError):
            what = f"there is no program {confined.argv[0][:200]!r}"
            raise ToolError(what, remedy="check its name, or install it") from None
        if isinstance(error, OSError | ValueError):  # not executable, too long, a NUL or a lone surrogate in it
            reason = error.strerror if isinstance(error, OSError) else str(error).split("\n")[0]
            raise ToolError(f"cannot start the command: {reason}", remedy="change the command") from None
        raise
    finally:
        for fd in {for_input, for_output} - {subprocess.DEVNULL}:
            os.close(fd)
    confined.started()
    for fd in {output_fd, input_fd} - {-1}:
        os.set_blocking(fd, False)
    return started, output_fd, input_fd


def _terminal(window: tuple[int, int]) -> tuple[int, int]:
    """The two ends of a new terminal: ours, and the program's."""
    import termios

    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, window)
    return ours, theirs
