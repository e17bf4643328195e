"""What the gateway serves, as an OpenAPI description: `GET /openapi.json`.

Written by hand, a row for each endpoint. It says what a client needs to know to be understood; the wires' own
references say what else their requests and answers have, which is taken and given as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from ..items import JsonObject, JsonValue

__all__ = ["ENDPOINTS", "Endpoint", "description"]


class Endpoint(NamedTuple):
    """One method of one path. `status`: of a good answer; `refuses`: the statuses of others."""

    method: str
    path: str
    summary: str
    body: str = ""
    answer: str = "Any"
    kind: str = "application/json"
    refuses: tuple[int, ...] = (401, 403, 404)
    key: str = "key"


_ANSWER = (400, 401, 402, 403, 404, 408, 413, 415, 429, 500, 502, 503, 504, 529)
_ADMIN = (401, 404)

ENDPOINTS = (
    Endpoint("post", "/chat/completions", "An answer of the Chat wire", "Chat", refuses=_ANSWER),
    Endpoint("post", "/responses", "An answer of the Responses wire", "Responses", refuses=_ANSWER),
    Endpoint("get", "/responses/{response_id}", "An answer that was kept", refuses=_ANSWER),
    Endpoint("delete", "/responses/{response_id}", "Forget an answer that was kept", refuses=_ANSWER),
    Endpoint("post", "/responses/{response_id}/cancel", "End an answer", refuses=_ANSWER),
    Endpoint("get", "/responses/{response_id}/input_items", "What was asked for", refuses=_ANSWER),
    Endpoint("post", "/messages", "An answer of the Messages wire", "Messages", refuses=_ANSWER),
    Endpoint(
        "post", "/messages/count_tokens", "About how many tokens a request has", "Counted", "Count", refuses=_ANSWER
    ),
    Endpoint("get", "/models", "The models that the key may use", answer="Models"),
    Endpoint("get", "/models/{name}", "One of them", answer="Model"),
    Endpoint("get", "/openapi.json", "This description", refuses=(401,)),
    Endpoint("get", "/", "It runs", refuses=(), key=""),
    Endpoint("get", "/healthz", "It runs", refuses=(), key=""),
    Endpoint("get", "/readyz", "Somebody can be asked for an answer", refuses=(503,), key=""),
    Endpoint("get", "/metrics", "For Prometheus", kind="text/plain", refuses=(401, 403), key="token"),
    Endpoint("get", "/status", "What it does now, for people", kind="text/html", refuses=(401, 403), key="token"),
    Endpoint(
        "get", "/status/events", "The same, as it goes", kind="text/event-stream", refuses=(401, 403, 503), key="token"
    ),
    Endpoint("get", "/admin/keys", "What every key has used", refuses=_ADMIN, key="token"),
    Endpoint("get", "/admin/keys/{name}", "What a key has used", refuses=_ADMIN, key="token"),
    Endpoint("post", "/admin/keys/{name}/disable", "Let a key in no more", refuses=_ADMIN, key="token"),
    Endpoint("post", "/admin/keys/{name}/enable", "Let it in again", refuses=_ADMIN, key="token"),
    Endpoint("get", "/admin/deployments", "How the backends are", refuses=_ADMIN, key="token"),
)
"""Without the `/v1` that those of the wires may have before them."""

_TEXT: JsonObject = {"type": "string"}
_MODEL: JsonObject = {"type": "string", "minLength": 1, "examples": ["gpt-5.6"]}
_TOKENS: JsonObject = {"type": "integer", "minimum": 1}
_SCHEMA: JsonObject = {"type": "object", "required": ["type"], "properties": {"type": {"const": "object"}}}
_NAME: JsonObject = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}


def _object(required: Iterable[str], **members: JsonValue) -> JsonObject:
    return {"type": "object", "required": [*required], "properties": members}


def _list(items: JsonValue) -> JsonObject:
    return {"type": "array", "items": items}


def _text_or_parts(kind: str) -> JsonObject:
    """Other kinds of parts (images, files, results) are those of the wire."""
    return {"oneOf": [_TEXT, _list(_object(("type", "text"), type={"const": kind}, text=_TEXT))]}


def _messages(*roles: JsonValue) -> JsonObject:
    message = _object(("role", "content"), role={"enum": [*roles]}, content=_PARTS)
    return {"type": "array", "minItems": 1, "items": message}


_PARTS = _text_or_parts("text")
_FUNCTION: JsonObject = _object(("name",), name=_NAME, description=_TEXT, parameters=_SCHEMA)
_CHAT_TOOLS = _list(_object(("type", "function"), type={"const": "function"}, function=_FUNCTION))
_RESPONSES_TOOLS = _list(
    _object(("type", "name", "parameters"), type={"const": "function"}, name=_NAME, parameters=_SCHEMA)
)
_MESSAGES_TOOLS = _list(_object(("name", "input_schema"), name=_NAME, description=_TEXT, input_schema=_SCHEMA))
_ITEMS = _list(
    _object(
        ("type", "role", "content"),
        type={"const": "message"},
        role={"enum": ["user"]},
        content=_text_or_parts("input_text"),
    )
)


_SCHEMAS: Mapping[str, JsonObject] = {
    "Any": {"type": "object"},
    "Chat": _object(
        ("model", "messages"),
        model=_MODEL,
        messages=_messages("system", "developer", "user", "assistant"),
        stream={"type": "boolean"},
        stream_options=_object((), include_usage={"type": "boolean"}),
        tools=_CHAT_TOOLS,
        max_completion_tokens=_TOKENS,
        temperature={"type": "number", "minimum": 0, "maximum": 2},
    ),
    "Responses": _object(
        ("model", "input"),
        model=_MODEL,
        input={"oneOf": [_TEXT, _ITEMS]},
        instructions=_TEXT,
        stream={"type": "boolean"},
        tools=_RESPONSES_TOOLS,
        max_output_tokens=_TOKENS,
    ),
    "Messages": _object(
        ("model", "messages", "max_tokens"),
        model=_MODEL,
        messages=_messages("user", "assistant"),
        system=_PARTS,
        stream={"type": "boolean"},
        tools=_MESSAGES_TOOLS,
        max_tokens=_TOKENS,
    ),
    "Counted": _object(
        ("model", "messages"),
        model=_MODEL,
        messages=_messages("user", "assistant"),
        system=_PARTS,
        tools=_MESSAGES_TOOLS,
    ),
    "Count": _object(("input_tokens",), input_tokens={"type": "integer", "minimum": 0}),
    "Model": _object(("id", "object"), id=_TEXT, object={"const": "model"}, type={"const": "model"}),
    "Models": _object(
        ("object", "data"),
        object={"const": "list"},
        data={"type": "array", "items": {"$ref": "#/components/schemas/Model"}},
    ),
    "Error": _object(
        ("error",),
        type={"const": "error"},
        error=_object(("message", "type"), message=_TEXT, type=_TEXT, code={"type": ["string", "null"]}),
    ),
}

_SECURITY: JsonObject = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of the gateway"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same, as Anthropic's do"},
    "token": {"type": "http", "scheme": "bearer", "description": "The token of those who run the gateway"},
}


_LOCKS: Mapping[str, list[JsonValue]] = {"key": [{"bearer": []}, {"x-api-key": []}], "token": [{"token": []}], "": []}


def description(served: Collection[tuple[str, str]], version: str) -> JsonObject:
    """Of the endpoints that are served: (method in lower case, path)."""
    paths: dict[str, JsonValue] = {}
    for endpoint in ENDPOINTS:
        for path in (endpoint.path, f"/v1{endpoint.path}"):
            if (endpoint.method, path) in served:
                methods = paths.setdefault(path, {})
                assert isinstance(methods, dict)
                methods[endpoint.method] = _operation(endpoint, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "agent_core gateway", "version": version},
        "paths": paths,
        "components": {"schemas": dict(_SCHEMAS), "securitySchemes": _SECURITY},
    }


def _operation(endpoint: Endpoint, path: str) -> JsonObject:
    kinds: JsonObject = {endpoint.kind: {"schema": _ref(endpoint.answer) if "json" in endpoint.kind else {}}}
    if endpoint.body and endpoint.body != "Counted":
        kinds["text/event-stream"] = {"schema": {"type": "string"}}
    answers: JsonObject = {"200": {"description": "It is so", "content": kinds}}
    for status in endpoint.refuses:
        answers[str(status)] = {"description": _WHY[status], "content": {"application/json": {"schema": _ref("Error")}}}
    operation: JsonObject = {
        "operationId": f"{endpoint.method}{path.replace('/', '_').replace('{', '').replace('}', '')}",
        "summary": endpoint.summary,
        "responses": answers,
        "security": _LOCKS[endpoint.key],
    }
    if endpoint.body:
        content: JsonObject = {"application/json": {"schema": _ref(endpoint.body)}}
        operation["requestBody"] = {"required": True, "content": content}
    if "{" in path:
        name = path.partition("{")[2].partition("}")[0]
        operation["parameters"] = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}]
    return operation


def _ref(name: str) -> JsonObject:
    return {"$ref": f"#/components/schemas/{name}"}


_WHY: Mapping[int, str] = {
    400: "The request is not understood",
    401: "No key that is known",
    402: "The key's budget is spent (Messages)",
    403: "The key is not for this",
    404: "There is none",
    408: "The request did not come in time",
    413: "The request is too large",
    415: "The body is no JSON",
    429: "Too much at the moment, or the key's budget is spent (Chat, Responses)",
    500: "The backend failed",
    502: "The backend could not be reached, or broke off",
    503: "The backend has no capacity",
    504: "The backend did not answer in time",
    529: "The gateway or the backend has no room at the moment (Messages)",
}
