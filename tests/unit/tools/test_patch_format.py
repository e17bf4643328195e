"""The V4A format, pure: what is parsed, where lines are found, what is refused (codex.md 8, apply_patch)."""

from __future__ import annotations

import pytest

from agent_core.errors import PatchError
from agent_core.tools.file_changes import FileChange
from agent_core.tools.patch_format import (
    AddFile,
    Chunk,
    DeleteFile,
    PatchOperation,
    UpdateFile,
    patch_paths,
)
from agent_core.tools.patch_plan import plan_patch
from agent_core.tools.patch_reader import parse_patch


def patch(*lines: str) -> str:
    return "\n".join(("*** Begin Patch", *lines, "*** End Patch"))


def update(*lines: str) -> str:
    return patch("*** Update File: f", *lines)


def planned(text: str, **files: str | bytes) -> tuple[FileChange, ...]:
    content = {name: value.encode() if isinstance(value, str) else value for name, value in files.items()}
    return plan_patch(parse_patch(text), content.get)


def after(text: str, before: str | bytes) -> str:
    (change,) = planned(text, f=before)
    assert change.after is not None
    return change.after.decode("latin-1" if isinstance(before, bytes) else "utf-8")


ADD = AddFile("a", ("x",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (patch("*** Add File: a", "+x"), [ADD]),
        (patch("*** Add File: a", "+x").replace("\n", "\r\n"), [ADD]),
        (f"\n  {patch('*** Add File: a', '+x')}  \n\n", [ADD]),
        (f"<<EOF\n{patch('*** Add File: a', '+x')}\nEOF", [ADD]),
        (f"<<'EOF'\n{patch('*** Add File: a', '+x')}\nEOF\n", [ADD]),
        (f'apply_patch <<"PATCH"\n{patch("*** Add File: a", "+x")}\nPATCH', [ADD]),
        (patch("", "*** Add File: a", "+x", "", "*** Delete File: b", ""), [ADD, DeleteFile("b")]),
        (patch("  *** Add File:   a  ", "+x"), [ADD]),
        (patch("*** Add File: a", "+x", "", "+y"), [AddFile("a", ("x", "", "y"))]),
        (patch("*** Add File: a"), [AddFile("a", ())]),
        (update("-x", "+y"), [UpdateFile("f", (Chunk(((("-"), "x"), ("+", "y")), line=3),))]),
        (update("*** Move to: g"), [UpdateFile("f", (), "g")]),
        (
            update("@@ class A", "@@ def f", " x", "", "-y", "*** End of File"),
            [UpdateFile("f", (Chunk(((" ", "x"), (" ", ""), ("-", "y")), ("class A", "def f"), at_end=True, line=3),))],
        ),
        (
            update("@@", " *** End of File", "+*** End Patch"),
            [UpdateFile("f", (Chunk(((" ", "*** End of File"), ("+", "*** End Patch")), line=3),))],
        ),
        (
            update("@@", "+x", "", "@@", "-y", "", "*** Delete File: b"),
            [
                UpdateFile("f", (Chunk((("+", "x"),), line=3), Chunk((("-", "y"), (" ", "")), line=6))),
                DeleteFile("b"),
            ],
        ),
    ],
)
def test_parsed(text: str, expected: list[PatchOperation]) -> None:
    """Every form that has one reading is read; markers inside a file's own lines are lines."""
    assert list(parse_patch(text)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line of a patch must be '*** Begin Patch'"),
        ("here is the patch\n" + patch("*** Add File: a", "+x"), "the first line of a patch must be"),
        (patch("*** Add File: a", "+x") + "\nthat was it", "the last line of a patch must be '*** End Patch'"),
        ("*** Begin Patch\n*** Add File: a\n+x", "the last line of a patch must be"),
        ("*** Begin Patch", "the last line of a patch must be"),
        (f"<<EOF\n{patch('*** Add File: a', '+x')}\nOTHER", "the last line of a patch must be"),
        (f"cat <<EOF\n{patch('*** Add File: a', '+x')}\nEOF", "the first line of a patch must be"),
        (patch(), "the patch is empty"),
        (patch("*** Frob File: a"), "patch line 2: '*** Frob File: a' is not a file header"),
        (patch("*** Add File: a", "+x", "y"), "patch line 4: 'y' is not a file header"),
        ("<<EOF\n" + patch("*** Frob File: a") + "\nEOF", "patch line 3: '*** Frob File: a' is not a file header"),
        (patch("*** Add File: "), "patch line 2: '*** Add File:' needs a path"),
        (update(), "patch line 2: the update of 'f' has no change"),
        (update("@@"), "patch line 4: expected a line starting with ' ', '+' or '-', got '*** End Patch'"),
        (update("@@", "x"), "patch line 4: expected a line starting with ' ', '+' or '-', got 'x'"),
        (update("@@", "-x", "y"), "patch line 5: a change must start with @@, got 'y'"),
        (update("-x", "*** End of File", "-y"), "patch line 5: a change must start with @@, got '-y'"),
    ],
)
def test_not_parsed(text: str, message: str) -> None:
    """What is ambiguous or broken is refused with its line in the patch."""
    with pytest.raises(PatchError) as caught:
        parse_patch(text)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "before", "expected"),
    [
        (update("@@", " a", "-b", "+B", " c"), "a\nb\nc\n", "a\nB\nc\n"),
        (update("@@", "-a", "+A", "@@", "-c", "+C"), "a\nb\nc\n", "A\nb\nC\n"),
        (update("@@ def two", "-x", "+y"), "def one\nx\ndef two\nx\n", "def one\nx\ndef two\ny\n"),
        (
            update("@@ class B", "@@ def f", "-x", "+y"),
            "def f\nx\nclass B\ndef f\nx\n",
            "def f\nx\nclass B\ndef f\ny\n",
        ),
        (update("@@", "-x", "+y", "*** End of File"), "x\na\nx\n", "x\na\ny\n"),
        (update("@@", "+new"), "a\nb\n", "a\nb\nnew\n"),
        (update("@@", "+new"), "a\nb", "a\nb\nnew\n"),
        (update("@@", "+new"), "", "new\n"),
        (update("@@ a", "+new"), "a\nb\n", "a\nnew\nb\n"),
        (update("@@", "+late", "@@", " a", "-b"), "a\nb\nc\n", "a\nc\nlate\n"),
        (update("@@", "-a"), "a\n", ""),
        (update("@@", " a", "-b", "", "@@", "-c"), "a\nb\nc\n", "a\n"),
        (update("@@", "-a", "+b"), "x\na", "x\nb\n"),
        (update("@@", "-x", "+y"), "x\na", "y\na"),
        (update("@@", " a", "-b"), "a\nb\n\nc\n", "a\n\nc\n"),
    ],
    ids=[
        "replace",
        "two chunks",
        "anchor",
        "nested anchors",
        "end of file first",
        "insert appends",
        "insert after no newline",
        "insert into nothing",
        "insert below anchor",
        "insert first, change above",
        "empty the file",
        "blank before next chunk",
        "replaced last line gets its newline",
        "untouched last line keeps none",
        "context kept",
    ],
)
def test_updates(text: str, before: str, expected: str) -> None:
    """A patch changes what it names, where it says, and nothing else."""
    assert after(text, before) == expected


