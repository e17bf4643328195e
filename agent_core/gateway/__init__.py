"""The gateway: the three wires, served from any backend by the codecs of the runtime (extra `gateway`).

    client's bytes ─► codec.decode_request ─► Prompt ─► ModelClient ─► events ─► codec.stream_encoder ─► client's bytes

`Gateway` is an ASGI application, to run or to mount; `agent-core serve` runs one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .app import Gateway

__all__ = ["Gateway"]


def __getattr__(name: str) -> object:
    if name != "Gateway":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(".app", __name__).Gateway
