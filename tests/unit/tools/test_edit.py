"""edit, write_file, undo_edit: one text at a time, exactly, and back again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent_core.items import JsonValue
from agent_core.tools import ApplyPatch, Edit, FileHistory, Tool, ToolContext, ToolOutput, UndoEdit, WriteFile
from agent_core.tools.apply_patch import apply_patch

from .calls import call

SOURCE = "def add(a, b):\n    return a - b\n\ndef sub(a, b):\n    return a - b\n"


async def run(tool: Tool, cwd: Path, **arguments: JsonValue) -> ToolOutput:
    return await tool.run(call(tool.spec.name, arguments), ToolContext(cwd))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (b"one two\n", "two", "2", b"one 2\n"),
        (b"one\r\ntwo\r\n", "one\ntwo", "1\n2", b"1\r\n2\r\n"),
        (b"one\ntwo\r\nthree\n", "one\ntwo\nthree", "1\n2", b"1\n2\n"),
        (b"one\r\ntwo\r\n", "one\r\n", "", b"two\r\n"),
        (b"\xef\xbb\xbfone\n", "one", "two", b"\xef\xbb\xbftwo\n"),
        (b"caf\xe9 one\n", "one", "two", b"caf\xe9 two\n"),
        ("größer\n".encode(), "ö", "ő", "größer".replace("ö", "ő").encode() + b"\n"),
        (b"a.c abc\n", "a.c", "x", b"x abc\n"),
        (b"no newline", "newline", "end", b"no end"),
    ],
    ids=["plain", "crlf", "mixed", "delete", "bom", "latin-1", "utf-8", "no pattern", "no last newline"],
)
async def test_edits(before: bytes, old: str, new: str, after: bytes, tmp_path: Path) -> None:
    """The text is replaced where it stands; line endings, BOM and odd bytes around it stay as they were."""
    (tmp_path / "f").write_bytes(before)
    output = await run(Edit(), tmp_path, path="f", old_text=old, new_text=new)
    assert (output.content, output.success) == ("Success. Updated the following files:\nM f", True)
    assert (tmp_path / "f").read_bytes() == after


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"old_text": "    return a - b\n"},
            "old_text stands in 'm.py' 2 times, at lines 2, 5; give more of the lines around it, or set replace_all",
        ),
        (
            {"old_text": "def add(a, b):\nreturn a - b"},
            "old_text does not stand in 'm.py'; lines 1-2 differ only in white space: copy them exactly",
        ),
        (
            {"old_text": "def adds(a, b):"},
            "old_text does not stand in 'm.py'; the nearest is line 1, 'def add(a, b):': copy the text exactly",
        ),
        ({"old_text": "class Zoo"}, "old_text does not stand in 'm.py'; read the file again and copy the text exactly"),
        ({"old_text": ""}, "old_text: it is empty; copy the text to replace, or use write_file for a new file"),
        ({"old_text": "x"}, "old_text and new_text are the same; say what to change"),
        ({"path": "n.py", "old_text": "a"}, "there is no file 'n.py'; did you mean 'm.py'?"),
        ({"path": "sub", "old_text": "a"}, "'sub' is a directory; name a file"),
        ({"path": "bin", "old_text": "a"}, "'bin' is a binary file; change it with a program that knows its format"),
        ({"path": "odd", "old_text": "a", "new_text": "é"}, "'odd' is not UTF-8, so only ASCII can be added safely; "),
        ({"path": "locked", "old_text": "a"}, "'locked' is read-only; make it writable first, if it is to be changed"),
        ({"path": "../up", "old_text": "a"}, "'../up' is outside the allowed directories; use a path below"),
        ({"old_text": "add", "new_text": "\ud800"}, "the text holds '\\ud800', which is no character; leave it out"),
    ],
)
async def test_refused_edits(arguments: dict[str, JsonValue], expected: str, tmp_path: Path) -> None:
    """What cannot be done exactly is not done, and the model is told how to do it right."""
    cwd = tmp_path / "project"
    (cwd / "sub").mkdir(parents=True)
    for name, content in {"m.py": SOURCE.encode(), "bin": b"a\0b", "odd": b"a\xe9", "locked": b"a"}.items():
        (cwd / name).write_bytes(content)
    (cwd / "locked").chmod(0o444)
    output = await run(Edit(), cwd, **{"path": "m.py", "new_text": "x", **arguments})
    assert isinstance(output.content, str)
    assert (output.content[: len(expected)], output.success) == (expected, False)
    assert (cwd / "m.py").read_text() == SOURCE


@pytest.mark.anyio
async def test_everywhere(tmp_path: Path) -> None:
    """replace_all replaces every place, and what it does is recorded as a diff."""
    (tmp_path / "m.py").write_text(SOURCE)
    output = await run(Edit(), tmp_path, path="m.py", old_text="a - b", new_text="a + b", replace_all=True)
    assert (tmp_path / "m.py").read_text() == SOURCE.replace("-", "+")
    assert str(output.metadata["diff"]).count("\n+    return a + b\n") == 2


@pytest.mark.anyio
async def test_whole_files(tmp_path: Path) -> None:
    """A new file gets its folders and the umask's mode, an old one keeps its mode; the same text again is told."""
    tool = WriteFile()
    made = await run(tool, tmp_path, path="new/deep/f.txt", content="text\n")
    assert made.content == "Success. Updated the following files:\nA new/deep/f.txt"
    script = tmp_path / "run.sh"
    script.write_text("old\n")
    script.chmod(0o755)
    assert (await run(tool, tmp_path, path="run.sh", content="new\n")).success
    assert (script.read_text(), script.stat().st_mode & 0o777) == ("new\n", 0o755)
    again = await run(tool, tmp_path, path="run.sh", content="new\n")
    assert again.content == "'run.sh' has that text already; nothing needs to be changed"


