"""Which client answers for a model name."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

from ..client import ModelClient
from ..codecs.base import Loss
from ..codecs.rate_limits import rate_limits
from ..errors import ConfigError, ModelError, ModelNotFoundError
from ..events import Attempt
from ..items import WireName
from ..prompt import Prompt
from .asking import Answer, Ask, Bill

__all__ = ["Backends"]

MAX_SHOWN = 20


class Backends:
    """Clients by the names models are asked for. `default` answers for every other name."""

    def __init__(self, models: Mapping[str, ModelClient], default: ModelClient | None = None) -> None:
        if not models and default is None:
            raise ConfigError("a gateway needs a backend", remedy='pass default=ModelClient("provider/model")')
        self._models = dict(models)
        self._default = default

    @property
    def names(self) -> Sequence[str]:
        """The names that are listed, in order."""
        own = () if self._default is None else (self._default.model,)
        return tuple(dict.fromkeys((*self._models, *own)))

    def named(self, model: str) -> ModelClient:
        """Raises ModelNotFoundError (404) that says which there are."""
        client = self._models.get(model) or self._default
        if client is None:
            shown = ", ".join(self.names[:MAX_SHOWN]) + (", …" if len(self.names) > MAX_SHOWN else "")
            raise ModelNotFoundError(
                f"there is no model {model[:200]!r} here; there are: {shown}", status=404, code="model_not_found"
            )
        return client

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        """An answer of the client that is behind the name; what it used is put on the bill, however it ends."""
        client = self.named(ask.prompt.model)
        async with _answered_by(client, ask) as answer:
            yield answer

    async def aclose(self) -> None:
        """Close every client, once."""
        every = [*self._models.values(), *([] if self._default is None else [self._default])]
        for client in {id(client): client for client in every}.values():
            await client.aclose()


@asynccontextmanager
async def _answered_by(client: ModelClient, ask: Ask) -> AsyncGenerator[Answer]:
    prompt, left_out = _for_backend(ask.prompt, client, ask.wire)
    opened = False
    try:
        async with client.stream(prompt) as events:
            opened = True
            _bill(ask.bill, events.earlier)
            try:
                losses = (*left_out, *events.losses)
                yield Answer(events, client.model, losses=losses, limits=rate_limits(events.headers))
            finally:
                end = events.completed or events.snapshot()
                if end.usage is not None:
                    ask.bill.add(client.model, end.usage)
    except ModelError as error:
        if not opened:
            _bill(ask.bill, error.earlier)
            if error.partial is not None and error.partial.usage is not None:
                ask.bill.add(client.model, error.partial.usage)
        raise


def _bill(bill: Bill, attempts: Sequence[Attempt]) -> None:
    """What attempts used that came before the one that opened, or that failed."""
    for attempt in attempts:
        if attempt.response.usage is not None:
            bill.add(attempt.model, attempt.response.usage)


def _for_backend(prompt: Prompt, client: ModelClient, wire: WireName) -> tuple[Prompt, tuple[Loss, ...]]:
    """The prompt as this backend is sent it. Members that only the client's wire knows stay there: another would refuse
    them, or take them for something else."""
    prompt = prompt.with_model(client.resolved.model)
    if client.wire == wire or not prompt.extra:
        return prompt, ()
    return dataclasses.replace(prompt, extra={}), tuple(Loss(name) for name in prompt.extra)
