"""A tool that is called with what it does not take: the model is told, warned, and then the turn ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_core.testing.model import ScriptedModel
from agent_core.tools import ReadFile, tool

from .stage import Probe, Stage, call, calls, says

pytestmark = pytest.mark.anyio

BAD = "add: invalid arguments: a: Field required; correct the arguments and call again"
WARNED = "\n[add was called in a way it does not take: {n} in a row; one more such response ends the run]"


@tool
def add(a: int) -> int:
    return a + 1


async def test_three_times_in_a_row_and_once_more() -> None:
    """Each time the field and the rule; the third time what comes next; after the fourth the turn ends and says why."""
    stage = Stage(ScriptedModel(*(calls(call(c, "add")) for c in "abcd")), [add])
    assert await stage.run() == "bad_calls"
    assert [output for _, output in stage.outputs] == [BAD, BAD, BAD + WARNED.format(n=3), BAD]
    stage.assert_every_call_is_answered_once()


async def test_one_good_call_begins_anew() -> None:
    """What counts is a row without an end."""
    wrong, right = calls(call("w", "add")), calls(call("r", "add", '{"a": 1}'))
    stage = Stage(ScriptedModel(*[wrong, wrong, wrong, right] * 3, says("done")), [add])
    assert await stage.run() == "completed"


async def test_many_bad_calls_of_one_response_are_one() -> None:
    """The model had no chance to see the first answer before it made the others."""
    stage = Stage(ScriptedModel(calls(*(call(c, "add") for c in "abcdefgh")), says("done")), [add])
    assert await stage.run() == "completed"


async def test_other_calls_do_not_count_for_it() -> None:
    """Each tool has its own count, and good calls of another do not hide its row."""
    both = [calls(call("a", "add"), call("b", "probe")) for _ in range(4)]
    stage = Stage(ScriptedModel(*both), [add, Probe()])
    assert await stage.run() == "bad_calls"
    apart = [calls(call("a", name)) for name in ("add", "nobody") * 3]
    assert await Stage(ScriptedModel(*apart, says("done")), [add]).run() == "completed"


@pytest.mark.parametrize(("retries", "responses", "reason"), [(0, 1, "bad_calls"), (1, 2, "bad_calls"), (None, 9, "")])
async def test_a_tool_says_how_often(retries: int | None, responses: int, reason: str) -> None:
    """`retries=0` ends at the first, None never does."""

    @tool(name="add", retries=retries)
    def one(a: int) -> int:
        return a

    made = [calls(call(str(n), "add", f'{{"x": {n}}}')) for n in range(responses)]
    stage = Stage(ScriptedModel(*made, says("done")), [one])
    assert await stage.run() == (reason or "completed")


async def test_a_tool_nobody_has_counts_too() -> None:
    """Its name is all there is to count by."""
    stage = Stage(ScriptedModel(*(calls(call(c, "nobody")) for c in "abcd")), [add])
    assert await stage.run() == "bad_calls"
    assert [output.splitlines()[0] for _, output in stage.outputs] == [
        "unsupported call: 'nobody'; the tools are: add"
    ] * 4


async def test_the_tools_of_the_package_count_as_well(tmp_path: Path) -> None:
    """Whoever reads a request by the package's own means is counted: what is wrong is told as ever."""
    stage = Stage(ScriptedModel(*(calls(call(c, "read_file", f'{{"x": "{c}"}}')) for c in "abcd")), [ReadFile()])
    assert await stage.run() == "bad_calls"
    assert stage.outputs[0][1] == "invalid arguments: path: Field required; correct the arguments and call again"
