"""Codex's turn suite (codex.md 8; core/tests/suite there), on a socket, on every wire: each row has its file's name.

Elsewhere: stream_no_completed, stream_error_allows_next_turn and quota_exceeded in test_scenarios; compact, and what is
said while a summary is written (pending_input), in tests/unit/test_compaction_runs, test_compact_session and
test_compact_endpoint; fork_thread in memory in tests/unit/test_session; otel in tests/unit/telemetry; responses headers
in tests/unit/test_client_requests; outputs of MCP servers in tests/unit/tools/mcp.

No rows, for there is no such part here:
- turn_state: a header of one vendor's private backend, which pins a turn to a machine.
- client_websockets, websocket_fallback: every wire is spoken over HTTP.
- models_etag: no list of models is fetched, so there is none to refresh.
- request_compression: the same private backend's; public APIs do not promise to read compressed bodies.
- safety_check_downgrade: a header of that backend too. Which model answered is in every `Response.model`.
- abort_tasks' turn_aborted marker, resume's instruction for a new model: no message is put into anybody's mouth. What
  was aborted is said where it was asked for, in the call's output, and instructions are the agent's, not the history's.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import anyio
import anyio.to_thread
import httpx2
import msgspec
import pytest

from agent_core import Agent, SamplingSettings, Session, Tool, ToolOutput, tool
from agent_core.codecs import CODECS, WIRES
from agent_core.events import Completed, OutputTextDelta, ReasoningContentDelta, ReasoningSummaryDelta, Response
from agent_core.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    InputText,
    JsonObject,
    Message,
    WireName,
    output_text_of,
    text_of,
)
from agent_core.prompt import Prompt
from agent_core.session import OutputBudget
from agent_core.testing import Call, RecordedRequest, RehearsalServer, Script, Step
from agent_core.tools import ApplyPatch, UpdatePlan
from agent_core.turn_events import ToolFinished, ToolStarted, TurnEvent

from ..loopback import END, chunk, exchange, serve, sse_head
from .held import streamed, whole

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("wire", WIRES)]

FINE = Step(text="fine")
PNG = "data:image/png;base64,iVBORw0KGgo="
CONVERSATION = {"chat": "messages", "responses": "input", "messages": "messages"}


@asynccontextmanager
async def asked(
    script: Script, wire: WireName, *tools: Tool, **options: object
) -> AsyncGenerator[tuple[Agent, RehearsalServer]]:
    """An agent with these tools, and the strict server it asks."""
    async with RehearsalServer(script, pace_s=0) as server:
        with anyio.fail_after(20):
            yield agent_of(server, wire, *tools, **options), server


def agent_of(server: RehearsalServer, wire: WireName, *tools: Tool, **options: object) -> Agent:
    given = {"provider": server.provider, "wire": wire, "tools": tools, "approvals": "allow", **options}
    return Agent(server.model, **given)  # type: ignore[arg-type]  # rows of options


def history(request: RecordedRequest) -> list[str]:
    """The kinds of items a request has, and what was said or given in them."""
    assert request.prompt is not None
    return [shown(item) for item in request.prompt.items]


def shown(item: object) -> str:
    match item:
        case Message():
            return f"{item.role}: {text_of(item)}"
        case FunctionCall() | CustomToolCall():
            return f"call {item.name}"
        case FunctionCallOutput() | CustomToolCallOutput():
            return f"output {output_text_of(item).removeprefix('Error: ')}"  # how two wires say that it failed
        case _:
            return type(item).__name__.lower()


async def watched(agent: Agent, text: str) -> list[TurnEvent]:
    async with agent.stream(text) as turn:
        return [event async for event in turn]


# tool_parallelism


class Meeting:
    """Tools that each wait for another: together they end, one after the other never."""

    def __init__(self) -> None:
        barrier = threading.Barrier(2)

        @tool(read_only=True, parallel=True)
        async def quiet() -> str:
            """Wait for another."""
            await anyio.to_thread.run_sync(partial(barrier.wait, 10))
            return "met"

        @tool(read_only=True, parallel=True)
        def threaded() -> str:
            """Wait for another, in a thread."""
            barrier.wait(10)
            return "met in a thread"

        @tool
        def alone() -> str:
            """Run by itself."""
            return "alone"

        self.tools: tuple[Tool, ...] = (quiet, threaded, alone)


MEETINGS = {
    "two of a kind": ("quiet", "quiet"),
    "mixed kinds": ("quiet", "threaded"),
    "in threads": ("threaded", "threaded"),
}


@pytest.mark.parametrize("name", MEETINGS)
async def test_tool_parallelism_safe_tools_overlap(name: str, wire: WireName) -> None:
    """T-C21: two that wait for each other both end, in the event loop or in threads; their outputs follow all calls."""
    first, second = MEETINGS[name]
    script = [Step(calls=(Call(first), Call(second), Call("alone"))), FINE]

    async with asked(script, wire, *Meeting().tools) as (agent, server):
        assert await agent.ask("go") == "fine"
    met = {"quiet": "output met", "threaded": "output met in a thread"}
    calls = [f"call {first}", f"call {second}", "call alone"]
    assert history(server.requests[1]) == ["user: go", *calls, met[first], met[second], "output alone"]


async def test_tool_parallelism_other_tools_run_alone(wire: WireName) -> None:
    """T-C22, T-C23: one that may not overlap runs neither beside another of its kind nor beside a safe one."""
    running, most = 0, 0

    async def overlapping() -> str:
        """Count who runs at the same time."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.wait_all_tasks_blocked()
        running -= 1
        return "done"

    unsafe = tool(name="unsafe", parallel=False)(overlapping)
    safe = tool(name="safe", read_only=True, parallel=True)(overlapping)
    calls = tuple(map(Call, ("unsafe", "unsafe", "safe", "unsafe")))
    async with asked([Step(calls=calls), FINE], wire, unsafe, safe) as (agent, _):
        assert await agent.ask("go") == "fine"
    assert most == 1


