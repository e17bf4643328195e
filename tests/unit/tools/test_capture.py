"""Bounded output: head and tail kept, the middle counted, no character cut in half."""

from __future__ import annotations

import pytest

from agent_core.tools.capture import Capture, cut_middle


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], ("", 0)),
        ([b"abc"], ("abc", 0)),
        ([b"0123456789"], ("0123456789", 0)),
        ([b"0123", b"456789AB"], ("01234\n[… 2 bytes left out …]\n789AB", 2)),
        (["aäöü".encode(), b"x" * 20, "öäz".encode()], ("aäö\n[… 22 bytes left out …]\nöäz", 22)),
        (["aaääbbb".encode(), b"x" * 20, "öäzz".encode()], ("aaä\n[… 27 bytes left out …]\näzz", 27)),
        ([b"a\xffb"], ("a�b", 0)),
    ],
)
def test_head_and_tail_of_ten_bytes(pieces: list[bytes], expected: tuple[str, int]) -> None:
    """However the bytes come, the result is at most ten of them, whole characters, and an exact count of the rest."""
    capture = Capture(10)
    for piece in pieces:
        capture.feed(piece)
    assert capture.result() == expected


@pytest.mark.parametrize("size", [1, 7, 4096, 65536, 1_000_000])
def test_a_flood_keeps_its_ends(size: int) -> None:
    """The same text comes out in whatever pieces a megabyte came in, and memory stays bounded."""
    flood = b"".join(b"%07d\n" % n for n in range(125_000))
    capture = Capture(32)
    for at in range(0, len(flood), max(size, 1000)):
        capture.feed(flood[at : at + max(size, 1000)])
    assert capture.result() == ("0000000\n0000001\n\n[… 999968 bytes left out …]\n0124998\n0124999\n", 999_968)


def test_short_text_is_untouched() -> None:
    """A text within the limit comes back as the same object."""
    text = "é" * 40
    assert cut_middle(text, 80) == (text, 0)
    assert cut_middle("é" * 41, 80)[1] == 2
