"""Replay over arbitrary histories: every kind of item in any order, cut, repeated and shuffled, on every wire.

`AGENT_CORE_HYPOTHESIS=ci` runs far more of them than a plain test run does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agent_core.codecs.base import Compat
from agent_core.codecs.replay import Replayed, replay
from agent_core.items import (
    Compaction,
    ContentPart,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    GhostSnapshot,
    ImageGenerationCall,
    InputFile,
    InputImage,
    InputText,
    JsonObject,
    JsonValue,
    LocalShellAction,
    LocalShellCall,
    Message,
    Origin,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    Role,
    ToolSearchCall,
    ToolSearchOutput,
    UnknownItem,
    WebSearchCall,
    WireName,
    dump_item,
)

from . import CI

EXAMPLES = 1000 if CI else 25
LIMITS = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")
COMPATS = (
    Compat(),
    Compat(provider="p"),
    Compat(provider="p", reasoning_replay="open_calls", images=False, files=False),
    Compat(provider="p", reasoning_replay="never", foreign_reasoning="text"),
    Compat(provider="p", reasoning_always_present=True, custom_tools=True, unsigned_thinking=True),
    Compat(provider="p", call_id_exact=9, reasoning_field="none", foreign_reasoning="text"),
    Compat(provider="p", qualify_call_ids=True, encrypted_reasoning=True, send_item_ids=True),
    Compat(provider="p", call_id_max=24, qualify_call_ids=True, foreign_reasoning="text", custom_tools=True),
    Compat(provider="p", calls_last=True, send_item_ids=True, reasoning_replay="open_calls", foreign_reasoning="text"),
)

_texts = st.sampled_from(("", "  ", "a", "b", "ab", "né", "\0", "x\ud800", "\ud83d\ude00"))
_ids = st.sampled_from(("c1", "c2", "c3", "call_0", "functions.f:0", "", "x" * 70, "é", "\ud800", "abcdefgh9"))
_arguments = st.sampled_from(
    ("", " ", "{}", '{"a": 1}', "[]", "null", '{"a":', '{"a": "1\n2"}', '{"a": 1e999}', '{"a": "\\ud800"}')
) | st.text(max_size=4)
_origins = st.none() | st.builds(
    Origin,
    wire=st.sampled_from(WIRES),
    provider=st.sampled_from(("p", "q", "")),
    model=st.sampled_from(("m", "m-2026-01-02", "n", "")),
    item_id=st.sampled_from(("", "rs_1")),
    response_id=st.sampled_from(("", "r1", "r2")),
)
_opaque = st.none() | st.just({"k": "v"}) | st.just({"k": ["\ud800"]})
_media = st.just(InputImage(image_url="data:image/png;base64,iVBORw0KGgo=")) | st.just(
    InputFile(filename="f", file_id="1")
)
_parts: st.SearchStrategy[ContentPart] = (
    st.builds(InputText, text=_texts) | st.builds(OutputText, text=_texts) | st.builds(Refusal, refusal=_texts) | _media
)
_contents = st.lists(_parts, max_size=3).map(tuple)
_assistant_contents = st.lists(st.builds(OutputText, text=_texts), min_size=1, max_size=2).map(tuple)
_user_contents = st.lists(st.builds(InputText, text=_texts), min_size=1, max_size=2).map(tuple)
_outputs = _texts | st.lists(st.builds(InputText, text=_texts) | _media, max_size=2).map(tuple)
_roles: st.SearchStrategy[Role] = st.sampled_from(("user", "assistant", "system", "developer"))
_status = st.sampled_from(("completed", "completed", "incomplete"))
_names = st.sampled_from(("f", "g.h", "", "n" * 200))
_shares = st.sampled_from(("client", "client", "server"))

_calls: st.SearchStrategy[ResponseItem] = (
    st.builds(
        FunctionCall, call_id=_ids, name=_names, arguments=_arguments, origin=_origins, opaque=_opaque, status=_status
    )
    | st.builds(CustomToolCall, call_id=_ids, name=_names, input=_texts, origin=_origins, opaque=_opaque)
    | st.builds(LocalShellCall, call_id=_ids, action=st.just(LocalShellAction(command=("ls",))), origin=_origins)
    | st.builds(ToolSearchCall, call_id=st.none() | _ids, execution=_shares, origin=_origins)
)
_answers: st.SearchStrategy[ResponseItem] = (
    st.builds(FunctionCallOutput, call_id=_ids, output=_outputs)
    | st.builds(CustomToolCallOutput, call_id=_ids, output=_outputs)
    | st.builds(ToolSearchOutput, call_id=st.none() | _ids, execution=_shares)
)
_reasonings: st.SearchStrategy[ResponseItem] = st.builds(
    Reasoning,
    content=st.lists(_texts, max_size=2).map(tuple),
    summary=st.lists(_texts, max_size=1).map(tuple),
    encrypted_content=st.none() | st.just("sealed"),
    signature=st.none() | st.just("signed"),
    details=st.just(()) | st.just(({"type": "reasoning.text"},)),
    opaque=_opaque,
    origin=_origins,
)
_halves: st.SearchStrategy[JsonObject] = st.sampled_from(
    (
        {"type": "server_tool_use", "id": "c1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "c1", "content": []},
        {"type": "shell_call", "call_id": "c2", "action": {}},
        {"type": "shell_call_output", "call_id": "c2", "output": []},
    )
)
_others: st.SearchStrategy[ResponseItem] = (
    st.builds(WebSearchCall, action=_opaque, origin=_origins)
    | st.builds(ImageGenerationCall, result=_texts, origin=_origins)
    | st.builds(GhostSnapshot, ghost_commit=st.just({}))
    | st.builds(Compaction, summary=st.none() | _texts, encrypted_content=st.none() | st.just("c"), origin=_origins)
    | st.builds(UnknownItem, raw=st.just({"type": "new"}) | _halves, origin=_origins)
)
_messages: st.SearchStrategy[ResponseItem] = (
    st.builds(Message, role=_roles, content=_contents, opaque=_opaque, origin=_origins)
    | st.builds(Message, role=st.just("assistant"), content=_assistant_contents, origin=_origins)
    | st.builds(Message, role=st.just("user"), content=_user_contents)
)
_items = _messages | _calls | _answers | _reasonings | _others
_repeated = st.lists(_items, min_size=1, max_size=6).flatmap(lambda pool: st.lists(st.sampled_from(pool), max_size=14))
histories = (st.lists(_items, max_size=14) | _repeated).map(tuple)
wires = st.sampled_from(WIRES)
compats = st.sampled_from(COMPATS)

CALLS = (FunctionCall, CustomToolCall, LocalShellCall)
OUTPUTS = (FunctionCallOutput, CustomToolCallOutput)


def is_call(item: ResponseItem) -> bool:
    return isinstance(item, CALLS) or (isinstance(item, ToolSearchCall) and item.execution == "client")


def is_output(item: ResponseItem) -> bool:
    return isinstance(item, OUTPUTS) or (isinstance(item, ToolSearchOutput) and item.execution == "client")


def is_made(item: ResponseItem) -> bool:
    """By the model: what a step consists of."""
    if isinstance(item, Message):
        return item.role == "assistant"
    return not (is_output(item) or isinstance(item, (Compaction, GhostSnapshot)))


def is_paused(items: Sequence[ResponseItem]) -> bool:
    """Whether a turn ends with a call that its provider is to go on with."""
    raws = [item.raw for item in items if isinstance(item, UnknownItem)]
    results = [raw.get("tool_use_id") for raw in raws]
    return any(raw.get("type") == "server_tool_use" and raw["id"] not in results for raw in raws)


def call_id(item: ResponseItem) -> str | None:
    assert isinstance(item, (*CALLS, *OUTPUTS, ToolSearchCall, ToolSearchOutput))
    return item.call_id


def steps(items: Sequence[ResponseItem]) -> Iterator[tuple[list[ResponseItem], list[ResponseItem]]]:
    """Each step with the outputs behind it; fails on an output that stands anywhere else."""
    at = 0
    while at < len(items):
        step: list[ResponseItem] = []
        outputs: list[ResponseItem] = []
        while at < len(items) and is_made(items[at]):
            step.append(items[at])
            at += 1
        while at < len(items) and is_output(items[at]):
            outputs.append(items[at])
            at += 1
        yield step, outputs
        if at < len(items) and not is_made(items[at]):
            at += 1


def strings(value: JsonValue) -> Iterator[str]:
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            todo += (*each, *each.values())
        elif isinstance(each, list):
            todo += each


def run(items: Sequence[ResponseItem], wire: WireName, compat: Compat) -> Replayed:
    return replay(items, wire=wire, model="m", compat=compat)


@LIMITS
@given(histories, wires, compats)
def test_every_call_is_followed_by_exactly_its_output(
    items: tuple[ResponseItem, ...], wire: WireName, compat: Compat
) -> None:
    """A step's calls are followed at once by one output each, of the right kind, in call order; nothing else is."""
    pairs = {"custom_tool_call": "custom_tool_call_output", "tool_search_call": "tool_search_output"}
    for step, outputs in steps(run(items, wire, compat).items):
        calls = [item for item in step if is_call(item)]
        assert [call_id(item) for item in calls] == [call_id(item) for item in outputs]
        assert [pairs.get(item.type, "function_call_output") for item in calls] == [item.type for item in outputs]


