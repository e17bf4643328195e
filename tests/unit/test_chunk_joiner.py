"""Chunks put together: whatever comes, the parser gets the same answer from it, in fewer pieces."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import h11
import pytest

from agent_core.chunk_joiner import ChunkJoiner

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


def parsed(reads: list[bytes]) -> tuple[bytes, int, str]:
    """The body, in how many pieces, and how it ended."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="POST", target="/", headers=[("host", "h")]))
    connection.send(h11.EndOfMessage())
    body, pieces = b"", 0
    for data in [*reads, b""]:
        try:
            connection.receive_data(data)
            while (event := connection.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Data):
                    body, pieces = body + event.data, pieces + 1
                elif event is h11.PAUSED or not isinstance(event, (h11.Response, h11.InformationalResponse)):
                    return body, pieces, repr(event)
        except h11.RemoteProtocolError as error:
            return body, pieces, str(error).split()[0]  # the rest quotes bytes as they came
    return body, pieces, "open"


def joined(joiner: ChunkJoiner, reads: list[bytes]) -> list[bytes]:
    return [out for data in [*reads, b""] if (out := joiner.feed(data))]


TOKENS = b"".join(map(chunk, (b"one", b"two", b"x" * 300, b"0\r\n\r\n", b"last")))
ANSWERS: dict[str, bytes] = {
    "tokens": HEAD + TOKENS + END,
    "trailers": HEAD + TOKENS + b"0\r\nx-sum: 1\r\n\r\n",
    "more than was asked for": HEAD + TOKENS + END + HEAD + TOKENS,
    "cut in a chunk": HEAD + TOKENS + b"ff\r\nabc",
    "cut in a size": HEAD + TOKENS + b"ff",
    "cut before the last chunk": HEAD + TOKENS,
    "extensions": HEAD + chunk(b"a") + b"3;name=value\r\nabc\r\n" + TOKENS + END,
    "a size with a sign": HEAD + TOKENS + b"+3\r\nabc\r\n" + TOKENS + END,
    "a size that is none": HEAD + TOKENS + b"0x3\r\nabc\r\n" + END,
    "a size of nine digits": HEAD + TOKENS + b"000000003\r\nabc\r\n" + END,
    "a chunk longer than its size": HEAD + TOKENS + b"2\r\nabc\r\n" + TOKENS + END,
    "bare line feeds": HEAD + b"3\nabc\n" + END,
    "a body of known length": b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n3\r\nabc\r\n",
    "a body until the end": b"HTTP/1.1 200 OK\r\n\r\n" + TOKENS,
    "another status": HEAD.replace(b"200", b"503") + TOKENS + END,
    "an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + TOKENS + END,
    "an old version": HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + TOKENS,
    "no HTTP": b"\x00\x00\x12\x04" + TOKENS,
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_parser_gets_the_same(name: str) -> None:
    """However the answer is cut into reads: the same body, ended in the same way."""
    answer, rng = ANSWERS[name], Random(name)
    body, _, end = parsed([answer])
    for cuts in ([], range(len(answer)), *(sorted(rng.choices(range(len(answer)), k=4)) for _ in range(200))):
        reads = [answer[start:stop] for start, stop in pairwise([0, *cuts, len(answer)]) if start < stop]
        assert parsed(joined(ChunkJoiner(), reads))[::2] == (body, end)


def test_the_chunks_of_a_read_are_one_piece() -> None:
    """Also where it begins and ends within a chunk; bytes are only held back within a size."""
    reads = [HEAD, TOKENS * 10 + b"5\r\nab", b"cde\r\n" + TOKENS * 10 + b"1", b"\r\nz\r\n" + TOKENS, END]
    whole, pieces, end = parsed(reads)
    assert pieces == 5 * 21 + 3
    assert parsed(joined(ChunkJoiner(), reads)) == (whole, 1 + 1 + 1 + 1 + 1, end)


def test_a_compressed_body_stays_in_its_pieces() -> None:
    """What is whole before damage can be used: put together with it, it would be lost."""
    answer = HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + TOKENS + END
    assert joined(ChunkJoiner(), [answer]) == [answer]


def test_the_next_answer_on_a_connection_is_read_anew() -> None:
    """Each request begins with a head, whatever the answer before it was."""
    joiner = ChunkJoiner()
    for answer in (ANSWERS["a body of known length"], ANSWERS["tokens"], ANSWERS["extensions"], ANSWERS["tokens"]):
        joiner.begin()
        body, pieces, end = parsed([joiner.feed(answer)])
        assert (body, end) == parsed([answer])[::2]
        assert pieces == 1 or answer is ANSWERS["extensions"]
