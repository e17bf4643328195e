"""A tool is somebody else's code: whatever it does, its call has one answer, bounded and without secrets, and the turn
goes on."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import anyio
import pytest

from agent_core.session import Session
from agent_core.testing.model import ScriptedModel
from agent_core.tools import ToolContext, ToolOutput, tool
from agent_core.tools.results import MAX_RESULT_BYTES

from .stage import Stage, call, calls, says

pytestmark = pytest.mark.anyio

KEY = "sk-ant-" + "a1B2" * 12
RELEASED = threading.Event()


async def text() -> str:
    return "late"


def raises_a_secret() -> None:
    raise ConnectionError(f"POST https://me:hunter2hunter2@host.test/ failed, Authorization: Bearer {KEY}")


async def raises_in_a_group() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_fail)


async def _fail() -> None:
    raise ValueError(f"api_key={KEY}")


def raises_without_end() -> None:
    raise ValueError("x" * 10_000_000)


def stops_iteration() -> None:
    raise StopIteration("over")


async def forgets_to_await() -> Awaitable[str]:
    return text()


def gives_a_coroutine() -> Awaitable[str]:
    return text()


def gives_bytes() -> bytes:
    return b"\x00\xff" * 50


def gives_wrong_output() -> ToolOutput:
    return ToolOutput(b"raw")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # what such a tool does


async def yields_without_end() -> AsyncIterator[str]:
    while True:
        yield "x"
        await anyio.lowlevel.checkpoint()


def ignores_its_time_limit(context: ToolContext) -> None:
    RELEASED.wait(30)


async def exits() -> None:
    raise SystemExit(3)


def nests() -> object:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    return value


MISCONDUCT: dict[str, tuple[Callable[..., object], str]] = {
    "an exception with a secret": (
        raises_a_secret,
        "the tool failed: ConnectionError: POST https://[key]@host.test/ failed, Authorization: Bearer [key]",
    ),
    "one in a group": (raises_in_a_group, "the tool failed: ValueError: api_key=[key]"),
    "one without end": (raises_without_end, "the tool failed: ValueError: xxx"),
    "StopIteration": (stops_iteration, "the tool failed: "),
    "SystemExit": (exits, "the tool failed: SystemExit: 3"),
    "a coroutine": (gives_a_coroutine, "late"),
    "a coroutine of a coroutine": (forgets_to_await, "late"),
    "bytes": (gives_bytes, "gives_bytes: the tool ran, but returned 100 bytes that cannot be shown"),
    "an output that is none": (gives_wrong_output, "the tool ran, but the content of its output is 'bytes'"),
    "10 MB of text": (lambda: "y" * 10_000_000, "yyy"),
    "10 MB of text in parts": (lambda: ["y" * 5_000_000, b"z" * 5_000_000], "(InputText(type='input_text', text='yyy"),
    "NaN": (lambda: {"mean": float("nan")}, '{"mean":"NaN"}'),
    "a lone surrogate": (lambda: {"a": "\udc80"}, '{"a":"�"}'),
    "deep nesting": (nests, "tool: the tool ran, but returned a value of type 'list' that is not JSON: "),
    "nothing": (lambda: None, ""),
    "progress without end": (yields_without_end, "timed out after 0.05 s"),
    "no end in its thread": (ignores_its_time_limit, "timed out after 0.05 s\nthe function could not be interrupted"),
}


@pytest.fixture
def released() -> Iterator[None]:
    """Threads left behind may end."""
    RELEASED.clear()
    yield
    RELEASED.set()


@pytest.mark.usefixtures("released")
@pytest.mark.parametrize("name", MISCONDUCT)
async def test_whatever_a_tool_does_it_is_answered(name: str) -> None:
    """Once, with a text that says what happened, at most a megabyte and without the secret; then the model goes on."""
    function, begins = MISCONDUCT[name]
    given = "tool" if function.__name__ in ("<lambda>", "nests") else function.__name__
    made = tool(name=given, timeout_s=0.05 if begins.startswith("timed out") else 30)(function)
    stage = Stage(ScriptedModel(calls(call("a", given), call("b", given)), says("done")), [made])
    assert await stage.run() == "completed"
    stage.assert_every_call_is_answered_once()
    for _, told in stage.outputs:
        assert told[: len(begins)] == begins
        assert len(told) < MAX_RESULT_BYTES + 200
        assert KEY not in told
        told.encode()


@pytest.mark.parametrize("how", ["swallows", "shields"])
async def test_one_that_ignores_cancel_is_left_behind(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is over, its call is answered, and the model is told that it may still be at work."""
    monkeypatch.setattr("agent_core.tools.own_task.in_own_task.__kwdefaults__", {"grace_s": 0.02})
    release, ended = anyio.Event(), anyio.Event()

    @tool(timeout_s=0.02)
    async def stay() -> None:
        with anyio.CancelScope(shield=how == "shields"):
            while not release.is_set():
                try:
                    await release.wait()
                except BaseException:  # noqa: BLE001  # what such a tool does
                    await anyio.lowlevel.cancel_shielded_checkpoint()
        ended.set()

    stage = Stage(ScriptedModel(calls(call("a", "stay")), says("done")), [stay], session=Session())
    assert await stage.run() == "completed"
    left = "timed out after 0.02 s\nit did not end when it was cancelled and may still be at work"
    assert stage.outputs == [("a", left)]
    release.set()
    await ended.wait()
