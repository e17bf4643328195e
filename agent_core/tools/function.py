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
import re
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import aclosing
from threading import Event as Flag
from types import FrameType
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar, cast, overload

from msgspec.structs import replace

from ..approvals import Action, ApprovalRequest, Rule
from ..errors import CallerError, ToolError
from ..prompt import ToolSpec
from .arguments import InvalidArguments, check_arguments, parse_arguments
from .base import ToolCall, ToolContext, ToolOutput

if TYPE_CHECKING:
    from .signature import Signature

__all__ = ["FunctionTool", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

ApprovalRule = bool | Callable[[ToolCall], ApprovalRequest | None]
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class FunctionTool(Generic[P, R]):
    """A function the model may call; calling the object calls the plain function. Made by `tool`.

    A synchronous function runs in a worker thread. Python cannot end a thread: when the call is cancelled or takes too
    long, the model is told that the function may still be at work, and it is left to finish on its own; at its end the
    program waits for it, too. So such a function should be quick, keep its own time limit, or look at
    `ToolContext.cancelled` now and then. A generator reports progress: what it yields is shown, its last value (or what
    it returns) is the result; cancelled, it is closed at its next `yield`.
    A parameter annotated `ToolContext` is given the call's context and is not shown to the model.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str,
        description: str | None,
        read_only: bool,
        parallel: bool,
        timeout_s: float | None,
        approval: ApprovalRule,
        strict: bool | None,
        local_names: Mapping[str, object],
    ) -> None:
        self._function = function
        self.name = name
        self._description = description
        self._read_only = read_only
        self._parallel = parallel
        self._timeout_s = timeout_s
        self._approval = approval
        self._strict = strict
        self._local_names = local_names
        self._signature: Signature | None = None
        self._spec: ToolSpec | None = None
        self.__wrapped__ = function
        self.__name__ = getattr(function, "__name__", name)
        self.__doc__ = function.__doc__

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
        return self._read_only

    @property
    def parallel(self) -> bool:
        return self._parallel

    @property
    def timeout_s(self) -> float | None:
        return self._timeout_s

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        if not isinstance(self._approval, bool):
            try:
                return self._approval(call)
            except Exception:  # noqa: BLE001 - the caller's rule failed (on bad arguments, as a rule): the safe answer is to ask
                return self._ask(call, context)
        return self._ask(call, context) if self._approval else None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Arguments or results that are wrong become a failed output; what the function raises is raised."""
        signature = self._read()
        try:
            arguments = check_arguments(signature.model, parse_arguments(call.arguments))
        except InvalidArguments as error:
            return ToolOutput(f"{self.name}: {error.message}; {error.remedy}", success=False)
        call_is_over = Flag()
        positional, named = signature.bind(arguments, replace(context, cancelled=call_is_over.is_set))
        value = await _call(self._function, positional, named, context, call_is_over)
        from .results import as_output

        try:
            return as_output(value)
        except ToolError as error:
            return ToolOutput(f"{self.name}: {error.message}; {error.remedy}", success=False)

    def _read(self) -> Signature:
        if self._signature is None:
            from .docstrings import parse_docstring
            from .signature import read_signature

            docstring = parse_docstring(self._function.__doc__)
            signature = read_signature(self._function, docstring, local_names=self._local_names)
            description = self._description if self._description is not None else docstring.description
            self._spec = ToolSpec(self.name, description, signature.schema, self._strict)
            self._signature = signature
        return self._signature

    def _ask(self, call: ToolCall, context: ToolContext) -> ApprovalRequest:
        try:
            arguments = parse_arguments(call.arguments)
            shown = ", ".join(f"{key}={_short(json.dumps(value))}" for key, value in arguments.items())
            key = json.dumps(arguments, sort_keys=True)
        except InvalidArguments:
            shown = key = _short(call.arguments)
        words = (self.name, key)
        return ApprovalRequest(
            call_id=call.call_id,
            tool=self.name,
            summary=_short(f"{self.name}({shown})", 200),
            detail=call.arguments,
            risk="read" if self._read_only else "execute",
            key=key,
            cwd=str(context.cwd),
            actions=(Action("call", words, rule=Rule("call", words)),),
        )


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
) -> FunctionTool[P, R] | Callable[[Callable[P, R]], FunctionTool[P, R]]:
    """Makes a tool of a function: `@tool`, or `@tool(read_only=True, …)`.

    `name` and `description` default to the function's name and docstring. `read_only` promises no side effects;
    `parallel` (default: as `read_only`) allows overlap with other such tools. `timeout_s`: None for the loop's default.
    `approval`: False (your own code needs none), True, or a function that says what to ask for a call, None for
    nothing. `strict` asks the provider to hold the model to the schema. Raises CallerError for a function that cannot
    be a tool: `*args`, `**kwargs`, an unbound method, a name no wire takes.
    """
    caller = sys._getframe(1)

    def make(function: Callable[P, R]) -> FunctionTool[P, R]:
        tool_name = getattr(function, "__name__", "") if name is None else name
        if not _NAME.fullmatch(tool_name):
            raise CallerError(
                f"{tool_name!r} cannot be a tool's name",
                remedy="pass name= with letters, digits, '_' or '-', at most 64",
            )
        return FunctionTool(
            function,
            name=tool_name,
            description=description,
            read_only=read_only,
            parallel=read_only if parallel is None else parallel,
            timeout_s=timeout_s,
            approval=approval,
            strict=strict,
            local_names=_check_parameters(function, tool_name, caller),
        )

    return make if function is None else make(function)


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


