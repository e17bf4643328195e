"""For those who run the gateway: what keys have used, and switching one off.

    GET  /admin/keys  /admin/keys/{name}            limits, and what was used of them; no hashes
    POST /admin/keys/{name}/disable  …/enable       for every process of the ledger, until it is switched back
    GET  /admin/deployments                         what backends do

There are none of these without a token for them, which comes as a bearer token or as `x-api-key`: never as a password
that a browser keeps, and would send along when another site asks it to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import isfinite

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ..errors import AuthenticationError, ModelError, ModelNotFoundError
from ..items import JsonObject
from .access import Access
from .deployments import DeploymentHealth
from .keys import Key, Token
from .ledger import Step
from .shaping import request_id_of, shaped_error
from .usage import minute_of, money, period_counters, spent

__all__ = ["admin_routes"]

_Page = Callable[[Request], Awaitable[JsonObject]]
_Health = Callable[[], Mapping[str, Sequence[DeploymentHealth]]]


def admin_routes(access: Access, token: Token | None, health: _Health) -> list[BaseRoute]:
    """Routes of `/admin`; none without a token."""
    if token is None:
        return []

    async def every_key(request: Request) -> JsonObject:
        return {"keys": [await _shown(access, key) for key in access.keys.values()]}

    async def one_key(request: Request) -> JsonObject:
        return await _shown(access, _named(access, request))

    async def disable(request: Request) -> JsonObject:
        await access.switch(_named(access, request).name, off=True)
        return await one_key(request)

    async def enable(request: Request) -> JsonObject:
        await access.switch(_named(access, request).name, off=False)
        return await one_key(request)

    async def backends(request: Request) -> JsonObject:
        return {"models": {model: [_deployment(one) for one in every] for model, every in health().items()}}

    pages: list[tuple[str, str, _Page]] = [
        ("/admin/keys", "GET", every_key),
        ("/admin/keys/{name}", "GET", one_key),
        ("/admin/keys/{name}/disable", "POST", disable),
        ("/admin/keys/{name}/enable", "POST", enable),
        ("/admin/deployments", "GET", backends),
    ]
    return [Route(path, _guarded(page, token), methods=[method]) for path, method, page in pages]


def _guarded(page: _Page, token: Token) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if not token.is_in(request.headers):
            return _refused(_WRONG, request)
        try:
            return JSONResponse(await page(request), headers={"cache-control": "no-store"})
        except ModelError as error:
            return _refused(error, request)

    return endpoint


_WRONG = AuthenticationError("this needs the token of those who run the gateway", status=401, code="invalid_token")


def _deployment(now: DeploymentHealth) -> JsonObject:
    return {
        "name": now.name,
        "model": now.model,
        "health": now.health,
        "in_flight": now.in_flight,
        "latency_s": now.latency_s,
        "wait_s": now.wait_s if isfinite(now.wait_s) else None,
    }


def _named(access: Access, request: Request) -> Key:
    name = str(request.path_params["name"])
    if (key := access.keys.get(name)) is None:
        raise ModelNotFoundError(f"there is no key {name[:64]!r}", status=404, code="not_found")
    return key


async def _shown(access: Access, key: Key) -> JsonObject:
    now = access.clock()
    minute = minute_of(now)[0]
    totals = {what: f"{key.name}/{what}" for what in ("requests", "input", "output", "unpriced", "off")}
    periods = period_counters(key.name, now)
    last = {what: f"{key.name}/{what}/{minute}" for what in ("requests", "tokens")}
    counters = [*totals.values(), *periods.values(), *last.values()]
    sums = await access.ledger.add({counter: Step(0) for counter in counters})
    budgets: JsonObject = {
        one.period: {"limit": str(one.budget), "spent": str(one.amount), "resets_in_s": one.resets_in_s}
        for one in spent(key, sums, now)
    }
    return {
        "name": key.name,
        "enabled": not (key.disabled or sums[totals["off"]] > 0 or key.expired(now)),
        "expires": None if key.expires is None else key.expires.isoformat(),
        "models": None if key.models is None else list(key.models),
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
        "budget": {"currency": key.budget.currency, **budgets},
        "this_minute": {what: sums[counter] for what, counter in last.items()},
        "used": {
            "requests": sums[totals["requests"]],
            "input_tokens": sums[totals["input"]],
            "output_tokens": sums[totals["output"]],
            "cost": str(money(sums[periods["total"]])),
            "answers_without_price": sums[totals["unpriced"]],
        },
    }


def _refused(error: ModelError, request: Request) -> Response:
    status, headers, body = shaped_error(error, "chat", request_id_of(request.headers))
    return Response(body, status, headers)
