"""Tools that the gateway runs, over a scripted backend: what the client is told, what the backend is sent."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
import pytest

from agent_core.aggregation import fold
from agent_core.errors import ServerError, ToolError
from agent_core.events import (
    Completed,
    Created,
    FinishReason,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    Response,
    ToolCallInputDelta,
    Usage,
)
from agent_core.gateway.asking import Answer, Ask, Caller
from agent_core.gateway.cache import Cache
from agent_core.gateway.server_tools import LIMITS, ServerTools
from agent_core.gateway.server_tools_kept import KeptTurns
from agent_core.gateway.stores import MemoryStore, StoreDown
from agent_core.items import (
    FunctionCallOutput,
    ResponseItem,
    UnknownItem,
    assistant_message,
    user_message,
)
from agent_core.limits import Limits
from agent_core.logs import fields_of
from agent_core.prompt import NamedTool, Prompt, ToolChoice, ToolSpec
from agent_core.testing.model import ScriptedEvent
from agent_core.tool_policy import ToolPolicy, ToolRule
from agent_core.tools.base import ToolCall, ToolOutput

from ..unit.stage import Probe, call, calls, says
from .backing import Broken
from .rounds import Backend, told

pytestmark = pytest.mark.anyio

THEIRS = ToolSpec("theirs")
GO = user_message("go")


def ask(*, tools: Sequence[ToolSpec] = (), choice: ToolChoice = "auto", items: Sequence[ResponseItem] = (GO,)) -> Ask:
    return Ask(Prompt(items, tools=tools, tool_choice=choice, model="m"), "chat", caller=Caller("key-1"))


def outputs(prompt: Prompt) -> list[tuple[str, str]]:
    """What tools have answered, as the backend is sent it."""
    return [(item.call_id, str(item.output)) for item in prompt.items if isinstance(item, FunctionCallOutput)]


def probes() -> list[Probe]:
    return [
        Probe("echo"),
        Probe("upper", lambda call: ToolOutput(call.arguments.upper()), parallel=True),
        Probe("fails", lambda call: ToolError("always fails")),
        Probe("stuck", blocks=True, timeout_s=0.01),
        Probe("asks", asks=True),
        Probe("rm_rf"),
        Probe("passed"),
    ]


POLICY = ToolPolicy([ToolRule("rm_*", "deny"), ToolRule("passed", "hand_back")])


@dataclass(frozen=True)
class Row:
    """`answers` of the backend; then: the text the client is told, the calls it is given, why it ends, how often the
    backend is asked, the outputs it has been sent in the end, and whether it may call then."""

    answers: Sequence[Response]
    text: str = "done"
    given: Sequence[str] = ()
    finish: FinishReason = "stop"
    requests: int = 2
    outputs: Sequence[tuple[str, str]] = ()
    tools: Sequence[ToolSpec] = ()
    limits: Limits = field(default=LIMITS)
    last: ToolChoice = "auto"


DONE = says("done")
TWENTY = [call(f"c{n}", "fails" if n == 3 else "upper", f'"{n}"') for n in range(20)]
RAN = [(f"c{n}", "always fails" if n == 3 else f'"{n}"') for n in range(16)]
OVER = [(f"c{n}", "not run: more than 16 calls in one response") for n in range(16, 20)]
SAME = calls(call("a", "echo"))

ROWS: dict[str, Row] = {
    "no call": Row([DONE], requests=1),
    "S0-61 one call, unseen": Row([calls(call("a", "echo")), DONE], outputs=[("a", "did {}")]),
    "S0-66 X-S0-19 text before it": Row(
        [calls(assistant_message("Let me check. "), call("a", "echo")), DONE],
        text="Let me check. done",
        outputs=[("a", "did {}")],
    ),
    "X-S0-13 more calls than the cap": Row([calls(*TWENTY), DONE], outputs=[*RAN, *OVER]),
    "S0-54 denied": Row(
        [calls(call("a", "rm_rf")), DONE], outputs=[("a", "denied: the policy of this run denies the tool 'rm_rf'")]
    ),
    "what has to be asked about": Row(
        [calls(call("a", "asks")), DONE], outputs=[("a", "denied: this run does not allow actions that need approval")]
    ),
    "a tool that fails": Row([calls(call("a", "fails")), DONE], outputs=[("a", "always fails")]),
    "S0-55 a tool that takes too long": Row(
        [calls(call("a", "stuck")), DONE], outputs=[("a", "timed out after 0.01 s")]
    ),
    "arguments cut off": Row(
        [calls(call("a", "echo", '{"x', "incomplete")), DONE],
        outputs=[("a", "not run: the call was cut off before its arguments were complete; send it again")],
    ),
    "the client's own call": Row(
        [calls(call("t", "theirs"))], text="", given=["t"], finish="tool_calls", requests=1, tools=[THEIRS]
    ),
    "S0-60 X-S0-15 both": Row(
        [calls(call("a", "echo"), call("t", "theirs"))],
        text="",
        given=["t"],
        finish="tool_calls",
        requests=1,
        tools=[THEIRS],
    ),
    "the client's own call, in a second answer": Row(
        [calls(call("a", "echo")), calls(call("t", "theirs"))],
        text="",
        given=["t"],
        finish="tool_calls",
        outputs=[("a", "did {}")],
        tools=[THEIRS],
    ),
    "a tool that is passed to the client": Row(
        [calls(call("p", "passed"))], text="", given=["p"], finish="tool_calls", requests=1
    ),
    "S0-53 a tool nobody has is the client's affair": Row(
        [calls(call("u", "unknown"))], text="", given=["u"], finish="tool_calls", requests=1, tools=[THEIRS]
    ),
    "a name in a namespace of the client's": Row(
        [calls(call("n", "echo").model_copy(update={"namespace": "mine"}))],
        text="",
        given=["n"],
        finish="tool_calls",
        requests=1,
        tools=[THEIRS],
    ),
    "a name the client uses too": Row(
        [calls(call("e", "echo"))], text="", given=["e"], finish="tool_calls", requests=1, tools=[ToolSpec("echo")]
    ),
    "X-S0-17 the same call again and again": Row(
        [SAME, SAME, SAME, SAME, DONE],
        requests=5,
        outputs=[
            ("a", "did {}"),
            ("a", "did {}"),
            ("a", "did {}\n[the same calls with the same results as before: 2 in a row; one more ends the run]"),
            ("a", "did {}"),
        ],
        last="none",
    ),
    "X-S0-17 all fail: told once, then no more": Row(
        [calls(call("a", "fails")), calls(call("b", "fails")), DONE],
        requests=3,
        outputs=[
            ("a", "always fails\n[not one call succeeded: 1 in a row; one more such response ends the run]"),
            ("b", "always fails"),
        ],
        limits=Limits(max_failed=1),
        last="none",
    ),
    "S0-58 the limit: an answer without calls": Row(
        [calls(call("a", "echo")), DONE], outputs=[("a", "did {}")], limits=Limits(max_turns=1), last="none"
    ),
    "S0-61 a backend that calls all the same": Row(
        [calls(call("a", "echo")), calls(assistant_message("half"), call("b", "echo"))],
        text="half",
        finish="length",
        outputs=[("a", "did {}")],
        limits=Limits(max_turns=1),
        last="none",
    ),
    "the cap that cut all calls": Row(
        [Response(items=(call("a", "echo", '{"x', "incomplete"),), finish_reason="length", status="incomplete")],
        text="",
        finish="length",
        requests=1,
    ),
}


@pytest.mark.parametrize("name", ROWS)
async def test_what_the_client_is_told(name: str) -> None:
    """One answer by the grammar; the calls that are run here are nowhere in it; one output for each of them."""
    row = ROWS[name]
    backend = Backend(*row.answers)
    service = ServerTools(probes(), policy=POLICY, limits=row.limits)
    seen = await told(service.around(backend), ask(tools=row.tools))
    answer = fold(seen.events)
    assert (answer.text, [item.call_id for item in answer.tool_calls]) == (row.text, list(row.given))
    assert (answer.finish_reason, len(backend.prompts)) == (row.finish, row.requests)
    assert (outputs(backend.prompts[-1]), backend.prompts[-1].tool_choice) == (list(row.outputs), row.last)
    shown = [event for event in seen.events if isinstance(event, ToolCallInputDelta | OutputItemAdded)]
    assert not [event for event in shown if "echo" in str(event) and not row.tools]
    assert backend.left == row.requests


async def test_what_the_model_is_offered() -> None:
    """The client's tools first; what is denied is not among them; nothing for who wants no calls."""
    backend = Backend(DONE, DONE, DONE)
    answerer = ServerTools(probes(), policy=POLICY, models=["m"]).around(backend)
    await told(answerer, ask(tools=[THEIRS]))
    await told(answerer, ask(tools=[THEIRS], choice="none"))
    await told(answerer, replace(ask(), prompt=Prompt("go", model="other")))
    offered = [[getattr(spec, "name", "") for spec in prompt.tools] for prompt in backend.prompts]
    assert offered == [["theirs", "echo", "upper", "fails", "stuck", "asks", "passed"], ["theirs"], []]


