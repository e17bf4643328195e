"""Providers: a row of data each, and the lookup of `provider/model`.

A row says where a server is, which wires it speaks, where its key is found, and how it deviates from the standard of a
wire (overrides of `Compat`, by wire and by model). No class per provider, no code that knows one by name: a new server
is a new row, or one line of its user: `Provider("lab", "http://127.0.0.1:8000/v1")`. The rows are in `provider_rows`.

The `Compat` of a call is layered, later wins: the standard ← the wire ← the model's family ← the provider ← the
provider on that wire ← the provider's rules for the model ← the caller.

Base URLs. A request goes to the base URL and the wire's path: `https://api.openai.com/v1` + `/responses`. A base URL
that is a bare host takes the path of the row it replaces, else `/v1`: `http://127.0.0.1:4010` means
`http://127.0.0.1:4010/v1`, and `http://127.0.0.1:4010/` means the root. The path of Messages is `/v1/messages`, as its
SDK has it; a base URL that ends in a version already holds the `/v1`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from msgspec.structs import replace

from .codecs import WIRES
from .codecs.base import Compat
from .errors import ConfigError
from .items import ContentPart, ResponseItem, WireName

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from .prompt import Prompt

__all__ = [
    "PROVIDERS",
    "AuthStyle",
    "CompatOverrides",
    "Endpoint",
    "ModelRule",
    "Provider",
    "RequestTrait",
    "Resolved",
    "resolve",
    "with_overrides",
]

AuthStyle = Literal["bearer", "x-api-key", "api-key", "none"]
"""The header a key travels in: `Authorization: Bearer`, `x-api-key`, `api-key`, or no header at all."""

RequestTrait: TypeAlias = Literal["images", "goes_on"]
"""What a request may have about it: it shows an image; its last item is not the user's."""

CompatOverrides: TypeAlias = Mapping[str, object]
"""Fields of `Compat` by name, only those that differ. An unknown name or an impossible value is a ConfigError."""


