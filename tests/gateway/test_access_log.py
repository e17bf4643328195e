"""The access log: a line a request, nothing that was said, and no waiting for who does not read it."""

from __future__ import annotations

import io
import json
import logging
import re
import threading

import pytest

from agent_core import ModelClient, Usage
from agent_core.errors import OverloadedError
from agent_core.gateway import Gateway
from agent_core.gateway import access_log as module
from agent_core.gateway.access_log import LogForm, access_log
from agent_core.items import JsonObject
from agent_core.logs import fields_of, usage_lost
from agent_core.prices import Price, PriceTable

from .asgi import call
from .playing import Playing, said

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
ANSWER = Playing(*said("sesame", usage=Usage(input=6, cache_read=4, output=5)))
BUSY = Playing(OverloadedError("busy: secret", status=529))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def asked(model: str = "known") -> JsonObject:
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": "secret"}]}


async def answer(playing: Playing, *bodies: JsonObject) -> None:
    client = ModelClient("lab/m", base_url="http://127.0.0.1:1")
    app = Gateway(default=client, services=[playing], prices=PriceTable({"lab/m": Price(1000, 2000)}))
    async with app:
        for body in bodies:
            await call(app, CHAT, body, headers={"x-request-id": "mine-1"})


LINES: dict[str, tuple[Playing, JsonObject, str]] = {
    "answered": (
        ANSWER,
        asked(),
        r'completed 200 chat "known" by lab/m \d\.\d\d s \(first \d\.\d\d s\) 10\+5 tokens 0\.02 USD mine-1',
    ),
    "from the cache": (
        Playing(*said("sesame"), headers={"x-agent-core-cache": "hit"}),
        asked(),
        r'completed 200 chat "known" by lab/m \(cache: hit\) \d\.\d\d s \(first \d\.\d\d s\) .* mine-1',
    ),
    "failed": (BUSY, asked(), r'backend_error \(overloaded\) 529 chat "known" \d\.\d\d s mine-1'),
    "a name with a line in it": (
        BUSY,
        asked('x" 200 completed\nfake\x1b[31m'),
        r'backend_error \(overloaded\) 529 chat "x\\" 200 completed\\nfake\\u001b\[31m" \d\.\d\d s mine-1',
    ),
    "not understood": (ANSWER, {"model": 7}, r'refused \(invalid_request\) 400 chat "" \d\.\d\d s mine-1'),
}


@pytest.mark.parametrize("name", LINES)
async def test_a_line_for_people(name: str) -> None:
    """When, how it ended, who answered, what it took; names are quoted."""
    playing, body, line = LINES[name]
    out = io.StringIO()
    with access_log("text", out):
        await answer(playing, body)
    assert re.fullmatch(rf"\d\d:\d\d:\d\d {line}\n", out.getvalue()), out.getvalue()
    assert not re.search("secret|sesame", out.getvalue())


async def test_a_line_for_programs() -> None:
    """Every field of the record, as JSON."""
    out = io.StringIO()
    with access_log("json", out):
        await answer(ANSWER, asked(), asked())
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [list(line) for line in lines] == [["at", "event", *fields_of["served"]]] * 2
    assert lines[0]["tokens_cached"] == 4 and lines[0]["stream"] is True and lines[0]["cost"] == 0.02


def test_what_else_there_is_to_say_is_said() -> None:
    """Warnings of the gateway, in the same log."""
    forms: dict[LogForm, str] = {
        "text": r"\d\d:\d\d:\d\d what the key team used .*",
        "json": r'.*"event":"usage_lost","key":"team"}',
    }
    for form, line in forms.items():
        out = io.StringIO()
        with access_log(form, out):
            usage_lost("team")
        assert re.fullmatch(line + "\n", out.getvalue()), out.getvalue()


async def test_off_is_silent_and_leaves_nothing_behind() -> None:
    """Nor does one that was on, when its block is over."""
    out, logger = io.StringIO(), logging.getLogger("agent_core.gateway")
    before = (logger.level, list(logger.handlers), logger.propagate)
    with access_log("off", out):
        await answer(ANSWER, asked())
    with access_log("text", io.StringIO()):
        pass
    assert out.getvalue() == "" and (logger.level, list(logger.handlers), logger.propagate) == before


class Stuck(io.StringIO):
    """A pipe that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.is_written, self.is_read = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.is_written.set()
        self.is_read.wait(20)
        return super().write(text)


async def test_who_does_not_read_holds_no_request_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are kept up to a bound, then dropped, which is said."""
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    out = Stuck()
    with access_log("text", out):
        await answer(ANSWER, asked())
        assert out.is_written.wait(20)
        await answer(ANSWER, *[asked()] * 5)
        out.is_read.set()
    assert out.getvalue().count("mine-1") == 3
    assert "3 lines of the access log were dropped" in out.getvalue()
