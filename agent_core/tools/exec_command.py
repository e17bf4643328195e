"""`exec_command`, `write_stdin`, `kill_session`: commands that may go on after the call that started them.

A call waits for its command until that has ended, for as long as it was asked to, or until there is the output that it
waits for. If the command still runs then, it goes on as a session: the output so far is told, and its number. A turn
that is cancelled stops waiting; the command goes on, and the model is told so. Names, parameters and the words of the
answers are Codex's (codex.md 4); `stdin`, `wait_for` and `kill_session` are ours.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..approvals import Action, ApprovalRequest, Rule
from ..errors import ConfigError, ToolError
from ..items import JsonObject, JsonValue
from ..prompt import ToolSpec
from .arguments import check_arguments, parse_arguments
from .base import ToolCall, ToolContext, ToolOutput
from .command import SANDBOX_NOTES, argv_of, sandbox_for
from .escalation import ESCALATION_PROPERTIES, command_request, denied_note, left_sandbox, sandbox_words
from .exec_sessions import ExecSessions, Session
from .paths import resolve_inside

if TYPE_CHECKING:
    from ..sandbox import Confined, Sandbox, SandboxPolicy
    from .exec_process import ExecProcess, Stdin, Watch
    from .requests import ExecCommandRequest, WriteStdinRequest

__all__ = ["ExecCommand", "KillSession", "WriteStdin"]

EXEC_YIELD_MS = 10_000
WRITE_YIELD_MS = 250
POLL_YIELD_MS = 5_000
"""The least, too: who asks without sending anything would ask again at once."""
MIN_YIELD_MS = 250
MAX_YIELD_MS = 30_000
MAX_POLL_YIELD_MS = 300_000
DEFAULT_OUTPUT_TOKENS = 10_000
MAX_OUTPUT_TOKENS = 25_000
_BYTES_PER_TOKEN = 4
_HEADER_BYTES = 256
"""Of the budget, for what is said besides the output."""
MAX_SHOWN_BYTES = 1024 * 1024
"""How much of a command's output is shown while one call waits for it."""
_KILL_WAIT_S = 10.0
_SHELLS = ("bash", "sh", "zsh", "dash", "ksh", "fish")
_SHELL_FOLDERS = ("/bin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin")
_INTERRUPT, _END_OF_INPUT = "\x03", "\x04"

_WAITING: JsonObject = {
    "wait_for": {
        "type": "string",
        "description": "Return as soon as new output has this text in it, for example a prompt.",
    },
    "max_output_tokens": {
        "type": "integer",
        "minimum": 1,
        "description": f"Of more output the middle is left out. Default {DEFAULT_OUTPUT_TOKENS}.",
    },
}
_EXEC_PROPERTIES: JsonObject = {
    "cmd": {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
        "description": "A shell command line, or a program and its arguments as a list (run without a shell).",
    },
    "workdir": {"type": "string", "description": "Where to run it. Default: the working directory."},
    "shell": {"type": "string", "description": f"For a command line: {', '.join(_SHELLS)}. Default: bash."},
    "login": {"type": "boolean", "description": "Let the shell read its profile first. Default false."},
    "tty": {"type": "boolean", "description": "Run it on a terminal, as interactive programs need. Default false."},
    "stdin": {
        "type": "boolean",
        "description": "Without tty: keep its input open, for write_stdin. Default false: it has no input.",
    },
    "yield_time_ms": {
        "type": "integer",
        "minimum": 0,
        "description": f"How long to wait for its end before it goes on as a session. Default {EXEC_YIELD_MS}, "
        f"at most {MAX_YIELD_MS}.",
    },
    **_WAITING,
}
_WRITE_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {
        "session_id": {"type": "integer", "description": "The number that exec_command gave."},
        "chars": {
            "type": "string",
            "description": "What to send, with its line breaks; empty to see what is new. \\u0003 (Ctrl-C) alone "
            "interrupts, \\u0004 (Ctrl-D) at the end ends the input.",
        },
        "yield_time_ms": {
            "type": "integer",
            "minimum": 0,
            "description": f"How long to wait for output. Default {WRITE_YIELD_MS}, at most {MAX_YIELD_MS}; "
            f"without chars {POLL_YIELD_MS}, at most {MAX_POLL_YIELD_MS}.",
        },
        **_WAITING,
    },
    "required": ["session_id"],
    "additionalProperties": False,
}
_KILL_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {"session_id": {"type": "integer", "description": "The number that exec_command gave."}},
    "required": ["session_id"],
    "additionalProperties": False,
}


