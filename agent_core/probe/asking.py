"""The words of a probe: a question to send, what was heard, what it means.

A fact is a generator. It yields `Ask`s, is sent the `Heard` of each, and returns its `Finding`s; it does no I/O, so a
table can play the server. It may raise the error it heard where nothing else can be asked of the endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from msgspec import Struct

from ..codecs.base import Compat
from ..errors import ApiError, ContentFilterError, ContextLengthError, InvalidRequestError, ModelError
from ..events import Response
from ..items import CallItem, Reasoning, WireName
from ..prompt import Prompt
from ..providers import with_overrides

__all__ = [
    "NOT_ASKED",
    "UNCLEAR",
    "Ask",
    "Fact",
    "Finding",
    "Findings",
    "Heard",
    "Inquiry",
    "Notes",
    "finding",
    "said",
]

UNCLEAR = "unclear"
"""The answer of a fact that was asked for and not learned: a busy server, a model that did something else."""

NOT_ASKED = "not asked"

_EVIDENCE_CHARS = 200
_REFUSALS = frozenset({400, 404, 405, 413, 415, 422, 501})
"""Statuses that mean this request and not this moment. 404: routers that have no host for a feature (OpenRouter)."""


class Ask(Struct, frozen=True):
    """One request, streamed: `prompt`, encoded with `changes` made to what is known of the endpoint's `Compat`."""

    prompt: Prompt
    changes: Mapping[str, object] = {}


class Heard(Struct, frozen=True):
    """What came of it: a response, or the error. `body` is the answer as it came, bounded."""

    response: Response | None = None
    error: ModelError | None = None
    body: bytes = b""

    @property
    def refused(self) -> bool:
        """The server would not have the request as it is. A model that failed at its task is no refusal (Groq's
        `tool_use_failed`: providers.md 3d), nor is anything another try may change."""
        error = self.error
        if not isinstance(error, ApiError) or isinstance(error, (ContextLengthError, ContentFilterError)):
            return False
        if error.code == "tool_use_failed":
            return False
        return error.status in _REFUSALS or (error.status is None and isinstance(error, InvalidRequestError))

    @property
    def useless(self) -> bool:
        """Neither an answer nor a refusal."""
        return self.error is not None and not self.refused

    @property
    def calls(self) -> tuple[CallItem, ...]:
        return self.response.tool_calls if self.response is not None else ()


class Finding(Struct, frozen=True):
    """One row of the report. `answer` is "yes", "no", "ignored", a value, UNCLEAR or NOT_ASKED; `compat` holds the
    fields of `Compat` it settles, also those that keep their standard value."""

    fact: str
    answer: str
    evidence: str = ""
    compat: Mapping[str, object] = {}


Findings: TypeAlias = tuple[Finding, ...]
Inquiry: TypeAlias = Generator[Ask, Heard, Findings]


class Fact(Struct, frozen=True):
    """A question that can be put on `wires`. `names` are the facts it reports, in order."""

    names: tuple[str, ...]
    inquire: Callable[[Notes], Inquiry]
    wires: tuple[WireName, ...] = ("chat", "responses", "messages")


@dataclass(slots=True)
class Notes:
    """What is known so far. `base` is the Compat the endpoint is believed to have, `learned` what was found to hold."""

    wire: WireName
    base: Compat
    learned: dict[str, object] = field(default_factory=dict[str, object])
    calls: list[tuple[str, CallItem]] = field(default_factory=list[tuple[str, CallItem]])
    """Calls that were heard, each with its response's id."""
    reasoning: Reasoning | None = None
    """A whole reasoning item that was heard: the last sealed one, else the first."""
    history_id: str = ""
    """A call id of ours the endpoint takes in its history; empty: no history with calls was taken."""

    @property
    def compat(self) -> Compat:
        return with_overrides(self.base, self.learned)

    def hear(self, heard: Heard) -> None:
        """Keep what other facts may want of an answer."""
        response = heard.response
        if response is None:
            return
        self.calls.extend((response.id, call) for call in response.tool_calls)
        for item in response.items:
            if isinstance(item, Reasoning) and item.status == "completed" and (self.reasoning is None or _sealed(item)):
                self.reasoning = item


def _sealed(item: Reasoning) -> bool:
    return bool(item.signature or item.encrypted_content or item.details)


def finding(
    fact: str, answer: str, evidence: str = "", settled: Mapping[str, object] | None = None, **fields: object
) -> Findings:
    """One finding, as the result of an inquiry; `settled` and `fields` are its fields of Compat."""
    return (Finding(fact, answer, evidence, {**(settled or {}), **fields}),)


def said(heard: Heard) -> str:
    """An error as evidence: its status and the peer's words, on one line, bounded."""
    error = heard.error
    if error is None:
        return ""
    status = f"{error.status}: " if isinstance(error, ApiError) and error.status is not None else ""
    line = re.sub(r"\s+", " ", status + error.message).strip()
    return line if len(line) <= _EVIDENCE_CHARS else line[: _EVIDENCE_CHARS - 1] + "…"
