"""PatchProgress: a watcher of a turn sees a patch while the model writes it, on every wire."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_core import Agent
from agent_core.codecs import WIRES
from agent_core.errors import StreamInterrupted
from agent_core.events import OutputItemAdded, ToolCallInputDelta
from agent_core.items import CustomToolCall, FunctionCall, WireName
from agent_core.previews import previewing
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.tools import ApplyPatch, ReadFile
from agent_core.tools.patch_format import PatchedFile, PatchedLine
from agent_core.turn_events import PatchProgress, SampleFinished, SampleRestarted, SampleStarted, ToolStarted, TurnEvent

pytestmark = pytest.mark.anyio

PATCH = "*** Begin Patch\n*** Add File: a.txt\n" + "".join(f"+line {n}\n" for n in range(9)) + "*** End Patch"
LINES = [PatchedFile("add", "a.txt"), *(PatchedLine("+", f"line {n}") for n in range(9))]
SCRIPT = {"patch": (Step(calls=(Call("apply_patch", {"input": PATCH}),)), Step(text="Done."))}


@pytest.mark.parametrize("wire", WIRES)
async def test_a_patch_is_seen_while_it_is_written(wire: WireName, tmp_path: Path) -> None:
    """All of it is told before the answer is over; then it is run."""
    with RehearsalServer(SCRIPT) as server:
        agent = Agent(
            "rehearsal/patch",
            wire=wire,
            base_url=server.base_url,
            tools=[ApplyPatch()],
            approvals="allow",
            cwd=tmp_path,
        )
        async with agent.stream("Write it.") as turn:
            seen = [event async for event in turn]
    told = [event for event in seen if isinstance(event, PatchProgress)]
    assert [piece for event in told for piece in event.pieces] == LINES
    kinds = [type(event) for event in seen]
    assert kinds.index(PatchProgress) < kinds.index(SampleFinished) < kinds.index(ToolStarted)
    assert (tmp_path / "a.txt").read_text() == "".join(f"line {n}\n" for n in range(9))


async def test_calls_side_by_side_and_again() -> None:
    """Each call has its own; a sample that is made again begins anew; other tools' calls are left alone."""
    seen: list[TurnEvent] = []

    async def emit(event: TurnEvent) -> None:
        seen.append(event)

    watch = previewing(emit, [ApplyPatch(), ReadFile()])
    one = OutputItemAdded(0, CustomToolCall(call_id="a", name="apply_patch", input=""))
    two = OutputItemAdded(1, FunctionCall(call_id="b", name="apply_patch", arguments=""))
    other = OutputItemAdded(2, FunctionCall(call_id="c", name="read_file", arguments=""))
    head, json_head = "*** Begin Patch\n*** Delete File: ", '{"input": "*** Begin Patch\\n*** Delete File: '
    heads = [ToolCallInputDelta(0, "a", head), ToolCallInputDelta(1, "b", json_head)]
    tails = [
        ToolCallInputDelta(1, "b", "y\\n"),
        ToolCallInputDelta(2, "c", f"{head}z\n"),
        ToolCallInputDelta(0, "a", "x\n"),
    ]
    first: tuple[TurnEvent, ...] = (
        SampleStarted(1, "m"),
        one,
        *heads,
        SampleRestarted(1, StreamInterrupted("broke"), 0.0),
    )
    second: tuple[TurnEvent, ...] = (SampleStarted(1, "m"), one, two, other, *heads, *tails)
    for event in (*first, *second):
        await watch(event)
    told = [event for event in seen if isinstance(event, PatchProgress)]
    assert told == [
        PatchProgress("b", (PatchedFile("delete", "y"),)),
        PatchProgress("a", (PatchedFile("delete", "x"),)),
    ]


async def test_nobody_else_pays_for_it() -> None:
    """Without a previewed tool the events go the way they went."""

    async def emit(event: TurnEvent) -> None:
        """Nobody watches."""

    assert previewing(emit, [ReadFile()]) is emit
