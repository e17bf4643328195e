"""Searches files for a pattern, in a process of its own: a pattern that never ends can be ended with it.

Run by path, with the standard library alone. One JSON object on stdin: `pattern`, `ignore_case`, `context`, `limit`,
`files` (pairs of the path to open and the path to show), `max_file_bytes`, `max_line_chars`. One JSON object on stdout:
`lines`, `matches`, `files` (with a match), `cut` (the limit was met), `skipped` (too large), or `error`.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from typing import cast


def search(asked: Mapping[str, object]) -> dict[str, object]:
    try:
        flags = re.IGNORECASE if asked["ignore_case"] else re.NOFLAG
        pattern = re.compile(str(asked["pattern"]), flags)
    except re.error as error:
        return {"error": f"the pattern is no regular expression: {error}"}
    limit, context = cast(int, asked["limit"]), cast(int, asked["context"])
    lines: list[str] = []
    matches = with_match = skipped = 0
    for path, shown in cast("list[tuple[str, str]]", asked["files"]):
        text = _text(path, cast(int, asked["max_file_bytes"]))
        if text is None:
            skipped += 1
            continue
        before = matches
        for line in _found(text.split("\n"), pattern, context, limit - matches, cast(int, asked["max_line_chars"])):
            matches += line[0] == ":"
            lines.append("--" if line == "--" else f"{shown}{line}")
        with_match += matches > before
        if matches >= limit:
            return {"lines": lines, "matches": matches, "files": with_match, "cut": True, "skipped": skipped}
    return {"lines": lines, "matches": matches, "files": with_match, "cut": False, "skipped": skipped}


def _found(lines: list[str], pattern: re.Pattern[str], context: int, limit: int, max_line_chars: int) -> Iterator[str]:
    """`:NUMBER:TEXT` for a line that matches, `-NUMBER-TEXT` for one beside it, `--` between what is not adjacent."""
    shown = -1  # the last line that was given out
    after = -1  # up to where the lines beside a match reach
    for n, line in enumerate(lines):
        if limit and pattern.search(line.removesuffix("\r")):
            limit -= 1
            first = max(n - context, shown + 1)
            if context and shown >= 0 and first > shown + 1:
                yield "--"
            for beside in range(first, n):
                yield f"-{beside + 1}-{_short(lines[beside], max_line_chars)}"
            yield f":{n + 1}:{_short(line, max_line_chars)}"
            shown, after = n, n + context
        elif n <= after:
            yield f"-{n + 1}-{_short(line, max_line_chars)}"
            shown = n
        elif not limit:
            return


def _text(path: str, max_bytes: int) -> str | None:
    """None for what is no text file of that size at most: it has no lines to show. An empty one has no lines either."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return ""
        if status.st_size > max_bytes:
            return None
        content = file.read(max_bytes)
    if b"\0" in content[:8192]:
        return ""
    return content.decode("utf-8", "replace").removesuffix("\n")


def _short(line: str, max_chars: int) -> str:
    line = line.removesuffix("\r")
    return line if len(line) <= max_chars else f"{line[:max_chars]} […]"


if __name__ == "__main__":
    answer = json.dumps(search(json.load(sys.stdin.buffer)))
    sys.stdout.write(answer)
