"""A configuration file: what it makes, and what is said of one that is wrong."""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from agent_core import Usage
from agent_core.errors import ConfigError
from agent_core.gateway import gateway_from_toml
from agent_core.gateway.config import ConfigFile, GatewaySettings, read_config
from agent_core.gateway.model_settings import RoutingSettings

LAB = 'model = "lab/m"\nbase_url = "http://127.0.0.1:1/v1"\n'
GOOD = f"[models.m]\n{LAB}"


def written(folder: Path, text: str) -> Path:
    file = folder / "gateway.toml"
    file.write_text(text)
    return file


def test_models_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text is a model alone; a table says where it is, and how it is spoken to."""
    monkeypatch.setenv("LAB_KEY", "of the lab")
    monkeypatch.setenv("OPENAI_API_KEY", "of OpenAI")
    file = written(
        tmp_path,
        f"""
        [routing]
        default = "fast"
        [models]
        "org/large" = "openai/gpt-5.6"
        [models.fast]
        {LAB}
        wire = "messages"
        api_key_env = "LAB_KEY"
        idle_s = 5
        compat = {{ context_window = 1000 }}
        """,
    )
    assert repr(gateway_from_toml(file)) == "Gateway(org/large, fast)"
    fast = read_config(file).settings.models["fast"].one
    assert fast is not None
    client = fast.deployment(RoutingSettings()).client
    assert (client.wire, client.timeouts.idle_s, client.resolved.compat.context_window) == ("messages", 5.0, 1000)


WRONG: dict[str, tuple[str, str, str]] = {
    "no TOML": ("[models", "is no TOML", "correct that line"),
    "nothing": ("", "models is missing", "add it"),
    "no models": ("[models]", "models is empty", "at least one"),
    "a table nobody knows": (f"{GOOD}[sever]", "has no key 'sever'", "did you mean 'server'?"),
    "a key nobody knows": (f"{GOOD}bse_url = 1", "[models.m] has no key 'bse_url'", "did you mean 'base_url'?"),
    "a key far from any": (f"{GOOD}[server]\nx = 1", "[server] has no key 'x'", "the keys are host, port"),
    "a key that is missing": ("[models.m]\nwire = 'chat'", "[models.m] model is missing", "add it"),
    "a port out of range": (f"{GOOD}[server]\nport = 70000", "[server] port", "less than or equal to 65535"),
    "a text for a number": (f"{GOOD}[server]\nport = '80'", "[server] port cannot be that", "a valid integer"),
    "a yes for a number": (f"{GOOD}[server]\nport = true", "[server] port cannot be that", "a valid integer"),
    "a wire there is none of": (
        f"{GOOD}wire = 'smoke'",
        "[models.m] wire is none",
        "'chat', 'responses' or 'messages'",
    ),
    "a value for a table": (f"server = 1\n{GOOD}", "server is no table", "write a table"),
    "no time": (f"{GOOD}idle_s = 0", "[models.m] idle_s", "greater than 0"),
    "a secret for its name": (f"{GOOD}api_key_env = 'sk-secret'", "[models.m] api_key_env is no name", "MY_API_KEY"),
    "a secret in a header": (
        f"{GOOD}headers = {{ Authorization = 'Bearer sk-secret' }}",
        "[models.m] headers holds a secret (Authorization)",
        "name its variable with api_key_env",
    ),
    "a variable that is not set": (
        f"{GOOD}api_key_env = 'NO_SUCH'",
        "[models.m]: the environment variable NO_SUCH",
        "set it",
    ),
    "a provider nobody knows": ("[models]\nm = 'opnai/x'", "[models.m]: unknown provider", "did you mean openai"),
    "a deviation there is none of": (
        f"{GOOD}compat = {{ smoke = 1 }}",
        "[models.m]: Compat has no field",
        "did you mean",
    ),
    "a default there is none of": (f"{GOOD}[routing]\ndefault = 'x'", "[routing] default names 'x'", "name one of m"),
    "an alias for nothing": (f"{GOOD}[aliases]\na = 'x'", "[aliases] a names 'x'", "name one of m"),
    "a fallback there is none of": (f"{GOOD}fallbacks = ['x']", "[models.m] fallbacks names 'x'", "name one of m"),
    "itself for a fallback": (f"{GOOD}fallbacks = ['m']", "fallback 'm' of 'm'", "name one of m"),
    "a fallback that is no list": (f"{GOOD}fallbacks = 'x'", "[models.m] fallbacks cannot be that", "a valid list"),
    "a strategy there is none of": (f"{GOOD}strategy = 'luck'", "[models.m] strategy is none", "'round_robin', "),
    "no deployment": ("[models.m]\ndeployments = []", "[models] m is empty", "at least one"),
    "no model of a deployment": (
        "[[models.m.deployments]]\nweight = 2",
        "[[models.m.deployments]] 1 model is missing",
        "",
    ),
    "a key of a deployment": (
        f"[[models.m.deployments]]\n{LAB}[[models.m.deployments]]\n{LAB}wieght = 2",
        "[[models.m.deployments]] 2 has no key 'wieght'",
        "did you mean 'weight'?",
    ),
    "a key of a model that has deployments": (
        f"[models.m]\nmodel = 'a/b'\n[[models.m.deployments]]\n{LAB}",
        "[models.m] has no key 'model'",
        "the keys are strategy, fallbacks, deployments",
    ),
    "a weight below one": (f"{GOOD}weight = 0", "[models.m] weight", "greater than or equal to 1"),
    "two of one name": (
        f"[[models.m.deployments]]\n{LAB}" * 2,
        "[models.m]: two deployments are called 'lab/m'",
        "name",
    ),
    "prices that cannot be compared": (
        f"[models.m]\nstrategy = 'cost'\n[[models.m.deployments]]\n{LAB}price = {{ input = 1, output = 1 }}\n"
        f"[[models.m.deployments]]\n{LAB}name = 'b'\nprice = {{ input = 1, output = 1, currency = 'EUR' }}",
        "[models.m]: prices in EUR and USD cannot be compared",
        "one currency",
    ),
    "a price below nothing": (
        f"{GOOD}[prices.'lab/*']\ninput = -1\noutput = 1",
        "[prices.lab/*] input",
        "greater than",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, name: str) -> None:
    """File, table, key, and what to write; never a value that could be a secret."""
    text, wrong, remedy = WRONG[name]
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        gateway_from_toml(file)
    assert caught.value.message.startswith(str(file)) and wrong in caught.value.message
    assert remedy in caught.value.remedy
    assert "sk-secret" not in caught.value.message + caught.value.remedy


COSTS: dict[str, tuple[str, Usage, str | None]] = {
    "its own price, not that of a pattern": ("lab/big", Usage(input=1_000_000), "3"),
    "the pattern that fits": ("lab/other", Usage(input=1_000_000, output=500_000), "2"),
    "the price beside a deployment": ("own/m", Usage(output=1_000_000), "7"),
    "a model nobody knows": ("nobody/m", Usage(input=1_000_000), None),
    "nothing": ("lab/big", Usage(), "0"),
}


def test_prices_of_a_file(tmp_path: Path) -> None:
    """T-Q6: the exact name, then patterns, then the list; what has no price has none, and never costs nothing."""
    own = 'model = "own/m"\nbase_url = "http://127.0.0.1:1"\nprice = { input = 1, output = 7 }\n'
    rows = "[prices]\n'lab/*' = { input = 1, output = 2 }\n'lab/big' = { input = 3, output = 4 }\n"
    prices = read_config(written(tmp_path, f"[models.m]\n{own}{rows}")).prices()
    for model, usage, expected in COSTS.values():
        provider, _, name = model.partition("/")
        cost = prices.cost(provider, name, usage)
        assert (None if cost is None else cost.amount) == (None if expected is None else Decimal(expected))


def test_the_file_of_the_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/gateway.md shows is what is read: every table and every key, but for the keys that are secret."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY", "SECOND_GROQ_KEY"):
        monkeypatch.setenv(name, "a-key-of-a-provider")
    page = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text("utf-8")
    shown = [text for text in re.findall(r"^```toml\n(.*?)^```$", page, re.M | re.S) if "[models" in text]
    assert shown
    for text in shown:
        checked = ConfigFile(Path("gateway.toml"), GatewaySettings.model_validate(tomllib.loads(text)))
        assert checked.gateway(keys=["a-key-of-the-gateway"]).routes.keys() == checked.settings.models.keys()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        gateway_from_toml(tmp_path / "none.toml")
