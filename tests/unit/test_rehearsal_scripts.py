"""Scripts without a server: which step answers, what a step becomes, what the shipped scripts do."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agent_core.codecs.grammar import check_events
from agent_core.errors import ConfigError, InvalidRequestError, RateLimitError
from agent_core.events import OutputItemDone, OutputTextDelta, ToolCallInputDelta, Usage
from agent_core.items import (
    CustomToolCall,
    FunctionCall,
    FunctionCallOutput,
    JsonObject,
    Message,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    WireName,
    assistant_message,
    dump_item,
    user_message,
)
from agent_core.prompt import CustomToolSpec, HostedToolSpec, NamedTool, Prompt, ToolSpec, ToolSpecs
from agent_core.testing import SCRIPTS, Call, Script, Step, write_demo_project
from agent_core.testing.demo_project import BUGGY_LINE, MODULE, PATCH
from agent_core.testing.fitting import fitting_arguments
from agent_core.testing.scripts import answer_events, answer_response, answers_in, step_for, turn_items

WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")
ADD = ToolSpec(
    "add",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
)
SHELL = ToolSpec("shell", parameters={"type": "object", "properties": {"command": {"type": "string"}}})
READ = ToolSpec("read_file", parameters={"type": "object", "properties": {"path": {"type": "string"}}})
DEMO_TOOLS = (SHELL, READ, CustomToolSpec("apply_patch"))


def called(call_id: str, name: str = "add") -> FunctionCall:
    return FunctionCall(call_id=call_id, name=name, arguments="{}")


def answered(call_id: str, output: str = "5") -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output=output)


def run_script(script: Script, tools: Sequence[ToolSpecs], outputs: Sequence[str], text: str = "Go.") -> list[Step]:
    """The steps of a whole turn in which each call gets the next of `outputs`."""
    items: list[ResponseItem] = [user_message(text)]
    left = list(outputs)
    steps: list[Step] = []
    while True:
        prompt = Prompt(items, tools=tools)
        steps.append(step_for("story", script, prompt))
        answer = answer_response(steps[-1], prompt, "chat", request=repr(items).encode())
        items.extend(answer.items)
        if not answer.tool_calls:
            return steps
        items.extend(answered(call.call_id or "", left.pop(0)) for call in answer.tool_calls)


@pytest.mark.parametrize(
    ("items", "count"),
    [
        ([], 0),
        ([user_message("a")], 0),
        ([user_message("a"), assistant_message("b")], 1),
        ([user_message("a"), Reasoning(), assistant_message("b"), called("1"), called("2"), answered("1")], 1),
        ([user_message("a"), called("1"), answered("1"), assistant_message("b"), user_message("c")], 2),
    ],
)
def test_an_answer_is_a_run_of_items_the_model_made(items: list[ResponseItem], count: int) -> None:
    """Reasoning, text and calls of one response count as one step of the script."""
    assert answers_in(items) == count


def test_steps_follow_the_history_and_end_with_a_clear_error() -> None:
    """The step is chosen by the history alone: the same request gets the same step, and past the last it is a 400."""
    script = [Step(text="one"), Step(text="two")]
    history: list[ResponseItem] = [user_message("a"), assistant_message("one"), user_message("b")]
    assert step_for("s", script, Prompt("a")).text == "one"
    assert step_for("s", script, Prompt(history)).text == step_for("s", script, Prompt(history)).text == "two"
    with pytest.raises(InvalidRequestError, match="script 's' has no step 4: it ends with step 2") as caught:
        step_for("s", script, Prompt([*history, assistant_message("two"), user_message("c"), called("1")]))
    assert (caught.value.status, caught.value.code) == (400, "script_ended")


def test_a_function_that_fails_is_told_and_an_api_error_is_its_answer() -> None:
    """What a script function raises reaches its author as a 400 that names it; an ApiError is answered as it is."""

    def broken(prompt: Prompt) -> Step:
        raise ZeroDivisionError("no")

    def busy(prompt: Prompt) -> Step:
        raise RateLimitError("busy", status=429)

    with pytest.raises(InvalidRequestError, match="script 's' failed on this prompt: ZeroDivisionError: no"):
        step_for("s", broken, Prompt("a"))
    with pytest.raises(RateLimitError, match="busy"):
        step_for("s", busy, Prompt("a"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Step(status=302), "status must be 200 or 400 to 599, got 302"),
        (lambda: Step(finish="done"), "finish must be one of"),  # type: ignore[arg-type]  # what a typo does
        (lambda: Step(cut="explode"), "cut must be one of"),  # type: ignore[arg-type]  # what a typo does
        (lambda: Step(cut_after_events=-1), "cut_after_events must not be negative"),
        (lambda: Step(delay_s=-1), "delay_s must not be negative"),
        (lambda: Step(failures=(Step(failures=(Step(),)),)), "cannot have failures themselves"),
    ],
)
def test_an_impossible_step_is_refused_where_it_is_written(make: Callable[[], Step], message: str) -> None:
    """A step that cannot be performed fails when it is made, with a message that names the field."""
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("wire", WIRES)
def test_a_step_becomes_items_in_order_and_events_that_obey_the_grammar(wire: WireName) -> None:
    """Reasoning, then the message, then the calls; their deltas join to them again; usage is counted on the text."""
    step = Step(
        reasoning="Let me think.\n\nYes.",
        text="Grüße — 你好你好你好你好你好你好你好!",
        calls=(Call("add", {"a": 2, "b": 3}), Call("edit", "*** free text"), Call("add", '{"a": 2', call_id="mine")),
    )
    prompt = Prompt("Go.", tools=(ADD, CustomToolSpec("edit")), model="s")
    response = answer_response(step, prompt, wire, request=b"x" * 400)
    check_events(answer_events(response))
    kinds = [type(item) for item in response.items]
    assert kinds == [Reasoning, Message, FunctionCall, CustomToolCall, FunctionCall]
    assert (response.text, response.reasoning_text) == (step.text, step.reasoning)
    assert [call.call_id for call in response.tool_calls][2] == "mine"
    assert len({call.call_id for call in response.tool_calls}) == 3
    assert (response.finish_reason, response.model) == ("tool_calls", "s")
    assert response.usage == Usage(input=100, output=27, reasoning=5)


def test_ids_follow_from_the_request() -> None:
    """The same request gets the same ids, another request gets others."""
    step = Step(calls=(Call("add"),))
    one, again, other = (answer_response(step, Prompt("a"), "chat", request=body) for body in (b"1", b"1", b"2"))
    assert one == again
    assert one.id != other.id
    assert one.tool_calls[0].call_id != other.tool_calls[0].call_id


def test_text_streams_by_the_word_and_arguments_in_pieces() -> None:
    """Deltas are of the size servers send; nothing is lost between them."""
    step = Step(text="Hello there,  you", calls=(Call("add", {"a": 2, "b": 3}),))
    events = list(answer_events(answer_response(step, Prompt("a"), "chat", request=b"")))
    assert [e.delta for e in events if isinstance(e, OutputTextDelta)] == ["Hello", " there,", "  you"]
    assert [e.delta for e in events if isinstance(e, ToolCallInputDelta)] == ['{"a": 2, "b"', ": 3}"]


@pytest.mark.parametrize(
    ("step", "wire", "finish", "status"),
    [
        (Step(text="a"), "chat", "stop", "completed"),
        (Step(), "chat", "stop", "completed"),
        (Step(refusal="no"), "chat", "stop", "completed"),
        (Step(refusal="no"), "responses", "stop", "completed"),
        (Step(refusal="no"), "messages", "refusal", "completed"),
        (Step(text="a", finish="length"), "chat", "length", "incomplete"),
        (Step(text="a", finish="content_filter"), "chat", "content_filter", "incomplete"),
    ],
)
def test_how_an_answer_ends(step: Step, wire: WireName, finish: str, status: str) -> None:
    """The finish reason follows from what was said unless the step gives one; a cut answer marks its last item."""
    response = answer_response(step, Prompt("a"), wire, request=b"")
    assert (response.finish_reason, response.status) == (finish, status)
    if step.finish:
        assert dump_item(response.items[-1])["status"] == "incomplete"


@pytest.mark.parametrize("cap", range(1, 12))
@pytest.mark.parametrize("wire", WIRES)
def test_the_cap_of_output_tokens_cuts_the_answer(cap: int, wire: WireName) -> None:
    """An answer never has more tokens than allowed; where it is cut it is `length`, and the cut item is incomplete."""
    step = Step(reasoning="think think", text="häppy", refusal="never ever", calls=(Call("add", {"a": 2, "b": 3}),))
    response = answer_response(step, Prompt("a", max_output_tokens=cap), wire, request=b"")
    check_events(answer_events(response))
    assert response.usage is not None
    assert response.usage.output_total <= cap
    assert response.finish_reason == "length"
    assert all(dump_item(item)["status"] == "completed" for item in response.items[:-1])
    whole = answer_response(step, Prompt("a", max_output_tokens=12), wire, request=b"")
    assert whole == answer_response(step, Prompt("a"), wire, request=b"")


def test_a_refusal_is_a_part_of_the_message() -> None:
    """Text and refusal of one step are one message, in this order."""
    response = answer_response(Step(text="Well,", refusal="no."), Prompt("a"), "responses", request=b"")
    events = list(answer_events(response))
    check_events(events)
    done = [event.item for event in events if isinstance(event, OutputItemDone)]
    assert [item.content for item in done if isinstance(item, Message)] == [
        (OutputText(text="Well,"), Refusal(refusal="no."))
    ]


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (ADD.parameters, "What is 17 plus -4?", {"a": 17, "b": -4}),
        (ADD.parameters, "Add.", {"a": 2, "b": 2}),
        ({"properties": {"city": {"type": "string"}}}, "How warm is it in New York today?", {"city": "New York"}),
        ({"properties": {"city": {"type": "string"}}}, "weather?", {"city": "Paris"}),
        ({"properties": {"unit": {"enum": ["c", "fahrenheit"]}}}, "in Fahrenheit", {"unit": "fahrenheit"}),
        ({"properties": {"n": {"type": "integer", "minimum": 5, "maximum": 9}}}, "12", {"n": 9}),
        ({"properties": {"n": {"type": "number", "exclusiveMinimum": 7}}}, "3", {"n": 7.5}),
        ({"properties": {"x": {"const": 1}, "y": {"default": "z"}}, "required": ["x", "y"]}, "", {"x": 1, "y": "z"}),
        ({"properties": {"x": {"type": ["null", "boolean"]}}}, "", {"x": True}),
        ({"properties": {"x": {"type": "array", "items": {"type": "null"}, "minItems": 2}}}, "", {"x": [None, None]}),
        (
            {"properties": {"x": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/X"}]}}, "$defs": {"X": ADD.parameters}},
            "1 2",
            {"x": {"a": 1, "b": 2}},
        ),
        ({"properties": {"x": {"$ref": "#"}}}, "", {"x": {"x": {"x": {"x": {"x": {"x": {"x": {"x": {"x": None}}}}}}}}}),
        ({}, "anything", {}),
    ],
)
def test_arguments_fit_the_schema(schema: JsonObject, text: str, expected: JsonObject) -> None:
    """A scripted call has arguments its tool accepts, taken from the user's words where they say something."""
    assert fitting_arguments(schema, text) == expected


