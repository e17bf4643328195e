"""Every small history there is, of items that have to do with one another: what a random one meets once in a million.

Everyday all of three items, and some of those of five; with AGENT_CORE_LONG=1 all of four and many of seven.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from random import Random

import pytest

from agent_core.codecs.base import Compat
from agent_core.codecs.replay import Replayed, Replayer, replay
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    JsonObject,
    Message,
    Origin,
    OutputText,
    Reasoning,
    ResponseItem,
    UnknownItem,
    WireName,
    user_message,
)

LONG = os.environ.get("AGENT_CORE_LONG") == "1"
WHOLE, SAMPLED, SAMPLES = (4, 7, 10_000) if LONG else (3, 5, 500)

CASES: dict[str, tuple[WireName, Compat]] = {
    "chat": ("chat", Compat(provider="p", reasoning_always_present=True)),
    "chat, open calls": ("chat", Compat(provider="p", reasoning_replay="open_calls")),
    "stored": ("responses", Compat(provider="p", send_item_ids=True, encrypted_reasoning=True)),
    "calls last": ("responses", Compat(provider="p", send_item_ids=True, calls_last=True)),
    "calls last, open calls": (
        "responses",
        Compat(provider="p", send_item_ids=True, calls_last=True, reasoning_replay="open_calls"),
    ),
    "messages": ("messages", Compat(provider="p")),
    "messages, open calls": ("messages", Compat(provider="p", reasoning_replay="open_calls")),
}


def alphabet(wire: WireName) -> tuple[ResponseItem, ...]:
    """Two texts that are the same, a thought that may go and one that may stay, calls of ours and of the provider's."""
    own = Origin(wire=wire, provider="p", model="m", field="thinking" if wire == "messages" else "")
    stored, msg = own.model_copy(update={"item_id": "rs_1"}), own.model_copy(update={"item_id": "msg_1"})
    text = (OutputText(text="t"),)
    return (
        user_message("u"),
        Message(role="assistant", content=text, origin=own),
        Message(role="assistant", content=text, origin=msg),
        Reasoning(origin=stored) if wire == "responses" else Reasoning(content=("hm",), origin=own),
        Reasoning(content=("hm",), signature="s", origin=own),
        FunctionCall(call_id="c1", name="f", arguments="{}", origin=own),
        FunctionCallOutput(call_id="c1", output="o"),
        *(UnknownItem(raw=raw, origin=own) for raw in halves(wire)),
    )


def halves(wire: WireName) -> Iterator[JsonObject]:
    """Of two calls that a provider ran; chat has no place for them."""
    for name in ("sh_1", "sh_2") if wire != "chat" else ():
        if wire == "messages":
            yield {"type": "server_tool_use", "id": name, "name": "web_search", "input": {}}
            yield {"type": "web_search_tool_result", "tool_use_id": name, "content": []}
        else:
            yield {"type": "shell_call", "call_id": name, "action": {"commands": ["ls"]}}
            yield {"type": "shell_call_output", "call_id": name, "output": []}


def small(wire: WireName) -> Iterator[tuple[ResponseItem, ...]]:
    letters = alphabet(wire)
    yield from product(letters, repeat=WHOLE)
    random = Random(wire)
    yield from (tuple(random.choices(letters, k=SAMPLED)) for _ in range(SAMPLES))


@pytest.mark.parametrize(("wire", "compat"), CASES.values(), ids=CASES)
def test_replaying_the_replayed_changes_nothing(wire: WireName, compat: Compat) -> None:
    """The second replay repairs nothing and gives the very same items."""
    for items in small(wire):
        once = replay(items, wire=wire, model="m", compat=compat)
        assert replay(once.items, wire=wire, model="m", compat=compat) == Replayed(once.items), items


@pytest.mark.parametrize(("wire", "compat"), CASES.values(), ids=CASES)
def test_item_by_item_is_all_at_once(wire: WireName, compat: Compat) -> None:
    """A history that grows by one item at a time is replayed as a fresh one is, at every length."""
    for items in list(small(wire))[:: 1 if LONG else 4]:
        replayer = Replayer(wire=wire, model="m", compat=compat)
        for item in items:
            replayer.feed((item,))
            replayer.settle()
        whole = replay(items, wire=wire, model="m", compat=compat)
        assert (tuple(replayer.items), replayer.repairs()) == (whole.items, whole.repairs), items
