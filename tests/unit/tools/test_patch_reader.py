"""A patch read while it is written: wherever the text is split, the same pieces and the same operations."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.errors import PatchError
from agent_core.tools.patch_format import (
    AddFile,
    PatchedFile,
    PatchedLine,
    PatchedMove,
    PatchedPlace,
    PatchOperation,
    PatchPiece,
    UpdateFile,
)
from agent_core.tools.patch_preview import PatchPreview
from agent_core.tools.patch_reader import MAX_PATCH_CHARS, PatchReader, parse_patch

WHOLE = """<<'EOF'
*** Begin Patch
*** Add File: docs/n\N{LATIN SMALL LETTER E WITH ACUTE}w.md
+# Title

+two
*** Update File: src/a.py
*** Move to: src/b.py
@@ class A
@@ def f
 \N{PILE OF POO} stays
-goes

+comes
*** End of File
*** Delete File: old.txt
*** End Patch
EOF
"""
PIECES: list[PatchPiece] = [
    PatchedFile("add", "docs/n\N{LATIN SMALL LETTER E WITH ACUTE}w.md"),
    *(PatchedLine("+", "# Title"), PatchedLine("+", ""), PatchedLine("+", "two")),
    *(PatchedFile("update", "src/a.py"), PatchedMove("src/b.py"), PatchedPlace("class A"), PatchedPlace("def f")),
    *(PatchedLine(" ", "\N{PILE OF POO} stays"), PatchedLine("-", "goes"), PatchedLine(" ", "")),
    *(PatchedLine("+", "comes"), PatchedFile("delete", "old.txt")),
]
LINES = [
    *("*** Begin Patch", "*** End Patch", " *** End Patch", "*** Add File: a", "*** Update File: f"),
    *("*** Delete File: g", "*** Move to: h", "*** End of File", "*** Environment ID: x", "@@", "@@ a", "+a", "-a"),
    *(" a", "", "  ", "junk", "<<EOF", "EOF"),
]


def split(text: str, sizes: Iterable[int]) -> list[str]:
    """The text in pieces of these sizes, and the rest."""
    pieces: list[str] = []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    return [*pieces, text]


def read(pieces: Iterable[str]) -> tuple[list[PatchPiece], tuple[PatchOperation, ...] | str]:
    """What is told, and the operations or why there are none."""
    reader, told = PatchReader(), list[PatchPiece]()
    try:
        for piece in pieces:
            told += reader.feed(piece)
        return told, reader.close()
    except PatchError as error:
        return told, error.message


def test_the_pieces_of_a_patch() -> None:
    """Files, moves, places and lines, in the order they are written."""
    told, operations = read([WHOLE])
    assert (told, operations) == (PIECES, parse_patch(WHOLE))


def test_growing_hunks() -> None:
    """codex.md 8: letter by letter the operations grow and none shrinks; a line counts when it is complete."""
    reader, seen = PatchReader(), list[int]()
    for letter in WHOLE:
        reader.feed(letter)
        seen.append(sum(_size(operation) for operation in reader.operations))
    assert seen == sorted(seen)
    assert reader.close() == parse_patch(WHOLE)
    assert seen[-1] == len(PIECES) - 3  # a move and two places are no lines


def _size(operation: PatchOperation) -> int:
    if isinstance(operation, AddFile):
        return 1 + len(operation.lines)
    return 1 + (sum(len(chunk.lines) for chunk in operation.chunks) if isinstance(operation, UpdateFile) else 0)


@given(st.lists(st.sampled_from(LINES), max_size=14).map("\n".join), st.lists(st.integers(0, 9), max_size=20))
def test_where_the_text_is_split_makes_no_difference(text: str, sizes: list[int]) -> None:
    """Good or bad: the operations, or the error, are those of the whole."""
    text = f"*** Begin Patch\n{text}\n*** End Patch"
    assert read(split(text, sizes))[1] == read([text])[1]


def test_after_an_error_there_is_no_patch() -> None:
    """A reader that has failed says so every time."""
    reader = PatchReader()
    for _ in range(2):
        with pytest.raises(PatchError, match="the first line of a patch"):
            reader.feed("no patch\n")
    with pytest.raises(PatchError, match="the first line of a patch"):
        reader.close()


def test_a_patch_without_end_is_refused() -> None:
    """What streams on for ever ends at the limit."""
    reader = PatchReader()
    reader.feed("*** Begin Patch\n*** Add File: a\n")
    with pytest.raises(PatchError, match="more than 4194304 characters"):
        for _ in range(MAX_PATCH_CHARS // 1_000_000 + 1):
            reader.feed("+" + "x" * 1_000_000)


BARE = WHOLE.partition("\n")[2].removesuffix("EOF\n")


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_previews_of_arguments(size: int, ascii_only: bool) -> None:
    """Free text or `{"input": …}`, in pieces that may end in the middle of an escape: the same pieces of the patch."""
    for text in (BARE, json.dumps({"input": BARE}, ensure_ascii=ascii_only), json.dumps({"patch": WHOLE})):
        preview = PatchPreview()
        told = [piece for part in split(text, [size] * (len(text) // size)) for piece in preview.feed(part)]
        assert told == PIECES


@pytest.mark.parametrize(
    "text",
    [
        '{"command": ["ls"]}',
        '{"input": 7}',
        '{"input": "\\x41"}',
        '{"input": "*** Begin Patch\\n*** Add File: \\ud83d!',
        '{"reason": "' + "x" * 99 + '", "input": "y"}',
        '"*** Begin Patch"',
        "Here is the patch:\n",
    ],
)
def test_what_is_no_patch_has_no_preview(text: str) -> None:
    """Nothing is told and nothing is raised, whatever comes behind."""
    preview = PatchPreview()
    assert [piece for part in (text, BARE, '"}') for piece in preview.feed(part)] == []
