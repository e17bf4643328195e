"""Ending a command and what it started: its process group, and on Linux what has left the group.

    leader, in a session of its own
      ├─ children and grandchildren: in its group             TERM, a short grace, KILL
      └─ setsid, a daemon: in a group of its own              known by a mark in its environment

Every process inherits the mark, whatever session or parent it has by then, unless it was started with an environment of
somebody's making (`env -i`): such a one is not found, nor is any stray where there is no /proc (macOS).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyio.abc import Process

__all__ = ["GRACE_S", "MARK_VARIABLE", "Family", "Mark", "ProcessGroup"]

GRACE_S = 0.5
"""Between TERM and KILL."""
MARK_VARIABLE = "AGENT_CORE_COMMAND"
_ROUNDS = 20
"""How often strays are looked for: each may have started another one meanwhile."""


class Mark:
    """What the processes of one command have in common. `value` is for MARK_VARIABLE in its environment."""

    __slots__ = ("_own", "value")

    def __init__(self, around: str = "") -> None:
        """`around` is the value in this process's own environment: a command inside a command has both marks."""
        self._own = os.urandom(12).hex()
        self.value = f"{around}:{self._own}".lstrip(":")

    def strays(self) -> Iterator[int]:
        """The processes that have it, other than this one; the dead have no environment and do not count."""
        own = os.getpid()
        return (pid for pid in _processes() if pid != own and self.on(pid))

    def on(self, pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/environ", "rb") as environment:
                return self._own.encode() in environment.read()
        except OSError:  # gone, or another user's
            return False


class Family:
    """What a command that leads a session of its own has started: its group, and what has left that. By signals alone,
    which wait for nothing."""

    __slots__ = ("_gone", "_leader", "_mark")

    def __init__(self, leader: int, mark: Mark) -> None:
        self._leader = leader
        self._mark = mark
        self._gone = False

    def terminate(self, *, strays: bool) -> bool:
        """Asks them to end. Whether there is a group to hear of it."""
        if strays:
            for pid in self._mark.strays():
                self._signal_one(pid, signal.SIGTERM)
        if not self.signal(signal.SIGTERM):
            return False
        self.signal(signal.SIGCONT)  # what was stopped hears of it too
        return True

    def kill(self, *, strays: bool) -> None:
        self.signal(signal.SIGKILL)
        for _ in range(_ROUNDS if strays else 0):
            found = list(self._mark.strays())
            if not found:
                return
            for pid in found:
                self._signal_one(pid, signal.SIGKILL)

    def is_alive(self) -> bool:
        """Whether a process of the group still runs, after its leader. One that has ended stays in the group until its
        parent reaps it, and an orphan's new parent may take its time: in a container often for ever."""
        if not self.signal(0):
            return False
        states = [state for state, group in map(_state_and_group, _processes()) if group == self._leader]
        return not states or any(state not in "ZX" for state in states)  # none to be seen: no /proc here

    def signal(self, number: int) -> bool:
        """Whether the group exists, as far as we may know. Once it is gone its number may be another's."""
        if not self._gone:
            with suppress(PermissionError):  # macOS says so of zombies
                try:
                    os.killpg(self._leader, number)
                    return True
                except ProcessLookupError:
                    self._gone = True
        return False

    def _signal_one(self, pid: int, number: int) -> None:
        """By a handle on the process, which is looked at once more: its number may be another's by now."""
        with suppress(OSError):
            handle = os.pidfd_open(pid)
            try:
                if self._mark.on(pid):
                    signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)


class ProcessGroup:
    """The process group of a command. `leader` is the command itself, started in a session of its own. `alone`: when it
    has ended nothing is left that runs, though its dead may still be counted."""

    __slots__ = ("_alone", "_family", "leader")

    def __init__(self, leader: Process, mark: Mark, *, alone: bool = False) -> None:
        self.leader = leader
        self._family = Family(leader.pid, mark)
        self._alone = alone

    async def end(self, *, strays: bool = False) -> None:
        """Ends what is left of the group: TERM, a short grace, KILL; and reaps the leader. With `strays` also those
        that have left it. Interrupted in this, it ends them at once; called again, it ends what there is then."""
        try:
            await self._end_gently(strays=strays)
        finally:
            self._family.kill(strays=strays)
        await self.leader.wait()

    async def _end_gently(self, *, strays: bool) -> None:
        import anyio

        if not self._family.terminate(strays=strays):
            return
        with anyio.move_on_after(GRACE_S):
            await self.leader.wait()
            pause_s = 0.005
            while not self._alone and self._family.is_alive():  # nothing tells when other people's children end
                await anyio.sleep(pause_s)
                pause_s = min(pause_s * 2, 0.05)


def _processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _state_and_group(pid: int) -> tuple[str, int]:
    """Its state (Z: ended, not reaped) and the number of its group."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            state, _, group = stat.read().rpartition(b")")[2].split()[:3]
    except (OSError, ValueError):
        return "X", 0
    return state.decode(), int(group)