async def test_a_client_that_gives_its_tools_as_items() -> None:
    """Codex: a call of theirs is no name the model made up."""
    backend = Backend(calls(call("x", "exec")))
    given = UnknownItem(raw={"type": "additional_tools", "tools": [{"type": "function", "name": "exec"}]})
    seen = await told(ServerTools(probes()).around(backend), ask(items=(given, GO)))
    assert [item.call_id for item in fold(seen.events).tool_calls] == ["x"]


async def test_only_the_first_answer_is_forced() -> None:
    """What forces a call once would force one for ever; the last one may not call at all."""
    backend = Backend(calls(call("a", "echo")), calls(call("b", "upper")), DONE)
    answerer = ServerTools(probes(), limits=Limits(max_turns=2)).around(backend)
    await told(answerer, ask(tools=[THEIRS], choice=NamedTool("theirs")))
    assert [prompt.tool_choice for prompt in backend.prompts] == [NamedTool("theirs"), "auto", "none"]


async def test_several_answers_are_one() -> None:
    """X-S0-12 X-S0-18: one Created, one id, items numbered on, usage of all, by whoever answered first."""
    answers = [
        Response(
            "r1", "m1", (assistant_message("one"), call("a", "echo")), "tool_calls", usage=Usage(input=10, output=1)
        ),
        Response("r2", "m2", (call("b", "echo"), assistant_message("two")), "tool_calls", usage=Usage(10, output=1)),
        Response("r3", "m3", (assistant_message("three"),), "stop", usage=Usage(input=10, output=1)),
    ]
    backend = Backend(*answers)
    seen = await told(ServerTools(probes()).around(backend), ask())
    assert [event for event in seen.events if isinstance(event, Created)] == [Created("r1", "m1")]
    deltas = [(event.index, event.delta) for event in seen.events if isinstance(event, OutputTextDelta)]
    assert deltas == [(0, "one"), (1, "two"), (2, "three")]
    end = seen.events[-1]
    assert isinstance(end, Completed)
    assert (end.response_id, end.model, end.finish_reason, end.usage) == ("r1", "m3", "stop", Usage(30, output=3))
    assert end.usage is not None and end.usage.context == 11
    assert [asked.prefer for asked in backend.asks] == ["", "here", "here"]
    assert backend.prompts[2].items == (GO, *answers[0].items, *made("a"), *answers[1].items, *made("b"))


