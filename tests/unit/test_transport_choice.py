"""Which transport sends, and what those that keep their own connections do in another event loop."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
from collections.abc import Callable

import anyio
import pytest

from agent_core import ModelClient
from agent_core.errors import CallerError, ConfigError
from agent_core.fast_transport import AiohttpTransport
from agent_core.h11_transport import H11Transport
from agent_core.transport import HttpRequest, Transport
from agent_core.transport_choice import VARIABLE, ChosenTransport, TransportName

from ..loopback import exchange, reply, serve

NOTHING: dict[str, str] = {}
HERE, AWAY = "http://127.0.0.1:80/v1", "https://host.test/v1"


async def chosen(url: str, name: TransportName | None, env: dict[str, str]) -> str:
    return ChosenTransport(name, env=env).name_for(url)


@pytest.mark.parametrize(
    ("backend", "url", "name", "env", "proxy", "sends"),
    [
        ("asyncio", HERE, None, "", "", "aiohttp"),
        ("asyncio", AWAY, None, "", "", "aiohttp"),
        ("trio", HERE, None, "", "", "h11"),
        ("trio", AWAY, None, "", "", "h11"),
        ("trio", AWAY, None, "", "http://proxy.test", "httpx2"),
        ("asyncio", AWAY, None, "", "http://proxy.test", "httpx2"),
        ("asyncio", HERE, None, "", "http://proxy.test", "aiohttp"),
        ("asyncio", HERE, "httpx2", "", "", "httpx2"),
        ("asyncio", AWAY, "h11", "", "http://proxy.test", "h11"),
        ("asyncio", HERE, None, "httpx2", "", "httpx2"),
        ("asyncio", HERE, "aiohttp", "httpx2", "", "aiohttp"),
        ("asyncio", AWAY, None, "aiohttp", "http://proxy.test", "aiohttp"),
        ("trio", HERE, None, "httpx2", "", "httpx2"),
        ("trio", HERE, None, "h11", "", "h11"),
    ],
)
def test_which_one_sends(
    backend: str,
    url: str,
    name: TransportName | None,
    env: str,
    proxy: str,
    sends: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """aiohttp's on asyncio, h11 on trio, httpx2 where a proxy is in the way; what was asked for, where it was."""
    for variable in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    if proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    assert anyio.run(chosen, url, name, {VARIABLE: env}, backend=backend) == sends


@pytest.mark.anyio
async def test_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom the environment names is asked for the server's address, whole, for a client that chose nothing."""
    for variable in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    async with serve(exchange(reply(200, b"by proxy"))) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        transport = ChosenTransport(env=NOTHING)
        async with transport.open(HttpRequest("http://host.test/v1", {}, b"{}"), connect_s=5) as http:
            assert [piece async for piece in http.chunks] == [b"by proxy"]
        await transport.aclose()
    assert proxy.requests[0].path == "http://host.test/v1"


def test_without_aiohttp(monkeypatch: pytest.MonkeyPatch) -> None:
    """h11 sends; who asked for aiohttp is told how to get it."""
    monkeypatch.setitem(sys.modules, "agent_core.fast_transport", None)
    assert anyio.run(chosen, HERE, None, NOTHING) == "h11"
    with pytest.raises(ConfigError) as caught:
        anyio.run(chosen, HERE, "aiohttp", NOTHING)
    assert caught.value.remedy == "pip install 'agent-core[fast]'"


def test_what_cannot_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name there is not, when the client is made; aiohttp on trio, when it is to send."""
    with pytest.raises(ConfigError, match=r"^transport= names no transport: 'requests'"):
        ModelClient("lab/m", base_url=HERE, transport="requests")  # type: ignore[arg-type]  # the claim
    monkeypatch.setenv(VARIABLE, "curl")
    with pytest.raises(ConfigError, match=f"^{VARIABLE} names no transport: 'curl'"):
        ModelClient("lab/m", base_url=HERE)
    with pytest.raises(CallerError, match="asyncio"):
        anyio.run(chosen, HERE, "aiohttp", NOTHING, backend="trio")


def test_importing_imports_neither() -> None:
    """Whoever asks nobody pays for no HTTP client, and a client that is made pays for none yet."""
    script = (
        "import sys, agent_core; agent_core.ModelClient('lab/m', base_url='http://h/v1'); "
        "print([name for name in ('aiohttp', 'h11', 'httpx2') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout == "[]\n"


OWN = [AiohttpTransport, H11Transport]


async def fetched(transport: Transport) -> int:
    async with (
        serve(exchange(reply(200, b"hello"))) as server,
        transport.open(HttpRequest(server.url, {}, b"{}")) as http,
    ):
        assert [piece async for piece in http.chunks] == [b"hello"]
    for _ in range(5):
        await anyio.lowlevel.checkpoint()  # the server has left, and its connection is seen to be closed
    return http.status


@pytest.mark.parametrize("kind", OWN)
def test_another_event_loop(kind: Callable[[], Transport]) -> None:
    """Where the first one was closed, a request begins anew; where it may go on, its connections are not touched."""
    transport = kind()
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    assert first.run_until_complete(fetched(transport)) == 200
    with pytest.raises(CallerError, match="another event loop"):
        second.run_until_complete(fetched(transport))
    first.close()
    assert second.run_until_complete(fetched(transport)) == 200
    second.run_until_complete(transport.aclose())
    second.close()


@pytest.mark.parametrize("kind", OWN)
def test_a_client_that_was_never_closed(kind: Callable[[], Transport]) -> None:
    """Is collected without a word, where it left nothing open."""
    loop = asyncio.new_event_loop()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert loop.run_until_complete(fetched(kind())) == 200
        gc.collect()
    loop.close()
    assert told == []
