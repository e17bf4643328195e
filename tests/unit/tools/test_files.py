"""read_file: windows of text, and clear refusals of everything that is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent_core.items import JsonValue
from agent_core.tools import ReadFile, ToolContext, ToolOutput, files
from agent_core.tools.files import MAX_LINE_BYTES, MAX_OUTPUT_BYTES

from .calls import answered, call


async def read(cwd: Path, **arguments: JsonValue) -> ToolOutput:
    return await ReadFile().run(call("read_file", arguments), ToolContext(cwd))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("content", "arguments", "expected"),
    [
        (b"one\ntwo\n", {}, "     1\tone\n     2\ttwo"),
        (b"one\r\ntwo", {}, "     1\tone\n     2\ttwo"),
        (b"", {}, "[the file is empty]"),
        (b"\n", {}, "     1\t"),
        (b"\xef\xbb\xbfbom\n", {}, "     1\tbom"),
        (b"a\nb\nc\nd\n", {"offset": 2, "limit": 2}, "     2\tb\n     3\tc\n[lines 2-3 of 4; go on with offset=4]"),
        (b"a\nb\n", {"offset": 2, "limit": 9}, "     2\tb"),
        ("ü\u2028x\x85y\n".encode(), {}, "     1\tü\u2028x\x85y"),
        (
            b"caf\xe9\n",
            {},
            "     1\tcaf�\n[bytes that are not UTF-8 are shown as �]",
        ),
    ],
)
async def test_windows(content: bytes, arguments: dict[str, JsonValue], expected: str, tmp_path: Path) -> None:
    """The lines asked for, numbered as in the file, with a note on what is left out or replaced."""
    (tmp_path / "f.txt").write_bytes(content)
    output = await read(tmp_path, path="f.txt", **arguments)
    assert (output.content, output.success) == (expected, True)


@pytest.mark.anyio
async def test_plain_text_and_metadata(tmp_path: Path) -> None:
    """Without line numbers the text is as it stands; the record says which part of which file it is."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f.txt").write_text("a\n\tb\nc\n")
    asked = call("read_file", {"path": "d/../d/f.txt", "limit": 2})
    output = await ReadFile(line_numbers=False).run(asked, ToolContext(tmp_path))
    metadata: dict[str, JsonValue] = {"path": "d/f.txt", "lines": 2, "total_lines": 3}
    assert output == ToolOutput("a\n\tb\n[lines 1-2 of 3; go on with offset=3]", metadata=metadata)


@pytest.mark.anyio
@pytest.mark.parametrize("end", [b"", b"\n"], ids=["no last newline", "last newline"])
@pytest.mark.parametrize("offset", [1, 2, 8191, 8192, 8193, 8194, 16_384, 20_000])
async def test_a_window_anywhere_in_a_long_file(offset: int, end: bytes, tmp_path: Path) -> None:
    """Lines before and after the window are only counted, in pieces of the file; the count is exact."""
    (tmp_path / "log").write_bytes(b"\n".join(b"%07d" % n for n in range(1, 20_001)) + end)
    output = await read(tmp_path, path="log", offset=offset, limit=1)
    more = "" if offset == 20_000 else f"\n[lines {offset}-{offset} of 20000; go on with offset={offset + 1}]"
    assert output.content == f"{offset:>6}\t{offset:07d}{more}"
    past = await read(tmp_path, path="log", offset=20_001)
    assert past.content == "'log' has 20000 lines; offset=20001 is past the end; use a smaller offset"