def made(*call_ids: str) -> list[FunctionCallOutput]:
    return [FunctionCallOutput(call_id=call_id, output="did {}", success=True) for call_id in call_ids]


MIXED = calls(assistant_message("Let me check. "), call("a", "echo"), call("t", "theirs", '{"n": 1}'))
ANSWERED = FunctionCallOutput(call_id="t", output="client did")


async def follow_up(service: ServerTools, *back: ResponseItem, caller: str = "key-1", said: str = "go") -> Prompt:
    """A mixed turn; then the client answers its call with this after its own message. What the backend is sent."""
    backend = Backend(MIXED, DONE)
    answerer = service.around(backend)
    await told(answerer, ask(tools=[THEIRS]))
    second = ask(tools=[THEIRS], items=(user_message(said), *back, ANSWERED))
    await told(answerer, replace(second, caller=Caller(caller)))
    return backend.prompts[-1]


BACK: dict[str, Sequence[ResponseItem]] = {
    "as it was": [assistant_message("Let me check. "), call("t", "theirs", '{"n": 1}')],
    "arguments written in another way": [assistant_message("Let me check."), call("t", "theirs", '{"n":1}')],
    "without the text": [call("t", "theirs", '{"n": 1}')],
}


@pytest.mark.parametrize("name", BACK)
async def test_the_clients_follow_up_finds_the_whole_turn(name: str) -> None:
    """X-S0-15: the call that was run here and its output are where they were; no call is without an output."""
    prompt = await follow_up(ServerTools(probes()), *BACK[name])
    assert prompt.items == (GO, *MIXED.items, *made("a"), ANSWERED)


ASKED = calls(call("t", "theirs"))
WHOLE: dict[str, tuple[Sequence[Response], Limits, Sequence[ResponseItem]]] = {
    "both calls at once": (
        [calls(call("a", "echo"), *ASKED.items)],
        LIMITS,
        [call("a", "echo"), *ASKED.items, *made("a")],
    ),
    "the client's in a second answer": (
        [calls(call("a", "echo")), ASKED],
        LIMITS,
        [call("a", "echo"), *made("a"), *ASKED.items],
    ),
    "a call too many beside it": (
        [calls(call("a", "echo")), calls(call("b", "echo"), *ASKED.items)],
        Limits(max_turns=1),
        [call("a", "echo"), *made("a"), *ASKED.items],
    ),
}


