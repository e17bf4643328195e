"""The status page: what it shows, that it follows, and that nobody who watches holds anything up."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from functools import partial
from hashlib import sha256
from typing import cast

import anyio
import pytest

from agent_core import ModelClient, Usage
from agent_core.errors import OverloadedError
from agent_core.gateway import Gateway
from agent_core.gateway.status import MAX_CHARS, MAX_ERRORS, MAX_SHOWN, RECENT_S, Status
from agent_core.gateway.status_page import MAX_WATCHERS
from agent_core.items import JsonObject, JsonValue
from agent_core.prices import Price, PriceTable

from .asgi import Got, call
from .playing import Playing, said

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def gateway(playing: Playing, status: Status) -> Gateway:
    client = ModelClient("lab/m", base_url="http://127.0.0.1:1")
    prices = PriceTable({"lab/m": Price(1000, 2000)})
    return Gateway(default=client, services=[playing], watchers=[status], prices=prices)


def asked(model: str = "known") -> JsonObject:
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": "secret"}]}


def seen(status: Status) -> JsonObject:
    return cast("JsonObject", json.loads(status.picture()))


def at(shown: JsonValue, *path: str | int) -> JsonValue:
    for part in path:
        shown = cast("Mapping[str | int, JsonValue]", shown)[part]
    return shown


async def test_what_is_shown_of_an_answer() -> None:
    """How it ended, how long it took, what was used and what that cost; no word of it."""
    status = Status()
    app = gateway(Playing(*said("hush", usage=Usage(input=6, cache_read=4, output=5))), status)
    async with app:
        await call(app, CHAT, asked())
    shown = seen(status)
    assert at(shown, "outcomes") == at(shown, "recent", "bars", -1) == {"completed": 1}
    assert at(shown, "used") == [
        {"backend": "lab/m", "key": "", "calls": 1, "input": 10, "cached": 4, "output": 5, "unpriced": 0,
         "cost": {"USD": 0.02}}
    ]  # fmt: skip
    assert at(shown, "recent", "duration_s", "p50") == at(shown, "recent", "duration_s", "p95")
    assert at(shown, "running") == {"count": 0, "oldest": []} and at(shown, "errors") == []
    assert not re.search("secret|hush", json.dumps(shown))


async def test_what_went_wrong_is_listed() -> None:
    """The newest first, by the word for it, with the id to ask after; a client's text is cut."""
    status = Status()
    app = gateway(Playing(OverloadedError("busy: secret", status=529)), status)
    async with app:
        await call(app, CHAT, asked())
        await call(app, CHAT, asked("<b>" + "x" * 500), headers={"x-request-id": "mine-2"})
        await call(app, CHAT, {"model": 7})
    errors = cast("list[JsonObject]", at(seen(status), "errors"))
    assert [error["error"] for error in errors] == ["invalid_request", "overloaded", "overloaded"]
    assert (errors[1]["id"], errors[1]["status"], errors[1]["outcome"]) == ("mine-2", 529, "backend_error")
    assert errors[1]["model"] == ("<b>" + "x" * 500)[:MAX_CHARS]
    assert at(seen(status), "recent", "errors") == {"overloaded": 2, "invalid_request": 1}
    assert "secret" not in json.dumps(seen(status))


async def test_lists_are_bounded_and_old_answers_forgotten() -> None:
    """However many requests there are: counts go on, lists do not."""
    now = [1000.0]
    status = Status(clock=lambda: now[0])
    app = gateway(Playing(OverloadedError("busy", status=529)), status)
    async with app:
        for _ in range(MAX_ERRORS + 5):
            await call(app, CHAT, asked())
    assert len(cast("list[JsonValue]", at(seen(status), "errors"))) == MAX_ERRORS
    now[0] += RECENT_S + 1
    assert at(seen(status), "outcomes") == {"backend_error": MAX_ERRORS + 5}
    assert not any(cast("list[JsonObject]", at(seen(status), "recent", "bars")))


