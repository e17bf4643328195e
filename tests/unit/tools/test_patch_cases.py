"""The cases that Codex tests its apply_patch with (codex.md 8), by name, on a real disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_core.errors import PatchError
from agent_core.tools import ToolContext
from agent_core.tools.apply_patch import apply_patch

ABC = "a\nb\nc\n"


@dataclass(frozen=True)
class Row:
    """`after`: the files; a message where the patch is refused and nothing changes."""

    name: str
    patch: str
    files: dict[str, str]
    after: dict[str, str] | str


def body(*lines: str) -> str:
    return "\n".join(("*** Begin Patch", *lines, "*** End Patch"))


def update(*lines: str) -> str:
    return body("*** Update File: f", *lines)


ROWS = [
    Row("add", body("*** Add File: n/new", "+x"), {}, {"n/new": "x\n"}),
    Row("delete", body("*** Delete File: f"), {"f": ABC, "g": "g\n"}, {"g": "g\n"}),
    Row("update", update("@@", " a", "-b", "+B"), {"f": ABC}, {"f": "a\nB\nc\n"}),
    Row("move", update("*** Move to: d/g", "@@", "-b", "+B"), {"f": ABC}, {"d/g": "a\nB\nc\n"}),
    Row("several chunks", update("@@", "-a", "+A", "@@", "-c", "+C"), {"f": ABC}, {"f": "A\nb\nC\n"}),
    Row("insert only", update("@@", "+d"), {"f": ABC}, {"f": "a\nb\nc\nd\n"}),
    Row("end of file", update("@@", "-a", "+A", "*** End of File"), {"f": "a\nb\na\n"}, {"f": "a\nb\nA\n"}),
    Row("only deletions", update("@@", "-b"), {"f": ABC}, {"f": "a\nc\n"}),
    Row(
        "context not found writes nothing",
        body("*** Add File: n", "+x", "*** Update File: f", "@@", "-nope", "+y"),
        {"f": ABC},
        "'f', patch line 5: these lines are not in the file: 'nope'",
    ),
    Row("missing target", update("@@", "-a"), {}, "cannot update 'f': there is no such file"),
    Row("missing file to delete", body("*** Delete File: f"), {}, "cannot delete 'f': there is no such file"),
    Row("empty patch", body(), {}, "the patch is empty"),
    Row("empty update", update(), {"f": ABC}, "patch line 2: the update of 'f' has no change"),
    Row("bad header", body("*** Frob File: f"), {}, "patch line 2: '*** Frob File: f' is not a file header"),
    Row("traversal", body("*** Add File: ../x", "+x"), {}, "'../x' is outside the allowed directories"),
    Row("delete a directory", body("*** Delete File: d"), {"d/f": "x\n"}, "'d' is a directory"),
    Row("move overwrites", update("*** Move to: g", "@@", "-b"), {"f": ABC, "g": "g\n"}, {"g": "a\nc\n"}),
    Row("add overwrites", body("*** Add File: f", "+x"), {"f": ABC}, {"f": "x\n"}),
    Row("trailing newline added", update("@@", "-c", "+C"), {"f": "a\nb\nc"}, {"f": "a\nb\nC\n"}),
    Row("padded header", body("   *** Update File: f  ", "@@", "-a", "+A"), {"f": ABC}, {"f": "A\nb\nc\n"}),
    Row("padded markers", f" {update('@@', '-a', '+A')}  ", {"f": ABC}, {"f": "A\nb\nc\n"}),
    Row("Unicode dash", update("@@", "-a - b", "+x"), {"f": "a – b\n"}, {"f": "x\n"}),
    Row("Unicode quotes", update("@@", '-say "it\'s"', "+x"), {"f": "say “it’s”\n"}, {"f": "x\n"}),
    Row("heredoc", f"<<'EOF'\n{update('@@', '-a')}\nEOF\n", {"f": ABC}, {"f": "b\nc\n"}),
    Row("heredoc with its command", f"apply_patch <<EOF\n{update('@@', '-a')}\nEOF", {"f": ABC}, {"f": "b\nc\n"}),
    Row("another command", f"cat <<EOF\n{update('@@', '-a')}\nEOF", {"f": ABC}, "the first line of a patch must be"),
    Row("heredoc that does not end", f"<<EOF\n{update('@@', '-a')}", {"f": ABC}, "the heredoc does not end with 'EOF'"),
    Row("CRLF", update("@@", "-a", "+A").replace("\n", "\r\n"), {"f": ABC}, {"f": "A\nb\nc\n"}),
    Row("missing first @@", update("-a", "+A"), {"f": ABC}, {"f": "A\nb\nc\n"}),
    Row("blank lines", body("", "*** Add File: n", "+x", "", "*** Delete File: f", ""), {"f": ABC}, {"n": "x\n"}),
    Row("environment", body("*** Environment ID: here", "*** Add File: n", "+x"), {}, {"n": "x\n"}),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_case(row: Row, tmp_path: Path) -> None:
    """As its name says."""
    for name, text in row.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    if isinstance(row.after, str):
        with pytest.raises(PatchError) as caught:
            apply_patch(row.patch, ToolContext(tmp_path))
        assert caught.value.message.startswith(row.after)
    else:
        apply_patch(row.patch, ToolContext(tmp_path))
    found = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == (row.files if isinstance(row.after, str) else row.after)
