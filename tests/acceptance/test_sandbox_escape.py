"""Ways out of the sandbox, tried for real: by root and by an ordinary user, in bubblewrap and under Landlock.

Every attempt runs in a workspace that it may write, with its network off and its secrets hidden. What it was after lies
outside, and is looked at afterwards from there. `agent_core.sandbox` says what holds what.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from agent_core.errors import SandboxUnavailable
from agent_core.items import JsonValue
from agent_core.sandbox import Backend, Sandbox, workspace_write

pytestmark = pytest.mark.acceptance

REPOSITORY = Path(__file__).resolve().parents[2]
MARK = "victim"
SETTING = "/proc/sys/kernel/printk_ratelimit_burst"
EMPTIER = ("no such file", "no such process", "connection refused", "must be superuser")
"""What is said where the sandbox shows a world without it, or of what nobody but root may do anywhere."""
DRIVER = """
import json, sys, anyio
from pathlib import Path
from agent_core.sandbox import Sandbox, SandboxLimits, SandboxPolicy
from agent_core.tools import Shell, ToolCall, ToolContext

async def main():
    asked = json.load(sys.stdin)
    policy = SandboxPolicy(
        "workspace_write", protected=(Path(asked["session"]),), hidden=tuple(map(Path, asked["hidden"])),
        limits=SandboxLimits(memory_bytes=256 * 1024**2, processes=64, file_bytes=1024**2, tmp_bytes=1024**2),
    )
    shell = Shell(sandbox=policy, timeout_ms=asked["timeout_ms"])
    shell._sandbox = Sandbox(policy, backend=asked["backend"])
    call = ToolCall("c", "shell", json.dumps({"command": asked["command"]}))
    work = Path(asked["work"])
    output = await shell.run(call, ToolContext(work, roots=(work,)))
    print(json.dumps([output.content, output.success, dict(output.metadata)]))

