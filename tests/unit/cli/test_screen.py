"""Text on its way to a terminal, a pipe or a file."""

from __future__ import annotations

import io

import pytest

from agent_core.cli.screen import Screen, clean, one_line, wants_style, write_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("over\rwrite", "overwrite"),
        ("lines\r\nend", "lines\nend"),
        ("bell\x07 back\x08 nul\x00 csi\x9b2J", "bell back nul csi2J"),
        ("rm \u202e gpj.x", "rm  gpj.x"),
        ("Grüße, 世界 🙂", "Grüße, 世界 🙂"),
    ],
)
def test_clean_leaves_nothing_that_moves_a_cursor(text: str, cleaned: str) -> None:
    """Control characters and terminal sequences go, text stays."""
    assert clean(text) == cleaned


def test_one_line_is_one_bounded_line() -> None:
    """Line ends become spaces; what is too long is cut and says so."""
    assert one_line(" a\n\n b\tc ") == "a b c"
    assert one_line("x" * 30, 10) == "x" * 9 + "…"


def test_a_line_starts_on_a_line_of_its_own() -> None:
    """`line` ends what was being written, `put` goes on where the cursor is."""
    stream = io.StringIO()
    screen = Screen(stream)
    screen.put("a")
    screen.put("b")
    screen.line("c", "bad")
    screen.end_line()
    screen.line()
    assert (stream.getvalue(), screen.styled) == ("ab\nc\n\n", False)


def test_a_styled_screen_styles_and_keeps_long_lines() -> None:
    """On a terminal rich colours the text; it wraps, crops and interprets nothing."""
    stream = io.StringIO()
    Screen(stream, styled=True).line("[bold]" + "x" * 300 + " :smile: \x1b[2J", "bad")
    assert stream.getvalue() == "\x1b[1;31m[bold]" + "x" * 300 + " :smile: \x1b[0m\n"


@pytest.mark.parametrize(
    ("stream", "variables", "styled"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    stream: io.StringIO, variables: dict[str, str], styled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR, a dumb terminal and anything that is no terminal stay plain."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert wants_style(stream) is styled


def test_an_encoding_that_lacks_a_character_gets_its_escape() -> None:
    """Writing never fails for what a model said, in ASCII or with half a surrogate pair."""
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")
    screen = Screen(stream)
    screen.put("ü")
    write_text(stream, "\ud83d!")
    assert (buffer.getvalue(), screen.unicode) == (b"\\xfc\\ud83d!", False)