async def test_tool_parallelism_results_are_grouped_whoever_ends_first(wire: WireName) -> None:
    """The first call waits until the second has ended: outputs are in the order of the calls all the same."""
    ended = anyio.Event()

    @tool(read_only=True, parallel=True)
    async def patient() -> str:
        """Wait for the other."""
        await ended.wait()
        return "second"

    @tool(read_only=True, parallel=True)
    async def quick() -> str:
        """End."""
        ended.set()
        return "first"

    async with asked([Step(calls=(Call("patient"), Call("quick"))), FINE], wire, patient, quick) as (agent, server):
        assert await agent.ask("go") == "fine"
    assert history(server.requests[1]) == ["user: go", "call patient", "call quick", "output second", "output first"]


async def test_tool_parallelism_tools_start_before_the_response_is_completed(wire: WireName) -> None:
    """The stream does not go on until the tool has started; but on Chat no call is known to be whole before the answer
    is, for deltas of all calls may be mixed."""
    started = anyio.Event()

    @tool(read_only=True, parallel=True)
    async def look() -> str:
        """Look."""
        started.set()
        return "seen"

    step = Step(calls=(Call("look"),))
    body = streamed(wire, step)
    cut = 0 if wire == "chat" else len(streamed(wire, step, ends=False))
    waits = exchange(chunk(body[:cut]), started) if cut else ()
    slow = exchange(sse_head(), *waits, chunk(body[cut:]), END)
    async with serve(slow, whole(wire, "fine")) as server:
        with anyio.fail_after(20):
            events = await watched(Agent("lab/any", base_url=server.url, wire=wire, tools=[look]), "go")
    first = next(event for event in events if isinstance(event, ToolStarted | Completed))
    assert isinstance(first, ToolStarted) == (wire != "chat")
    assert [event.output.content for event in events if isinstance(event, ToolFinished)] == ["seen"]


# abort_tasks


async def test_abort_tasks_a_long_tool_is_interrupted(wire: WireName) -> None:
    """The turn ends as cancelled; the next request has the call, an output that says so, and what the user says."""

    @tool
    async def long() -> str:
        """Take long."""
        await anyio.sleep_forever()
        return "never"

    async with asked([Step(calls=(Call("long"),)), FINE], wire, long) as (agent, server):
        async with agent.stream("go") as turn:
            async for event in turn:
                if isinstance(event, ToolStarted):
                    turn.cancel()
        assert turn.result.stop_reason == "cancelled"
        assert await agent.ask("next") == "fine"
    said, call, output, then = history(server.requests[1])
    assert (said, call, then) == ("user: go", "call long", "user: next")
    assert output.startswith("output aborted by the user after 0.")