@LIMITS
@given(histories, wires, compats)
def test_call_ids_are_unique_and_legal(items: tuple[ResponseItem, ...], wire: WireName, compat: Compat) -> None:
    """Ids fit the profile; only an id its own provider made may hold other printable letters."""
    calls = [item for item in run(items, wire, compat).items if is_call(item)]
    ids = [call_id(item) or "" for item in calls]
    assert len(set(ids)) == len(ids)
    exact = compat.call_id_exact
    legal = re.compile(f"[A-Za-z0-9]{{{exact}}}" if exact else f"[A-Za-z0-9_-]{{1,{compat.call_id_max}}}")
    for call, its_id in zip(calls, ids, strict=True):
        assert isinstance(call, (*CALLS, ToolSearchCall))
        own = (
            not exact
            and call.origin is not None
            and (call.origin.wire, call.origin.provider) == (wire, compat.provider)
        )
        assert legal.fullmatch(its_id) or (own and re.fullmatch(f"[!-~]{{1,{compat.call_id_max}}}", its_id))


@LIMITS
@given(histories, wires, compats)
def test_steps_have_the_order_their_wire_wants(items: tuple[ResponseItem, ...], wire: WireName, compat: Compat) -> None:
    """No text after a call on chat and messages; no reasoning at the end of a step; no text twice in a row."""
    for step, _ in steps(run(items, wire, compat).items):
        assert not step or not isinstance(step[-1], Reasoning)
        for before, item in pairwise(step):
            if wire == "chat":
                assert not is_call(before) or is_call(item)
            if wire == "messages":
                assert not is_call(before) or is_call(item) or isinstance(item, Reasoning)
            if isinstance(before, Message) and isinstance(item, Message):
                assert dump_item(before)["content"] != dump_item(item)["content"]
        if wire == "messages":
            last_text = max((n for n, item in enumerate(step) if not is_call(item)), default=-1)
            first_call = min((n for n, item in enumerate(step) if is_call(item)), default=len(step))
            assert all(isinstance(item, Reasoning) or is_call(item) for item in step[first_call : last_text + 1])