def test_a_call_of_the_first_tool_then_an_answer_that_quotes_it() -> None:
    """`weather` and `add` work with any tool, and their answer holds what the tool said."""
    steps = run_script(SCRIPTS["add"], (ADD,), ["5"], "What is 2 + 3?")
    assert steps == [Step(calls=(Call("add", {"a": 2, "b": 3}),)), Step(text="add says: 5")]


def test_parallel_makes_two_different_calls() -> None:
    """Two tools are called once each, one tool twice with different arguments, and one call is made where two are not
    allowed."""
    two = run_script(SCRIPTS["parallel"], (ADD, CustomToolSpec("note")), ["5", "ok"], "2 and 3")
    assert two[0].calls == (Call("add", {"a": 2, "b": 3}), Call("note", "2 and 3"))
    assert two[1].text == "add says: 5\nnote says: ok"
    one_tool = run_script(SCRIPTS["parallel"], (ADD,), ["5", "7"], "2 and 3")
    assert one_tool[0].calls == (Call("add", {"a": 2, "b": 3}), Call("add", {"a": 3, "b": 4}))
    alone = step_for("parallel", SCRIPTS["parallel"], Prompt("2 and 3", tools=(ADD,), parallel_tool_calls=False))
    assert len(alone.calls) == 1


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt("a"),
        Prompt("a", tools=(ADD,), tool_choice="none"),
        Prompt("a", tools=(HostedToolSpec({"type": "web_search"}),)),
    ],
)
def test_without_a_tool_to_call_a_script_says_so(prompt: Prompt) -> None:
    """No tool, `none`, or only tools the provider runs: an answer in words, not a call nobody can run."""
    step = step_for("add", SCRIPTS["add"], prompt)
    assert (step.calls, step.text) == ((), "This script calls a tool, but the request gives none to call.")


