"""Calls and results of tools that we have no class for, paired by what servers say of them.

    messages    server_tool_use, mcp_tool_use           …_tool_result with its tool_use_id, in the same message
    responses   shell_call, apply_patch_call, …         …_call_output with its call_id

A server refuses one without the other (claude-code#62885: "must have a corresponding `server_tool_use` block before
it"), and we cannot make up either: what a cut history has only half of is left out.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from ..items import JsonObject

__all__ = ["ServerHalf", "server_half"]

_USES = frozenset({"server_tool_use", "mcp_tool_use"})
_RESULT, _CALL, _OUTPUT = "_tool_result", "_call", "_call_output"


class ServerHalf(NamedTuple):
    """One half of a pair: halves with one key belong together."""

    half: Literal["use", "result"]
    key: tuple[str, str]
    may_wait: bool = False
    """A turn that the provider paused ends with it, and is sent back like that."""


def server_half(raw: JsonObject) -> ServerHalf | None:
    """Which half `raw` is; None for what stands alone (an mcp_call holds its own result)."""
    kind = raw.get("type")
    if not isinstance(kind, str):
        return None
    if kind in _USES:
        return _half("use", "server", raw.get("id"), may_wait=True)
    if kind.endswith(_RESULT):
        return _half("result", "server", raw.get("tool_use_id"))
    if kind.endswith(_OUTPUT):
        return _half("result", kind.removesuffix("_output"), raw.get("call_id"))
    if kind.endswith(_CALL):
        return _half("use", kind, raw.get("call_id"))
    return None


def _half(half: Literal["use", "result"], kind: str, name: object, *, may_wait: bool = False) -> ServerHalf | None:
    return ServerHalf(half, (kind, name), may_wait) if isinstance(name, str) else None
