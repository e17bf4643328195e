"""Hooks that are commands: JSON on stdin, JSON on stdout, as Codex and Claude Code users know them.

    exit 0   stdout is a JSON object that says what is to happen, or anything else, which says nothing
    exit 2   no: stderr is the reason (at `stop`: what the model is told to do, after a tool: a note)
    else     the hook failed

A command runs as this process's user, in the agent's directory, with an environment of harmless names only (as the
shell tool's commands do), in a session of its own: when it has ended, or its time is over, so has all that it started.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import anyio

from .cancellation import sheltered
from .errors import ToolError
from .hooks import HookAnswer, HookCall
from .items import JsonObject, JsonValue
from .tools.capture import cut_middle
from .tools.processes import MARK_VARIABLE, Mark, ProcessGroup

if TYPE_CHECKING:
    from anyio.abc import ByteReceiveStream, ByteSendStream

    from .turn_events import HookPoint

__all__ = ["run_command"]

MAX_STDOUT_BYTES = 4 * 1024 * 1024
MAX_REASON_BYTES = 8 * 1024
_DRAIN_S = 1.0
_NO = 2
_EVENT_NAMES: Mapping[HookPoint, str] = {
    "before_tool": "PreToolUse",
    "after_tool": "PostToolUse",
    "stop": "Stop",
    "before_compaction": "PreCompact",
    "after_compaction": "PostCompact",
}


async def run_command(argv: Sequence[str], call: HookCall) -> HookAnswer:
    """Raises ToolError where it cannot be started, fails, or says what cannot be understood."""
    code, out, err = await _run(argv, json.dumps(_told(call)).encode(), call)
    if code == _NO:
        why = cut_middle(err.decode("utf-8", "replace").strip(), MAX_REASON_BYTES)[0]
        return HookAnswer(deny=why or f"the hook {argv[0]!r} said no")
    if code != 0:
        raise ToolError(f"it ended with exit code {code}")
    return _understood(out, call)


def _told(call: HookCall) -> JsonObject:
    """The object on stdin; `tool_input` of a free-form tool is `{"input": text}`."""
    told: JsonObject = {
        "hook_event_name": _EVENT_NAMES[call.point],
        "point": call.point,
        "session_id": call.session_id,
        "cwd": str(call.cwd),
    }
    match call.point:
        case "before_tool" | "after_tool":
            told |= {"tool_name": call.tool, "tool_use_id": call.call_id, "tool_input": _arguments(call.arguments)}
            if call.point == "after_tool":
                told |= {"tool_response": call.output, "success": call.success}
        case "stop":
            told |= {"last_assistant_message": call.text, "stop_hook_active": call.continued > 0}
        case _:
            told |= {"trigger": "manual" if call.reason == "asked" else "auto", "tokens": call.tokens}
    return told


def _arguments(text: str) -> JsonObject:
    try:
        value: object = json.loads(text)
    except ValueError:
        value = None
    return cast("JsonObject", value) if isinstance(value, dict) else {"input": text}


def _understood(out: bytes, call: HookCall) -> HookAnswer:
    """What stdout says. Text that is no object says nothing; an object with a decision nobody knows is nonsense."""
    try:
        value: object = json.loads(out)
    except ValueError:
        if out.lstrip()[:1] == b"{":
            raise ToolError("it wrote broken JSON") from None
        return HookAnswer()
    if not isinstance(value, dict):
        return HookAnswer()
    said = cast("JsonObject", value)
    inner = said.get("hookSpecificOutput")
    specific = inner if isinstance(inner, dict) else {}
    decision = specific.get("permissionDecision", said.get("decision"))
    reason = _words(specific.get("permissionDecisionReason") or said.get("reason") or said.get("stopReason"))
    if decision not in (None, "approve", "allow", "ask", "block", "deny"):
        raise ToolError(f"it made the decision {decision!r:.50}")
    denies = decision in ("block", "deny") or said.get("continue") is False
    changed = specific.get("updatedInput")
    if changed is not None and not isinstance(changed, dict):
        raise ToolError("its updatedInput is no object")
    replaced = specific.get("updatedToolOutput", said.get("updatedToolOutput"))
    return HookAnswer(
        deny=(reason or "a hook said no") if denies else "",
        arguments=_back(changed, call) if changed is not None else None,
        output=replaced if isinstance(replaced, str) else None,
        note=_words(specific.get("additionalContext")),
    )


def _back(changed: JsonObject, call: HookCall) -> JsonObject | str:
    """New arguments, in the form of the old: the text of a free-form tool was shown as `{"input": text}`."""
    text = changed.get("input")
    free_form = not call.arguments.lstrip().startswith("{")
    return text if free_form and isinstance(text, str) else changed


def _words(value: JsonValue) -> str:
    return value.strip() if isinstance(value, str) else ""


# --- running ---------------------------------------------------------------------------------------------------------


async def _run(argv: Sequence[str], told: bytes, call: HookCall) -> tuple[int, bytes, bytes]:
    """Exit code, stdout, stderr. Raises ToolError if it cannot be started or says too much."""
    from .tools.command import child_environment

    mark = Mark(os.environ.get(MARK_VARIABLE, ""))
    environment = child_environment(os.environ, extra={MARK_VARIABLE: mark.value, "AGENT_CORE_HOOK": call.point})
    group: ProcessGroup | None = None

    async def start() -> None:
        nonlocal group
        group = ProcessGroup(
            await anyio.open_process(list(argv), cwd=call.cwd, env=environment, start_new_session=True), mark
        )

    async def end() -> None:
        if group is not None:
            await group.end(strays=True)
            await group.leader.aclose()

    out, err = _Pipe(), _Pipe()
    try:
        try:
            await sheltered(start)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ToolError(f"{argv[0]!r} cannot be started: {reason}") from None
        assert group is not None  # else `start` has raised
        leader = group.leader
        assert leader.stdin is not None
        assert leader.stdout is not None
        assert leader.stderr is not None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_say, leader.stdin, told)
            tasks.start_soon(out.read, leader.stdout)
            tasks.start_soon(err.read, leader.stderr)
            code = await leader.wait()
            await group.end()  # what it left behind may hold the pipes
            with anyio.move_on_after(_DRAIN_S):
                await out.ended.wait()
                await err.ended.wait()
            tasks.cancel_scope.cancel()
    finally:
        await sheltered(end)
    if len(out.said) > MAX_STDOUT_BYTES:
        raise ToolError(f"it wrote more than {MAX_STDOUT_BYTES:,} bytes")
    return code, bytes(out.said), bytes(err.said)


async def _say(stream: ByteSendStream, told: bytes) -> None:
    async with stream:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # it need not read what it is told
            await stream.send(told)


class _Pipe:
    """What comes out of one pipe, as far as anybody looks at it; the rest is read and dropped."""

    __slots__ = ("ended", "said")

    def __init__(self) -> None:
        self.said = bytearray()
        self.ended = anyio.Event()

    async def read(self, stream: ByteReceiveStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for chunk in stream:
                self.said += chunk[: MAX_STDOUT_BYTES + 1 - len(self.said)]
        self.ended.set()
