"""The process between the sandbox and the command: closes what is left open, starts the command, and ends all of it.

Run by path with the standard library alone, inside bubblewrap or in its place: `launcher.py SPEC_FD LINE_FD`. SPEC_FD
is a file with one JSON object (`LaunchSpec` in linux.py says which members); LINE_FD is one end of a socket pair: when
the other end closes, the agent is gone and so is the command; before it exits, the launcher writes a JSON report to it.
A byte that comes over it is the number of a signal for the command, which then is in a session of its own.

    launcher (supervises) ──fork──► limits → read-only mounts → no capabilities → Landlock → seccomp → exec

Everything the command started ends with it: in a PID namespace by signalling all, else through the tree of children, of
which the launcher is the reaper, however they detached themselves. Numbers of system calls: x86-64 and AArch64.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import FrameType
from typing import cast

POLL_S = 0.05
GRACE_S = 0.3
"""After SIGTERM, which the command got too; the shell's own grace is longer."""
FAILED_EXIT = 125
"""As `env` and `timeout`: the launcher failed, not the command."""

_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_KEPT_CAPS = (1 << 0) | (1 << 1) | (1 << 3) | (1 << 4)  # CHOWN, DAC_OVERRIDE, FOWNER, FSETID: what root needs for files

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


# --- Landlock (linux/landlock.h) -------------------------------------------------------------------------------------

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ = 1 | 4 | 8  # execute, read a file, read a folder
_LIST = 8
_OF_FILES = 1 | 2 | 4 | (1 << 14) | (1 << 15)
_WRITE_FILE = 2 | 4 | (1 << 14) | (1 << 15)


def landlock_abi() -> int:
    """0 where the kernel has none."""
    return max(int(_libc.syscall(_CREATE_RULESET, None, 0, 1)), 0)


def restrict_files(rules: Mapping[str, list[str]], *, network: bool) -> None:
    """`read` and `write` (whole trees), `devices` (files to write); names may be listed everywhere. All else is closed,
    changing mounts too. Paths that are gone are left out."""
    abi = landlock_abi()
    every = (1 << (13 + (abi >= 2) + (abi >= 3) + (abi >= 5))) - 1
    tcp = 0 if network or abi < 4 else 3
    fields = struct.pack("=QQQ", every, tcp, 3 if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _check(_libc.syscall(_CREATE_RULESET, fields, size, 0), "landlock_create_ruleset")
    _allow(ruleset, "/", _LIST)
    for kind, rights in (("read", _READ), ("write", every), ("devices", _WRITE_FILE)):
        for path in rules[kind]:
            _allow(ruleset, path, rights & every)
    _no_new_privileges()
    _check(_libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not there, or not ours to name: then it stays closed
    try:
        rights &= -1 if os.path.isdir(f"/proc/self/fd/{fd}") else _OF_FILES
        rule = struct.pack("=Qi", rights, fd)
        _check(_libc.syscall(_ADD_RULE, ruleset, 1, rule, 0), f"landlock_add_rule {path}")
    finally:
        os.close(fd)


# --- mounts (linux/mount.h, linux/sched.h) ---------------------------------------------------------------------------

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _RDONLY = 442, -100, 0x8000, 1


def make_read_only(roots: list[str], protected: list[str]) -> bool:
    """Everything but `roots`, and in them `protected`, in a mount namespace of this process's own. Landlock alone knows
    nothing of modes, owners and times, and cannot take back. False where the kernel does not let us: then nothing has
    changed that matters."""
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWNS) < 0:
        if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS) < 0:
            return False
        try:
            for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(text)
        except OSError:
            return False
    steps = [
        _mount(None, "/", _MS_REC | _MS_PRIVATE),
        *(_mount(path, path, _MS_BIND | _MS_REC) for path in (*roots, *protected)),
        _set_read_only("/", _AT_RECURSIVE, put=_RDONLY, take=0),
        *(_set_read_only(path, 0, put=0, take=_RDONLY) for path in roots),
    ]
    os.chdir(os.getcwd())  # a path leads to what is mounted there now; the folder we are in does not
    return all(step >= 0 for step in steps)


