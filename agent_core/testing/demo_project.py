"""The project the demo repairs: a small order calculator with one real bug, and the patch that fixes it.

The bug is the kind people write: "ten or more" spelled `>`. One of six tests finds it. Standard library only, so the
demo needs nothing but Python.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigError

__all__ = ["BUGGY_LINE", "MODULE", "PATCH", "TESTS", "write_demo_project"]

MODULE = "pricing.py"
TESTS = "test_pricing.py"
BUGGY_LINE = "    if quantity > BULK_QUANTITY:"

_MODULE_TEXT = '''\
"""What an order costs. All amounts are whole cents."""

BULK_QUANTITY = 10
BULK_PERCENT = 15


def percent_of(cents: int, percent: int) -> int:
    """The share of an amount, rounded half up."""
    return (cents * percent + 50) // 100


def line_total(unit_cents: int, quantity: int) -> int:
    """One line of an order: ten or more of the same thing are 15 % cheaper."""
    total = unit_cents * quantity
    if quantity > BULK_QUANTITY:
        total -= percent_of(total, BULK_PERCENT)
    return total


def order_total(lines: list[tuple[int, int]], *, tax_percent: int = 0) -> int:
    """All lines of (unit_cents, quantity), with tax."""
    net = sum(line_total(unit_cents, quantity) for unit_cents, quantity in lines)
    return net + percent_of(net, tax_percent)
'''

_TESTS_TEXT = """\
import unittest

from pricing import line_total, order_total, percent_of


class Percent(unittest.TestCase):
    def test_a_share_of_an_amount(self):
        self.assertEqual(percent_of(2000, 15), 300)

    def test_half_a_cent_is_rounded_up(self):
        self.assertEqual(percent_of(50, 1), 1)


class Line(unittest.TestCase):
    def test_a_few_cost_the_full_price(self):
        self.assertEqual(line_total(250, 4), 1000)

    def test_ten_are_already_a_bulk_order(self):
        self.assertEqual(line_total(200, 10), 1700)


class Order(unittest.TestCase):
    def test_an_empty_order_is_free(self):
        self.assertEqual(order_total([], tax_percent=20), 0)

    def test_tax_comes_on_top(self):
        self.assertEqual(order_total([(100, 1), (250, 2)], tax_percent=20), 720)


if __name__ == "__main__":
    unittest.main()
"""

PATCH = f"""\
*** Begin Patch
*** Update File: {MODULE}
@@ def line_total(unit_cents: int, quantity: int) -> int:
     total = unit_cents * quantity
-{BUGGY_LINE}
+    if quantity >= BULK_QUANTITY:
         total -= percent_of(total, BULK_PERCENT)
*** End Patch
"""


def write_demo_project(folder: Path) -> None:
    """Write the project into `folder` (made if it is not there). Raises ConfigError rather than overwrite a file."""
    for name, text in ((MODULE, _MODULE_TEXT), (TESTS, _TESTS_TEXT)):
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except FileExistsError:
            raise ConfigError(f"{str(path)!r} exists already", remedy="choose an empty folder") from None
        except OSError as error:
            problem = f"cannot write {str(path)!r}: {error.strerror or error}"
            raise ConfigError(problem, remedy="choose a folder you can write to") from error
