"""Forty turns of work with side effects (every day eight), the same every time: what is killed and resumed here.

    effects file   one line per call whose tool ran: key and call id, written in one `write`
    journal        one session; a resumed run goes on where it stands, compacted or not

Keys are unique (turn, step, call); call ids are not: they count from call_0 in every response, as some servers do.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import anyio

from agent_core import Agent, CompactionPolicy, Session
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    Message,
    ResponseItem,
    WireName,
    text_of,
)
from agent_core.prompt import Prompt
from agent_core.testing import Call, Step, asks_for_summary
from agent_core.testing.scripts import answers_in
from agent_core.tools import Tool, tool

from . import LONG

TURNS = 40 if LONG else 8

_SHAPES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("effect",),),
    (("effect", "effect"),),
    (("effect",), ("look", "effect")),
    (("together", "together", "together"),),
    (("look",), ("effect",), ("together", "effect")),
)
"""The calls of each response of a turn, by the turn's number; then it answers."""

_PLACES = re.compile(r"(?:\[step (?P<step>\d+) of )?turn (?P<turn>\d+)")


def script(prompt: Prompt) -> Step:
    """What the model says next: a function of the conversation alone, or of what a summary of it says."""
    turn, step = place_in(prompt.items)
    if asks_for_summary(prompt):
        return Step(text=f"[step {step} of turn {turn}]")
    responses = _SHAPES[turn % len(_SHAPES)]
    if step == len(responses):
        return Step(text=f"turn {turn} is done. " + "x" * (turn % 7) * 100)
    calls = tuple(
        Call(name, {"key": f"{turn}.{step}.{n}"}, call_id=f"call_{n}") for n, name in enumerate(responses[step])
    )
    return Step(reasoning="what to do next" if turn % 3 == 0 else "", text="working" if turn % 2 else "", calls=calls)


def place_in(items: Sequence[ResponseItem]) -> tuple[int, int]:
    """The turn a conversation is in, from 1, and how many answers it has in it."""
    turn = step = start = 0
    for n, item in enumerate(items):
        for what in _PLACES.finditer(text_of(item)) if isinstance(item, Message) and item.role == "user" else ():
            turn, step, start = int(what["turn"]), int(what["step"] or 0), n + 1
    return turn, step + answers_in(items[start:])


def tools(effects: Path) -> list[Tool]:
    def write(key: str) -> None:
        fd = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, f"{key}\n".encode())
        finally:
            os.close(fd)

    async def act(key: str) -> str:
        """Something that must not happen twice."""
        write(key)
        await anyio.sleep(0.001 * (len(key) % 3))  # what it takes: a process may end before the result is recorded
        return f"did {key} " + "y" * (hash_of(key) % 5) * 1000

    async def look(key: str) -> str:
        """Something that may be done again."""
        return f"saw {key}"

    return [
        tool(name="effect", parallel=False)(act),
        tool(name="together", parallel=True)(act),
        tool(read_only=True)(look),
    ]


def hash_of(key: str) -> int:
    """A number by which keys differ, the same in every process."""
    return sum(map(ord, key))


async def work(
    path: Path, effects: Path, base_url: str, wire: WireName, turns: int = TURNS, window: int | None = None
) -> None:
    """Begin the work or go on with it, to its end; `window` is that of the model, which is kept to."""
    with opened(path) as session:
        await work_in(session, effects, base_url, wire, turns, window)


def opened(path: Path) -> Session:
    return Session.resume(path) if path.exists() else Session.create(path)


async def work_in(
    session: Session, effects: Path, base_url: str, wire: WireName, turns: int = TURNS, window: int | None = None
) -> None:
    async with Agent(
        "lab/any",
        base_url=base_url,
        wire=wire,
        session=session,
        tools=tools(effects),
        approvals="allow",
        compaction=CompactionPolicy(window=window),
    ) as agent:
        if session.awaits_answer:
            assert (await agent.run([])).stop_reason == "completed"
        while session.turns < turns:
            assert (await agent.run(f"turn {session.turns + 1}")).stop_reason == "completed"


def runs_of(effects: Path) -> Counter[str]:
    """How often each call's tool ran."""
    return Counter(effects.read_text().splitlines() if effects.exists() else ())


def calls_and_outputs(items: tuple[ResponseItem, ...]) -> tuple[list[FunctionCall], list[FunctionCallOutput]]:
    """In order, which here is the same order: every call of a response is answered before the next response."""
    calls = [item for item in items if isinstance(item, FunctionCall)]
    outputs = [item for item in items if isinstance(item, FunctionCallOutput)]
    assert [call.call_id for call in calls] == [output.call_id for output in outputs]
    return calls, outputs


def shape_of(items: tuple[ResponseItem, ...]) -> list[tuple[str, str]]:
    """What a conversation says, without ids and without how calls ended."""
    out: list[tuple[str, str]] = []
    for item in items:
        match item:
            case Message():
                out.append((item.role, text_of(item)))
            case FunctionCall():
                out.append((item.name, item.arguments))
            case FunctionCallOutput():
                out.append(("output", item.call_id))
            case _:
                out.append((item.type, ""))
    return out