def _set_read_only(path: str, flags: int, *, put: int, take: int) -> int:
    fields = struct.pack("=QQQQ", put, take, 0, 0)
    return int(_libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), flags, fields, len(fields)))


def _mount(source: str | None, target: str, flags: int) -> int:
    name = None if source is None else os.fsencode(source)
    return int(_libc.mount(name, os.fsencode(target), None, ctypes.c_ulong(flags), None))


def _no_new_privileges() -> None:
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def drop_capabilities() -> None:
    """What makes root more than the owner of its files: mounting, raw devices, modules, the clock; and what anybody is
    in a namespace of their own. `exec` gives none of it back, since no new privileges are."""
    _no_new_privileges()
    header = struct.pack("=Ii", 0x20080522, 0)
    has = _capabilities()
    low = has & _KEPT_CAPS
    if has != low:
        _check(_libc.capset(header, struct.pack("=6I", low, low, 0, 0, 0, 0)), "capset")


def _capabilities() -> int:
    with open("/proc/self/status") as file:
        return next((int(line.split()[1], 16) for line in file if line.startswith("CapPrm:")), 0)


# --- seccomp (linux/seccomp.h, linux/filter.h) -----------------------------------------------------------------------

_ARCHES: Mapping[str, tuple[int, Mapping[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "socket": 41,
            "connect": 42,
            "accept": 43,
            "accept4": 288,
            "bind": 49,
            "listen": 50,
            "ioctl": 16,
            "ptrace": 101,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "io_uring_setup": 425,
            "io_uring_enter": 426,
            "io_uring_register": 427,
            "bpf": 321,
            "perf_event_open": 298,
            "userfaultfd": 323,
            "keyctl": 250,
            "add_key": 248,
            "request_key": 249,
            "kexec_load": 246,
            "mount": 165,
            "umount2": 166,
            "pivot_root": 155,
            "unshare": 272,
            "setns": 308,
            "open_by_handle_at": 304,
            "init_module": 175,
            "finit_module": 313,
            "reboot": 169,
            "swapon": 167,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "socket": 198,
            "connect": 203,
            "accept": 202,
            "accept4": 242,
            "bind": 200,
            "listen": 201,
            "ioctl": 29,
            "ptrace": 117,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "io_uring_setup": 425,
            "io_uring_enter": 426,
            "io_uring_register": 427,
            "bpf": 280,
            "perf_event_open": 241,
            "userfaultfd": 282,
            "keyctl": 219,
            "add_key": 217,
            "request_key": 218,
            "kexec_load": 104,
            "mount": 40,
            "umount2": 39,
            "pivot_root": 41,
            "unshare": 97,
            "setns": 268,
            "open_by_handle_at": 265,
            "init_module": 105,
            "finit_module": 273,
            "reboot": 142,
            "swapon": 224,
        },
    ),
}
_ALWAYS_DENIED = frozenset(
    (
        *("ptrace", "process_vm_readv", "process_vm_writev", "io_uring_setup", "io_uring_enter", "io_uring_register"),
        *("bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "kexec_load", "mount"),
        *("umount2", "pivot_root", "unshare", "setns", "open_by_handle_at", "init_module", "finit_module", "reboot"),
        "swapon",
    )
)
_CONNECTING = frozenset(("connect", "accept", "accept4", "bind", "listen"))
"""Somebody else's socket is reached by its path, whatever its file may be used for."""
_METADATA = frozenset(
    (
        *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "utime", "utimes"),
        *(
            "futimesat",
            "utimensat",
            "setxattr",
            "lsetxattr",
            "fsetxattr",
            "removexattr",
            "lremovexattr",
            "fremovexattr",
        ),
    )
)
"""What Landlock does not look at."""
_TIOCSTI = 0x5412  # types into the terminal of whoever runs the agent
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # EPERM


def has_seccomp() -> bool:
    return os.uname().machine in _ARCHES