@dataclass(frozen=True, slots=True)
class ModelRule:
    """Overrides for models whose name matches `pattern` (shell wildcards, no case), on `wire` only if one is given.
    `base_url`: where these models are, if not where the others of the provider are."""

    pattern: str
    compat: CompatOverrides
    wire: WireName | None = None
    _: KW_ONLY
    base_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What differs when a provider is spoken to on one wire; empty and None mean "as the row says".

    `path` replaces the wire's path; `{model}` in it is the model's name (Azure's deployments).
    """

    base_url: str = ""
    path: str = ""
    auth: AuthStyle | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    compat: CompatOverrides = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider. `Provider("lab", "http://127.0.0.1:8000/v1")` is a whole one: any wire, Chat by default, no key.

    `wires` are those it offers (empty: any), `wire` the one that is spoken unless the caller names another. `{NAME}` in
    a base URL or a query value is an environment variable: unset, it is a ConfigError in the URL, and leaves the query
    member out; `{NAME=word}` has a default, and `{NAME-}` is a region before a host: with a dash, or nothing for none
    and for `global`. `headers_if`: headers of requests that show images, and of those that go on without a word of the
    user's. `key_env`: the variables that may hold the key, the first that is set wins; one must be set unless
    `key_optional`. `instead`: (variable, row), the row to use where that variable is set. Rows never hold keys.
    """

    name: str
    base_url: str = ""
    _: KW_ONLY
    wire: WireName = "chat"
    wires: Mapping[WireName, Endpoint] = field(default_factory=dict[WireName, Endpoint])
    key_env: tuple[str, ...] = ()
    key_optional: bool = False
    auth: AuthStyle | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    headers_if: Mapping[RequestTrait, Mapping[str, str]] = field(
        default_factory=dict["RequestTrait", "Mapping[str, str]"]
    )
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    compat: CompatOverrides = field(default_factory=dict[str, object])
    models: tuple[ModelRule, ...] = ()
    instead: tuple[str, Provider] | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where and how one model is spoken to. `url` is whole, query included; `headers` hold no key."""

    provider: Provider
    model: str
    wire: WireName
    compat: Compat
    url: str
    auth: AuthStyle
    headers: Mapping[str, str]

    def headers_for(self, prompt: Prompt) -> Mapping[str, str]:
        """The headers of one request, by what is in it."""
        if not self.provider.headers_if:
            return self.headers
        more = (self.provider.headers_if.get(trait, {}) for trait in _traits(prompt))
        return {name: value for headers in (self.headers, *more) for name, value in headers.items()}


def _traits(prompt: Prompt) -> Iterator[RequestTrait]:
    last = prompt.items[-1] if prompt.items else None
    if last is not None and not (last.type == "message" and last.role == "user"):
        yield "goes_on"
    if any(map(_shows_image, prompt.items)):
        yield "images"


def _shows_image(item: ResponseItem) -> bool:
    parts: str | Sequence[ContentPart] = ""
    if item.type == "message":
        parts = item.content
    elif item.type == "function_call_output" or item.type == "custom_tool_call_output":
        parts = item.output
    return not isinstance(parts, str) and any(part.type == "input_image" for part in parts)


_WIRE_STANDARDS: Mapping[WireName, Endpoint] = {
    # A tool message of Chat holds text only (providers.md 3d: images go into a user message after it).
    "chat": Endpoint(path="/chat/completions", auth="bearer", compat={"images_in_tool_results": False}),
    "responses": Endpoint(path="/responses", auth="bearer"),
    # Thinking by budget is what servers of this wire other than Anthropic's newest know; temperature is 0 to 1 there,
    # and stop sequences are not counted. What invalidates its cache (platform.claude.com, tool use with prompt
    # caching): another tool_choice does, for the messages.
    "messages": Endpoint(
        path="/messages",
        auth="x-api-key",
        headers={"anthropic-version": "2023-06-01"},
        compat={"reasoning_request": "budget", "temperature_max": 1.0, "max_stop": None, "choice_in_cache": True},
    ),
}

_ENV = re.compile(r"\{([A-Z][A-Z0-9_]*)(-|=[^{}]*)?\}")
_VENDOR = re.compile(r"(?:[a-z]{2,}\.)*(?:openai|anthropic|meta|qwen|deepseek)\.")  # Bedrock: us.anthropic.claude-…
_VERSION = re.compile(r"/v\d+\w*$")


class _Rows(Mapping[str, Provider]):
    """The shipped rows, made when the first is asked for."""

    def __getitem__(self, name: str) -> Provider:
        return _shipped()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_shipped())

    def __len__(self) -> int:
        return len(_shipped())


@cache
def _shipped() -> Mapping[str, Provider]:
    from .provider_rows import ROWS

    return MappingProxyType({row.name: row for row in ROWS})


def _is_shipped(row: Provider) -> bool:
    known = _shipped().get(row.name)
    if known is row or (known is not None and known.instead is not None and known.instead[1] is row):
        return True
    return not (row.compat or row.models or any(endpoint.compat for endpoint in row.wires.values()))


PROVIDERS: Mapping[str, Provider] = _Rows()


def resolve(
    model: str,
    *,
    provider: Provider | str | None = None,
    wire: str | None = None,
    base_url: str | None = None,
    compat: CompatOverrides | None = None,
    env: Mapping[str, str] | None = None,
    providers: Mapping[str, Provider] = PROVIDERS,
) -> Resolved:
    """Where `provider/model` is and how it is spoken to; `groq/openai/gpt-oss-120b` is model `openai/gpt-oss-120b`.

    With `provider` given, `model` is the model's own name (a leading `provider/` is dropped). A provider nobody knows
    is made up on the spot if there is a `base_url`. `env` defaults to the process environment, read now. ConfigError
    for all that does not fit together.
    """
    env = os.environ if env is None else env
    row, name = _row_and_model(model, provider, base_url, providers)
    if row.instead is not None and env.get(row.instead[0], "").strip():
        row = row.instead[1]
    spoken = _wire(row, wire, anywhere=base_url is not None)
    endpoint = row.wires.get(spoken, Endpoint())
    standard = _WIRE_STANDARDS[spoken]
    return Resolved(
        provider=row,
        model=name,
        wire=spoken,
        compat=_compat(row, endpoint, spoken, name, compat),
        url=_url(row, endpoint, spoken, name, base_url, env),
        auth=endpoint.auth or row.auth or standard.auth or "bearer",
        headers={**standard.headers, **row.headers, **endpoint.headers},
    )


def with_overrides(compat: Compat, overrides: CompatOverrides) -> Compat:
    """`compat` with some fields replaced. ConfigError for a field there is none of, or a value it cannot have."""
    if not overrides:
        return compat
    known = Compat.__struct_fields__
    for name, value in overrides.items():
        if name not in known:
            near = ", ".join(get_close_matches(name, known, 3)) or "see codecs.base.Compat"
            raise ConfigError(f"Compat has no field {name!r}", remedy=f"did you mean: {near}")
        _check_field(name, value)
    return replace(compat, **overrides)


def _check_field(name: str, value: object) -> None:
    from pydantic import ValidationError

    try:
        _field_adapter(name).validate_python(value, strict=True)
    except ValidationError as error:
        raise ConfigError(f"Compat field {name!r} cannot be {value!r}", remedy=error.errors()[0]["msg"]) from error


@cache
def _field_adapter(name: str) -> TypeAdapter[object]:
    from typing import get_type_hints

    from pydantic import TypeAdapter

    return TypeAdapter(get_type_hints(Compat)[name])


def _row_and_model(
    model: str, provider: Provider | str | None, base_url: str | None, providers: Mapping[str, Provider]
) -> tuple[Provider, str]:
    if isinstance(provider, Provider):
        row, name = provider, model.removeprefix(f"{provider.name}/")
    elif provider is not None:
        row, name = _row(provider, base_url, providers), model.removeprefix(f"{provider}/")
    elif "/" in model:
        label, _, name = model.partition("/")
        row = _row(label, base_url, providers)
    elif base_url is not None:
        row, name = Provider("custom"), model
    elif model in providers:
        row, name = providers[model], ""
    else:
        raise ConfigError(f"model {model!r} names no provider", remedy=f"write provider/model, e.g. 'openai/{model}'")
    if not name.strip():
        raise ConfigError(f"{model!r} names no model", remedy=f"write {row.name}/ and the model's name")
    return row, name.strip()


def _row(name: str, base_url: str | None, providers: Mapping[str, Provider]) -> Provider:
    row = providers.get(name) or providers.get(name.lower())
    if row is not None:
        return row
    if base_url is not None:
        return Provider(name)
    near = get_close_matches(name.lower(), list(providers), 3)
    hint = f"did you mean {' or '.join(near)}? Otherwise pass" if near else "pass"
    raise ConfigError(
        f"unknown provider {name!r}",
        remedy=f"{hint} base_url='http://…/v1', or provider=Provider({name!r}, 'http://…/v1')",
    )


def _wire(row: Provider, wire: str | None, *, anywhere: bool) -> WireName:
    """The wire to speak. A server at a URL of the caller's may offer what the row does not: that is theirs to know."""
    if wire is None:
        return row.wire
    for known in WIRES:
        if known == wire:
            if row.wires and known not in row.wires and not anywhere:
                raise ConfigError(
                    f"provider {row.name!r} does not offer the wire {wire!r}",
                    remedy=f"choose {' or '.join(row.wires)}, or pass the base_url that does",
                )
            return known
    raise ConfigError(f"unknown wire {wire!r}", remedy=f"choose one of {', '.join(WIRES)}")


def _compat(row: Provider, endpoint: Endpoint, wire: WireName, model: str, overrides: CompatOverrides | None) -> Compat:
    rules = (rule.compat for rule in _rules(row, wire, model))
    bare = model.lower().rpartition("/")[2]
    bare = _VENDOR.sub("", bare, count=1) if _VENDOR.match(bare) else bare
    merged: dict[str, object] = {"provider": row.name}
    families = (rule.compat for rule in _families() if rule.wire in (None, wire) and fnmatchcase(bare, rule.pattern))
    for layer in (_WIRE_STANDARDS[wire].compat, *families, row.compat, endpoint.compat, *rules):
        merged.update(layer)
    if not overrides and _is_shipped(row):
        # Checking costs a schema (20 ms), once; the tests have checked what is shipped.
        return replace(Compat(), **merged)
    return with_overrides(Compat(), merged | dict(overrides or {}))


def _rules(row: Provider, wire: WireName, model: str) -> list[ModelRule]:
    name = model.lower()
    return [rule for rule in row.models if rule.wire in (None, wire) and fnmatchcase(name, rule.pattern.lower())]


@cache
def _families() -> tuple[ModelRule, ...]:
    from .model_families import FAMILIES

    return FAMILIES


def _url(
    row: Provider, endpoint: Endpoint, wire: WireName, model: str, base_url: str | None, env: Mapping[str, str]
) -> str:
    own = next((rule.base_url for rule in reversed(_rules(row, wire, model)) if rule.base_url), "")
    template = own or endpoint.base_url or row.base_url
    base = base_url if base_url is not None else _filled(template, row, env)
    if not base.strip():
        raise ConfigError(f"provider {row.name!r} has no base URL", remedy="pass base_url='http://…/v1'")
    scheme, host, path, query = _split(base)
    if not path:
        path = urlsplit(_ENV.sub("x", template) if "://" in template else f"http://{_ENV.sub('x', template)}").path
        path = path or "/v1"
    path = path.rstrip("/")
    if wire == "messages" and not endpoint.path and not _VERSION.search(path):
        path += "/v1"
    path += endpoint.path.replace("{model}", quote(model, safe="@")) or _WIRE_STANDARDS[wire].path
    members = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in row.query.items():
        if all(env.get(found.group(1), "").strip() for found in _ENV.finditer(value)):
            members.setdefault(name, _ENV.sub(lambda found: env[found.group(1)].strip(), value))
    return urlunsplit((scheme, host, re.sub("//+", "/", path), urlencode(members), ""))


def _filled(template: str, row: Provider, env: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        variable, form = found.groups()
        given = env.get(variable, "").strip().rstrip("/")
        if form == "-":
            return "" if given in ("", "global") else f"{given}-"
        if not given and not form:
            raise ConfigError(f"provider {row.name!r} needs its address", remedy=f"set {variable} or pass base_url=")
        return given or form[1:]

    return _ENV.sub(value, template)


def _split(base_url: str) -> tuple[str, str, str, str]:
    """Scheme, host with port, path and query of a usable base URL."""
    remedy = "a base URL looks like https://host/v1 or http://127.0.0.1:8000/v1"
    try:
        parts = urlsplit(base_url.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"base URL {base_url!r} is no URL: {error}", remedy=remedy) from error
    if not usable or any(char.isspace() for char in base_url.strip()):
        raise ConfigError(f"base URL {base_url!r} is no http or https URL with a host", remedy=remedy)
    if parts.username is not None or parts.password is not None:
        # Not shown: what stands before the @ is a secret, and URLs end up in logs and errors.
        raise ConfigError("a base URL must not hold a user or password", remedy="pass api_key= or headers= instead")
    return parts.scheme, parts.netloc, parts.path, parts.query
