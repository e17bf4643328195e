"""apply_patch on a real disk: everything or nothing, below the roots, with modes and links as they were."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent_core.errors import PatchError
from agent_core.prompt import CustomToolSpec
from agent_core.tools import ApplyPatch, ToolContext, ToolOutput
from agent_core.tools.apply_patch import apply_patch, plan_files
from agent_core.tools.file_changes import unified_diff
from agent_core.tools.file_writes import write_changes
from agent_core.tools.patch_reader import parse_patch

from .calls import call


def patch(*lines: str) -> str:
    return "\n".join(("*** Begin Patch", *lines, "*** End Patch"))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


EVERYTHING = patch(
    *("*** Add File: new/deep.txt", "+new", "*** Delete File: old.txt", "*** Update File: a.txt", "@@", "-1", "+one"),
    *("*** Update File: b.txt", "*** Move to: moved/b.txt", "@@", " 1", "+2"),
)


def project(folder: Path) -> Path:
    for name, text in {"a.txt": "1\n", "b.txt": "1\n", "old.txt": "old\n"}.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.anyio
@pytest.mark.parametrize("form", ["custom", "lowered", "bare"])
async def test_one_patch_with_everything(form: str, tmp_path: Path) -> None:
    """Add, delete, update and move in one go, as free text, as JSON and as text where JSON was due."""
    asked = {
        "custom": call("apply_patch", EVERYTHING, custom=True),
        "lowered": call("apply_patch", {"input": EVERYTHING}),
        "bare": call("apply_patch", EVERYTHING),
    }[form]
    output = await ApplyPatch().run(asked, ToolContext(project(tmp_path)))
    summary = "Success. Updated the following files:\nA new/deep.txt\nM a.txt\nM moved/b.txt\nD old.txt"
    assert (output.content, output.success) == (summary, True)
    assert output.metadata["paths"] == ["new/deep.txt", "old.txt", "a.txt", "b.txt", "moved/b.txt"]
    assert tree(tmp_path) == {"a.txt": b"one\n", "moved/b.txt": b"1\n2\n", "new/deep.txt": b"new\n"}


def test_the_diff_is_one_git_can_apply(tmp_path: Path) -> None:
    """The recorded diff, given to git, does to a copy of the project what the patch did."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    patched, copied = tmp_path / "patched", tmp_path / "copied"
    patched.mkdir()
    (project(patched) / "c.txt").write_text("x\nlast line without newline")
    shutil.copytree(patched, copied)
    text = EVERYTHING.replace("*** End Patch", "*** Update File: c.txt\n@@\n-x\n+y\n*** End Patch")
    diff = unified_diff(apply_patch(text, ToolContext(patched)))
    subprocess.run(["git", "apply", "-"], input=diff, text=True, cwd=copied, check=True)
    assert tree(copied) == tree(patched)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("*** Add File: ../out.txt", "+x"), "'../out.txt' is outside the allowed directories"),
        (("*** Add File: sub/../../out.txt", "+x"), "'sub/../../out.txt' is outside"),
        (("*** Add File: /etc/agent-core-test", "+x"), "'/etc/agent-core-test' is outside"),
        (("*** Add File: outside/x.txt", "+x"), "'outside/x.txt' is outside"),
        (("*** Update File: secret", "@@", "-secret", "+x"), "'secret' is outside"),
        (("*** Update File: a.txt", "*** Move to: ../stolen"), "'../stolen' is outside"),
        (("*** Delete File: link",), "'link' is a symbolic link"),
        (("*** Add File: dangling", "+x"), "'dangling' is a symbolic link"),
        (("*** Delete File: sub",), "'sub' is a directory"),
        (("*** Update File: sub", "@@", "-x"), "'sub' is a directory"),
        (("*** Update File: pipe", "@@", "-x"), "'pipe' is not a regular file"),
        (("*** Add File: a.txt/x", "+x"), "cannot read 'x': Not a directory"),
        (("*** Add File: " + "x" * 300, "+x"), f"'{'x' * 200}…' cannot be resolved: File name too long"),
        (("*** Add File: \ud800", "+x"), "'\\ud800' cannot be resolved: 'utf-8' codec can't encode"),
        (("*** Update File: a.text", "@@", "-x"), "cannot update 'a.text': there is no such file"),
        (("*** Update File: a.txt", "@@", "-nope"), "'a.txt', patch line 4: these lines are not in the file"),
    ],
)
def test_a_refused_patch_changes_nothing(lines: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """Whatever is wrong with the last operation, the good one before it is not done either."""
    cwd = tmp_path / "project"
    (cwd / "sub").mkdir(parents=True)
    project(cwd)
    (tmp_path / "secret.txt").write_text("secret\n")
    os.mkfifo(cwd / "pipe")
    for name, target in {"outside": "..", "secret": "../secret.txt", "link": "a.txt", "dangling": "gone"}.items():
        (cwd / name).symlink_to(target)
    before = tree(tmp_path)
    with pytest.raises(PatchError) as caught:
        apply_patch(patch("*** Delete File: old.txt", *lines), ToolContext(cwd))
    assert caught.value.message.startswith(message)
    assert tree(tmp_path) == before


@pytest.mark.anyio
async def test_the_model_is_told_what_to_do(tmp_path: Path) -> None:
    """A refusal is a failed output of one line: what is wrong, and the remedy."""
    asked = call("apply_patch", patch("*** Update File: b.tx", "@@", "-x"), custom=True)
    output = await ApplyPatch().run(asked, ToolContext(project(tmp_path)))
    assert isinstance(output.content, str)
    assert output.content.startswith("cannot update 'b.tx': there is no such file; did you mean 'b.txt'")
    missing = await ApplyPatch().run(call("apply_patch", {"inputs": "x"}), ToolContext(tmp_path))
    told = "input: the patch is missing; send the patch as the string 'input'"
    assert missing == ToolOutput(told, success=False)


def test_mode_and_symlink_are_kept(tmp_path: Path) -> None:
    """An update keeps the file's mode and goes through a symlink; a move takes the mode along."""
    project(tmp_path)
    (tmp_path / "a.txt").chmod(0o755)
    (tmp_path / "b.txt").chmod(0o600)
    (tmp_path / "link").symlink_to("a.txt")
    text = patch("*** Update File: link", "@@", "-1", "+one", "*** Update File: b.txt", "*** Move to: c.txt")
    apply_patch(text, ToolContext(tmp_path))
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("a.txt", "c.txt")}
    assert (modes, (tmp_path / "a.txt").read_text()) == ({"a.txt": 0o755, "c.txt": 0o600}, "one\n")
    assert (tmp_path / "link").is_symlink()


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    """The umask decides, as for `open`, although the file was made in private first."""
    (tmp_path / "plain").touch()
    apply_patch(patch("*** Add File: new", "+x"), ToolContext(tmp_path))
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_read_only_file_is_not_changed(tmp_path: Path) -> None:
    """A rename could replace it; who took the right to write away meant it. Deleting and moving are the folder's."""
    project(tmp_path)
    for name in ("a.txt", "b.txt", "old.txt"):
        (tmp_path / name).chmod(0o444)
    with pytest.raises(PatchError, match=r"'a\.txt' is read-only"):
        apply_patch(
            patch("*** Delete File: old.txt", "*** Update File: a.txt", "@@", "-1", "+2"), ToolContext(tmp_path)
        )
    apply_patch(
        patch("*** Delete File: old.txt", "*** Update File: b.txt", "*** Move to: c.txt"), ToolContext(tmp_path)
    )
    assert tree(tmp_path) == {"a.txt": b"1\n", "c.txt": b"1\n"}


