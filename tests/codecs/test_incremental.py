"""Kept encoders: what one more request costs, what makes them look back, and what they let go of."""

from __future__ import annotations

import json

import pytest

from agent_core.codecs import WIRES, codec_for
from agent_core.codecs.base import Compat, Encoded, RequestEncoder
from agent_core.codecs.incremental import JsonArray, KeptEncoder
from agent_core.errors import InvalidPromptError
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    JsonValue,
    Message,
    Origin,
    Reasoning,
    ResponseItem,
    WireName,
    assistant_message,
    system_message,
    user_message,
)
from agent_core.prompt import Prompt, ToolSpec
from tests.counting import calls_made

ASKED = user_message("Why?")
ANSWERED = assistant_message("Because.")
NEXT = user_message("And then?")
CALL = FunctionCall(call_id="c1", name="f", arguments="{}")
OUTPUT = FunctionCallOutput(call_id="c1", output="done")
OTHER_CALL = FunctionCall(call_id="c2", name="f", arguments="{}")
THOUGHT = Reasoning(content=("hm",), encrypted_content="sealed", signature="signed")
FAR = Message(role="user", content=(InputImage(image_url="ftp://no"),))
FOREIGN = Reasoning(content=("hm",), origin=Origin(wire="chat", provider="", model="n"), signature="s")

Items = tuple[ResponseItem, ...]


def turn(n: int) -> Items:
    call = FunctionCall(call_id=f"c{n}", name="f", arguments='{"n": 1}')
    return assistant_message(f"step {n}"), call, FunctionCallOutput(call_id=f"c{n}", output="x" * 200)


def turns(count: int) -> Items:
    return (ASKED, *(item for n in range(count) for item in turn(n)))


def cost_of_one_more_turn(encoder: RequestEncoder, count: int) -> int:
    before = turns(count)
    encoder.encode(Prompt(before, model="m"))
    prompt = Prompt((*before, *turn(count)), model="m")
    return calls_made(lambda: encoder.encode(prompt))


@pytest.mark.parametrize("compat", [Compat(), Compat(cache_control=True)], ids=["plain", "cache_control"])
@pytest.mark.parametrize("wire", WIRES)
def test_a_turn_costs_what_is_new(wire: WireName, compat: Compat) -> None:
    """One more turn takes as many steps after 400 turns as after 4; without a memory it takes a hundred times more."""
    codec = codec_for(wire)
    few = cost_of_one_more_turn(codec.request_encoder(compat), 4)
    many = cost_of_one_more_turn(codec.request_encoder(compat), 400)
    anew = calls_made(lambda: codec.encode_request(Prompt(turns(401), model="m"), compat))
    assert few == many
    assert anew > 20 * many


