"""Which session a run of `exec` has: none that is kept, a new one, or one it goes on with.

(nothing)            in memory, gone with the run
--session FILE       a new file
--keep               a new one in the folder of sessions
--resume SESSION     a file, or one of the folder by its id
--continue           the newest of the folder that worked in this directory
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from ..errors import CallerError
from ..items import Message
from ..session import Session, SessionFolder
from .exits import UsageProblem
from .screen import one_line

__all__ = ["add_session_arguments", "goes_on", "keeps", "path_of", "session_of"]

_DIRECTORY = "cwd"
"""The label that says where a session's tools worked."""


def add_session_arguments(parser: ArgumentParser) -> None:
    files = parser.add_mutually_exclusive_group()
    files.add_argument("--session", metavar="FILE", help="keep the conversation in this new file")
    files.add_argument("--keep", action="store_true", help="keep it among the sessions of this user")
    files.add_argument("--resume", metavar="SESSION", help="go on with a kept one: a file, or an id of `sessions list`")
    files.add_argument(
        "--continue", action="store_true", dest="go_on", help="go on with the newest that was kept in this directory"
    )


def goes_on(args: Namespace) -> bool:
    """Whether the run goes on with a session there is."""
    return bool(args.resume or args.go_on)


def keeps(args: Namespace) -> bool:
    """Whether the session outlives the run."""
    return bool(args.session or args.keep) or goes_on(args)


@contextmanager
def session_of(args: Namespace, cwd: Path) -> Generator[Session]:
    """The session of this run, closed at its end. Where the command cannot be run as it was given, a file made for it
    goes again: the corrected command may name it too."""
    with _opened(args, cwd) as session:
        try:
            yield session
        except CallerError:
            unused = all(isinstance(item, Message) and item.role == "user" for item in session.items)
            if not goes_on(args) and unused and session.path is not None:
                session.path.unlink(missing_ok=True)
            raise


def path_of(word: str, folder: SessionFolder) -> Path:
    """The file a word on a command line means: a path that looks like one, else a session of the folder."""
    path = Path(word)
    if os.sep in word or word.endswith(".jsonl") or os.path.lexists(path):
        return path
    return folder.find(word)


def _opened(args: Namespace, cwd: Path) -> Session:
    labels = {_DIRECTORY: str(cwd)}
    if args.resume:
        return Session.resume(path_of(cast("str", args.resume), SessionFolder()))
    if args.go_on:
        folder = SessionFolder()
        newest = folder.newest(labels)
        if newest is None:
            raise UsageProblem(
                f"no session of {one_line(str(cwd))!r} is kept in {str(folder.path)!r}",
                remedy="run exec --keep first, or name a session with --resume",
            )
        return Session.resume(newest.path)
    if args.keep:
        return SessionFolder().create(labels=labels)
    return Session.create(cast("str", args.session), labels=labels) if args.session else Session()
