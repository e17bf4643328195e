"""`[mcp_servers.NAME]`: what a file may say, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_core.errors import ConfigError
from agent_core.tools.mcp import McpServer, read_toml

WHOLE = """
model = "somebody else's"

[mcp_servers.git]
command = "mcp-server-git"
args = ["--repository", "."]
env = { GIT_PAGER = "cat" }
env_vars = ["SSH_AUTH_SOCK"]
cwd = "below"
startup_timeout_sec = 5
tool_timeout_sec = 12.5
enabled_tools = ["git_*"]
disabled_tools = ["git_reset"]
read_only_tools = ["git_log"]
trusted_tools = ["git_add"]

[mcp_servers.docs]
url = "https://mcp.example/mcp"
bearer_token_env_var = "DOCS_TOKEN"
http_headers = { "X-Team" = "blue" }
env_http_headers = { "X-Key" = "DOCS_KEY" }
required = true
enabled = false
supports_parallel_tool_calls = true
trust_annotations = true
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mcp.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_whole_file(tmp_path: Path) -> None:
    """Every key lands where it belongs; a relative cwd is below the file."""
    git, docs = read_toml(written(tmp_path, WHOLE))
    assert git == McpServer(
        "git",
        command="mcp-server-git",
        args=["--repository", "."],
        env={"GIT_PAGER": "cat"},
        env_vars=["SSH_AUTH_SOCK"],
        cwd=tmp_path.resolve() / "below",
        startup_timeout_s=5,
        tool_timeout_s=12.5,
        enabled_tools=["git_*"],
        disabled_tools=["git_reset"],
        read_only_tools=["git_log"],
        trusted_tools=["git_add"],
    )
    assert (docs.required, docs.enabled, docs.parallel, docs.trust_annotations) == (True, False, True, True)
    headers = docs.headers({"DOCS_TOKEN": "t0ken", "DOCS_KEY": "k3y"})
    assert headers == {"X-Team": "blue", "X-Key": "k3y", "Authorization": "Bearer t0ken"}


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("[other]\na = 1", "there is no table [mcp_servers.NAME]", "add one for each server"),
        ("mcp_servers = 3", "there is no table [mcp_servers.NAME]", "add one for each server"),
        ("[mcp_servers]\na = 1", "[mcp_servers.a] is no table", "write a table with command or url"),
        ("[mcp_servers.a", "is no TOML: ", "correct that line"),
        ("[mcp_servers.a]\ncomand = 'x'", "[mcp_servers.a] has an unknown key 'comand'", "did you mean 'command'?"),
        ("[mcp_servers.a]\nzzz = 'x'", "[mcp_servers.a] has an unknown key 'zzz'", "the keys are args, bearer_"),
        ("[mcp_servers.a]\ncommand = ['x']", "[mcp_servers.a] command is not a string", "write a string"),
        ("[mcp_servers.a]\ncommand = 'x'\nargs = 'y'", "args is not a list of strings", "write a list of strings"),
        ("[mcp_servers.a]\ncommand = 'x'\nenv = { A = 1 }", "env is not a table of strings", "write a table of str"),
        ("[mcp_servers.a]\ncommand = 'x'\nenabled = 1", "enabled is not true or false", "write true or false"),
        ("[mcp_servers.a]\ncommand = 'x'\nmax_restarts = -1", "max_restarts is not a whole", "write a whole number"),
        ("[mcp_servers.a]\ncommand = 'x'\ntool_timeout_sec = true", "is not a number of seconds", "write a number of"),
        ("[mcp_servers.a]\ncommand = 'x'\ntool_timeout_sec = nan", "has tool_timeout_s nan", "give seconds"),
        ("[mcp_servers.a]\nargs = []", "has neither command nor url", "give the command that starts it, or the URL"),
        ("[mcp_servers.a]\ncommand = 'x'\nurl = 'http://h'", "has both command and url", "give the command that"),
        ("[mcp_servers.a]\nurl = 'http://h'\ncwd = 'x'", "has cwd, which is nothing for a", "leave one"),
        ("[mcp_servers.a]\ncommand = 'x'\nhttp_headers = { A = 'b' }", "has http_headers, which is", "leave one"),
        ("[mcp_servers.a]\nurl = 'ftp://h'", "has a url that is no http(s) URL", "write https://HOST/PATH"),
        ("[mcp_servers.a]\nurl = 'http://h:99999'", "has a url that is no http(s) URL", "write https://HOST/PATH"),
        ("[mcp_servers.a]\nurl = 'http://u:p@h'", "has a password in its url", "use bearer_token_env_var or"),
        ("[mcp_servers.'a b']\ncommand = 'x'", "'a b' cannot be an MCP server's name", "use letters, digits,"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str, remedy: str) -> None:
    """The file, the table, the key; and what to do."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_toml(path)
    assert str(path) in caught.value.message
    assert message in caught.value.message
    assert caught.value.remedy.startswith(remedy)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, no text, too large: one line each."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"#" * (1024 * 1024 + 1))
    for name, words in (("missing", "cannot read"), ("binary", "is no TOML"), ("large", "is larger than 1,048,576")):
        with pytest.raises(ConfigError, match=words):
            read_toml(tmp_path / name)


def test_a_variable_that_is_not_set_is_named() -> None:
    """The variable and the key that asks for it; a blank one counts as none."""
    server = McpServer("docs", url="https://h/mcp", bearer_token_env_var="DOCS_TOKEN")
    with pytest.raises(ConfigError) as caught:
        server.headers({"DOCS_TOKEN": " "})
    assert caught.value.message == (
        "MCP server 'docs' needs the environment variable DOCS_TOKEN, of its bearer_token_env_var"
    )
    assert caught.value.remedy == "set DOCS_TOKEN"


def test_secrets_are_in_no_repr() -> None:
    """What is given as a value may be one; names of variables are none."""
    local = McpServer("a", command="x", env={"TOKEN": "s3cret"})
    remote = McpServer("a", url="https://h", http_headers={"X": "s3cret"})
    assert "s3cret" not in f"{local!r} {remote!r}"


@pytest.mark.parametrize(
    ("enabled", "disabled", "offered"),
    [
        (["*"], [], ["read_file", "write_file", "stat"]),
        (["read_*", "stat"], [], ["read_file", "stat"]),
        (["*"], ["*_file"], ["stat"]),
        (["*_file"], ["write_file"], ["read_file"]),
        ([], [], []),
    ],
)
def test_filters(enabled: list[str], disabled: list[str], offered: list[str]) -> None:
    """Enabled and not disabled, by name or pattern."""
    server = McpServer("a", command="x", enabled_tools=enabled, disabled_tools=disabled)
    assert [name for name in ("read_file", "write_file", "stat") if server.offers(name)] == offered
