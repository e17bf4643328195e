"""What a terminal is sent, as text: escapes, controls and line breaks, wherever a piece ends."""

from __future__ import annotations

import pytest

from agent_core.tools.terminal_text import MAX_HELD_BYTES, PlainText, TerminalText

CASES: dict[str, tuple[bytes, bytes]] = {
    "plain": (b"plain\ttext\n", b"plain\ttext\n"),
    "line breaks of a terminal": (b"one\r\ntwo\r\r\nthree\r\n", b"one\ntwo\nthree\n"),
    "a progress bar": (b"10%\r50%\r100%\r\n", b"10%\n50%\n100%\n"),
    "a lone return at the end": (b"waiting\r", b"waiting\n"),
    "colours": (b"\x1b[1;31mred\x1b[0m \x1b[38:2::1:2:3mtrue\x1b[m", b"red true"),
    "cursor and modes": (b"\x1b[2J\x1b[?25l\x1b[10;20Hx\x1b[K\x1b[>0q", b"x"),
    "a title, ended by BEL": (b"\x1b]0;the title\x07x", b"x"),
    "a link, ended by ST": (b"\x1b]8;;http://x\x1b\\text\x1b]8;;\x1b\\", b"text"),
    "other strings": (b"\x1bP1$r\x1b\\a\x1b_x\x1b\\b\x1b^y\x1b\\c", b"abc"),
    "character sets and single escapes": (b"\x1b(Ba\x1b=b\x1b7c\x1bM", b"abc"),
    "bells, backspaces, NUL, DEL": (b"a\x07b\x08c\x00d\x7f", b"abcd"),
    "an escape that never ends": (b"\x1b[12", b"[12"),
    "characters": ("é→😀".encode(), "é→😀".encode()),
    "no UTF-8": (b"a\xffb\xc3", b"a\xffb\xc3"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_left_of_it(case: str) -> None:
    """The same in one piece, in two at every point, and byte by byte."""
    sent, expected = CASES[case]
    splits = [[sent[:at], sent[at:]] for at in range(len(sent) + 1)] + [[bytes([byte]) for byte in sent]]
    for pieces in splits:
        text = TerminalText()
        assert b"".join(map(text.feed, pieces)) + text.close() == expected


@pytest.mark.parametrize("sent", [b"\x1b]0;" + b"x" * 10_000, b"\r" * 10_000, b"\x1b" * 10_000])
def test_what_never_ends_is_let_go(sent: bytes) -> None:
    """However long an escape goes on, no more than a little of it is held back."""
    text = TerminalText()
    for at in range(0, len(sent), 100):
        text.feed(sent[at : at + 100])
    assert len(text.close()) <= MAX_HELD_BYTES


def test_a_character_is_handed_on_whole() -> None:
    """Of plain bytes only a character that is not whole is held back, until it is or nothing follows."""
    text = PlainText()
    assert [text.feed(b"a\xf0\x9f"), text.feed(b"\x98\x80b\xc3"), text.close()] == [b"a", "😀b".encode(), b"\xc3"]
