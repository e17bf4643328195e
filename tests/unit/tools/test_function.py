"""Functions as tools: the schema they show, the arguments they take, the outputs they give."""

from __future__ import annotations

import enum
import functools
import itertools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import anyio
import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from agent_core.approvals import Action, ApprovalRequest, Rule
from agent_core.codecs.schemas import to_dialect
from agent_core.errors import CallerError, FatalToolError, ToolError
from agent_core.items import InputFile, InputImage, InputText, JsonObject, JsonValue
from agent_core.prompt import ToolSpec
from agent_core.tools import FunctionTool, Tool, ToolContext, ToolOutput, tool
from agent_core.tools.run import Answer, run_tool

from ...moved_clock import MOVED_CLOCKS, move_on
from .calls import answered, call, watched


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Place(BaseModel):
    """Where something is."""

    title: str
    floor: int | None = None


@dataclass
class Point:
    x: int
    y: int = 0


class Pair(TypedDict):
    a: int


def add(a: int, b: int = 2) -> int:
    """Adds two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


def test_spec_of_a_plain_function() -> None:
    """Name, docstring and signature become the spec; the decorated function is still the function."""
    made = tool(add)
    parameters: JsonObject = {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "The first."},
            "b": {"type": "integer", "default": 2, "description": "The second."},
        },
        "required": ["a"],
        "additionalProperties": False,
    }
    assert made.spec == ToolSpec("add", "Adds two numbers.", parameters)
    assert (made(1), made(1, b=5), isinstance(made, Tool), repr(made)) == (3, 6, True, "FunctionTool('add')")


def test_options_replace_what_the_function_says() -> None:
    """Every option is what the loop then reads; `parallel` follows `read_only` unless given."""
    made = tool(name="sum_up", description="Sums.", read_only=True, timeout_s=5, strict=True)(add)
    alone = tool(read_only=True, parallel=False)(add)
    assert (made.spec.name, made.spec.description, made.spec.strict) == ("sum_up", "Sums.", True)
    assert (made.read_only, made.parallel, made.timeout_s) == (True, True, 5)
    assert (alone.parallel, tool(add).parallel, tool(add).timeout_s) == (False, False, None)


_UNSET = object()


def everything(
    schema: str,
    copy: Annotated[int, "How many."],
    kind: Literal["a", "b"] = "a",
    colour: Colour = Colour.RED,
    number: int | str = 1,
    many: Annotated[list[int], Field(description="Numbers.", max_length=3)] = [],  # noqa: B006 - a default like users'
    _hidden: object = _UNSET,
    ranged: int = Field(3, ge=1),
) -> str:
    """Takes names pydantic keeps for itself.

    Args:
        copy: loses to Annotated
    """
    return repr((schema, copy, kind, colour.value, number, many, _hidden is _UNSET, ranged))


def test_schema_of_many_types() -> None:
    """Names pydantic reserves, enums, unions, constraints and defaults all reach the schema; titles do not."""
    assert tool(everything).spec.parameters["properties"] == {
        "schema": {"type": "string"},
        "copy": {"type": "integer", "description": "How many."},
        "kind": {"type": "string", "enum": ["a", "b"], "default": "a"},
        "colour": {"$ref": "#/$defs/Colour", "default": "red"},
        "number": {"anyOf": [{"type": "integer"}, {"type": "string"}], "default": 1},
        "many": {
            "type": "array",
            "items": {"type": "integer"},
            "maxItems": 3,
            "default": [],
            "description": "Numbers.",
        },
        "_hidden": {},
        "ranged": {"type": "integer", "minimum": 1, "default": 3},
    }


def test_a_property_called_title_stays() -> None:
    """Titles are left out where a schema stands, never where a property is called so (W-S0-06)."""

    def put(place: Place, point: Point, pair: Pair) -> None: ...

    definitions = tool(put).spec.parameters["$defs"]
    assert definitions == {
        "Place": {
            "type": "object",
            "description": "Where something is.",
            "properties": {
                "title": {"type": "string"},
                "floor": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            },
            "required": ["title"],
        },
        "Point": {
            "type": "object",
            "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 0}},
            "required": ["x"],
            "additionalProperties": False,
        },
        "Pair": {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "required": ["a"],
            "additionalProperties": False,
        },
    }


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"schema": "s", "copy": 1}, "('s', 1, 'a', 'red', 1, [], True, 3)"),
        (
            {"schema": "s", "copy": 1, "kind": "b", "colour": "blue", "number": "n", "many": [1], "ranged": 9},
            "('s', 1, 'b', 'blue', 'n', [1], True, 9)",
        ),
    ],
)
async def test_arguments_arrive_as_python_values(
    arguments: dict[str, JsonValue], expected: str, tmp_path: Path
) -> None:
    """What the model sends is converted; what it leaves out is the function's own default."""
    output = await tool(everything).run(call("everything", arguments), ToolContext(tmp_path))
    assert output == ToolOutput(expected)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("{}", "add: invalid arguments: a: Field required; correct the arguments and call again"),
        (
            '{"a": "x", "c": 1}',
            "add: invalid arguments: a: Input should be a valid integer, unable to parse string as an integer "
            "(got 'x'); c: Extra inputs are not permitted (got 1); correct the arguments and call again",
        ),
        (
            '{"a": 1',
            "add: the arguments are not valid JSON: Expecting ',' delimiter at character 7, near '{\"a\": 1'; "
            "correct the arguments and call again",
        ),
    ],
)
async def test_wrong_arguments_go_back_to_the_model(arguments: str, expected: str, tmp_path: Path) -> None:
    """A failed output names the field, the value and the rule; the function is not called."""
    called: list[int] = []

    def noting(a: int) -> None:
        called.append(a)

    answer = await answered(tool(name="add")(noting), call("add", arguments), ToolContext(tmp_path))
    assert (answer.output, answer.bad_arguments, called) == (ToolOutput(expected, success=False), True, [])


