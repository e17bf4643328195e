"""The tool contract: what the loop asks of a tool, and what a tool is told.

Tools know nothing of models, sessions or the loop. A tool that fails returns `ToolOutput(success=False)` or raises
`ToolError`; either way the model gets the text. `FatalToolError` ends the turn; any other exception is answered to the
model as a failure of that tool, without its traceback.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from msgspec import Struct, field

from ..approvals import ApprovalRequest, Decision, Risk
from ..items import JsonValue, OutputPart
from ..prompt import CustomToolSpec, ToolSpec

if TYPE_CHECKING:
    from ..sandbox import SandboxPolicy
    from .patch_format import PatchPiece

__all__ = [
    "DEFAULT_RETRIES",
    "Bounded",
    "CallPreview",
    "ClosingTool",
    "Outcome",
    "PreviewedTool",
    "Run",
    "Tool",
    "ToolCall",
    "ToolContext",
    "ToolOutput",
]

DEFAULT_RETRIES = 3
"""Models that are told what is wrong correct it at once or, as a rule, never."""

Outcome = Literal["ok", "failed", "denied", "not_run", "timed_out", "cancelled", "outcome_unknown"]
"""How a call came to its output."""


class ToolCall(Struct, frozen=True):
    """One call as the model made it. `arguments` is its own text: JSON for `function`, free text for `custom`."""

    call_id: str
    name: str
    arguments: str
    kind: Literal["function", "custom"] = "function"


class ToolOutput(Struct, frozen=True):
    """What the model is told, and what only the user interface is shown.

    `content` is text or input parts (text, images). `metadata` is for the interface and the record, never for the
    model: e.g. `exit_code`, `duration_s`, `diff`, `paths`.
    """

    content: str | tuple[OutputPart, ...] = ""
    success: bool = True
    metadata: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


async def _drop(text: str) -> None:
    """Progress nobody watches."""


def _never() -> bool:
    """Not cancelled: who can be is told by an exception."""
    return False


async def _no(request: ApprovalRequest) -> Decision:
    """Nobody is there to say yes."""
    return Decision("denied", "nobody was there to be asked")


class Run(Protocol):
    """The run a tool is called in. `depth`: 0 for a turn of the user, 1 inside a sub-agent of it, …"""

    @property
    def depth(self) -> int: ...


class ToolContext(Struct, frozen=True):
    """What a running tool may know. `cwd` is absolute; tools that touch files stay below `roots` (default: `cwd`).
    `emit` shows a piece of progress to the interface (not to the model). `cancelled` is for a synchronous function,
    which no exception can reach in its thread: once it is true, nobody waits for the result any more. `run` is the run
    the tool is called in, for a tool that starts another inside it (`agent.run(…, within=context)`). `tool` is the name
    of the tool; `ask` puts a request to the run's approval policy, `approve` is the short way to it. `emit` and
    `approve` are awaited; in the thread of a synchronous function: `anyio.from_thread.run(context.emit, …)`.

    `sandbox`: what holds the changes this agent makes; None where nothing was said. `escalates`: an `ApprovalRequest`
    may ask to leave it, and the roots. `approved`: the request that was allowed for this very call, if one was made.
    """

    cwd: Path
    call_id: str = ""
    session_id: str = ""
    roots: tuple[Path, ...] = ()
    emit: Callable[[str], Awaitable[None]] = _drop
    cancelled: Callable[[], bool] = _never
    run: Run | None = None
    sandbox: SandboxPolicy | None = None
    escalates: bool = False
    approved: ApprovalRequest | None = None
    tool: str = ""
    ask: Callable[[ApprovalRequest], Awaitable[Decision]] = _no

    async def approve(self, summary: str, detail: str = "", *, risk: Risk = "execute", key: str = "") -> Decision:
        """Ask, in the middle of the work, whether one action may be done; the tool's timer stands still meanwhile.

        `key` is what "for this session" remembers, by default the summary. Whatever is not `approved` is a no, which
        the tool must keep to; `reason` says why.
        """
        return await self.ask(
            ApprovalRequest(
                call_id=self.call_id,
                tool=self.tool,
                summary=summary,
                detail=detail,
                risk=risk,
                key=key or summary,
                cwd=str(self.cwd),
            )
        )


@runtime_checkable
class Tool(Protocol):
    """A tool the client runs.

    `read_only`: no side effects, so it may start while the response still streams and may be repeated after a crash.
    `parallel`: may overlap with other parallel tools; the others run alone. `timeout_s`: None for the loop's default.

    `approval` is called once per call before `run`; None means it may run unasked. It must not block and must not
    raise for bad arguments: `run` reports those. `run` is called at most once per call and must end soon after it is
    cancelled, leaving no process behind. What a model should know of that it adds to the cancellation with `add_note`:
    its output until then, what it could not stop.
    """

    @property
    def spec(self) -> ToolSpec | CustomToolSpec: ...

    @property
    def read_only(self) -> bool: ...

    @property
    def parallel(self) -> bool: ...

    @property
    def timeout_s(self) -> float | None: ...

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None: ...

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput: ...


class CallPreview(Protocol):
    """Reads the arguments of one call while the model writes them. Nothing is done with what it says but show it."""

    def feed(self, delta: str) -> tuple[PatchPiece, ...]:
        """What this piece adds. Called for every delta of the call, so it must be quick; it must not raise."""
        ...


@runtime_checkable
class PreviewedTool(Protocol):
    """A tool, too, whose calls a watcher of the turn sees as patches while they are written."""

    def preview(self) -> CallPreview: ...


@runtime_checkable
class Bounded(Protocol):
    """What a Tool may have besides. `concurrency`: how many of its calls may run at once in a turn; None is any number.
    `retries`: how many responses in a row may call it with arguments it does not take before the next such one ends the
    turn; None is any number, and tools that do not say have DEFAULT_RETRIES."""

    @property
    def concurrency(self) -> int | None: ...

    @property
    def retries(self) -> int | None: ...


@runtime_checkable
class ClosingTool(Protocol):
    """A tool that keeps something from call to call, and from turn to turn. An agent that is closed calls `aclose` of
    each of its tools that has one: never while a call runs, perhaps several times. The tool may be used again."""

    async def aclose(self) -> None: ...