# --- calling ---------------------------------------------------------------------------------------------------------


async def _call(
    function: Callable[..., object],
    positional: list[object],
    named: dict[str, object],
    context: ToolContext,
    over: Flag,
) -> object:
    """The function's value, wherever its kind has to run."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        value: object = function(*positional, **named)
    else:
        value = await _call_in_thread(function, positional, named, context, over)
    if inspect.isasyncgen(value):
        return await _exhaust_async(cast("AsyncGenerator[object]", value), context)
    return await cast("Awaitable[object]", value) if inspect.isawaitable(value) else value


async def _call_in_thread(
    function: Callable[..., object],
    positional: list[object],
    named: dict[str, object],
    context: ToolContext,
    over: Flag,
) -> object:
    """One thread for the whole call, a generator's steps included: connections and locks may belong to a thread."""
    from anyio import from_thread, get_cancelled_exc_class, to_thread

    ended = False

    def show(text: str) -> bool:
        """Shows progress. False once the call was cancelled: its thread has been abandoned."""
        if not over.is_set():
            from_thread.run(emit, text)
        return not over.is_set()

    async def emit(text: str) -> None:
        await context.emit(text)

    def work() -> tuple[object]:  # boxed: trio refuses a thread's result that is a coroutine
        nonlocal ended
        try:
            value = function(*positional, **named)
            if inspect.isgenerator(value):
                value = _exhaust(cast("Generator[object, None, object]", value), show)
            return (value,)
        finally:
            ended = True

    try:
        return (await to_thread.run_sync(work, abandon_on_cancel=True))[0]
    except get_cancelled_exc_class() as cancelled:
        if not ended:
            cancelled.add_note("the function could not be interrupted and may still be at work")
        raise
    finally:
        over.set()


def _exhaust(generator: Generator[object, None, object], show: Callable[[str], bool]) -> object:
    from .results import as_text

    last: list[object] = []  # the newest value: progress as soon as there is another, the result if there is none
    try:
        while True:
            value = next(generator)
            if last and not show(as_text(last[0])):
                break
            last = [value]
    except StopIteration as stop:
        if stop.value is None:
            return last[0] if last else None
        if last:
            show(as_text(last[0]))
        return stop.value
    finally:
        generator.close()
    return None


async def _exhaust_async(generator: AsyncGenerator[object], context: ToolContext) -> object:
    from .results import as_text

    last: list[object] = []
    async with aclosing(generator) as values:
        async for value in values:
            if last:
                await context.emit(as_text(last[0]))
            last = [value]
    return last[0] if last else None
