"""What an answer depends on, as one hash."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import cast

from msgspec import Struct
from pydantic import BaseModel

from .asking import Ask
from .fitting import BETA_HEADER

__all__ = ["cache_key", "canonical"]


def cache_key(ask: Ask) -> str:
    """SHA-256 over who asks and every field of the prompt, also those that are added to it one day. Nobody's answers
    are another's; an equal prompt has the same key on every wire, unless it asks for what only its wire knows: members
    of the body, features in beta."""
    prompt = ask.prompt
    beta = ask.headers.get(BETA_HEADER, "") if ask.wire == "messages" else ""
    wire = ask.wire if prompt.extra or beta else ""
    return sha256(canonical([ask.caller.name, wire, beta, prompt])).hexdigest()


def canonical(value: object) -> bytes:
    """JSON in which equal values are equal, whatever the order of their members, and unequal ones are not."""
    return json.dumps(value, default=_members, sort_keys=True, separators=(",", ":")).encode()


def _members(value: object) -> object:
    """Values of different types never look alike, and none looks like a mapping of its members."""
    name = type(value).__name__
    if isinstance(value, BaseModel):
        return [name, {**vars(value), **(value.model_extra or {})}]
    if isinstance(value, Struct):
        return [name, {field: getattr(value, field) for field in value.__struct_fields__}]
    if is_dataclass(value):
        return [name, {field.name: getattr(value, field.name) for field in fields(value)}]
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, object]", value))  # a read-only view, for example
    raise TypeError(f"{name} has no canonical form")
