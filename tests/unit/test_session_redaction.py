"""What secrets a session's file does not hold, and what it holds all the same."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent_core.items import (
    Compaction,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    InputText,
    ResponseItem,
    assistant_message,
    output_text_of,
    user_message,
)
from agent_core.providers import PROVIDERS
from agent_core.session import Redaction, Session
from agent_core.session.redaction import DEFAULT_REDACTION, Redactor

LETTERS = "Ab3dEf6hIj9lMn2pQr5tUv8xYz1BcD4eFgH7iJkL0mNoPqRsTu"

SECRETS: dict[str, tuple[str, str]] = {
    "Anthropic key": (f"sk-ant-api03-{LETTERS}", "ANTHROPIC={}\n"),
    "API key": (f"sk-{LETTERS[:48]}", "key: {}"),
    "API key of a project": (f"sk-proj-{LETTERS}", "('{}')"),
    "Groq key": (f"gsk_{LETTERS}", "{}"),
    "xAI key": (f"xai-{LETTERS}", "{}"),
    "Google key": (f"AIza{LETTERS[:35]}", "?key={}&alt=sse"),
    "Google token": (f"ya29.{LETTERS}", "{}"),
    "Hugging Face token": (f"hf_{LETTERS[:34]}", "{}"),
    "GitHub token": (f"ghp_{LETTERS[:36]}", "https://{}@github.com/a/b"),
    "GitHub token, fine-grained": (f"github_pat_{LETTERS}", "{}"),
    "GitLab token": ("glpat-" + LETTERS[:20], "{}"),
    "npm token": ("npm_" + LETTERS[:36], "//registry/:_authToken={}"),
    "PyPI token": ("pypi-AgE" + LETTERS + LETTERS, "password = {}"),
    "Slack token": ("xoxb-123456789012-" + LETTERS[:24], "{}"),
    "Stripe key": ("sk_live_" + LETTERS[:24], "{}"),
    "AWS key id": ("AKIAIOSFODNN7EXAMPLE", "{} "),
    "AWS secret": ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = {}\n"),
    "bearer token": ("0123456789abcdef0123", "> Authorization: Bearer {}\r\n"),
    "signed token": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", "session={};"),
    "private key": ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "{}\nrest"),
    "private key, cut": ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz", "{}"),
    "private key, PGP": ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n-----END PGP PRIVATE KEY BLOCK-----", "{}"),
    "value": ("a value of the caller's", "it is {}."),
    "CLOUD_SECRET_KEY": ("/alrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY+", "it is {}."),
    "DEPLOY_TOKEN": ("correct horse battery".replace(" ", "-"), "it is {}."),
}
ENV = {
    "DEPLOY_TOKEN": SECRETS["DEPLOY_TOKEN"][0],
    "CLOUD_SECRET_KEY": SECRETS["CLOUD_SECRET_KEY"][0],
    "SSH_KEY": "/home/user/.ssh/id_ed25519",
    "LOCAL_API_KEY": "EMPTY",
    "TOKENIZERS_PARALLELISM": "a-value-that-is-no-secret",
}
INNOCENT = (
    "task-management-of-something-very-long-2024",
    "sk-learn, sk-button-primary-large-rounded-blue-2",
    "https://example.org/AIza",
    "/home/user/.ssh/id_ed25519 EMPTY a-value-that-is-no-secret",
    "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
    "token = get_token_from_environment()",
    "Authorization: Bearer $TOKEN",
    "d41d8cd98f00b204e9800998ecf8427e 0123456789abcdef0123",
)


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_left_out(name: str) -> None:
    """Each kind, named, with what stands around it untouched; once cut out there is nothing more to cut."""
    secret, around = SECRETS[name]
    redactor = Redactor(Redaction(values=(SECRETS["value"][0],)), ENV)
    text, count = redactor.text(around.format(secret))
    kind = name.split(",")[0].removesuffix(" of a project")
    assert (text, count) == (around.format(f"[redacted: {kind}]"), 1)
    assert redactor.text(text) == (text, 0)


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text_is_untouched(text: str) -> None:
    """Words that look a little like keys, paths in variables, placeholders, hashes."""
    assert Redactor(DEFAULT_REDACTION, ENV).text(text) == (text, 0)


def test_every_provider_s_key_is_known_by_its_variable() -> None:
    """Whatever its shape: the names in the table are names of secrets."""
    for name in {name for row in PROVIDERS.values() for name in row.key_env}:
        value = "a" * 20
        assert Redactor(DEFAULT_REDACTION, {name: value}).text(value) == (f"[redacted: {name}]", 1)


KEY = SECRETS["API key"][0]
ITEMS: tuple[ResponseItem, ...] = (
    user_message(f"use {KEY}"),
    FunctionCall(call_id="c", name="curl", arguments=f'{{"key":"{KEY}"}}'),
    FunctionCallOutput(call_id="c", output=f"{KEY} and {KEY}"),
    CustomToolCallOutput(call_id="d", output=(InputText(text=KEY), InputImage(image_url="https://a/b"))),
    assistant_message(f"{KEY} works"),
)


@pytest.mark.parametrize(
    ("rules", "kept"),
    [(DEFAULT_REDACTION, [1, 1, 0, 0, 1]), (Redaction(messages=True), [0, 1, 0, 0, 0]), (None, [1, 1, 2, 1, 1])],
    ids=["default", "messages too", "off"],
)
def test_what_the_file_holds(tmp_path: Path, rules: Redaction | None, kept: list[int]) -> None:
    """Outputs without their secrets, calls always whole; the running session keeps all, the resumed one says what is
    gone."""
    path = tmp_path / "s.jsonl"
    with Session.create(path, redact=rules) as session:
        session.append(*ITEMS)
        assert [item.model_dump_json().count(KEY) for item in session.items] == [1, 1, 2, 1, 1]
    lines = path.read_text().splitlines()[1:]
    assert [line.count(KEY) for line in lines] == kept
    with Session.resume(path) as again:
        assert bool(again.warnings) is (sum(kept) < 6)
        if again.warnings:
            assert again.warnings[0].startswith(f"{6 - sum(kept)} secrets")
        assert [item.id for item in again.items] == [item.id for item in session.items]


@pytest.mark.parametrize(("rules", "count"), [(DEFAULT_REDACTION, 2), (Redaction(messages=True), 0)])
def test_what_a_compaction_keeps_follows_the_rules_for_messages(tmp_path: Path, rules: Redaction, count: int) -> None:
    """A shortened message and a summary are words of people and models; the session itself has them whole."""
    path = tmp_path / "s.jsonl"
    with Session.create(path, redact=rules) as session:
        session.append(user_message("hello"), assistant_message("hi"))
        session.compact(2, (user_message(f"short {KEY}"), Compaction(summary=f"we used {KEY}")))
        assert str(session.items).count(KEY) == 2
    assert path.read_text().count(KEY) == count
    assert len(Session.read(path).items) == 2


def test_a_fork_follows_the_same_rules(tmp_path: Path) -> None:
    """Those of the session it comes from."""
    with Session.create(tmp_path / "s.jsonl", redact=None) as session:
        session.append(*ITEMS)
        session.fork(tmp_path / "whole.jsonl").close()
    Session(items=ITEMS).fork(tmp_path / "fork.jsonl").close()
    texts = [
        output_text_of(item)
        for name in ("whole.jsonl", "fork.jsonl")
        for item in Session.read(tmp_path / name).items
        if isinstance(item, FunctionCallOutput)
    ]
    assert texts == [f"{KEY} and {KEY}", "[redacted: API key] and [redacted: API key]"]


def test_rules_do_not_show_what_they_hide() -> None:
    """A repr in a log names no value."""
    assert "horse" not in repr(Redaction(values=("horse",)))


@pytest.mark.parametrize("piece", ["-----BEGIN RSA PRIVATE KEY-----\n", "eyJ", "sk-", "Authorization: Bearer ", "a"])
def test_long_texts_cost_linear_time(piece: str) -> None:
    """A megabyte of beginnings that lead nowhere takes well under a second."""
    text = piece * (1_000_000 // len(piece))
    began = time.process_time()
    Redactor(DEFAULT_REDACTION, {}).text(text)
    assert time.process_time() - began < 1
