"""What models send to the built-in tools, as pydantic models: made when a tool is first called.

Members nobody knows are ignored: models bring along what other harnesses taught them (`justification`, `login`).
"""

from __future__ import annotations

from pydantic import BaseModel, Field

__all__ = ["ReadFileRequest", "ShellRequest"]


class ReadFileRequest(BaseModel):
    path: str
    offset: int = Field(default=1, ge=1)
    limit: int = Field(default=2000, ge=1)


class ShellRequest(BaseModel):
    command: str | list[str]
    workdir: str | None = None
    timeout_ms: int | None = Field(default=None, ge=1)
