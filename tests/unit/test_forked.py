"""What runs the programs of the documentation would notice if one of them failed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..forked import run_python

PROGRAMS: dict[str, tuple[str, int, str, str]] = {
    "prints": ("print('hello')", 0, "hello\n", ""),
    "raises": ("raise KeyError('lost')", 1, "", "KeyError: 'lost'"),
    "warns": ("import warnings; warnings.warn('old')", 1, "", "UserWarning: old"),
    "leaves": ("import sys; print('x'); sys.exit(3)", 3, "x\n", ""),
    "has a directory of its own": ("import os; print(os.listdir())", 0, "[]\n", ""),
    "has an environment of its own": ("import os; print('HOME' in os.environ)", 0, "False\n", ""),
    "is the main module": ("print(__name__)", 0, "__main__\n", ""),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program(name: str, tmp_path: Path) -> None:
    """Its status, and what it said on both streams."""
    text, code, stdout, stderr = PROGRAMS[name]
    ran = run_python(text, tmp_path, {"PATH": os.environ["PATH"]})
    assert (ran.code, ran.stdout) == (code, stdout)
    assert stderr in ran.stderr and bool(stderr) == bool(ran.stderr)


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="was not over after"):
        run_python("import threading; threading.Event().wait()", tmp_path, {}, timeout_s=0.1)
