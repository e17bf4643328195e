"""Hooks: your own code, or a command, at five points of a run.

    before_tool        before anybody is asked about a call    may deny it, or replace its arguments
    after_tool         when a tool has answered                may replace the output, or add a note to it
    stop               when the model would end its turn       may tell it to go on, MAX_GO_ON times in a turn
    before_compaction  before a summary is made                may deny it
    after_compaction   when it is there

Hooks of a point run one after the other, in the order they were given, each with what the one before made of it; the
first denial counts. What fails before a tool (an error, no answer in time, nonsense for an answer) denies the call: a
check that did not happen was not passed. Anywhere else it changes nothing. Either way a `HookFinished` says so, and
nothing is raised.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias, get_args

import anyio
from msgspec import Struct
from msgspec.structs import replace

from .cancellation import being_cancelled, is_cancellation
from .errors import ConfigError
from .items import InputText, JsonObject
from .tools.base import ToolCall, ToolOutput
from .tools.capture import cut_middle
from .tools.run import described
from .turn_events import CompactionFinished, HookFinished, HookOutcome, HookPoint, TurnEvent

__all__ = ["MAX_GO_ON", "Hook", "HookAnswer", "HookCall", "HookFunction", "HookRunner", "no_stop_hook"]

MAX_GO_ON = 3
"""How often stop hooks may let a turn go on: a hook that is never content does not make it endless."""
MAX_TEXT_BYTES = 64 * 1024
"""Of what a hook tells the model."""


class HookCall(Struct, frozen=True):
    """What a hook is told. `arguments` is the text of the call, JSON but for free-form tools; `output`, `success` are
    what the model would be told; `text` is its answer at `stop`, and `continued` how often hooks let this turn go on;
    `reason` and `tokens` are of a compaction."""

    point: HookPoint
    session_id: str
    cwd: Path
    tool: str = ""
    call_id: str = ""
    arguments: str = ""
    output: str = ""
    success: bool = True
    text: str = ""
    continued: int = 0
    reason: str = ""
    tokens: int = 0


class HookAnswer(Struct, frozen=True):
    """What is to happen; nothing, if it says nothing. `deny`: the reason, told to the model. `arguments`: an object, or
    the text for a free-form tool. `output` replaces what the model is told, `note` is added to it. `go_on`: what the
    model is told at `stop`, in the user's place."""

    deny: str = ""
    arguments: JsonObject | str | None = None
    output: str | None = None
    note: str = ""
    go_on: str = ""


HookFunction: TypeAlias = Callable[[HookCall], HookAnswer | Awaitable[HookAnswer | None] | None]


@dataclass(frozen=True, slots=True)
class Hook:
    """`run`: a function, sync (quick) or async; or a program and its arguments, see hook_commands. `tools`: patterns of
    tool names (`shell`, `mcp__*`) for the two points about tools. Raises ConfigError for what is none."""

    point: HookPoint
    run: HookFunction | Sequence[str]
    tools: str | Sequence[str] = "*"
    timeout_s: float = 60.0
    name: str = ""

    def __post_init__(self) -> None:
        if self.point not in get_args(HookPoint):
            raise ConfigError(f"there is no hook point {self.point!r}", remedy=f"use one of {get_args(HookPoint)}")
        if not callable(self.run) and (isinstance(self.run, str) or not self.run or not all(map(_is_text, self.run))):
            raise ConfigError(f"{self.run!r:.100} is no hook", remedy="give a function, or a list: program, arguments")
        if not 0 < self.timeout_s <= 3600:
            raise ConfigError(f"timeout_s must be more than 0 and at most 3600, got {self.timeout_s!r}")

    @property
    def shown(self) -> str:
        """What events call it."""
        if self.name:
            return self.name
        return getattr(self.run, "__name__", "function") if callable(self.run) else Path(self.run[0]).name

    def wants(self, point: HookPoint, tool: str = "") -> bool:
        patterns = (self.tools,) if isinstance(self.tools, str) else self.tools
        return point == self.point and (not tool or any(fnmatchcase(tool, pattern) for pattern in patterns))


async def no_stop_hook(text: str) -> str:
    """Nobody wants the turn to go on."""
    return ""


