"""Keys: where they come from and where they never show."""

from __future__ import annotations

import pytest

from agent_core.auth import ApiKey, Credentials, key_variable
from agent_core.errors import ConfigError, MissingKeyError
from agent_core.providers import PROVIDERS, AuthStyle, Provider

LAB = Provider("lab", "http://h/v1", key_env=("LAB_KEY", "OLD_LAB_KEY"))


async def later() -> str:
    return "from-a-token-service"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("bearer", {"authorization": "Bearer k-1"}),
        ("x-api-key", {"x-api-key": "k-1"}),
        ("api-key", {"api-key": "k-1"}),
        ("none", {}),
    ],
)
async def test_the_header_of_a_style(style: AuthStyle, expected: dict[str, str]) -> None:
    """Each style has one header, or none; surrounding whitespace of a key is no part of it."""
    assert await Credentials(LAB, style, api_key=" k-1\n").headers() == expected


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("api_key", "env", "key"),
    [
        ("mine", {"LAB_KEY": "env"}, "mine"),
        (None, {"LAB_KEY": "env", "OLD_LAB_KEY": "old"}, "env"),
        (None, {"LAB_KEY": "  ", "OLD_LAB_KEY": "old"}, "old"),
        (lambda: "called", {}, "called"),
        (later, {}, "from-a-token-service"),
    ],
)
async def test_where_a_key_comes_from(api_key: ApiKey | None, env: dict[str, str], key: str) -> None:
    """Argument before environment; the first variable that says something; callables of both kinds."""
    found = await Credentials(LAB, "bearer", api_key=api_key, env=env).headers()
    assert found == {"authorization": f"Bearer {key}"}


@pytest.mark.anyio
async def test_the_environment_is_read_each_time() -> None:
    """A key that is rotated in the environment is the new one from then on."""
    env = {"LAB_KEY": "one"}
    credentials = Credentials(LAB, "api-key", env=env)
    assert await credentials.headers() == {"api-key": "one"}
    env["LAB_KEY"] = "two"
    assert await credentials.headers() == {"api-key": "two"}


@pytest.mark.anyio
async def test_a_missing_key_names_its_variables() -> None:
    """S1-24: missing or blank is fatal where a key is required, and nothing where it is not."""
    with pytest.raises(MissingKeyError) as caught:
        await Credentials(LAB, "bearer", env={"LAB_KEY": " "}).headers()
    assert caught.value.remedy == "set LAB_KEY or OLD_LAB_KEY, or pass api_key="
    with pytest.raises(MissingKeyError, match="is empty"):
        await Credentials(LAB, "bearer", api_key="", env={"LAB_KEY": "env"}).headers()
    assert await Credentials(LAB, "bearer", required=False, env={}).headers() == {}


@pytest.mark.anyio
@pytest.mark.parametrize("key", ["sk-“quoted”", "two words", "line\nbreak", "schlüssel"])
async def test_a_key_no_header_can_carry(key: str) -> None:
    """Refused before anything is sent, without being shown."""
    with pytest.raises(ConfigError) as caught:
        await Credentials(LAB, "bearer", api_key=key).headers()
    assert key not in str(caught.value) + caught.value.remedy


@pytest.mark.anyio
async def test_a_key_shows_nowhere() -> None:
    """Not in a repr, and not in what a server echoes."""
    credentials = Credentials(LAB, "bearer", api_key="sk-0123456789")
    await credentials.headers()
    assert "0123456789" not in repr(credentials)
    assert credentials.hide(b"bad key sk-0123456789!") == b"bad key [key]!"


@pytest.mark.anyio
async def test_short_keys_are_words() -> None:
    """A placeholder such as `test` is not cut out of every text it occurs in."""
    credentials = Credentials(LAB, "bearer", api_key="test")
    await credentials.headers()
    assert credentials.hide(b"a test") == b"a test"


def test_which_variable_holds_the_key() -> None:
    """For tables: the name of the variable, never its value."""
    assert key_variable(PROVIDERS["gemini"], {"GOOGLE_API_KEY": "x"}) == "GOOGLE_API_KEY"
    assert key_variable(PROVIDERS["gemini"], {"GOOGLE_API_KEY": ""}) is None
    assert key_variable(PROVIDERS["sglang"], {}) is None