PNG = b"\x89PNG\r\n\x1a\n"
IMAGE = InputImage(image_url="data:image/png;base64,iVBORw0KGgo=")
PDF = InputFile(filename="result.pdf", file_data="data:application/pdf;base64,JVBERi0xLjc=")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", ToolOutput("text")),
        (None, ToolOutput("")),
        (7, ToolOutput("7")),
        (True, ToolOutput("true")),
        ({"a": "é", "b": [1, None]}, ToolOutput('{"a":"é","b":[1,null]}')),
        (Point(1), ToolOutput('{"x":1,"y":0}')),
        ([Place(title="t"), Colour.RED], ToolOutput('[{"title":"t","floor":null},"red"]')),
        (ToolOutput("as it is", metadata={"k": 1}), ToolOutput("as it is", metadata={"k": 1})),
        (IMAGE, ToolOutput((IMAGE,))),
        (["see", IMAGE, {"n": 1}], ToolOutput((InputText(text="see"), IMAGE, InputText(text='{"n":1}')))),
        ("lone \ud800 surrogate", ToolOutput("lone � surrogate")),
        (b"caf\xc3\xa9", ToolOutput("café")),
        (PNG, ToolOutput((IMAGE,))),
        (b"%PDF-1.7", ToolOutput((PDF,))),
        ({"a": b"ok"}, ToolOutput('{"a":"ok"}')),
        (float("nan"), ToolOutput('"NaN"')),
        ({"a": [float("inf"), -float("inf"), 1.5]}, ToolOutput('{"a":["Infinity","-Infinity",1.5]}')),
        (["see", b"it", PNG], ToolOutput((InputText(text="see"), InputText(text="it"), IMAGE))),
        (Path("a/b"), ToolOutput('"a/b"')),
    ],
)
async def test_results(value: object, expected: ToolOutput, tmp_path: Path) -> None:
    """Text, parts and outputs pass through, bytes are what they contain; everything else becomes compact JSON."""

    def give() -> object:
        return value

    assert await tool(give).run(call("give"), ToolContext(tmp_path)) == expected


