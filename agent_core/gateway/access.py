"""Who may use the gateway, what of it, and what they have used so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from starlette.datastructures import Headers

from ..errors import AuthenticationError, PermissionDeniedError, ServerError
from .asking import Caller
from .insiders import is_of_this_machine
from .keys import Key, keys_of, matches, offered
from .ledger import Ledger, MemoryLedger, Step

__all__ = ["Access"]

_SHOWN_CHARS = 200


class Access:
    """The keys that are let in; with none, everybody is. A key is a text, or a `Key` with what it may use. `ledger` is
    where it is written down what they used, and which are switched off; without one it is forgotten at the end.

    Raises ConfigError for what is no key. Never shown: a repr says how many there are. The ledger is open in its block.
    """

    def __init__(
        self,
        keys: Iterable[str | Key] = (),
        *,
        ledger: Ledger | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keys: Mapping[str, Key] = {key.name: key for key in keys_of(keys)}
        self.ledger = MemoryLedger(clock=clock) if ledger is None else ledger
        self.clock = clock
        self._hashes = [key.hash for key in self.keys.values()]
        self._off: dict[str, bool] = {}
        self._in_order = tuple(self.keys.values())

    def __repr__(self) -> str:
        return f"Access({len(self.keys)} keys)"

    def __bool__(self) -> bool:
        return bool(self.keys)

    async def __aenter__(self) -> Access:
        await self.ledger.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.ledger.__aexit__(kind, error, trace)

    async def caller(self, headers: Headers) -> Caller:
        """Whose key it is. Raises AuthenticationError for a request without one that is let in. OpenAI's clients send a
        bearer token, Anthropic's `x-api-key`; of two keys that are both known, the bearer's counts (T-G12). Without
        keys, PermissionDeniedError for what a page of another site sends."""
        if not self.keys:
            _check_origin(headers)
            return Caller()
        given = offered(headers)
        if not given:
            raise _refused("no API key: send one as a bearer token or as x-api-key", "invalid_api_key")
        found = [place for place in [matches(one, self._hashes) for one in given] if place is not None]
        if not found:
            raise _refused("this API key is not known here", "invalid_api_key")
        key = self._in_order[found[0]]
        if key.disabled or await self._switched_off(key.name):
            raise _refused("this API key is disabled", "key_disabled")
        if key.expired(self.clock()):
            raise _refused("this API key has expired", "key_expired")
        return Caller(key.name)

    def may_use(self, caller: Caller, model: str) -> bool:
        key = self.keys.get(caller.name)
        return key is None or key.may_use(model)

    def check_model(self, caller: Caller, model: str) -> None:
        """Raises PermissionDeniedError for a model the caller's key is not for."""
        if not self.may_use(caller, model):
            raise PermissionDeniedError(
                f"the key {caller.name!r} is not for the model {model[:_SHOWN_CHARS]!r}",
                status=403,
                code="model_not_allowed",
            )

    async def _switched_off(self, name: str) -> bool:
        """As it is; where the ledger cannot be reached, as it last was. Raises ServerError where it never was."""
        try:
            self._off[name] = await self.is_off(name)
        except ServerError:
            if name not in self._off:
                raise
        return self._off[name]

    async def is_off(self, name: str) -> bool:
        counter = f"{name}/off"
        return (await self.ledger.add({counter: Step(0)}))[counter] > 0

    async def switch(self, name: str, *, off: bool) -> None:
        """Let a key in no more, or again, in every process of the ledger, until it is switched back."""
        counter = f"{name}/off"
        now = (await self.ledger.add({counter: Step(0)}))[counter]
        await self.ledger.add({counter: Step(int(off) - now)})


def _check_origin(headers: Headers) -> None:
    """Browsers say whose page it is that asks. One that took its own name for this machine's (DNS rebinding) could use
    a gateway that asks nobody for a key, and read its answers."""
    origin = headers.get("origin")
    if origin is not None and not is_of_this_machine(origin.partition("://")[2]):
        raise PermissionDeniedError("pages of other sites may not use this", status=403, code="origin_not_allowed")


def _refused(why: str, code: str) -> AuthenticationError:
    return AuthenticationError(why, status=401, code=code)
