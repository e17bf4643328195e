"""What reframing a stream costs: CPU per event of an answer, for every ordered pair of wires.

    python benchmarks/reframe_stream.py [--events 20000] [--repeat 5] [--json FILE]

An answer of many short deltas (reasoning, text, a call with long arguments), as a server of the source wire sends it,
in reads of 1 KiB. Beside each pair: what reading it alone costs (`decode`), what writing it alone costs (`encode`), and
the floor: `json.loads` and `json.dumps` of the same frames, which a translator in plain Python pays. CPU time, best of
interleaved repetitions. Quote ratios of one run, never its microseconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import time
from collections.abc import Callable
from itertools import product

from agent_core.codecs import WIRES, codec_for, reframe
from agent_core.codecs.base import Compat
from agent_core.events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningContentDelta,
    ResponseEvent,
    ToolCallInputDelta,
    Usage,
)
from agent_core.items import FunctionCall, Message, OutputText, Reasoning, WireName
from agent_core.prompt import Prompt

WORDS = (" the", " of", "\n", " reader", ' "quoted"', " naïve", " →", " token", "s", " and")
READ = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    rows = [measured(source, target, args.events, args.repeat) for source, target in product(WIRES, WIRES)]
    print(f"CPU µs per event, Python {platform.python_version()}")
    print(f"{'pair':<22} {'reframe':>8} {'decode':>8} {'encode':>8} {'floor':>8}")
    for row in rows:
        print(
            f"{row['pair']:<22} " + " ".join(f"{row[part]:>8.2f}" for part in ("reframe", "decode", "encode", "floor"))
        )
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=2)


def answer(count: int) -> list[ResponseEvent]:
    """Reasoning, text and a call, a third of the deltas each."""
    third = count // 3
    words = [WORDS[n % len(WORDS)] for n in range(third)]
    said = "".join(words)
    arguments = ['{"text":"', *("word " for _ in range(third)), '"}']
    message = Message(role="assistant")
    call = FunctionCall(call_id="call_1", name="write")
    return [
        Created("resp_1", "m"),
        OutputItemAdded(0, Reasoning()),
        *(ReasoningContentDelta(0, word) for word in words),
        OutputItemDone(0, Reasoning(content=(said,))),
        OutputItemAdded(1, message),
        *(OutputTextDelta(1, word) for word in words),
        OutputItemDone(1, message.model_copy(update={"content": (OutputText(text=said),)})),
        OutputItemAdded(2, call),
        *(ToolCallInputDelta(2, "call_1", piece) for piece in arguments),
        OutputItemDone(2, call.model_copy(update={"arguments": "".join(arguments)})),
        Completed("resp_1", "m", "tool_calls", usage=Usage(input=10, output=count)),
    ]


def written(wire: WireName, events: list[ResponseEvent]) -> bytes:
    encoder = codec_for(wire).stream_encoder(Prompt())
    return b"".join([*map(encoder.feed, events), encoder.close()])


def read(wire: WireName, pieces: list[bytes]) -> list[ResponseEvent]:
    decoder = codec_for(wire).stream_decoder(Prompt(), Compat())
    return [event for piece in pieces for event in decoder.feed(piece)]


def reframed(source: WireName, target: WireName, pieces: list[bytes]) -> int:
    reframer = reframe(source, target)
    return sum(map(len, map(reframer.feed, pieces))) + len(reframer.close())


def floor(frames: list[bytes]) -> int:
    return sum(len(json.dumps(json.loads(frame))) for frame in frames)


def measured(source: WireName, target: WireName, count: int, repeat: int) -> dict[str, str | float]:
    events = answer(count)
    body = written(source, events)
    pieces = [body[at : at + READ] for at in range(0, len(body), READ)]
    frames = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: {")]
    seen = read(source, pieces)
    jobs: dict[str, Callable[[], object]] = {
        "reframe": lambda: reframed(source, target, pieces),
        "decode": lambda: read(source, pieces),
        "encode": lambda: written(target, seen),
        "floor": lambda: floor(frames),
    }
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(repeat):
        for name, job in jobs.items():
            gc.collect()
            begun = time.process_time()
            job()
            best[name] = min(best[name], (time.process_time() - begun) / len(frames) * 1e6)
    return {"pair": f"{source} -> {target}", **best}


if __name__ == "__main__":
    main()
