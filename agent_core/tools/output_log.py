"""All that a command writes, in a file, up to a size."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["OutputLog"]


class OutputLog:
    """Made with the first byte, readable by its owner alone. At `max_bytes`, or when the disk is full, it ends with a
    line that says so; the command goes on. `error`: why it could not be written, if so."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.error = ""
        self._room = max_bytes
        self._max_bytes = max_bytes
        self._fd = -1
        self._ended = False

    def write(self, chunk: bytes) -> None:
        if self._ended or not chunk:
            return
        try:
            if self._fd < 0:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            piece = memoryview(chunk)[: self._room]
            self._room -= len(piece)
            while piece:
                piece = piece[os.write(self._fd, piece) :]
            if not self._room:
                os.write(self._fd, f"\n[the log ends here, at {self._max_bytes} bytes]\n".encode())
                self.close()
        except OSError as error:  # told in the output's metadata: a full disk is no reason to end the command
            self.error = error.strerror or type(error).__name__
            self.close()

    def close(self) -> None:
        self._ended = True
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
