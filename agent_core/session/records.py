"""What is in a journal's records beside items: times, usage, rules, and the totals that let a list skip the file."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import cast, get_args

from msgspec import Struct

from ..approvals import Rule, RuleKind
from ..events import Usage
from ..items import JsonObject, JsonValue

__all__ = [
    "ParentCall",
    "count_of",
    "dump_rule",
    "dump_usage",
    "load_rule",
    "load_usage",
    "new_session_id",
    "random_id",
    "text_at",
    "utc_now",
]


class ParentCall(Struct, frozen=True):
    """The call that the run of a sub-agent answers, and the session it stands in."""

    session_id: str = ""
    call_id: str = ""

    def __bool__(self) -> bool:
        return bool(self.session_id)


def random_id() -> str:
    return os.urandom(12).hex()


def new_session_id() -> str:
    return f"ses_{random_id()}"


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def dump_usage(usage: Usage) -> JsonObject:
    return {
        "input": usage.input,
        "cache_read": usage.cache_read,
        "cache_write": usage.cache_write,
        "cache_write_1h": usage.cache_write_1h,
        "output": usage.output,
        "reasoning": usage.reasoning,
        **({} if usage.context is None else {"context": usage.context}),
    }


def load_usage(value: JsonValue) -> Usage:
    """A usage as it was written; counters that are missing or no numbers are zero."""
    record = value if isinstance(value, dict) else {}
    return Usage(
        input=count_of(record, "input"),
        cache_read=count_of(record, "cache_read"),
        cache_write=count_of(record, "cache_write"),
        cache_write_1h=count_of(record, "cache_write_1h"),
        output=count_of(record, "output"),
        reasoning=count_of(record, "reasoning"),
        context=count_of(record, "context") if "context" in record else None,
    )


def dump_rule(rule: Rule) -> JsonObject:
    return {"kind": rule.kind, "words": list(rule.words), "prefix": rule.prefix, "cwd": rule.cwd}


def load_rule(value: JsonValue) -> Rule | None:
    """A rule as it was written; None for what is none: then it is asked about again. No file lets anything leave the
    sandbox, so a rule that was read never does."""
    record = value if isinstance(value, dict) else {}
    kind, words = record.get("kind"), record.get("words")
    if kind not in get_args(RuleKind) or not isinstance(words, list) or not words:
        return None
    texts = tuple(word for word in words if isinstance(word, str))
    if len(texts) != len(words):
        return None
    return Rule(
        cast("RuleKind", kind),
        texts,
        prefix=record.get("prefix") is True and kind == "command",
        cwd=text_at(record, "cwd"),
    )


def count_of(record: JsonObject, name: str) -> int:
    """A count of a record, 0 where there is none."""
    number = record.get(name)
    return number if type(number) is int and number > 0 else 0


def text_at(record: JsonObject, name: str) -> str:
    """A text of a record, empty where there is none."""
    text = record.get(name)
    return text if isinstance(text, str) else ""
