"""Tables of a gateway's configuration file as frozen models, and what is wrong with one in words: the file, the table,
the key, and what to write.

Each service has a table of its own, in its own module, that builds it:

    class CacheSettings(ServiceTable):
        ttl_s: Annotated[float, Field(gt=0)] = 300.0

        def service(self, given: Given) -> Service:
            return Cache(ttl_s=self.ttl_s)

and one line in `config.GatewaySettings`: `cache: CacheSettings | None = None`. There are no secrets in a file: a key is
the name of an environment variable (`EnvName`, `secret_of`).
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, TypeVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from ..errors import ConfigError
from ..prices import Prices
from .asking import Service, Watcher
from .stores import MemoryStore, Store

__all__ = [
    "HIDDEN",
    "Count",
    "EnvName",
    "Given",
    "Seconds",
    "ServiceTable",
    "Table",
    "Texts",
    "WatcherTable",
    "checked",
    "placed",
    "secret_of",
    "unknown_key",
]

_ENV_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")


def _env_name(value: str) -> str:
    if not _ENV_NAME.fullmatch(value):
        # Not shown: it may be the secret itself.
        raise PydanticCustomError("env_name", "is no name of an environment variable: write one like MY_API_KEY")
    return value


HIDDEN = "<"
"""What the names of tables begin with that are no part of a file."""
EnvName = Annotated[str, AfterValidator(_env_name)]
"""The name of the environment variable that holds a secret."""
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Texts = Annotated[tuple[str, ...], Field(strict=False)]
"""A list of texts: lists of a file are tuples here, which cannot be changed."""

_Table = TypeVar("_Table", bound="Table")


@dataclass(frozen=True, slots=True)
class Given:
    """What there is besides a table when its service is built: the `folder` of the file, for relative paths; what
    tokens cost, by "provider/model"; the `models` that are served, by name; what several gateways share, if `[redis]`
    says so."""

    folder: Path
    prices: Prices
    models: Sequence[str] = ()
    shared: Store | None = None

    def store(self, *, max_entries: int, max_bytes: int) -> Store:
        """The shared one, else one in this process."""
        return MemoryStore(max_entries=max_entries, max_bytes=max_bytes) if self.shared is None else self.shared


class Table(BaseModel):
    """A table: what it does not know is refused, nothing is converted, nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: object) -> object:
        given: object = value
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in cast("dict[str, object]", given) if isinstance(given, dict) else ():
            if key not in known:
                raise unknown_key(key, [name for name in known if not name.startswith(HIDDEN)])
        return value


class ServiceTable(Table, ABC):
    """The table of a service: there is one if the table is."""

    @abstractmethod
    def service(self, given: Given) -> Service:
        """Raises ConfigError for what does not fit; the table's name is put before it."""


class WatcherTable(Table, ABC):
    """The table of something that is told of every request, if it is `enabled`."""

    enabled: bool = True

    @abstractmethod
    def watcher(self, given: Given) -> Watcher:
        """Raises ConfigError for what does not fit; the table's name is put before it."""


def secret_of(name: str) -> str:
    """What an environment variable holds. Raises ConfigError where it is not set."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise ConfigError(f"the environment variable {name} is not set", remedy="set it, or name the one that holds it")
    return value


def unknown_key(key: str, known: Sequence[str]) -> PydanticCustomError:
    near = get_close_matches(key, known, 1)
    write = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(known)}"
    return PydanticCustomError("unknown_key", "has no key {key}", {"key": repr(key), "write": write})


def checked(kind: type[_Table], tables: Mapping[str, object], file: Path) -> _Table:
    """The tables of a file as what they should be. Raises ConfigError for the first thing that is wrong."""
    try:
        return kind.model_validate(tables)
    except ValidationError as error:
        raise _problem(error.errors(include_url=False, include_input=False)[0], file) from None


@contextmanager
def placed(where: str) -> Generator[None]:
    """A ConfigError in the block says where it is from."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", remedy=error.remedy) from error


def _problem(error: ErrorDetails, file: Path) -> ConfigError:
    kind, context, said = error["type"], error.get("ctx", {}), error["msg"]
    table, key = _place(error["loc"], of_table=kind == "unknown_key")
    where = " ".join(part for part in (f"{file}:", table, key) if part)
    match kind:
        case "unknown_key":
            return ConfigError(f"{where} {said}", remedy=str(context["write"]))
        case "missing":
            return ConfigError(f"{where} is missing", remedy="add it")
        case "literal_error":
            return ConfigError(f"{where} is none of what it can be", remedy=f"write {context['expected']}")
        case "model_type" | "dict_type":
            return ConfigError(f"{where} is no table", remedy="write a table with its keys")
        case "too_short":
            return ConfigError(f"{where} is empty", remedy="write at least one")
        case _ if said.startswith("Input should be "):
            should = said.removeprefix("Input should ").replace("tuple", "list")
            return ConfigError(f"{where} cannot be that", remedy=f"it should {should}")
        case _:
            wrong, _, write = said.removeprefix("Value error, ").partition(": ")
            return ConfigError(f"{where} {wrong}", remedy=write or "correct it")


def _place(path: tuple[int | str, ...], *, of_table: bool) -> tuple[str, str]:
    """("models", "fast", "deployments", 1, "weight") → "[[models.fast.deployments]] 2", "weight"."""
    path = tuple(part for part in path if not str(part).startswith(HIDDEN))
    tables, key = (path, "") if of_table else (path[:-1], path[-1:])
    if key and isinstance(key[0], int):  # an entry of a list that holds no tables
        tables, key = tables[:-1], (*tables[-1:], key[0] + 1)
    nth = next((n for n, part in enumerate(tables) if isinstance(part, int)), None)
    named = ".".join(map(str, tables if nth is None else tables[:nth]))
    words = " ".join(map(str, key))
    if nth is None:
        return (f"[{named}]" if named else ""), words
    inside = " ".join(str(part) for part in tables[nth + 1 :])
    return f"[[{named}]] {int(tables[nth]) + 1}", f"{inside} {words}".strip()
