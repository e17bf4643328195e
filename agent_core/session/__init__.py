"""Sessions: the one place with state."""

from __future__ import annotations

from .store import Session

__all__ = ["Session"]