def test_a_failing_disk_rolls_everything_back(tmp_path: Path) -> None:
    """If the last file cannot be put in place, those before it are as they were, and nothing is left over."""
    context = ToolContext(project(tmp_path))
    changes, seen = plan_files(parse_patch(EVERYTHING), context)
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved/b.txt").mkdir()  # appears after planning, where a file is to go
    with pytest.raises(PatchError, match=r"'b\.txt' appeared while the patch was written"):
        write_changes(changes, seen)
    assert tree(tmp_path) == {"a.txt": b"1\n", "b.txt": b"1\n", "old.txt": b"old\n"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt", "moved", "old.txt"]


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    """An error of the system is told by name and reason, and nothing is left over."""
    context = ToolContext(project(tmp_path))
    changes, seen = plan_files(parse_patch(EVERYTHING), context)
    (tmp_path / "new").write_text("a file where a folder is to be")
    with pytest.raises(PatchError, match=r"cannot write '.*': Not a directory"):
        write_changes(changes, seen)
    assert set(tree(tmp_path)) == {"a.txt", "b.txt", "old.txt", "new"}


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """What was written between planning and writing wins, and the model is told to read again."""
    context = ToolContext(project(tmp_path))
    changes, seen = plan_files(parse_patch(EVERYTHING), context)
    (tmp_path / "a.txt").write_text("edited by a person\n")
    with pytest.raises(PatchError, match=r"'a\.txt' changed while the patch was planned"):
        write_changes(changes, seen)
    assert tree(tmp_path) == {"a.txt": b"edited by a person\n", "b.txt": b"1\n", "old.txt": b"old\n"}


def test_absolute_paths_below_a_root(tmp_path: Path) -> None:
    """Models that know the working directory may name files in full; other roots are reached that way only."""
    for name in ("work", "other"):
        project_folder = tmp_path / name
        project_folder.mkdir()
        project(project_folder)
    roots = (tmp_path / "work", tmp_path / "other")
    text = patch(*(f"*** Update File: {root / 'a.txt'}\n@@\n-1\n+2" for root in roots))
    apply_patch(text, ToolContext(tmp_path / "work", roots=roots))
    assert [(root / "a.txt").read_text() for root in roots] == ["2\n", "2\n"]


def test_approval_shows_the_patch_and_remembers_the_files(tmp_path: Path) -> None:
    """The summary names the files, the detail is the patch; the same files in another order are the same action."""
    text = patch("*** Delete File: b", "*** Delete File: a")
    turned = patch("*** Delete File: a", "*** Delete File: ./b")
    first = ApplyPatch().approval(call("apply_patch", text, custom=True), ToolContext(tmp_path))
    second = ApplyPatch().approval(call("apply_patch", turned, custom=True), ToolContext(tmp_path))
    paths = (f"{tmp_path}/a", f"{tmp_path}/b")
    assert first is not None
    assert second is not None
    assert (first.summary, first.detail, first.risk, first.paths) == ("patch b, a", text, "write", paths)
    assert (second.key, second.paths, second.rules) == (first.key, first.paths, first.rules)


def test_approval_names_what_is_replaced(tmp_path: Path) -> None:
    """A patch shows what it adds, not what was there: whoever is asked is told of files that are there already."""
    project(tmp_path)
    text = patch("*** Add File: a.txt", "+x", "*** Update File: old.txt", "*** Move to: b.txt", "*** Add File: n", "+x")
    asked = ApplyPatch().approval(call("apply_patch", text, custom=True), ToolContext(tmp_path))
    assert asked is not None
    assert asked.summary == "patch a.txt, old.txt, b.txt, n (replaces a.txt, b.txt)"


@pytest.mark.parametrize("text", ["", "no patch", "{broken", patch("*** Frob: x")])
def test_a_broken_patch_is_not_asked_about(text: str, tmp_path: Path) -> None:
    """Nobody is asked to approve what cannot be done: running it only reports the mistake."""
    assert ApplyPatch().approval(call("apply_patch", text, custom=True), ToolContext(tmp_path)) is None


def test_the_spec_is_a_grammar() -> None:
    """The tool is free-form: its input is held to a Lark grammar where the provider can."""
    spec = ApplyPatch().spec
    assert isinstance(spec, CustomToolSpec)
    assert spec.format is not None
    assert (spec.name, spec.format["type"], spec.format["syntax"]) == ("apply_patch", "grammar", "lark")
    assert (ApplyPatch().read_only, ApplyPatch().parallel) == (False, False)
