"""Patches by property: a random edit of a random file, rendered as a patch and applied, is that edit."""

from __future__ import annotations

from difflib import SequenceMatcher

from hypothesis import given
from hypothesis import strategies as st

from agent_core.errors import PatchError
from agent_core.tools.patch_plan import plan_patch
from agent_core.tools.patch_reader import parse_patch

LINES = st.lists(
    st.sampled_from(["", "a", "b", "  a", "*** End Patch", "@@", "+x", "-y", "é–", "x\u2028y"]), max_size=12
)


WORDS = st.lists(
    st.sampled_from(["", "a", "b", "  a", "@@", "+x", "-y", "*** End Patch", "é–", "\N{PILE OF POO}", "x\u2028y"]),
    max_size=12,
)
NAMES = ("a.txt", "b.txt", "src/c.py", "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n.md", "d e.txt")
TREES = st.dictionaries(st.sampled_from(NAMES), st.tuples(WORDS, st.sampled_from(["\n", "\r\n"])), max_size=4)


def rendered(old: list[str], new: list[str]) -> list[str]:
    """One chunk that states the whole file: where a line is cannot be in doubt."""
    lines = ["@@"]
    for tag, a, b, c, d in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if tag == "equal":
            lines += [f" {line}" for line in old[a:b]]
        else:
            lines += [f"-{line}" for line in old[a:b]] + [f"+{line}" for line in new[c:d]]
    return [*lines, "*** End of File"]


def patched(lines: list[str], before: dict[str, bytes], crlf: bool = False) -> dict[str, bytes]:
    """The files after the patch."""
    text = ("\r\n" if crlf else "\n").join(["*** Begin Patch", *lines, "*** End Patch"])
    after: dict[str, bytes | None] = {**before}
    after |= {change.location: change.after for change in plan_patch(parse_patch(text), before.get)}
    return {name: content for name, content in after.items() if content is not None}


@given(old=LINES, new=LINES, newline=st.sampled_from(["\n", "\r\n"]))
def test_an_edit_rendered_and_applied_is_the_edit(old: list[str], new: list[str], newline: str) -> None:
    """Any file, any edit, either line ending: applying the rendered patch gives the new file."""
    if not old and not new:
        return
    before = "".join(line + newline for line in old).encode()
    ending = newline if old else "\n"
    after = patched(["*** Update File: f", *rendered(old, new)], {"f": before})
    assert after == {"f": "".join(line + ending for line in new).encode()}


@given(before=TREES, after=TREES, moves=st.permutations(NAMES), crlf=st.booleans())
def test_a_tree_becomes_another(
    before: dict[str, tuple[list[str], str]],
    after: dict[str, tuple[list[str], str]],
    moves: list[str],
    crlf: bool,
) -> None:
    """Files added, deleted, changed and moved in one patch, in either form: exactly the other tree comes of it."""
    lines: list[str] = []
    expected: dict[str, bytes] = {}
    left = dict(before)
    for name, (new, _) in after.items():
        source = next((other for other in moves if other in left and other not in after), name)
        old, newline = left.pop(source, ([], ""))
        if source != name and name in left:
            lines.append(f"*** Delete File: {name}")
            del left[name]
        if newline and (old or new):
            lines += [f"*** Update File: {source}", *([f"*** Move to: {name}"] if source != name else [])]
            lines += rendered(old, new)
        else:
            lines += [f"*** Delete File: {source}"] if newline else []
            lines += [f"*** Add File: {name}", *(f"+{line}" for line in new)]
        ending = newline if old else "\n"
        expected[name] = "".join(line + ending for line in new).encode()
    lines += [f"*** Delete File: {name}" for name in left]
    if lines:
        files = {name: "".join(line + end for line in text).encode() for name, (text, end) in before.items()}
        assert patched(lines, files, crlf) == expected


@given(before=st.binary(max_size=60), at=st.integers(0, 20))
def test_bytes_outside_the_change_are_kept(before: bytes, at: int) -> None:
    """Inserting one line below a line of any text file changes no other byte, whatever its encoding and endings."""
    lines = before.split(b"\n")
    anchor = lines[at % len(lines)].removesuffix(b"\r").decode("latin-1")
    text = f"*** Begin Patch\n*** Update File: f\n@@ {anchor}\n+NEW\n*** End Patch"
    try:
        (change,) = plan_patch(parse_patch(text), {"f": before}.get)
    except PatchError:  # binary, or the anchor is not the file's text in its own encoding
        return
    assert change.after is not None
    first, found, second = change.after.partition(b"NEW")
    rest = second.removeprefix(b"\r").removeprefix(b"\n")
    assert found and before in (first + rest, first.removesuffix(b"\n") + rest, first.removesuffix(b"\r\n") + rest)


@given(
    st.text(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                "*** Begin Patch",
                "*** End Patch",
                "*** Add File: a",
                "*** Update File: f",
                "*** Delete File: f",
                "*** Move to: g",
                "@@",
                "@@ a",
                "+a",
                "-a",
                " a",
                "",
                "*** End of File",
                "<<EOF",
                "EOF",
                "junk",
            ]
        ),
        max_size=14,
    ).map("\n".join)
)
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    """Whatever a model sends is a plan or a PatchError, never another exception."""
    try:
        plan_patch(parse_patch(text), {"f": b"a\nb\na\n"}.get)
    except PatchError as error:
        assert error.message and error.remedy and "\n" not in str(error)
