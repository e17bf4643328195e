"""f. Import cost and installed size of each peer, each in a clean venv of its own.

Venvs live under $BENCH_VENVS/<name> (made by uv on first use, kept). Figures: wall and CPU of a
cold `python -c 'import X'` (median of `--repeat` x2, at least 10), the same less a bare `python -c pass`,
modules loaded, peak RSS, the biggest contributors by -X importtime, installed distributions and MB.
"""

from __future__ import annotations

import os
import re
import resource
import statistics
import subprocess
import sys
import time

ROOT = os.environ.get("BENCH_VENVS", os.path.join(os.environ.get("TMPDIR", "/var/tmp"), "bench-venvs"))
UV = os.environ.get("UV", "uv")

# name -> (requirements, import statement)
PEERS: dict[str, tuple[list[str], str]] = {
    "python itself": ([], "pass"),
    "openai": (["openai"], "from openai import AsyncOpenAI"),
    "openai + first client": (
        ["openai"],
        "from openai import AsyncOpenAI; AsyncOpenAI(api_key='k').chat.completions; AsyncOpenAI(api_key='k').responses",
    ),
    "anthropic": (["anthropic"], "from anthropic import AsyncAnthropic"),
    "anthropic + first client": (
        ["anthropic"],
        "from anthropic import AsyncAnthropic; AsyncAnthropic(api_key='k').messages",
    ),
    "litellm": (["litellm"], "import litellm"),
    "pydantic-ai-slim[openai,anthropic]": (
        ["pydantic-ai-slim[openai,anthropic]"],
        "from pydantic_ai import Agent; from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel; from pydantic_ai.models.anthropic import AnthropicModel",
    ),
    "openai-agents": (["openai-agents"], "import agents"),
    "any-llm-sdk[openai,anthropic]": (
        ["any-llm-sdk[openai,anthropic]"],
        "import any_llm; from any_llm.providers.openai import openai; from any_llm.providers.anthropic import anthropic",
    ),
    "langchain-openai": (["langchain-openai"], "from langchain_openai import ChatOpenAI"),
    "langgraph+langchain-openai": (
        ["langchain", "langgraph", "langchain-openai"],
        "from langchain.agents import create_agent; from langchain_openai import ChatOpenAI",
    ),
    "smolagents": (["smolagents[openai]"], "import smolagents"),
    "httpx": (["httpx"], "import httpx"),
    "httpx2": (["httpx2"], "import httpx2"),
    "httpx2 + first client": (["httpx2"], "import httpx2; httpx2.AsyncClient()"),
    "aiohttp": (["aiohttp"], "import aiohttp"),
    "httpcore2[asyncio]": (["httpcore2[asyncio]"], "import httpcore2"),
    "niquests": (["niquests"], "import niquests"),
    "pydantic": (["pydantic"], "import pydantic"),
    "msgspec": (["msgspec"], "import msgspec"),
    "orjson": (["orjson"], "import orjson"),
    "jiter": (["jiter"], "import jiter"),
    "asyncio+ssl+json (stdlib)": ([], "import asyncio, ssl, json"),
    "asyncio+json (stdlib)": ([], "import asyncio, json"),
    # the subject: replace the path by where the checkout is
    "agent_core": (["agent_core @ file://" + os.environ.get("PROJECT", os.getcwd())], "import agent_core"),
}


def venv(name: str, reqs: list[str]) -> str | None:
    d = os.path.join(ROOT, re.sub(r"\W+", "_", name.split(" + ")[0]))
    py = os.path.join(d, "bin", "python")
    if not os.path.exists(py):
        os.makedirs(ROOT, exist_ok=True)
        subprocess.run([UV, "venv", "-q", "--python", sys.executable, d], check=True)
        if reqs:
            r = subprocess.run([UV, "pip", "install", "-q", "--python", py, *reqs], capture_output=True, text=True)
            if r.returncode:
                subprocess.run(["rm", "-rf", d])
                return None
    return py


