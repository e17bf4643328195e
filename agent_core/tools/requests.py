"""What models send to the built-in tools, as pydantic models: made when a tool is first called.

Members nobody knows are ignored: models bring along what other harnesses taught them (`login`, `max_output_tokens`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, BaseModel, Field

__all__ = [
    "EditRequest",
    "ExecCommandRequest",
    "GlobRequest",
    "GrepRequest",
    "KillSessionRequest",
    "ListDirRequest",
    "ReadFileRequest",
    "ReadOutputRequest",
    "ShellRequest",
    "ToolSearchRequest",
    "UpdatePlanRequest",
    "UserInputRequest",
    "ViewImageRequest",
    "WriteFileRequest",
    "WriteStdinRequest",
]


class EditRequest(BaseModel):
    path: str
    old_text: str
    new_text: str
    replace_all: bool = False


class WriteFileRequest(BaseModel):
    path: str
    content: str


class ListDirRequest(BaseModel):
    path: str = "."
    depth: int = Field(default=1, ge=1, le=10)
    limit: int = Field(default=500, ge=1, le=5000)
    ignored: bool = False


class GlobRequest(BaseModel):
    pattern: str
    path: str = "."
    limit: int = Field(default=200, ge=1, le=5000)
    ignored: bool = False


class GrepRequest(BaseModel):
    pattern: str
    path: str = "."
    glob: str | None = None
    ignore_case: bool = False
    context: int = Field(default=0, ge=0, le=20)
    limit: int = Field(default=200, ge=1, le=2000)
    ignored: bool = False


class ViewImageRequest(BaseModel):
    path: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class PlanStep(BaseModel):
    step: str = Field(min_length=1)
    status: Literal["pending", "in_progress", "completed"]


class UpdatePlanRequest(BaseModel):
    plan: list[PlanStep] = Field(min_length=1, max_length=100)
    explanation: str = ""


class UserOption(BaseModel):
    label: str = Field(min_length=1)
    description: str = ""


class UserQuestion(BaseModel):
    id: str = Field(min_length=1)
    header: str = ""
    question: str = Field(min_length=1)
    options: list[UserOption] = Field(default_factory=list[UserOption], max_length=10)


class UserInputRequest(BaseModel):
    questions: list[UserQuestion] = Field(min_length=1, max_length=3)


class ReadFileRequest(BaseModel):
    path: str
    offset: int = Field(default=1, ge=1)
    limit: int = Field(default=2000, ge=1)


class ReadOutputRequest(BaseModel):
    call_id: str
    offset: int | None = Field(default=None, ge=0)
    limit: int | None = Field(default=None, ge=1)
    unit: Literal["lines", "bytes"] = "lines"


class ToolSearchRequest(BaseModel):
    query: str = Field(min_length=1, max_length=1000)
    limit: int = Field(default=5, ge=1, le=20)


class ShellRequest(BaseModel):
    command: str | list[str]
    workdir: str | None = None
    # Models trained on Codex write `timeout` (behaviours.md T-D23).
    timeout_ms: int | None = Field(default=None, ge=1, validation_alias=AliasChoices("timeout_ms", "timeout"))
    sandbox_permissions: str | None = None
    justification: str | None = None


class ExecCommandRequest(BaseModel):
    cmd: str | list[str] = Field(validation_alias=AliasChoices("cmd", "command"))
    workdir: str | None = None
    shell: str | None = None
    login: bool = False
    tty: bool = False
    stdin: bool = False
    yield_time_ms: int | None = Field(default=None, ge=0)
    wait_for: str = ""
    max_output_tokens: int | None = Field(default=None, ge=1)
    sandbox_permissions: str | None = None
    justification: str | None = None


class WriteStdinRequest(BaseModel):
    session_id: int
    chars: str = ""
    yield_time_ms: int | None = Field(default=None, ge=0)
    wait_for: str = ""
    max_output_tokens: int | None = Field(default=None, ge=1)


class KillSessionRequest(BaseModel):
    session_id: int
