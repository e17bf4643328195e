"""Wires: one codec each, both directions, no I/O. `CODECS["chat"]` loads its codec when it is first asked for.

`reframe(source, target)` puts an answer of one wire into the shape of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..items import WireName
from .base import Compat, WireCodec

if TYPE_CHECKING:
    from ..prompt import Prompt
    from .reframing import Reframer

__all__ = ["CODECS", "WIRES", "codec_for", "reframe"]

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


def reframe(
    source: WireName,
    target: WireName,
    prompt: Prompt | None = None,
    *,
    compat: Compat | None = None,
    include_usage: bool = False,
) -> Reframer:
    """One answer on its way from `source`, the wire of the server behind, to `target`, that of the client in front.

    `prompt` is what was asked, as `codec_for(target).decode_request(body).prompt` says it: it names free-form tools
    and an output schema, and a Responses answer repeats its settings. `compat` is how the server behind deviates (a
    provider's row); `include_usage`, whether a Chat client asked for usage in its stream: the other wires always tell.

    Raises ConfigError for a wire that is none.
    """
    from .reframing import Reframer

    return Reframer(source, target, prompt, compat=compat, include_usage=include_usage)
