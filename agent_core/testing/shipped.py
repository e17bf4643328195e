"""The scripts that come with agent_core, each a function of the prompt, so each works at any turn of a conversation.

hello       a short answer                      flaky   429 with Retry-After once, then an answer
echo        the last user text                  cut     a stream that breaks once, then an answer
think       reasoning, then an answer           long    a few hundred deltas
weather,    one call of the first tool given,   fix-tests  the demo: runs the tests of a small project, reads the
add         then an answer that quotes it                  file, patches it, runs them again, reports what it saw
parallel    two calls, then an answer
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ..codecs.base import json_list, json_object, json_str
from ..items import CustomToolCall, CustomToolCallOutput, FunctionCall, FunctionCallOutput, JsonValue, output_text_of
from ..prompt import CustomToolSpec, HostedToolSpec, NamedTool, Prompt, ToolSpec
from .demo_project import BUGGY_LINE, MODULE, PATCH
from .fitting import fitting_arguments
from .scripts import Call, Script, Step, last_user_text, turn_items

__all__ = ["SCRIPTS"]

_CallableSpec: TypeAlias = ToolSpec | CustomToolSpec
_LONG_LINES = 50


def _hello(prompt: Prompt) -> Step:
    return Step(
        text="Hello! I am a rehearsed model: every word I say is scripted, every byte of it travels for real. "
        "To talk to a real one, name it: provider/model."
    )


def _echo(prompt: Prompt) -> Step:
    return Step(text=last_user_text(prompt) or "(there is no user text to echo)")


def _think(prompt: Prompt) -> Step:
    return Step(
        reasoning="The user wants to see reasoning before the answer. I think in a few words, then I speak.",
        text="I thought about it first: reasoning comes before the answer, and is kept apart from it.",
    )


def _flaky(prompt: Prompt) -> Step:
    busy = Step(status=429, error="too many requests for a rehearsal", headers={"retry-after": "1"})
    return Step(text="The second attempt got through.", failures=(busy,))


def _cut(prompt: Prompt) -> Step:
    text = "This answer is whole: the stream before it broke in the middle of a sentence."
    return Step(text=text, failures=(Step(text=text, cut_after_events=6),))


def _long(prompt: Prompt) -> Step:
    lines = [f"Line {n} of {_LONG_LINES} says nothing new.\n" for n in range(1, _LONG_LINES + 1)]
    return Step(reasoning="A long answer needs a short thought.", text="".join(lines))


def _call_one(prompt: Prompt) -> Step:
    outputs = _turn_outputs(prompt)
    if outputs:
        return Step(text=_quoted(outputs))
    calls = _calls_of_given_tools(prompt, count=1)
    return Step(calls=calls) if calls else _no_tool()


def _call_two(prompt: Prompt) -> Step:
    outputs = _turn_outputs(prompt)
    if outputs:
        return Step(text=_quoted(outputs))
    calls = _calls_of_given_tools(prompt, count=1 if prompt.parallel_tool_calls is False else 2)
    if not calls:
        return _no_tool()
    return Step(reasoning="These calls do not need each other, so I make them at once.", calls=calls)


def _no_tool() -> Step:
    return Step(text="This script calls a tool, but the request gives none to call.")


def _quoted(outputs: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{name} says: {output.strip() or 'nothing'}" for name, output in outputs)


def _given_tools(prompt: Prompt) -> list[_CallableSpec]:
    if prompt.tool_choice == "none":
        return []
    tools = [spec for spec in prompt.tools if not isinstance(spec, HostedToolSpec)]
    if isinstance(prompt.tool_choice, NamedTool):
        tools = [spec for spec in tools if spec.name == prompt.tool_choice.name]
    return tools


def _calls_of_given_tools(prompt: Prompt, *, count: int) -> tuple[Call, ...]:
    tools = _given_tools(prompt)
    text = last_user_text(prompt)
    calls: list[Call] = []
    for n in range(count if tools else 0):
        spec = tools[min(n, len(tools) - 1)]
        if isinstance(spec, CustomToolSpec):
            calls.append(Call(spec.name, text or "text"))
        else:
            variant = sum(call.name == spec.name for call in calls)
            calls.append(Call(spec.name, fitting_arguments(spec.parameters, text, variant=variant)))
    return tuple(calls)


def _turn_outputs(prompt: Prompt) -> list[tuple[str, str]]:
    """(tool name, output text) of the calls answered in this turn, in the order of the outputs."""
    items = turn_items(prompt)
    names = {item.call_id: item.name for item in items if isinstance(item, (FunctionCall, CustomToolCall))}
    return [
        (names.get(item.call_id, "the tool"), output_text_of(item))
        for item in items
        if isinstance(item, (FunctionCallOutput, CustomToolCallOutput))
    ]


_TOOL_NAMES: Mapping[str, tuple[str, ...]] = {
    "shell": ("shell", "bash", "exec_command", "shell_command", "run_command"),
    "read": ("read_file", "read", "view_file", "cat"),
    "patch": ("apply_patch", "patch"),
}
_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "shell": ("command", "cmd", "script"),
    "read": ("path", "file_path", "filename", "file"),
    "patch": ("input", "patch", "diff"),
}
_FAILED_TEST = re.compile(r"^(?:FAIL|ERROR): (\w+)", re.MULTILINE)
_TESTS_RUN = re.compile(r"^Ran (\d+) tests? in", re.MULTILINE)
_VERDICT = re.compile(r"^(?:OK|FAILED|NO TESTS RAN)\b.*$", re.MULTILINE)


def _fix_tests(prompt: Prompt) -> Step:
    """Every step looks at what the tools really said; where that is not what the plan needs, the report says so."""
    missing = [names[0] for names in _TOOL_NAMES.values() if _tool(prompt, names) is None]
    if missing:
        return Step(text=f"I cannot repair anything: this run gives me no {' and no '.join(missing)} tool.")
    outputs = [text for _, text in _turn_outputs(prompt)]
    match len(outputs):
        case 0:
            return Step(
                reasoning="The task is a failing test suite. Before I change anything I want to see it fail.",
                text="I'll run the tests first.",
                calls=(_call(prompt, "shell", _test_command()),),
            )
        case 1:
            return _look(prompt, outputs[0])
        case 2:
            return _repair(prompt, outputs[1])
        case 3:
            return Step(
                text="The patch is made. I'll run the tests again to see whether it helped.",
                calls=(_call(prompt, "shell", _test_command()),),
            )
        case _:
            return _report(outputs)


def _look(prompt: Prompt, run: str) -> Step:
    failed = _FAILED_TEST.findall(run)
    if _passed(run):
        return Step(text=f"All {_count(run)} tests pass already; I changed nothing.")
    if not failed:
        return Step(text=f"I could not run the tests, so I changed nothing. The shell said: {_gist(run)}")
    names = ", ".join(f"`{name}`" for name in failed)
    return Step(
        reasoning="The others pass, so the code is nearly right: a small slip, near what this test is named for.",
        text=f"{len(failed)} of {_count(run)} tests fail: {names}. Let me read `{MODULE}`.",
        calls=(_call(prompt, "read", MODULE),),
    )


def _repair(prompt: Prompt, source: str) -> Step:
    if BUGGY_LINE.strip() not in source:
        return Step(text=f"I do not find the cause in `{MODULE}`, so I changed nothing. It says: {_gist(source)}")
    return Step(
        reasoning="The docstring promises the lower price for ten or more, but the comparison is `>`, so ten itself "
        "pays in full. `>=` is what was meant.",
        text="Found it: ten or more should be cheaper, but `>` leaves ten itself out. I'll make it `>=`.",
        calls=(_call(prompt, "patch", PATCH),),
    )


def _report(outputs: Sequence[str]) -> Step:
    patch, run = outputs[2], outputs[-1]
    if _passed(run):
        return Step(
            text=f"All {_count(run)} tests pass now. The bulk price began above ten pieces instead of at ten; "
            f"I changed one comparison in `{MODULE}`, from `>` to `>=`, and nothing else."
        )
    return Step(
        text=f"The tests still do not pass: {_gist(run, last=True)}. The patch tool had said: {_gist(patch)}. "
        "Please look at it yourself."
    )


def _test_command() -> list[str]:
    # -B: no __pycache__, so a patched file of the same second and size can never run from stale bytecode.
    return [sys.executable or "python3", "-B", "-m", "unittest", "-q"]


def _tool(prompt: Prompt, names: Sequence[str]) -> _CallableSpec | None:
    given = {spec.name: spec for spec in _given_tools(prompt)}
    return next((given[name] for name in names if name in given), None)


def _call(prompt: Prompt, job: str, value: str | list[str]) -> Call:
    """A call of the tool that does `job`, in the shape its schema asks for."""
    spec = _tool(prompt, _TOOL_NAMES[job])
    line = value if isinstance(value, str) else shlex.join(value)
    if spec is None or isinstance(spec, CustomToolSpec):
        return Call(_TOOL_NAMES[job][0] if spec is None else spec.name, line)
    properties = json_object(spec.parameters.get("properties")) or {}
    known = [name for name in _MEMBERS[job] if name in properties]
    required = [name for name in json_list(spec.parameters.get("required")) if isinstance(name, str)]
    member = next(iter([*known, *required]), _MEMBERS[job][0])
    shape = json_object(properties.get(member)) or {}
    words: list[JsonValue] = [line] if isinstance(value, str) else [*value]
    arguments: dict[str, JsonValue] = {member: words if json_str(shape.get("type")) == "array" else line}
    return Call(spec.name, arguments)


def _passed(run: str) -> bool:
    verdicts = [verdict.group() for verdict in _VERDICT.finditer(run)]
    return bool(verdicts) and verdicts[-1].startswith("OK") and _count(run) != "0"


def _count(run: str) -> str:
    found = _TESTS_RUN.findall(run)
    return found[-1] if found else "0"


def _gist(text: str, *, last: bool = False) -> str:
    """One line of an output, short enough for a sentence."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1 if last else 0] if lines else "nothing")[:200]


SCRIPTS: Mapping[str, Script] = {
    "hello": _hello,
    "echo": _echo,
    "think": _think,
    "weather": _call_one,
    "add": _call_one,
    "parallel": _call_two,
    "fix-tests": _fix_tests,
    "flaky": _flaky,
    "cut": _cut,
    "long": _long,
}