@pytest.mark.anyio
async def test_how_far_a_file_is_read_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A window beyond the bound is refused as what it is, and the lines are then not counted."""
    monkeypatch.setattr(files, "MAX_SCAN_BYTES", 100_000)
    (tmp_path / "log").write_bytes(b"1234567\n" * 100_000)
    beyond = await read(tmp_path, path="log", offset=50_000)
    assert beyond.content == "line 50000 of 'log' is too far in to be read; use a command, e.g. sed -n"
    first = await read(tmp_path, path="log", limit=1)
    assert first.content == "     1\t1234567\n[lines 1-1 of many; go on with offset=2]"


@pytest.mark.anyio
async def test_the_output_is_bounded(tmp_path: Path) -> None:
    """A long file stops at the cap and says where to go on; a long line is cut and says by how much."""
    (tmp_path / "many").write_text("x" * 99 + "\n" + "y" * 100_000 + "\n" + ("z" * 99 + "\n") * 9_000)
    output = await read(tmp_path, path="many", limit=10_000)
    assert isinstance(output.content, str)
    lines = output.content.split("\n")
    assert lines[1] == f"     2\t{'y' * MAX_LINE_BYTES} [… {100_001 - MAX_LINE_BYTES} bytes of this line left out]"
    assert len(output.content) < MAX_OUTPUT_BYTES + 200
    assert lines[-1] == f"[lines 1-{len(lines) - 1} of 9002; go on with offset={len(lines)}]"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("READNE.md", "there is no file 'READNE.md'; did you mean 'README.md'?"),
        ("zzz", "there is no file 'zzz'; check the path"),
        ("README.md/x", "there is no file 'README.md/x'; check the path"),
        ("src", "'src' is a directory; name a file in it"),
        ("data.bin", "'data.bin' is a binary file; use a program that knows its format"),
        ("pipe", "'pipe' is not a regular file; name a text file"),
        ("../secret", "'../secret' is outside the allowed directories; use a path below the working directory"),
        ("/etc/passwd", "'/etc/passwd' is outside the allowed directories; use a path below the working directory"),
        ("link", "'link' is outside the allowed directories; use a path below the working directory"),
        ("loop", "'loop' cannot be resolved: it is a loop of symbolic links; check the path"),
        ("", "'' is no path; name a file below the working directory"),
        ("a\0b", "'a\\x00b' is no path; name a file below the working directory"),
        ("\ud800", "'\\ud800' cannot be resolved: 'utf-8' codec can't encode"),
    ],
)
async def test_refusals(path: str, expected: str, tmp_path: Path) -> None:
    """Each thing that cannot be read is refused in one line with what to do instead."""
    cwd = tmp_path / "project"
    (cwd / "src").mkdir(parents=True)
    (cwd / "README.md").write_text("hello")
    (cwd / "data.bin").write_bytes(b"\x7fELF\0\0")
    (tmp_path / "secret").write_text("secret")
    os.mkfifo(cwd / "pipe")
    (cwd / "link").symlink_to("../secret")
    (cwd / "loop").symlink_to("loop")
    output = await read(cwd, path=path)
    assert isinstance(output.content, str)
    assert (output.content[: len(expected)], output.success) == (expected, False)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "path: Field required"),
        ({"path": "f", "offset": 0}, "offset: Input should be greater than or equal to 1 (got 0)"),
        ({"path": "f", "offset": 3}, "'f' has 2 lines; offset=3 is past the end"),
        ({"path": "e", "offset": 2}, "'e' has 0 lines; offset=2 is past the end"),
    ],
)
async def test_bad_arguments(arguments: dict[str, JsonValue], expected: str, tmp_path: Path) -> None:
    """Arguments that fit no file are told back to the model."""
    (tmp_path / "f").write_text("a\nb\n")
    (tmp_path / "e").write_text("")
    output = (await answered(ReadFile(), call("read_file", arguments), ToolContext(tmp_path))).output
    assert isinstance(output.content, str)
    assert (expected in output.content, output.success) == (True, False)


@pytest.mark.anyio
async def test_other_roots_may_be_read(tmp_path: Path) -> None:
    """What lies below any of the roots is readable, by its absolute path too; the cwd alone is only the default."""
    (tmp_path / "work").mkdir()
    (tmp_path / "library").mkdir()
    (tmp_path / "library/f").write_text("text\n")
    context = ToolContext(tmp_path / "work", roots=(tmp_path / "work", tmp_path / "library"))
    output = await ReadFile(line_numbers=False).run(call("read_file", {"path": str(tmp_path / "library/f")}), context)
    assert output.content == "text"


def test_it_needs_no_approval(tmp_path: Path) -> None:
    """Reading below the roots has no side effect: it runs unasked, early and in parallel."""
    tool = ReadFile()
    assert (tool.read_only, tool.parallel, tool.approval(call("read_file"), ToolContext(tmp_path))) == (
        True,
        True,
        None,
    )
