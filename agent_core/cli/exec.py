"""`agent-core exec`: one task, run to its end, for scripts and for people.

The answer goes to stdout, everything else to stderr; with --json, stdout is the turn's events, one a line. Actions that
need approval are asked about on a terminal and denied elsewhere, unless --approve says otherwise.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..approval_rules import ApprovalMode, ApprovalRules
from ..approvals import ApprovalPolicy, AskPolicy, Decision, allow_all
from ..codecs import WIRES
from ..compaction import CompactionMode, CompactionPolicy
from ..config import REHEARSAL_MODEL, default_model
from ..errors import ConfigError
from ..items import WireName
from ..limits import Limits
from ..prices import ListedPrices
from ..session import Session
from ..telemetry import Telemetry
from ..turn_events import TurnEvent, TurnResult
from .exits import UsageProblem, exit_of_result, refused
from .kept import add_session_arguments, goes_on, keeps, session_of
from .mcp_config import mcp_tools
from .numbers import dollars, seconds, share, whole_number
from .render import pending_lines, summary_text
from .screen import Screen, write_text
from .trace import Destination, add_trace_option, tracing
from .watch import Show, errors_told, follow, watcher

if TYPE_CHECKING:
    from ..agent import AgentInput
    from ..sandbox import SandboxPolicy
    from ..tools.tool_sets import ToolSet

__all__ = ["add_arguments", "run"]

_TASK_MAX_BYTES = 8 * 1024 * 1024
_INSTRUCTIONS = (
    "You work on the user's files in {cwd} with the tools you are given. "
    "Do the task to its end without asking back, check what you did, then say in a few sentences what came of it."
)
_TURNS_MAX = 1_000_000
_TOKENS_MAX = 10**12
_COST_MAX = 10**6
_RETRIES_MAX = 99
_TIMEOUT_MAX_S = 30 * 86400.0
_NOBODY = Decision("denied", "nobody can be asked in this run; its user may allow everything with --approve all")

_SANDBOXES: Mapping[str, str | None] = {
    "none": None,
    "read-only": "read_only",
    "workspace-write": "workspace_write",
    "full-access": "full_access",
}
_MODES: Mapping[str, ApprovalMode] = {
    "never": "never",
    "on-request": "on_request",
    "unless-trusted": "unless_trusted",
    "always": "always",
}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "task",
        nargs="?",
        metavar="TASK",
        help="what to do; - reads it from stdin; may be left out where a session was left in the middle of a turn",
    )
    parser.add_argument(
        "-m", "--model", metavar="PROVIDER/MODEL", help="default: AGENT_CORE_MODEL, else by the keys set"
    )
    parser.add_argument(
        "--fallback",
        action="append",
        default=[],
        metavar="PROVIDER/MODEL",
        help="asked where the model gives no answer; may be given several times, in order",
    )
    parser.add_argument("--base-url", metavar="URL", help="another server, e.g. http://localhost:8000/v1")
    parser.add_argument("--wire", choices=WIRES, help="default: the provider's")
    parser.add_argument("--cd", metavar="DIR", default=".", help="the directory the tools work in (default: this one)")
    parser.add_argument("--json", action="store_true", help="write events to stdout, one JSON object a line")
    parser.add_argument(
        "--sandbox",
        choices=tuple(_SANDBOXES),
        default="none",
        help="what commands and changes of files are held by (default: none, and all that acts is asked about)",
    )
    parser.add_argument(
        "--approve",
        choices=("deny", "ask", "all", "defer", *_MODES),
        help="who may act; default: on-request with a --sandbox, else ask; where nobody can be asked, that is denied;"
        " defer: pause, to be decided when the session is gone on with",
    )
    parser.add_argument("--hooks", metavar="FILE", help="commands to run before and after tools: docs/hooks.md")
    parser.add_argument(
        "--max-turns", type=whole_number(1, _TURNS_MAX), metavar="N", help="requests to the model at most (default: 50)"
    )
    parser.add_argument(
        "--max-tool-calls", type=whole_number(0, _TURNS_MAX), metavar="N", help="tool calls at most (default: no end)"
    )
    parser.add_argument(
        "--max-tokens",
        type=whole_number(1, _TOKENS_MAX),
        metavar="N",
        help="tokens in and out at most (default: no end)",
    )
    parser.add_argument(
        "--max-cost", type=dollars(_COST_MAX), metavar="USD", help="stop at this cost; needs the extra `cost`"
    )
    parser.add_argument(
        "--retries",
        type=whole_number(0, _RETRIES_MAX),
        metavar="N",
        help="tries more after a request failed, and after a stream broke (default: 4 and 5)",
    )
    parser.add_argument(
        "--timeout", type=seconds(_TIMEOUT_MAX_S), metavar="S", help="seconds the whole run may take (default: no end)"
    )
    parser.add_argument(
        "--compact",
        type=share("auto", "off"),
        default="auto",
        metavar="auto|off|N%",
        help="when a long history is replaced by a summary: at N%% of the model's window (default: auto, 90%%)",
    )
    parser.add_argument(
        "--mcp-config", metavar="FILE", help="MCP servers whose tools the model has too: tables [mcp_servers.NAME]"
    )
    add_session_arguments(parser)
    add_trace_option(parser)
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="also show requests, repairs, losses and compactions"
    )


def run(args: Namespace) -> int:
    screen = Screen(sys.stderr)
    with errors_told(screen, as_json=args.json):
        task = _task(args)
        if args.approve == "defer" and not keeps(args):
            raise UsageProblem("a run that is not kept cannot be paused", remedy="give --keep or --session FILE too")
        cwd = _directory(cast("str", args.cd))
        with tracing(cast("Destination | None", args.trace), screen) as telemetry, session_of(args, cwd) as session:
            for warning in session.warnings:
                screen.line(warning, "bad")
            if task is None and not session.awaits_answer:
                raise UsageProblem("this session waits for nothing", remedy="say what to do next")
            model = cast("str | None", args.model) or session.model or _default_model(screen)
            words: AgentInput = [] if task is None else task
            result = _converse(args, screen, session, telemetry, model=model, task=words, cwd=cwd)
            _finish(args, screen, result, session)
    return exit_of_result(result)


def _converse(
    args: Namespace,
    screen: Screen,
    session: Session,
    telemetry: Telemetry | None,
    *,
    model: str,
    task: AgentInput,
    cwd: Path,
) -> TurnResult:
    from .. import blocking

    show = watcher(screen, as_json=args.json, verbose=args.verbose)
    listed = ListedPrices() if ListedPrices.installed() or args.max_cost is not None else None
    sandbox = cast("str", args.sandbox)
    approve = cast("str | None", args.approve) or ("ask" if sandbox == "none" else "on-request")
    approvals, show = _approvals(approve, screen, show)
    if isinstance(approvals, ApprovalRules):
        for rule in session.approval_rules:
            screen.line(f"this session allows: {rule}", "dim")

    async def conversation(servers: Sequence[ToolSet]) -> TurnResult:
        from ..agent import Agent
        from ..hook_file import hooks_from_toml
        from ..retry import RetryPolicy
        from ..tools import coding_tools

        retries = cast("int | None", args.retries)

        async with Agent(
            model,
            tools=[*coding_tools(), *servers],
            instructions=_INSTRUCTIONS.format(cwd=cwd),
            wire=cast("WireName | None", args.wire),
            base_url=cast("str | None", args.base_url),
            approvals=approvals,
            sandbox=_sandbox(sandbox),
            hooks=hooks_from_toml(cast("str", args.hooks)) if args.hooks is not None else (),
            cwd=cwd,
            session=session,
            limits=Limits(
                max_turns=cast("int | None", args.max_turns) or Limits().max_turns,
                max_tool_calls=cast("int | None", args.max_tool_calls),
                max_tokens=cast("int | None", args.max_tokens),
                max_cost=cast("Decimal | None", args.max_cost),
                deadline_s=cast("float | None", args.timeout),
            ),
            compaction=_compaction(cast("str | float", args.compact)),
            prices=listed,
            telemetry=telemetry,
            fallbacks=cast("list[str]", args.fallback),
            retry=RetryPolicy() if retries is None else RetryPolicy(max_attempts=retries + 1, max_restarts=retries),
        ) as agent:
            return await follow(agent, task, show)

    async def with_servers() -> TurnResult:
        async with mcp_tools(cast("str | None", args.mcp_config), cwd, screen) as servers:
            return await conversation(servers)

    return blocking.run(with_servers)


def _finish(args: Namespace, screen: Screen, result: TurnResult, session: Session) -> None:
    if args.json:
        return
    if result.text and not (sys.stdout.isatty() and sys.stderr.isatty()):
        write_text(sys.stdout, result.text.rstrip("\n") + "\n")  # on one terminal it has been read already
    for line in pending_lines(result.pending):
        screen.line(line, "bad")
    if result.stop_reason != "completed" or refused(result):
        why = "refusal" if result.stop_reason == "completed" else result.stop_reason
        screen.line(f"stopped: {why}", "bad")
    screen.line(summary_text(result, str(session.path) if session.path else None), "dim")


def _compaction(word: str | float) -> CompactionMode | CompactionPolicy:
    if isinstance(word, float):
        return CompactionPolicy(at=word)
    return "off" if word == "off" else "auto"


def _task(args: Namespace) -> str | None:
    """The task: the argument, or stdin where it is `-`. None: to go on with a session as it is."""
    word = cast("str | None", args.task)
    if word is None:
        if goes_on(args):
            return None
        raise UsageProblem("there is no task", remedy='say what to do, e.g. agent-core exec "run the tests"')
    text = _stdin() if word == "-" else word
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes that the locale's encoding does not know; people type UTF-8
        text = os.fsencode(text).decode("utf-8", "replace")
    if not text.strip():
        raise UsageProblem("the task is empty", remedy='say what to do, e.g. agent-core exec "run the tests"')
    return text


def _stdin() -> str:
    read = sys.stdin.buffer.read(_TASK_MAX_BYTES + 1)
    if len(read) > _TASK_MAX_BYTES:
        raise UsageProblem(
            f"the task on stdin is larger than {_TASK_MAX_BYTES:,} bytes", remedy="name the files to read in it"
        )
    return read.decode("utf-8", "replace")


def _directory(word: str) -> Path:
    try:
        path = Path(word).expanduser().resolve(strict=True)
    except (OSError, RuntimeError):  # also: no home, a loop of symlinks, a current directory that is gone
        path = None
    if path is None or not path.is_dir():
        raise ConfigError(f"no directory {word!r}", remedy="give --cd a directory that exists")
    return path


def _default_model(screen: Screen) -> str:
    model = default_model()
    if model == REHEARSAL_MODEL:
        screen.line(f"no model was named and no key is set: {model}, a scripted model, answers", "dim")
    return model


def _approvals(approve: str, screen: Screen, show: Show) -> tuple[ApprovalPolicy, Show]:
    """Who decides, and what shows the events: a person is asked when the events before the question are shown."""
    if approve == "all":
        return allow_all, show
    if approve == "defer":
        return AskPolicy(lambda request: Decision("deferred")), show
    from .ask import TerminalPerson, can_ask

    mode = _MODES.get(approve, "always")
    if approve == "never" or not can_ask():
        held = approve not in ("deny", "ask")
        return (ApprovalRules(mode) if held else AskPolicy(lambda request: _NOBODY)), show
    if approve == "deny":
        return AskPolicy(lambda request: _NOBODY), show
    person = TerminalPerson(screen)

    def show_then_ask(event: TurnEvent) -> None:
        show(event)
        person.shown(event)

    return ApprovalRules(mode, person.answer), show_then_ask


def _sandbox(word: str) -> SandboxPolicy | None:
    from .. import sandbox

    make = _SANDBOXES[word]
    return None if make is None else cast("SandboxPolicy", getattr(sandbox, make)())
