"""What is in a journal's records beside items: times, usage, and the totals that let a list skip the file between."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from msgspec import Struct

from ..events import Usage
from ..items import JsonObject, JsonValue

__all__ = ["ParentCall", "count_of", "dump_usage", "load_usage", "new_session_id", "random_id", "text_at", "utc_now"]


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


def count_of(record: JsonObject, name: str) -> int:
    """A count of a record, 0 where there is none."""
    number = record.get(name)
    return number if type(number) is int and number > 0 else 0


def text_at(record: JsonObject, name: str) -> str:
    """A text of a record, empty where there is none."""
    text = record.get(name)
    return text if isinstance(text, str) else ""
