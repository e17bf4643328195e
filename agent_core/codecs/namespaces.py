"""Tools in namespaces, for wires that have none: `multi_agent` / `wait` becomes `multi_agent__wait`, and back.

Only the Responses wire groups tools (`namespace`) and takes some as an item of the input (`additional_tools`); Codex
sends both, and a model that is not shown them cannot work for it. Elsewhere each becomes a tool of the list:

    flat, names = flattened(prompt)          the prompt without them
    named(event, names)                      an event of the answer, its calls named as they were asked for

Tools that the provider runs stay what they are, in a namespace too: other wires lose them and say so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from ..events import OutputItemAdded, OutputItemDone, ResponseEvent
from ..items import CustomToolCall, FunctionCall, ResponseItem, UnknownItem
from ..prompt import CustomToolSpec, HostedToolSpec, Prompt, ToolSpec, ToolSpecs
from .base import Loss, json_list, json_str
from .responses_request import decode_tools

__all__ = ["Names", "flattened", "named"]

Names = Mapping[str, tuple[str, str]]
"""The namespace and the name of a call, by the name it has where there are no namespaces."""

_BETWEEN = "__"
_ADDED = "additional_tools"


def flattened(prompt: Prompt) -> tuple[Prompt, Names, tuple[Loss, ...]]:
    """The prompt with every tool in its list and no call in a namespace, the names its calls have now, and what is lost
    (what a namespace says of itself). The same prompt where there is nothing to do."""
    grouped = any(_is_namespace(spec) for spec in prompt.tools)
    added = any(_adds_tools(item) for item in prompt.items)
    called = any(isinstance(item, FunctionCall | CustomToolCall) and item.namespace for item in prompt.items)
    if not (grouped or added or called):
        return prompt, {}, ()
    names: dict[str, tuple[str, str]] = {}
    losses: list[Loss] = []
    tools: dict[str, ToolSpecs] = {}  # by name; what the provider runs by its place
    for spec in (*prompt.tools, *_added(prompt.items, losses)):
        for one in _members(spec, names, losses):
            tools.setdefault(str(len(tools)) if isinstance(one, HostedToolSpec) else f"={one.name}", one)
    items = [_flat_call(item) for item in prompt.items if not _adds_tools(item)]
    return dataclasses.replace(prompt, items=tuple(items), tools=tuple(tools.values())), names, tuple(losses)


def named(event: ResponseEvent, names: Names) -> ResponseEvent:
    """The event with its call in the namespace it was offered in."""
    if not isinstance(event, OutputItemAdded | OutputItemDone) or not names:
        return event
    item = event.item
    if not isinstance(item, FunctionCall | CustomToolCall) or item.name not in names:
        return event
    namespace, name = names[item.name]
    return replace(event, item=item.model_copy(update={"namespace": namespace, "name": name}))


def _is_namespace(spec: ToolSpecs) -> bool:
    return isinstance(spec, HostedToolSpec) and spec.wire == "responses" and spec.raw.get("type") == "namespace"


def _adds_tools(item: ResponseItem) -> bool:
    return isinstance(item, UnknownItem) and item.raw_type == _ADDED


def _added(items: Sequence[ResponseItem], losses: list[Loss]) -> Iterator[ToolSpecs]:
    for item in items:
        if isinstance(item, UnknownItem) and item.raw_type == _ADDED:
            yield from decode_tools(json_list(item.raw.get("tools")), losses)


def _members(spec: ToolSpecs, names: dict[str, tuple[str, str]], losses: list[Loss]) -> Iterator[ToolSpecs]:
    if not isinstance(spec, HostedToolSpec) or not _is_namespace(spec):
        yield spec
        return
    namespace = json_str(spec.raw.get("name"))
    if spec.raw.get("description"):
        losses.append(Loss("namespace_description", namespace))
    for member in decode_tools(json_list(spec.raw.get("tools")), losses):
        if isinstance(member, HostedToolSpec):
            yield member
            continue
        flat = f"{namespace}{_BETWEEN}{member.name}"
        names.setdefault(flat, (namespace, member.name))
        yield _renamed(member, flat)


def _renamed(spec: ToolSpec | CustomToolSpec, name: str) -> ToolSpec | CustomToolSpec:
    return replace(spec, name=name)


def _flat_call(item: ResponseItem) -> ResponseItem:
    if isinstance(item, FunctionCall | CustomToolCall) and item.namespace:
        return item.model_copy(update={"name": f"{item.namespace}{_BETWEEN}{item.name}", "namespace": None})
    return item
