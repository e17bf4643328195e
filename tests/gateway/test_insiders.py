"""Who may look at the gateway itself."""

from __future__ import annotations

import base64

import pytest
from starlette.datastructures import Headers

from agent_core import ModelClient
from agent_core.gateway import Gateway
from agent_core.gateway.insiders import Insiders, password_of
from agent_core.gateway.metrics import Metrics
from agent_core.gateway.status import Status

from .asgi import call

pytestmark = pytest.mark.anyio

KEY = "a-key-of-the-gateway-1"
TOKEN = "a-token-of-the-gateway"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Secret:
    def is_in(self, headers: Headers) -> bool:
        return TOKEN in (headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer "))


def basic(password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()}


REQUESTS: dict[str, tuple[str, dict[str, str], int]] = {
    "on this machine": ("open", {"host": "127.0.0.1:8642"}, 200),
    "on this machine, by name": ("open", {"host": "localhost"}, 200),
    "on this machine, IPv6": ("open", {"host": "[::1]:8642"}, 200),
    "by a name that was made to lead here": ("open", {"host": "evil.example:8642"}, 403),
    "by nothing": ("open", {"host": ""}, 403),
    "keys, and no token": ("keys", {}, 403),
    "keys, no token, a key": ("keys", {"x-api-key": KEY}, 403),
    "a bearer token": ("token", {"authorization": f"Bearer {TOKEN}"}, 200),
    "the password": ("token", basic(TOKEN), 200),
    "the password, from elsewhere": ("token", {**basic(TOKEN), "host": "gateway.example"}, 200),
    "nothing": ("token", {}, 401),
    "a wrong password": ("token", basic("guess"), 401),
    "a key": ("token", {"x-api-key": KEY}, 401),
    "no base64": ("token", {"authorization": "Basic %%%"}, 401),
}


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("path", ["/metrics", "/status"])
async def test_who_may_look(name: str, path: str) -> None:
    """Without keys this machine, else whoever has the token; a browser is asked for it."""
    locked, headers, status = REQUESTS[name]
    app = Gateway(
        default=ModelClient("lab/m", base_url="http://127.0.0.1:1"),
        keys=[] if locked == "open" else [KEY],
        insiders=Insiders({"metrics": Secret(), "admin": Secret()}, open_to_all=False) if locked == "token" else None,
        watchers=[Metrics(), Status()],
    )
    got = await call(app, path, method="GET", headers=headers)
    assert (got.status, "www-authenticate" in got.headers) == (status, status == 401)
    assert TOKEN not in got.text


def test_events_are_guarded_like_the_page() -> None:
    """Both are for those who run the gateway."""
    app = Gateway(default=ModelClient("lab/m", base_url="http://127.0.0.1:1"))
    assert {page.path: page.who for page in Status().pages(app)} == {"/status": "admin", "/status/events": "admin"}


@pytest.mark.parametrize(
    ("header", "password"),
    [
        ("Basic Og==", ""),
        ("Basic YTpiOmM=", "b:c"),
        ("basic YTpi", "b"),
        ("Basic /w==", ""),
        ("Bearer YTpi", ""),
        ("", ""),
    ],
)
def test_passwords(header: str, password: str) -> None:
    """What is after the first colon; nothing where it cannot be read."""
    assert password_of(Headers({"authorization": header})) == password
