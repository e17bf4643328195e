"""`tool_search`: tools that are not in the requests until the model has looked for them.

Many tools cost many tokens, and models choose worse among them. A deferred tool costs its name here; found by the words
of its name, its description and its parameters, it is in all requests from then on. What was found is written in the
output, so a session that is resumed has the same tools.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, cast

from ..items import FunctionCall, FunctionCallOutput, JsonObject, JsonValue, ResponseItem, ToolSearchOutput
from ..prompt import ToolSpec
from .arguments import check_arguments, parse_arguments
from .base import ToolCall, ToolContext, ToolOutput

if TYPE_CHECKING:
    from ..approvals import ApprovalRequest

__all__ = ["FoundTools", "ToolSearch", "ranked"]

MAX_NAMES_CHARS = 2000
"""Of the names in the tool's own description: about 100 names."""

MAX_DESCRIPTION_CHARS = 300
MAX_LIMIT = 20

_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "description": "What the tool should do, or its name."},
        "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "description": "How many at most. Default 5."},
    },
    "required": ["query"],
    "additionalProperties": False,
}


class ToolSearch:
    """The tool. `catalogue`: the deferred tools there are now."""

    name: str = "tool_search"
    read_only: bool = True
    parallel: bool = True
    timeout_s: float | None = None

    def __init__(self, catalogue: Callable[[], Sequence[ToolSpec]]) -> None:
        self._catalogue = catalogue

    @property
    def spec(self) -> ToolSpec:
        specs = self._catalogue()
        shown, chars = 0, 0
        for spec in specs:
            chars += len(spec.name) + 2
            if chars > MAX_NAMES_CHARS:
                break
            shown += 1
        names = ", ".join(spec.name for spec in specs[:shown])
        more = f" and {len(specs) - shown} more" if shown < len(specs) else ""
        return ToolSpec(
            self.name,
            "Finds tools that are not loaded yet; those it finds can be called from the next response on. "
            f"There are {len(specs)}: {names}{more}.",
            _PARAMETERS,
        )

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        return None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from .requests import ToolSearchRequest

        asked = check_arguments(ToolSearchRequest, parse_arguments(call.arguments))
        found = ranked(asked.query, self._catalogue())[: asked.limit]
        told: JsonObject = {
            "tools": [
                {"name": spec.name, "description": " ".join(spec.description.split())[:MAX_DESCRIPTION_CHARS]}
                for spec in found
            ]
        }
        if not found:
            told["note"] = "nothing fits; use other words, or the name of a tool"
        text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        return ToolOutput(text, metadata={"tools": [_as_json(spec) for spec in found]})


def ranked(query: str, specs: Sequence[ToolSpec]) -> list[ToolSpec]:
    """Those that fit, the best first (BM25: rare words count for more, and so do few words). A name counts threefold;
    a query that is a name finds that tool first."""
    documents = [Counter(_words_of(spec)) for spec in specs]
    lengths = [document.total() for document in documents]
    average = sum(lengths) / len(lengths) if lengths else 1.0
    in_how_many = Counter(word for document in documents for word in document)
    wanted = dict.fromkeys(_words(query))
    scores: list[float] = []
    for spec, document, length in zip(specs, documents, lengths, strict=True):
        score = math.inf if spec.name == query.strip() else 0.0
        for word in wanted:
            rarity = math.log(1 + (len(specs) - in_how_many[word] + 0.5) / (in_how_many[word] + 0.5))
            often = document[word]
            score += rarity * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * length / average))
        scores.append(score)
    order = sorted(range(len(specs)), key=lambda n: (-scores[n], n))
    return [specs[n] for n in order if scores[n] > 0]


def _words_of(spec: ToolSpec) -> Iterable[str]:
    yield from 3 * _words(spec.name)
    yield from _words(spec.description)
    properties = spec.parameters.get("properties")
    for name, schema in properties.items() if isinstance(properties, dict) else ():
        yield from _words(name)
        about = schema.get("description") if isinstance(schema, dict) else None
        yield from _words(about) if isinstance(about, str) else ()


def _words(text: str) -> list[str]:
    """Letters and digits, `camelCase` and `snake_case` apart, without a plural's s."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower()
    words = re.findall(r"[^\W_]+", apart)
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words]


def _as_json(spec: ToolSpec) -> JsonObject:
    """As a wire with a search of its own takes it back."""
    tool: JsonObject = {"type": "function", "name": spec.name, "description": spec.description}
    if spec.strict is not None:
        tool["strict"] = spec.strict
    return {**tool, "parameters": cast("JsonValue", dict(spec.parameters)), "defer_loading": True}


class FoundTools:
    """Which tools a conversation has found, in that order: read from its items, each of them once."""

    __slots__ = ("_calls", "_last", "_names", "_read")

    def __init__(self) -> None:
        self._names: dict[str, None] = {}
        self._calls: set[str] = set()
        self._read = 0
        self._last: ResponseItem | None = None

    def of(self, items: Sequence[ResponseItem]) -> tuple[str, ...]:
        """The names. `items` may have grown since the last time, or be other ones altogether."""
        if self._read and (len(items) < self._read or items[self._read - 1] is not self._last):
            self._names, self._calls, self._read = {}, set(), 0
        for item in items[self._read :]:
            if isinstance(item, FunctionCall) and item.name == ToolSearch.name:
                self._calls.add(item.call_id)
            elif isinstance(item, FunctionCallOutput) and item.call_id in self._calls:
                self._calls.discard(item.call_id)
                self._names.update(dict.fromkeys(_names_in(item.output)))
            elif isinstance(item, ToolSearchOutput):
                self._names.update(dict.fromkeys(_names_of(item.tools)))
        self._read, self._last = len(items), items[-1] if items else None
        return tuple(self._names)


def _names_in(output: object) -> list[str]:
    """The names in an output of `tool_search`."""
    try:  # a word to the model may stand behind the JSON
        told = cast("JsonValue", json.JSONDecoder().raw_decode(output)[0]) if isinstance(output, str) else None
    except (ValueError, RecursionError):
        return []
    tools = told.get("tools") if isinstance(told, dict) else None
    return _names_of(tools) if isinstance(tools, list) else []


def _names_of(tools: Iterable[JsonValue]) -> list[str]:
    names = [tool.get("name") for tool in tools if isinstance(tool, dict)]
    return [name for name in names if isinstance(name, str)]