class HookRunner:
    """The hooks of one turn. Its methods raise nothing but cancellation."""

    def __init__(
        self, hooks: Sequence[Hook] = (), *, emit: Callable[[TurnEvent], Awaitable[None]], session_id: str, cwd: Path
    ) -> None:
        self._hooks = tuple(hooks)
        self._emit = emit
        self._session_id = session_id
        self._cwd = cwd
        self._continued = 0

    def wants(self, point: HookPoint, tool: str = "") -> bool:
        """Whether any hook has something to say there."""
        return any(self._of(point, tool))

    async def before_tool(self, call: ToolCall) -> ToolCall | str:
        """The call as it is to be run, or why it is not."""
        for hook in self._of("before_tool", call.name):
            told = replace(self._call("before_tool"), tool=call.name, call_id=call.call_id, arguments=call.arguments)
            answer = await self._run(hook, told)
            if answer is None:
                return f"the hook {hook.shown!r} failed, so the call was not run"
            if answer.deny:
                return _bounded(answer.deny)
            if answer.arguments is not None:
                text = answer.arguments if isinstance(answer.arguments, str) else json.dumps(answer.arguments)
                call = replace(call, arguments=text)
        return call

    async def after_tool(self, call: ToolCall, output: ToolOutput) -> ToolOutput:
        """What the model is told of the call."""
        for hook in self._of("after_tool", call.name):
            told = replace(
                self._call("after_tool"),
                tool=call.name,
                call_id=call.call_id,
                arguments=call.arguments,
                output=_text(output),
                success=output.success,
            )
            answer = await self._run(hook, told) or HookAnswer()
            if answer.output is not None:
                output = replace(output, content=answer.output)
            if answer.note or answer.deny:
                output = _with_note(output, f"\n[{_bounded(answer.note or answer.deny)}]")
        return output

    async def on_stop(self, text: str) -> str:
        """What the model is told so that it goes on; empty for nothing: the turn ends."""
        for hook in self._of("stop"):
            if self._continued >= MAX_GO_ON:
                break
            answer = await self._run(hook, replace(self._call("stop"), text=text, continued=self._continued))
            more = (answer.go_on or answer.deny).strip() if answer is not None else ""
            if more:
                self._continued += 1
                return _bounded(more)
        return ""

    async def before_compaction(self, reason: str, tokens: int) -> str:
        """Why there is to be none, or nothing."""
        for hook in self._of("before_compaction"):
            answer = await self._run(hook, replace(self._call("before_compaction"), reason=reason, tokens=tokens))
            if answer is not None and answer.deny:
                return _bounded(answer.deny)
        return ""

    async def after_compaction(self, finished: CompactionFinished) -> None:
        for hook in self._of("after_compaction"):
            told = replace(self._call("after_compaction"), reason=finished.reason, tokens=finished.tokens_after)
            await self._run(hook, told)

    def _of(self, point: HookPoint, tool: str = "") -> Iterator[Hook]:
        return (hook for hook in self._hooks if hook.wants(point, tool))

    def _call(self, point: HookPoint) -> HookCall:
        return HookCall(point, self._session_id, self._cwd)

    async def _run(self, hook: Hook, call: HookCall) -> HookAnswer | None:
        """What the hook answers; None if it failed."""
        started = anyio.current_time()
        answer: HookAnswer | None = None
        try:
            with anyio.move_on_after(hook.timeout_s) as limit:
                answer = await _answer_of(hook, call)
            why = f"no answer after {hook.timeout_s:g} s" if limit.cancelled_caught else ""
        except BaseException as error:  # a hook is somebody else's code; what it cannot say is its failure
            cancelled = is_cancellation(error)
            if being_cancelled() if cancelled else not isinstance(error, Exception):
                raise
            why = "something it waited for was cancelled" if cancelled else described(error)
        failed: HookOutcome = "failed"
        outcome = failed if why or answer is None else _outcome(answer)
        took = anyio.current_time() - started
        await self._emit(HookFinished(hook.point, hook.shown, outcome, why, call.call_id, took))
        return None if outcome == "failed" else answer


async def _answer_of(hook: Hook, call: HookCall) -> HookAnswer:
    if not callable(hook.run):
        from .hook_commands import run_command

        return await run_command(hook.run, call)
    answer = hook.run(call)
    if isinstance(answer, Awaitable):
        answer = await answer
    if answer is not None and not isinstance(answer, HookAnswer):
        raise TypeError(f"it returned {answer!r:.100}, not a HookAnswer or None")
    return answer or HookAnswer()


def _outcome(answer: HookAnswer) -> HookOutcome:
    if answer.deny:
        return "denied"
    return "passed" if answer == HookAnswer() else "changed"


def _is_text(word: object) -> bool:
    return isinstance(word, str)


def _bounded(text: str) -> str:
    return cut_middle(text, MAX_TEXT_BYTES)[0]


def _text(output: ToolOutput) -> str:
    if isinstance(output.content, str):
        return output.content
    return "\n".join(part.text for part in output.content if isinstance(part, InputText))


def _with_note(output: ToolOutput, note: str) -> ToolOutput:
    if isinstance(output.content, str):
        return replace(output, content=output.content + note)
    return replace(output, content=(*output.content, InputText(text=note.strip())))