async def test_in_flight_is_listed_the_oldest_first() -> None:
    """So many of them at most, with who asks; all are counted."""
    status, go_on = Status(), anyio.Event()
    app = gateway(Playing(*said("a")[:3], go_on, *said("a")[3:]), status)
    running: list[JsonObject] = []
    async with app, anyio.create_task_group() as tasks:
        for number in range(MAX_SHOWN + 3):
            tasks.start_soon(call, app, CHAT, asked(f"model-{number}"))
        await anyio.wait_all_tasks_blocked()
        running.append(cast("JsonObject", at(seen(status), "running")))
        go_on.set()
    assert running[0]["count"] == MAX_SHOWN + 3
    oldest = cast("list[JsonObject]", running[0]["oldest"])
    assert [one["model"] for one in oldest] == [f"model-{number}" for number in range(MAX_SHOWN)]
    assert at(seen(status), "running", "count") == 0


def pictures(got: Got) -> list[JsonObject]:
    return [json.loads(data) for data in re.findall(r"^data: (.*)\n\n", got.text, re.M)]


async def test_events_follow_what_happens() -> None:
    """A picture at once, another one when a request came; each is JSON."""
    status = Status(every_s=0.001)
    app = gateway(Playing(*said("a")), status)
    got = Got()
    async with app, anyio.create_task_group() as tasks:
        begun = anyio.Event()

        def leave(so_far: Got) -> bool:
            got.pieces = so_far.pieces
            if so_far.pieces:
                begun.set()
            return any(at(picture, "outcomes") for picture in pictures(so_far))

        tasks.start_soon(partial(call, app, "/status/events", method="GET", leave=leave))
        await begun.wait()
        await call(app, CHAT, asked())
    assert [at(picture, "outcomes") for picture in (pictures(got)[0], pictures(got)[-1])] == [{}, {"completed": 1}]


async def test_who_watches_holds_nobody_up_and_they_are_few() -> None:
    """A watcher that reads nothing costs requests nothing; one too many is told to come back; places are given back."""
    status = Status(every_s=0.001)
    app = gateway(Playing(*said("a")), status)
    statuses: list[int] = []
    async with app, anyio.create_task_group() as tasks:
        for _ in range(MAX_WATCHERS):
            tasks.start_soon(partial(call, app, "/status/events", method="GET", stalled=True))
        await anyio.wait_all_tasks_blocked()
        statuses.append((await call(app, "/status/events", method="GET")).status)
        statuses.append((await call(app, CHAT, asked())).status)
        tasks.cancel_scope.cancel()
    assert statuses == [503, 200]
    got = await call(app, "/status/events", method="GET", leave=lambda got: bool(got.pieces))
    assert got.status == 200


def hashes(policy: str, kind: str) -> set[str]:
    return set(re.findall(r"'sha256-([^']+)'", re.findall(rf"{kind} ([^;]*)", policy)[0]))


async def test_the_page_allows_only_what_is_in_it() -> None:
    """Its policy names its own script and style by their hash; nothing is loaded from anywhere, or written as HTML."""
    got = await call(gateway(Playing(), Status()), "/status", method="GET")
    policy = got.headers["content-security-policy"]
    for kind, tag in (("script-src", "script"), ("style-src", "style")):
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", got.text, re.S)
        assert hashes(policy, kind) == {base64.b64encode(sha256(part.encode()).digest()).decode() for part in parts}
        assert got.text.count(f"<{tag}") == len(parts) == 1
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert not re.search(
        r"innerHTML|insertAdjacent|document\.write|eval\(|\son\w+=|style=|https?://(?!www\.w3)", got.text
    )


async def test_the_page_can_be_read_by_all() -> None:
    """Every table has headings for its columns; what changes by itself is said once; each place has one name."""
    text = (await call(gateway(Playing(), Status()), "/status", method="GET")).text
    heads = re.findall(r"<thead>(.*?)</thead>", text, re.S)
    assert len(heads) == text.count("<table") and all('<th scope="col"' in head and "<td" not in head for head in heads)
    assert text.count("aria-live") == 1 and '<html lang="en">' in text
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    labels: list[str] = re.findall(r'aria-labelledby="([^"]+)"', text)
    assert {name for names in labels for name in names.split()} <= set(ids)
    assert set(re.findall(r'\b(?:at|put|fill)\("([a-z0-9-]+)"', text)) <= set(ids)
