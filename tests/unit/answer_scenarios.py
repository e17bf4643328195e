"""The ids of the specification that are about answers: those that codecs hold, and those left for a gateway."""

from __future__ import annotations

ANSWERS = (
    *(f"T-E{n}" for n in range(1, 11)),
    *(f"T-F{n}" for n in range(1, 12)),
    *(f"T-G{n}" for n in range(12, 22)),
    *(f"T-H{n}" for n in range(1, 30)),
    *(f"T-I{n}" for n in (1, 2, 3, 5, 6, 7)),
    *(f"T-J{n}" for n in range(1, 25)),
    *(f"T-K{n}" for n in range(1, 9)),
    *(f"T-L{n}" for n in range(1, 12)),
    *(f"T-M{n}" for n in range(1, 20)),
    *(f"T-N{n}" for n in range(1, 9)),
    *(f"T-Q{n}" for n in range(1, 10)),
    "X-S0-11",
    "X-S3-05",
    *(f"X-S0-{n:02}" for n in (1, 2, 3, 4, 5, 9, 10, 18, 20, 21, 22, 23, 25, 26, 27, 28, 29)),
    *(f"X-S2-{n:02}" for n in range(1, 9)),
    *(f"X-S3-{n:02}" for n in (1, 2, 3, 4, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18)),
)
"""behaviours.md 6.E to 6.N and 6.Q, and of 6.R what concerns answers: all that is a codec's."""

GATEWAY: dict[str, tuple[str, ...]] = {
    "a callback per frame": ("T-I4",),
}
"""What a codec cannot do: left for the gateway, by what it takes. An id that gets a test goes from here to above."""