anyio.run(main)
"""

# name, command, whether the output must say that it was refused. $OUT is outside, $SECRET hidden, $VICTIM a process.
ATTEMPTS: tuple[tuple[str, str, bool], ...] = (
    ("write outside", "echo x > $OUT/leak", True),
    ("write by ..", "echo x > ../outside/leak", True),
    ("write through a symlink to a folder", "ln -s $OUT link && echo x > link/leak", True),
    ("write through a symlink to a file", "ln -s $OUT/victim link && echo x > link", True),
    ("write through a hard link", "ln $OUT/victim hard && echo x > hard", True),
    ("write through /proc/self/root", "echo x > /proc/self/root$OUT/leak", True),
    ("write through the root of process 1", "echo x > /proc/1/root$OUT/leak", True),
    ("write through the parent's folder", "echo x > /proc/$PPID/cwd/../outside/leak", True),
    ("write through an open file", "exec 3< $OUT/victim; echo x > /proc/self/fd/3", True),
    ("append", "echo x >> $OUT/victim", True),
    ("truncate", "truncate -s 0 $OUT/victim", True),
    ("remove", "rm -f $OUT/victim", True),
    ("take away", "mv $OUT/victim .", True),
    ("change the mode", "chmod 000 $OUT/victim", True),
    ("change the times", "touch -d 1970-01-01 $OUT/victim", True),
    ("replace the workspace", "cd .. && mv work gone && mkdir work", True),
    ("bind mount", "mkdir m && mount --bind $OUT m && echo x > m/leak", True),
    ("remount", "mount -o remount,rw / && echo x > $OUT/leak", True),
    ("a namespace of its own", "unshare -Urm sh -c 'mount -o remount,rw,bind /; echo x > $OUT/leak'", True),
    ("another namespace", "nsenter -t $VICTIM -m sh -c 'echo x > $OUT/leak'", True),
    ("a git hook", "echo x > .git/hooks/pre-commit", True),
    ("the git configuration", "git config core.hooksPath /tmp || echo x >> .git/config", True),
    ("another .git in its place", "mv .git .git2 && mkdir -p .git/hooks && echo x > .git/hooks/pre-commit", True),
    ("the session's file", "echo x >> session.jsonl", True),
    ("the session's file removed", "rm -f session.jsonl; mv session.jsonl s", True),
    ("read a secret", "cat $SECRET/id", True),
    ("read a secret through /proc", "cat /proc/self/root$SECRET/id", True),
    ("read a secret through a link", "ln -s $SECRET s && cat s/id", True),
    ("link a secret", "ln $SECRET/id hard && cat hard", True),
    ("copy secrets", "cp -r $SECRET copy; tar c $SECRET | cat > t; grep -r topsecret copy t", False),
    ("read the keys of another process", "cat /proc/$VICTIM/environ", True),
    ("a TCP server on loopback", "exec 3<>/dev/tcp/127.0.0.1/$PORT && echo hello >&3", True),
    ("a UDP server on loopback", "echo hello > /dev/udp/127.0.0.1/$UDP_PORT", False),
    (
        "a server by its path",
        "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('$OUT/socket'); s.send(b'hello')\"",
        True,
    ),
    (
        "a server by its abstract name",
        "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('\\0$NAME'); s.send(b'hello')\"",
        True,
    ),
    ("a raw socket", "python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'", True),
    ("end another process", "kill -9 $VICTIM; kill -TERM $VICTIM", True),
    ("end its group", "kill -9 -- -$VICTIM", True),
    (
        "trace another process",
        "python3 -c 'import ctypes, os; l = ctypes.CDLL(None, use_errno=True); r = l.ptrace(16, $VICTIM, 0, 0); "
        "print(os.strerror(ctypes.get_errno())); exit(r != 0)'",
        True,
    ),
    ("a kernel setting", f"echo 11 > {SETTING}", True),
    ("the host's name", "hostname escaped; true", False),
    ("a large file", "head -c 2000000 /dev/zero > big; test $(stat -c %s big) -gt 1100000", False),
    ("a fork bomb", "bomb() { bomb | bomb & }; bomb; sleep 20", True),
    ("a memory hog", "python3 -c 'x = bytearray(1024**3); print(len(x))'", True),
    ("many small hogs", "for n in 1 2 3 4; do python3 -c 'x = b\"1\" * (120 * 1024**2); input()' & done; wait", False),
    ("a flood of output", "yes | head -c 10000000000", False),
    ("a daemon", "setsid sleep $MARKED < /dev/null > /dev/null 2>&1 & sleep 0.2", False),
    ("an orphan of an orphan", "(setsid sh -c '(sleep $MARKED &) &' &) ; sleep 0.2", False),
)


@dataclass
class Place:
    """What an attempt is after, and whether it got it."""

    base: Path
    port: int
    udp_port: int
    victim: int

    @property
    def work(self) -> Path:
        return self.base / "work"

    @property
    def out(self) -> Path:
        return self.base / "outside"

    @property
    def marked(self) -> str:
        """So long that nobody else sleeps as long."""
        return f"300.{self.victim}"

    def losses(self, servers: list[socket.socket], before: dict[str, object]) -> list[str]:
        """What has changed, been reached or is left running."""
        found = [f"{key} is {now!r}" for key, now in self.look().items() if now != before[key]]
        for server in servers:
            with suppress(BlockingIOError):
                server.recv(9) if server.type == socket.SOCK_DGRAM else server.accept()
                found.append(f"the server at {server.getsockname()!r} was reached")
        return [*found, *("a process is left" for _ in _processes(self.marked))]

    def look(self) -> dict[str, object]:
        victim = self.out / MARK
        return {
            "outside": sorted(os.listdir(self.out)),
            "victim": victim.read_text() if victim.exists() else None,
            "mode": victim.stat().st_mode if victim.exists() else None,
            "time": victim.stat().st_mtime if victim.exists() else None,
            "hook": (self.work / ".git/hooks/pre-commit").exists(),
            "config": (self.work / ".git/config").read_text(),
            "session": (self.work / "session.jsonl").read_text(),
            "alive": Path(f"/proc/{self.victim}/cmdline").exists(),
            "host": socket.gethostname(),
            "setting": Path(SETTING).read_text(),
        }


@pytest.fixture(params=["root", "an ordinary user"])
def user(request: pytest.FixtureRequest) -> tuple[int, str]:
    """Whose attempts they are, and a Python they can run."""
    if request.param == "root":
        if os.geteuid() != 0:
            pytest.skip("the tests do not run as root")
        return 0, sys.executable
    if os.geteuid() != 0:
        return os.geteuid(), sys.executable
    try:
        nobody = pwd.getpwnam("nobody").pw_uid
    except KeyError:
        pytest.skip("there is no user 'nobody'")
    for python in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        code = "import sys; sys.path[:0] = sys.argv[1:]; import anyio, msgspec, agent_core.tools.shell"
        with suppress(OSError):
            if (
                subprocess.run(
                    [python, "-c", code, *_python_path()], user=nobody, cwd="/", capture_output=True
                ).returncode
                == 0
            ):
                return nobody, python
    pytest.skip("no Python here can be run by an ordinary user")


def _processes(word: str) -> list[str]:
    """Command lines of all processes that have this word."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_text(errors="replace").split("\0")
            found += [" ".join(words)] if word in words else []
    return found


