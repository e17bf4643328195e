"""What looks like a secret is taken out of text; what does not is left as it was."""

from __future__ import annotations

import time

import pytest

from agent_core.redaction import redacted

SECRETS: dict[str, tuple[str, str]] = {
    "openai": ("Incorrect API key provided: sk-proj-abcDEF0123456789_-x.", "Incorrect API key provided: [key]."),
    "anthropic": ("key sk-ant-api03-AAAAbbbbCCCCdddd1111 refused", "key [key] refused"),
    "groq": ("gsk_abcdefghij0123456789KLMN", "[key]"),
    "xai": ("xai-abcdefghij0123456789KLMN is no key", "[key] is no key"),
    "google": ("?key=AIzaSyA-0123456789abcdefghijklmnopqrstu&x=1", "?key=[key]&x=1"),
    "aws": ("AKIAIOSFODNN7EXAMPLE", "[key]"),
    "github": ("ghp_0123456789abcdefghijABCDEFGHIJ", "[key]"),
    "bearer": ("authorization: Bearer abcdef0123456789==", "authorization: Bearer [key]"),
    "jwt": ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_", "token [key]"),
    "url": ("postgres://joe:hunter22@db/x", "postgres://[key]@db/x"),
    "assigned": ("LAB_API_KEY=abcdefgh12345678 rest", "LAB_API_KEY=[key] rest"),
    "json": ('{"api_key": "abcdefgh12345678", "n": 1}', '{"api_key": "[key]", "n": 1}'),
    "pem": ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nx", "[key]\nx"),
}

PLAIN = (
    "Incorrect API key provided: sk-inval**********key.",
    "the API key is missing; set OPENAI_API_KEY or pass api_key=",
    "Rate limit reached for gpt-5.6 in organization org-abcdef on tokens per min",
    "task-0123456789abcdefghij is a disk-0123456789abcdefghij",
    "see https://example.test/a:b/c@d",
    "max_tokens: 100000 > 8192",
    "",
)


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_go(name: str) -> None:
    """Every shape is replaced, what stands around it stays, and a second pass finds nothing."""
    text, expected = SECRETS[name]
    assert redacted(text) == expected
    assert redacted(expected) == expected


@pytest.mark.parametrize("text", PLAIN)
def test_plain_words_stay(text: str) -> None:
    """Masked keys, names of variables and ordinary ids are no secrets; the text is not even copied."""
    assert redacted(text) is text


def test_its_time_follows_the_length() -> None:
    """Text made to trip it (every beginning of a pattern, over and over) takes no more than its share."""
    for piece in ("sk-", "eyJ" + "a" * 20, "api_key", "password = ", "://a:", "-----BEGIN PRIVATE KEY-----", "x" * 50):
        began = time.perf_counter()
        redacted(piece * (200_000 // len(piece)))
        assert time.perf_counter() - began < 2.0, piece
