"""What all tests share: both event loops, and a limit for a test that hangs."""

from __future__ import annotations

import faulthandler
import gc
import os
import sys
import time
from collections.abc import Generator, Iterator

import pytest

from agent_core.tools.write_journal import JOURNAL_VARIABLE

HANGS_S = 900.0
"""After so long the stack of every thread is printed and the process ends: xdist names the test, and others go on."""

_ARMED_FOR_S = 60.0
"""The timer is not set for each test, which is a thread each time, but again after so long: it may run out so early."""


class _Watchdog:
    def __init__(self) -> None:
        self._stderr = os.dup(2)  # as it is outside of tests, whose output is captured
        self._again_at = 0.0

    def pytest_runtest_protocol(self) -> None:
        if time.monotonic() >= self._again_at:
            self._again_at = time.monotonic() + _ARMED_FOR_S
            faulthandler.dump_traceback_later(HANGS_S, file=self._stderr, exit=True)

    def pytest_exception_interact(self) -> None:
        """pytest has taken the timer away."""
        self._again_at = 0.0

    def pytest_unconfigure(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        os.close(self._stderr)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Watchdog())


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests are collected and stay to the end: the garbage collector need not look at them, neither while
    they are made nor later. (When hypothesis is imported it looks for references, which what is frozen does not show.)
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        if "hypothesis" in sys.modules:
            gc.freeze()
            gc.collect()  # of little: from now on it counts as little, and the next time is soon


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session", autouse=True)
def records_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tools keep of files they are writing is kept here, not in the home of who runs the tests."""
    os.environ[JOURNAL_VARIABLE] = str(tmp_path_factory.mktemp("writes"))
    yield
    del os.environ[JOURNAL_VARIABLE]
