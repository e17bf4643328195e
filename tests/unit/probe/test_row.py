"""The row as source: pasted, it makes the provider that was measured."""

from __future__ import annotations

from typing import cast

import pytest

from agent_core.codecs import WIRES
from agent_core.probe.row import compat_overrides, provider_source
from agent_core.providers import PROVIDERS, Endpoint, Provider, resolve, with_overrides
from tests.property.profiles import ENV as ADDRESSES

ENV = {**ADDRESSES, "OPENAI_API_VERSION": "2026-01-01"}


def pasted(source: str) -> Provider:
    return cast("Provider", eval(source, {"Provider": Provider, "Endpoint": Endpoint}))


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_shipped_row_survives_pasting(name: str) -> None:
    """On each of its wires: the same URL, header and Compat, and no key of anybody."""
    row = PROVIDERS[name]
    for wire in tuple(row.wires) or WIRES:
        known = resolve(f"{name}/some-model", wire=wire, env=ENV)
        source = provider_source(known, compat_overrides(known.compat, known))
        again = resolve(f"{name}/some-model", provider=pasted(source), wire=wire, env=ENV)
        assert (again.url, again.auth, again.headers, again.compat) == (
            known.url, known.auth, known.headers, known.compat
        )  # fmt: skip
        assert again.provider.headers_if == row.headers_if


@pytest.mark.parametrize(
    "base_url", ["http://h:1", "http://h:1/", "http://h:1/v1", "https://h/api/v2/", "http://h:1/v1?api-version=3"]
)
@pytest.mark.parametrize("model", ["lab/m", "groq/m", "anthropic/m"])
def test_a_base_url_of_the_callers_is_kept(model: str, base_url: str) -> None:
    """Bare hosts are written out: a new row has no path of a shipped one to take."""
    known = resolve(model, base_url=base_url, wire="chat")
    source = provider_source(known, compat_overrides(known.compat, known), base_url=base_url)
    assert resolve(model, provider=pasted(source), wire="chat").url == known.url


def test_the_source_is_readable() -> None:
    """What differs and nothing else; a long mapping has a line for each member."""
    known = resolve("lab/m", base_url="http://h:1", wire="responses")
    learned = {"call_id_exact": 9, "custom_tools": True, "extra_body": {"a": [1, None, "é"]}, "output_schema": "none"}
    compat = with_overrides(known.compat, {**learned, "sampling": True})
    overrides = compat_overrides(compat, known)
    assert overrides == learned
    assert provider_source(known, overrides, base_url="http://h:1") == (
        "Provider(\n"
        '    "lab",\n'
        '    "http://h:1/v1",\n'
        '    wire="responses",\n'
        "    compat={\n"
        '        "custom_tools": True,\n'
        '        "call_id_exact": 9,\n'
        '        "output_schema": "none",\n'
        '        "extra_body": {"a": [1, None, "\\u00e9"]},\n'
        "    },\n"
        ")"
    )
