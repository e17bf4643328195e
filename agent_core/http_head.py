"""The heads of a request and of its answer, whichever transport sends: where a request goes and what its head says, and
what of an answer's head is told."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote, urlsplit

from . import http_faults
from .http_faults import check_headers

__all__ = ["Target", "answer_headers"]

_PATH = "/:@!$&'()*+,;=~%-._"
_PORTS = {"http": 80, "https": 443}
_FRAMING = frozenset({"content-length", "transfer-encoding"})


class Target:
    """A URL, and the heads of requests to it. A name and password in it are the authorization. Raises ConfigError where
    there can be no such place."""

    __slots__ = ("_authorization", "_host", "_known", "host", "path", "port", "tls", "url")

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, standard = parts.hostname, _PORTS.get(parts.scheme)
            if not host or standard is None:
                raise ValueError("no http:// or https:// URL")
            self.host = host if host.isascii() else _idna(url)
            self.port = standard if parts.port is None else parts.port
        except ValueError as error:
            raise http_faults.no_url(url, error) from error
        self.url = url
        self.tls = parts.scheme == "https"
        query = f"?{quote(parts.query, safe=_PATH + '?')}" if parts.query else ""
        self.path = (quote(parts.path, safe=_PATH) or "/") + query
        named = f"[{self.host}]" if ":" in self.host else self.host
        self._host = named if self.port == standard else f"{named}:{self.port}"
        self._authorization = ""
        if parts.username is not None or parts.password is not None:
            who = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
            self._authorization = f"Basic {b64encode(who.encode()).decode()}"
        self._known: tuple[Mapping[str, str], tuple[tuple[str, str], ...]] = {}, self._fields({})

    def fields(self, headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """The fields of a head, but for what frames its body; for the same headers, as a client's mostly are, the same
        object. Raises ConfigError for headers that cannot be sent."""
        known, fields = self._known
        if headers != known:
            check_headers(self.url, headers)
            fields = self._fields(headers)
            self._known = dict(headers), fields
        return fields

    def _fields(self, headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        host, authorization = self._host, self._authorization
        fields: list[tuple[str, str]] = []
        for name, value in headers.items():
            lower = name.lower()
            if lower == "host":
                host = value
            elif not (lower in _FRAMING or (authorization and lower == "authorization")):
                fields.append((name, value))
        if authorization:
            fields.append(("authorization", authorization))
        return ("host", host), *fields


def _idna(url: str) -> str:
    """The host as DNS has it; ValueError where it cannot be."""
    import httpx2

    try:
        return httpx2.URL(url).raw_host.decode("ascii")
    except httpx2.InvalidURL as error:
        raise ValueError("no such host") from error


def answer_headers(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Names in lower case; one that comes twice is one. Cookies are credentials too, and these headers travel with
    errors: they are left out."""
    fields = [(name.lower(), value) for name, value in fields]
    headers = dict(fields)
    if len(headers) < len(fields):
        headers.clear()
        for name, value in fields:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    headers.pop("set-cookie", None)
    return headers
