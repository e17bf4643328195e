"""The SSE reader: the same frames for every way of cutting the bytes."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.codecs.sse import SseFrame, SseReader
from agent_core.errors import EventTooLarge


def read(body: bytes, cuts: list[int] | None = None) -> list[SseFrame]:
    reader = SseReader()
    frames: list[SseFrame] = []
    edges = [0, *sorted(cuts or []), len(body)]
    for start, end in pairwise(edges):
        frames += reader.feed(body[start:end])
    return frames + reader.close()


CASES: dict[str, tuple[bytes, list[tuple[bytes, bytes]]]] = {
    "one data line": (b'data: {"a":1}\n\n', [(b"", b'{"a":1}')]),
    "no space after the colon (X-S0-21)": (b"data:x\n\n", [(b"", b"x")]),
    "only one space is dropped": (b"data:  x\n\n", [(b"", b" x")]),
    "event and data": (b"event: a\ndata: x\n\n", [(b"a", b"x")]),
    "data before event": (b"data: x\nevent: a\n\n", [(b"a", b"x")]),
    "multi-line data (X-S0-21)": (b"data: x\ndata: y\n\n", [(b"", b"x\ny")]),
    "CRLF (X-S2-07)": (b"event: a\r\ndata: x\r\n\r\ndata: y\r\n\r\n", [(b"a", b"x"), (b"", b"y")]),
    "CR only (X-S0-21)": (b"data: x\r\rdata: y\r\r", [(b"", b"x"), (b"", b"y")]),
    "mixed line ends": (b"data: x\r\n\ndata: y\n\r\n", [(b"", b"x"), (b"", b"y")]),
    "comments between": (b": ping\n\ndata: x\n: again\n\n", [(b"", b"x")]),
    "bare colon": (b":\n\ndata: x\n\n", [(b"", b"x")]),
    "BOM": (b"\xef\xbb\xbfdata: x\n\n", [(b"", b"x")]),
    "id and retry are ignored": (b"id: 1\nretry: 5\ndata: x\n\n", [(b"", b"x")]),
    "an event without data is none": (b"event: a\n\ndata: x\n\n", [(b"", b"x")]),
    "empty data is data": (b"data\n\ndata:\n\n", [(b"", b""), (b"", b"")]),
    "unknown fields, and a leading space": (b" data: x\nfoo: y\n\ndata: z\n\n", [(b"", b"z")]),
    "last event without blank line": (b"data: x\n\ndata: y", [(b"", b"x"), (b"", b"y")]),
    "last event with one line end": (b"data: x\n\nevent: e\ndata: y\n", [(b"", b"x"), (b"e", b"y")]),
    "U+2028 and U+0085 are text": ("data: a\u2028b\u0085c\n\n".encode(), [(b"", "a\u2028b\u0085c".encode())]),
    "many blank lines": (b"\n\n\ndata: x\n\n\n\n", [(b"", b"x")]),
    "nothing": (b"", []),
}


@pytest.mark.parametrize("name", CASES)
def test_frames_do_not_depend_on_the_cuts(name: str) -> None:
    """Whole, byte by byte, and cut once at every place."""
    body, expected = CASES[name]
    frames = [SseFrame(*pair) for pair in expected]
    assert read(body) == frames
    assert read(body, list(range(len(body)))) == frames
    for cut in range(len(body)):
        assert read(body, [cut]) == frames


LINES = st.sampled_from(
    [b"data: x", b"data:y", b"data", b"event: e", b": c", b"", b"", b"id: 3", b"data: ", "data: é\u2028".encode()]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
BODIES = st.lists(st.tuples(LINES, ENDS)).map(lambda pairs: b"".join(line + end for line, end in pairs))


@given(BODIES, st.randoms(use_true_random=False))
def test_random_bodies_equal_the_rules_applied_line_by_line(body: bytes, rng: random.Random) -> None:
    """Any mix of lines and line ends, in any split, gives what the plain rules give."""
    cuts = [rng.randint(0, len(body)) for _ in range(rng.randint(0, 6))]
    assert read(body, cuts) == plain(body)


def plain(body: bytes) -> list[SseFrame]:
    """The rules, as slowly and plainly as possible."""
    frames: list[SseFrame] = []
    event, data = b"", list[bytes]()
    for line in [*body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"), b""]:
        name, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if not line:
            frames += [SseFrame(event, b"\n".join(data))] if data else []
            event, data = b"", []
        elif name == b"data":
            data.append(value)
        elif name == b"event":
            event = value
    return frames


def test_comments_are_counted_as_activity() -> None:
    """A keep-alive makes no frame, but it is seen."""
    reader = SseReader()
    assert reader.feed(b": OPENROUTER PROCESSING\n\n:\n\n") == []
    assert reader.comments == 2


def test_an_error_field_is_kept() -> None:
    """llama.cpp behind a gateway sends `error:` as a field of its own; a plain reader would lose it."""
    reader = SseReader()
    assert reader.feed(b'error: {"code":500}\n\n') == []
    assert reader.error_field == b'{"code":500}'


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_an_event_over_the_cap_is_an_error(piece: int) -> None:
    """However it is cut, and also when it is spread over many lines."""
    for body in (b"data: " + b"x" * 5000 + b"\n\n", b"data: xxxxxxx\n" * 700 + b"\n"):
        reader = SseReader(max_event_bytes=4000)
        assert not any(reader.feed(body[start : start + piece]) for start in range(0, len(body), piece))
        assert isinstance(reader.error, EventTooLarge) and "cap of 4000" in reader.error.message


TOO_LONG: dict[str, bytes] = {
    "a tail": b"data: " + b"x" * 5000,
    "a block": b"data: " + b"x" * 5000 + b"\n\n",
    "many lines": b"data: xxxxxxx\n" * 700,
    "with CRLF": b"data: " + b"x" * 5000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", TOO_LONG)
def test_what_was_whole_before_an_event_over_the_cap_is_given_out(name: str) -> None:
    """Also where one read brings both; nothing after it is read."""
    reader = SseReader(max_event_bytes=4000)
    whole = [SseFrame(b"", b"x"), SseFrame(b"e", b"y")]
    assert reader.feed(b"data: x\n\nevent: e\ndata: y\n\n" + TOO_LONG[name]) == whole
    assert isinstance(reader.error, EventTooLarge)
    assert (reader.feed(b"\n\ndata: z\n\n"), reader.close()) == ([], [])


@pytest.mark.parametrize("cut", [3000, 1000])
def test_an_unterminated_event_under_the_cap_is_kept(cut: int) -> None:
    """Its bytes are counted once, whether they come in one read or in many."""
    reader = SseReader(max_event_bytes=4000)
    body = b"data: " + b"x" * 3000
    for start in range(0, len(body), cut):
        reader.feed(body[start : start + cut])
    assert reader.close() == [SseFrame(b"", b"x" * 3000)]


def test_time_is_linear_in_the_bytes() -> None:
    """A 1 MiB frame in 1 KiB reads copies each byte a bounded number of times (X-S2-07)."""
    reader = SseReader()
    frames: list[SseFrame] = []
    body = b"data: " + b"x" * (1 << 20) + b"\n\n"
    for start in range(0, len(body), 1024):
        frames += reader.feed(body[start : start + 1024])
    assert [len(frame.data) for frame in frames] == [1 << 20]
