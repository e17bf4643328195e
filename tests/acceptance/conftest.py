"""The third-party servers, one of each per worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .servers import aimock_command, llmock_command, started

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


@pytest.fixture(scope="session")
def aimock_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """aimock, playing tests/fixtures/aimock.json."""
    with started(aimock_command(FIXTURES / "aimock.json"), tmp_path_factory.mktemp("aimock") / "log") as url:
        yield url


@pytest.fixture(scope="session")
def llmock_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """llmock, without a scenario."""
    with started(llmock_command(), tmp_path_factory.mktemp("llmock") / "log") as url:
        yield url
