"""`shell`: one command, from start to a known end.

    pipe ──► pump: read, capture, show          ends when every writer has closed the pipe
    process in its own session ──► waiter       exit, or time out → TERM, grace, KILL to the whole group

The pipe is ours, not the process's transport: the process counts as ended when it has exited, though a daemon it left
behind may hold the pipe for ever. After the exit the pump has a short while for what is still in the pipe; then the
group is ended, and the command is over. Whatever happens, the group is gone and the process reaped when `run` returns.
A command that was stopped, by a cancel or its time limit, takes with it also what has left its group.
"""

from __future__ import annotations

import codecs
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from ..approvals import ApprovalRequest
from ..errors import ConfigError, ToolError
from ..items import JsonObject
from ..prompt import ToolSpec
from .arguments import check_arguments, parse_arguments
from .base import Tool, ToolCall, ToolContext, ToolOutput
from .capture import Capture
from .command import SANDBOX_NOTES, TIMED_OUT_EXIT, argv_of, child_environment, exit_code_of, sandbox_for
from .escalation import ESCALATION_PROPERTIES, command_request, denied_note, left_sandbox, sandbox_words
from .patch_command import shell_patch
from .paths import resolve_inside
from .processes import GRACE_S, MARK_VARIABLE, Mark, ProcessGroup

if TYPE_CHECKING:
    from anyio.abc import Process

    from ..sandbox import Confined, SandboxPolicy
    from .requests import ShellRequest

__all__ = ["Shell"]

DEFAULT_TIMEOUT_MS = 120_000
MAX_TIMEOUT_MS = 600_000
DEFAULT_OUTPUT_BYTES = 64 * 1024
DRAIN_S = 2.0
"""How long after the exit output is awaited from processes left behind; as in Codex (codex.md 4)."""
MAX_SHOWN_BYTES = 1024 * 1024
"""How much of one command's output is shown while it runs."""
_READ_BYTES = 64 * 1024

_PROPERTIES: JsonObject = {
    "command": {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
        "description": "A shell command line, or a program and its arguments as a list (run without a shell).",
    },
    "workdir": {"type": "string", "description": "Where to run it. Default: the working directory."},
    "timeout_ms": {
        "type": "integer",
        "minimum": 1,
        "description": f"Default {DEFAULT_TIMEOUT_MS}, at most {MAX_TIMEOUT_MS}.",
    },
}
_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": _PROPERTIES,
    "required": ["command"],
    "additionalProperties": False,
}