def filter_calls(families: list[int] | None, denied: frozenset[str]) -> None:
    """Refuse `denied` and what is always denied; `families` are the kinds of sockets that may be made (None: all)."""
    arch, numbers = _ARCHES[os.uname().machine]
    program = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, 0x40000000),  # the x32 numbers of x86-64
        (_RETURN, 0, 0, _REFUSE),
    ]
    for name in sorted(denied | _ALWAYS_DENIED):
        if name in numbers:  # AArch64 never had the older ones
            program += ((_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, _REFUSE))
    if families is not None:
        # Is it `socket`? Then its first argument decides, and all that follows is passed over.
        checks: list[tuple[int, int, int, int]] = [
            (_EQUAL, len(families) - n, 0, family) for n, family in enumerate(families)
        ]
        program += (
            (_EQUAL, 0, len(families) + 3, numbers["socket"]),
            (_LOAD, 0, 0, 16),
            *checks,
            (_RETURN, 0, 0, _REFUSE),
            (_RETURN, 0, 0, _ALLOW),
        )
    program += (
        (_EQUAL, 0, 3, numbers["ioctl"]),
        (_LOAD, 0, 0, 24),
        (_EQUAL, 0, 1, _TIOCSTI),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    )
    code = b"".join(struct.pack("=HBBI", *step) for step in program)
    kept = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(program), ctypes.addressof(kept))
    _no_new_privileges()
    _check(_libc.prctl(_PR_SET_SECCOMP, 2, header, 0, 0), "seccomp")


# --- limits ----------------------------------------------------------------------------------------------------------


def limit_resources(limits: Mapping[str, int]) -> None:
    """Limits of each process; sums over all of them are the supervisor's."""
    _limit(resource.RLIMIT_CORE, 0)
    for name, which in (
        ("cpu_s", resource.RLIMIT_CPU),
        ("file_bytes", resource.RLIMIT_FSIZE),
        ("open_files", resource.RLIMIT_NOFILE),
        ("memory_bytes", resource.RLIMIT_DATA),
    ):
        if name in limits:
            _limit(which, limits[name])
    if "processes" in limits and os.geteuid() != 0:  # root is exempt; others count all their processes
        _limit(resource.RLIMIT_NPROC, limits["processes"] + _tasks_of(os.getuid()))


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _tasks_of(uid: int) -> int:
    count = 0
    for pid in _pids():
        try:
            if os.stat(f"/proc/{pid}").st_uid == uid:
                count += len(os.listdir(f"/proc/{pid}/task"))
        except OSError:
            continue
    return count


# --- supervising -----------------------------------------------------------------------------------------------------


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


class Supervisor:
    """Waits for `child`, looks at what all of them use, and ends them. `apart`: it is in a session of its own, so what
    is sent to the launcher's group does not reach it by itself."""

    def __init__(self, child: int, limits: Mapping[str, int], line: int, *, own_pids: bool, apart: bool) -> None:
        self.reason = ""
        self._child = child
        self._limits = limits
        self._line = line
        self._own_pids = own_pids
        self._apart = apart
        self._told_to_end = 0.0
        self._status: int | None = None

    def run(self, woken: int) -> int:
        """The command's exit status. `woken` is readable when a signal came."""
        signal.signal(signal.SIGTERM, self._end_soon)
        signal.signal(signal.SIGINT, self._end_soon)
        signal.signal(signal.SIGHUP, self._end_soon)
        while self._status is None:
            looking = POLL_S if self._limits or self._told_to_end else None
            ready = select.select([self._line, woken], [], [], looking)[0]
            if woken in ready:
                os.read(woken, 4096)
            if self._line in ready:
                self._listen()
            self._reap()
            self.reason = self.reason or self._over_limit()
            if self.reason or (self._told_to_end and time.monotonic() > self._told_to_end + GRACE_S):
                break
        self.end_all()
        return 128 + signal.SIGKILL if self._status is None else os.waitstatus_to_exitcode(self._status)

    def _listen(self) -> None:
        try:
            said = os.read(self._line, 64)
        except OSError:
            said = b""
        if not said:
            self.reason = "the agent is gone"
        for number in said:
            if number == signal.SIGTERM:
                self._end_soon(number, None)
            else:
                _signal(-self._child, number)

    def _end_soon(self, number: int, frame: FrameType | None) -> None:
        self._told_to_end = self._told_to_end or time.monotonic()
        if self._apart and self._status is None:
            hang_up = (signal.SIGHUP,) if os.isatty(0) else ()  # a shell on a terminal ignores TERM
            for each in (signal.SIGTERM, *hang_up, signal.SIGCONT):
                _signal(-self._child, each)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child:
                self._status = status

    def _over_limit(self) -> str:
        if self._status is not None:
            return ""  # it has ended by itself
        pids = self._others()
        if len(pids) > self._limits.get("processes", sys.maxsize):
            return "processes"
        most = self._limits.get("memory_bytes")
        if most is not None and sum(map(_own_memory, pids)) > most:
            return "memory"
        return ""

    def _others(self) -> list[int]:
        if self._own_pids:
            return [pid for pid in _pids() if pid not in (1, os.getpid())]
        return list(_descendants(os.getpid()))

    def end_all(self) -> None:
        """Every process but this one. Stopped first, so that none makes another meanwhile."""
        if self._own_pids:
            for number in (signal.SIGSTOP, signal.SIGKILL):
                _signal(-1, number)
            self._reap()
            return
        for _ in range(1000):
            pids = self._others()
            if not pids:
                return
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in pids:
                    _signal(pid, number)
            self._reap()
            time.sleep(0.001)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # gone, or one that changed its user: it is ended with its namespace


