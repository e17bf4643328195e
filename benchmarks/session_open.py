"""What long sessions cost: appending, opening, rolling back, forking and listing, at 1,000 to 100,000 items.

    python benchmarks/session_open.py [ITEMS ...]

Each size runs in a process of its own. Times are per item where that says more; a path that is not linear shows as a
figure that grows from row to row. `memory` is what the opened session holds, `peak` what opening took at most beside
it, `file` the file's size; listing reads the beginning and the end of it.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SIZES = (1_000, 10_000, 100_000)
TURN_ITEMS = 6


def turn(number: int) -> list[object]:
    """What a turn with a tool adds, of the sizes that turns have."""
    from agent_core.items import FunctionCall, FunctionCallOutput, Reasoning, assistant_message, user_message

    call_id = f"call_{number}"
    arguments = json.dumps({"command": f"sed -n 1,80p file_{number}.py"})
    return [
        user_message(f"Turn {number}: look at the next file and say what it does. " * 3),
        Reasoning(summary=("The next file is to be read. " * 8,)),
        assistant_message("I will read it."),
        FunctionCall(call_id=call_id, name="shell", arguments=arguments),
        FunctionCallOutput(call_id=call_id, output="    return value  # what a line of code looks like\n" * 30),
        assistant_message("It reads a value and returns it, unless there is none. " * 5),
    ]


def timed(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(items: int, folder: Path) -> dict[str, float]:
    import tracemalloc

    from agent_core.events import Usage
    from agent_core.session import Session, SessionFolder

    path = folder / "long.jsonl"
    turns = [turn(number) for number in range(items // TURN_ITEMS)]

    def write() -> None:
        with Session.create(path, fsync="never") as session:
            for number, added in enumerate(turns):
                session.turn_started(f"t{number}", model="lab/any")
                for item in added:
                    session.append(item)  # type: ignore[arg-type]
                session.open_calls()
                session.estimated_tokens()
                session.sample_finished(Usage(input=1000, output=10))
                session.turn_finished(f"t{number}", "completed", Usage(input=1000, output=10))

    figures = {"append_us": timed(write) / items * 1e6, "file_mb": path.stat().st_size / 1e6}
    turns.clear()
    opened: list[Session] = []
    figures["open_us"] = timed(lambda: opened.append(Session.resume(path))) / items * 1e6
    session = opened.pop()
    figures["items_ms"] = timed(lambda: (session.append(*turn(-1)), session.items)) * 1e3  # type: ignore[arg-type]
    figures["fork_us"] = timed(lambda: session.fork(folder / "fork.jsonl").close()) / items * 1e6
    figures["rollback_us"] = timed(lambda: [session.rollback() for _ in range(100)]) / 100 * 1e6
    figures["open_calls_ms"] = timed(session.open_calls) * 1e3
    session.close()
    figures["reopen_us"] = timed(lambda: Session.resume(path).close()) / items * 1e6
    figures["list_ms"] = timed(lambda: SessionFolder(folder).sessions()) * 1e3
    figures["search_us"] = timed(lambda: list(SessionFolder(folder).search("nobody said this"))) / items / 2 * 1e6
    tracemalloc.start()
    session = Session.read(path)
    held, peak = tracemalloc.get_traced_memory()
    figures |= {"memory_mb": held / 1e6, "peak_mb": (peak - held) / 1e6}
    figures["rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return figures


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(int(sys.argv[2]), Path(folder))))
        return
    sizes = [int(word) for word in sys.argv[1:]] or list(SIZES)
    rows = [
        json.loads(subprocess.run([sys.executable, __file__, "--one", str(n)], capture_output=True, check=True).stdout)
        for n in sizes
    ]
    print("".ljust(14) + "".join(f"{size:>12,}" for size in sizes))
    for name in rows[0]:
        print(name.ljust(14) + "".join(f"{row[name]:>12.1f}" for row in rows))


if __name__ == "__main__":
    main()
