"""Findings as source: the `Provider(…)` to paste, holding what differs from the standard of its wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from ..codecs import CODECS
from ..codecs.base import Compat
from ..providers import Resolved, resolve

__all__ = ["compat_overrides", "provider_source"]

_WIDTH = 100
_ANYWHERE = "http://127.0.0.1/v1"


def compat_overrides(compat: Compat, resolved: Resolved) -> dict[str, object]:
    """The fields in which `compat` differs from what a row without any would have on this wire; in their order."""
    standard = _plain(resolved).compat
    return {
        name: value
        for name in Compat.__struct_fields__
        if name != "provider" and (value := getattr(compat, name)) != getattr(standard, name)
    }


def provider_source(resolved: Resolved, overrides: Mapping[str, object], *, base_url: str | None = None) -> str:
    """A call of `Provider` that makes the row. `base_url` is the caller's own; without it the known row's address is
    kept, with its variables. No key is in it: those are not part of rows."""
    row, wire, plain = resolved.provider, resolved.wire, _plain(resolved)
    endpoint = row.wires.get(wire)
    own = {} if endpoint is None else dict(endpoint.headers)
    path = endpoint.path if endpoint is not None else ""
    members: dict[str, object] = {}
    if wire != "chat":
        members["wire"] = wire
    if row.key_env:
        members["key_env"] = row.key_env
        if row.key_optional:
            members["key_optional"] = True
    if resolved.auth != plain.auth:
        members["auth"] = resolved.auth
    if headers := {**row.headers, **own}:
        members["headers"] = headers
    if row.headers_if:
        members["headers_if"] = dict(row.headers_if)
    if base_url is None and row.query:
        members["query"] = dict(row.query)
    if overrides:
        members["compat"] = dict(overrides)
    lines = [f"    {_literal(row.name)},", f"    {_literal(_base_url(resolved, base_url))},"]
    if path:
        lines.append(f"    wires={{{_literal(wire)}: Endpoint(path={_literal(path)})}},")
    lines.extend(_member(name, value) for name, value in members.items())
    return "\n".join(["Provider(", *lines, ")"])


def _plain(resolved: Resolved) -> Resolved:
    return resolve("plain/model", base_url=_ANYWHERE, wire=resolved.wire, providers={}, env={})


def _base_url(resolved: Resolved, base_url: str | None) -> str:
    """The address without the wire's path. Bare hosts get the path they stand for: a new row has no other to take."""
    row = resolved.provider
    endpoint = row.wires.get(resolved.wire)
    if base_url is None:
        return (endpoint.base_url if endpoint is not None else "") or row.base_url
    parts = urlsplit(resolved.url)
    given = urlsplit(base_url.strip())
    end = CODECS[resolved.wire].path
    if endpoint is not None and endpoint.path:
        return base_url
    return urlunsplit((parts.scheme, parts.netloc, parts.path.removesuffix(end) or "/", given.query, ""))


def _member(name: str, value: object) -> str:
    line = f"    {name}={_literal(value)},"
    if len(line) <= _WIDTH or not isinstance(value, Mapping):
        return line
    members = cast("Mapping[object, object]", value)
    entries = [f"        {_literal(key)}: {_literal(entry)}," for key, entry in members.items()]
    return "\n".join([f"    {name}={{", *entries, "    },"])


def _literal(value: object) -> str:
    """Python source of strings, numbers, booleans, None, tuples, lists and mappings."""
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Mapping):
        entries = cast("Mapping[object, object]", value)
        return "{" + ", ".join(f"{_literal(key)}: {_literal(entry)}" for key, entry in entries.items()) + "}"
    if isinstance(value, tuple):
        return "(" + "".join(f"{_literal(entry)}, " for entry in cast("tuple[object, ...]", value)).rstrip() + ")"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(entry) for entry in cast("list[object]", value)) + "]"
    return repr(value)