def _circle() -> list[object]:
    circle: list[object] = []
    circle.append(circle)
    return circle


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\x00\x01", "returned 2 bytes that cannot be shown"),
        (PNG + b"\0" * 4_000_000, "returned a picture of 4000008 bytes, more than 3750000 that cannot be shown"),
        (itertools.count(), "returned an iterator of more than 100000 values"),
        ({"a": b"\xff"}, "of type 'dict' that is not JSON"),
        (object(), "of type 'object' that is not JSON"),
        (_circle(), "of type 'list' that is not JSON"),
    ],
)
async def test_what_is_no_text_is_a_failure(value: object, reason: str, tmp_path: Path) -> None:
    """A result without an honest text is answered as a failure: that it ran, and what to return instead."""

    def give() -> object:
        return value

    output = (await answered(tool(give), call("give"), ToolContext(tmp_path))).output
    assert (output.success, str(output.content)[: len("give: the tool ran")]) == (False, "give: the tool ran")
    assert reason in str(output.content)
    assert "; return " in str(output.content)


@pytest.mark.anyio
async def test_a_huge_result_is_cut_in_the_middle(tmp_path: Path) -> None:
    """Ten megabytes come back as one, head and tail, with the count of what is missing."""

    def give() -> str:
        return "a" * 5_000_000 + "z" * 5_000_000

    output = await tool(give).run(call("give"), ToolContext(tmp_path))
    assert isinstance(output.content, str)
    assert len(output.content) < 1_100_000
    assert (output.content[0], output.content[-1]) == ("a", "z")
    assert output.metadata == {"truncated_bytes": 10_000_000 - 1024 * 1024}


async def _coroutine(n: int, context: ToolContext) -> str:
    return f"{n} {context.call_id}"


def _sync(n: int, context: ToolContext) -> str:
    return f"{n} {context.call_id}"


def _returns_awaitable(n: int, context: ToolContext | None) -> Awaitable[str]:
    assert context is not None
    return _coroutine(n, context)


@pytest.mark.anyio
@pytest.mark.parametrize("function", [_coroutine, _sync, _returns_awaitable])
async def test_kinds_of_functions(function: Callable[..., object], tmp_path: Path) -> None:
    """Sync, async and functions that return an awaitable work alike; the context is injected and not in the schema."""
    made = tool(function)
    output = await made.run(call(made.name, {"n": 4}), ToolContext(tmp_path, call_id="c9"))
    assert (output, made.spec.parameters["properties"]) == (ToolOutput("4 c9"), {"n": {"type": "integer"}})


@pytest.mark.anyio
async def test_sync_functions_run_beside_the_event_loop(tmp_path: Path) -> None:
    """A function that blocks until the event loop has done something does not block the event loop."""
    release = threading.Event()

    @tool
    def wait() -> bool:
        return release.wait(10)

    async with anyio.create_task_group() as group:

        async def answer() -> None:
            assert await wait.run(call("wait"), ToolContext(tmp_path)) == ToolOutput("true")

        group.start_soon(answer)
        await anyio.lowlevel.checkpoint()
        release.set()


def _steps(n: int) -> Iterator[str]:
    for step in range(n):
        yield f"step {step}"


async def _async_steps(n: int) -> AsyncIterator[dict[str, int]]:
    for step in range(n):
        yield {"step": step}


def _returning(n: int) -> Generator[str, None, int]:
    yield "working"
    return n


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("function", "result", "progress"),
    [
        (_steps, "step 2", ["step 0", "step 1", "step 2"]),
        (_async_steps, '{"step":2}', ['{"step":0}', '{"step":1}', '{"step":2}']),
        (_returning, "3", ["working"]),
    ],
)
async def test_generators_report_progress(
    function: Callable[..., object], result: str, progress: list[str], tmp_path: Path
) -> None:
    """What a generator yields is shown; its last value, or what it returns, is the result."""
    context, shown = watched(tmp_path)
    output = await tool(function).run(call("f", {"n": 3}), context)
    assert (output, shown) == (ToolOutput(result), progress)


