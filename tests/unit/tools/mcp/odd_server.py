"""An MCP server that misbehaves on request, in the standard library: it starts in no time.

    odd_server.py LOG [MODE]

LOG gets a line for every call and every cancellation. MODE says how it starts; tools say what goes wrong in a call.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any  # JSON of a protocol, read without a library

LOG, MODE = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
Message = dict[str, Any]
SCHEMA: Message = {
    "type": "object",
    "$defs": {"any": {}},
    "x-own": [None, 1.5],
    "properties": {"n": {"$ref": "#/$defs/any"}},
}
TOOLS = ["echo", "env", "die", "hang", "flood", "noise", "grow", "daemon", "ask", "steps", "refuse", "odd-result"]


def log(line: str) -> None:
    with LOG.open("a") as lines:
        lines.write(line + "\n")


def say(message: Message) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def hear() -> Message:
    line = sys.stdin.readline()
    if not line:
        time.sleep(60 if MODE == "deaf" else 0)
        sys.exit(0)
    return dict(json.loads(line))


def text(words: str) -> Message:
    return {"content": [{"type": "text", "text": words}]}


def die(request: Message) -> Message:
    sys.stderr.write("no such luck, password=hunter22222\n")
    sys.stderr.flush()
    os._exit(7)


def flood(request: Message) -> Message:
    sys.stdout.write("x" * 3_000_000)
    sys.stdout.flush()
    return text("never read")


def noise(request: Message) -> Message:
    print("loading…\n{not json\n[1, 2]", flush=True)
    return text("quiet")


def grow(request: Message) -> Message:
    TOOLS.append("new")
    say({"method": "notifications/tools/list_changed"})
    return text("grown")


def daemon(request: Message) -> Message:
    subprocess.Popen(["sleep", "300"], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return text("left one behind")


def ask(request: Message) -> Message:
    say({"id": "mine", "method": request["method"], "params": request.get("params", {})})
    while (reply := hear()).get("id") != "mine":
        pass
    return text(json.dumps(reply.get("result", reply.get("error"))))


def steps(request: Message) -> Message:
    token = request["_meta"]["progressToken"]
    for progress, message in ((1, None), (2, "half way"), (1.5, "back again"), (4, None)):
        params: Message = {"progressToken": token, "progress": progress, "total": 4}
        say({"method": "notifications/progress", "params": params | ({"message": message} if message else {})})
    return text("done")


CALLS: dict[str, Callable[[Message], Message]] = {
    "echo": lambda arguments: text(json.dumps(arguments)),
    "env": lambda arguments: text(json.dumps(dict(os.environ))),
    "new": lambda arguments: text("new"),
    "odd-result": lambda arguments: {"content": [{"type": "hologram", "data": "sk-secret-content"}]},
    "die": die, "flood": flood, "noise": noise, "grow": grow, "daemon": daemon, "ask": ask, "steps": steps,
}  # fmt: skip


def tool(name: str) -> Message:
    hints = {"readOnlyHint": name in ("echo", "env")}
    return {"name": name, "description": f"Does {name}.", "inputSchema": SCHEMA, "annotations": hints}


def page(cursor: str) -> Message:
    """Three tools a page."""
    begin = int(cursor or 0)
    following = {"nextCursor": str(begin + 3)} if begin + 3 < len(TOOLS) else {}
    return {"tools": [tool(name) for name in TOOLS[begin : begin + 3]], **following}


def answer(message: Message) -> None:
    number, method = message.get("id"), message.get("method")
    params: Message = message.get("params") or {}
    if method == "notifications/cancelled":
        log(f"cancelled {params['requestId']}")
    elif method == "initialize":
        capabilities: Message = {"tools": {"listChanged": True}}
        about: Message = {"serverInfo": {"name": "odd", "version": "0"}, "capabilities": capabilities}
        say({"id": number, "result": {"protocolVersion": params["protocolVersion"], **about}})
    elif method == "tools/list":
        say({"id": number, "result": (tools := page(params.get("cursor", "")))})
        if MODE == "short-lived" and "nextCursor" not in tools:
            os._exit(0)
    elif method == "tools/call":
        call(number, params)


def call(number: object, params: Message) -> None:
    name: str = params["name"]
    arguments: Message = params.get("arguments") or {}
    log(f"call {name}")
    if name in ("echo", "ask"):
        say({"id": number, "result": CALLS[name](arguments)})
    elif name == "refuse":
        say({"id": number, "error": {"code": -32602, "message": "no such thing"}})
    elif name != "hang":
        say({"id": number, "result": CALLS[name](params)})


if MODE == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if MODE == "silent":
    sys.exit(sys.stdin.read() and 0)
if MODE == "broken":
    sys.exit("cannot find its database, api_key=sk-abcdefghijklmnop")
if MODE == "babble":
    sys.stdout.write("x" * 3_000_000)
    sys.stdout.flush()
while True:
    answer(hear())
