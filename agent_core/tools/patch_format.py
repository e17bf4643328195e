"""The V4A patch as text: the format, its grammar and its parser.

    *** Begin Patch
    *** Add File: PATH          every line starts with `+`
    *** Delete File: PATH
    *** Update File: PATH
    *** Move to: PATH           optional; alone it is a rename
    @@ LINE OF THE FILE         optional: search below this line; several in a row narrow down
     context / -old / +new
    *** End of File             optional: the lines above are the last of the file
    *** End Patch

`patch_reader` reads it; what the operations would do to files is `patch_plan`'s part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from msgspec import Struct

__all__ = [
    "END_OF_FILE",
    "PATCH_GRAMMAR",
    "AddFile",
    "Chunk",
    "ChunkLine",
    "DeleteFile",
    "PatchOperation",
    "PatchPiece",
    "PatchedFile",
    "PatchedLine",
    "PatchedMove",
    "PatchedPlace",
    "UpdateFile",
    "patch_paths",
    "shortened",
]

END_OF_FILE = "*** End of File"

PATCH_GRAMMAR = r"""start: "*** Begin Patch" NL operation+ "*** End Patch" NL?

operation: add_file | delete_file | update_file

add_file: "*** Add File: " TEXT NL ("+" TEXT? NL)+
delete_file: "*** Delete File: " TEXT NL
update_file: "*** Update File: " TEXT NL (chunk+ | move_to chunk*)
move_to: "*** Move to: " TEXT NL

chunk: heading+ edit+ end_of_file? | edit+ end_of_file?
heading: "@@" (" " TEXT)? NL
edit: ("+" | "-" | " ") TEXT? NL
end_of_file: "*** End of File" NL

TEXT: /[^\r\n]+/

%import common.LF -> NL
"""
"""The format as a Lark grammar, for models that can be held to one. Stricter than the parser."""

Mark: TypeAlias = Literal[" ", "-", "+"]
ChunkLine: TypeAlias = tuple[Mark, str]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One edit of a file. `line` is its place in the patch, from 1, for messages."""

    lines: tuple[ChunkLine, ...]
    anchors: tuple[str, ...] = ()
    at_end: bool = False
    line: int = 0

    @property
    def old(self) -> list[str]:
        return [text for mark, text in self.lines if mark != "+"]


@dataclass(frozen=True, slots=True)
class AddFile:
    path: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeleteFile:
    path: str


@dataclass(frozen=True, slots=True)
class UpdateFile:
    path: str
    chunks: tuple[Chunk, ...]
    move_to: str | None = None


PatchOperation: TypeAlias = AddFile | DeleteFile | UpdateFile


# --- what is told of a patch while it is still written ---------------------------------------------------------------


class PatchedFile(Struct, frozen=True):
    """The patch goes on to this file."""

    action: Literal["add", "delete", "update"]
    path: str


class PatchedMove(Struct, frozen=True):
    """The file it is at gets this path."""

    path: str


class PatchedPlace(Struct, frozen=True):
    """A change begins; `anchor` is the line it is below, or empty. Several in a row narrow down."""

    anchor: str = ""


class PatchedLine(Struct, frozen=True):
    """One line that stays, goes or comes."""

    mark: Mark
    text: str


PatchPiece: TypeAlias = PatchedFile | PatchedMove | PatchedPlace | PatchedLine


def patch_paths(operations: Iterable[PatchOperation]) -> tuple[str, ...]:
    """Every path a patch names, in order, once."""
    paths: dict[str, None] = {}
    for operation in operations:
        paths[operation.path] = None
        if isinstance(operation, UpdateFile) and operation.move_to is not None:
            paths[operation.move_to] = None
    return tuple(paths)


def shortened(text: str, limit: int = 120) -> str:
    """A line of a file or patch as an error message quotes it."""
    return repr(text if len(text) <= limit else text[:limit] + "…")
