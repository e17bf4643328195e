"""Whose reasoning is it: which wire, provider and model may see again what a model wrote for itself.

*Own* means the same wire and the same provider label; an item without origin is the caller's word and counts as own.
Sealed values (encrypted reasoning, signatures, `reasoning_details`) also need the same model; readable reasoning may go
to another model of its provider (providers.md 3b, pains.md 2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..items import Origin, Reasoning, WireName

__all__ = ["is_sealed", "is_whole", "join_reasonings", "same_model", "same_origin"]

_DATED = re.compile(r"[-@](latest|\d{4}-?\d{2}-?\d{2}|\d{2}-\d{2}|\d{4})$")


def same_origin(origin: Origin | None, *, wire: WireName, provider: str) -> bool:
    """Whether what came from `origin` may go to this wire and provider. No origin: the caller made it, so yes."""
    return origin is None or (origin.wire == wire and origin.provider == provider)


def same_model(made_by: str, asked: str) -> bool:
    """Whether two names mean one model: a date or `-latest` on one of them does not matter, two dates must agree.

    Providers answer an alias with its dated name. A name nobody gave (empty) agrees with all.
    """
    if made_by == asked or not made_by or not asked:
        return True
    (base, date), (asked_base, asked_date) = _undated(made_by), _undated(asked)
    return base == asked_base and (not date or not asked_date or date == asked_date)


def _undated(model: str) -> tuple[str, str]:
    found = _DATED.search(model)
    if found is None:
        return model, ""
    date = found.group(1).replace("-", "")
    return model[: found.start()], "" if date == "latest" else date


def is_sealed(item: Reasoning) -> bool:
    return bool(item.encrypted_content or item.signature or item.details or item.opaque)


def is_whole(item: Reasoning) -> bool:
    """Sealed in one piece: two such cannot be one, while a list of details can be continued."""
    return bool(item.encrypted_content or item.signature or item.opaque)


def join_reasonings(run: Sequence[Reasoning]) -> Reasoning:
    """Neighbours as one, each text on a line of its own; at most one of them may be whole.

    The origin is that of the last sealed one: another would break the seal.
    """
    leading = next((item for item in reversed(run) if is_sealed(item)), run[-1])
    whole = next((item for item in run if is_whole(item)), leading)
    text = "\n".join(item.text for item in run if item.text)
    return leading.model_copy(
        update={
            "id": run[0].id,
            "summary": (),
            "content": (text,) if text else (),
            "encrypted_content": whole.encrypted_content,
            "signature": whole.signature,
            "opaque": whole.opaque,
            "details": tuple(detail for item in run for detail in item.details),
        }
    )
