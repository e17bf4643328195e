"""What agent_core costs, beside the official SDKs: import, first request, one streamed token, a long answer, tracing.

    python benchmarks/budgets.py [--repeat 9] [--json FILE]

CPU time (user + system) of whole processes for the imports, of tight loops for the rest; medians of interleaved
repetitions. Peers are measured where they are installed. Quote ratios of one run, never its milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

REPEAT = 9
FIRST_REQUEST = """
import os, socket, threading
server = socket.create_server(("127.0.0.1", 0))
def first_bytes():
    connection, _ = server.accept()
    connection.recv(1)
    os._exit(0)
threading.Thread(target=first_bytes, daemon=True).start()
import anyio
from agent_core import ModelClient, Prompt
async def main():
    base_url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
    async with ModelClient("lab/model", base_url=base_url, transport=TRANSPORT) as client:
        async with client.stream(Prompt("hi")):
            pass
anyio.run(main)
"""
IMPORTS = {
    "bare python": "pass",
    "import agent_core": "import agent_core",
    "from agent_core import Agent": "from agent_core import Agent",
    "first request on the wire": FIRST_REQUEST.replace("TRANSPORT", "'h11'"),
    "first request on the wire, over aiohttp": FIRST_REQUEST.replace("TRANSPORT", "'aiohttp'"),
    "floor: the dependencies alone (h11, anyio, pydantic)": """
import anyio, asyncio, h11
from pydantic import BaseModel
class Message(BaseModel):
    role: str = "user"