def test_a_named_tool_is_the_one_that_is_called() -> None:
    """A forced tool choice is followed."""
    prompt = Prompt("a", tools=(ADD, SHELL), tool_choice=NamedTool("shell"))
    assert [call.name for call in step_for("weather", SCRIPTS["weather"], prompt).calls] == ["shell"]


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_shipped_script_answers_at_every_turn(name: str) -> None:
    """Conversations go on: no shipped script runs out of steps, whatever came before."""
    before: list[ResponseItem] = [user_message("a"), assistant_message("b"), user_message("c"), called("1")]
    prompt = Prompt(
        [*before, answered("1"), Reasoning(), assistant_message("d"), user_message("e")], tools=(ADD, *DEMO_TOOLS)
    )
    step = step_for(name, SCRIPTS[name], prompt)
    assert step.text or step.calls
    check_events(answer_events(answer_response(step, prompt, "responses", request=b"")))


def test_a_turn_begins_after_the_last_user_message() -> None:
    """The calls of earlier turns are none of this one's business."""
    history: list[ResponseItem] = [user_message("a"), called("1"), answered("1"), user_message("b"), called("2")]
    assert turn_items(Prompt(history)) == (called("2"),)
    assert turn_items(Prompt([called("1")])) == (called("1"),)


def run_tests(folder: Path) -> str:
    command = [sys.executable, "-B", "-m", "unittest", "-q"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60).stderr


