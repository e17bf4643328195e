"""Calling a function where its kind has to run: coroutines here, plain functions in a thread, generators to the end."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from threading import Event as Flag
from typing import cast

from .base import ToolContext
from .results import as_text

__all__ = ["call_function"]

MAX_AWAITED = 5
"""How often what was awaited may give something to await: a coroutine that was forgotten is no result."""


async def call_function(
    function: Callable[..., object],
    positional: list[object],
    named: dict[str, object],
    context: ToolContext,
    over: Flag,
) -> object:
    """The function's value. `over` is set as soon as nobody waits for it any more."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        value: object = function(*positional, **named)
    else:
        value = await _call_in_thread(function, positional, named, context, over)
    for _ in range(MAX_AWAITED):
        if not inspect.isawaitable(value):
            break
        value = await cast("Awaitable[object]", value)
    if inspect.isasyncgen(value):
        return await _exhaust_async(cast("AsyncGenerator[object]", value), context)
    return value


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
    """What it returns, or else its last value. Every value is shown at once: the next one may take long."""
    last: object = None
    try:
        while True:
            last = next(generator)
            if not show(as_text(last)):
                return None
    except StopIteration as stop:
        return last if stop.value is None else stop.value
    finally:
        generator.close()


async def _exhaust_async(generator: AsyncGenerator[object], context: ToolContext) -> object:
    last: object = None
    async with aclosing(generator) as values:
        async for last in values:
            await context.emit(as_text(last))
    return last