@LIMITS
@given(histories, wires, compats)
def test_every_item_is_one_the_wire_may_see(items: tuple[ResponseItem, ...], wire: WireName, compat: Compat) -> None:
    """Kinds the wire has, clean text, object arguments, no media a model cannot read, nothing empty."""
    for item in run(items, wire, compat).items:
        assert not isinstance(item, GhostSnapshot)
        if wire != "responses":
            assert not isinstance(item, (LocalShellCall, ToolSearchCall, ToolSearchOutput, Compaction))
        if wire == "messages" or not compat.custom_tools:
            assert not isinstance(item, (CustomToolCall, CustomToolCallOutput))
        if isinstance(item, FunctionCall):
            arguments = json.loads(item.arguments)
            assert isinstance(arguments, dict)
            json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode()
        if isinstance(item, Message):
            assert item.content
        dumped = dump_item(item)
        dumped.pop("call_id", None)
        assert all("\0" not in text and text.encode() is not None for text in strings(dumped))
        assert compat.images or '"input_image"' not in json.dumps(dumped)
        assert compat.files or '"input_file"' not in json.dumps(dumped)


@LIMITS
@given(histories, wires, compats)
def test_sealed_and_foreign_things_stay_at_home(
    items: tuple[ResponseItem, ...], wire: WireName, compat: Compat
) -> None:
    """Reasoning, provider data and server items only go to the origin they name."""
    for item in run(items, wire, compat).items:
        if isinstance(item, (FunctionCallOutput, CustomToolCallOutput, ToolSearchOutput, GhostSnapshot)):
            continue
        origin = item.origin
        foreign = origin is not None and (origin.wire, origin.provider) != (wire, compat.provider)
        if isinstance(item, (Reasoning, WebSearchCall, ImageGenerationCall, UnknownItem, Compaction)):
            assert not foreign
        assert not (foreign and item.opaque)
        if isinstance(item, Reasoning) and origin is not None and origin.model == "n":
            assert not (item.signature or item.encrypted_content or item.details or item.opaque)