@pytest.mark.parametrize("name", WHOLE)
async def test_the_whole_turn_is_what_was_run(name: str) -> None:
    """Whatever is put back has an output for each call."""
    answers, limits, whole = WHOLE[name]
    backend = Backend(*answers, DONE)
    answerer = ServerTools(probes(), limits=limits).around(backend)
    await told(answerer, ask(tools=[THEIRS]))
    await told(answerer, ask(tools=[THEIRS], items=(GO, *ASKED.items, ANSWERED)))
    assert backend.prompts[-1].items == (GO, *whole, ANSWERED)


async def test_what_was_asked_for_last_is_kept_longest() -> None:
    """Of turns that do not all fit; a clock that runs on does not matter to one that is in use."""
    now = [0.0]
    kept = KeptTurns(MemoryStore(max_entries=2, clock=lambda: now[0]), kept_s=10.0)
    histories = {n: (user_message(n), call("t", "theirs")) for n in "abc"}
    for n in "ab":
        await kept.keep("key-1", histories[n][:1], [call("t", "theirs")], [call(n)])
    now[0] = 9.0
    assert await kept.put_back("key-1", histories["a"]) == (histories["a"][0], call("a"))
    await kept.keep("key-1", histories["c"][:1], [call("t", "theirs")], [call("c")])
    now[0] = 18.0
    found = [(await kept.put_back("key-1", histories[n]))[1:] for n in "abc"]
    assert found == [(call("a"),), histories["b"][1:], (call("c"),)]


CHANGED: dict[str, tuple[Sequence[ResponseItem], str, str]] = {
    "by another caller": (BACK["as it was"], "key-2", "go"),
    "after another question": (BACK["as it was"], "key-1", "stop"),
    "with other words": ([assistant_message("I did."), call("t", "theirs", '{"n": 1}')], "key-1", "go"),
    "with other arguments": ([call("t", "theirs", '{"n": 2}')], "key-1", "go"),
}


@pytest.mark.parametrize("name", CHANGED)
async def test_what_is_not_that_turn_stays_as_it_is(name: str) -> None:
    """One tenant never gets what tools said to another, and a client is taken at its word."""
    back, caller, said = CHANGED[name]
    prompt = await follow_up(ServerTools(probes()), *back, caller=caller, said=said)
    assert prompt.items == (user_message(said), *back, ANSWERED)


UNKEPT = {
    "too large": KeptTurns(max_bytes=10),
    "no time": KeptTurns(kept_s=0.0),
    "a store that is down": KeptTurns(Broken(StoreDown())),
}


@pytest.mark.parametrize("name", UNKEPT)
async def test_what_is_not_kept_is_left_out(name: str) -> None:
    """The history is then what the client says it is."""
    kept = UNKEPT[name]
    prompt = await follow_up(ServerTools(probes(), kept=kept), *BACK["as it was"])
    assert prompt.items == (GO, *BACK["as it was"], ANSWERED)


async def test_a_backend_that_fails_after_tools_ran() -> None:
    """X-S0-16: its error is the client's, and nothing that was run is left for it to run."""
    backend = Backend(calls(assistant_message("one"), call("a", "echo")), ServerError("down", status=503))
    seen = await told(ServerTools(probes()).around(backend), ask())
    assert seen.error is not None and seen.error.status == 503
    assert not any(isinstance(event, Completed | ToolCallInputDelta) for event in seen.events)


async def test_a_backend_that_does_not_begin() -> None:
    """It is an error before an answer, so another way may be tried."""
    with pytest.raises(ServerError, match="down"):
        await told(ServerTools(probes()).around(Backend(ServerError("down", status=503))), ask())


async def test_no_tool_of_a_broken_answer_is_run() -> None:
    """S0-73: the call was whole, the answer was not."""
    echo = Probe("echo")
    broken: list[ScriptedEvent] = [
        Created("r"),
        OutputItemAdded(0, call("a", "echo", "", "in_progress")),
        ToolCallInputDelta(0, "a", "{}"),
        ServerError("broken", status=502),
    ]
    seen = await told(ServerTools([echo]).around(Backend(broken)), ask())
    assert (seen.events, echo.runs) == ([Created("r")], [])
    assert seen.error is not None and seen.error.status == 502


