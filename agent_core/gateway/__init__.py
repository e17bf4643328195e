"""The gateway: the three wires, served from any backend by the codecs of the runtime (extra `gateway`).

    client's bytes ─► codec.decode_request ─► Prompt ─► ModelClient ─► events ─► codec.stream_encoder ─► client's bytes

`Gateway` is an ASGI application, to run or to mount; `agent-core serve` runs one. `gateway_from_toml` makes one of a
configuration file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .app import Gateway
    from .config import gateway_from_toml
    from .deployments import Deployment
    from .routes import Route

__all__ = ["Deployment", "Gateway", "Route", "gateway_from_toml"]

_MODULES = {"Deployment": ".deployments", "Gateway": ".app", "Route": ".routes", "gateway_from_toml": ".config"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name], __name__), name)
    return value