def size(py: str) -> tuple[int, float]:
    site = subprocess.run(
        [py, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
    ).stdout.strip()
    total = n = 0
    for dirpath, dirs, files in os.walk(site):
        if "__pycache__" in dirs:
            dirs.remove("__pycache__")
        n += sum(d.endswith(".dist-info") for d in dirs)
        for f in files:
            try:
                total += os.path.getsize(os.path.join(dirpath, f))
            except OSError:
                pass
    return n, total / 1e6


def one(py: str, code: str, cpu: int | None) -> tuple[float, float, int]:
    env = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
    env["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    r0 = resource.getrusage(resource.RUSAGE_CHILDREN)
    t0 = time.perf_counter()
    cmd = [py, "-c", code]
    if cpu is not None:
        cmd = ["taskset", "-c", str(cpu), *cmd]
    p = subprocess.Popen(cmd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _, err = p.communicate()
    wall = time.perf_counter() - t0
    r1 = resource.getrusage(resource.RUSAGE_CHILDREN)
    if p.returncode:
        raise RuntimeError(err[-300:])
    return wall * 1e3, (r1.ru_utime + r1.ru_stime - r0.ru_utime - r0.ru_stime) * 1e3, 0


def importtime(py: str, code: str) -> tuple[int, list]:
    p = subprocess.run([py, "-X", "importtime", "-c", code], capture_output=True, text=True)
    rows = []
    for line in p.stderr.splitlines():
        m = re.match(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)", line)
        if m:
            rows.append((int(m.group(2)), int(m.group(1)), len(m.group(3)), m.group(4)))
    top = sorted((r for r in rows), reverse=True)
    return len(rows), [(name, round(cum / 1e3, 1)) for cum, own, depth, name in top[:8]]


def peak_rss(py: str, code: str) -> float:
    p = subprocess.run(
        [py, "-c", code + "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"],
        capture_output=True,
        text=True,
    )
    try:
        return int(p.stdout.split()[-1]) / 1024
    except (IndexError, ValueError):
        return 0.0


def run(args, emit) -> None:
    n = max(10, args.repeat * 2)
    names = [k for k in PEERS if not args.match or re.search(args.match, k)]
    pys = {}
    for k in names:
        reqs, code = PEERS[k]
        if k == "agent_core" and not os.path.exists(
            os.path.join(os.environ.get("PROJECT", os.getcwd()), "pyproject.toml")
        ):
            continue
        py = venv(k, reqs)
        if py is None:
            emit(
                {
                    "bench": "f_import",
                    "name": k,
                    "kind": "peer",
                    "wire": "-",
                    "params": {},
                    "unit": "ms",
                    "error": "cannot be installed",
                }
            )
            continue
        pys[k] = py
    wall: dict = {k: [] for k in pys}
    cpu: dict = {k: [] for k in pys}
    for k, py in pys.items():  # fills the bytecode caches
        try:
            one(py, PEERS[k][1], args.client_cpu)
            one(py, PEERS[k][1], args.client_cpu)
        except RuntimeError as e:
            emit(
                {
                    "bench": "f_import",
                    "name": k,
                    "kind": "peer",
                    "wire": "-",
                    "params": {},
                    "unit": "ms",
                    "error": str(e),
                }
            )
            pys = {a: b for a, b in pys.items() if a != k}
    for _ in range(n):
        for k, py in pys.items():
            w, c, _x = one(py, PEERS[k][1], args.client_cpu)
            wall[k].append(w)
            cpu[k].append(c)
    for k, py in pys.items():
        mods, top = importtime(py, PEERS[k][1])
        dists, mb = size(py)
        st = lambda xs: {"median": statistics.median(xs), "min": min(xs), "max": max(xs)}
        emit(
            {
                "bench": "f_import",
                "name": k,
                "kind": "subject" if k == "agent_core" else "peer",
                "wire": "-",
                "params": {},
                "unit": "ms",
                "cpu": st(cpu[k]),
                "wall": st(wall[k]),
                "waits": 0,
                "inner": 1,
                "rss_peak_mb": peak_rss(py, PEERS[k][1]),
                "rss_grow_kb": 0,
                "modules": mods,
                "top": top,
                "dists": dists,
                "mb": round(mb, 1),
            }
        )
