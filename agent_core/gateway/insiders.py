"""Who may look at the gateway itself: its metrics and its status.

    a token is set     who shows it: as a bearer token, as x-api-key, or in a browser as the password (HTTP Basic)
    none is set        without keys, whoever is on this machine; with keys, nobody

"On this machine" is what the request calls the gateway: a loopback name. A page of somebody else's that a browser was
tricked into taking for this gateway (DNS rebinding) calls it by another.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Literal, Protocol

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response

__all__ = ["Insiders", "Shows", "Who", "is_of_this_machine", "password_of"]

Who = Literal["metrics", "admin"]


class Shows(Protocol):
    """A secret that is known again."""

    def is_in(self, headers: Headers) -> bool: ...


class Insiders:
    """`tokens`: the secret for each kind of page, where one is set; `open_to_all`: whether the gateway asks nobody for
    a key."""

    def __init__(self, tokens: Mapping[Who, Shows], *, open_to_all: bool) -> None:
        self._tokens = tokens
        self._open_to_all = open_to_all

    def refusal(self, who: Who, headers: Headers) -> Response | None:
        """What is answered to a request that may not see such a page; None for one that may."""
        token = self._tokens.get(who)
        if token is None:
            if self._open_to_all and is_of_this_machine(headers.get("host", "")):
                return None
            return PlainTextResponse(f"this page is for those who have the {who} token, and none is set\n", 403)
        if token.is_in(headers) or token.is_in(_with_password(headers)):
            return None
        asks = {"www-authenticate": f'Basic realm="agent-core {who}", charset="UTF-8"'}
        return PlainTextResponse(f"this page is for those who have the {who} token\n", 401, asks)


def password_of(headers: Headers) -> str:
    """The password of HTTP Basic authentication, whatever the name beside it; empty where there is none."""
    scheme, _, coded = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(coded.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _with_password(headers: Headers) -> Headers:
    return Headers({"x-api-key": password_of(headers)})


def is_of_this_machine(host: str) -> bool:
    """Whether a Host header names loopback, with a port or without."""
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"