def _descendants(pid: int) -> Iterable[int]:
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        try:
            tasks = os.listdir(f"/proc/{parent}/task")
        except OSError:
            continue
        for task in tasks:
            try:
                with open(f"/proc/{parent}/task/{task}/children") as file:
                    children = [int(child) for child in file.read().split()]
            except OSError:
                continue
            waiting += children
            yield from children


def _own_memory(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:
            _, resident, shared = file.read().split()[:3]
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * resource.getpagesize()


def take_precedence() -> None:
    """Before thousands of processes that all want to run. Only root may, and only root's number is not bounded
    otherwise; what is forked does not inherit it."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def _start(spec: Mapping[str, object]) -> int:
    """Fork, close down, exec. Returns the child's number; it tells its failures on stderr and by FAILED_EXIT."""
    argv = cast("list[str]", spec["argv"])
    child = os.fork()
    if child:
        return child
    try:
        for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if spec["apart"]:
            _set_apart()
        if spec["confined"]:
            _confine(spec)
        os.execvp(argv[0], argv)
    except FileNotFoundError:
        sys.stderr.write(f"there is no program {argv[0]!r}\n")
        os._exit(127)
    except OSError as error:
        sys.stderr.write(f"cannot start the command: {error.strerror}\n")
        os._exit(126 if isinstance(error, PermissionError) else FAILED_EXIT)
    except BaseException as error:  # noqa: BLE001  # whatever it is: nothing may run unconfined after it
        sys.stderr.write(f"cannot confine the command: {error!r}\n")
        os._exit(FAILED_EXIT)


def _set_apart() -> None:
    """Into a session of its own. What a terminal sends, if there is one, reaches the command and not its launcher."""
    os.setsid()
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _confine(spec: Mapping[str, object]) -> None:
    limit_resources(cast("Mapping[str, int]", spec["limits"]))
    files = cast("dict[str, list[str]] | None", spec["files"])
    mounted = files is None or make_read_only(files["roots"], files["protected"])
    if files is not None and not mounted:
        files["write"] = files["carved"]
    drop_capabilities()
    if files is not None:
        restrict_files(files, network=bool(spec["network"]))
    denied = (*(() if mounted else _METADATA), *(() if spec["connect"] else _CONNECTING))
    filter_calls(cast("list[int] | None", spec["families"]), frozenset(denied))


def main(spec_fd: int, line: int) -> int:
    with os.fdopen(spec_fd, "rb") as file:
        spec = cast("Mapping[str, object]", json.load(file))
    os.set_inheritable(line, False)
    own_pids = bool(spec["own_pids"])
    take_precedence()
    if not own_pids:
        _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "child_subreaper")
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    limits = cast("Mapping[str, int]", spec["limits"])
    supervisor = Supervisor(_start(spec), limits, line, own_pids=own_pids, apart=bool(spec["apart"]))
    code = supervisor.run(woken)
    code = code if code >= 0 else 128 - code
    with suppress(OSError):  # nobody may be left to be told
        os.write(line, json.dumps({"reason": supervisor.reason, "exit_code": code}).encode())
    return code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
