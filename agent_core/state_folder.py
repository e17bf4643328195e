"""Where this user's state is kept by the platform's convention."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["state_folder"]


def state_folder(env: Mapping[str, str] = os.environ) -> Path:
    """Ours, below the user's. It is not made. Raises RuntimeError without a home.

    Linux: `$XDG_STATE_HOME/agent-core`, by default below `~/.local/state`; macOS: below
    `~/Library/Application Support`; Windows: below `%LOCALAPPDATA%`.
    """
    home = Path.home()
    if sys.platform == "win32":
        state = env.get("LOCALAPPDATA") or str(home / "AppData" / "Local")
    elif sys.platform == "darwin":
        state = str(home / "Library" / "Application Support")
    else:
        state = env.get("XDG_STATE_HOME", "")
        # A relative one is to be ignored (XDG Base Directory Specification).
        state = state if os.path.isabs(state) else str(home / ".local" / "state")
    return Path(state) / "agent-core"
