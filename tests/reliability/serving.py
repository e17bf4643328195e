"""A fault server in a process of its own: says where it is, and stays until its input is closed.

python -m tests.reliability.serving faults      every other answer is struck
python -m tests.reliability.serving none
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from subprocess import PIPE, Popen

from agent_core.items import FunctionCallOutput
from agent_core.prompt import Prompt
from agent_core.testing import Call, Fault, FaultServer, Step, turn_items

__all__ = ["FAULTS", "SAID", "TEXT", "fault_of", "serving", "without_limit"]

TEXT, SAID = "Let me look at the weather.", "It is sunny in Paris."

_SWITCH_S = 1.0
"""A thread that waits for the interpreter asks for it so often. At the usual 5 ms a thousand of them, one for each
connection, leave the kernel no time for anything else."""

FAULTS = (
    Fault("eof", "before_headers"),
    Fault("reset", "before_event"),
    Fault("eof", "reasoning"),
    Fault("truncate", "text"),
    Fault("reset", "arguments"),
    Fault("torn", "text"),
    Fault("error", "text"),
    Fault("stall", "text"),
    Fault("status", status=503),
    Fault("eof", "arguments"),
)
"""Each of them breaks an answer for good."""


def fault_of(n: int) -> Fault | None:
    """Every other answer is struck, by each of FAULTS in turn."""
    return FAULTS[n // 2 % len(FAULTS)] if n % 2 else None


def script(prompt: Prompt) -> Step:
    if any(isinstance(item, FunctionCallOutput) for item in turn_items(prompt)):
        return Step(text=SAID)
    weather = Call("weather", {"city": "Paris", "unit": "celsius"})
    return Step(reasoning="I think about it.", text=TEXT, calls=(weather,))


@contextmanager
def serving() -> Generator[tuple[str, str]]:
    """The base URLs of such a process, first that of the server without faults, while the block lasts."""
    command = [sys.executable, "-m", "tests.reliability.serving"]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            yield process.stdout.readline().strip(), process.stdout.readline().strip()
        finally:
            process.stdin.close()


def without_limit() -> None:
    """As many open files as this process may have: a thousand sockets are more than the usual limit."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard != resource.RLIM_INFINITY else 8192, hard))


def main() -> None:
    without_limit()
    sys.setswitchinterval(_SWITCH_S)
    with FaultServer(script) as fine, FaultServer(script, fault_of) as faulty:
        print(fine.base_url, faulty.base_url, sep="\n", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