# pending_input


@pytest.mark.parametrize("when", ["text", "reasoning"])
async def test_pending_input_is_in_the_second_request_of_the_turn(when: str, wire: WireName) -> None:
    """What the user says meanwhile cuts nothing short, not after a reasoning item either; the same turn goes on."""
    kinds = OutputTextDelta if when == "text" else ReasoningContentDelta | ReasoningSummaryDelta
    body = streamed(wire, Step(reasoning="one two", text="three four"))
    cut, said = body.index(b"four" if when == "text" else b"three"), anyio.Event()
    first = exchange(sse_head(), chunk(body[:cut]), said, chunk(body[cut:]), END)
    async with serve(first, whole(wire, "fine")) as server:
        with anyio.fail_after(20):
            async with Agent("lab/any", base_url=server.url, wire=wire).stream("go") as turn:
                async for event in turn:
                    if isinstance(event, kinds) and not said.is_set():
                        turn.steer("also this")
                        said.set()
    assert (turn.result.text, turn.result.samples, len(server.requests)) == ("fine", 2, 2)
    items = CODECS[wire].decode_request(server.requests[1].body).prompt.items
    spoken = [shown(item) for item in items if isinstance(item, Message)]
    assert spoken == ["user: go", "assistant: three four", "user: also this"]


# truncation


BOOK = "".join(f"chapter {n}\n" for n in range(5000))


@tool(read_only=True)
def book() -> str:
    """The whole book."""
    return BOOK


@tool(read_only=True)
def illustrated() -> ToolOutput:
    """The book, with a picture."""
    return ToolOutput((InputText(text=BOOK), InputImage(image_url=PNG)))


@pytest.mark.parametrize("limit", [1024, 8192])
async def test_truncation_over_the_limit_there_is_one_marker(limit: int, wire: WireName) -> None:
    """An output is cut once, to the limit that was given, and is the same in every later request."""
    script = [Step(calls=(Call("book"),)), FINE, FINE]
    async with asked(script, wire, book, output_budget=OutputBudget(bytes=limit)) as (agent, server):
        await agent.ask("go")
        await agent.ask("again")
    outputs = [history(request)[2] for request in server.requests[1:]]
    assert outputs[0] == outputs[1] and outputs[0].count("[...") == 1
    assert limit / 2 < len(outputs[0]) - len("output ") <= limit


async def test_truncation_keeps_images(wire: WireName) -> None:
    """The text beside it is cut."""
    script = [Step(calls=(Call("illustrated"),)), FINE]
    async with asked(script, wire, illustrated, output_budget=OutputBudget(bytes=1024)) as (agent, server):
        await agent.ask("go")
    body = str(server.requests[1].body)
    assert body.count(PNG.partition(",")[2]) == 1
    assert (body.count("[..."), len(body) < 8192) == (1, True)


# prompt_caching


