"""A tool the model sees and the caller runs: what it is, and nobody here who does it."""

from __future__ import annotations

from ..approvals import ApprovalRequest
from ..prompt import CustomToolSpec, ToolSpec
from .base import ToolCall, ToolContext, ToolOutput

__all__ = ["HandBack"]


class HandBack:
    """A tool without an implementation: a call of it pauses the run, and `agent.resume(outputs=…)` answers it.

    A spec in `tools=` is the same. What has to be allowed before it runs is the caller's to decide: only a policy's
    `deny` comes before it.
    """

    read_only = False
    parallel = False
    timeout_s = None

    def __init__(self, spec: ToolSpec | CustomToolSpec) -> None:
        self.spec = spec

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        return None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        return ToolOutput("not run: this tool is run by whoever started the run", success=False)