@pytest.mark.anyio
async def test_back_again(tmp_path: Path) -> None:
    """Changes of all writing tools are taken back one by one, newest first, moved and deleted files too."""
    history = FileHistory()
    (tmp_path / "a").write_text("a\n")
    (tmp_path / "b").write_text("b\n")
    (tmp_path / "b").chmod(0o640)
    await run(Edit(history=history), tmp_path, path="a", old_text="a", new_text="A")
    await run(WriteFile(history=history), tmp_path, path="c", content="c\n")
    text = "*** Begin Patch\n*** Delete File: b\n*** Update File: a\n*** Move to: d\n@@\n-A\n+D\n*** End Patch"
    await ApplyPatch(history=history).run(call("apply_patch", text, custom=True), ToolContext(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["c", "d"]
    undo = UndoEdit(history)
    asked = undo.approval(call("undo_edit"), ToolContext(tmp_path))
    assert asked is not None and asked.summary == "take back the last change of b, a, d"
    assert (await run(undo, tmp_path)).content == "Success. Updated the following files:\nA b\nA a\nD d"
    assert ((tmp_path / "b").read_text(), (tmp_path / "b").stat().st_mode & 0o777) == ("b\n", 0o640)
    assert [(await run(undo, tmp_path)).success for _ in range(3)] == [True, True, False]
    assert {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)} == {"a": "a\n", "b": "b\n"}


@pytest.mark.anyio
async def test_what_changed_since_is_not_taken_back(tmp_path: Path) -> None:
    """A file that somebody changed afterwards stays as it is, and so does the rest of that set."""
    history = FileHistory()
    text = "*** Begin Patch\n*** Add File: a\n+1\n*** Add File: b\n+2\n*** End Patch"
    apply_patch(text, ToolContext(tmp_path), history=history)
    (tmp_path / "b").write_text("mine\n")
    output = await run(UndoEdit(history), tmp_path)
    assert output.content == "'b' has changed since; change it by a patch instead"
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("1\n", "mine\n")
    assert UndoEdit(FileHistory()).approval(call("undo_edit"), ToolContext(tmp_path)) is None


def test_the_history_is_bounded(tmp_path: Path) -> None:
    """The oldest sets go when there are too many, or too much text in them; a set too large alone is not kept."""
    for history, kept in ((FileHistory(max_sets=2), 2), (FileHistory(max_bytes=9), 3), (FileHistory(max_bytes=2), 0)):
        for n in range(5):
            folder = tmp_path / str(id(history))
            folder.mkdir(exist_ok=True)
            text = f"*** Begin Patch\n*** Add File: {n}\n+{n}x\n*** End Patch"
            apply_patch(text, ToolContext(folder), history=history)
        assert len(history) == kept


def test_what_is_asked(tmp_path: Path) -> None:
    """An approval shows the change, and remembers the file; arguments that are wrong are not asked about."""
    context = ToolContext(tmp_path)
    asked = Edit().approval(call("edit", {"path": "./a", "old_text": "1\n2", "new_text": "1\n3"}), context)
    assert asked is not None
    assert (asked.summary, asked.detail, asked.risk) == ("edit ./a", "./a\n 1\n-2\n+3", "write")
    assert asked.key == os.path.join(tmp_path, "a")
    written = WriteFile().approval(call("write_file", {"path": "a", "content": "x\ny"}), context)
    assert written is not None
    assert (written.summary, written.detail, written.key) == ("write a (2 lines)", "x\ny", asked.key)
    assert Edit().approval(call("edit", {"path": "a"}), context) is None
    assert WriteFile().approval(call("write_file", "nonsense"), context) is None
