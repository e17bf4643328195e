"""Secrets out of text that was not meant to hold any: what a server says in an error, what a tool prints.

By shape alone, so no key has to be known: the prefixes vendors give their keys, values behind the names that announce
one, signed tokens, private keys, passwords in URLs. What is no secret and looks like one is lost too, so nothing that
has to come back whole may pass through here. A second pass over its own result changes nothing.

Every pattern begins with plain letters and is searched for alone, which is many times as fast as one pattern of all.
"""

from __future__ import annotations

import re
from functools import cache

__all__ = ["redacted"]

_MARK = "[key]"

_PREFIXES = (
    "sk-",  # OpenAI, Anthropic, OpenRouter, DeepSeek, Moonshot
    "gsk_", "xai-", "AIza", "hf_", "r8_", "fw_", "csk-", "pplx-", "nvapi-", "tgp_",
    "ghp_", "gho_", "ghs_", "ghu_", "github_pat_", "glpat-", "AKIA", "ASIA", "xoxb-", "xoxp-",
)  # fmt: skip

_SHAPES = (
    *(rf"{prefix}(?<![A-Za-z0-9]{prefix})[A-Za-z0-9_-]{{12,}}" for prefix in _PREFIXES),
    r"eyJ(?<![A-Za-z0-9_-]eyJ)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",  # JSON web tokens
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[^-]{0,10000}(?:-----END [A-Z ]{0,20}PRIVATE KEY-----)?",
)

_NAMES = ("api_key", "api-key", "apikey", "access_token", "auth_token", "secret", "password", "passwd")
_SPELT = sorted({form for name in _NAMES for form in (name, name.upper(), name.title())})

_BEHIND = (
    *(rf"({name}[\"']?\s{{0,3}}[:=]\s{{0,3}}[\"']?)[^\s\"',;&}}\[]{{8,200}}" for name in _SPELT),
    r"(earer )(?<=[bB]earer )[A-Za-z0-9._~+/-]{16,}=*",
    r"(://)[^/\s:@]{1,100}:[^/\s@]{1,200}(?=@)",  # user:password@host
)
"""`OPENAI_API_KEY=…`, `"api_key": "…"`, `Bearer …`: what announces the secret stays."""


@cache
def _rules() -> tuple[tuple[re.Pattern[str], str], ...]:
    shapes = ((re.compile(pattern), _MARK) for pattern in _SHAPES)
    behind = ((re.compile(pattern), rf"\1{_MARK}") for pattern in _BEHIND)
    return (*shapes, *behind)


def redacted(text: str) -> str:
    """`text` with `[key]` where something looks like a secret; the same object where nothing does."""
    for pattern, mark in _rules():
        text = pattern.sub(mark, text)
    return text
