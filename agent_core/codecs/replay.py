"""Replay: history items → what one wire and model may legally see again, plus a report of every repair. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..items import ResponseItem, WireName
from .base import Compat, Repair

__all__ = ["Replayed", "replay"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """Items in an order every server of the wire accepts, and what was changed to get there."""

    items: tuple[ResponseItem, ...]
    repairs: tuple[Repair, ...] = ()


def replay(items: Sequence[ResponseItem], *, wire: WireName, model: str, compat: Compat) -> Replayed:
    """What `model` on `wire` may see of `items`."""
    return Replayed(tuple(items))
