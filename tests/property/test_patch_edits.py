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


def rendered(old: list[str], new: list[str]) -> str:
    """One chunk that states the whole file: where a line is cannot be in doubt."""
    lines = ["*** Begin Patch", "*** Update File: f", "@@"]
    for tag, a, b, c, d in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if tag == "equal":
            lines += [f" {line}" for line in old[a:b]]
        else:
            lines += [f"-{line}" for line in old[a:b]] + [f"+{line}" for line in new[c:d]]
    return "\n".join([*lines, "*** End of File", "*** End Patch"])


@given(old=LINES, new=LINES, newline=st.sampled_from(["\n", "\r\n"]))
def test_an_edit_rendered_and_applied_is_the_edit(old: list[str], new: list[str], newline: str) -> None:
    """Any file, any edit, either line ending: applying the rendered patch gives the new file."""
    if not old and not new:
        return
    before = "".join(line + newline for line in old).encode()
    (change,) = plan_patch(parse_patch(rendered(old, new)), {"f": before}.get)
    ending = newline if old else "\n"
    assert change.after == "".join(line + ending for line in new).encode()


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
