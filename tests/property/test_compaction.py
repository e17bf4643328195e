"""Any history, compacted: its server takes what is left, the user's newest words are in it, and nothing came apart.

With `AGENT_CORE_LONG=1` on many more histories.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from agent_core.codecs.replay import replay
from agent_core.compaction.summary import Summariser
from agent_core.events import Response, Usage
from agent_core.items import Compaction, Message, ResponseItem, assistant_message, user_message
from agent_core.prompt import Prompt
from agent_core.providers import resolve
from agent_core.session import Session
from agent_core.session.calls import OpenCalls
from agent_core.session.compact import choose_cut, kept_messages
from agent_core.testing.model import ScriptedModel

from .histories import mark_of, stock_of
from .judging import SETTINGS, encoded, request_problems
from .profiles import Profile
from .test_requests import LIMITS, SHARDS, histories_for, profiles_of

LONG = bool(os.environ.get("AGENT_CORE_LONG"))
EXAMPLES = settings(LIMITS, max_examples=600 if LONG else 12)
PARTS = range(SHARDS if LONG else 2)
SUMMARY = Compaction(summary="S0s so far")


def users(items: Sequence[ResponseItem]) -> list[str]:
    """The marks of what the user said, in order."""
    return [mark_of(item) for item in items if isinstance(item, Message) and item.role == "user" and mark_of(item)]


def compact(session: Session, keep_tokens: int) -> None:
    """As the compactor does it, with a summary that is there already."""
    items = session.items
    cut = choose_cut(items, keep_tokens)
    if cut.at >= len(session.replacement):
        session.compact(cut.at, (*kept_messages(items[: cut.at], keep_tokens), SUMMARY))


def idle_outputs(profile: Profile, items: Sequence[ResponseItem]) -> set[str | None]:
    """Outputs that answer nothing, or what was answered already, by their ids."""
    replayed = replay(items, wire=profile.wire, model=profile.model, compat=profile.compat)
    idle = ("dropped_orphan_output", "dropped_duplicate_output")
    return {items[repair.item_index].id for repair in replayed.repairs if repair.kind in idle}


@pytest.mark.parametrize("shard", PARTS)
@EXAMPLES
@given(st.data())
def test_any_history_can_be_compacted(shard: int, data: st.DataObject) -> None:
    """Twice, with a turn between: a request that the judge of its wire and profile takes, the newest words of the user
    in their order, no output without its call and no call open that was not."""
    profile = data.draw(profiles_of(shard))
    session = Session(items=data.draw(histories_for(profile)))
    keep_tokens = data.draw(st.sampled_from((0, 20, 200, 4000)))
    for turn in ((), data.draw(st.sampled_from(stock_of(profile).turns))):
        session.append(*turn)
        before = session.items
        compact(session, keep_tokens)
        after = session.items
        note(f"{profile} {[item.type for item in before]} {[item.type for item in after]}")
        assert users(before)[len(users(before)) - len(users(after)) :] == users(after)
        assert OpenCalls(after).calls == OpenCalls(before).calls
        assert idle_outputs(profile, after) <= idle_outputs(profile, before)
        request = encoded(profile, after, data.draw(st.sampled_from(list(SETTINGS))))
        if request is not None:
            assert request_problems(profile, after, request) == []


@pytest.mark.parametrize("shard", PARTS)
@EXAMPLES
@given(st.data())
def test_any_request_for_a_summary_is_taken(shard: int, data: st.DataObject) -> None:
    """Whole, or as much of the history as fits."""
    profile = data.draw(profiles_of(shard))
    items = data.draw(histories_for(profile))
    if not items:
        return
    base = replace(SETTINGS[data.draw(st.sampled_from(list(SETTINGS)))], model=profile.model)
    model = ScriptedModel(Response(items=(assistant_message("So far."),), finish_reason="stop", usage=Usage()))
    prompt = _asked(base, profile, tuple(items), model, most=data.draw(st.sampled_from((1000, 600, 100))))
    request = encoded(profile, prompt.items, "tools")
    if request is not None:
        assert request_problems(profile, prompt.items, request) == []


def _asked(
    base: Prompt, profile: Profile, items: tuple[ResponseItem, ...], model: ScriptedModel, *, most: int
) -> Prompt:
    """What the model is asked where a thousand tokens of history are `most` too many."""
    import anyio

    from agent_core.retry import RetryPolicy

    summariser = Summariser(
        model=model,
        prompt_for=lambda shown: replace(base, items=shown),
        resolved=lambda: replace(resolve("lab/m", base_url="http://127.0.0.1"), compat=profile.compat),
        spend=lambda response: None,
        retry=RetryPolicy(),
        budget=None,
    )

    async def ask() -> None:
        await summariser.summarise(items, "Summarise.", tokens=1000, most=most)

    anyio.run(ask)
    (prompt,) = model.prompts
    assert prompt.items[-1] == user_message("Summarise.")
    return prompt
