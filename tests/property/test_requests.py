"""The great property: any history, any settings, any shipped profile → a request its server takes, all of ours in it.

Two sources of histories: any list of items, and the turns of a run to which something happened (cut, thinned, doubled,
shuffled, mixed with strangers). `AGENT_CORE_HYPOTHESIS=ci` makes many more of them; `soak.py` makes a million.
"""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from agent_core.codecs import CODECS
from agent_core.errors import AgentCoreError
from agent_core.items import InputText, Message, ResponseItem

from . import CI
from .histories import CHANGES, Change, Stock, changed, stock_of
from .judging import SETTINGS, continued, encoded, prompt_of, request_problems, steadiness_problems
from .profiles import Profile, profiles

SHARDS = 8
"""The profiles in eight parts, so that several processes can share them; a history is tried on one profile."""
LIMITS = settings(
    max_examples=2600 if CI else 12,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""8 shards of 2,600 are 20,800 histories of each of the first two tests; the third has a number of its own."""

NEXT = Message(role="user", content=(InputText(text="U0u next"),))


def profiles_of(shard: int) -> st.SearchStrategy[Profile]:
    return st.sampled_from(profiles()[shard::SHARDS])


def histories_for(profile: Profile) -> st.SearchStrategy[list[ResponseItem]]:
    stock = stock_of(profile)
    pools = st.tuples(*(st.lists(st.sampled_from(sort), max_size=3) for sort in stock.close))
    close = (
        pools.map(chain.from_iterable)
        .map(tuple)
        .filter(bool)
        .flatmap(lambda pool: st.lists(st.sampled_from(pool), max_size=14))
    )
    return st.lists(st.sampled_from(stock.items), max_size=14) | close | runs_of(stock)


def runs_of(stock: Stock) -> st.SearchStrategy[list[ResponseItem]]:
    """Turns, and what happened to them afterwards."""
    turns = st.lists(st.sampled_from(stock.turns), min_size=1, max_size=4)
    places = st.floats(0, 1, exclude_max=True, allow_subnormal=False)
    accidents = st.lists(st.tuples(st.sampled_from(CHANGES), places, places), max_size=6)

    def run(made: list[tuple[ResponseItem, ...]], happened: list[tuple[Change, float, float]]) -> list[ResponseItem]:
        items = [item for turn in made for item in turn]
        for change, at, to in happened:
            items = changed(items, change, at, to, stock)
        return items

    return st.builds(run, turns, accidents)


@pytest.mark.parametrize("shard", range(SHARDS))
@LIMITS
@given(st.data())
def test_any_history_makes_a_request_its_server_takes(shard: int, data: st.DataObject) -> None:
    """The judge of the wire and the profile finds nothing, and no text of ours is missing that no repair names."""
    profile = data.draw(profiles_of(shard))
    items = data.draw(histories_for(profile))
    chosen = data.draw(st.sampled_from(list(SETTINGS)))
    request = encoded(profile, items, chosen)
    if request is not None:
        note(f"{profile} {request.body.decode()}")
        assert request_problems(profile, items, request) == []


@pytest.mark.parametrize("shard", range(SHARDS))
@LIMITS
@given(st.data())
def test_a_request_is_steady(shard: int, data: st.DataObject) -> None:
    """The same prompt gives the same bytes; what was replayed needs no second repair; what follows changes no byte
    before the last user message."""
    profile = data.draw(profiles_of(shard))
    items = data.draw(histories_for(profile))
    chosen = data.draw(st.sampled_from(list(SETTINGS)))
    request = encoded(profile, items, chosen)
    if request is not None:
        assert steadiness_problems(profile, items, chosen, request) == []
        late = data.draw(st.sampled_from(stock_of(profile).turns))
        assert continued(profile, items, (NEXT, *late), "told").problems == []


@pytest.mark.parametrize("shard", range(SHARDS))
@settings(LIMITS, max_examples=30 if CI else 12)
@given(st.data())
def test_a_kept_encoder_writes_the_same(shard: int, data: st.DataObject) -> None:
    """Whatever was asked before, and in whatever order a history grew: the bytes are those of a fresh encoder."""
    profile = data.draw(profiles_of(shard))
    items = data.draw(histories_for(profile))
    lengths = data.draw(st.lists(st.integers(1, max(1, len(items))), max_size=4))
    codec = CODECS[profile.wire]
    kept = codec.request_encoder(profile.compat)
    for length in (*lengths, len(items)):
        prompt = prompt_of(profile, items[:length], data.draw(st.sampled_from(("told", "effort", "tools"))))
        try:
            fresh = codec.encode_request(prompt, profile.compat)
        except AgentCoreError as error:
            with pytest.raises(type(error)):
                kept.encode(prompt)
        else:
            assert kept.encode(prompt) == fresh