def _python_path() -> list[str]:
    return [str(REPOSITORY), *(path for path in sys.path if path.endswith("site-packages"))]


@pytest.fixture(params=["bubblewrap", "landlock"])
def backend(request: pytest.FixtureRequest) -> Backend:
    backend: Backend = request.param
    try:
        Sandbox(workspace_write(), backend=backend)
    except SandboxUnavailable:
        pytest.skip(f"{backend} does not work here: apt-get install bubblewrap, or a kernel with Landlock")
    return backend


@pytest.fixture
def place(user: tuple[int, str]) -> Iterator[tuple[Place, list[socket.socket]]]:
    """Beside the workspace: files, servers and a process, all of the same user's."""
    uid, _ = user
    base = Path(tempfile.mkdtemp(prefix="escape", dir="/var/tmp"))
    for name in ("work/.git/hooks", "outside", "secret"):
        (base / name).mkdir(parents=True)
    for name, text in {"outside/victim": "safe\n", "secret/id": "topsecret\n", "work/session.jsonl": "{}\n"}.items():
        (base / name).write_text(text)
    (base / "work/.git/config").write_text("[core]\n")
    tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    by_path, by_name = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    by_path.bind(str(base / "outside/socket"))
    by_name.bind(f"\0{base.name}")
    servers = [tcp, udp, by_path, by_name]
    for server in servers:
        server.setblocking(False)
    for server in (by_path, by_name):
        server.listen()
    subprocess.run(["chown", "-R", str(uid), str(base)], check=True)
    environment = {"PATH": os.environ["PATH"], "API_KEY": "topsecret"}
    victim = subprocess.Popen(["sleep", "600"], user=uid, env=environment, start_new_session=True)
    try:
        yield Place(base, tcp.getsockname()[1], udp.getsockname()[1], victim.pid), servers
    finally:
        victim.kill()
        victim.wait()
        for server in servers:
            server.close()
        shutil.rmtree(base)


def attempt(
    command: str, place: Place, user: tuple[int, str], backend: Backend
) -> tuple[str, bool, dict[str, JsonValue]]:
    """What the shell tool says of the command, run by a process of that user's."""
    uid, python = user
    asked = {
        "command": command,
        "work": str(place.work),
        "session": str(place.work / "session.jsonl"),
        "hidden": [str(place.base / "secret")],
        "backend": backend,
        "timeout_ms": 3000 if "flood" in command or "10000000000" in command else 10_000,
    }
    environment = {
        "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
        "PYTHONPATH": os.pathsep.join(_python_path()),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(place.base),
    }
    ended = subprocess.run(
        [python, "-W", "error", "-c", dedent(DRIVER)],
        input=json.dumps(asked),
        user=uid,
        group=uid,
        extra_groups=[],
        env=environment,
        cwd=place.base,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    content, success, metadata = json.loads(ended.stdout)
    return content, success, metadata


LONG = os.environ.get("AGENT_CORE_LONG") == "1"
TRIED = ATTEMPTS if LONG else ATTEMPTS[::24]


@pytest.mark.parametrize(("name", "command", "told"), TRIED, ids=[name for name, _, _ in TRIED])
def test_no_way_out(
    name: str,
    command: str,
    told: bool,
    place: tuple[Place, list[socket.socket]],
    user: tuple[int, str],
    backend: Backend,
) -> None:
    """Nothing outside has changed, been reached, been read or is left behind; and what failed says why."""
    here, servers = place
    for key, value in {
        "$OUT": str(here.out),
        "$SECRET": str(here.base / "secret"),
        "$VICTIM": str(here.victim),
        "$PORT": str(here.port),
        "$UDP_PORT": str(here.udp_port),
        "$NAME": here.base.name,
        "$MARKED": here.marked,
    }.items():
        command = command.replace(key, value)
    before = here.look()
    started = time.monotonic()
    content, success, metadata = attempt(command, here, user, backend)
    assert here.losses(servers, before) == []
    assert "topsecret" not in content
    assert time.monotonic() - started < 30
    if told:
        assert not success, content
        refused = metadata.get("sandbox") in ("denied", "processes", "memory")
        assert refused or any(words in content.lower() for words in EMPTIER), content
