"""What can be asked of responses that are kept, by HTTP: `/v1/responses/{response_id}` and what is below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ..codecs.base import Compat, Loss, json_bytes
from ..codecs.responses_items import encode_item, encode_output_item
from ..errors import InvalidRequestError
from ..items import JsonObject, JsonValue, Message, ResponseItem
from .asking import Caller, Door
from .shaping import answer_headers
from .shelf import not_found

if TYPE_CHECKING:
    from .stored import Stored

__all__ = ["doors"]

MAX_LISTED = 100
LISTED = 20


def doors(stored: Stored) -> Sequence[Door]:
    asked = _Asked(stored)
    one = "/responses/{response_id}"
    return (
        Door("GET", one, asked.retrieve, "responses"),
        Door("DELETE", one, asked.delete, "responses"),
        Door("POST", f"{one}/cancel", asked.cancel, "responses"),
        Door("GET", f"{one}/input_items", asked.input_items, "responses"),
    )


class _Asked:
    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    async def retrieve(self, request: Request, caller: Caller, request_id: str) -> ASGIApp:
        """The object as it was answered; one that is being given as far as it is."""
        if request.query_params.get("stream", "false").lower() == "true":
            raise _wrong("stream", "an answer that was given is not streamed again: leave it out")
        response_id = _id(request)
        running = self._stored.running.get((caller.name, response_id))
        if running is not None and not running.cancelled:
            return _json(running.kept("in_progress").body, request_id)
        kept = await self._stored.shelf.find(caller.name, response_id)
        if kept is None:
            raise not_found(response_id)
        return _json(kept.body, request_id)

    async def delete(self, request: Request, caller: Caller, request_id: str) -> ASGIApp:
        response_id = _id(request)
        if not await self._stored.shelf.delete(caller.name, response_id):
            raise not_found(response_id)
        return _json(json_bytes({"id": response_id, "object": "response", "deleted": True}), request_id)

    async def cancel(self, request: Request, caller: Caller, request_id: str) -> ASGIApp:
        """What became of it; one that is over stays as it is."""
        response_id = _id(request)
        body = await self._stored.cancel(caller.name, response_id)
        if body is None:
            kept = await self._stored.shelf.find(caller.name, response_id)
            if kept is None:
                raise not_found(response_id)
            body = kept.body
        return _json(body, request_id)

    async def input_items(self, request: Request, caller: Caller, request_id: str) -> ASGIApp:
        """All that the response was made of, from the first turn on: newest first, unless `order` is asc."""
        response_id = _id(request)
        kept = await self._stored.shelf.find(caller.name, response_id)
        if kept is None:
            raise not_found(response_id)
        earlier = await self._stored.shelf.history(caller.name, kept.parent) if kept.parent else ()
        listed = _listed((*earlier, *kept.asked), response_id.removeprefix("resp_"))
        return _json(json_bytes(_page(listed, request)), request_id)


def _id(request: Request) -> str:
    return str(request.path_params["response_id"])


def _json(body: bytes, request_id: str) -> ASGIApp:
    return Response(body, media_type="application/json", headers=answer_headers("responses", request_id))


def _listed(items: Sequence[ResponseItem], stem: str) -> list[JsonObject]:
    return [shown for n, item in enumerate(items) if (shown := _shown(item, stem, n))]


def _shown(item: ResponseItem, stem: str, n: int) -> JsonObject | None:
    if not isinstance(item, Message) or item.role == "assistant":
        return encode_output_item(item, stem, n)
    encoded = encode_item(item, Compat())
    if isinstance(encoded, Loss):
        return None
    return {"id": item.id or f"msg_{stem}_{n}", "status": "completed", **encoded}


def _page(listed: list[JsonObject], request: Request) -> JsonObject:
    asked = request.query_params
    order = asked.get("order", "desc")
    if order not in ("asc", "desc"):
        raise _wrong("order", "must be asc or desc")
    limit = asked.get("limit", str(LISTED))
    if not limit.isdecimal() or not 1 <= int(limit[:9]) <= MAX_LISTED:
        raise _wrong("limit", f"must be a number from 1 to {MAX_LISTED}")
    rows = listed if order == "asc" else listed[::-1]
    if after := asked.get("after"):
        place = next((n for n, row in enumerate(rows) if row["id"] == after), None)
        if place is None:
            raise _wrong("after", "there is no such item")
        rows = rows[place + 1 :]
    shown: list[JsonValue] = [*rows[: int(limit)]]
    ids = [row["id"] for row in rows[: int(limit)]]
    return {
        "object": "list",
        "data": shown,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": len(rows) > len(shown),
    }


def _wrong(param: str, why: str) -> InvalidRequestError:
    return InvalidRequestError(f"{param}: {why}", status=400, error_type="invalid_request_error", param=param)
