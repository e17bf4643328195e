"""What a turn is made of, as the loop sees it: a model to ask, and a session to keep what was said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from .codecs.base import Loss, Repair
from .events import Attempt, Response, ResponseEvent, Usage
from .items import ResponseItem
from .outputs import SessionLog
from .paused import PausedSession
from .prompt import Prompt
from .retry import Tries

__all__ = ["Model", "ModelStream", "TurnSession"]


class ModelStream(Protocol):
    """One response as it streams; `snapshot` is the response so far, `model` who gives it ("provider/model"), `earlier`
    attempts that failed and were counted. Raises ModelError when the stream breaks."""

    losses: tuple[Loss, ...]
    repairs: tuple[Repair, ...]
    model: str
    earlier: tuple[Attempt, ...]

    def __aiter__(self) -> AsyncIterator[ResponseEvent]: ...

    def snapshot(self) -> Response: ...


class Model(Protocol):
    """What the loop asks of a client. `stream` returns when the first frame is there; leaving it closes the socket."""

    @property
    def model(self) -> str: ...

    def stream(self, prompt: Prompt, *, tries: Tries | None = None) -> AbstractAsyncContextManager[ModelStream]: ...


class TurnSession(SessionLog, PausedSession, Protocol):
    @property
    def items(self) -> tuple[ResponseItem, ...]: ...

    @property
    def transcript(self) -> tuple[ResponseItem, ...]: ...

    def sample_finished(self, usage: Usage | None) -> None: ...

    def spent(self, attempts: Iterable[Attempt]) -> None: ...
