"""The processes of a measurement: the server on one core, a client at a time on the other."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any

HERE = Path(__file__).resolve().parent
CORES = os.cpu_count() or 1
SERVER_CPU, CLIENT_CPU = (0, 1) if CORES > 1 else (None, None)
PATIENCE_S = 500.0


def python_of(module: str) -> str:
    """The interpreter an adapter runs in: litellm cannot live with the others."""
    litellm = os.environ.get("LITELLM_PYTHON", "")
    return litellm if module == "litellm_" and os.path.exists(litellm) else sys.executable


class Server:
    """`server.py` in a process of its own."""

    def __init__(self, *, tls: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.cert = os.path.join(self.folder.name, "cert.pem")
        command = [sys.executable, str(HERE / "server.py"), *(["--cert", self.cert] if tls else [])]
        command += [] if SERVER_CPU is None else ["--cpu", str(SERVER_CPU)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port, self.tls_port = map(int, _stdout(self.process).readline().split())

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait(5)
        self.folder.cleanup()


class Spinner:
    """An endless loop of the idle scheduling class on the client's core, for paced runs: a virtual CPU never halts, so
    a wake-up costs what the kernel asks and not what a hypervisor adds. The client preempts it at once."""

    def __init__(self) -> None:
        code = "import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n"
        if CLIENT_CPU is not None:
            code += f"os.sched_setaffinity(0, {{{CLIENT_CPU}}})\n"
        self.process = subprocess.Popen([sys.executable, "-S", "-c", code + "while True: pass"])

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Client:
    """A process that is asked by lines and answers in JSON. `error` is why it does no more."""

    def __init__(self, script: str, module: str, spec: dict[str, Any], server: Server, log: IO[str]) -> None:
        spec = {**spec, "module": module, "cpu": CLIENT_CPU}
        spec |= {"port": server.port, "tls_port": server.tls_port, "cert": server.cert}
        command = [python_of(module), str(HERE / script), json.dumps(spec)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        self.error: str | None = None

    def read(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"error": f"no answer in {PATIENCE_S:.0f} s"}
        if select.select([_stdout(self.process)], [], [], PATIENCE_S)[0]:
            line = _stdout(self.process).readline()
            answer = json.loads(line) if line else {"error": "the client ended"}
        self.error = answer.get("error")
        return answer

    def ask(self, line: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.read()

    def stop(self) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


def _stdout(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout
