"""Patches to try on two implementations: a folder of files and a patch for it, good or bad, from a seed alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

__all__ = ["Case", "case"]

_NAMES = ("a.txt", "b.txt", "src/c.py", "src/d/e.md", "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n.txt")
_NEW_NAMES = ("new.txt", "src/new/deep.txt", "src/n.py", "with space.txt")
_LINES = (
    *("", "", "alpha", "beta", "gamma", "delta", "    return x", "\tindented", "def f(x):", "def g(x):", "class A:"),
    *("x = 1 ", "  x - y", "a \N{EN DASH} b", "say \N{LEFT DOUBLE QUOTATION MARK}hi\N{RIGHT DOUBLE QUOTATION MARK}"),
    *(
        "don\N{RIGHT SINGLE QUOTATION MARK}t",
        "nb\N{NO-BREAK SPACE}sp",
        "\N{SNOWMAN}",
        "\N{PILE OF POO} x",
        "@@ x",
        "+p",
    ),
    *("-m", "*** End of File", "*** End Patch", "*** Add File: q", "}", "}", "end"),
)
_FOLDS = {
    "\N{EN DASH}": "-",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{NO-BREAK SPACE}": " ",
}
_SLIPS = (
    "*** Frob File: a.txt",
    "*** Update File:",
    "*** Add File: ",
    "@@",
    "@@ nowhere",
    "junk",
    "",
    "   ",
    "+x",
    "-x",
)


@dataclass(frozen=True)
class Case:
    """`links` are symbolic links: their name and where they point."""

    files: dict[str, bytes]
    links: dict[str, str]
    patch: str


def case(seed: int) -> Case:
    """One case; the same for the same seed."""
    random = Random(seed)
    files = {name: _content(random) for name in random.sample(_NAMES, random.randint(1, 4))}
    links = {"link.txt": random.choice(sorted(files))} if random.random() < 0.04 else {}
    state = {name: _lines_of(content) for name, content in files.items()}
    lines: list[str] = []
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        lines += _operation(random, state, links)
    return Case(files, links, _wrapped(random, lines).replace("\0", ""))  # no argument can hold it


def _content(random: Random) -> bytes:
    """A file: mostly plain, with the endings, the marks and the bytes that files have."""
    lines = [random.choice(_LINES) for _ in range(random.choice((0, 1, 2, 3, 5, 8, 12, 20)))]
    end = random.choice(("\n", "\n", "\n", "\r\n"))
    text = "".join(line + (end if random.random() < 0.97 else random.choice(("\n", "\r\n"))) for line in lines)
    if random.random() < 0.15:
        text = text.rstrip("\r\n")
    content = text.encode()
    odd = random.random()
    if odd < 0.02 and content:
        return b"\xef\xbb\xbf" + content
    if odd < 0.04:
        return content + b"caf\xe9\n"
    return content + b"\0\n" if odd < 0.05 else content


def _lines_of(content: bytes) -> list[str]:
    text = content.decode("latin-1" if b"\xe9\n" in content else "utf-8-sig")
    pieces = text.replace("\r\n", "\n").split("\n")
    return pieces if pieces[-1] else pieces[:-1]


def _operation(random: Random, state: dict[str, list[str]], links: dict[str, str]) -> list[str]:
    """One file of the patch; `state` is changed as the patch would, so that a later one may go on from it."""
    kind = random.choices(("update", "add", "delete"), (6, 2, 1))[0]
    there = random.random() < 0.96
    names = sorted(state) if there == (kind != "add") and state else [*_NEW_NAMES, *_NAMES]
    path = random.choice([*names, *links] if random.random() < 0.3 else names)
    if random.random() < 0.02:
        path = random.choice(("../out.txt", "src", "src/../a.txt", "./a.txt", f"{path}/x"))
    if kind == "delete":
        state.pop(path, None)
        return [f"*** Delete File: {path}"]
    if kind == "add":
        new = [random.choice(_LINES) for _ in range(random.choice((0, 1, 2, 4)))]
        state[path] = new
        return [f"*** Add File: {path}", *(f"+{line}" for line in new)]
    head = [f"*** Update File: {path}"]
    before = state.pop(path, None)
    chunks, after = _chunks(random, [random.choice(_LINES) for _ in range(4)] if before is None else before)
    target = path
    if random.random() < 0.15:
        target = random.choice((*_NEW_NAMES, *_NAMES))
        head.append(f"*** Move to: {target}")
        if random.random() < 0.2:
            chunks, after = [], before or []
    if before is not None:
        state[target] = after
    return head + chunks


def _chunks(random: Random, before: list[str]) -> tuple[list[str], list[str]]:
    """Random edits of a file as chunks, most of them in order and right, and the file after them."""
    chunks: list[list[str]] = []
    after: list[str] = []
    at = 0
    for _ in range(random.choice((1, 1, 2, 3))):
        start = random.randint(at, max(at, min(len(before), at + 6)))
        stop = min(len(before), start + random.choice((0, 1, 1, 2, 3)))
        new = [random.choice(_LINES) for _ in range(random.choice((0, 1, 1, 2)))]
        lead = before[max(at, start - random.choice((0, 1, 2, 3))) : start]
        tail = before[stop : stop + random.choice((0, 0, 1, 3))]
        body = (
            [f" {line}" for line in lead] + [f"-{line}" for line in before[start:stop]] + [f"+{line}" for line in new]
        )
        body += [f" {line}" for line in tail]
        last = stop + len(tail) >= len(before)
        chunk = [_heading(random, before, at, start - len(lead), first=not chunks), *_fuzzed(random, body)]
        if random.random() < (0.25 if last else 0.02):
            chunk.append("*** End of File")
        chunks.append([line for line in chunk if line != "no heading"])
        after += [*before[at:start], *new, *tail]
        at = stop + len(tail)
    if random.random() < 0.05:
        random.shuffle(chunks)
    return [line for chunk in chunks for line in chunk], after + before[at:]


def _heading(random: Random, before: list[str], at: int, start: int, *, first: bool) -> str:
    if first and random.random() < 0.1:
        return "no heading"
    above = [line for line in before[at : max(at, start)] if line.strip()]
    if above and random.random() < 0.4:
        return f"@@ {random.choice(above)}"
    return random.choices(("@@", "@@ -1,2 +1,2 @@", "@@ def f(x):"), (60, 1, 1))[0]


def _fuzzed(random: Random, body: list[str]) -> list[str]:
    """What models do to the lines of a file when they copy them: other space, other punctuation, lost marks."""
    slips: tuple[Callable[[str], str], ...] = (
        lambda line: line.rstrip(),
        lambda line: line + "  ",
        lambda line: line[0] + line[1:].strip(),
        lambda line: line[0] + "  " + line[1:],
        lambda line: line[0] + "".join(_FOLDS.get(letter, letter) for letter in line[1:]),
        lambda line: "" if line == " " else line,
        lambda line: line[1:],
        lambda line: line + "!",
    )
    share = random.choice((0.0, 0.0, 0.0, 0.1, 0.4))
    return [
        random.choices(slips, (8, 4, 6, 4, 12, 6, 1, 1))[0](line) if line and random.random() < share else line
        for line in body
    ]


def _wrapped(random: Random, lines: list[str]) -> str:
    """The lines as a patch, most of the time as it has to be."""
    lines = ["*** Begin Patch", *lines, "*** End Patch"]
    slip = random.random()
    at = random.randint(0, len(lines) - 1)
    if slip < 0.03:
        lines.insert(at, random.choice(_SLIPS))
    elif slip < 0.05:
        del lines[at]
    elif slip < 0.07:
        lines[at] = random.choice(("  ", " ", "\t")) + lines[at]
    elif slip < 0.09:
        lines[at] += " "
    elif slip < 0.11:
        lines.insert(random.choice((1, len(lines) - 1, at)), "")
    elif slip < 0.13:
        lines[at], lines[-1] = lines[-1], lines[at]
    elif slip < 0.14:
        lines.insert(1, "*** Environment ID: here")
    text = "\n".join(lines)
    if slip > 0.98:
        return text[: random.randint(0, len(text))]
    if slip > 0.94:
        return text.replace("\n", "\r\n")
    if slip > 0.92:
        word, last = random.choice(
            (("<<EOF", "EOF"), ("<<'EOF'", "EOF"), ('<<"EOF"', "EOF"), ("<<X", "X"), ("<<EOF", "X"))
        )
        return f"{word}\n{text}\n{last}\n"
    if slip > 0.91:
        return random.choice((f"Here it is:\n{text}", f"{text}\nDone.", f"```\n{text}\n```", f"\n\n{text}\n\n"))
    return text
