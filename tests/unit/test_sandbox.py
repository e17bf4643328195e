"""Sandbox policies as data: what they open on this disk, and the words each backend is told it in."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_core import sandbox
from agent_core.errors import ConfigError, SandboxUnavailable
from agent_core.items import JsonValue
from agent_core.sandbox import (
    Confined,
    Sandbox,
    SandboxLimits,
    SandboxPolicy,
    full_access,
    looks_denied,
    read_only,
    workspace_write,
)
from agent_core.sandbox.paths import Layout, carved, layout_of
from agent_core.sandbox.seatbelt import seatbelt_profile


@dataclass(frozen=True)
class Disk:
    base: Path

    def path(self, name: str) -> Path:
        return self.base / name


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """A workspace with a repository, a worktree beside it, and a secret."""
    for name in ("work/.git/hooks", "work/src", "tree", "main/.git/worktrees/tree", "secret", "empty"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "tree/.git").write_text(f"gitdir: {tmp_path}/tree/admin\n")
    (tmp_path / "tree/admin").mkdir()
    (tmp_path / "work/session.jsonl").write_text("{}\n")
    (tmp_path / "work/link").symlink_to(tmp_path / "secret")
    return Disk(tmp_path.resolve())


def test_what_a_policy_opens(disk: Disk) -> None:
    """The roots are written, but for repositories and what is named; what is not there is left out."""
    policy = workspace_write(disk.path("tree"), hide_secrets=False).protecting(disk.path("work/session.jsonl"))
    layout = layout_of(policy, cwd=disk.path("work/src"), roots=(disk.path("work"), disk.path("gone")))
    assert layout == Layout(
        cwd=disk.path("work/src"),
        writable=(disk.path("work"), disk.path("tree")),
        protected=tuple(map(disk.path, ("work/session.jsonl", "work/.git", "tree/.git", "tree/admin"))),
        hidden=(),
    )
    assert layout_of(read_only(hide_secrets=False), cwd=disk.path("work"), roots=(disk.path("work"),)).writable == ()


def test_what_is_hidden(disk: Disk) -> None:
    """A secret is found through its links, and one that the work itself lies in is not hidden from it."""
    hidden = SandboxPolicy("read_only", hidden=(disk.path("work/link"), disk.path("work"), disk.path("gone")))
    assert layout_of(hidden, cwd=disk.path("work/src"), roots=()).hidden == (disk.path("secret"),)


def test_the_whole_disk_is_no_workspace() -> None:
    """A root that holds everything would hold nothing back."""
    with pytest.raises(ConfigError, match="cannot be the whole disk"):
        layout_of(workspace_write("/"), cwd=Path("/tmp"), roots=())


@pytest.mark.parametrize(
    ("holes", "expected"),
    [
        ([], ["work"]),
        (["elsewhere"], ["work"]),
        (["work"], []),
        (["work/.git"], ["work/session.jsonl", "work/src"]),
        (["work/.git/hooks", "work/src"], ["work/session.jsonl"]),
    ],
)
def test_everything_but_the_holes(holes: list[str], expected: list[str], disk: Disk) -> None:
    """For rules that cannot take back: neighbours one by one, links never."""
    assert carved(disk.path("work"), [disk.path(hole) for hole in holes]) == [str(disk.path(e)) for e in expected]


def test_a_seatbelt_profile(disk: Disk) -> None:
    """Deny first; the roots; then what is taken back, since the last rule decides; quotes are quoted."""
    layout = Layout(disk.path("work"), (disk.path("work"),), (disk.path("work/.git"),), (Path('/a "b" \\'),))
    profile = seatbelt_profile(workspace_write(), layout, tmp="/private/tmp/x")
    rules = profile.splitlines()
    assert rules[:2] == ["(version 1)", "(deny default)"]
    assert rules[-4:] == [
        f'(allow file-write* (subpath "{disk.path("work")}"))',
        '(allow file-write* (subpath "/private/tmp/x"))',
        f'(deny file-write* (subpath "{disk.path("work/.git")}"))',
        '(deny file-read* file-write* (subpath "/a \\"b\\" \\\\"))',
    ]
    assert "(allow network*)" not in rules
    assert "(allow network*)" in seatbelt_profile(workspace_write(network=True), layout, tmp="/x").splitlines()
    assert profile.count("(") == profile.count(")")


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is Linux's")
def test_mounts_in_their_order(disk: Disk) -> None:
    """Everything read-only, then the roots, then what is protected and hidden in them; no network unless asked."""
    from agent_core.sandbox.linux import bubblewrap_argv

    layout = Layout(disk.path("work"), (disk.path("work"),), (disk.path("work/.git"),), (disk.path("secret"),))
    argv = " ".join(bubblewrap_argv("bwrap", workspace_write(), layout))
    work, git, secret = (str(disk.path(name)) for name in ("work", "work/.git", "secret"))
    places = [
        argv.index(part)
        for part in ("--ro-bind / /", f"--bind {work} {work}", f"--ro-bind {git} {git}", f"--tmpfs {secret}")
    ]
    assert places == sorted(places)
    assert "--unshare-net" in argv
    assert "--unshare-net" not in bubblewrap_argv("bwrap", workspace_write(network=True), layout)


def test_no_silent_run_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can hold a policy it is refused; only full access, said out loud, runs without."""
    monkeypatch.setattr(sandbox, "_working", tuple)
    with pytest.raises(SandboxUnavailable, match="the sandbox 'read_only' cannot be held here") as caught:
        Sandbox(read_only())
    assert "full_access() runs without a sandbox" in caught.value.remedy
    with pytest.raises(SandboxUnavailable, match="'landlock' does not work here"):
        Sandbox(read_only(), backend="landlock")
    with pytest.raises(ConfigError, match="full access is no sandbox"):
        Sandbox(full_access(), backend="landlock")
    free = Sandbox(full_access())
    assert (free.backend, free.confine(["true"], cwd=Path.cwd()).argv) == ("none", ("true",))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SandboxLimits(memory_bytes=0), "memory_bytes must be a positive whole number or None, got 0"),
        (lambda: SandboxPolicy("read_only", hidden=(Path("a"),)), "a sandbox cannot take the relative path 'a'"),
    ],
)
def test_bad_policies(make: object, message: str) -> None:
    """What is no bound and no place is told when it is written."""
    assert callable(make)
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("output", "exit_code", "denied"),
    [
        ("touch: cannot touch 'x': Read-only file system", 1, True),
        ("sh: Permission denied", 126, True),
        ("curl: (6) Could not resolve host: example.com", 6, True),
        ("Permission denied", 0, False),
        ("1 failed, 2 passed", 1, False),
    ],
)
def test_denials_are_recognised(output: str, exit_code: int, denied: bool) -> None:
    """By the system's words in the output of a command that failed."""
    assert looks_denied(output, exit_code) == denied


def test_a_command_that_never_started_leaves_nothing() -> None:
    """What was opened for it is closed and removed, whether it ran or not, once."""
    if sys.platform != "linux" or "landlock" not in sandbox._working():
        pytest.skip("needs Landlock")
    before = set(os.listdir("/proc/self/fd"))
    confined = Sandbox(read_only(), backend="landlock").confine(["true"], cwd=Path.cwd())
    tmp = Path(confined.env["TMPDIR"])
    assert tmp.is_dir()
    report: JsonValue = confined.finish().limit
    assert (report, confined.finish().limit, tmp.exists()) == ("", "", False)
    assert set(os.listdir("/proc/self/fd")) == before
    assert isinstance(confined, Confined)