class Watching(httpx2.AsyncHTTPTransport):
    """A transport that keeps the bodies it sends."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.bodies.append(request.content)
        return await super().handle_async_request(request)


async def test_prompt_caching_requests_grow_at_their_end(wire: WireName) -> None:
    """Over steps and turns, and where settings change between turns: what was sent is sent again, byte for byte, and
    the key stays the same where the provider has one."""
    watching = Watching()
    script = [Step(text="one", calls=(Call("book"),)), FINE, Step(calls=(Call("book"),)), FINE]
    async with httpx2.AsyncClient(transport=watching) as http, RehearsalServer(script, pace_s=0) as server:
        provider = replace(server.provider, compat={"prompt_cache_key": True})
        agent = agent_of(server, wire, book, http=http, provider=provider)
        await agent.ask("go")
        changed = {"sampling": SamplingSettings(temperature=0.5), "max_output_tokens": 500, "session": agent.session}
        await agent_of(server, wire, book, http=http, provider=provider, **changed).ask("again")
    sent = [msgspec.json.decode(body, type=dict[str, msgspec.Raw]) for body in watching.bodies]
    said = [bytes(members[CONVERSATION[wire]]).removesuffix(b"]") for members in sent]
    assert len(said) == 4 and all(after.startswith(before) for before, after in pairwise(said))
    assert len({bytes(members["tools"]) for members in sent}) == 1
    keys = {bytes(members["prompt_cache_key"]) for members in sent if "prompt_cache_key" in members}
    assert len(keys) == (wire != "messages")


# resume, fork_thread


async def test_resume_and_fork_go_on_from_what_was_said(tmp_path: Path, wire: WireName) -> None:
    """From a file, all of it, on a fork twice removed up to an earlier message: each request begins with that."""
    path = tmp_path / "s.jsonl"
    async with asked([Step(calls=(Call("book"),)), *[FINE] * 4], wire, book) as (_, server):
        with Session.create(path) as session:
            first = agent_of(server, wire, book, session=session, output_budget=None)
            await first.ask("one")
            await first.ask("two")
        with Session.resume(path) as session:
            await agent_of(server, wire, book, session=session, output_budget=None).ask("three")
            with session.fork(tmp_path / "f.jsonl") as fork:
                fork.rollback(2)
                await agent_of(server, wire, book, session=fork.fork(), output_budget=None).ask("else")
    said = ["user: one", "call book", f"output {BOOK}", "assistant: fine"]
    *_, resumed, forked = server.requests
    assert history(resumed) == [*said, "user: two", "assistant: fine", "user: three"]
    assert history(forked) == [*said, "user: else"]


# tool_harness


async def test_tool_harness_a_bad_plan_is_told_to_the_model(wire: WireName) -> None:
    """And nobody is shown a plan; a good one is shown and answered."""
    good: JsonObject = {"plan": [{"step": "look", "status": "pending"}]}
    script = [Step(calls=(Call("update_plan", {"steps": 3}), Call("update_plan", good))), FINE]
    async with asked(script, wire, UpdatePlan()) as (agent, server):
        finished = [event for event in await watched(agent, "go") if isinstance(event, ToolFinished)]
    assert [(event.outcome, "plan" in event.output.metadata) for event in finished] == [("failed", False), ("ok", True)]
    *_, bad, fine = history(server.requests[1])
    assert "plan" in bad and fine == "output Plan updated"


async def test_tool_harness_an_unknown_tool(wire: WireName) -> None:
    """Is an output that says so, of the kind the call was."""
    async with asked([Step(calls=(Call("nothing"),)), FINE], wire, book) as (agent, server):
        assert await agent.ask("go") == "fine"
    assert history(server.requests[1])[2].startswith("output unsupported call: 'nothing'; the tools are: book")


async def test_tool_harness_an_unknown_custom_tool(wire: WireName) -> None:
    """The same; where the wire has custom tools, the output is a custom one."""
    call = CustomToolCall(call_id="call_1", name="nothing", input="whatever")
    body = CODECS[wire].encode_response(Response("r", "m", (call,), "tool_calls"), Prompt("go", model="m"))

    def script(prompt: Prompt) -> Step:
        return FINE if len(prompt.items) > 1 else Step(body=body, headers={"content-type": "application/json"})

    async with asked(script, wire, ApplyPatch()) as (agent, server):
        assert await agent.ask("go") == "fine"
    (output,) = [item for item in agent.session.items if isinstance(item, FunctionCallOutput | CustomToolCallOutput)]
    assert output_text_of(output) == "unsupported call: 'nothing'; the tools are: apply_patch, read_output"
    assert isinstance(output, CustomToolCallOutput) == (wire != "messages")
    assert history(server.requests[1])[2] == f"output {output_text_of(output)}"


async def test_tool_harness_a_patch_that_fails(tmp_path: Path, wire: WireName) -> None:
    """Its output says why, and nothing is written."""
    (tmp_path / "a.txt").write_text("one\n")
    patch = "*** Begin Patch\n*** Update File: a.txt\n@@\n-two\n+three\n*** End Patch"
    script = [Step(calls=(Call("apply_patch", patch if wire == "responses" else {"input": patch}),)), FINE]
    async with asked(script, wire, ApplyPatch(), cwd=tmp_path) as (
        agent,
        server,
    ):
        finished = [event for event in await watched(agent, "go") if isinstance(event, ToolFinished)]
    assert [event.outcome for event in finished] == ["failed"]
    assert "a.txt" in history(server.requests[1])[2]
    assert (tmp_path / "a.txt").read_text() == "one\n"
