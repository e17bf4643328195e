"""read_output: any part of an output that a prompt shows in part."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_core.items import CustomToolCallOutput, FunctionCallOutput, InputImage, InputText, JsonValue
from agent_core.tools import ReadOutput, Tool, ToolContext, ToolOutput

from .calls import answered, call

pytestmark = pytest.mark.anyio

TEN = "".join(f"line {n}\n" for n in range(1, 11))
OUTPUTS: dict[str, FunctionCallOutput | CustomToolCallOutput] = {
    "ten": FunctionCallOutput(call_id="ten", output=TEN),
    "long": FunctionCallOutput(call_id="long", output="é" * 1000 + "\nend"),
    "parts": CustomToolCallOutput(
        call_id="parts", output=(InputText(text="a\nb"), InputImage(image_url="data:,"), InputText(text="c"))
    ),
    "empty": FunctionCallOutput(call_id="empty", output=""),
}
TOOL = ReadOutput(OUTPUTS.get, max_bytes=500)

READS: dict[str, tuple[dict[str, JsonValue], str]] = {
    "all of it": ({"call_id": "ten"}, TEN),
    "a window": ({"call_id": "ten", "offset": 4, "limit": 2}, "line 4\nline 5\n[lines 4-5 of 10; go on with offset=6]"),
    "to the end": ({"call_id": "ten", "offset": 9}, "line 9\nline 10\n[lines 9-10 of 10]"),
    "from line 0": ({"call_id": "ten", "offset": 0, "limit": 1}, "line 1\n[lines 1-1 of 10; go on with offset=2]"),
    "a line that has no room": (
        {"call_id": "long"},
        "é" * 170 + '\n[line 1 is longer; go on with unit="bytes", offset=340]',
    ),
    "after it": ({"call_id": "long", "offset": 2}, "end\n[lines 2-2 of 2]"),
    "bytes": (
        {"call_id": "long", "unit": "bytes", "offset": 1, "limit": 6},
        'ééé\n[bytes 0-6 of 2004; go on with unit="bytes", offset=6]',
    ),
    "bytes to the end": (
        {"call_id": "long", "unit": "bytes", "offset": 1998},
        "é\nend\n[bytes 1998-2004 of 2004]",
    ),
    "one byte is one character": (
        {"call_id": "long", "unit": "bytes", "limit": 1},
        'é\n[bytes 0-2 of 2004; go on with unit="bytes", offset=2]',
    ),
    "texts of an output in parts": ({"call_id": "parts"}, "a\nb\nc"),
    "nothing": ({"call_id": "empty"}, ""),
    "no bytes": ({"call_id": "empty", "unit": "bytes"}, ""),
}

REFUSED: dict[str, tuple[dict[str, JsonValue] | str, str]] = {
    "no such output": ({"call_id": "x" * 500}, f"there is no output with id {'x' * 100 + '…'!r}; use the id"),
    "past the last line": ({"call_id": "ten", "offset": 11}, "the output has 10 lines; offset=11 is past the end"),
    "past the last byte": (
        {"call_id": "ten", "unit": "bytes", "offset": 71},
        "the output has 71 bytes; offset=71 is past the end",
    ),
    "a wrong unit": ({"call_id": "ten", "unit": "words"}, "invalid arguments: unit: "),
    "a negative offset": ({"call_id": "ten", "offset": -1}, "invalid arguments: offset: "),
    "no id": ({}, "invalid arguments: call_id: Field required"),
    "no JSON": ("{", "the arguments are not valid JSON"),
}


@pytest.mark.parametrize("name", READS)
async def test_reading(name: str, tmp_path: Path) -> None:
    """The text as it is, and a last line that says how to go on where it is not all of it."""
    arguments, expected = READS[name]
    assert await TOOL.run(call("read_output", arguments), ToolContext(tmp_path)) == ToolOutput(expected)


@pytest.mark.parametrize("name", REFUSED)
async def test_refusals(name: str, tmp_path: Path) -> None:
    """A failure the model can act on, never an exception."""
    arguments, message = REFUSED[name]
    output = (await answered(TOOL, call("read_output", arguments), ToolContext(tmp_path))).output
    assert not output.success
    assert str(output.content).startswith(message)


async def test_it_may_run_unasked_and_early(tmp_path: Path) -> None:
    """It only reads what the conversation holds."""
    assert isinstance(TOOL, Tool)
    assert (TOOL.read_only, TOOL.parallel) == (True, True)
    assert TOOL.approval(call("read_output"), ToolContext(tmp_path)) is None
