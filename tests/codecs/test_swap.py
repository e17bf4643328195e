"""A run that changes hands: between any two requests of it, any shipped profile may go on with what another began."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from itertools import product

import pytest
from msgspec.structs import replace

from agent_core.codecs import CODECS
from agent_core.codecs.base import Compat
from agent_core.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    InputText,
    JsonObject,
    Message,
    Origin,
    OutputText,
    Reasoning,
    ResponseItem,
    WireName,
)
from agent_core.prompt import CustomToolSpec, Prompt, ReasoningSettings, ToolSpec
from agent_core.providers import PROVIDERS
from agent_core.testing import check_request
from tests.property.profiles import Profile, one_per_endpoint, profiles

PNG = "data:image/png;base64,iVBORw0KGgo="
TOOLS = (ToolSpec("look", strict=True), CustomToolSpec("apply_patch", format={"type": "text"}))


@cache
def run_of(profile: Profile) -> tuple[tuple[ResponseItem, ...], ...]:
    """What each part of the run adds, made by this profile: a request goes out after each of them."""
    return (
        (Message(role="user", content=(InputText(text="What is on it?"), InputImage(image_url=PNG))),),
        (
            thought(profile, 1),
            Message(role="assistant", content=(OutputText(text="I look twice."),), origin=origin(profile, "msg_1")),
            FunctionCall(call_id="call_0", name="look", arguments='{"at": 1}', origin=origin(profile, "fc_1")),
            FunctionCall(call_id="call_1", name="look", arguments="", origin=origin(profile, "fc_2")),
            FunctionCallOutput(call_id="call_0", output=(InputText(text="a cat"), InputImage(image_url=PNG))),
            FunctionCallOutput(call_id="call_1", output="", success=False),
        ),
        (
            thought(profile, 2),
            CustomToolCall(call_id="call_0", name="apply_patch", input="*** x", origin=origin(profile, "ctc_1")),
            CustomToolCallOutput(call_id="call_0", output="done"),
        ),
        (
            thought(profile, 3),
            Message(role="assistant", content=(OutputText(text="A cat."),), origin=origin(profile, "msg_2")),
            Message(role="user", content=(InputText(text="Sure?"),)),
        ),
        (
            thought(profile, 4),
            Message(role="assistant", content=(OutputText(text="Yes."),), origin=origin(profile, "msg_3")),
            Message(role="user", content=(InputText(text="Thanks!"),)),
        ),
    )


def origin(profile: Profile, item_id: str, field: str = "") -> Origin:
    return Origin(
        wire=profile.wire,
        provider=profile.compat.provider,
        model=profile.model,
        field=field,
        item_id=f"{item_id}_{profile.provider}" if profile.wire == "responses" else "",
        response_id=f"resp_{profile.provider}",
    )


def thought(profile: Profile, number: int) -> Reasoning:
    """Reasoning as the profile's server sends it."""
    if profile.wire == "messages":
        signature = None if profile.compat.unsigned_thinking else "signed"
        return Reasoning(content=("Hm.",), signature=signature, origin=origin(profile, "", "thinking"))
    if profile.wire == "responses":
        sealed = "sealed" if profile.compat.encrypted_reasoning else None
        made = origin(profile, f"rs_{number}", "summary")
        return Reasoning(summary=("Hm.",), encrypted_content=sealed, origin=made)
    field = {"content_list": "content", "as_received": "reasoning"}.get(
        profile.compat.reasoning_field, profile.compat.reasoning_field
    )
    detail: JsonObject = {"type": "reasoning.text", "text": "Hm."}
    details = (detail,) if field == "reasoning_details" else ()
    return Reasoning(content=("Hm.",), details=details, origin=origin(profile, "", field))


PARTS = 5
PLACES = tuple((swap, end) for swap in range(1, PARTS + 1) for end in sorted({swap, PARTS}))
"""After how many parts the run changes hands, and after how many the request goes out."""

LONG = bool(os.environ.get("AGENT_CORE_LONG"))
"""Every model of `profiles` at every place, instead of one model of an endpoint, and each pair at one of the places."""

MAKERS = profiles() if LONG else one_per_endpoint()


def problems(taker: Profile, maker: Profile, places: Iterable[tuple[int, int]], compat: Compat) -> list[str]:
    """Everything the taker's server would refuse, wherever it takes over, at once or when it went on to the end."""
    theirs, ours = run_of(maker), run_of(taker)
    found: list[str] = []
    for swap, end in places:
        items = [item for part in (*theirs[:swap], *ours[swap:end]) for item in part]
        prompt = Prompt(items, tools=TOOLS, model=taker.model, reasoning=ReasoningSettings(effort="high"))
        request = CODECS[taker.wire].encode_request(prompt, compat)
        judged = check_request(taker.wire, request.body, compat=compat)
        found += (f"after {swap}, at {end}: {each}" for each in judged)
        found += [f"after {swap}, at {end}: the cat is gone"] * (end > 1 and b"a cat" not in request.body)
    return found


@pytest.mark.parametrize("taker", MAKERS, ids=str)
def test_any_profile_goes_on_with_what_any_other_began(taker: Profile) -> None:
    """On every ordered pair of shipped profiles, and of the wires of one, each request of a run that changes hands
    anywhere is one its server takes: reasoning, parallel calls under ids used twice, images, failed outputs, a custom
    tool."""
    first = MAKERS.index(taker)
    found: dict[str, list[str]] = {}
    for n, maker in enumerate(MAKERS, first):
        places = PLACES if LONG else [PLACES[n % len(PLACES)]]
        if wrong := problems(taker, maker, places, taker.compat):
            found[str(maker)] = wrong
    assert found == {}


@pytest.mark.parametrize("wire", ["chat", "messages"])
def test_breakpoints_go_with_any_run(wire: WireName) -> None:
    """Asked for on any profile, cache breakpoints are where servers take them, whoever began the run."""
    takers = [profile for profile in one_per_endpoint() if profile.wire == wire]
    makers = {maker.wire: maker for maker in one_per_endpoint()}.values()
    for taker, maker in product(takers, makers):
        assert problems(taker, maker, PLACES[::2], replace(taker.compat, cache_control=True)) == [], str(taker)


def test_the_pairs_are_those_of_all_providers() -> None:
    """No provider and none of its wires is left out, and no place where a run can change hands."""
    endpoints = {(row.name, wire) for row in PROVIDERS.values() for wire in (row.wires or (row.wire,))}
    assert {(profile.provider, profile.wire) for profile in MAKERS} == endpoints
    assert len(run_of(MAKERS[0])) == PARTS
    assert len(MAKERS) > len(PLACES)  # so that every taker meets all of them
