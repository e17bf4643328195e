"""The command line. `main` finds the command and loads it alone: `--help` and `--version` cost nothing.

Each command is a module with `add_arguments(parser)` and `run(args) -> exit code`.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, Protocol, cast

from .exits import EXIT_MEANINGS, Exit, UsageProblem, guarded

__all__ = ["main"]

_COMMANDS: dict[str, str] = {
    "demo": "see an agent find and fix a bug, without a key or a network",
    "exec": "run one task and print the answer",
    "decode": "show what captured .sse streams fold to",
    "providers": "list the providers, and which keys are set",
    "serve": "serve a backend on all three wires",
    "sessions": "list, search, show, prune, fork, take back and repair kept conversations",
    "mcp": "what MCP servers offer, and one call of a tool",
    "probe": "ask a live endpoint what it takes, and print its provider row",
}


class _Command(Protocol):
    def add_arguments(self, parser: ArgumentParser) -> None: ...

    def run(self, args: Namespace) -> int: ...


class _Parser(ArgumentParser):
    """argparse's own way to change how errors are told is to override `error`."""

    def error(self, message: str) -> NoReturn:
        raise UsageProblem(message, remedy=f"see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's) and return its exit code. Never raises."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _dispatch(arguments))


def _dispatch(arguments: list[str]) -> int:
    # Nothing before the command takes a value, so the first bare word is the command.
    at = next((n for n, word in enumerate(arguments) if not word.startswith("-")), len(arguments))
    args = _top_parser().parse_args(arguments[: at + 1])
    if args.version:
        from importlib.metadata import version

        sys.stdout.write(f"agent-core {version('agent-core')}\n")
        return Exit.OK
    name = cast("str | None", args.command)
    if name not in _COMMANDS:
        problem = f"unknown command {name!r}" if name else "no command given"
        raise UsageProblem(problem, remedy=f"choose one of {', '.join(_COMMANDS)}; see agent-core --help")
    module = import_module(f".{name}", __name__)
    command = cast("_Command", module)
    parser = _Parser(
        prog=f"agent-core {name}",
        description=_COMMANDS[name],
        epilog=_exit_codes(),
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    return command.run(parser.parse_args(arguments[at + 1 :]))


def _top_parser() -> ArgumentParser:
    commands = "\n".join(f"  {name:<11}{summary}" for name, summary in _COMMANDS.items())
    parser = _Parser(
        prog="agent-core",
        usage="%(prog)s [-h] [--version] COMMAND ...",
        description=f"An embedded agent runtime: three wires in, tools out.\n\ncommands:\n{commands}",
        epilog=_exit_codes(),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="COMMAND --help tells its options")
    return parser


def _exit_codes() -> str:
    return "exit codes:\n" + "\n".join(f"  {code.value:<5}{meaning}" for code, meaning in EXIT_MEANINGS)
