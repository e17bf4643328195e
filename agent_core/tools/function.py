"""Python functions as tools: `@tool` reads the signature and the docstring, checks arguments, makes text of results.

    @tool
    def add(a: int, b: int) -> int:
        "Adds two numbers."
        return a + b

Decorating costs next to nothing: the schema is built when it is first asked for.
"""

from __future__ import annotations

import inspect
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from threading import Event as Flag
from types import FrameType
from typing import TYPE_CHECKING, Generic, Literal, ParamSpec, TypeAlias, TypeVar, cast, overload

from msgspec import Struct
from msgspec.structs import replace

from ..approvals import Action, ApprovalRequest, Rule
from ..errors import CallerError, FatalToolError, ToolError
from ..items import JsonValue
from ..prompt import ToolSpec
from ..redaction import redacted
from .arguments import InvalidArguments, parse_arguments
from .base import DEFAULT_RETRIES, ToolCall, ToolContext, ToolOutput
from .capture import cut_middle

if TYPE_CHECKING:
    from .signature import Binding

__all__ = ["ApprovalRule", "ErrorRule", "FunctionTool", "tool"]

P = ParamSpec("P")
R = TypeVar("R")
_R = TypeVar("_R")

ApprovalRule: TypeAlias = bool | Callable[..., bool | str]
"""Whether to ask before a call: always, never, or what a function of some of its arguments, by name, says: False, True,
or a line for the person who is asked."""

