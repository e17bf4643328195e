"""What must hold of a request made from any history, whatever its settings and whoever takes it.

Each check returns what is wrong, in words, so that hypothesis and the soak can share them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import NamedTuple

from agent_core.codecs import CODECS
from agent_core.codecs.base import Encoded, RepairKind
from agent_core.codecs.replay import replay
from agent_core.errors import InvalidPromptError, UnsupportedError
from agent_core.items import InputText, JsonObject, Message, ResponseItem
from agent_core.prompt import (
    CustomToolSpec,
    HostedToolSpec,
    NamedTool,
    OutputSchema,
    Prompt,
    ReasoningSettings,
    SamplingSettings,
    ToolSpec,
)
from agent_core.testing.validators import check_request

from .histories import mark_of
from .profiles import Profile

__all__ = [
    "SETTINGS",
    "Continued",
    "continued",
    "encoded",
    "prompt_of",
    "replay_problems",
    "request_problems",
    "shared_prefix",
    "steadiness_problems",
]

_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
_F = ToolSpec("f", "does", _SCHEMA, strict=True)
_G = ToolSpec("g")
_PATCH = CustomToolSpec("apply_patch", "patches", {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"})
_HOSTED = (
    HostedToolSpec({"type": "web_search"}),
    HostedToolSpec({"type": "web_search_20250305", "name": "web_search"}, "messages"),
)
_HOT = SamplingSettings(
    temperature=1.5, top_p=0.5, top_k=5, stop=("a", "b", "c", "d", "e"), seed=1, presence_penalty=0.5
)

SETTINGS: Mapping[str, Prompt] = {
    "bare": Prompt(),
    "told": Prompt(instructions="Be brief."),
    "tools": Prompt(instructions="Be brief.", tools=(_F, _PATCH, *_HOSTED), parallel_tool_calls=False),
    "one tool": Prompt(tools=(_G,), tool_choice="required", parallel_tool_calls=True),
    "named": Prompt(tools=(_F, _G, _PATCH), tool_choice=NamedTool("f"), reasoning=ReasoningSettings(effort="high")),
    "named custom": Prompt(tools=(_F, _PATCH), tool_choice=NamedTool("apply_patch")),
    "no tool": Prompt(tools=(_F,), tool_choice="none"),
    "hosted": Prompt(tools=_HOSTED, parallel_tool_calls=False),
    "effort": Prompt(tools=(_F,), reasoning=ReasoningSettings(effort="low", summary="auto"), sampling=_HOT),
    "budget": Prompt(reasoning=ReasoningSettings(budget_tokens=2000), max_output_tokens=4000),
    "tiny": Prompt(reasoning=ReasoningSettings(effort="high"), max_output_tokens=16),
    "off": Prompt(reasoning=ReasoningSettings(effort="none"), tools=(_F,)),
    "schema": Prompt(output_schema=OutputSchema(_SCHEMA), instructions="Be brief."),
    "schema and tools": Prompt(
        output_schema=OutputSchema(_SCHEMA), tools=(_F,), reasoning=ReasoningSettings(effort="low")
    ),
    "all": Prompt(
        tools=(_F,),
        sampling=SamplingSettings(n=1, logprobs=2, frequency_penalty=0.1),
        prompt_cache_key="k",
        service_tier="auto",
        metadata={"user_id": "u", "b": "c"},
        user="u",
        verbosity="low",
        store=False,
    ),
}
"""Prompts without items, by what is particular about them."""

_EXCUSES: frozenset[RepairKind] = frozenset(
    {"dropped_orphan_output", "dropped_duplicate_output", "dropped_empty_message", "dropped_item"}
)
"""Repairs after which a text of ours may be gone."""


def prompt_of(profile: Profile, items: Sequence[ResponseItem], settings: str) -> Prompt:
    return replace(SETTINGS[settings], items=tuple(items), model=profile.model)


def encoded(profile: Profile, items: Sequence[ResponseItem], settings: str) -> Encoded | None:
    """The request, or None for a prompt that is refused before anything is sent."""
    try:
        return CODECS[profile.wire].encode_request(prompt_of(profile, items, settings), profile.compat)
    except (InvalidPromptError, UnsupportedError):
        return None


def request_problems(profile: Profile, items: Sequence[ResponseItem], request: Encoded) -> list[str]:
    """What the server would refuse, and what of ours it would never see."""
    found = [str(violation) for violation in check_request(profile.wire, request.body, compat=profile.compat)]
    return found + _lost(items, request)


def _lost(items: Sequence[ResponseItem], request: Encoded) -> list[str]:
    marks = [mark_of(item) for item in items]
    if not any(marks):
        return []
    excused = {repair.item_index for repair in request.repairs if repair.kind in _EXCUSES}
    wanted = Counter(mark for n, mark in enumerate(marks) if mark and n not in excused)
    body = request.body.decode()
    return [
        f"{mark} is sent {body.count(mark)} times, not {times}, and nothing says so"
        for mark, times in wanted.items()
        if body.count(mark) < times
    ]


def steadiness_problems(profile: Profile, items: Sequence[ResponseItem], settings: str, request: Encoded) -> list[str]:
    """The same prompt gives the same bytes; replaying what was replayed changes nothing."""
    again = encoded(profile, items, settings)
    found = [] if again == request else ["the same prompt gave another request"]
    return found + replay_problems(profile, items)


def replay_problems(profile: Profile, items: Sequence[ResponseItem]) -> list[str]:
    """Replaying what was replayed repairs nothing, and gives the very same items."""
    once = replay(items, wire=profile.wire, model=profile.model, compat=profile.compat)
    twice = replay(once.items, wire=profile.wire, model=profile.model, compat=profile.compat)
    if twice.repairs or any(a is not b for a, b in zip_longest(twice.items, once.items)):
        return [f"replaying the replayed repaired again: {[repair.kind for repair in twice.repairs]}"]
    return []


# a history that grows


class Continued(NamedTuple):
    """A request and the next one of its conversation."""

    problems: list[str]
    bytes: int = 0
    """Of the first request."""
    repeated: int = 0
    """How many of them, from the start, the second one has too."""


def continued(
    profile: Profile, early: Sequence[ResponseItem], late: Sequence[ResponseItem], settings: str
) -> Continued:
    """Up to the last user message of the shorter history, the longer one begins with its bytes. Where a server takes
    one system message only, new ones change the first message; no promise is made for them."""
    short, long = encoded(profile, early, settings), encoded(profile, (*early, *late), settings)
    if short is None or long is None:
        return Continued([])
    repeated = shared_prefix(short.body, long.body)
    promised = not (profile.compat.merge_system and any(map(_is_system, late)))
    changed = promised and repeated < len(_up_to_last_user(profile, early, short.body))
    problems = ["a longer history changed the bytes of the shorter one"] if changed else []
    return Continued(problems, len(short.body), repeated)


def shared_prefix(short: bytes, long: bytes) -> int:
    """How many bytes both begin with."""
    low, high = 0, min(len(short), len(long))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if short[:middle] == long[:middle] else (low, middle - 1)
    return low


def _up_to_last_user(profile: Profile, items: Sequence[ResponseItem], body: bytes) -> bytes:
    """The bytes before the message that holds the last text of the user's."""
    member = b'"input":[' if profile.wire == "responses" else b'"messages":['
    start = body.rindex(member) + len(member)
    entries: list[object] = json.loads(body)["input" if profile.wire == "responses" else "messages"]
    last = next((mark for item in reversed(items) if _is_users(item) and (mark := mark_of(item))), "")
    holding = [n for n, entry in enumerate(entries) if last and last in json.dumps(entry)]
    before = json.dumps(entries[: holding[-1]], ensure_ascii=False, separators=(",", ":")) if holding else "[]"
    return body[: start + len(before.encode()) - 2]


def _is_system(item: ResponseItem) -> bool:
    return isinstance(item, Message) and item.role in ("system", "developer")


def _is_users(item: ResponseItem) -> bool:
    return (
        isinstance(item, Message) and item.role == "user" and any(isinstance(part, InputText) for part in item.content)
    )