@pytest.fixture(scope="module")
def demo_outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the tools say while the demo project is repaired: real test runs, the real file."""
    folder = tmp_path_factory.mktemp("demo")
    write_demo_project(folder)
    source = (folder / MODULE).read_text()
    red = run_tests(folder)
    removed, added = (line[1:] for line in PATCH.splitlines() if line.startswith(("-", "+")))
    assert (removed, source.count(removed)) == (BUGGY_LINE, 1)
    (folder / MODULE).write_text(source.replace(removed, added))
    return [red, source, "Success. Updated pricing.py", run_tests(folder)]


def test_the_demo_project_fails_in_one_test_and_the_patch_repairs_it(demo_outputs: list[str]) -> None:
    """One of six tests is red for a real bug; the script's patch makes all green."""
    assert "Ran 6 tests" in demo_outputs[0]
    assert "FAILED (failures=1)" in demo_outputs[0]
    assert demo_outputs[3].rstrip().endswith("OK")


def test_the_demo_script_runs_reads_patches_runs_and_reports(demo_outputs: list[str]) -> None:
    """Each step follows from what the tools said before it, the report from the last test run."""
    steps = run_script(SCRIPTS["fix-tests"], DEMO_TOOLS, demo_outputs)
    assert [[call.name for call in step.calls] for step in steps] == [
        ["shell"],
        ["read_file"],
        ["apply_patch"],
        ["shell"],
        [],
    ]
    assert json.loads(steps[0].calls[0].text) == {"command": shlex.join([sys.executable, "-B", "-m", "unittest", "-q"])}
    assert "1 of 6 tests fail: `test_ten_are_already_a_bulk_order`" in steps[1].text
    assert steps[2].calls[0].text == PATCH
    assert steps[4].text.startswith("All 6 tests pass now.")


@pytest.mark.parametrize(
    ("said", "report"),
    [
        ({0: "the user said no"}, "I could not run the tests, so I changed nothing. The shell said: the user said no"),
        ({0: "Ran 6 tests in 0.001s\n\nOK"}, "All 6 tests pass already; I changed nothing."),
        ({1: "no such file"}, "I do not find the cause in `pricing.py`, so I changed nothing. It says: no such file"),
        ({2: "denied", 3: "Ran 6 tests in 0.1s\n\nFAILED (failures=1)"}, "The tests still do not pass: FAILED (fail"),
        ({3: ""}, "The tests still do not pass: nothing. The patch tool had said: Success"),
        ({3: "Ran 0 tests in 0.000s\n\nOK"}, "The tests still do not pass: OK"),
    ],
)
def test_the_demo_script_reports_what_happened(said: dict[int, str], report: str, demo_outputs: list[str]) -> None:
    """When a tool says something else, the report does: it never claims a success it did not see."""
    outputs = [said.get(n, output) for n, output in enumerate(demo_outputs)]
    assert run_script(SCRIPTS["fix-tests"], DEMO_TOOLS, outputs)[-1].text.startswith(report)


def test_the_demo_script_needs_its_tools() -> None:
    """Without the tools there is nothing to repair with, and that is said."""
    steps = run_script(SCRIPTS["fix-tests"], (READ,), [])
    assert [step.text for step in steps] == [
        "I cannot repair anything: this run gives me no shell and no apply_patch tool."
    ]


def test_shell_commands_fit_the_tool() -> None:
    """A tool that wants an argument list gets one; a patch tool that is a function gets its one string."""
    argv = ToolSpec("exec_command", parameters={"type": "object", "properties": {"cmd": {"type": "array"}}})
    patch = ToolSpec("apply_patch", parameters={"type": "object", "properties": {"input": {"type": "string"}}})
    step = step_for("fix-tests", SCRIPTS["fix-tests"], Prompt("a", tools=(argv, READ, patch)))
    assert step.calls == (Call("exec_command", {"cmd": [sys.executable, "-B", "-m", "unittest", "-q"]}),)


def test_the_demo_project_overwrites_nothing(tmp_path: Path) -> None:
    """A file that is there stays as it is, and the error names it."""
    (tmp_path / MODULE).write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        write_demo_project(tmp_path)
    assert (tmp_path / MODULE).read_text() == "mine"
