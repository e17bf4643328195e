"""Responses that are kept: conversations by id on any backend, and what can be asked of an answer later."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import anyio
import httpx2
import openai
import pytest
from pydantic_core import from_json

from agent_core import ModelClient, Prompt
from agent_core.codecs import WIRES
from agent_core.errors import InvalidRequestError, ServerError
from agent_core.events import OutputItemAdded, OutputItemDone, OutputTextDelta, ResponseEvent
from agent_core.gateway import Gateway
from agent_core.gateway.shelf import Kept, Shelf
from agent_core.gateway.stored import Stored
from agent_core.gateway.stores import MemoryStore, StoreDown
from agent_core.items import FunctionCallOutput, JsonObject, Message, WireName, assistant_message, text_of, user_message
from agent_core.testing import Call, RehearsalServer, Step, last_user_text

from .asgi import Got, call
from .backing import Backing, Broken, asking, heard
from .playing import Playing, said
from .running import running

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


KEYS = ("a-key-of-the-gateway-1", "a-key-of-the-gateway-2")


def answering(prompt: Prompt) -> Step:
    if last_user_text(prompt) == "add":
        called = any(isinstance(item, FunctionCallOutput) for item in prompt.items)
        return Step(text="5") if called else Step(calls=(Call("add", {"a": 2, "b": 3}, "call_one"),))
    return Step(text=f"to {last_user_text(prompt)}")


Backed = tuple[httpx2.Client, RehearsalServer]


@contextmanager
def keeping(wire: WireName) -> Generator[Backed]:
    """A gateway with two tenants before a backend of this wire that keeps nothing itself."""
    with RehearsalServer(answering, pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider, wire=wire)
        gateway = Gateway(default=client, keys=KEYS, services=[Stored()])
        with running(gateway) as url, httpx2.Client(base_url=url, headers={"x-api-key": KEYS[0]}) as http:
            yield http, server


@pytest.fixture(scope="module", params=WIRES)
def kept(request: pytest.FixtureRequest) -> Iterator[Backed]:
    with keeping(request.param) as pair:
        yield pair


def ask(http: httpx2.Client, text: object, **members: object) -> JsonObject:
    answer = http.post("/v1/responses", json={"model": "any", "input": text, **members})
    assert answer.status_code == 200, answer.text
    found: JsonObject = answer.json()
    return found


def heard_by(server: RehearsalServer) -> tuple[str, list[str]]:
    prompt = server.requests[-1].prompt
    assert prompt is not None
    return prompt.instructions, [text_of(item) for item in prompt.items if isinstance(item, Message)]


def test_a_conversation_by_ids(kept: Backed) -> None:
    """S2-29: the backend hears all that was said before, questions too; instructions are those of the request alone."""
    http, server = kept
    first = ask(http, "one", instructions="Be brief.")
    second = ask(http, "two", previous_response_id=first["id"])
    ask(http, "three", previous_response_id=second["id"], instructions="Be long.")
    assert heard_by(server) == ("Be long.", ["one", "to one", "two", "to two", "three"])
    ask(http, "another", previous_response_id=first["id"])
    assert heard_by(server) == ("", ["one", "to one", "another"])
    assert second["previous_response_id"] == first["id"]


def test_a_call_is_answered_by_id(kept: Backed) -> None:
    """The output alone is sent: the call it answers is kept."""
    http, server = kept
    tools = [{"type": "function", "name": "add", "parameters": {"type": "object"}}]
    first = ask(http, "add", tools=tools)
    output = {"type": "function_call_output", "call_id": "call_one", "output": "5"}
    second = ask(http, [output], tools=tools, previous_response_id=first["id"])
    assert second["output"][0]["content"][0]["text"] == "5"  # type: ignore[index, call-overload]
    prompt = server.requests[-1].prompt
    assert prompt is not None
    assert [item.type for item in prompt.items] == ["message", "function_call", "function_call_output"]


def test_a_streamed_answer_is_kept(kept: Backed) -> None:
    """As soon as its end is there; what is found later is what its end said."""
    http, server = kept
    streamed = http.post("/v1/responses", json={"model": "any", "input": "one", "stream": True}).text
    events = [from_json(line[6:]) for line in streamed.splitlines() if line.startswith("data: ")]
    end = events[-1]["response"]
    assert (events[0]["response"]["id"], events[-1]["type"]) == (end["id"], "response.completed")
    assert http.get(f"/v1/responses/{end['id']}").json() == end
    ask(http, "two", previous_response_id=end["id"])
    assert heard_by(server)[1] == ["one", "to one", "two"]


def test_what_can_be_asked_later(kept: Backed) -> None:
    """By the official SDK: the object, what it was made of, and its end."""
    http, _ = kept
    with openai.OpenAI(base_url=str(http.base_url.join("/v1")), api_key=KEYS[0], max_retries=0) as client:
        first = client.responses.create(model="any", input="one")
        second = client.responses.create(model="any", input="two", previous_response_id=first.id)
        assert client.responses.retrieve(second.id).output_text == second.output_text == "to two"
        listed = client.responses.input_items.list(second.id, order="asc", limit=2)
        assert [item.to_dict()["content"][0]["text"] for item in listed] == ["one", "to one", "two"]  # type: ignore[index]
        assert client.responses.cancel(first.id).status == "completed"
        client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(first.id)
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="any", input="three", previous_response_id=second.id)
    assert caught.value.code == "previous_response_not_found"


@pytest.fixture(scope="module")
def one() -> Iterator[tuple[httpx2.Client, str, str]]:
    """A response that is kept, and one that is not."""
    with keeping("chat") as (http, _):
        yield http, str(ask(http, "one")["id"]), str(ask(http, "one", store=False)["id"])


REFUSED: dict[str, tuple[str, str, JsonObject, int, str]] = {
    "an id nobody has": ("POST", "", {"previous_response_id": "resp_x"}, 400, "previous_response_not_found"),
    "of another tenant": ("POST", "", {"previous_response_id": "KEPT"}, 400, "previous_response_not_found"),
    "not kept": ("POST", "", {"previous_response_id": "UNKEPT"}, 400, "previous_response_not_found"),
    "in the background": ("POST", "", {"background": True}, 400, "invalid_prompt"),
    "to see another's": ("GET", "/KEPT", {}, 404, "not_found"),
    "to see what is not kept": ("GET", "/UNKEPT", {}, 404, "not_found"),
    "to delete another's": ("DELETE", "/KEPT", {}, 404, "not_found"),
    "to cancel another's": ("POST", "/KEPT/cancel", {}, 404, "not_found"),
    "to list another's": ("GET", "/KEPT/input_items", {}, 404, "not_found"),
    "to stream it again": ("GET", "/KEPT?stream=true", {}, 400, "invalid_prompt"),
    "a page of no size": ("GET", "/KEPT/input_items?limit=0", {}, 400, "invalid_prompt"),
    "another order": ("GET", "/KEPT/input_items?order=up", {}, 400, "invalid_prompt"),
    "after what is not there": ("GET", "/KEPT/input_items?after=x", {}, 400, "invalid_prompt"),
}
OTHERS = ("of another tenant", *(name for name in REFUSED if "another's" in name))


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(one: tuple[httpx2.Client, str, str], name: str) -> None:
    """In OpenAI's shape and words."""
    http, kept_id, unkept_id = one
    method, path, members, status, code = REFUSED[name]
    ids = {"KEPT": kept_id, "UNKEPT": unkept_id}
    for word, given in ids.items():
        path = path.replace(f"/{word}", f"/{given}")
    body = {"model": "any", "input": "hi", **members}
    body = {key: ids.get(str(value), value) for key, value in body.items()}
    key = KEYS[1] if name in OTHERS else KEYS[0]
    answer = http.request(
        method, f"/v1/responses{path}", json=body if method == "POST" else None, headers={"x-api-key": key}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_every_door_asks_for_a_key(one: tuple[httpx2.Client, str, str]) -> None:
    http, kept_id, _ = one
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")):
        answer = http.request(method, f"/responses/{kept_id}{path}", headers={"x-api-key": ""})
        assert answer.status_code == 401


# an answer that is being given

BEGUN = said("half of it, ", "and the rest")


async def test_an_answer_is_cancelled() -> None:
    """Its client is told, never that it is whole; what there was is kept, and seen while it is given."""
    message = assistant_message("whole")
    item: list[ResponseEvent] = [
        OutputItemAdded(0, Message(role="assistant")),
        OutputTextDelta(0, "whole"),
        OutputItemDone(0, message),
    ]
    gate = anyio.Event()
    gateway = Gateway(default=_nobody(), services=[Stored(), Playing(BEGUN[0], *item, gate)])
    told: list[Got] = []
    seen: list[JsonObject] = []

    async def stream() -> None:
        told.append(await call(gateway, "/v1/responses", {"model": "any", "input": "hi", "stream": True}, leave=noted))

    begun, ids = anyio.Event(), list[str]()

    def noted(got: Got) -> bool:
        if '"response.output_item.done"' in got.text:
            ids.append(from_json(got.text.split("data: ")[1].split("\n")[0])["response"]["id"])
            begun.set()
        return False

    async with gateway, anyio.create_task_group() as tasks:
        tasks.start_soon(stream)
        await begun.wait()
        path = f"/v1/responses/{ids[0]}"
        for method, end in (("GET", ""), ("POST", "/cancel"), ("GET", "")):
            seen.append(from_json((await call(gateway, path + end, method=method)).text))
    assert [one["status"] for one in seen] == ["in_progress", "cancelled", "cancelled"]
    assert seen[1]["output"][0]["content"][0]["text"] == "whole"  # type: ignore[index, call-overload]
    assert '"response_cancelled"' in told[0].text and "response.completed" not in told[0].text


async def test_what_is_cancelled_can_be_gone_on_from() -> None:
    """With what was whole of it."""
    stored = Stored()
    backing = Backing()
    storing = stored.around(backing)
    ids: list[str] = []
    with pytest.raises(ServerError, match="cancelled"):
        async with storing.answer(asking("one", wire="responses")) as answer:
            await anext(answer.events)
            ids += [response_id for _, response_id in stored.running]
            assert await stored.cancel("", ids[0]) is not None
            await anext(answer.events)
    assert len(stored.running) == 0
    more = Prompt("two", model="any", previous_response_id=ids[0])
    await heard(storing, asking(more, wire="responses"))
    assert backing.asks[-1].prompt.items == (user_message("one"), user_message("two"))


async def test_who_leaves_keeps_nothing() -> None:
    stored = Stored(store := MemoryStore())
    async with stored.around(Backing()).answer(asking("one", wire="responses")) as answer:
        await anext(answer.events)
    assert (len(store), len(stored.running)) == (0, 0)


@pytest.mark.parametrize("wire", ["chat", "messages"])
async def test_other_wires_keep_nothing(wire: WireName) -> None:
    """They have no words for it."""
    stored = Stored(store := MemoryStore())
    await heard(stored.around(Backing()), asking("one", wire=wire))
    assert len(store) == 0


# the shelf


def turn(parent: str, n: int) -> Kept:
    return Kept(parent, (user_message(f"q{n}"),), (assistant_message(f"a{n}"),), b"{}")


async def test_a_turn_takes_the_room_of_a_turn() -> None:
    """Whatever came before it; the whole of a long conversation is found again, and is kept for longer."""
    now = [0.0]
    shelf = Shelf(store := MemoryStore(clock=lambda: now[0]), ttl_s=100, max_bytes=10_000)
    sizes: list[int] = []
    for n in range(100, 200):
        before = store._bytes
        await shelf.keep("", f"r{n}", turn(f"r{n - 1}" if n > 100 else "", n))
        sizes.append(store._bytes - before)
    assert max(sizes) - min(sizes) <= 4
    now[0] = 60
    assert len(await shelf.history("", "r199")) == 200
    now[0] = 120
    assert len(await shelf.history("", "r199")) == 200
    now[0] = 500
    with pytest.raises(InvalidRequestError, match="not found"):
        await shelf.history("", "r199")


async def test_a_gap_is_named() -> None:
    """Where an earlier turn was deleted, its followers cannot be gone on from."""
    shelf = Shelf(MemoryStore(), ttl_s=100, max_bytes=10_000)
    await shelf.keep("", "r1", turn("", 1))
    await shelf.keep("", "r2", turn("r1", 2))
    assert await shelf.delete("", "r1")
    with pytest.raises(InvalidRequestError, match=r"'r2' not found\. It goes on from 'r1', which is gone"):
        await shelf.history("", "r2")


async def test_a_conversation_has_an_end() -> None:
    shelf = Shelf(MemoryStore(), ttl_s=100, max_bytes=10_000)
    for n in range(1002):
        await shelf.keep("", f"r{n}", turn(f"r{n - 1}" if n else "", n))
    with pytest.raises(InvalidRequestError, match="is too long"):
        await shelf.history("", "r1001")


async def test_what_is_too_large_or_damaged_is_not_there() -> None:
    shelf = Shelf(store := MemoryStore(), ttl_s=100, max_bytes=50)
    await shelf.keep("", "r1", turn("", 1))
    assert (len(store), await shelf.find("", "r1")) == (0, None)
    shelf = Shelf(store, ttl_s=100, max_bytes=5000)
    await shelf.keep("", "r1", turn("", 1))
    (key,) = store._entries
    for damaged in (b"", b'{"v":2}', b'{"v":1,"parent":"","asked":[{"type":7}],"answered":[],"body":{}}'):
        await store.put({key: damaged}, 100)
        assert await shelf.find("", "r1") is None


async def test_a_store_that_is_down_is_no_unknown_id() -> None:
    """503, to be tried again: 404 would be taken for the truth. An answer is given all the same."""
    stored = Stored(Broken(StoreDown()))
    storing = stored.around(Backing())
    events, _ = await heard(storing, asking("one", wire="responses"))
    assert len(events) == 5
    with pytest.raises(ServerError) as caught:
        await heard(storing, asking(Prompt("two", previous_response_id="resp_x"), wire="responses"))
    assert (caught.value.status, caught.value.retry_after_s) == (503, 1.0)


def _nobody() -> ModelClient:
    return ModelClient("lab/m", base_url="http://127.0.0.1:1")
