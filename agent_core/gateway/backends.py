"""Which route answers for a model name, and the end of every way inwards: what is behind the services."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

import anyio

from ..client import ModelClient
from ..errors import ConfigError, ModelNotFoundError
from ..retry import RetryPolicy, RetryScheduled, Tries, with_retries
from .asking import Answer, Ask
from .deployments import Deployment, DeploymentHealth
from .routes import Route
from .ways import Way

__all__ = ["Backends"]

MAX_SHOWN = 20
_ONCE = RetryPolicy(max_attempts=1)  # a client of its own tries again by itself


@dataclass(frozen=True, slots=True)
class _Model:
    """A model that is served: its own route, then those of the models that stand in."""

    name: str
    routes: tuple[Route, ...]

    @property
    def ready(self) -> bool:
        """Whether somebody may be asked for it. A limit does not make it less so: it is over in a minute."""
        return any(not one.circuit.wait_s for route in self.routes for one in route.deployments)


class Backends:
    """Routes by the names models are asked for; a client is a route of its own. `aliases`: other names for them, also
    patterns (`claude-*`), which are not listed. `default` answers for every other name: a client, or the name of one.

    Raises ConfigError without any, and for a name that is none.
    """

    def __init__(
        self,
        models: Mapping[str, ModelClient | Route],
        default: ModelClient | str | None = None,
        aliases: Mapping[str, str] | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        if not models and default is None:
            raise ConfigError("a gateway needs a backend", remedy='pass default=ModelClient("provider/model")')
        self._sleep = sleep
        routes = {name: _route(given) for name, given in models.items()}
        self._models = {name: _Model(name, _chain(name, routes)) for name in routes}
        self._aliases = {alias: self._known(name, f"the alias {alias!r}") for alias, name in (aliases or {}).items()}
        self._patterns = [(alias, model) for alias, model in self._aliases.items() if "*" in alias]
        self._default: _Model | None = None
        if isinstance(default, ModelClient):
            self._default = _Model(default.model, (_route(default),))
        elif default is not None:
            self._default = self._known(default, "the default")

    @property
    def names(self) -> Sequence[str]:
        """The names that are listed, in order."""
        aliases = (alias for alias in self._aliases if "*" not in alias)
        own = () if self._default is None else (self._default.name,)
        return tuple(dict.fromkeys((*self._models, *aliases, *own)))

    @property
    def routes(self) -> Mapping[str, Route]:
        """The route of each model; aliases are other names for them."""
        return {model.name: model.routes[0] for model in self._every()}

    def named(self, model: str) -> _Model:
        """Raises ModelNotFoundError (404) that says which there are."""
        found = self._models.get(model) or self._aliases.get(model)
        if found is None:
            patterns = (behind for alias, behind in self._patterns if fnmatchcase(model, alias))
            found = next(patterns, self._default)
        if found is None:
            shown = ", ".join(self.names[:MAX_SHOWN]) + (", …" if len(self.names) > MAX_SHOWN else "")
            raise ModelNotFoundError(
                f"there is no model {model[:200]!r} here; there are: {shown}", status=404, code="model_not_found"
            )
        return found

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        """An answer of what is behind the name; what was used for it is put on the bill, however it ends."""
        model = self.named(ask.prompt.model)
        retry = model.routes[0].retry
        if retry.max_attempts == 1:
            stack, answer = await Way(ask, model.name, model.routes).open()
        else:
            stack, answer = await with_retries(
                lambda _: Way(ask, model.name, model.routes).open(),
                retry,
                Tries(),
                observe=_unobserved,
                sleep=self._sleep,
                clock=anyio.current_time,
                model=model.name,
            )
        async with stack:
            yield answer

    def health(self) -> Mapping[str, Sequence[DeploymentHealth]]:
        """The deployments of each model, as they are now."""
        return {model.name: [one.health() for one in model.routes[0].deployments] for model in self._every()}

    def ready(self) -> tuple[int, int]:
        """For how many models somebody may be asked, and how many there are."""
        every = list(self._every())
        return sum(model.ready for model in every), len(every)

    async def aclose(self) -> None:
        """Close every client, once."""
        every = [one.client for model in self._every() for route in model.routes for one in route.deployments]
        for client in {id(client): client for client in every}.values():
            await client.aclose()

    def _every(self) -> Iterator[_Model]:
        yield from self._models.values()
        if self._default is not None and self._default.name not in self._models:
            yield self._default

    def _known(self, name: str, what: str) -> _Model:
        if name not in self._models:
            raise ConfigError(f"{what} is for {name!r}, and there is no such model", remedy=_among(self._models))
        return self._models[name]


def _route(given: ModelClient | Route) -> Route:
    return given if isinstance(given, Route) else Route([Deployment(given, adapt=False)], retry=_ONCE)


def _chain(name: str, routes: Mapping[str, Route]) -> tuple[Route, ...]:
    """A model's own route, then those of its fallbacks."""
    own = routes[name]
    for other in own.fallbacks:
        if other not in routes or other == name:
            raise ConfigError(
                f"the fallback {other!r} of {name!r} is no other model that is served", remedy=_among(routes)
            )
    return own, *(routes[other] for other in own.fallbacks)


def _among(models: Mapping[str, object]) -> str:
    return f"name one of {', '.join(list(models)[:MAX_SHOWN])}"


def _unobserved(scheduled: RetryScheduled) -> None:
    """It is in the log."""