@pytest.mark.anyio
async def test_a_cancelled_generator_is_closed_and_silent(tmp_path: Path) -> None:
    """After a cancel nothing more is shown, and the generator is closed at its next yield."""
    context, shown = watched(tmp_path)
    go_on, closed = threading.Event(), threading.Event()
    started = anyio.Event()

    @tool
    def work() -> Iterator[str]:
        try:
            yield "one"
            anyio.from_thread.run_sync(started.set)
            go_on.wait(10)
            yield "two"
            yield "three"
        finally:
            closed.set()

    async with anyio.create_task_group() as group:
        group.start_soon(work.run, call("work"), context)
        await started.wait()
        group.cancel_scope.cancel()
    go_on.set()
    assert (await anyio.to_thread.run_sync(closed.wait, 10), shown) == (True, ["one"])


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", MOVED_CLOCKS, ids=["asyncio", "trio"])
@pytest.mark.parametrize("told_first", ["timed out after 60 s", "aborted by the user"])
async def test_a_function_that_is_left_behind(told_first: str, anyio_backend: object, tmp_path: Path) -> None:
    """Python cannot end its thread: the model is told so, and the function can see that nobody waits any more."""
    started, stopped = anyio.Event(), threading.Event()
    answers: list[Answer] = []

    @tool
    def work(context: ToolContext) -> None:
        anyio.from_thread.run_sync(started.set)
        while not context.cancelled():
            time.sleep(0.001)
        stopped.set()

    async def run() -> None:
        answers.append(
            await run_tool(work, call("work"), ToolContext(tmp_path), timeout_s=60, cancelled=answers.append)
        )

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await started.wait()
        if told_first.startswith("timed out"):
            move_on(60)
        else:
            group.cancel_scope.cancel()
    assert await anyio.to_thread.run_sync(stopped.wait, 10)
    told = str(answers[0].output.content).splitlines()
    assert told[0].startswith(told_first)
    assert told[1:] == ["the function could not be interrupted and may still be at work"]


@pytest.mark.anyio
@pytest.mark.parametrize("error", [ToolError("no such city"), FatalToolError("broken"), RuntimeError("bug")])
async def test_what_a_function_raises_is_raised(error: Exception, tmp_path: Path) -> None:
    """The loop decides what an exception means, so it arrives there as it is."""

    @tool
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await fail.run(call("fail"), ToolContext(tmp_path))
    assert caught.value is error


class _Unknown:
    pass


def _takes_args(*a: int) -> None: ...
def _takes_kwargs(**k: int) -> None: ...
def _takes_unknown(x: _Unknown) -> None: ...


class _Holder:
    def method(self, n: int) -> int:
        return n


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_takes_args, "tool function '_takes_args' takes *a, which no schema can describe"),
        (_takes_kwargs, "tool function '_takes_kwargs' takes **k, which no schema can describe"),
        (_Holder.method, "tool function 'method' is a method that is not bound"),
        (lambda: 1, "'<lambda>' cannot be a tool's name"),
        (_Unknown, "@tool needs a function"),
    ],
)
def test_refused_at_decoration(function: Callable[..., object], message: str) -> None:
    """What can never be called by a model is refused where it is decorated."""
    with pytest.raises(CallerError) as caught:
        tool(function)
    assert message in caught.value.message


def test_refused_at_first_use() -> None:
    """Types are read when the schema is first needed; one that has no JSON form is named with the function."""
    with pytest.raises(CallerError, match="tool function '_takes_unknown' has a parameter that cannot be described"):
        _ = tool(_takes_unknown).spec

    namespace: dict[str, Callable[..., object]] = {}
    exec("def undefined(x: 'Missing') -> None: ...", namespace)
    with pytest.raises(CallerError, match="'undefined' is annotated with 'Missing', which is not defined"):
        _ = tool(namespace["undefined"]).spec


def test_bound_methods_and_local_types() -> None:
    """A bound method is a tool; annotations of a nested function may name classes beside it."""

    class Local(BaseModel):
        z: int

    @tool
    def nested(local: Local) -> None: ...

    assert nested.spec.parameters["properties"] == {"local": {"$ref": "#/$defs/Local"}}
    assert tool(_Holder().method).spec.parameters["properties"] == {"n": {"type": "integer"}}