class ExecCommand:
    """Starts a command and waits for it, see the module. Asks about every command, also whether it may leave its
    sandbox, like Shell; see escalation.

    `sandbox`: what commands may touch, or a Sandbox that says by which backend; None for no sandbox. One that cannot be
    held here is an error, SandboxUnavailable, at once. Everything that a command started ends with it.
    """

    name: str = "exec_command"
    read_only: bool = False
    parallel: bool = False
    timeout_s: float | None = MAX_YIELD_MS / 1000 + 30

    def __init__(self, sessions: ExecSessions, *, sandbox: SandboxPolicy | Sandbox | None = None) -> None:
        self.sessions = sessions
        self._hold(sandbox)
        self._may_ask = False

    def held_by(self, sandbox: SandboxPolicy | None, *, may_ask: bool) -> ExecCommand:
        """The same tool in this sandbox, unless it has one of its own; see escalation.Held."""
        held = copy(self)
        if held._policy is None:
            held._hold(sandbox)
        held._may_ask = may_ask and held._sandbox is not None
        return held

    def _hold(self, sandbox: SandboxPolicy | Sandbox | None) -> None:
        self._sandbox = sandbox_for(sandbox)
        self._policy = self._sandbox.policy if self._sandbox is not None else cast("SandboxPolicy | None", sandbox)

    @property
    def spec(self) -> ToolSpec:
        description = (
            "Runs a command. Returns its output and exit code, or, if it still runs after yield_time_ms, its output so "
            "far and a session_id for write_stdin and kill_session; it goes on meanwhile. Processes left in the "
            "background end with the command: run a server in the foreground."
        )
        asking = ESCALATION_PROPERTIES if self._may_ask else {}
        parameters: JsonObject = {
            "type": "object",
            "properties": {**_EXEC_PROPERTIES, **asking},
            "required": ["cmd"],
            "additionalProperties": False,
        }
        return ToolSpec(self.name, description + sandbox_words(self._policy), parameters)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        try:
            asked = _exec_request(call)
        except ToolError:
            return None
        return command_request(
            call,
            context,
            _command(asked),
            workdir=asked.workdir,
            sandbox=self._policy,
            permissions=asked.sandbox_permissions,
            justification=asked.justification,
        )

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        import anyio

        from ..cancellation import sheltered

        begun = time.monotonic()
        session: Session | None = None
        try:
            asked = _exec_request(call)
            start = self._start_of(asked, context)

            async def started() -> None:
                nonlocal session
                session = await anyio.to_thread.run_sync(start)

            await sheltered(started)  # a cancel meanwhile must not lose the number
            assert session is not None  # else it has raised
            with session.process.watch(asked.wait_for) as watch:
                seconds = _seconds(asked, EXEC_YIELD_MS, MIN_YIELD_MS, MAX_YIELD_MS)
                await _wait(session.process, watch, seconds, context.emit)
        except ToolError as error:
            return _failed(error)
        except anyio.get_cancelled_exc_class() as cancelled:
            if session is not None:
                cancelled.add_note(_left(session))
            raise
        return _answer(session, begun, asked.max_output_tokens, may_ask=self._may_ask)

    async def aclose(self) -> None:
        await self.sessions.agent_closed()

    def _start_of(self, asked: ExecCommandRequest, context: ToolContext) -> Callable[[], Session]:
        """What starts it, blocking. Raises ToolError."""
        if os.name != "posix":
            raise ToolError(f"exec_command does not run on {sys.platform}", remedy="use Linux or macOS")
        argv = _argv(asked)
        cwd = resolve_inside(asked.workdir or ".", context)
        if not cwd.is_dir():
            raise ToolError(f"workdir {asked.workdir or str(cwd)!r} is not a directory", remedy="name one that exists")
        stdin: Stdin = "terminal" if asked.tty else "pipe" if asked.stdin else "none"
        leaves = left_sandbox(context)
        sandbox = None if leaves else self._sandbox
        command = _command(asked)
        return partial(
            self.sessions.start,
            command if isinstance(command, str) else shlex.join(command),
            partial(_confined, argv, cwd, context.roots, sandbox),
            stdin=stdin,
            cwd=cwd,
            held=self._policy,
            escalated=leaves,
        )