STORIES: dict[str, tuple[Items, ...]] = {
    "it grows": ((ASKED,), (ASKED, ANSWERED), (ASKED, ANSWERED, NEXT)),
    "a step grows": ((ASKED, ANSWERED), (ASKED, ANSWERED, CALL), (ASKED, ANSWERED, CALL, OUTPUT)),
    "an answer is drawn again": ((ASKED, ANSWERED), (ASKED,), (ASKED, assistant_message("Since."))),
    "a late output": ((ASKED, CALL, NEXT), (ASKED, CALL, NEXT, ANSWERED), (ASKED, CALL, NEXT, ANSWERED, OUTPUT)),
    "an output before its call": ((ASKED, OUTPUT), (ASKED, OUTPUT, CALL)),
    "reasoning becomes that of an earlier turn": (
        (ASKED, THOUGHT, ANSWERED),
        (ASKED, THOUGHT, ANSWERED, NEXT),
        (ASKED, THOUGHT, ANSWERED, NEXT, THOUGHT, CALL, OUTPUT),
    ),
    "the end is cut and grows into the message before": (
        (ASKED, ANSWERED, NEXT),
        (ASKED, NEXT),
        (ASKED, NEXT, NEXT),
    ),
    "the beginning is cut": ((ASKED, ANSWERED, NEXT), (NEXT,), (NEXT, ANSWERED)),
    "an id is used again": ((ASKED, CALL, OUTPUT), (ASKED, CALL, OUTPUT, CALL), (ASKED, CALL, OUTPUT, CALL, OUTPUT)),
    "an open call is renamed each time": ((ASKED, CALL, CALL), (ASKED, CALL, CALL, OTHER_CALL), (ASKED, CALL, CALL)),
    "system messages in front": (
        (system_message("Be brief."),),
        (system_message("Be brief."), ASKED),
        (system_message("Be brief."), ASKED, ANSWERED, system_message("Briefer.")),
    ),
    "the model speaks first": ((ANSWERED,), (ANSWERED, ASKED), (FOREIGN, ANSWERED, ASKED)),
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize(
    "compat",
    [
        Compat(),
        Compat(cache_control=True, encrypted_reasoning=True),
        Compat(merge_system=True),
        Compat(call_id_exact=9, inline_system=True, reasoning_always_present=True),
    ],
    ids=["plain", "cache_control", "merge_system", "exact ids"],
)
@pytest.mark.parametrize("wire", WIRES)
def test_what_came_before_never_shows(wire: WireName, compat: Compat, story: str) -> None:
    """After each chapter of the story the request is what it would be without the chapters before."""
    codec = codec_for(wire)
    encoder = codec.request_encoder(compat)
    for items in STORIES[story]:
        prompt = Prompt((ASKED, *items) if story != "the model speaks first" else (*items, NEXT), model="m")
        assert encoder.encode(prompt) == codec.encode_request(prompt, compat)


@pytest.mark.parametrize("wire", WIRES)
def test_settings_change_nothing_that_is_kept(wire: WireName) -> None:
    """Other tools, instructions, models and ways to be answered are in the next body, before the same conversation."""
    codec = codec_for(wire)
    encoder = codec.request_encoder(Compat())
    prompts = [
        Prompt(turns(3), model="m"),
        Prompt(turns(3), model="n", instructions="Be brief."),
        Prompt(turns(3), model="n", tools=[ToolSpec("f")], instructions="Be long."),
        Prompt(turns(3), model="n", extra={"messages": [{"role": "user", "content": "else"}], "input": "else"}),
    ]
    for prompt in (*prompts, *reversed(prompts)):
        for stream in (True, False):
            assert encoder.encode(prompt, stream=stream) == codec.encode_request(prompt, Compat(), stream=stream)


def test_an_error_leaves_nothing_half_written() -> None:
    """An item that cannot be sent is an error each time, and no trace of it is in the request after."""
    codec = codec_for("messages")
    encoder = codec.request_encoder(Compat())
    encoder.encode(Prompt(turns(2), model="m"))
    for _ in range(2):
        with pytest.raises(InvalidPromptError, match="image"):
            encoder.encode(Prompt((*turns(2), NEXT, ANSWERED, FAR), model="m"))
    prompt = Prompt((*turns(2), NEXT), model="m")
    assert encoder.encode(prompt) == codec.encode_request(prompt, Compat())


def test_conversations_are_told_apart_and_the_oldest_is_let_go() -> None:
    """Eight conversations are kept, by the object they begin with; the one not asked for longest is begun anew."""
    begun: list[list[int]] = []

    def begin() -> list[int]:
        begun.append([])
        return begun[-1]

    def write(prompt: Prompt, history: list[int], stream: bool) -> Encoded:
        history.append(len(prompt.items))
        return Encoded(b"{}")

    encoder = KeptEncoder(begin, write)
    starts = [Prompt((user_message(str(n)),)) for n in range(9)]
    for prompt in (*starts[:8], starts[0], starts[8], starts[0], starts[1]):
        encoder.encode(prompt)
    assert begun == [[1, 1, 1], [1], [1], [1], [1], [1], [1], [1], [1], [1]]


def test_large_bodies_are_not_kept() -> None:
    """The bodies of all that is kept are at most 64 MiB: what is larger is written anew each time."""
    begun: list[int] = []
    large = Encoded(bytes(65 * 1024 * 1024))
    encoder = KeptEncoder(lambda: begun.append(1), lambda prompt, history, stream: large)
    prompt = Prompt("a")
    encoder.encode(prompt)
    encoder.encode(prompt)
    assert len(begun) == 2


def test_an_array_grows_and_is_cut_back() -> None:
    """Elements come last in the body's last array, whatever was there before, and a cut leaves the first ones."""
    array = JsonArray()
    assert array.in_body(b'{"a":[]}') == b'{"a":[]}'
    for n in range(4):
        array.append({"n": n})
    array.cut(2)
    array.append({"n": "é\ud83d"})
    assert json.loads(array.in_body(b'{"a":[]}')) == {"a": [{"n": 0}, {"n": 1}, {"n": "é\ufffd"}]}
    assert array.in_body(b'{"a":[{"n":9}]}').startswith(b'{"a":[{"n":9},{"n":0},{"n":1},')
    array.cut(0)
    array.append({"n": 5})
    assert array.in_body(b'{"a":[]}') == b'{"a":[{"n":5}]}'


@pytest.mark.parametrize("length", [0, 1, 2, 63, 64, 65, 128, 199, 200, 300])
@pytest.mark.parametrize("odd", [None, 0, 70, 199])
def test_an_array_is_cut_anywhere_in_what_was_written_at_once(length: int, odd: int | None) -> None:
    """However many were written together, and even if one of them is half a character, the first ones stay."""
    values: list[JsonValue] = [{"n": [n, '],[ "é']} for n in range(200)]
    if odd is not None:
        values[odd] = "é\ud83d"
    array, alone = JsonArray(), JsonArray()
    array.extend(values)
    array.cut(length)
    array.extend(values)
    for value in (*values[:length], *values):
        alone.append(value)
    assert len(array) == len(alone)
    assert array.in_body(b'{"a":[]}') == alone.in_body(b'{"a":[]}')


def test_what_is_no_json_is_the_callers_mistake() -> None:
    """A value JSON has no word for is an InvalidPromptError."""
    array = JsonArray()
    holds_itself: list[object] = []
    holds_itself.append(holds_itself)
    with pytest.raises(InvalidPromptError, match="no JSON"):
        array.append({"n": holds_itself})  # type: ignore[dict-item]  # the point of the test
