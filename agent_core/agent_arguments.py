"""What an agent and its turns are given, checked: wrong arguments are told here, before anything is done with them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from .errors import CallerError, ConfigError
from .items import ResponseItem, user_message
from .limits import EnclosingRun, Limits
from .session import Session
from .tool_policy import ToolPolicy
from .tools.base import ToolContext

__all__ = [
    "AgentInput",
    "as_items",
    "checked_limits",
    "checked_policy",
    "checked_session",
    "directory",
    "enclosing",
]

AgentInput: TypeAlias = str | ResponseItem | list[ResponseItem] | tuple[ResponseItem, ...]


def as_items(text: AgentInput, session: Session) -> tuple[ResponseItem, ...]:
    """What the user says, as items. Raises CallerError for what is nothing to say, and for items no server takes:
    here, before they are in the session."""
    from .codecs.input_checks import check_items

    if isinstance(text, str):
        if not text.strip():
            raise CallerError("the text is empty", remedy="say something; pass [] to go on with the session as it is")
        return (user_message(text),)
    items = tuple(text) if isinstance(text, list | tuple) else (text,)
    for item in items:
        if not isinstance(item, ResponseItem):
            raise CallerError(
                f"a turn begins with text or items, not with {type(item).__name__!r}",
                remedy="pass a string or user_message(…); items.parse_item() makes an item of a dict",
            )
    if not items and not session.items:
        raise CallerError("there is nothing to say, and the session is empty", remedy="pass a text")
    check_items(items)
    return items


def enclosing(within: ToolContext | None) -> EnclosingRun | None:
    """The run that a tool's context is of."""
    if within is None:
        return None
    if isinstance(within.run, EnclosingRun):
        return within.run
    raise CallerError("within= is no context of a running tool", remedy="pass the ToolContext the tool was given")


def checked_session(session: Session | None) -> Session:
    if session is not None and not isinstance(session, Session):
        raise CallerError(
            f"session must be a Session, got {session!r:.100}",
            remedy="use Session.create(path), or Session.resume(path)",
        )
    return Session() if session is None else session


def checked_limits(limits: Limits | None) -> Limits:
    if limits is not None and not isinstance(limits, Limits):
        raise CallerError(f"limits must be Limits, got {limits!r:.100}", remedy="use Limits(max_turns=…)")
    return Limits() if limits is None else limits


def directory(cwd: str | os.PathLike[str] | None) -> Path:
    """Where tools work, absolute. Raises ConfigError for what is no directory, the current one too if it is gone."""
    asked = os.curdir if cwd is None else os.fspath(cwd)
    try:
        path = Path(asked).resolve(strict=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"cannot work in {asked!r}: {reason}", remedy="pass cwd= with a directory that exists"
        ) from error
    if not path.is_dir():
        raise ConfigError(f"cannot work in {asked!r}: it is no directory", remedy="pass cwd= with a directory")
    return path


def checked_policy(policy: ToolPolicy | None) -> ToolPolicy:
    if policy is not None and not isinstance(policy, ToolPolicy):
        raise CallerError(f"tool_policy must be a ToolPolicy, got {policy!r:.100}", remedy="ToolPolicy([ToolRule(…)])")
    return ToolPolicy() if policy is None else policy
