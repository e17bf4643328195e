"""What the harness can measure: the parameters of each bench, and how its figures are made.

Parameters are the server's scenario (`server.py` says what the letters mean), or how bytes from memory are cut.
"""

from __future__ import annotations

from dataclasses import dataclass

Params = dict[str, str | int]
TEXT: Params = {"mode": "text"}


@dataclass(frozen=True, slots=True)
class Bench:
    """`per` names the parameters whose product is the number of units one call works through."""

    params: tuple[Params, ...]
    unit: str
    per: str = ""
    seconds: float = 0.1  # CPU of one repetition: short calls are repeated until they fill it; 0: one call
    calls: int = 0  # of one repetition, where it is a number
    fresh: bool = False  # a process of its own for each repetition: how far one grows is known once
    spin: bool = False

    def units(self, params: Params) -> int:
        units = 1
        for letter in self.per:
            units *= int(params[letter])
        return units


BENCHES = {
    "a_mem": Bench(({**TEXT, "n": 1000, "chunk": "event"}, {**TEXT, "n": 1000, "chunk": 65536}), "µs/delta", "n"),
    "a_bulk": Bench(({**TEXT, "n": 1000, "k": 1, "g": 0},), "µs/delta", "n", 0.15),
    "a_coal": Bench(({**TEXT, "n": 1000, "k": 8, "g": 0}, {**TEXT, "n": 1000, "k": 64, "g": 0}), "µs/delta", "n"),
    "a_paced": Bench(({**TEXT, "n": 400, "k": 1, "g": 1000},), "µs/delta", "n", 0, spin=True),
    "a_tls": Bench(({**TEXT, "n": 400, "k": 1, "g": 1000, "tls": 1},), "µs/delta", "n", 0, spin=True),
    "a_tool": Bench(({"mode": "tool", "n": 5, "k": 1, "g": 0, "f": 200, "a": 4000},), "µs/fragment", "f"),
    "a_req": Bench(({**TEXT, "n": 1, "k": 1, "g": 0},), "µs/request"),
    "b_sse": Bench(({**TEXT, "n": 2000, "chunk": "event"}, {**TEXT, "n": 2000, "chunk": 65536}), "µs/stream"),
    "d_loop": Bench(tuple({"mode": "loop", "t": turns} for turns in (10, 100, 200)), "µs/turn", "t", 0.05),
    "e_conc": Bench(({**TEXT, "n": 200, "k": 1, "g": 2000, "b": 1000},), "µs/delta", "nb", 0, fresh=True),
    "g_first": Bench(({"mode": "stamped", "n": 6, "k": 1, "g": 2000},), "µs/request", calls=60, spin=True),
    "h_long": Bench(tuple({**TEXT, "n": n, "k": 1, "g": 0} for n in (1000, 10000, 100000)), "µs/delta", "n", 0.05),
}
