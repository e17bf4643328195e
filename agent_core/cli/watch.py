"""Running one turn for a command and showing it as it happens: as text, or as JSON lines with --json."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias

from ..errors import AgentCoreError
from ..items import JsonObject
from .json_events import error_to_json, event_to_json
from .render import TurnView
from .screen import Screen, write_json

if TYPE_CHECKING:
    from ..agent import Agent, AgentInput
    from ..turn_events import TurnEvent, TurnResult

__all__ = ["Show", "errors_told", "follow", "watcher"]

Show: TypeAlias = "Callable[[TurnEvent], None]"
"""Shows one event of a turn; called in their order."""


_INTERRUPTED: JsonObject = {
    "type": "error",
    "error": "Interrupted",
    "message": "the run was interrupted",
    "remedy": "run it again; with --session, go on with --resume",
}


async def follow(agent: Agent, task: AgentInput, show: Show) -> TurnResult:
    """Run one turn and show its events as they come."""
    async with agent.stream(task) as turn:
        async for event in turn:
            show(event)
    return turn.result


def watcher(screen: Screen, *, as_json: bool, verbose: bool = False) -> Show:
    """What shows the events of a turn: JSON lines on stdout, or text on `screen`."""
    return _write_line if as_json else TurnView(screen, verbose=verbose).feed


@contextmanager
def errors_told(screen: Screen, *, as_json: bool) -> Generator[None]:
    """Around a run: an error, or being interrupted, ends the screen's open line and, with --json, is the last line of
    stdout."""
    try:
        yield
    except AgentCoreError as error:
        screen.end_line()
        if as_json:
            write_json(error_to_json(error))
        raise
    except KeyboardInterrupt:
        with suppress(OSError):  # what is at the other end of a pipe may have been interrupted first
            screen.line("interrupted", "bad")
            if as_json:
                write_json(_INTERRUPTED)
        raise


def _write_line(event: TurnEvent) -> None:
    value = event_to_json(event)
    if value is not None:
        write_json(value)