def test_part_of_a_function() -> None:
    """A `functools.partial` keeps the types and the docstring of its function; what it filled in is a default."""
    made = tool(name="add_to_seven")(functools.partial(add, b=7))
    assert made.spec.description == "Adds two numbers."
    assert made.spec.parameters["properties"] == {
        "a": {"type": "integer", "description": "The first."},
        "b": {"type": "integer", "default": 7, "description": "The second."},
    }
    with pytest.raises(CallerError, match="cannot be a tool's name"):
        tool(functools.partial(add, b=7))


@pytest.mark.anyio
async def test_a_strict_schema_and_back(tmp_path: Path) -> None:
    """OpenAI's strict mode makes every parameter required and nullable; null for all that has a default is the call
    that leaves them out."""
    made = tool(strict=True)(everything)
    schema, _ = to_dialect(made.spec.parameters, "openai_strict")
    assert isinstance(schema["required"], list)
    arguments = {**dict.fromkeys(map(str, schema["required"])), "schema": "s", "copy": 1}
    output = await made.run(call("everything", arguments), ToolContext(tmp_path))
    assert output == ToolOutput("('s', 1, 'a', 'red', 1, [], False, 3)")


def test_no_approval_by_default(tmp_path: Path) -> None:
    """The caller's own code runs unasked unless it says otherwise."""
    assert tool(add).approval(call("add", {"a": 1}), ToolContext(tmp_path)) is None


@pytest.mark.parametrize(
    ("arguments", "summary", "key"),
    [
        ('{"b": 1, "a": 2}', "add(b=1, a=2)", '{"a": 2, "b": 1}'),
        ('{"a": 2, "b": null}', "add(a=2, b=null)", '{"a": 2, "b": null}'),
    ],
)
def test_approval_asked(arguments: str, summary: str, key: str, tmp_path: Path) -> None:
    """`approval=True` shows the call; the key is the call's meaning, not its spelling."""
    asked = tool(approval=True)(add).approval(call("add", arguments), ToolContext(tmp_path))
    words = ("add", key)
    action = Action("call", words, rule=Rule("call", words))
    assert asked == ApprovalRequest(
        "call_1", "add", summary, arguments, "execute", key, str(tmp_path), actions=(action,)
    )


@pytest.mark.parametrize("arguments", ["{broken", '{"a": "x"}', "{}"])
def test_bad_arguments_are_nothing_to_ask_about(arguments: str, tmp_path: Path) -> None:
    """Nobody is asked for a call that will only be told what is wrong with it."""
    assert tool(approval=True)(add).approval(call("add", arguments), ToolContext(tmp_path)) is None


def large(a: int) -> bool:
    return a > 100


def small(a: int) -> bool:
    return a < 100


def usual(b: int) -> bool:
    return b == 2


def in_words(a: int, b: int) -> str:
    return f"adds {a} and {b}"


def of_all(**rest: int) -> bool:
    return sorted(rest) == ["a", "b"]


def failing(a: int) -> bool:
    raise KeyError(a)


RULES: dict[str, tuple[Callable[..., bool | str], str | None]] = {
    "no": (large, None),
    "yes": (small, "add(a=7)"),
    "a default": (usual, "add(a=7)"),
    "a reason": (in_words, "adds 7 and 2"),
    "all of them": (of_all, "add(a=7)"),
    "a rule that fails": (failing, "add(a=7)"),
}


@pytest.mark.parametrize("name", RULES)
def test_approval_by_rule(name: str, tmp_path: Path) -> None:
    """A rule looks at the arguments it names, as the function would get them; one that fails asks."""
    rule, expected = RULES[name]
    asked = tool(approval=rule)(add).approval(call("add", {"a": 7}), ToolContext(tmp_path))
    assert (asked and asked.summary) == expected


def test_the_decorated_function_keeps_its_type() -> None:
    """Called from Python, arguments and result are typed as before (checked by mypy and pyright)."""
    made: FunctionTool[[int, int], int] = tool(_typed)
    total: int = made(1, 2)
    tools: list[Tool] = [made]
    assert (total, tools[0].spec.name) == (3, "_typed")


def _typed(a: int, b: int) -> int:
    return a + b