Message()
""",
    "peer: import openai": "import openai",
    "peer: import anthropic": "import anthropic",
}
# The development environment has trio, which the HTTP stack of every row would then import; users mostly have not.
WITHOUT_TRIO = "import sys; sys.modules['trio'] = None\n"
CHUNK = (
    b'{"id":"chatcmpl-9xyzabcdefghijk","object":"chat.completion.chunk","created":1730000000,"model":"gpt-5.6",'
    b'"system_fingerprint":"fp_abc123","choices":[{"index":0,"delta":{"content":" hello"},"logprobs":null,'
    b'"finish_reason":null}]}'
)
LAST = CHUNK.replace(b'"delta":{"content":" hello"}', b'"delta":{}').replace(
    b'"finish_reason":null', b'"finish_reason":"stop"'
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=REPEAT)
    parser.add_argument(
        "--imports", metavar="FILE", help="only the imports; the milliseconds of each repetition as JSON"
    )
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    samples = import_samples(args.repeat)
    if args.imports:
        with open(args.imports, "w") as file:
            json.dump(samples, file)
    rows = imports(samples) if args.imports else [*imports(samples), *decoding(), *tracing()]
    for row in rows:
        print(f"{row['what']:58} {row['value']:>12} {row['unit']}")
    if args.json:
        with open(args.json, "w") as file:
            report = {"python": platform.python_version(), "machine": platform.machine(), "rows": rows}
            json.dump(report, file, indent=1)


def import_samples(repeat: int) -> dict[str, list[float]]:
    """CPU milliseconds of fresh processes, run in turn; none for peers that are not installed."""
    # Bytecode is cached, as in any installed environment, whatever the caller's setting.
    env = {**os.environ, "PYTHONPYCACHEPREFIX": tempfile.mkdtemp(), "PYTHONDONTWRITEBYTECODE": ""}
    samples: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for turn in range(repeat + 1):
        for name, code in IMPORTS.items():
            if name not in samples:
                continue
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-c", WITHOUT_TRIO + code]
            done = subprocess.run(command, capture_output=True, check=False, env=env)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if done.returncode:
                if not name.startswith("peer") and "aiohttp" not in name:
                    sys.exit(done.stderr.decode())
                del samples[name]
            elif turn:  # the first round warms the bytecode
                used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                samples[name].append(used * 1000)
    return samples


def imports(samples: dict[str, list[float]]) -> list[dict[str, object]]:
    """CPU milliseconds of a fresh process above the bare interpreter."""
    bare = statistics.median(samples["bare python"])
    return [
        {"what": name, "value": round(statistics.median(times) - above, 1), "unit": "ms CPU"}
        for name, times in samples.items()
        for above in [0.0 if name == "bare python" else bare]
    ]


def decoding() -> list[dict[str, object]]:
    """One text delta of the chat wire from memory, against parsing its JSON; and how a long answer scales."""
    from pydantic_core import from_json

    from agent_core.codecs import codec_for
    from agent_core.codecs.base import Compat
    from agent_core.prompt import Prompt

    chat, prompt, compat = codec_for("chat"), Prompt("x", model="m"), Compat()

    def decode(deltas: int) -> None:
        decoder = chat.stream_decoder(prompt, compat)
        body = (b"data: " + CHUNK + b"\n\n") * deltas + b"data: " + LAST + b"\n\ndata: [DONE]\n\n"
        for start in range(0, len(body), 65536):
            decoder.feed(body[start : start + 65536])
        decoder.close()
        assert decoder.done and len(decoder.snapshot().text) == 6 * deltas

    def parse(deltas: int) -> None:
        for _ in range(deltas):
            from_json(CHUNK)

    parsed, decoded = interleaved(lambda: parse(10_000), lambda: decode(10_000))
    short, long = interleaved(lambda: decode(10_000), lambda: decode(100_000))
    return [
        {"what": "parse one chat chunk (pydantic_core.from_json)", "value": round(parsed * 100, 2), "unit": "µs"},
        {"what": "decode one chat delta from memory", "value": round(decoded * 100, 2), "unit": "µs"},
        {"what": "  ratio (budget 4)", "value": round(decoded / parsed, 2), "unit": "×"},
        {"what": "100,000 deltas against 10 × 10,000 (linear: 1)", "value": round(long / short / 10, 2), "unit": "×"},
    ]


def tracing() -> list[dict[str, object]]:
    """What a turn of one answer and one tool records, where nobody records and where OpenTelemetry's SDK does."""
    from agent_core.events import Completed, Response, Usage
    from agent_core.limits import RunState
    from agent_core.prompt import Prompt
    from agent_core.providers import resolve
    from agent_core.telemetry import Telemetry, call_span, tool_span, trace_headers, turn_span

    resolved, prompt = resolve("lab/m", base_url="http://127.0.0.1:8000/v1"), Prompt("x", model="m")
    end, response, state = Completed("r", "m", "stop", usage=Usage(input=9, output=9)), Response(), RunState()

    def turns(telemetry: Telemetry) -> None:
        for _ in range(2000):
            with turn_span(
                telemetry, model="lab/m", agent="", conversation="c", turn_id="t", base=prompt, said=prompt.items,
                spent=state, answer=tuple,
            ) as turn:  # fmt: skip
                call = call_span(telemetry, resolved, prompt, streamed=True)
                with call.current():
                    trace_headers()
                call.opened("id", ())
                call.ended(end, None, lambda: response)
                call.end()
                with tool_span(telemetry, "add", "call_1", "{}") as tool:
                    tool.answered("ok", str)
                turn.stopped("completed")

    (nobody,) = interleaved(lambda: turns(Telemetry()))
    rows: list[dict[str, object]] = [
        {"what": "a turn's three spans and metrics, no SDK", "value": round(nobody * 500, 2), "unit": "µs"}
    ]
    try:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError:
        return rows
    sdk = Telemetry(tracer_provider=TracerProvider(), meter_provider=MeterProvider([InMemoryMetricReader()]))
    (somebody,) = interleaved(lambda: turns(sdk))
    return [*rows, {"what": "  the same with an SDK", "value": round(somebody * 500, 2), "unit": "µs"}]


def interleaved(*jobs: Callable[[], None]) -> list[float]:
    """Median CPU seconds of each job, run in turn."""
    samples: list[list[float]] = [[] for _ in jobs]
    for turn in range(6):
        for times, job in zip(samples, jobs, strict=True):
            start = time.process_time()
            job()
            if turn:
                times.append(time.process_time() - start)
    return [statistics.median(times) for times in samples]


if __name__ == "__main__":
    main()
