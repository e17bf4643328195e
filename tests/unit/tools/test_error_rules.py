"""What becomes of an exception of a tool function, by the tool's rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from agent_core.errors import CallerError, FatalToolError, ToolError
from agent_core.tools import ErrorRule, InvalidArguments, ToolContext, ToolOutput, tool

from .calls import answered, call

pytestmark = pytest.mark.anyio

KEY = "sk-" + "a1" * 20


def shout(error: Exception) -> str:
    return f"it said {error!s:.20}".upper()


def leak(error: Exception) -> str:
    return f"the key is {KEY}"


def stop(error: Exception) -> str:
    raise FatalToolError("no more") from error


def broken(error: Exception) -> str:
    raise KeyError("rule")


TOLD: dict[str, tuple[ErrorRule, Exception, str]] = {
    "told": ("tell", ValueError("no"), "the tool failed: ValueError: no"),
    "told without its secret": ("tell", ValueError(f"401 for {KEY}"), "the tool failed: ValueError: 401 for [key]"),
    "a lone error of a group": (
        "tell",
        ExceptionGroup("unhandled errors in a TaskGroup", [ValueError("no")]),
        "the tool failed: ValueError: no",
    ),
    "a text of the rule's": (shout, ValueError("no"), "IT SAID NO"),
    "a rule sees the lone error": (shout, ExceptionGroup("g", [ValueError("no")]), "IT SAID NO"),
    "a text with a secret": (leak, ValueError("no"), "the key is [key]"),
    "a rule that fails": (broken, ValueError("no"), "the tool failed: ValueError: no"),
    "a word to the model": (shout, ToolError("ask for Oslo"), "ask for Oslo"),
    "one in a group": (shout, ExceptionGroup("g", [ToolError("ask for Oslo")]), "ask for Oslo"),
}


@pytest.mark.parametrize("name", TOLD)
async def test_what_the_model_is_told(name: str, tmp_path: Path) -> None:
    """A failed output without secrets; a ToolError is the tool's own word, which no rule changes."""
    rule, error, text = TOLD[name]

    @tool(errors=rule)
    async def fail() -> None:
        raise error

    answer = await answered(fail, call("fail"), ToolContext(tmp_path))
    assert (answer.output, answer.outcome, answer.ends_with) == (ToolOutput(text, success=False), "failed", None)


@pytest.mark.parametrize(("rule", "text"), [("fatal", "fail failed: ValueError: no"), (stop, "no more")])
async def test_what_ends_the_turn(rule: ErrorRule, text: str, tmp_path: Path) -> None:
    """By the rule, or by what the rule raises; the call is answered all the same."""

    @tool(errors=rule)
    def fail() -> None:
        raise ValueError("no")

    answer = await answered(fail, call("fail"), ToolContext(tmp_path))
    assert answer.output == ToolOutput(text, success=False)
    assert isinstance(answer.ends_with, FatalToolError)
    assert isinstance(answer.ends_with.__cause__, ValueError)


async def test_a_function_may_refuse_its_arguments(tmp_path: Path) -> None:
    """What no type can say: it counts as a call with bad arguments."""

    @tool
    def book(day: str) -> None:
        raise InvalidArguments(f"day: {day!r} is in the past")

    answer = await answered(book, call("book", {"day": "Monday"}), ToolContext(tmp_path))
    assert answer.bad_arguments
    assert answer.output.content == "day: 'Monday' is in the past; correct the arguments and call again"


def looks_elsewhere(b: int) -> bool:
    return b > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout_s": 0}, "timeout_s of tool 'f' must be a number of seconds above 0, got 0"),
        ({"timeout_s": float("nan")}, "timeout_s of tool 'f' must be a number of seconds above 0, got nan"),
        ({"concurrency": 0}, "concurrency of tool 'f' must be a whole number from 1 up, got 0"),
        ({"retries": 1.5}, "retries of tool 'f' must be a whole number from 0 up, got 1.5"),
        ({"retries": True}, "retries of tool 'f' must be a whole number from 0 up, got True"),
        ({"errors": "ignore"}, "errors of tool 'f' must be 'tell', 'fatal' or a function, got 'ignore'"),
        ({"approval": "yes"}, "approval of tool 'f' must be a bool or a function, got 'yes'"),
        ({"approval": looks_elsewhere}, "the approval rule of tool 'f' looks at 'b', which is none of its parameters"),
    ],
)
def test_options_that_mean_nothing(options: dict[str, object], message: str) -> None:
    """Refused where the tool is made."""

    def f(a: int) -> None: ...

    with pytest.raises(CallerError) as caught:
        cast("Callable[..., Callable[..., object]]", tool)(**options)(f)
    assert caught.value.message == message
