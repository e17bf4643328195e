"""Imports point down. Read from the sources with ast, so that a lazy import counts too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "agent_core"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "redaction"),
    ("state_folder", "cancellation", "deadlines", "blocking", "toml_file"),
    ("items",),
    ("events",),
    ("prompt",),
    ("codecs",),
    ("providers", "provider_rows", "host_rows", "model_families"),
    ("http_faults", "http_head", "anyio_network", "asyncio_network", "chunk_joiner"),
    (
        "retry",
        "auth",
        "transport",
        "fast_transport",
        "h11_transport",
        "transport_choice",
        "telemetry",
        "limiter",
        "circuit",
        "prices",
        "logs",
    ),
    ("event_stream", "admission"),
    ("client", "aggregation"),
    ("fallback",),
    ("approvals", "approval_rules", "tool_policy", "sandbox", "tools", "session"),
    ("call_items", "paused", "turn_events", "limits", "steering", "guards"),
    ("hooks", "hook_commands", "hook_file"),
    ("permission", "outputs", "tool_slots", "dispatch", "resampling", "turn_queue", "compaction", "previews"),
    ("turn_parts",),
    ("loop", "turn"),
    ("refused_images",),
    (
        "config",
        "agent",
        "agent_approvals",
        "agent_arguments",
        "agent_models",
        "toolbox",
        "subagents",
        "testing",
        "probe",
    ),
    ("cli", "gateway", "batch"),
)
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}

# errors names Response (its `partial`) and retry names nothing above it: annotations only, never at run time.
ANNOTATIONS_ONLY = {("errors", "events")}

FORBIDDEN: dict[str, tuple[str, ...]] = {
    "errors redaction items events prompt codecs": (
        "httpx2", "anyio", "asyncio", "trio", "os", "io", "time", "random", "logging", "socket", "threading",
        "tenacity", "rich", "opentelemetry", "datetime.now",
    ),
    "errors redaction items events prompt codecs providers provider_rows host_rows model_families": ("rich", "mcp"),
    "auth retry telemetry http_faults http_head": ("rich", "mcp"),
    "transport fast_transport h11_transport transport_choice": ("rich", "mcp"),
    "anyio_network asyncio_network chunk_joiner": ("httpx2", "rich", "mcp"),
    "event_stream client aggregate": ("rich", "mcp"),
    "cancellation turn_events limits steering guards paused call_items": ("httpx2", "rich", "opentelemetry", "os"),
    "permission outputs dispatch turn_queue compaction": ("httpx2", "rich", "opentelemetry", "os"),
    "turn_parts loop turn": (
        "httpx2", "rich", "opentelemetry", "os",
    ),
    "tools session approvals approval_rules tool_policy": ("httpx2", "rich"),
}  # fmt: skip

ALLOWED = {("tools/mcp/http.py", "httpx2")}
"""The MCP SDK speaks HTTP through a client that it is given."""

WIRES = ("chat", "responses", "messages")


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, str]]:
    """(kind, dotted name) of every import in a file: ("own", "codecs.base") or ("other", "httpx2")."""
    package = list(path.relative_to(PACKAGE).parts[:-1])
    found: list[tuple[str, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [("other", name.name) for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            for name in node.names:
                found.append(("own", ".".join([*base, *([node.module] if node.module else [name.name])])))
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(("other", node.module))
    return found


def test_every_room_has_a_layer() -> None:
    """A new room must say where it stands."""
    rooms = {room_of(path) for path in sources()} - {"__init__"}
    assert rooms <= set(RANK), sorted(rooms - set(RANK))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    """A room imports its own layer's rooms or lower ones, never higher ones; and no third party it must not know."""
    room = room_of(path)
    if room == "__init__":
        return
    for kind, name in imports(path):
        top = name.split(".")[0]
        if kind == "own" and top not in ("", "__version__") and (room, top) not in ANNOTATIONS_ONLY:
            assert RANK[top] <= RANK[room], f"{room} imports {name}"
        if kind == "other":
            banned = [mod for rooms, mods in FORBIDDEN.items() if room in rooms.split() for mod in mods]
            allowed = (path.relative_to(PACKAGE).as_posix(), top) in ALLOWED
            assert allowed or top not in banned, f"{room} imports {name}"


@pytest.mark.parametrize("wire", WIRES)
def test_a_wire_knows_no_other_wire(wire: str) -> None:
    """N wires, N codecs: no codec imports another wire's files."""
    others = [other for other in WIRES if other != wire]
    for path in (PACKAGE / "codecs").glob(f"{wire}*.py"):
        for kind, name in imports(path):
            stem = name.split(".")[-1].split("_")[0]
            assert not (kind == "own" and name.startswith("codecs.") and stem in others), f"{path.name} imports {name}"
