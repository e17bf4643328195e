"""No scenario of answers is lost: each id has a row in a test, or a reason why it waits for the gateway."""

from __future__ import annotations

import pytest

from .answer_scenarios import ANSWERS, GATEWAY
from .test_scenario_ids import BEHAVIOURS, named

COUNTS = {"T-E": 10, "T-F": 11, "T-G": 23, "T-H": 29, "T-I": 7, "T-J": 24, "T-K": 8, "T-L": 11, "T-M": 19, "T-N": 8}
REGRESSIONS = {"S0": 30, "S2": 8, "S3": 18}


@pytest.mark.parametrize("scenario", ANSWERS)
def test_every_scenario_has_a_row(scenario: str) -> None:
    """The id stands in the name of a row, a docstring or the name of a test."""
    assert scenario in named(), f"no test names {scenario}"


def test_every_line_is_listed() -> None:
    """6.E to 6.N, 6.Q, and S0, S2 and S3 of 6.R: nothing falls between the lists; what has a row waits for none."""
    told = {f"{letter}{n}" for letter, count in COUNTS.items() for n in range(1, count + 1)}
    told |= {f"T-Q{n}" for n in range(1, 10)}
    told |= {f"X-{system}-{n:02}" for system, count in REGRESSIONS.items() for n in range(1, count + 1)}
    held = {*BEHAVIOURS, *ANSWERS}
    left = {scenario for scenarios in GATEWAY.values() for scenario in scenarios}
    assert told - held - left == set()
    assert left.isdisjoint(held)
