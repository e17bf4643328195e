"""Commands that only read: known by their names and options, in a script that a real shell parser has understood whole.

In doubt a command is not safe. Only plain commands count, one after the other or in a pipe: no redirection,
substitution, variable, assignment, background, function or control structure. The parser is tree-sitter's Bash grammar
(extra `shell`); without it no command line is known to be safe, only lists of a program and its arguments are.

Safe means: it changes nothing. It may well read what is nobody's business; a sandbox hides that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

__all__ = ["SHELLS", "is_known_safe", "parsed_commands"]

MAX_SCRIPT_CHARS = 16 * 1024
MAX_COMMANDS = 64

_PLAIN = frozenset(
    (
        *(
            "basename",
            "cat",
            "cd",
            "cmp",
            "comm",
            "cut",
            "diff",
            "dirname",
            "du",
            "df",
            "echo",
            "expr",
            "false",
            "fold",
        ),
        *(
            "grep",
            "egrep",
            "fgrep",
            "head",
            "id",
            "jq",
            "ls",
            "md5sum",
            "nl",
            "nproc",
            "od",
            "paste",
            "pwd",
            "readlink",
        ),
        *("realpath", "rev", "seq", "sha1sum", "sha256sum", "stat", "strings", "tac", "tail", "test", "tr", "true"),
        *("uname", "wc", "which", "whoami", "uptime", "printf"),
    )
)
"""No option of theirs writes or runs anything. `sort`, `uniq`, `tee`, `xargs`, `env`, `awk`, `date` have such."""
SHELLS = frozenset(("bash", "sh", "zsh"))
_SHELL_PROGRAMS = SHELLS.union(f"{folder}/{name}" for folder in ("/bin", "/usr/bin") for name in SHELLS)
"""In no other place: a program of the workspace may be called `bash` too."""
_JOINED = frozenset(("&&", "||", ";", "|", "|&", "\n"))
_NODES = frozenset(("program", "list", "pipeline", "command", "command_name", "comment"))
_GLOBS = frozenset("*?[")
_SPECIAL = frozenset("\\`${}()<>&|;\n")


def is_known_safe(command: str | Sequence[str]) -> bool:
    """Whether a command line, or a program with its arguments, certainly changes nothing. Runs and raises nothing."""
    if isinstance(command, str):
        commands = parsed_commands(command)
        return commands is not None and all(map(_is_safe, commands))
    argv = list(command)
    if len(argv) == 3 and argv[0] in _SHELL_PROGRAMS and argv[1] in ("-c", "-lc"):
        return is_known_safe(argv[2])
    return bool(argv) and _is_safe([(word, False) for word in argv])


def parsed_commands(script: str) -> list[list[tuple[str, bool]]] | None:
    """The plain commands of a script: each word, and whether the shell would expand it as a pattern of names. None for
    a script with anything else in it, and where there is no parser."""
    if not script.strip() or len(script) > MAX_SCRIPT_CHARS:
        return None
    parser = _parser()
    if parser is None:
        return None
    source = script.encode("utf-8", "replace")
    root = parser.parse(source).root_node
    if root.has_error:
        return None
    commands: list[list[tuple[str, bool]]] = []
    for node in _walk(root):
        if node.type == "command":
            words = _words(node, source)
            if words is None or len(commands) >= MAX_COMMANDS:
                return None
            commands.append(words)
        elif node.type not in _NODES and node.type not in _JOINED:
            return None
    return commands or None


@cache
def _parser() -> Parser | None:
    try:
        import tree_sitter_bash
        from tree_sitter import Language, Parser
    except ImportError:
        return None
    return Parser(Language(tree_sitter_bash.language()))


def _walk(node: Node) -> Iterator[Node]:
    """The node and what is below it, down to commands, whose words are looked at by `_words`."""
    yield node
    if node.type != "command":
        for child in node.children:
            yield from _walk(child)


def _words(command: Node, source: bytes) -> list[tuple[str, bool]] | None:
    words: list[tuple[str, bool]] = []
    for child in command.children:
        word = _word(child.children[0] if child.type == "command_name" else child, source)
        if word is None:
            return None
        words.append(word)
    return words


def _word(node: Node, source: bytes) -> tuple[str, bool] | None:
    text = source[node.start_byte : node.end_byte].decode("utf-8", "replace")
    match node.type:
        case "word" | "number":
            return None if text[0] == "~" or _SPECIAL & set(text) else (text, bool(_GLOBS & set(text)))
        case "raw_string":
            return text[1:-1], False
        case "string" if all(child.type in ('"', "string_content") for child in node.children):
            return (text[1:-1], False) if "\\" not in text else None
        case "concatenation":
            parts = [_word(child, source) for child in node.children]
            whole = [part for part in parts if part is not None]
            return ("".join(w for w, _ in whole), any(g for _, g in whole)) if len(whole) == len(parts) else None
        case _:
            return None


def _is_safe(words: Sequence[tuple[str, bool]]) -> bool:
    argv = [word for word, _ in words]
    name = argv[0]
    if name in _PLAIN:
        return True
    check = _CHECKED.get(name)
    # A pattern may become a name that is an option.
    return check is not None and not any(expands for _, expands in words) and check(argv[1:])


def _has_option(arguments: Sequence[str], *dangerous: str) -> bool:
    """Long options may be cut short and have a value behind `=`; short ones stand in a row (`-nz`)."""
    for argument in arguments:
        name = argument.partition("=")[0]
        for option in dangerous:
            if option.startswith("--"):
                if len(name) > 3 and name.startswith("--") and option.startswith(name):
                    return True
            elif name.startswith("-") and not name.startswith("--") and option[1] in name[1:]:
                return True
    return False


_FIND_ACTS = frozenset(("-exec", "-execdir", "-ok", "-okdir", "-delete", "-fls", "-fprint", "-fprint0", "-fprintf"))


def _find(arguments: Sequence[str]) -> bool:
    return _FIND_ACTS.isdisjoint(arguments)


def _rg(arguments: Sequence[str]) -> bool:
    return not _has_option(arguments, "--pre", "--hostname-bin", "--search-zip", "-z")


def _sed(arguments: Sequence[str]) -> bool:
    """`sed -n 5p FILE` and `sed -n 1,20p FILE`: any other script may write or run."""
    if len(arguments) not in (2, 3) or arguments[0] != "-n" or any(word.startswith("-") for word in arguments[2:]):
        return False
    first, _, last = arguments[1].removesuffix("p").partition(",")
    return arguments[1].endswith("p") and first.isdigit() and (not last or last.isdigit() or last == "$")


def _base64(arguments: Sequence[str]) -> bool:
    return not _has_option(arguments, "--output", "-o")


def _tree(arguments: Sequence[str]) -> bool:
    return not _has_option(arguments, "-o", "-R", "--output")


def _git(arguments: Sequence[str]) -> bool:
    """Reading sub-commands. No option before them: `-c` and `-C` bring other configurations, and those run programs."""
    rest = list(arguments)
    if rest[:1] == ["--no-pager"]:
        rest = rest[1:]
    name, options = rest[0] if rest else "", rest[1:]
    if _has_option(options, "--output", "--ext-diff", "--textconv", "--exec", "--open-files-in-pager", "--upload-pack"):
        return False
    if name in ("status", "log", "diff", "show", "rev-parse", "ls-files", "blame", "describe", "shortlog", "reflog"):
        return name != "reflog" or not options or options[0] in ("show", "-n")
    allowed = _GIT_LISTS.get(name)
    return allowed is not None and all(option in allowed for option in options)


_GIT_LISTS: Mapping[str, frozenset[str]] = {
    "branch": frozenset(("-a", "--all", "-r", "--remotes", "-v", "-vv", "--list", "--show-current")),
    "remote": frozenset(("-v", "--verbose")),
    "tag": frozenset(("-l", "--list")),
    "stash": frozenset(("list",)),
    "worktree": frozenset(("list",)),
}
"""Sub-commands that list, if they are given nothing else."""
_CHECKED: Mapping[str, Callable[[Sequence[str]], bool]] = {
    "base64": _base64,
    "find": _find,
    "git": _git,
    "rg": _rg,
    "sed": _sed,
    "tree": _tree,
}
