"""Secrets stay out of session files, by rule: what tools bring up by accident is not written down.

Tool outputs are where keys leak that nobody meant to keep: the environment, configuration, logs. In what is written of
an output each secret is replaced by `[redacted: <name>]`, its record counts them, and a session resumed from the file
says so. The running session keeps the whole output, so nothing changes for the model until then. What people and models
said is kept as said; `messages=True` covers that too. Arguments of calls are never changed: a call that a crash left
open is run with them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import partial

from msgspec import Struct

from ..items import (
    Compaction,
    ContentPart,
    CustomToolCallOutput,
    FunctionCallOutput,
    InputText,
    Message,
    OutputText,
    ResponseItem,
)

__all__ = ["DEFAULT_REDACTION", "SECRET_SHAPES", "Redaction", "Redactor", "SecretShape"]

MIN_VALUE_CHARS = 16
"""Shorter values of variables are words ("EMPTY", "postgres") that would be cut out of innocent text."""
_AWS_SECRET = r"[A-Za-z0-9/+]{40}"
"""May begin with a slash, and is no path."""
_SECRET_NAME = r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)(?:_|$)"


class SecretShape(Struct, frozen=True):
    """What secrets of one kind look like: a regular expression, whose first group (where it has one) is the secret.

    `hints`: one of these stands in every match; a text without any of them is not searched.
    """

    name: str
    pattern: str
    hints: tuple[str, ...] = ()


SECRET_SHAPES: tuple[SecretShape, ...] = (
    # The shapes their makers publish for secret scanning: a fixed prefix and enough letters not to be a word.
    SecretShape("Anthropic key", r"\bsk-ant-[\w-]{20,}", ("sk-ant-",)),
    SecretShape("API key", r"\bsk-(?:(?:proj|svcacct|admin|or-v1)-[\w-]{20,}|[A-Za-z0-9]{32,})", ("sk-",)),
    SecretShape("Groq key", r"\bgsk_[A-Za-z0-9]{40,}", ("gsk_",)),
    SecretShape("xAI key", r"\bxai-[A-Za-z0-9]{40,}", ("xai-",)),
    SecretShape("Google key", r"\bAIza[\w-]{35}", ("AIza",)),
    SecretShape("Google token", r"\bya29\.[\w-]{20,}", ("ya29.",)),
    SecretShape("Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}", ("hf_",)),
    SecretShape(
        "GitHub token",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,})",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    ),
    SecretShape("GitLab token", r"\bglpat-[\w-]{20,}", ("glpat-",)),
    SecretShape("npm token", r"\bnpm_[A-Za-z0-9]{36}", ("npm_",)),
    SecretShape("PyPI token", r"\bpypi-AgE[\w-]{50,}", ("pypi-AgE",)),
    SecretShape("Slack token", r"\bxox[abeprs]-[A-Za-z0-9-]{10,}", ("xox",)),
    SecretShape("Stripe key", r"\b[rs]k_live_[A-Za-z0-9]{20,}", ("k_live_",)),
    SecretShape("AWS key id", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", ("AKIA", "ASIA")),
    SecretShape(
        "AWS secret",
        r"(?i:aws_secret_access_key)[\"']?\s*[:=]\s*[\"']?([A-Za-z0-9/+=]{40})",
        ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ),
    SecretShape("bearer token", r"(?i:\bauthorization[\"']?\s*:\s*[\"']?bearer )([\w.~+/=-]{16,})", ("earer ",)),
    SecretShape("signed token", r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}", ("eyJ",)),
    SecretShape(
        "private key",
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:[\s\S]*?-----END [A-Z0-9 ]*-----|[\s\S]*)",
        ("PRIVATE KEY",),
    ),
)


class Redaction(Struct, frozen=True):
    """Rules for what a session's file does not hold: texts of these `shapes`, these `values`, and (with `env`) what the
    environment holds in variables named as keys, tokens, secrets and passwords, from 16 characters on."""

    shapes: tuple[SecretShape, ...] = SECRET_SHAPES
    values: tuple[str, ...] = ()
    env: bool = True
    messages: bool = False

    def __repr__(self) -> str:
        return (
            f"Redaction({len(self.shapes)} shapes, {len(self.values)} values, env={self.env}, messages={self.messages})"
        )


DEFAULT_REDACTION = Redaction()


class Redactor:
    """Rules, made ready for one session. `env`: the environment whose secrets are known by value."""

    __slots__ = ("_messages", "_shapes", "_values")

    def __init__(self, rules: Redaction, env: Mapping[str, str] = os.environ) -> None:
        known = _secrets_of(env) if rules.env else {}
        known.update(dict.fromkeys(filter(None, rules.values), "value"))
        # Longest first: one value may be part of another.
        self._values = sorted(known.items(), key=lambda pair: -len(pair[0]))
        self._shapes = rules.shapes
        self._messages = rules.messages

    def of(self, item: ResponseItem) -> tuple[ResponseItem, int]:
        """The item as it may be written, and how many secrets were left out of it; the same object if none."""
        match item:
            case FunctionCallOutput(output=str(text)) | CustomToolCallOutput(output=str(text)):
                text, count = self.text(text)
                return (item.model_copy(update={"output": text}), count) if count else (item, 0)
            case FunctionCallOutput(output=tuple(parts)) | CustomToolCallOutput(output=tuple(parts)):
                shown, count = self._parts(parts)
                return (item.model_copy(update={"output": shown}), count) if count else (item, 0)
            case Message() if self._messages:
                said, count = self._parts(item.content)
                return (item.model_copy(update={"content": said}), count) if count else (item, 0)
            case Compaction(summary=str(text)) if self._messages:
                text, count = self.text(text)
                return (item.model_copy(update={"summary": text}), count) if count else (item, 0)
            case _:
                return item, 0

    def text(self, text: str) -> tuple[str, int]:
        total = 0
        for value, name in self._values:
            count = text.count(value)
            if count:
                text, total = text.replace(value, f"[redacted: {name}]"), total + count
        for shape in self._shapes:
            if not shape.hints or any(hint in text for hint in shape.hints):
                text, count = re.subn(shape.pattern, partial(_without, shape.name), text)
                total += count
        return text, total

    def _parts(self, parts: Iterable[ContentPart]) -> tuple[tuple[ContentPart, ...], int]:
        out: list[ContentPart] = []
        total = 0
        for part in parts:
            if isinstance(part, InputText | OutputText):
                text, count = self.text(part.text)
                if count:
                    part = part.model_copy(update={"text": text})
                    total += count
            out.append(part)
        return tuple(out), total


def _without(name: str, match: re.Match[str]) -> str:
    whole, start = match[0], match.start()
    secret = match.span(match.re.groups and 1)
    return f"{whole[: secret[0] - start]}[redacted: {name}]{whole[secret[1] - start :]}"


def _secrets_of(env: Mapping[str, str]) -> dict[str, str]:
    """Values by which the environment's secrets are known, with their variables' names. Paths are no secrets."""
    return {
        value: name
        for name, value in env.items()
        if len(value) >= MIN_VALUE_CHARS
        and re.search(_SECRET_NAME, name.upper())
        and (not value.startswith(("/", "~", ".")) or re.fullmatch(_AWS_SECRET, value))
        and "://" not in value
        and not any(map(str.isspace, value))
    }