@LIMITS
@given(histories, compats)
def test_messages_never_begins_with_the_model(items: tuple[ResponseItem, ...], compat: Compat) -> None:
    """On messages the first item that is no system message is the user's."""
    out = run(items, "messages", compat).items
    rest = [item for item in out if not (isinstance(item, Message) and item.role in ("system", "developer"))]
    assert not rest or (isinstance(rest[0], Message) and rest[0].role == "user")


@LIMITS
@given(histories, wires, compats)
def test_replaying_the_replayed_changes_nothing(
    items: tuple[ResponseItem, ...], wire: WireName, compat: Compat
) -> None:
    """The second replay gives the very same objects and no repair."""
    once = run(items, wire, compat)
    twice = run(once.items, wire, compat)
    assert twice == Replayed(once.items)
    assert all(a is b for a, b in zip(once.items, twice.items, strict=True))


@LIMITS
@given(histories, wires, compats)
def test_what_is_not_reported_is_untouched(items: tuple[ResponseItem, ...], wire: WireName, compat: Compat) -> None:
    """An item without a repair is in the result, as the same object, in the same order; without repairs, all are."""
    replayed = run(items, wire, compat)
    repaired = {repair.item_index for repair in replayed.repairs}
    sent = iter(replayed.items)
    assert all(any(item is each for each in sent) for index, item in enumerate(items) if index not in repaired)
    assert replayed.repairs or replayed.items == items
    assert [repair.item_index for repair in replayed.repairs] == sorted(
        repair.item_index for repair in replayed.repairs
    )


@LIMITS
@given(histories, wires, compats)
def test_no_user_text_and_no_result_is_lost_unsaid(
    items: tuple[ResponseItem, ...], wire: WireName, compat: Compat
) -> None:
    """Messages of ours and outputs are as many as before, minus reported drops, plus reported additions."""
    replayed = run(items, wire, compat)
    kinds = [repair.kind for repair in replayed.repairs]
    ours = [item for item in items if not is_made(item) and not isinstance(item, GhostSnapshot)]
    sent = [item for item in replayed.items if not is_made(item)]
    dropped = {
        repair.item_index
        for repair in replayed.repairs
        if repair.kind.startswith("dropped_") and not is_made(items[repair.item_index])
        if not (repair.kind == "dropped_empty_message" and "blank part" in repair.reason)
        if repair.kind != "dropped_opaque" and not isinstance(items[repair.item_index], GhostSnapshot)
    }
    added = kinds.count("answered_open_call") + kinds.count("inserted_message")
    assert len(sent) == len(ours) - len(dropped) + added


@LIMITS
@given(histories, histories, wires, compats)
def test_a_longer_history_begins_like_the_shorter_one(
    early: tuple[ResponseItem, ...], late: tuple[ResponseItem, ...], wire: WireName, compat: Compat
) -> None:
    """Another user message and what follows leave what came before as it was, but for reasoning, late outputs and
    paused turns."""
    new_turn = Message(role="user", content=(InputText(text="next"),))
    late = tuple(item for item in late if not is_output(item))
    short = [item for item in run(early, wire, compat).items if not isinstance(item, Reasoning)]
    assume(not is_paused(short))
    long = [item for item in run((*early, new_turn, *late), wire, compat).items if not isinstance(item, Reasoning)]
    assert long[: len(short)] == short