@pytest.mark.parametrize(
    ("old", "line"),
    [
        ("a - b", "a - b"),
        ("a - b", "a - b  "),
        ("a - b\t", "a - b"),
        ("a - b", "   a - b"),
        ("   a - b", "a - b"),
        ("a - b", "a – b"),
        ("a - b", "a\N{NO-BREAK SPACE}\N{MINUS SIGN} b"),
        ("say 'x' \"y\"", "say ‘x’ “y”"),
    ],
)
def test_four_passes(old: str, line: str) -> None:
    """Trailing space, indentation and typographic punctuation do not hide a line; a kept one stays as it was."""
    assert after(update("@@", f" {old}", "-x", "+y"), f"{line}\nx\n") == f"{line}\ny\n"


def test_an_exact_match_wins_over_an_earlier_loose_one() -> None:
    """The passes go over the whole file one after the other."""
    assert after(update("@@", "-x", "+y"), " x\nx\n") == " x\ny\n"


@pytest.mark.parametrize(
    ("text", "before", "expected"),
    [
        (update("@@", "-b", "+B", "+C"), b"a\r\nb\r\n", "a\r\nB\r\nC\r\n"),
        (update("@@", "-b", "+B"), b"a\r\nb\r\nc\nd", "a\r\nB\r\nc\nd"),
        (update("@@", "-a", "+A"), b"\xef\xbb\xbfa\nb\n", "\xef\xbb\xbfA\nb\n"),
        (update("@@", " caf\xe9", "-b", "+B"), b"caf\xe9\nb\n", "caf\xe9\nB\n"),
        (update("@@", "-b", "+B"), "a\u2028\x0c\x85\nb\n".encode(), "a\u2028\x0c\x85\nB\n".encode().decode("latin-1")),
    ],
    ids=["crlf", "mixed endings", "bom", "latin-1", "unicode line separators"],
)
def test_bytes_are_kept(text: str, before: bytes, expected: str) -> None:
    """Line endings, BOM and unknown bytes outside the change are untouched; new lines follow the majority."""
    assert after(text, before) == expected


