"""`agent-core serve`: one backend, or what a configuration file names, on all three wires, until it is stopped.

The address goes to stdout as one line as soon as it can be called, so that a script can wait for it; everything else to
stderr. It listens on loopback unless keys say who may come in.
"""

from __future__ import annotations

import os
import socket
import sys
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from ipaddress import ip_address
from typing import TYPE_CHECKING, cast

from ..codecs import WIRES
from ..errors import ConfigError
from .exits import Exit, UsageProblem
from .numbers import seconds, whole_number
from .screen import Screen, write_text

if TYPE_CHECKING:
    import uvicorn

    from ..client import ModelClient
    from ..gateway import Gateway

__all__ = ["KEYS_VARIABLE", "add_arguments", "run"]

KEYS_VARIABLE = "AGENT_CORE_GATEWAY_KEYS"
_HOST, _PORT = "127.0.0.1", 8642
_IDLE_MAX_S = 86400.0
_BACKLOG = 2048
_LOG_FORMS = ("off", "text", "json")  # as access_log has them, which needs the extra


def add_arguments(parser: ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("-m", "--model", metavar="PROVIDER/MODEL", help="who answers, whatever model is asked for")
    what.add_argument(
        "--config", metavar="FILE", help="a TOML file with models, and what else there is (docs/gateway.md)"
    )
    what.add_argument(
        "--new-key", metavar="NAME", help="make a key for NAME, print it once and what goes into the file, and end"
    )
    parser.add_argument("--check", action="store_true", help="with --config: say what it would serve, and end")
    parser.add_argument("--base-url", metavar="URL", help="another server, e.g. http://localhost:8000/v1")
    parser.add_argument("--wire", choices=WIRES, help="what the backend is spoken to in (default: the provider's)")
    parser.add_argument("--host", metavar="ADDRESS", help=f"where to listen (default: the file's, or {_HOST})")
    parser.add_argument(
        "--port", type=whole_number(0, 65535), metavar="N", help=f"default: the file's, or {_PORT}; 0: any that is free"
    )
    parser.add_argument(
        "--idle",
        type=seconds(_IDLE_MAX_S),
        metavar="S",
        help="seconds the backend may be silent in an answer (default: that of a client)",
    )
    parser.add_argument(
        "--log",
        nargs="?",
        const="text",
        choices=_LOG_FORMS,
        help="a line for each request on stderr (default: the file's)",
    )


def run(args: Namespace) -> int:
    keys = _keys(os.environ.get(KEYS_VARIABLE, ""))
    _check_options(args)
    try:
        import uvicorn

        from ..gateway import Gateway
        from ..gateway.access_log import LogForm, access_log
        from ..gateway.admission import Admission
        from ..gateway.connections import server_config
        from ..gateway.metrics import Metrics
        from ..gateway.status import Status
        from ..gateway.stored import Stored
    except ImportError as error:
        raise ConfigError(f"serving needs {error.name}", remedy="pip install 'agent-core[gateway]'") from None
    if args.new_key is not None:
        return _new_key(cast("str", args.new_key))
    with ExitStack() as stack:
        if args.config is None:
            services = [Admission(), Stored()]
            gateway = Gateway(
                default=_client(args, stack), keys=keys, services=services, watchers=[Metrics(), Status()]
            )
            place, log = (_HOST, _PORT), "off"
        else:
            gateway, place, log = _configured(cast("str", args.config), keys)
        host = cast("str | None", args.host) or place[0]
        port = place[1] if args.port is None else cast("int", args.port)
        if not gateway.asks_for_keys and not _is_loopback(host):
            raise UsageProblem(
                f"{host!r} can be reached by others, and nobody is asked for a key",
                remedy=f"set {KEYS_VARIABLE} to one or more keys, write [[keys]] into the file, or listen on 127.0.0.1",
            )
        if args.check:
            write_text(sys.stdout, f"{gateway} at {host}:{port}\n{_plan(gateway)}")
            return Exit.OK
        listening = stack.enter_context(_listening(host, port))
        _say_where(listening, gateway, asks_for_keys=gateway.asks_for_keys)
        server = _stopping(uvicorn.Server(server_config(gateway)), gateway)  # sets logging up, and closes what is open
        with access_log(cast("LogForm", args.log or log), sys.stderr):
            server.run(sockets=[listening])
    return Exit.OK


def _new_key(name: str) -> int:
    """The key goes to stdout alone, so that it can be piped to where it is kept; it is shown this once."""
    from ..gateway.keys import Key, hash_of, new_key

    key = new_key()
    kept = Key(name, hash_of(key))  # raises for a name that is none, before the key is shown
    write_text(sys.stdout, f"{key}\n")
    Screen(sys.stderr).put(
        f"The key is shown this once. In the file, with what it may use (docs/gateway.md):\n\n"
        f'[[keys]]\nname = "{kept.name}"\nhash = "{kept.hash}"\n'
    )
    return Exit.OK


def _stopping(server: uvicorn.Server, gateway: Gateway) -> uvicorn.Server:
    """The server, which ends the gateway's pages before it waits for running answers."""
    shutdown = server.shutdown

    async def stop(sockets: list[socket.socket] | None = None) -> None:
        gateway.end_pages()
        await shutdown(sockets)

    server.shutdown = stop  # type: ignore[method-assign]  # it has no hook, and its class is not there before the extra
    return server


def _check_options(args: Namespace) -> None:
    """What says something of a backend is for the one of the command line."""
    if args.new_key is not None or args.config is None:
        if args.check:
            raise UsageProblem("--check looks at a configuration", remedy="name one with --config FILE")
        return
    for option in ("base_url", "wire", "idle"):
        if getattr(args, option) is not None:
            named = "--" + option.replace("_", "-")
            raise UsageProblem(f"{named} is for a backend named with -m", remedy="write it into the configuration file")


def _configured(path: str, keys: list[str]) -> tuple[Gateway, tuple[str, int], str]:
    """The gateway of a file, where it listens, and its access log."""
    from ..gateway.config import read_config

    file = read_config(path)
    settings = file.settings
    return file.gateway(keys=keys), (settings.server.host, settings.server.port), settings.log.format


def _plan(gateway: Gateway) -> str:
    """A line a model: who answers for it, and which models stand in."""
    lines: list[str] = []
    for name, route in gateway.routes.items():
        answering = ", ".join(
            one.name if one.name == one.client.model else f"{one.name} = {one.client.model}"
            for one in route.deployments
        )
        stand_in = f"; then {', '.join(route.fallbacks)}" if route.fallbacks else ""
        how = f" ({route.strategy})" if len(route.deployments) > 1 else ""
        lines.append(f"  {name}: {answering}{how}{stand_in}\n")
    return "".join(lines)


def _client(args: Namespace, stack: ExitStack) -> ModelClient:
    from ..client import ModelClient
    from ..transport import Timeouts

    model, base_url = cast("str", args.model), cast("str | None", args.base_url)
    provider = None
    if base_url is None and model.startswith("rehearsal/"):
        from ..testing import RehearsalServer

        provider = stack.enter_context(RehearsalServer()).provider
    idle_s = cast("float | None", args.idle)
    timeouts = Timeouts(first_event_s=idle_s, idle_s=idle_s) if idle_s is not None else None
    wire = cast("str | None", args.wire)
    return ModelClient(model, provider=provider, wire=wire, base_url=base_url, timeouts=timeouts)


def _keys(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listening(host: str, port: int) -> socket.socket:
    """Raises ConfigError for a place that cannot be listened at."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host}:{port}: {error.strerror or error}", remedy="choose another --host or --port"
        ) from None


def _say_where(listening: socket.socket, gateway: Gateway, *, asks_for_keys: bool) -> None:
    address = cast("tuple[str, int]", listening.getsockname()[:2])
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    write_text(sys.stdout, f"http://{host}:{address[1]}\n")
    who = "with a key" if asks_for_keys else "without a key"
    Screen(sys.stderr).put(f"{gateway} on chat, responses and messages, {who}; Ctrl-C stops it\n", "dim")
