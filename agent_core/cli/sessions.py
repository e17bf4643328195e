"""`agent-core sessions`: the conversations that are kept: list, search, show, prune, fork, take back, rules, repair.

A session is named by its id, by the beginning of one, or by its file. Figures and conversations go to stdout, what was
done and what is worth knowing to stderr; with --json, stdout is one JSON object a line.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast

from ..codecs import WIRES
from ..items import JsonObject, JsonValue, Message, WireName, dump_item, text_of
from ..paused import pending_calls
from ..session import Session, SessionFolder, SessionInfo, repair_session
from ..session.listing import describe
from ..turn_events import CompactionFinished
from .exits import Exit, UsageProblem
from .json_events import event_to_json, usage_to_json
from .kept import path_of
from .numbers import seconds, whole_number
from .render import pending_lines, render_item
from .screen import Screen, one_line, write_json, write_text

__all__ = ["add_arguments", "run"]

_MOST = 1_000_000_000
_ID_CHARS = 12
_TEXT_CHARS = 60
_DAY_S = 86400.0
_MEGABYTE = 1_000_000
_HEADINGS = ("SESSION", "WRITTEN TO", "TURNS", "TOKENS", "SIZE", "BEGINS WITH")


def add_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _list(_action(actions.add_parser("list", help="what there is, the newest first")))
    _search(_action(actions.add_parser("search", help="in which somebody said something")))
    _show(_action(actions.add_parser("show", help="one, from its beginning to its end")))
    _prune(_action(actions.add_parser("prune", help="remove old ones")))
    _fork(_action(actions.add_parser("fork", help="a copy that goes its own way")))
    _rollback(_action(actions.add_parser("rollback", help="take the last turns back")))
    _rules(_action(actions.add_parser("rules", help="what one lets run unasked, and taking that back")))
    _compact(_action(actions.add_parser("compact", help="put a summary in the place of what was said")))
    _repair(_action(actions.add_parser("repair", help="set aside what is damaged in a file, keep the rest")))


def run(args: Namespace) -> int:
    folder = SessionFolder(cast("str | None", args.dir))
    action = cast("Callable[[Namespace, SessionFolder, Screen], int]", args.do)
    return action(args, folder, Screen(sys.stderr))


def _action(parser: ArgumentParser) -> ArgumentParser:
    """What every action takes."""
    parser.add_argument(
        "--dir", metavar="DIR", help="another folder of sessions (default: AGENT_CORE_SESSIONS, or the user's)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def _named(parser: ArgumentParser) -> None:
    parser.add_argument("session", metavar="SESSION", help="an id, the beginning of one, or a file")


def _list(parser: ArgumentParser) -> None:
    parser.set_defaults(do=_run_list)
    parser.add_argument("--limit", type=whole_number(1, _MOST), metavar="N", help="so many at most (default: all)")


def _run_list(args: Namespace, folder: SessionFolder, screen: Screen) -> int:
    found = folder.sessions()[: cast("int | None", args.limit)]
    if args.json:
        for info in found:
            write_json(_info_to_json(info))
    elif found:
        _table(found)
    if not found:
        screen.line(f"no sessions in {str(folder.path)!r}", "dim")
    return Exit.OK


def _search(parser: ArgumentParser) -> None:
    parser.set_defaults(do=_run_search)
    parser.add_argument("text", metavar="TEXT", help="what was said, in any case of letters")


def _run_search(args: Namespace, folder: SessionFolder, screen: Screen) -> int:
    out = Screen(sys.stdout)
    found = False
    for info, spots in folder.search(cast("str", args.text)):
        found = True
        if args.json:
            places: list[JsonValue] = [{"line": s.line, "speaker": s.speaker, "text": s.text} for s in spots]
            write_json({**_info_to_json(info), "places": places})
            continue
        out.line(f"{info.id[:_ID_CHARS]}  {_day(info.updated)}  {one_line(info.text, _TEXT_CHARS)}", "strong")
        for spot in spots:
            out.line(f"  {spot.speaker}: {one_line(spot.text)}")
    if not found:
        screen.line("nothing found", "dim")
    return Exit.OK


def _show(parser: ArgumentParser) -> None:
    parser.set_defaults(do=_run_show)
    _named(parser)


def _run_show(args: Namespace, folder: SessionFolder, screen: Screen) -> int:
    path = path_of(cast("str", args.session), folder)
    session, info = Session.read(path), describe(path)
    for warning in session.warnings:
        screen.line(warning, "bad")
    if args.json:
        if info is not None:
            write_json(_info_to_json(info))
        for item in session.transcript:
            write_json({"type": "item", "item": dump_item(item)})
        return Exit.OK
    out = Screen(sys.stdout)
    if info is not None:
        out.line(_summary(info), "dim")
    for item in session.transcript:
        if isinstance(item, Message):
            out.gap()
            out.line(item.role, "strong")
        render_item(out, item)
    if pending := pending_calls(session):
        for line in pending_lines(pending):
            screen.line(line, "bad")
        screen.line("the run is paused: exec --resume goes on with it", "dim")
    elif session.awaits_answer:
        screen.line("the last turn was not brought to its end: exec --resume goes on with it", "dim")
    return Exit.OK


def _prune(parser: ArgumentParser) -> None:
    parser.set_defaults(do=_run_prune)
    parser.add_argument(
        "--older-than", type=seconds(36500), metavar="DAYS", help="those not written to for so many days"
    )
    parser.add_argument("--keep", type=whole_number(0, _MOST), metavar="N", help="all but the newest N")
    parser.add_argument(
        "--max-size", type=whole_number(0, _MOST), metavar="MB", help="the oldest, until the rest takes no more"
    )
    parser.add_argument("--dry-run", action="store_true", help="say which, remove nothing")


def _run_prune(args: Namespace, folder: SessionFolder, screen: Screen) -> int:
    days, size = cast("float | None", args.older_than), cast("int | None", args.max_size)
    pruned = folder.prune(
        older_than=None if days is None else timedelta(days=days),
        keep=cast("int | None", args.keep),
        max_bytes=None if size is None else size * _MEGABYTE,
        dry_run=args.dry_run,
    )
    if args.json:
        for info in pruned.removed:
            write_json(_info_to_json(info))
    elif pruned.removed:
        _table(list(pruned.removed))
    for info in pruned.left:
        screen.line(f"{info.id}: in use, or not to be written; it stays", "bad")
    verb = "would remove" if args.dry_run else "removed"
    screen.line(f"{verb} {_count(len(pruned.removed), 'session')}, {_size(pruned.freed_bytes)}", "dim")
    return Exit.OK


def _fork(parser: ArgumentParser) -> None:
    parser.set_defaults(do=_run_fork)
    _named(parser)
    parser.add_argument("file", nargs="?", metavar="FILE", help="the new file (default: a new one in the folder)")
    parser.add_argument("--drop", type=whole_number(0, _MOST), default=0, metavar="N", help="without the last N turns")


def _run_fork(args: Namespace, folder: SessionFolder, screen: Screen) -> int:
    session = Session.read(path_of(cast("str", args.session), folder))
    drop = cast("int", args.drop)
    if drop:
        session.rollback(drop)
    with session.fork(cast("str", args.file)) if args.file else folder.fork(session) as fork:
        _done(args, screen, f"forked {session.id}: {_count(fork.turns, 'turn')} in {str(fork.path)!r}", fork)
    return Exit.OK


def _rollback(parser: ArgumentParser) -> None:
    parser.set_defaults(do=_run_rollback)
    _named(parser)
    parser.add_argument("--turns", type=whole_number(1, _MOST), default=1, metavar="N", help="how many (default: 1)")


def _run_rollback(args: Namespace, folder: SessionFolder, screen: Screen) -> int:
    with Session.resume(path_of(cast("str", args.session), folder)) as session:
        before = session.turns
        gone = session.rollback(cast("int", args.turns))
        asked = [text_of(item) for item in gone if isinstance(item, Message) and item.role == "user"]
        _done(
            args,
            screen,
            f"took {_count(before - session.turns, 'turn')} back, {_count(session.turns, 'turn')} left",
            session,
        )
        for text in asked if not args.json else ():
            screen.line(f"  {one_line(text, _TEXT_CHARS)}", "dim")
    return Exit.OK


def _rules(parser: ArgumentParser) -> None:
    parser.set_defaults(do=_run_rules)
    _named(parser)
    parser.add_argument("--revoke", type=whole_number(1, _MOST), metavar="N", help="ask about number N again")


def _run_rules(args: Namespace, folder: SessionFolder, screen: Screen) -> int:
    path = path_of(cast("str", args.session), folder)
    number = cast("int | None", args.revoke)
    if number is not None:
        with Session.resume(path) as session:
            if number > len(session.approval_rules):
                raise UsageProblem(f"there is no rule {number}", remedy="see them: agent-core sessions rules SESSION")
            rule = session.approval_rules[number - 1]
            session.revoke(rule)
            _done(args, screen, f"asked about again: {rule}", session)
        return Exit.OK
    for n, rule in enumerate(Session.read(path).approval_rules, 1):
        if args.json:
            write_json({"number": n, "rule": str(rule), "kind": rule.kind, "words": list(rule.words), "cwd": rule.cwd})
        else:
            write_text(sys.stdout, f"{n}  {one_line(str(rule))}\n")
    return Exit.OK


def _compact(parser: ArgumentParser) -> None:
    parser.set_defaults(do=_run_compact)
    _named(parser)
    parser.add_argument("-m", "--model", metavar="PROVIDER/MODEL", help="who writes it (default: the last one asked)")
    parser.add_argument("--base-url", metavar="URL", help="another server, e.g. http://localhost:8000/v1")
    parser.add_argument("--wire", choices=WIRES, help="default: the provider's")
    parser.add_argument("--instructions", metavar="TEXT", default="", help="what it should be about in particular")


def _run_compact(args: Namespace, folder: SessionFolder, screen: Screen) -> int:
    from .. import blocking

    async def compacting(session: Session) -> CompactionFinished:
        from ..agent import Agent
        from ..tools import coding_tools

        async with Agent(
            cast("str | None", args.model) or session.model or None,
            tools=coding_tools(),  # those of exec: a server may want to know the tools that were called
            wire=cast("WireName | None", args.wire),
            base_url=cast("str | None", args.base_url),
            session=session,
        ) as agent:
            return await agent.compact(cast("str", args.instructions))

    with Session.resume(path_of(cast("str", args.session), folder)) as session:
        done = blocking.run(compacting, session)
        if args.json:
            write_json(event_to_json(done) or {})
        known = done.replaced - done.left_out
        text = f"{done.tokens_before:,} tokens became {done.tokens_after:,}; {_count(known, 'item')} summarised"
        _done(args, screen, text + (f", {done.left_out:,} left out" if done.left_out else ""), session)
    return Exit.OK


def _repair(parser: ArgumentParser) -> None:
    parser.set_defaults(do=_run_repair)
    _named(parser)


def _run_repair(args: Namespace, folder: SessionFolder, screen: Screen) -> int:
    done = repair_session(path_of(cast("str", args.session), folder))
    if args.json:
        write_json(
            {
                "path": str(done.path),
                "kept": done.kept,
                "lost_lines": list(done.lost_lines),
                "lost_bytes": done.lost_bytes,
                "missing": done.missing,
                "original": None if done.original is None else str(done.original),
            }
        )
    elif done.original is None:
        screen.line(f"{str(done.path)!r} is whole: {_count(done.kept, 'record')}; nothing was changed", "good")
    else:
        lines = ", ".join(map(str, done.lost_lines[:20])) + (", …" if len(done.lost_lines) > 20 else "")
        what = [
            f"kept {_count(done.kept, 'record')}",
            *([f"set aside {_size(done.lost_bytes)} in line {lines}"] if lines else []),
            *([f"{_count(done.missing, 'record')} are not there any more"] if done.missing else []),
        ]
        screen.line("; ".join(what), "bad")
        screen.line(f"the file as it was: {str(done.original)!r}", "dim")
    return Exit.OK


def _done(args: Namespace, screen: Screen, text: str, session: Session) -> None:
    """Say what was done, or with --json what the session is now."""
    if not args.json:
        screen.line(text, "good")
    elif session.path is not None and (info := describe(session.path)) is not None:
        write_json(_info_to_json(info))


def _info_to_json(info: SessionInfo) -> JsonObject:
    return {
        "type": "session",
        "id": info.id,
        "path": str(info.path),
        "created": info.created.isoformat() if info.created else None,
        "updated": info.updated.isoformat(timespec="seconds"),
        "text": info.text,
        "turns": info.turns,
        "items": info.items,
        "model": info.model,
        "usage": usage_to_json(info.usage),
        "size": info.size,
        "labels": cast("JsonObject", dict(info.labels)),
        "ended": info.ended,
        "waiting": info.waiting,
        "problem": info.problem or None,
    }


def _table(found: list[SessionInfo]) -> None:
    rows = [
        (
            info.id[:_ID_CHARS] or info.path.name[:40],
            _day(info.updated),
            str(info.turns),
            f"{info.usage.total:,}",
            _size(info.size),
            f"({one_line(info.problem, _TEXT_CHARS)})" if info.problem else _begins_with(info),
        )
        for info in found
    ]
    widths = [max(len(row[n]) for row in (_HEADINGS, *rows)) for n in range(len(_HEADINGS) - 1)]
    out = Screen(sys.stdout)
    for n, (session, day, turns, tokens, size, text) in enumerate((_HEADINGS, *rows)):
        figures = (cell.rjust(width) for cell, width in zip((turns, tokens, size), widths[2:], strict=True))
        out.line(
            "  ".join((session.ljust(widths[0]), day.ljust(widths[1]), *figures, text)), "plain" if n else "strong"
        )


def _begins_with(info: SessionInfo) -> str:
    return ("(paused) " if info.waiting else "") + one_line(info.text, _TEXT_CHARS)


def _summary(info: SessionInfo) -> str:
    parts = [info.id, _count(info.turns, "turn"), _count(info.items, "item"), f"{info.usage.total:,} tokens"]
    parts += [info.model] if info.model else []
    parts += [f"{name}: {value}" for name, value in info.labels.items()]
    return one_line(" · ".join([*parts, f"written to {_day(info.updated)}"]))


def _day(time: datetime) -> str:
    """To the minute, in local time."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M")


def _size(size: float) -> str:
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} GB"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