class Shell:
    """The tool. Asks about every command, also whether it may leave its sandbox; see escalation.

    A string runs under bash where it is installed, else /bin/sh; a list is a program and its arguments, without a
    shell. Processes left in the background are ended with the command, except those in a session of their own
    (`setsid`): those may hold the output open for `drain_s` seconds, and end with a command that is stopped.
    `inherit` and `env` widen the environment, see `child_environment`. `sandbox`: what commands may touch; None for no
    sandbox. One that cannot be held here is an error, SandboxUnavailable, at once; nothing is run without it. In a
    sandbox every process ends with the command. `patches`: the tool that a patch goes to which a model sends through
    the shell, as `apply_patch <<'EOF' …`; see patch_command.
    """

    name: str = "shell"
    read_only: bool = False
    parallel: bool = False
    timeout_s: float | None = MAX_TIMEOUT_MS / 1000 + 30
    """Above the command's own limit, which gives a better answer."""

    def __init__(
        self,
        *,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        max_output_bytes: int = DEFAULT_OUTPUT_BYTES,
        inherit: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        drain_s: float = DRAIN_S,
        sandbox: SandboxPolicy | None = None,
        patches: Tool | None = None,
    ) -> None:
        if not 0 < timeout_ms <= MAX_TIMEOUT_MS:
            raise ConfigError(f"timeout_ms must be from 1 to {MAX_TIMEOUT_MS}, got {timeout_ms!r}")
        if max_output_bytes < 1024:
            raise ConfigError(f"max_output_bytes must be at least 1024, got {max_output_bytes!r}")
        self._timeout_ms = timeout_ms
        self._max_output_bytes = max_output_bytes
        self._inherit = tuple(inherit)
        self._env = dict(env or {})
        self._drain_s = drain_s
        self._policy = sandbox
        self._sandbox = sandbox_for(sandbox)
        self._may_ask = False
        self._patches = patches

    def held_by(self, sandbox: SandboxPolicy | None, *, may_ask: bool) -> Shell:
        """The same tool in this sandbox, unless it has one of its own; see escalation.Held."""
        shell = copy(self)
        if shell._policy is None:
            shell._policy = sandbox
            shell._sandbox = sandbox_for(sandbox)
        shell._may_ask = may_ask and shell._sandbox is not None
        return shell

    @property
    def spec(self) -> ToolSpec:
        description = (
            "Runs a command and returns its exit code and its output (stdout and stderr together). There is no "
            "terminal and no input. Processes left in the background are ended when the command ends."
        )
        return ToolSpec(self.name, description + sandbox_words(self._policy), _parameters(may_ask=self._may_ask))

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        try:
            asked = _request(call)
        except ToolError:
            return None
        if self._patches is not None and (patch := _patch(asked, call, context)) is not None:
            return self._patches.approval(*patch)
        return command_request(
            call,
            context,
            asked.command,
            workdir=asked.workdir,
            sandbox=self._policy,
            permissions=asked.sandbox_permissions,
            justification=asked.justification,
        )

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        import anyio

        capture: Capture | None = None
        try:
            asked = _request(call)
            if self._patches is not None and (patch := _patch(asked, call, context)) is not None:
                return await self._patches.run(*patch)
            cwd = resolve_inside(asked.workdir or ".", context)
            if not cwd.is_dir():
                raise ToolError(
                    f"workdir {asked.workdir or str(cwd)!r} is not a directory", remedy="name an existing directory"
                )
            if os.name != "posix":
                raise ToolError(f"the shell tool does not run on {sys.platform}", remedy="use Linux or macOS")
            capture = Capture(self._max_output_bytes)
            sandbox = None if left_sandbox(context) else self._sandbox
            ended = await _execute(
                argv_of(asked.command),
                cwd=cwd,
                env=child_environment(os.environ, inherit=self._inherit, extra=self._env),
                timeout_s=min(asked.timeout_ms or self._timeout_ms, MAX_TIMEOUT_MS) / 1000,
                capture=capture,
                emit=context.emit,
                drain_s=self._drain_s,
                confine=None if sandbox is None else partial(sandbox.confine, cwd=cwd, roots=context.roots),
            )
        except ToolError as error:
            return ToolOutput(f"{error.message}; {error.remedy}", success=False)
        except anyio.get_cancelled_exc_class() as cancelled:
            if capture is not None and (said := capture.result()[0]):
                cancelled.add_note(f"Output until then:\n{said}")
            raise
        return _output(ended, may_ask=self._may_ask)


def _request(call: ToolCall) -> ShellRequest:
    from .requests import ShellRequest

    asked = check_arguments(ShellRequest, parse_arguments(call.arguments))
    if not asked.command or asked.command[0] == "" or (isinstance(asked.command, str) and not asked.command.strip()):
        raise ToolError("command: it is empty", remedy="send a command line or a list of program and arguments")
    if isinstance(asked.command, str) and asked.command.lstrip().startswith("*** Begin Patch"):
        raise ToolError("command: it is a patch", remedy="call apply_patch with it")
    return asked


