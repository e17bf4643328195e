"""Sessions: the one place with state, what a prompt shows of it, how large it is, and the folders they are kept in."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .history import OutputBudget, PromptView, prompt_view, truncate_output
from .records import ParentCall
from .redaction import DEFAULT_REDACTION, SECRET_SHAPES, Redaction, SecretShape
from .rollout import Fsync
from .store import Session

if TYPE_CHECKING:
    from .folder import SESSIONS_VARIABLE as SESSIONS_VARIABLE
    from .folder import Pruned as Pruned
    from .folder import SessionFolder as SessionFolder
    from .folder import default_session_folder as default_session_folder
    from .listing import SessionInfo as SessionInfo
    from .listing import Spot as Spot
    from .repair import Repaired as Repaired
    from .repair import repair_session as repair_session

__all__ = [
    "DEFAULT_REDACTION",
    "Fsync",
    "OutputBudget",
    "ParentCall",
    "PromptView",
    "Pruned",
    "Redaction",
    "Repaired",
    "SECRET_SHAPES",
    "SESSIONS_VARIABLE",
    "SecretShape",
    "Session",
    "SessionFolder",
    "SessionInfo",
    "Spot",
    "default_session_folder",
    "prompt_view",
    "repair_session",
    "truncate_output",
]

_HOMES = {
    "Pruned": ".folder",
    "Repaired": ".repair",
    "SESSIONS_VARIABLE": ".folder",
    "SessionFolder": ".folder",
    "SessionInfo": ".listing",
    "Spot": ".listing",
    "default_session_folder": ".folder",
    "repair_session": ".repair",
}
"""What an agent with one session does not need, loaded when it is first asked for."""


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home, __name__), name)
    globals()[name] = value
    return value
