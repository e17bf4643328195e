"""What models send to the built-in tools, as pydantic models: made when a tool is first called.

Members nobody knows are ignored: models bring along what other harnesses taught them (`justification`, `login`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

__all__ = ["ReadFileRequest", "ReadOutputRequest", "ShellRequest"]


class ReadFileRequest(BaseModel):
    path: str
    offset: int = Field(default=1, ge=1)
    limit: int = Field(default=2000, ge=1)


class ReadOutputRequest(BaseModel):
    call_id: str
    offset: int | None = Field(default=None, ge=0)
    limit: int | None = Field(default=None, ge=1)
    unit: Literal["lines", "bytes"] = "lines"


class ShellRequest(BaseModel):
    command: str | list[str]
    workdir: str | None = None
    timeout_ms: int | None = Field(default=None, ge=1)
