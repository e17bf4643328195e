"""A kept encoder over conversations that grow, are cut, edited, reordered and asked for with other settings.

`AGENT_CORE_HYPOTHESIS=ci` runs far more of them than a plain test run does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_core.codecs import codec_for
from agent_core.codecs.base import Compat, Encoded
from agent_core.codecs.replay import Replayer, replay
from agent_core.errors import AgentCoreError
from agent_core.items import ResponseItem, WireName, system_message, user_message
from agent_core.prompt import (
    CustomToolSpec,
    OutputSchema,
    Prompt,
    ReasoningSettings,
    SamplingSettings,
    ToolSpec,
)

from . import CI
from .test_replay_properties import COMPATS, histories, wires

EXAMPLES = 1000 if CI else 25
LIMITS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    database=None,
)

Change: TypeAlias = Callable[[Prompt], Prompt]

_SHAPES = (
    *COMPATS,
    Compat(provider="p", merge_system=True, empty_tools="send"),
    Compat(provider="p", cache_control=True),
    Compat(provider="p", cache_control=True, inline_system=True, reasoning_replay="never"),
    Compat(provider="p", images_in_tool_results=False, tool_message_name=True),
    Compat(provider="p", content_as_string=True, omit_null_content=True, reasoning_field="content_list"),
)
compats = st.sampled_from(_SHAPES)


def grown(more: tuple[ResponseItem, ...]) -> Change:
    return lambda prompt: replace(prompt, items=(*prompt.items, *more))


def cut(count: int) -> Change:
    return lambda prompt: replace(prompt, items=prompt.items[: max(0, len(prompt.items) - count)])


def without(index: int) -> Change:
    return lambda prompt: replace(prompt, items=(*prompt.items[:index], *prompt.items[index + 1 :]))


def copied(index: int) -> Change:
    """The same item as another object."""

    def change(prompt: Prompt) -> Prompt:
        items = list(prompt.items)
        if index < len(items):
            items[index] = items[index].model_copy()
        return replace(prompt, items=tuple(items))

    return change


def swapped(a: int, b: int) -> Change:
    def change(prompt: Prompt) -> Prompt:
        items = list(prompt.items)
        if max(a, b) < len(items):
            items[a], items[b] = items[b], items[a]
        return replace(prompt, items=tuple(items))

    return change


def inserted(index: int, more: tuple[ResponseItem, ...]) -> Change:
    return lambda prompt: replace(prompt, items=(*prompt.items[:index], *more, *prompt.items[index:]))


def other(**members: object) -> Change:
    return lambda prompt: replace(prompt, **members)  # type: ignore[arg-type]  # members of Prompt, below


_TOOLS = (ToolSpec("f", "a tool", strict=True), CustomToolSpec("g"))
_settings = st.sampled_from(
    (
        other(tools=_TOOLS),
        other(tools=()),
        other(instructions="Be brief."),
        other(instructions=""),
        other(model="m-2026-01-02"),
        other(model="n"),
        other(reasoning=ReasoningSettings(effort="low")),
        other(sampling=SamplingSettings(temperature=0.5, stop=("x",), seed=1)),
        other(output_schema=OutputSchema({"type": "object"})),
        other(extra={"messages": [{"role": "user", "content": "else"}], "input": "else"}),
        other(extra={}),
        other(items=(user_message("another conversation"),)),
    )
)
_places = st.integers(0, 16)
_more = histories | st.just((user_message("next"),)) | st.just((system_message("note"),))
_changes: st.SearchStrategy[Change] = (
    st.builds(grown, _more)
    | st.builds(grown, _more)
    | st.builds(cut, st.integers(1, 6))
    | st.builds(without, _places)
    | st.builds(copied, _places)
    | st.builds(swapped, _places, _places)
    | st.builds(inserted, _places, _more)
    | _settings
)


def outcome(encode: Callable[[], Encoded]) -> Encoded | tuple[type[AgentCoreError], str]:
    try:
        return encode()
    except AgentCoreError as error:
        return type(error), str(error)


@LIMITS
@given(histories, st.lists(st.tuples(_changes, st.booleans()), max_size=8), wires, compats)
def test_a_kept_encoder_gives_what_a_new_one_gives(
    items: tuple[ResponseItem, ...], changes: list[tuple[Change, bool]], wire: WireName, compat: Compat
) -> None:
    """Body, losses, repairs and errors are those of the stateless encoder, whatever was encoded before."""
    codec = codec_for(wire)
    encoder = codec.request_encoder(compat)
    prompt = Prompt(items, model="m")
    for change, stream in [(cut(0), True), *changes]:
        prompt = change(prompt)
        kept = outcome(partial(encoder.encode, prompt, stream=stream))
        assert kept == outcome(partial(codec.encode_request, prompt, compat, stream=stream))


@LIMITS
@given(histories, st.lists(st.integers(0, 14), max_size=8), wires, compats)
def test_replay_in_pieces_is_replay(
    items: tuple[ResponseItem, ...], ends: list[int], wire: WireName, compat: Compat
) -> None:
    """However a history is fed, what may be sent is the same, and what is said to be unchanged is."""
    replayer, fed = Replayer(wire=wire, model="m", compat=compat), 0
    before: list[ResponseItem] = []
    for end in [*sorted(ends), len(items)]:
        replayer.feed(items[fed:end])
        fed = max(fed, min(end, len(items)))
        unchanged = replayer.settle()
        assert all(a is b for a, b in zip(before[:unchanged], replayer.items[:unchanged], strict=True))
        whole = replay(items[:fed], wire=wire, model="m", compat=compat)
        assert (tuple(replayer.items), replayer.repairs()) == (whole.items, whole.repairs)
        before = list(replayer.items)
