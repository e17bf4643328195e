"""The gateway as an ASGI application: what is at which path, who is let in, and how much is read.

    POST /v1/chat/completions  /v1/responses  /v1/messages      an answer of that wire, streamed or whole
    POST /v1/messages/count_tokens                              an estimate
    GET  /v1/models  /v1/models/{name}                          what there is, in a shape both vendors' clients read
    GET  /healthz  /readyz  /                                   it runs; it can answer; what clients knock at
    GET  what its watchers show (`asking.Page`): metrics, status

Each is there without `/v1` too. Whatever fails is told in the words of the wire that was asked, elsewhere in OpenAI's.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from types import TracebackType
from typing import NamedTuple

import anyio
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..client import ModelClient
from ..codecs import CODECS
from ..errors import AgentCoreError, ConfigError, InvalidRequestError, ModelError
from ..items import JsonObject, JsonValue, WireName
from ..prices import Prices
from ..telemetry import Telemetry
from .access import Access
from .admin import admin_routes
from .asking import Answerer, Ask, Bill, Caller, Door, Page, Served, Service, Shown, Watcher
from .backends import Backends
from .deployments import DeploymentHealth
from .estimate import estimated_tokens
from .insiders import Insiders
from .key_limits import KeyLimits
from .keys import Key, Token
from .openapi import description
from .relay import PING_S, Relay
from .request_log import RequestLog
from .routes import Route as ModelRoute
from .shaping import answer_headers, request_id_of, shaped_error, told

__all__ = ["Gateway"]

MAX_BODY_BYTES = 64 * 1024 * 1024
"""Above what vendors take (20 to 50 MB)."""
BODY_S = 60.0
"""A body that takes longer to come is not waited for."""

_PATHS: Mapping[WireName, str] = {"chat": "/chat/completions", "responses": "/responses", "messages": "/messages"}
_LEFT = 499  # of a client that is gone: nobody is told (S0-86)
_REFUSED = {404: "not_found", 405: "method_not_allowed"}


class Gateway:
    """`models`: by the names they are asked for, a client each, or a Route where several deployments answer. `aliases`:
    more names for them, also patterns (`claude-*`). `default` answers for every other name: a client, or the name of
    one of `models`. The gateway closes the clients when it ends. `keys`: who is let in, plainly or with what each may
    use (`Key`, `Access`); with none, everybody who can reach it. `admin`: the secret of those who run it, without which
    there is no `/admin`. `max_body_bytes` and `body_s` bound what is read of a request, and for how long; `ping_s`: how
    long a stream may be silent. `services`: what stands between the clients and the backends, each kind once, in any
    order (`asking.Service`); `watchers` are told of every request, and their pages served (`asking.Shown`) to
    `insiders`; `prices` say what one cost; `telemetry`: what spans are recorded with, the program's own by default.

    Raises ConfigError without a backend, or for a key that is none. Belongs to one event loop. Its services are open
    from the start of its lifespan, which a server runs; an application that mounts it does so itself: `async with`.
    """

    def __init__(
        self,
        models: Mapping[str, ModelClient | ModelRoute] | None = None,
        *,
        default: ModelClient | str | None = None,
        aliases: Mapping[str, str] | None = None,
        keys: Iterable[str | Key] | Access = (),
        admin: Token | None = None,
        services: Iterable[Service] = (),
        watchers: Iterable[Watcher] = (),
        insiders: Insiders | None = None,
        prices: Prices | None = None,
        telemetry: Telemetry | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        body_s: float = BODY_S,
        ping_s: float = PING_S,
    ) -> None:
        if max_body_bytes < 1 or body_s <= 0 or ping_s <= 0:
            raise ConfigError("max_body_bytes, body_s and ping_s are bounds", remedy="give numbers above 0")
        self._backends = Backends(models or {}, default, aliases)
        self._access = keys if isinstance(keys, Access) else Access(keys)
        limits = [KeyLimits(self._access)] if self._access else []
        self._services = _in_order([*services, *limits])
        self._answerer: Answerer = self._backends
        for service in reversed(self._services):
            self._answerer = service.around(self._answerer)
        self._watchers = (RequestLog(), *watchers)
        self._shown = [watcher for watcher in self._watchers if isinstance(watcher, Shown)]
        self._insiders = insiders or Insiders({}, open_to_all=not self._access)
        self._prices = prices
        self._telemetry = telemetry or Telemetry()
        self._admin = admin
        self._open = AsyncExitStack()
        self._max_body_bytes = max_body_bytes
        self._body_s = body_s
        self._ping_s = ping_s
        self._app = Starlette(
            routes=self._routes(),
            exception_handlers={HTTPException: _refused},
            lifespan=self._lifespan,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def __repr__(self) -> str:
        return f"Gateway({', '.join(self._backends.names)})"

    @property
    def routes(self) -> Mapping[str, ModelRoute]:
        """Who answers for each model."""
        return self._backends.routes

    @property
    def asks_for_keys(self) -> bool:
        return bool(self._access)

    def endpoints(self) -> set[tuple[str, str]]:
        """What is served: (method in lower case, path as OpenAPI writes it)."""
        routes = [route for route in self._app.routes if isinstance(route, Route)]
        every = {(method.lower(), route.path) for route in routes for method in route.methods or ()}
        return {(method, path.replace(":path}", "}")) for method, path in every if method != "head"}

    def names(self) -> Sequence[str]:
        """Of the models that are served."""
        return self._backends.names

    def health(self) -> Mapping[str, Sequence[DeploymentHealth]]:
        """The deployments of each model, as they are now."""
        return self._backends.health()

    def numbers(self) -> Mapping[str, Mapping[str, float]]:
        """What its services count at this moment, by their places."""
        counted = {service.place.name.lower(): service.numbers() for service in self._services}
        return {place: numbers for place, numbers in counted.items() if numbers}

    def end_pages(self) -> None:
        """Let go of who watches, so that a server that is being stopped waits for answers alone."""
        for shown in self._shown:
            shown.end_pages()

    async def __aenter__(self) -> Gateway:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._backends.aclose)
            await stack.enter_async_context(self._access)
            for service in self._services:
                await stack.enter_async_context(service)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncGenerator[None]:
        async with self:
            yield

    def _routes(self) -> list[BaseRoute]:
        served: list[tuple[str, str, _Endpoint]] = [
            *((path, "POST", self._checked(wire, partial(self._relay, wire))) for wire, path in _PATHS.items()),
            ("/messages/count_tokens", "POST", self._checked("messages", self._count_tokens)),
            ("/models", "GET", self._checked("chat", self._list_models)),
            ("/models/{name:path}", "GET", self._checked("chat", self._show_model)),
            *(
                (door.path, door.method, self._checked(door.wire, partial(_through, door)))
                for service in self._services
                for door in service.doors()
            ),
        ]
        routes: list[BaseRoute] = [
            Route(prefix + path, endpoint, methods=[method])
            for path, method, endpoint in served
            for prefix in ("/v1", "")
        ]
        pages = [page for shown in self._shown for page in shown.pages(self)]
        routes += [Route(page.path, self._inside(page), methods=["GET"]) for page in pages]
        routes += admin_routes(self._access, self._admin, self.health)
        routes.append(Route("/readyz", self._readiness, methods=["GET"]))
        routes += [Route(path, _fine, methods=["GET"]) for path in ("/healthz", "/")]
        routes.append(Route("/openapi.json", self._checked("chat", self._describe), methods=["GET"]))
        return routes

    def _inside(self, page: Page) -> _Endpoint:
        """A page of the gateway itself, for who may see it."""

        async def endpoint(request: Request) -> Response:
            return self._insiders.refusal(page.who, request.headers) or _Answer(page.app)

        return endpoint

    def _checked(self, wire: WireName, answer: Callable[[Request, _Known], Awaitable[ASGIApp]]) -> _Endpoint:
        """An endpoint that lets in who may use it, and tells what fails in the words of its wire."""

        async def endpoint(request: Request) -> _Answer:
            request_id, started = request_id_of(request.headers), time.monotonic()
            try:
                known = _Known(request_id, await self._access.caller(request.headers))
                return _Answer(await answer(request, known))
            except AgentCoreError as error:  # of the gateway itself: no backend was asked yet
                own = error if isinstance(error, ModelError) else told(error)
                status, headers, body = shaped_error(own, wire, request_id)
                self._turned_away(wire, request_id, own, status, time.monotonic() - started)
                return _Answer(Response(body, status, headers))

        return endpoint

    def _turned_away(self, wire: WireName, request_id: str, error: ModelError, status: int, duration_s: float) -> None:
        served = Served(
            wire=wire,
            asked="",
            model="",
            caller="",
            request_id=request_id,
            stream=False,
            outcome="client_left" if error.status == _LEFT else "refused",
            status=status,
            duration_s=duration_s,
            first_s=None,
            bill=(),
            error=error.reason,
        )
        for watcher in self._watchers:
            watcher.turned_away(served)

    async def _relay(self, wire: WireName, request: Request, known: _Known) -> ASGIApp:
        asked = CODECS[wire].decode_request(await self._body(request))
        ask = Ask(
            prompt=asked.prompt,
            wire=wire,
            stream=asked.stream,
            caller=known.caller,
            request_id=known.request_id,
            headers=dict(request.headers),
            losses=asked.losses,
            bill=Bill(self._prices),
        )
        # Only Chat lets the client decide about usage; a DecodedRequest of another wire says nothing of it.
        usage = asked.include_usage or wire != "chat"
        return Relay(
            ask,
            self._answerer,
            include_usage=usage,
            watchers=self._watchers,
            telemetry=self._telemetry,
            ping_s=self._ping_s,
        )

    async def _count_tokens(self, request: Request, known: _Known) -> ASGIApp:
        prompt = CODECS["messages"].decode_request(await self._body(request)).prompt
        self._access.check_model(known.caller, prompt.model)
        self._backends.named(prompt.model)
        counted: JsonObject = {"input_tokens": estimated_tokens(prompt)}
        return JSONResponse(counted, headers=answer_headers("messages", known.request_id))

    async def _list_models(self, request: Request, known: _Known) -> ASGIApp:
        names = [name for name in self._backends.names if self._access.may_use(known.caller, name)]
        rows: list[JsonValue] = [_row(name) for name in names]
        ends: JsonObject = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return JSONResponse(
            {"object": "list", "data": rows, "has_more": False, **ends},
            headers=answer_headers("messages", known.request_id),
        )

    async def _show_model(self, request: Request, known: _Known) -> ASGIApp:
        name = str(request.path_params["name"])
        self._access.check_model(known.caller, name)
        self._backends.named(name)
        return JSONResponse(_row(name), headers=answer_headers("messages", known.request_id))

    async def _describe(self, request: Request, known: _Known) -> ASGIApp:
        told = description(self.endpoints(), version("agent-core"))
        return JSONResponse(told, headers=answer_headers("chat", known.request_id))

    async def _readiness(self, request: Request) -> Response:
        """503 where nobody can be asked for any model. Numbers only: no key is needed to read it."""
        ready, models = self._backends.ready()
        return JSONResponse(
            {"status": "ok" if ready else "unavailable", "models": models, "ready": ready}, 200 if ready else 503
        )

    async def _body(self, request: Request) -> bytes:
        """Raises InvalidRequestError for one that is no JSON, is too large, or does not come."""
        if not _says_json(request.headers):
            raise InvalidRequestError("the body has to be application/json", status=415, code="unsupported_media_type")
        pieces: list[bytes] = []
        size = 0
        said = request.headers.get("content-length", "")
        if said.isdecimal() and int(said) > self._max_body_bytes:
            raise self._too_large()
        with anyio.move_on_after(self._body_s) as timer:
            try:
                async for piece in request.stream():
                    size += len(piece)
                    if size > self._max_body_bytes:
                        raise self._too_large()
                    pieces.append(piece)
            except ClientDisconnect:
                raise InvalidRequestError("the client left in the middle of its request", status=_LEFT) from None
        if timer.cancelled_caught:
            raise InvalidRequestError(f"the request had not come after {self._body_s:g} s", status=408)
        return b"".join(pieces)

    def _too_large(self) -> InvalidRequestError:
        return InvalidRequestError(f"a request may have {self._max_body_bytes} bytes at most", status=413)


_Endpoint = Callable[[Request], Awaitable[Response]]


class _Known(NamedTuple):
    """What is known of a request before its body."""

    request_id: str
    caller: Caller


class _Answer(Response):
    """Any ASGI application as what Starlette takes for an answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._answer = app
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope, receive, send)


