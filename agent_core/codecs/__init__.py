"""Wires: one codec each, both directions, no I/O. `CODECS["chat"]` loads its codec when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module

from ..errors import ConfigError
from ..items import WireName
from .base import WireCodec

__all__ = ["CODECS", "WIRES", "codec_for"]

WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")


@cache
def codec_for(wire: str) -> WireCodec:
    """The codec of a wire. Raises ConfigError for a name that is none."""
    if wire not in WIRES:
        raise ConfigError(f"unknown wire {wire!r}", remedy=f"choose one of {', '.join(WIRES)}")
    codec: WireCodec = import_module(f".{wire}", __name__).CODEC
    return codec


class _Codecs(Mapping[str, WireCodec]):
    def __getitem__(self, wire: str) -> WireCodec:
        if wire not in WIRES:
            raise KeyError(wire)
        return codec_for(wire)

    def __iter__(self) -> Iterator[str]:
        return iter(WIRES)

    def __len__(self) -> int:
        return len(WIRES)


CODECS: Mapping[str, WireCodec] = _Codecs()
