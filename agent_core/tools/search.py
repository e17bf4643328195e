"""`list_dir`, `glob` and `grep`: what there is below a folder. They only read, below the roots, and need no approval.

All three leave out what git ignores unless asked, follow no symlinks, and say what a limit left out.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from ..errors import ToolError
from ..items import JsonObject, JsonValue
from ..prompt import ToolSpec
from .arguments import InvalidArguments, check_arguments, parse_arguments
from .base import ToolCall, ToolContext, ToolOutput
from .paths import resolve_inside, shown_path
from .tree import Walk

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

    from ..approvals import ApprovalRequest
    from .requests import GlobRequest, GrepRequest, ListDirRequest

__all__ = ["Glob", "Grep", "ListDir"]

MAX_OUTPUT_CHARS = 64 * 1024
MAX_FILE_BYTES = 8 * 1024 * 1024
"""Larger files are data; `grep` counts them and says so."""
MAX_LINE_CHARS = 400
MAX_FILES = 50_000
SEARCH_S = 20.0
"""How long a pattern may take over all files."""

_T = TypeVar("_T")
_IGNORED: JsonObject = {"type": "boolean", "description": "Also what git ignores. Default false."}
_PATH: JsonObject = {"type": "string", "description": "The folder, relative to the working directory. Default: it."}


def _parameters(required: list[JsonValue], **properties: JsonObject) -> JsonObject:
    return {
        "type": "object",
        "properties": {**properties, "ignored": _IGNORED},
        "required": required,
        "additionalProperties": False,
    }


def _limit(default: int, maximum: int, what: str) -> JsonObject:
    return {"type": "integer", "minimum": 1, "maximum": maximum, "description": f"{what} at most. Default {default}."}


_GLOB_DESCRIPTION = "As in .gitignore: `*.py` in any folder, `/setup.py` at the top, `src/**/test_*.py`."


class ListDir:
    """The tool. One name a line, folders end in `/`, what is in them is indented; `depth` says how deep."""

    name: str = "list_dir"
    read_only: bool = True
    parallel: bool = True
    timeout_s: float | None = None

    @property
    def spec(self) -> ToolSpec:
        parameters = _parameters(
            [],
            path=_PATH,
            depth={"type": "integer", "minimum": 1, "maximum": 10, "description": "How deep to look. Default 1."},
            limit=_limit(500, 5000, "Names"),
        )
        return ToolSpec(self.name, "Lists the files and folders in a folder.", parameters)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        return None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from .requests import ListDirRequest

        def listed() -> str:
            asked = check_arguments(ListDirRequest, parse_arguments(call.arguments))
            return _listed(resolve_inside(asked.path, context), asked)

        return await _answer(listed)


class Glob:
    """The tool. Paths of the files a pattern names, those changed last first."""

    name: str = "glob"
    read_only: bool = True
    parallel: bool = True
    timeout_s: float | None = None

    @property
    def spec(self) -> ToolSpec:
        pattern: JsonObject = {"type": "string", "description": _GLOB_DESCRIPTION}
        parameters = _parameters(["pattern"], pattern=pattern, path=_PATH, limit=_limit(200, 5000, "Files"))
        return ToolSpec(self.name, "Finds files by name; those changed last come first.", parameters)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        return None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from .requests import GlobRequest

        def found() -> str:
            asked = check_arguments(GlobRequest, parse_arguments(call.arguments))
            return _globbed(resolve_inside(asked.path, context), asked, context)

        return await _answer(found)


class Grep:
    """The tool. Lines that match a regular expression of Python's `re`, as `path:line:text`.

    The search runs in a process of its own, which is ended when it takes longer than 20 s: no pattern hangs the agent.
    """

    name: str = "grep"
    read_only: bool = True
    parallel: bool = True
    timeout_s: float | None = None

    @property
    def spec(self) -> ToolSpec:
        parameters = _parameters(
            ["pattern"],
            pattern={"type": "string", "description": "A regular expression (Python's), matched within lines."},
            path={"type": "string", "description": "A folder or file. Default: the working directory."},
            glob={"type": "string", "description": f"Only these files. {_GLOB_DESCRIPTION}"},
            ignore_case={"type": "boolean", "description": "Default false."},
            context={"type": "integer", "minimum": 0, "maximum": 20, "description": "Lines around each. Default 0."},
            limit=_limit(200, 2000, "Matches"),
        )
        return ToolSpec(self.name, "Searches the text of files.", parameters)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        return None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from .requests import GrepRequest

        try:
            asked = check_arguments(GrepRequest, parse_arguments(call.arguments))
            files, cut = await _in_thread(lambda: _files(resolve_inside(asked.path, context), asked, context))
            answer = await _searched(asked, files)
        except InvalidArguments:
            raise
        except ToolError as error:
            return ToolOutput(f"{error.message}; {error.remedy}", success=False)
        return ToolOutput(_matches(answer, len(files), cut, asked.limit))


async def _answer(work: Callable[[], str]) -> ToolOutput:
    try:
        return ToolOutput(await _in_thread(work))
    except ToolError as error:
        return ToolOutput(f"{error.message}; {error.remedy}", success=False)


async def _in_thread(work: Callable[[], _T]) -> _T:
    from anyio import to_thread

    return await to_thread.run_sync(work, abandon_on_cancel=True)


def _listed(folder: Path, asked: ListDirRequest) -> str:
    walk = Walk(folder, asked.depth, ignored=asked.ignored)
    lines: list[str] = []
    more = 0
    for entry in walk:
        if len(lines) >= asked.limit:
            more += 1
            continue
        name = entry.path.rpartition("/")[2]
        mark = "/" if entry.is_dir else "@" if entry.is_link else ""
        lines.append("  " * (entry.depth - 1) + name + mark)
    return _said(lines, "the folder is empty", [f"{more} more names; set limit or path" if more else "", walk.cut])


def _globbed(folder: Path, asked: GlobRequest, context: ToolContext) -> str:
    wanted = _pattern(asked.pattern)
    walk = Walk(folder, ignored=asked.ignored)
    files = (folder / entry.path for entry in walk if not entry.is_dir and wanted.match_file(entry.path))
    found = [(_changed_at(path), shown_path(path, context)) for path in files]
    found.sort(key=lambda file: (-file[0], file[1]))
    more = len(found) - asked.limit
    lines = [path for _, path in found[: asked.limit]]
    return _said(lines, "no file matches", [f"{more} more files; set limit or path" if more > 0 else "", walk.cut])


def _changed_at(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _pattern(pattern: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    if not pattern.strip():
        raise ToolError("pattern: it is empty", remedy=_GLOB_DESCRIPTION)
    try:
        return GitIgnoreSpec.from_lines([pattern])
    except ValueError:
        raise ToolError(f"{pattern[:200]!r} is no pattern", remedy=_GLOB_DESCRIPTION) from None


def _files(target: Path, asked: GrepRequest, context: ToolContext) -> tuple[list[tuple[str, str]], str]:
    """The files to search, as they are opened and as they are shown, and what was left out of them."""
    if not target.is_dir():
        if not target.is_file():
            raise ToolError(f"there is no file or folder {asked.path!r}", remedy="check the path")
        return [(str(target), shown_path(target, context))], ""
    wanted = None if asked.glob is None else _pattern(asked.glob)
    walk = Walk(target, ignored=asked.ignored)
    files: list[tuple[str, str]] = []
    for entry in walk:
        if entry.is_dir or entry.is_link or (wanted is not None and not wanted.match_file(entry.path)):
            continue
        if len(files) >= MAX_FILES:
            return files, f"only the first {MAX_FILES} files were searched: set path or glob"
        path = target / entry.path
        files.append((str(path), shown_path(path, context)))
    return files, walk.cut


async def _searched(asked: GrepRequest, files: list[tuple[str, str]]) -> JsonObject:
    """The worker's answer. Raises ToolError for a pattern that is none, or one that takes too long."""
    from subprocess import DEVNULL, PIPE

    import anyio

    question = {
        "pattern": asked.pattern,
        "ignore_case": asked.ignore_case,
        "context": asked.context,
        "limit": asked.limit,
        "files": files,
        "max_file_bytes": MAX_FILE_BYTES,
        "max_line_chars": MAX_LINE_CHARS,
    }
    worker = Path(__file__).with_name("search_worker.py")
    with anyio.move_on_after(SEARCH_S):
        ended = await anyio.run_process(
            [sys.executable, "-I", "-S", "-B", str(worker)],
            input=json.dumps(question).encode("utf-8", "surrogateescape"),
            stdout=PIPE,
            stderr=DEVNULL,
            check=False,
            cwd=os.sep,
            env={},
        )
        if ended.returncode != 0:
            raise ToolError("the search failed", remedy="use a command, e.g. grep -rn")
        answer = cast("JsonObject", json.loads(ended.stdout))
        if "error" in answer:
            raise ToolError(str(answer["error"]), remedy="correct it; escape with \\ what is meant literally")
        return answer
    raise ToolError(f"the search took longer than {SEARCH_S:g} s", remedy="use a simpler pattern, or set path or glob")


def _matches(answer: JsonObject, searched: int, cut: str, limit: int) -> str:
    lines = cast("list[str]", answer["lines"])
    skipped = cast(int, answer["skipped"])
    return _said(
        lines,
        f"no match in {searched} files",
        [
            f"stopped at {limit} matches; set limit, path or glob" if answer["cut"] else "",
            f"{skipped} files of more than {MAX_FILE_BYTES // 1024 // 1024} MiB were not searched" if skipped else "",
            cut,
        ],
    )


def _said(lines: list[str], nothing: str, notes: list[str]) -> str:
    """The lines within the bound of an output, then in brackets what is not among them."""
    size = kept = 0
    for line in lines:
        size += len(line) + 1
        if size > MAX_OUTPUT_CHARS:
            notes = [f"{len(lines) - kept} more lines do not fit", *notes]
            break
        kept += 1
    said = [*lines[:kept], *(f"[{note}]" for note in notes if note)]
    return "\n".join(said or [f"[{nothing}]"])
