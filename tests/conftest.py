"""What all tests share: both event loops."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator

import pytest

from agent_core.tools.write_journal import JOURNAL_VARIABLE


def pytest_collection_finish() -> None:
    """Thousands of tests were collected and stay to the end: the garbage collector need not look at them each time.
    (When hypothesis is imported it looks for references, which what is frozen does not show.)"""
    if "hypothesis" in sys.modules:
        gc.collect()
        gc.freeze()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session", autouse=True)
def records_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tools keep of files they are writing is kept here, not in the home of who runs the tests."""
    os.environ[JOURNAL_VARIABLE] = str(tmp_path_factory.mktemp("writes"))
    yield
    del os.environ[JOURNAL_VARIABLE]
