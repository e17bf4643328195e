"""Numbers on a command line: read strictly, within bounds, and refused with the bounds."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from decimal import Decimal

from .screen import one_line

__all__ = ["dollars", "seconds", "share", "whole_number"]


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """An argparse type: decimal digits and nothing else."""

    def read(word: str) -> int:
        number = int(word) if word.isdecimal() and word.isascii() and len(word) <= len(str(most)) else -1
        if not least <= number <= most:
            raise ArgumentTypeError(f"{one_line(word, 40)!r} is not a number from {least} to {most}")
        return number

    return read


def seconds(most: float) -> Callable[[str], float]:
    """An argparse type: more than nothing, at most `most`."""

    def read(word: str) -> float:
        try:
            number = float(word)
        except ValueError:
            number = 0.0
        if not 0 < number <= most:
            raise ArgumentTypeError(f"{one_line(word, 40)!r} is not a number of seconds up to {most:g}")
        return number

    return read


def dollars(most: int) -> Callable[[str], Decimal]:
    """An argparse type: more than nothing, at most `most`; a sign of the currency may stand before it."""

    def read(word: str) -> Decimal:
        try:
            amount = Decimal(word.removeprefix("$"))
        except ArithmeticError:
            amount = Decimal(0)
        if not (amount.is_finite() and 0 < amount <= most):
            raise ArgumentTypeError(f"{one_line(word, 40)!r} is not a number of US dollars up to {most:,}")
        return amount

    return read


def share(*words: str) -> Callable[[str], str | float]:
    """An argparse type: one of `words`, or a percentage from 1% to 100%, as a share of 1."""

    def read(word: str) -> str | float:
        if word in words:
            return word
        digits = word.removesuffix("%")
        if digits != word and digits.isdecimal() and digits.isascii() and 1 <= int(digits[:4]) <= 100:
            return int(digits) / 100
        raise ArgumentTypeError(f"{one_line(word, 40)!r} is none of {', '.join(words)} and 1% to 100%")

    return read