class WriteStdin:
    """Sends input to a session, or looks what is new. Needs approval to send anything but Ctrl-C and the end of the
    input: to whom runs a shell, input is commands. "For this session" remembers the one it goes to."""

    name: str = "write_stdin"
    read_only: bool = False
    parallel: bool = False
    timeout_s: float | None = MAX_POLL_YIELD_MS / 1000 + 30

    def __init__(self, sessions: ExecSessions) -> None:
        self.sessions = sessions

    @property
    def spec(self) -> ToolSpec:
        description = (
            "Sends characters to a command that runs as a session, or none, and returns its output since it was last "
            "looked at, and its exit code if it has ended."
        )
        return ToolSpec(self.name, description, _WRITE_PARAMETERS)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        try:
            asked = _write_request(call)
            session = self.sessions.get(asked.session_id)
        except ToolError:
            return None
        if not asked.chars.strip(_INTERRUPT + _END_OF_INPUT):
            return None
        key, words = f"session {session.id}", (call.name, f"session {session.id}")
        rule = Rule("call", words, escalated=session.escalated)
        return ApprovalRequest(
            call_id=call.call_id,
            tool=call.name,
            summary=_one_line(f"to session {session.id} ({session.command}): {asked.chars}"),
            detail=asked.chars,
            risk="execute",
            key=key,
            cwd=str(context.cwd),
            sandbox="" if session.held is None else session.held.kind,
            escalated=session.escalated,
            actions=(Action("call", words, rule=rule),),
        )

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        import anyio

        begun = time.monotonic()
        session: Session | None = None
        note = ""
        try:
            asked = _write_request(call)
            session = self.sessions.get(asked.session_id)
            with session.process.watch(asked.wait_for, from_now=bool(asked.chars)) as watch:
                if asked.chars and watch.over:
                    note = "the input was not sent: the command has ended\n"
                elif asked.chars:
                    _send(session, asked.chars)
                await _wait(session.process, watch, _write_seconds(asked), context.emit)
        except ToolError as error:
            return _failed(error)
        except anyio.get_cancelled_exc_class() as cancelled:
            if session is not None:
                cancelled.add_note(_left(session))
            raise
        return _answer(session, begun, asked.max_output_tokens, note=note)

    async def aclose(self) -> None:
        await self.sessions.agent_closed()


class KillSession:
    """Ends a session with everything it started. Needs no approval: it takes back what one was given for."""

    name: str = "kill_session"
    read_only: bool = False
    parallel: bool = False
    timeout_s: float | None = 30.0

    def __init__(self, sessions: ExecSessions) -> None:
        self.sessions = sessions

    @property
    def spec(self) -> ToolSpec:
        description = "Ends a command that runs as a session, with everything it started. Returns its last output."
        return ToolSpec(self.name, description, _KILL_PARAMETERS)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        return None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from .requests import KillSessionRequest

        begun = time.monotonic()
        try:
            asked = check_arguments(KillSessionRequest, parse_arguments(call.arguments))
            session = self.sessions.get(asked.session_id)
        except ToolError as error:
            return _failed(error)
        session.process.end()
        with session.process.watch() as watch:
            await _wait(session.process, watch, _KILL_WAIT_S, context.emit)
        return _answer(session, begun, None, killed=True)

    async def aclose(self) -> None:
        await self.sessions.agent_closed()


# --- what was asked --------------------------------------------------------------------------------------------------


def _exec_request(call: ToolCall) -> ExecCommandRequest:
    from .requests import ExecCommandRequest

    asked = check_arguments(ExecCommandRequest, parse_arguments(call.arguments))
    if not asked.cmd or asked.cmd[0] == "" or (isinstance(asked.cmd, str) and not asked.cmd.strip()):
        raise ToolError("cmd: it is empty", remedy="send a command line or a list of program and arguments")
    if asked.shell is not None and not _is_shell(asked.shell):
        raise ToolError(f"{asked.shell[:200]!r} is no shell", remedy=f"use {', '.join(_SHELLS)}, or leave it out")
    return asked


def _is_shell(name: str) -> bool:
    """By its bare name, or where systems have theirs: another of that name may be anybody's program."""
    folder, _, name = name.rpartition("/")
    return name in _SHELLS and folder in ("", *_SHELL_FOLDERS)


def _write_request(call: ToolCall) -> WriteStdinRequest:
    from .requests import WriteStdinRequest

    return check_arguments(WriteStdinRequest, parse_arguments(call.arguments))


def _argv(asked: ExecCommandRequest) -> list[str]:
    argv = argv_of(asked.cmd, shell=asked.shell or "", login=asked.login)
    for word in argv:
        try:
            ends_early = b"\0" in os.fsencode(word)
        except UnicodeEncodeError:
            raise ToolError("cmd: it is no text a system can take", remedy="send valid characters") from None
        if ends_early:
            raise ToolError("cmd: it has a NUL character in it", remedy="leave it out")
    return argv


def _command(asked: ExecCommandRequest) -> str | list[str]:
    """What a person has to see to know what is run: with the shell, where that is not the one people expect."""
    if isinstance(asked.cmd, list) or (asked.shell is None and not asked.login):
        return asked.cmd
    return [asked.shell or "bash", "-lc" if asked.login else "-c", asked.cmd]


def _confined(argv: Sequence[str], cwd: Path, roots: tuple[Path, ...], sandbox: Sandbox | None) -> Confined:
    from ..sandbox import watched_over

    if sandbox is None:
        return watched_over(argv)
    try:
        return sandbox.confine(argv, cwd=cwd, roots=roots, apart=True)
    except ConfigError as error:  # a working directory that no sandbox can hold
        raise ToolError(error.message, remedy=error.remedy) from None


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:200] + "…"