def _patch(asked: ShellRequest, call: ToolCall, context: ToolContext) -> tuple[ToolCall, ToolContext] | None:
    """The call of a patch that a command is, and where it is meant for: below the same roots."""
    found = shell_patch(asked.command)
    if found is None:
        return None
    cwd = Path(os.path.normpath(context.cwd / (asked.workdir or "") / found.workdir))
    inside = structs.replace(context, cwd=cwd, roots=context.roots or (context.cwd,))
    return ToolCall(call.call_id, "apply_patch", found.text, "custom"), inside


def _parameters(*, may_ask: bool) -> JsonObject:
    if not may_ask:
        return _PARAMETERS
    return {**_PARAMETERS, "properties": {**_PROPERTIES, **ESCALATION_PROPERTIES}}


# --- running ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ended:
    exit_code: int
    duration_s: float
    output: str
    left_out: int
    timed_out_after_s: float | None = None
    sandbox: str = ""
    """What the sandbox had to do with it: the limit that was met, `denied`, or nothing."""


def _output(ended: _Ended, *, may_ask: bool = False) -> ToolOutput:
    """The text of codex.md 4; a command that was stopped says so first."""
    body = ended.output
    if ended.timed_out_after_s is not None:
        body = f"command timed out after {round(ended.timed_out_after_s * 1000)} ms and was stopped\n{body}"
    body += SANDBOX_NOTES.get(ended.sandbox, "")
    body += denied_note(may_ask=may_ask) if ended.sandbox == "denied" else ""
    return ToolOutput(
        f"Exit code: {ended.exit_code}\nWall time: {ended.duration_s:.1f} s\nOutput:\n{body}",
        success=ended.exit_code == 0,
        metadata={
            "exit_code": ended.exit_code,
            "duration_s": ended.duration_s,
            "timed_out": ended.timed_out_after_s is not None,
            "truncated_bytes": ended.left_out,
            **({"sandbox": ended.sandbox} if ended.sandbox else {}),
        },
    )


async def _execute(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    capture: Capture,
    emit: Callable[[str], Awaitable[None]],
    drain_s: float,
    confine: Callable[[Sequence[str]], Confined] | None = None,
) -> _Ended:
    """Runs `argv` to its end. Raises ToolError if it cannot be started; never leaves a process behind."""
    from ..sandbox import looks_denied

    started = time.monotonic()
    confined = await _confined(argv, confine)
    try:
        pump = partial(_Pump, capture=capture, emit=emit)
        timed_out, process = await _run_confined(confined, cwd, env, pump, timeout_s=timeout_s, drain_s=drain_s)
    finally:
        report = confined.finish()
    output, left_out = capture.result()
    exit_code = TIMED_OUT_EXIT if timed_out else exit_code_of(process.returncode)
    denied = confine is not None and not timed_out and looks_denied(output, exit_code)
    return _Ended(
        exit_code=exit_code,
        duration_s=round(time.monotonic() - started, 3),
        output=output,
        left_out=left_out,
        timed_out_after_s=timeout_s if timed_out else None,
        sandbox=report.limit or ("denied" if denied else ""),
    )


async def _confined(argv: Sequence[str], confine: Callable[[Sequence[str]], Confined] | None) -> Confined:
    """Raises ToolError for a working directory that no sandbox can hold."""
    import anyio

    from ..cancellation import sheltered
    from ..sandbox import Confined

    if confine is None:
        return Confined(argv)
    made: Confined | None = None

    async def make() -> None:
        nonlocal made
        made = await anyio.to_thread.run_sync(confine, argv)

    try:
        await sheltered(make)
    except ConfigError as error:
        raise ToolError(error.message, remedy=error.remedy) from None
    except BaseException:  # cancelled: what it opened would be lost
        if made is not None:
            made.finish()
        raise
    assert made is not None  # else `make` has raised
    return made


