"""A TOML file of the user's, read within bounds; what is wrong with it is told by its name."""

from __future__ import annotations

import tomllib
from pathlib import Path

from .errors import ConfigError

__all__ = ["toml_tables"]

MAX_BYTES = 1024 * 1024
"""Far above any configuration, far below memory."""


def toml_tables(file: Path) -> dict[str, object]:
    """The tables of a file. Raises ConfigError where it cannot be read, is too large or is no TOML."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{file} is larger than {MAX_BYTES:,} bytes", remedy="name the right file")
        return tomllib.loads(content.decode())
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", remedy="check the path") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is no TOML: {error}", remedy="correct that line") from None
    except (UnicodeDecodeError, RecursionError):
        raise ConfigError(f"{file} is no TOML: not UTF-8, or nested too deeply", remedy="name the right file") from None