def _write_seconds(asked: WriteStdinRequest) -> float:
    if asked.chars:
        return _seconds(asked, WRITE_YIELD_MS, MIN_YIELD_MS, MAX_YIELD_MS)
    return _seconds(asked, POLL_YIELD_MS, POLL_YIELD_MS, MAX_POLL_YIELD_MS)


def _seconds(asked: ExecCommandRequest | WriteStdinRequest, default_ms: int, least_ms: int, most_ms: int) -> float:
    if asked.yield_time_ms is None:
        return (EXEC_YIELD_MS if asked.wait_for else default_ms) / 1000
    return min(max(asked.yield_time_ms, least_ms), most_ms) / 1000


def _send(session: Session, chars: str) -> None:
    """To a terminal as it is: that knows what Ctrl-C and Ctrl-D are. For a pipe we do. Raises ToolError."""
    command = session.process
    if command.stdin != "terminal" and chars == _INTERRUPT:
        command.interrupt()
        return
    if not command.input_open:
        what = "has no input" if command.stdin == "none" else "has closed its input"
        raise ToolError(f"session {session.id} {what}", remedy="start it with tty or stdin set to send something")
    text = chars.removesuffix(_END_OF_INPUT) if command.stdin == "pipe" else chars
    if not command.send(text.encode("utf-8", "replace")):
        raise ToolError(
            f"the input was not sent: session {session.id} does not read what it was sent before",
            remedy="send less at a time, or wait until it reads",
        )
    if text != chars:
        command.close_input()


# --- what is answered ------------------------------------------------------------------------------------------------


async def _wait(command: ExecProcess, watch: Watch, seconds: float, emit: Callable[[str], Awaitable[None]]) -> None:
    """Until it has ended, has said what is waited for, or the time is over; what it says meanwhile is shown."""
    import anyio

    shown = 0
    with anyio.move_on_after(seconds):
        while not watch.over:
            await anyio.wait_readable(watch.fd)
            text = command.news(watch)
            if text and shown <= MAX_SHOWN_BYTES:
                shown += len(text)
                await emit(text if shown <= MAX_SHOWN_BYTES else "\n[… the rest is not shown while it runs]\n")


def _answer(
    session: Session,
    begun: float,
    max_tokens: int | None,
    *,
    may_ask: bool = False,
    note: str = "",
    killed: bool = False,
) -> ToolOutput:
    """In the words of codex.md 4. `may_ask`: to leave the sandbox, if that denied something."""
    from ..sandbox import looks_denied

    took_s = round(time.monotonic() - begun, 3)
    taken = session.process.take()
    budget = min(max_tokens or DEFAULT_OUTPUT_TOKENS, MAX_OUTPUT_TOKENS) * _BYTES_PER_TOKEN
    body, left_out = taken.output.result(max(budget - _HEADER_BYTES, _HEADER_BYTES))
    code, log = taken.exit_code, session.process.log
    head = f"Process running with session ID {session.id}" if code is None else f"Process exited with code {code}"
    if left_out:
        head += f"\nOriginal token count: {taken.output.total_bytes // _BYTES_PER_TOKEN}"
    confined = session.held is not None and session.held.kind != "full_access" and not session.escalated
    denied = confined and not killed and code is not None and looks_denied(body, code)
    sandbox = taken.limit or ("denied" if denied else "")
    body += SANDBOX_NOTES.get(sandbox, "") + (denied_note(may_ask=may_ask) if sandbox == "denied" else "")
    facts: dict[str, JsonValue] = {
        "session_id": session.id,
        "running": code is None,
        "duration_s": took_s,
        "truncated_bytes": left_out,
        "log": str(log.path),
    }
    facts |= {"exit_code": code} if code is not None else {}
    facts |= {"log_error": log.error} if log.error else {}
    facts |= {"sandbox": sandbox} if sandbox else {}
    return ToolOutput(
        f"{note}Wall time: {took_s:.1f} s\n{head}\nOutput:\n{body}",
        success=not note and (killed or not code),
        metadata=facts,
    )


def _left(session: Session) -> str:
    """What a model is told of a command that nobody waits for any more."""
    taken = session.process.take()
    said, _ = taken.output.result(DEFAULT_OUTPUT_TOKENS * _BYTES_PER_TOKEN)
    goes_on = f"the command goes on, as session {session.id}: kill_session ends it"
    state = goes_on if taken.exit_code is None else f"the command has ended with exit code {taken.exit_code}"
    return state + (f"\nOutput until then:\n{said}" if said else "")


def _failed(error: ToolError) -> ToolOutput:
    return ToolOutput(f"{error.message}; {error.remedy}", success=False)