async def _run_confined(
    confined: Confined,
    cwd: Path,
    env: Mapping[str, str],
    pump: Callable[[int], _Pump],
    *,
    timeout_s: float,
    drain_s: float,
) -> tuple[bool, Process]:
    """Whether it had to be stopped, and the process, which has ended."""
    from ..cancellation import sheltered

    read_end, write_end = os.pipe()
    mark = Mark(os.environ.get(MARK_VARIABLE, ""))
    group: ProcessGroup | None = None
    stopped = True

    async def start() -> None:
        nonlocal group
        marked = {**env, **confined.env, MARK_VARIABLE: mark.value}
        group = ProcessGroup(
            await _open(confined, cwd=cwd, env=marked, output=write_end), mark, alone=confined.ends_all
        )

    async def end() -> None:
        if group is not None:
            await group.end(strays=stopped)
            await group.leader.aclose()

    try:
        os.set_blocking(read_end, False)
        try:
            await sheltered(start)  # a cancel between fork and return would lose the process
        finally:
            os.close(write_end)
        assert group is not None  # else `start` has raised
        stopped = await _watch(group, pump(read_end), timeout_s=timeout_s, drain_s=drain_s)
    finally:
        try:
            await sheltered(end)
        finally:
            os.close(read_end)
    return stopped, group.leader


async def _open(confined: Confined, *, cwd: Path, env: Mapping[str, str], output: int) -> Process:
    from subprocess import DEVNULL

    import anyio

    try:
        process = await anyio.open_process(
            confined.argv,
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=env,
            start_new_session=True,
            pass_fds=confined.pass_fds,
        )
    except FileNotFoundError:
        raise ToolError(
            f"there is no program {confined.argv[0][:200]!r}", remedy="check its name, or install it"
        ) from None
    except (OSError, ValueError) as error:  # not executable, too long, a NUL or a lone surrogate in it
        reason = error.strerror if isinstance(error, OSError) else str(error).split("\n")[0]
        raise ToolError(f"cannot start the command: {reason}", remedy="change the command") from None
    confined.started()
    return process


async def _watch(group: ProcessGroup, pump: _Pump, *, timeout_s: float, drain_s: float) -> bool:
    """Waits for the process, then for its output, within their limits. Returns whether it had to be stopped."""
    import anyio

    timed_out = False

    async def wait_and_end() -> None:
        nonlocal timed_out
        with anyio.move_on_after(timeout_s) as limit:
            await group.leader.wait()
        timed_out = limit.cancelled_caught
        if not timed_out:
            with anyio.move_on_after(drain_s):
                await pump.ended.wait()
        await group.end(strays=timed_out)
        with anyio.move_on_after(GRACE_S):  # what they wrote before they were ended
            await pump.ended.wait()
        pumping.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as pumping:
            pumping.start_soon(wait_and_end)
            await pump.run()
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) == 1:  # `emit` failed: its error is the caller's, as it is
            raise errors.exceptions[0] from None
        raise
    return timed_out


class _Pump:
    """Moves output from the pipe to the capture and, as text, to the watcher, until every writer is gone."""

    def __init__(self, read_end: int, capture: Capture, emit: Callable[[str], Awaitable[None]]) -> None:
        import anyio

        self.ended = anyio.Event()
        self._read_end = read_end
        self._capture = capture
        self._emit = emit
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._shown = 0

    async def run(self) -> None:
        import anyio
        import anyio.lowlevel

        while True:
            try:
                chunk = os.read(self._read_end, _READ_BYTES)
            except BlockingIOError:
                await anyio.wait_readable(self._read_end)
                continue
            if not chunk:
                break
            self._capture.feed(chunk)
            await self._show(chunk)
            await anyio.lowlevel.checkpoint()  # a flood must not starve the timer
        await self._show(b"")
        self.ended.set()

    async def _show(self, chunk: bytes) -> None:
        if self._shown > MAX_SHOWN_BYTES:
            return
        self._shown += len(chunk)
        text = self._decode(chunk, final=not chunk)
        if self._shown > MAX_SHOWN_BYTES:
            text += "\n[… the rest is not shown while it runs]\n"
        if text:
            await self._emit(text)
