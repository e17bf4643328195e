"""What the gateway's tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .redis_server import redis_server


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis for as long as the tests run."""
    with redis_server() as (url, _):
        yield url
