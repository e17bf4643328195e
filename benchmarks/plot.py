"""The plot of docs/performance.md as SVG: how late the slowest event in a hundred is, by the number of streams."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["held_plot"]

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 40, 46
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#b0509a",
    "#8a8a00",
    "#777777",
)  # of one lightness: for light and dark pages
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.quiet { fill: #57606a }
.grid { stroke: #8c959f; stroke-opacity: .3 }
.limit { stroke: #cf222e; stroke-dasharray: 6 4; stroke-width: 1.5 }
.red { fill: #cf222e }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .quiet { fill: #9198a1 } .limit { stroke: #ff7b72 } .red { fill: #ff7b72 }
}
""".strip()
LIMIT_MS = 50
LOWEST_MS, HIGHEST_MS = 0.1, 1000.0


def held_plot(held: Sequence[dict[str, Any]]) -> str:
    """`held` as `harness/held.py` writes it. Both axes are logarithmic."""
    most = max([point["streams"] for one in held for point in one["points"]], default=1000)
    x = Axis(4, max(most, 8), LEFT, WIDTH - RIGHT)
    y = Axis(LOWEST_MS, HIGHEST_MS, HEIGHT - BOTTOM, TOP)
    parts = [*grid(x, y)]
    for one, colour in zip(held, COLOURS, strict=False):
        parts += series(one, colour, x, y)
    parts += legend(held)
    title = "Streams of 100 events a second on one core: delay of an event, 99th percentile"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">\n'
        f"<style>\n{STYLE}\n</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


class Axis:
    """A logarithmic scale from values to places."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> float:
        share = math.log(min(max(value, self.low), self.high) / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)


def grid(x: Axis, y: Axis) -> Iterable[str]:
    for ms in (0.1, 1, 10, 100, 1000):
        yield f'<path class="grid" d="M{LEFT} {y(ms)}H{WIDTH - RIGHT}"/>'
        yield f'<text class="quiet" x="{LEFT - 8}" y="{y(ms) + 4}" text-anchor="end">{ms:g} ms</text>'
    streams = int(x.low)
    while streams <= x.high:
        yield f'<path class="grid" d="M{x(streams)} {TOP}V{HEIGHT - BOTTOM}"/>'
        yield f'<text class="quiet" x="{x(streams)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{streams:,}</text>'
        streams *= 2
    yield f'<text class="quiet" x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">streams on one core</text>'
    yield f'<path class="limit" d="M{LEFT} {y(LIMIT_MS)}H{WIDTH - RIGHT}"/>'
    yield f'<text class="red" x="{LEFT + 6}" y="{y(LIMIT_MS) - 6}">{LIMIT_MS} ms</text>'


def series(one: dict[str, Any], colour: str, x: Axis, y: Axis) -> Iterable[str]:
    points = sorted((point["streams"], point["p99_ms"]) for point in one["points"])
    path = "L".join(f"{x(streams)} {y(ms)}" for streams, ms in points)
    yield f'<path class="line" stroke="{colour}" d="M{path}"/>'
    for streams, ms in points:
        yield f'<circle cx="{x(streams)}" cy="{y(ms)}" r="3" fill="{colour}"/>'


def legend(held: Sequence[dict[str, Any]]) -> Iterable[str]:
    place = LEFT
    for one, colour in zip(held, COLOURS, strict=False):
        name = one["name"] if one["name"].startswith("agent_core") else one["name"].split()[0]
        words = f"{name}: {one['holds']:,}{'' if one['limit'] == 'client' else ' or more'}"
        yield f'<path stroke="{colour}" stroke-width="3" d="M{place} 14h16"/>'
        yield f'<text x="{place + 21}" y="18">{words}</text>'
        place += 44 + round(6.6 * len(words))