ErrorRule: TypeAlias = Literal["tell", "fatal"] | Callable[[Exception], str]
"""What becomes of an exception: the model is told its type and words, the turn ends, or the model is told what a
function makes of it (which may raise FatalToolError)."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_TOLD_BYTES = 64 * 1024


class _Options(Struct, frozen=True):
    read_only: bool
    parallel: bool
    timeout_s: float | None
    approval: ApprovalRule
    strict: bool | None
    concurrency: int | None
    retries: int | None
    errors: ErrorRule
    deferred: bool

    def checked(self, name: str) -> _Options:
        for option, least in (("timeout_s", 0.0), ("concurrency", 1), ("retries", 0)):
            value: object = getattr(self, option)
            whole = option != "timeout_s"
            if value is None:
                continue
            wrong_kind = isinstance(value, bool) or not isinstance(value, int if whole else int | float)
            if wrong_kind or not least <= value < math.inf or (value == 0 and not whole):  # type: ignore[operator]  # a number by now
                wanted = f"a whole number from {least} up" if whole else "a number of seconds above 0"
                raise CallerError(f"{option} of tool {name!r} must be {wanted}, got {value!r:.100}")
        if not callable(self.errors) and self.errors not in ("tell", "fatal"):
            raise CallerError(
                f"errors of tool {name!r} must be 'tell', 'fatal' or a function, got {self.errors!r:.100}",
                remedy="a function gets the exception and returns what the model is told",
            )
        if not isinstance(self.approval, bool) and not callable(self.approval):
            raise CallerError(f"approval of tool {name!r} must be a bool or a function, got {self.approval!r:.100}")
        return self


class FunctionTool(Generic[P, R]):
    """A function the model may call; calling the object calls the plain function. Made by `tool`, or by `from_schema`.

    A synchronous function runs in a worker thread. Python cannot end a thread: when the call is cancelled or takes too
    long, the model is told that the function may still be at work, and it is left to finish on its own; at its end the
    program waits for it, too. So such a function should be quick, keep its own time limit, or look at
    `ToolContext.cancelled` now and then. A generator reports progress: what it yields is shown at once, what it returns
    (or its last value) is the result; cancelled, it is closed at its next `yield`.
    A parameter annotated `ToolContext` is given the call's context and is not shown to the model.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str,
        options: _Options,
        read: Callable[[], tuple[Binding, str]],
    ) -> None:
        self._function = function
        self.name = name
        self._options = options.checked(name)
        self._read_binding = read
        self._binding: Binding | None = None
        self._spec: ToolSpec | None = None
        self.__wrapped__ = function
        self.__name__ = getattr(function, "__name__", name)
        self.__doc__ = function.__doc__

    @staticmethod
    def from_schema(
        name: str,
        description: str,
        schema: Mapping[str, JsonValue],
        function: Callable[..., _R],
        *,
        read_only: bool = False,
        parallel: bool | None = None,
        timeout_s: float | None = None,
        approval: ApprovalRule = False,
        strict: bool | None = None,
        concurrency: int | None = None,
        retries: int | None = DEFAULT_RETRIES,
        errors: ErrorRule = "tell",
        deferred: bool = False,
    ) -> FunctionTool[..., _R]:
        """A tool whose parameters somebody else has described, by a JSON Schema.

        The model gets the schema as it is. Arguments are checked against it and handed over as one dict, the function's
        first parameter; a parameter annotated ToolContext gets the context. Raises CallerError for a schema that is
        none, describes no object, or refers to what is not in it (nothing is fetched). The rest is as with `tool`.
        """
        from .raw_schema import RawSchema

        binding = RawSchema(_checked_name(name), schema, function)
        options = _Options(
            read_only=read_only,
            parallel=read_only if parallel is None else parallel,
            timeout_s=timeout_s,
            approval=approval,
            strict=strict,
            concurrency=concurrency,
            retries=retries,
            errors=errors,
            deferred=deferred,
        )
        return FunctionTool(function, name=name, options=options, read=lambda: (binding, description))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"FunctionTool({self.name!r})"

    @property
    def spec(self) -> ToolSpec:
        """Raises CallerError if a parameter's type cannot be described to a model."""
        self._read()
        assert self._spec is not None
        return self._spec

    @property
    def read_only(self) -> bool:
        return self._options.read_only

    @property
    def parallel(self) -> bool:
        return self._options.parallel

    @property
    def timeout_s(self) -> float | None:
        return self._options.timeout_s

    @property
    def concurrency(self) -> int | None:
        return self._options.concurrency

    @property
    def retries(self) -> int | None:
        return self._options.retries

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        """Arguments the tool does not take are nothing to ask about: `run` says what is wrong with them."""
        rule = self._options.approval
        if rule is False:
            return None
        try:
            arguments = parse_arguments(call.arguments)
            named = self._read().named(arguments)
        except InvalidArguments:
            return None
        asked: bool | str = True
        if callable(rule):
            try:
                asked = rule(**{name: named.get(name) for name in _parameters_of(rule, named)})
            except Exception:  # noqa: BLE001 - the caller's rule failed: the safe answer is to ask
                asked = True
        if asked is False or asked == "":
            return None
        shown = ", ".join(f"{key}={_short(json.dumps(value))}" for key, value in arguments.items())
        key = json.dumps(arguments, sort_keys=True)
        words = (self.name, key)
        return ApprovalRequest(
            call_id=call.call_id,
            tool=self.name,
            summary=_short(asked if isinstance(asked, str) else f"{self.name}({shown})", 200),
            detail=call.arguments,
            risk="read" if self.read_only else "execute",
            key=key,
            cwd=str(context.cwd),
            actions=(Action("call", words, rule=Rule("call", words)),),
        )

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Raises InvalidArguments for arguments the tool does not take, and what the function raises, by its rule."""
        from .calling import call_function
        from .results import as_output

        call_is_over = Flag()
        context = replace(context, tool=self.name, cancelled=call_is_over.is_set)
        try:
            positional, named = self._read().bind(parse_arguments(call.arguments), context)
        except InvalidArguments as error:
            raise InvalidArguments(f"{self.name}: {error.message}", remedy=error.remedy) from None
        try:
            value = await call_function(self._function, positional, named, context, call_is_over)
        except ToolError:
            raise
        except Exception as error:  # noqa: BLE001 - the rule says what becomes of it
            return self._failed(error)
        try:
            return as_output(value)
        except ToolError as error:
            raise ToolError(f"{self.name}: {error.message}", remedy=error.remedy) from error.__cause__

    def _failed(self, error: Exception) -> ToolOutput:
        from ..cancellation import lone

        rule = self._options.errors
        only = lone(error)
        if rule == "tell" or isinstance(only, ToolError) or not isinstance(only, Exception):
            raise error
        if rule == "fatal":
            from .run import described

            raise FatalToolError(f"{self.name} failed: {described(only)}") from error
        try:
            told: object = rule(only)
        except ToolError:
            raise
        except Exception as broken:  # what failed first says more than a rule that failed on it
            raise error from broken
        return ToolOutput(redacted(cut_middle(str(told), MAX_TOLD_BYTES)[0]), success=False)

    def _read(self) -> Binding:
        if self._binding is None:
            binding, description = self._read_binding()
            options = self._options
            self._spec = ToolSpec(self.name, description, binding.schema, options.strict, options.deferred)
            self._binding = binding
        return self._binding


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    read_only: bool = False,
    parallel: bool | None = None,
    timeout_s: float | None = None,
    approval: ApprovalRule = False,
    strict: bool | None = None,
    concurrency: int | None = None,
    retries: int | None = DEFAULT_RETRIES,
    errors: ErrorRule = "tell",
    deferred: bool = False,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    read_only: bool = False,
    parallel: bool | None = None,
    timeout_s: float | None = None,
    approval: ApprovalRule = False,
    strict: bool | None = None,
    concurrency: int | None = None,
    retries: int | None = DEFAULT_RETRIES,
    errors: ErrorRule = "tell",
    deferred: bool = False,
) -> FunctionTool[P, R] | Callable[[Callable[P, R]], FunctionTool[P, R]]:
    """Makes a tool of a function: `@tool`, or `@tool(read_only=True, …)`.

    `name` and `description` default to the function's name and docstring. `read_only` promises no side effects;
    `parallel` (default: as `read_only`) allows overlap with other such tools. `timeout_s`: None for the loop's default.
    `strict` asks the provider to hold the model to the schema. Raises CallerError for a function that cannot
    be a tool: `*args`, `**kwargs`, an unbound method, a name no wire takes.

    `approval`: False (your own code needs none), True, or a function of some of the arguments, by name, such as
    `lambda amount: amount > 100`, see ApprovalRule. `errors`: what becomes of an exception, see ErrorRule; its words
    are told without what looks like a secret. `concurrency`: how many calls may run at once in a turn. `retries`: after
    so many responses in a row with arguments it does not take the model is warned, and the next one ends the turn; None
    never does. `deferred`: the model sees the tool only after it has found it with `tool_search`.
    """
    caller = sys._getframe(1)

    options = _Options(
        read_only=read_only,
        parallel=read_only if parallel is None else parallel,
        timeout_s=timeout_s,
        approval=approval,
        strict=strict,
        concurrency=concurrency,
        retries=retries,
        errors=errors,
        deferred=deferred,
    )

    def make(function: Callable[P, R]) -> FunctionTool[P, R]:
        tool_name = _checked_name(getattr(function, "__name__", "") if name is None else name)
        local_names = _check_parameters(function, tool_name, caller)
        if callable(approval):
            _check_rule(approval, function, tool_name)
        read = partial(_read_function, function, description, local_names)
        return FunctionTool(function, name=tool_name, options=options, read=read)

    return make if function is None else make(function)


def _read_function(
    function: Callable[..., object], description: str | None, local_names: Mapping[str, object]
) -> tuple[Binding, str]:
    from .docstrings import parse_docstring
    from .signature import read_signature

    plain: Callable[..., object] = function
    while isinstance(plain, partial):  # it has the docstring of `partial`
        plain = cast("partial[object]", plain).func
    docstring = parse_docstring(plain.__doc__)
    signature = read_signature(function, docstring, local_names=local_names)
    return signature, description if description is not None else docstring.description


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise CallerError(
            f"{name!r} cannot be a tool's name", remedy="pass name= with letters, digits, '_' or '-', at most 64"
        )
    return name


def _parameters_of(rule: Callable[..., object], known: Mapping[str, object]) -> list[str]:
    """The arguments a rule looks at; all of them where it takes `**rest`."""
    parameters = inspect.signature(rule).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return list(known)
    return list(parameters)


def _check_rule(rule: Callable[..., object], function: Callable[..., object], name: str) -> None:
    known = inspect.signature(function).parameters
    for word in _parameters_of(rule, known):
        if word not in known:
            raise CallerError(
                f"the approval rule of tool {name!r} looks at {word!r}, which is none of its parameters",
                remedy="name parameters of the tool function; the rule is called with those it names",
            )


def _check_parameters(function: Callable[..., object], name: str, caller: FrameType) -> dict[str, object]:
    """Refuses what a model cannot fill in. Returns the local names that the annotations of a nested function use."""
    if not callable(function) or isinstance(function, type):
        raise CallerError(f"@tool needs a function, got {function!r}", remedy="decorate a function")
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        raise CallerError(f"{name!r} has no signature to read", remedy="wrap it in a Python function") from None
    annotations: list[str] = []
    for number, (key, parameter) in enumerate(parameters.items()):
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else "**"
            raise CallerError(
                f"tool function {name!r} takes {stars}{key}, which no schema can describe", remedy="name its parameters"
            )
        if number == 0 and key in ("self", "cls") and parameter.annotation is inspect.Parameter.empty:
            raise CallerError(
                f"tool function {name!r} is a method that is not bound", remedy="use tool(instance.method) instead"
            )
        if isinstance(parameter.annotation, str):
            annotations.append(parameter.annotation)
    if not annotations or "<locals>" not in getattr(function, "__qualname__", ""):
        return {}
    words = set(re.findall(r"[^\W\d]\w*", " ".join(annotations)))
    return {word: caller.f_locals[word] for word in words.intersection(caller.f_locals)}


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[:limit] + "…"