@pytest.mark.parametrize("where", ["tool", "backend"])
async def test_the_deadline_holds_at_every_await(where: str) -> None:
    """S0-62: while a tool works, while the backend is silent; it is an error, not an end."""
    backend = Backend(SAME) if where == "tool" else Backend([Created("r"), anyio.Event()])
    service = ServerTools([Probe("echo", blocks=True)], limits=Limits(deadline_s=0.02))
    seen = await told(service.around(backend), ask())
    assert seen.error is not None and seen.error.status == 504
    assert backend.left == 1


class Silent(Backend):
    """A backend that never begins."""

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        await anyio.sleep_forever()
        async with super().answer(ask) as answer:
            yield answer


async def test_the_deadline_holds_before_the_answer_begins() -> None:
    """Then it is an error before an answer."""
    service = ServerTools([Probe("echo")], limits=Limits(deadline_s=0.02))
    with pytest.raises(ServerError, match="not whole after"):
        await told(service.around(Silent()), ask())


@pytest.mark.parametrize("tools", [1, 2])
async def test_a_client_that_leaves(tools: int) -> None:
    """S0-74 X-S0-24: what runs is cancelled, what does not is not started, and the backend is not asked again."""
    running, ended, after = anyio.Event(), anyio.Event(), Probe("after")

    class Endless(Probe):
        async def run(self, call: ToolCall, context: object) -> ToolOutput:
            running.set()
            try:
                await anyio.sleep_forever()
            finally:
                ended.set()
            raise AssertionError

    backend = Backend(calls(call("a", "endless"), *[call(f"b{n}", "after") for n in range(tools - 1)]))
    service = ServerTools([Endless("endless"), after])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(told, service.around(backend), ask())
        await running.wait()
        tasks.cancel_scope.cancel()
    assert (ended.is_set(), after.runs, len(backend.prompts), backend.left) == (True, [], 1, 1)


async def test_a_client_that_reads_no_further() -> None:
    """Leaving the block is enough: the backend's answer is left at once."""
    never = anyio.Event()
    backend = Backend([Created("r"), never])
    async with ServerTools(probes()).around(backend).answer(ask()) as answer:
        assert await anext(answer.events) == Created("r")
    assert backend.left == 1


async def test_text_is_told_as_it_comes() -> None:
    """S0-65: held back are the calls, not what is said before and between them."""
    go_on = anyio.Event()
    events: list[ScriptedEvent] = [
        Created("r"),
        OutputItemAdded(0, assistant_message("")),
        OutputTextDelta(0, "hel"),
        go_on,
        OutputTextDelta(0, "lo"),
        OutputItemDone(0, assistant_message("hello")),
        Completed("r"),
    ]
    async with ServerTools(probes()).around(Backend(events)).answer(ask()) as answer:
        seen = [await anext(answer.events) for _ in range(3)]
        assert seen[-1] == OutputTextDelta(0, "hel")
        go_on.set()
        assert await anext(answer.events) == OutputTextDelta(0, "lo")


async def test_what_a_log_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Each call; nothing that was said, and a name that was made up is quoted."""
    caplog.set_level(logging.INFO, "agent_core.gateway")
    backend = Backend(calls(call("a", "echo", '"secret"'), call("b", "made\nup")), DONE)
    await told(ServerTools([Probe("echo")]).around(backend), ask())
    facts = [{key: record.__dict__[key] for key in fields_of[record.__dict__["event"]]} for record in caplog.records]
    assert [(fact["tool"], fact["outcome"], fact["caller"]) for fact in facts] == [
        ("echo", "ok", "key-1"),
        ("made\\nup", "failed", "key-1"),
    ]
    assert "secret" not in str([record.__dict__ for record in caplog.records])


@pytest.mark.parametrize(("first", "requests"), [(DONE, 1), (SAME, 4)], ids=["no call", "a call"])
async def test_what_tools_said_is_not_cached(first: Response, requests: int) -> None:
    """It may be something else the next time; an answer without their calls is kept as ever."""

    class Billing(Backend):
        @asynccontextmanager
        async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
            async with super().answer(ask) as answer:
                yield answer
            ask.bill.add("scripted/m", Usage(input=10, output=1))

    backend = Billing(first, DONE, first, DONE)
    async with Cache() as cache:
        answerer = cache.around(ServerTools(probes()).around(backend))
        for _ in range(2):
            assert fold((await told(answerer, ask())).events).text == "done"
    assert len(backend.prompts) == requests
