"""A disk that is full for this process: writes that would make a file longer fail (EFBIG), whoever runs the tests."""

from __future__ import annotations

import resource
import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_file_beyond(size: int) -> Generator[None]:
    """No file grows beyond so many bytes. Nothing else may be written meanwhile, compiled modules neither: Python keeps
    half of one as if it were whole."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    compiles, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = compiles