async def _through(door: Door, request: Request, known: _Known) -> ASGIApp:
    return await door.answer(request, known.caller, known.request_id)


def _says_json(headers: Headers) -> bool:
    """A page of another site can send a body of another kind without asking first, and so spend what is not its own."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind:
        return "origin" not in headers
    return kind == "application/json" or kind.endswith("+json")


async def _fine(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _refused(request: Request, error: Exception) -> Response:
    """What no endpoint is there for."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    problem = InvalidRequestError(
        f"there is nothing at {request.method} {request.url.path[:200]}",
        status=status,
        code=_REFUSED.get(status, "invalid_request"),
    )
    status, shaped, body = shaped_error(problem, "chat", request_id_of(request.headers))
    return Response(body, status, {**headers, **shaped})


def _in_order(services: Iterable[Service]) -> tuple[Service, ...]:
    """From the client inwards. Raises ConfigError for two of a kind."""
    ordered = tuple(sorted(services, key=lambda service: service.place))
    for one, other in pairwise(ordered):
        if one.place == other.place:
            raise ConfigError(
                f"{type(one).__name__} and {type(other).__name__} stand in the same place", remedy="give one of them"
            )
    return ordered


def _row(name: str) -> JsonObject:
    """OpenAI's and Anthropic's model in one object: each client reads its own members."""
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "agent-core",
        "type": "model",
        "display_name": name,
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
    }