@pytest.mark.parametrize(
    ("text", "before", "message", "remedy"),
    [
        (update("@@", "-nope", "+y"), "a\n", "'f', patch line 3: these lines are not in the file: 'nope'", "read the"),
        (update("@@ nope", "-a"), "a\n", "'f', patch line 3: no line 'nope' in the file", "write @@ alone"),
        (update("@@ -1,2 +1,2 @@", "-a"), "a\n", "'f', patch line 3: no line '-1,2 +1,2 @@'", "line numbers are not"),
        (
            update("@@", "-b", "@@", "-a"),
            "a\nb\n",
            "'f', patch line 5: these lines",
            "the lines are above the previous",
        ),
        (update("@@ b", "-c", "@@ a", "-d"), "a\nb\nc\nd\n", "'f', patch line 5: no line 'a' below line 3", "the line"),
        (update("@@", "-a", "*** End of File"), "a\nb\n", "'f', patch line 3: these lines", "the lines are there but"),
        (
            update("@@", " a", " b", "-C"),
            "x\na\nb\nc\n",
            "'f', patch line 3: these lines are not in the file: 'a\\nb\\nC'",
            "line 4 of the file is 'c', the patch has 'C'",
        ),
        (update("@@", "-b", "+é"), b"\xe9\nb\n", "cannot add 'é' to 'f': the file is not UTF-8", "convert"),
        (update("@@", "-b", "+\ud800"), "b\n", "'f': the patch adds '\\ud800'", "leave it out"),
        (update("@@", "-b"), b"\0b\n", "cannot update 'f': it is a binary file", "write it"),
        (patch("*** Update File: g", "@@", "-x"), "a\n", "cannot update 'g': there is no such file", "check the path"),
        (patch("*** Delete File: g"), "a\n", "cannot delete 'g': there is no such file", "check the path"),
        (patch("*** Delete File: f", "*** Delete File: ./f"), "a\n", "cannot delete './f'", "check the path"),
    ],
)
def test_not_planned(text: str, before: str | bytes, message: str, remedy: str) -> None:
    """A patch that does not fit says where it does not, and what would."""
    with pytest.raises(PatchError) as caught:
        planned(text, f=before)
    assert caught.value.message.startswith(message)
    assert caught.value.remedy.startswith(remedy)


def test_what_is_added_or_moved_replaces() -> None:
    """Adding or moving over a file replaces it, as the real apply_patch does; what it was is in the change."""
    added = planned(patch("*** Add File: a", "+x"), a="1\n")
    assert [(change.path, change.kind, change.before, change.after) for change in added] == [("a", "M", b"1\n", b"x\n")]
    for lines in ([], ["*** Delete File: b"]):
        moved = planned(patch(*lines, "*** Update File: a", "*** Move to: b"), a="1\n", b="2\n")
        assert {(change.path, change.kind, change.before, change.after) for change in moved} == {
            ("b", "M", b"2\n", b"1\n"),
            ("a", "D", b"1\n", None),
        }


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("*** Update File: a", "@@", "-1", "+2", "*** Update File: ./a", "@@", "-2", "+3"), [("a", "M", b"3\n")]),
        (("*** Add File: n", "+1", "*** Update File: n", "@@", "-1", "+2"), [("n", "A", b"2\n")]),
        (("*** Add File: n", "+1", "*** Delete File: n"), []),
        (("*** Delete File: a", "*** Add File: a", "+new"), [("a", "M", b"new\n")]),
        (("*** Update File: a", "*** Move to: a", "@@", "-1", "+2"), [("a", "M", b"2\n")]),
        (
            ("*** Update File: a", "*** Move to: b", "*** Update File: b", "*** Move to: c", "@@", "-1", "+2"),
            [("a", "D", None), ("c", "M", b"2\n")],
        ),
    ],
)
def test_several_operations_on_one_file(lines: tuple[str, ...], expected: list[tuple[str, str, bytes | None]]) -> None:
    """Later operations see what earlier ones did; each file is written once, as it ends."""
    changes = planned(patch(*lines), a="1\n")
    assert [(change.path, change.kind, change.after) for change in changes] == expected


def test_paths_are_listed_once() -> None:
    """Approval shows every file a patch touches, targets of moves included."""
    text = patch("*** Update File: a", "*** Move to: b", "*** Add File: c", "+x", "*** Update File: a", "@@", "-x")
    assert patch_paths(parse_patch(text)) == ("a", "b", "c")


def test_searching_a_repetitive_file_is_linear() -> None:
    """A pattern that almost matches everywhere is refused at once: 50,000 lines against 5,000."""
    text = update("@@", *[" same"] * 5_000, "-other")
    with pytest.raises(PatchError, match="these lines are not in the file"):
        planned(text, f="same\n" * 50_000)
