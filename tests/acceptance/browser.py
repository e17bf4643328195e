"""A headless Chromium led over its DevTools protocol, on a pair of pipes: a test waits for what the page comes to show.

`chromium --dump-dom` gives the page as it is once loaded, which may be before its first event has arrived. Commands go
in on descriptor 3 and answers come out on 4, each JSON and a NUL (`--remote-debugging-pipe`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import BinaryIO

import msgspec

__all__ = ["CHROMIUM", "Browser", "headless"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_S = 120.0
"""A busy machine is slow to start a browser. After that it is killed, and what waits for it fails."""

_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-sync", "--disable-background-networking", "--disable-component-update",
)  # fmt: skip

_ON_3_AND_4 = """
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(given), fcntl.F_DUPFD_CLOEXEC, 5) for given in sys.argv[1:3])
os.dup2(commands, 3), os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""

_UNTIL = """new Promise(done => {
  const look = () => (%s) && done(document.documentElement.outerHTML);
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
  look();
})"""


class _Html(msgspec.Struct):
    value: str


class Browser:
    """One page of it."""

    def __init__(self, commands: BinaryIO, answers: BinaryIO) -> None:
        self.complaints: list[str] = []
        """What the browser or a script had to say of the page: refused by its policy, never caught, or printed."""
        self._commands, self._answers = commands, answers
        self._asked = 0
        self._session: str | None = None
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = str(attached["sessionId"])
        for domain in ("Runtime", "Log", "Page"):
            self._ask(f"{domain}.enable")

    def shows(self, url: str, condition: str) -> str:
        """The page there as HTML, as soon as `condition`, JavaScript, is true of it."""
        self._ask("Page.navigate", url=url)
        given = self._ask("Runtime.evaluate", expression=_UNTIL % condition, awaitPromise=True, returnByValue=True)
        return msgspec.convert(given["result"], _Html).value

    def _ask(self, method: str, **params: object) -> Mapping[str, object]:
        self._asked += 1
        sent = {"id": self._asked, "method": method, "params": params}
        if self._session is not None:
            sent["sessionId"] = self._session
        self._commands.write(msgspec.json.encode(sent) + b"\0")
        while True:
            said = msgspec.json.decode(self._heard(), type=dict[str, object])
            if said.get("id") == self._asked:
                assert "error" not in said, f"{method}: {said}"
                return msgspec.convert(said["result"], dict[str, object])
            if said.get("method") in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                self.complaints.append(str(said["params"]))

    def _heard(self) -> bytes:
        """The next message, which ends with a NUL."""
        pieces = iter(lambda: self._answers.read(1), b"\0")
        heard = bytearray()
        for piece in pieces:
            assert piece, f"the browser is gone; it said before: {bytes(heard[-500:])!r}"
            heard += piece
        return bytes(heard)


@contextmanager
def headless(profile: Path) -> Generator[Browser]:
    """A browser of its own, with its files in `profile`. It is gone afterwards."""
    commands_out, commands_in = os.pipe()
    answers_out, answers_in = os.pipe()
    command = [CHROMIUM or "", *_QUIET, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    with (profile / "stderr").open("wb") as told:
        browser = subprocess.Popen(
            [sys.executable, "-c", _ON_3_AND_4, str(commands_out), str(answers_in), *command],
            pass_fds=(commands_out, answers_in),
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=told,
            start_new_session=True,
        )
    os.close(commands_out)
    os.close(answers_in)
    too_long = Timer(PATIENCE_S, _kill, [browser])
    too_long.start()
    try:
        with open(commands_in, "wb", buffering=0) as commands, open(answers_out, "rb") as answers:
            yield Browser(commands, answers)
    finally:
        too_long.cancel()
        too_long.join()
        _kill(browser)


def _kill(browser: subprocess.Popen[bytes]) -> None:
    """With all its processes; they may be gone already."""
    with suppress(ProcessLookupError):
        os.killpg(browser.pid, 9)
    browser.wait()
