"""The spans of a run, and what is measured when they end.

    invoke_agent                one turn; current in the loop's own task: what tools and approvals do is below it
      chat {model}              one answer with its retries; current while the request is opened
      execute_tool {tool}       one call; current while the tool runs
      compact                   current while a summary is made

Errors set `error.type` and the status; being cancelled, denied or limited is none. No message of an error is recorded:
it may quote what was said. Every method may be called where nobody records.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar
from urllib.parse import urlsplit

from ..errors import ModelError
from ..events import Attempt, Completed, Response, Usage
from ..items import Compaction, ResponseItem
from ..prices import Cost
from ..prompt import Prompt
from ..providers import Resolved
from . import content, names
from .context import Around, around, current, with_around
from .sink import Sink, Telemetry

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from ..retry import RetryScheduled

__all__ = [
    "CallSpan",
    "CompactionSpan",
    "Spent",
    "ToolSpan",
    "TurnSpan",
    "call_span",
    "compaction_span",
    "error_type",
    "set_values",
    "tool_span",
    "turn_span",
    "usage_values",
]

_Event = TypeVar("_Event")
Value: TypeAlias = str | bool | int | float | list[str]
Labels: TypeAlias = dict[str, str | int]


class Spent(Protocol):
    """What a turn has used so far."""

    samples: int
    tool_calls: int
    usage: Usage

    @property
    def cost(self) -> Cost | None: ...


class CallSpan:
    """One call of a model: `end` must be called, all else as it happens."""

    __slots__ = ("_earlier", "_error", "_labels", "_prompt", "_said", "_sink", "_span", "_started", "_usage")

    def __init__(self, sink: Sink | None, span: Span | None, labels: Labels, prompt: Prompt) -> None:
        self._sink = sink
        self._span = span
        self._labels = labels
        self._prompt = prompt
        self._started = perf_counter()
        self._error = ""
        self._usage: Usage | None = None
        self._earlier: Sequence[Attempt] = ()
        self._said: Callable[[], Response] | None = None

    def current(self) -> AbstractContextManager[None]:
        return current(self._span)

    def retried(self, scheduled: RetryScheduled) -> None:
        if self._span is not None:
            self._span.add_event(names.RETRY, _retry_attributes(scheduled))

    def opened(self, request_id: str | None, earlier: Sequence[Attempt]) -> None:
        """The first content event is there."""
        if self._span is None or self._sink is None:
            return
        self._earlier = earlier
        took = perf_counter() - self._started
        self._span.set_attribute(names.TIME_TO_FIRST_CHUNK, took)
        if request_id:
            self._span.set_attribute(names.REQUEST_ID, request_id)
        self._sink.record(names.FIRST_CHUNK, took, self._labels)
        self._sink.record(names.OLD_FIRST_CHUNK, took, self._labels)

    def ended(self, end: Completed | None, error: ModelError | None, said: Callable[[], Response]) -> None:
        """How a stream ended; neither is there when its reader left early. `said` gives the answer so far."""
        if self._span is None:
            return
        self._said = said
        if error is not None:
            self.failed(error)
        elif end is not None:
            self._answered(end.response_id, end.model, end.finish_reason, end.usage)

    def answered(self, response: Response, earlier: Sequence[Attempt]) -> None:
        """A whole answer, and what attempts before it had used."""
        self._earlier = earlier
        self._said = lambda: response
        self._answered(response.id, response.model, response.finish_reason, response.usage)

    def failed(self, error: Exception) -> None:
        if self._span is None:
            return
        self._error = error_type(error)
        if not isinstance(error, ModelError):
            return
        self._earlier = error.earlier
        if error.partial is not None:
            self._usage = error.partial.usage
            set_values(self._span, {names.RESPONSE_ID: error.partial.id, names.RESPONSE_MODEL: error.partial.model})
        if error.request_id:
            self._span.set_attribute(names.REQUEST_ID, error.request_id)
        if error.status is not None:
            self._span.set_attribute(names.STATUS_CODE, error.status)

    def end(self) -> None:
        """The call is over, whatever came of it. Idempotent."""
        span, sink, self._span = self._span, self._sink, None
        if span is None or sink is None:
            return
        usage = self._usage
        for attempt in self._earlier:
            counted = attempt.response.usage or Usage()
            usage = counted if usage is None else usage + counted
        if usage is not None:
            set_values(span, usage_values(usage))
        self._content(span, sink)
        _close(span, self._error)
        self._measure(sink, usage)

    def _answered(self, response_id: str, model: str, finish_reason: str, usage: Usage | None) -> None:
        if self._span is None:
            return
        self._usage = usage
        self._span.set_attribute(names.FINISH_REASONS, [finish_reason])
        set_values(self._span, {names.RESPONSE_ID: response_id, names.RESPONSE_MODEL: model})
        if model:
            self._labels[names.RESPONSE_MODEL] = model

    def _measure(self, sink: Sink, usage: Usage | None) -> None:
        labels = self._labels
        used = usage or Usage()
        tokens = {**labels, names.TOKEN_MODALITY: "unknown"}
        sink.count(names.USED_INPUT, used.input_total, tokens)
        sink.count(names.USED_OUTPUT, used.output_total, tokens)
        for name, number in _parts(used, names.USED_CACHE_READ, names.USED_CACHE_WRITE, names.USED_REASONING):
            sink.count(name, number, tokens)
        if usage is not None:
            for name, kind, number in (
                (names.CALL_INPUT, "input", usage.input_total),
                (names.CALL_OUTPUT, "output", usage.output_total),
            ):
                sink.record(name, number, labels)
                sink.record(names.OLD_TOKENS, number, {**labels, names.TOKEN_TYPE: kind})
        if self._error:
            labels = {**labels, names.ERROR: self._error}
        took = perf_counter() - self._started
        sink.record(names.CALL_DURATION, took, labels)
        sink.record(names.OLD_DURATION, took, labels)

    def _content(self, span: Span, sink: Sink) -> None:
        """What was said, where it is asked for."""
        if not (sink.content.on_spans or sink.content.in_events):
            return
        said = () if self._said is None else self._said().items
        found = {
            names.INPUT_MESSAGES: content.messages(self._prompt.items),
            names.INSTRUCTIONS: content.instructions(self._prompt.instructions),
            names.TOOL_DEFINITIONS: content.tool_definitions(self._prompt.tools),
            names.OUTPUT_MESSAGES: content.messages(said),
        }
        found = {name: value for name, value in found.items() if value}
        if sink.content.on_spans:
            for name, value in found.items():
                span.set_attribute(name, content.json_text(value))
        if sink.content.in_events:
            with current(span):
                sink.emit(names.DETAILS, {**self._labels, **found})


def call_span(telemetry: Telemetry, resolved: Resolved, prompt: Prompt, *, streamed: bool) -> CallSpan:
    """The span of one call to a model, retries included."""
    sink = telemetry.sink()
    if sink is None:
        return CallSpan(None, None, {}, prompt)
    from opentelemetry.trace import SpanKind

    address = urlsplit(resolved.url)
    labels: Labels = {
        names.OPERATION: names.CHAT,
        names.PROVIDER: names.provider_name(resolved.provider.name),
        names.REQUEST_MODEL: prompt.model or resolved.model,
        names.SERVER: address.hostname or "",
        names.PORT: address.port or (443 if address.scheme == "https" else 80),
    }
    span = sink.tracer.start_span(
        names.span_name(names.CHAT, prompt.model or resolved.model),
        kind=SpanKind.CLIENT,
        attributes={**labels, **_request_attributes(prompt, streamed=streamed), names.WIRE: resolved.wire},
    )
    return CallSpan(sink, span, labels, prompt)


class TurnSpan:
    """One turn of an agent."""

    __slots__ = ("_sink", "_span", "_stop", "_text")

    def __init__(self, sink: Sink | None, span: Span | None) -> None:
        self._sink = sink
        self._span = span
        self._stop = ""

    def watching(self, emit: Callable[[_Event], Awaitable[None]]) -> Callable[[_Event], Awaitable[None]]:
        """`emit`, and the span told of streams that are sampled again and of fallbacks; bare if nobody records."""
        span = self._span
        if span is None:
            return emit
        from ..retry import FellBack, RetryScheduled

        async def watched(event: _Event) -> None:
            if isinstance(event, RetryScheduled) and event.stage == "stream":
                span.add_event(names.RESTART, _retry_attributes(event))
            elif isinstance(event, FellBack):
                fell: dict[str, Value] = {
                    names.FAILED_MODEL: event.failed,
                    names.NEXT_MODEL: event.model,
                    names.REASON: event.reason,
                }
                span.add_event(names.FALLBACK, fell)
            await emit(event)

        return watched

    def stopped(self, stop_reason: str) -> None:
        """Why the turn is over. Without it, it was cancelled or failed."""
        self._stop = stop_reason

    @property
    def stop_reason(self) -> str:
        return self._stop


@contextmanager
def turn_span(
    telemetry: Telemetry,
    *,
    model: str,
    agent: str,
    conversation: str,
    turn_id: str,
    base: Prompt,
    said: Sequence[ResponseItem],
    spent: Spent,
    answer: Callable[[], Sequence[ResponseItem]],
) -> Generator[TurnSpan]:
    """Around one turn: `model` is "provider/model", `said` what the user says, `spent` what it used when it ends,
    `answer` the items it added."""
    sink = telemetry.sink()
    if sink is None:
        yield TurnSpan(None, None)
        return
    from opentelemetry.trace import SpanKind

    provider, _, name = model.partition("/")
    attributes: dict[str, Value] = {
        names.OPERATION: names.INVOKE_AGENT,
        names.PROVIDER: names.provider_name(provider),
        names.REQUEST_MODEL: name,
        names.CONVERSATION: conversation,
        names.TURN: turn_id,
    }
    _add(attributes, {names.AGENT: agent, names.OUTPUT_TYPE: "json" if base.output_schema else ""})
    span = sink.tracer.start_span(
        names.span_name(names.INVOKE_AGENT, agent), kind=SpanKind.INTERNAL, attributes=attributes
    )
    turn, started, error = TurnSpan(sink, span), perf_counter(), ""
    try:
        with current(span, with_around(Around(conversation, agent))):
            yield turn
    except Exception as failure:
        error = error_type(failure)
        raise
    finally:
        stop = "error" if error else turn.stop_reason or "cancelled"
        used: dict[str, Value] = {
            names.STOP_REASON: stop,
            names.SAMPLES: spent.samples,
            names.TOOL_CALLS: spent.tool_calls,
        }
        if spent.cost is not None:
            used |= {names.COST: float(spent.cost.amount), names.CURRENCY: spent.cost.currency}
        set_values(span, {**used, **usage_values(spent.usage)})
        if sink.content.on_spans:
            _show(span, names.INPUT_MESSAGES, content.messages(said))
            _show(span, names.INSTRUCTIONS, content.instructions(base.instructions))
            _show(span, names.OUTPUT_MESSAGES, content.messages(answer()))
        _close(span, error)
        labels: Labels = {names.AGENT: agent} if agent else {}
        sink.record(names.AGENT_CALLS, spent.samples, labels)
        sink.record(names.AGENT_TOOL_CALLS, spent.tool_calls, labels)
        labels |= {names.OPERATION: names.INVOKE_AGENT}
        if error:
            labels |= {names.ERROR: error}
        sink.record(names.AGENT_DURATION, perf_counter() - started, labels)


class ToolSpan:
    """One run of a tool."""

    __slots__ = ("outcome", "result")

    def __init__(self) -> None:
        self.outcome = "cancelled"
        self.result: Callable[[], str] | None = None

    def answered(self, outcome: str, result: Callable[[], str]) -> None:
        """What came of it; `result` is called only where content is recorded."""
        self.outcome = outcome
        self.result = result


@contextmanager
def tool_span(telemetry: Telemetry, name: str, call_id: str, arguments: str) -> Generator[ToolSpan]:
    """Around the running of a tool. A block that is left without `answered` was cancelled."""
    sink = telemetry.sink()
    if sink is None:
        yield ToolSpan()
        return
    from opentelemetry.trace import SpanKind

    agent = around().agent
    labels: Labels = {names.OPERATION: names.EXECUTE_TOOL, names.TOOL: name, names.TOOL_TYPE: "function"}
    if agent:
        labels[names.AGENT] = agent
    span = sink.tracer.start_span(
        names.span_name(names.EXECUTE_TOOL, name),
        kind=SpanKind.INTERNAL,
        attributes={**labels, names.TOOL_CALL_ID: call_id},
    )
    tool, started = ToolSpan(), perf_counter()
    try:
        with current(span):
            yield tool
    finally:
        error = "" if tool.outcome in ("ok", "cancelled") else tool.outcome
        span.set_attribute(names.OUTCOME, tool.outcome)
        if sink.content.on_spans:
            span.set_attribute(names.TOOL_ARGUMENTS, content.shown(arguments))
            if tool.result is not None:
                span.set_attribute(names.TOOL_RESULT, content.shown(tool.result()))
        _close(span, error)
        if error:
            labels[names.ERROR] = error
        sink.record(names.TOOL_DURATION, perf_counter() - started, labels)


class CompactionSpan:
    """One attempt to put a summary in the place of a history."""

    __slots__ = ("_span",)

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def finished(self, kind: str, tokens_after: int, replaced: int) -> None:
        if self._span is not None:
            told: dict[str, Value] = {
                names.COMPACTION_KIND: kind,
                names.TOKENS_AFTER: tokens_after,
                names.REPLACED: replaced,
            }
            set_values(self._span, told)


@contextmanager
def compaction_span(telemetry: Telemetry, reason: str, tokens: int, conversation: str) -> Generator[CompactionSpan]:
    """Around a compaction."""
    sink = telemetry.sink()
    if sink is None:
        yield CompactionSpan(None)
        return
    attributes: dict[str, Value] = {
        names.OPERATION: names.COMPACT,
        names.CONVERSATION: conversation,
        names.COMPACTION_REASON: reason,
        names.TOKENS_BEFORE: tokens,
    }
    span = sink.tracer.start_span(names.COMPACT, attributes=attributes)
    error = ""
    try:
        with current(span, with_around(Around(conversation, around().agent))):
            yield CompactionSpan(span)
    except Exception as failure:
        error = error_type(failure)
        raise
    finally:
        _close(span, error)


def _retry_attributes(scheduled: RetryScheduled) -> dict[str, Value]:
    return {
        names.ATTEMPT: scheduled.attempt,
        names.REASON: scheduled.reason,
        names.DELAY_S: scheduled.delay_s,
        names.WILL_RETRY: scheduled.will_retry,
    }


def error_type(error: BaseException) -> str:
    """The stable word of a model's error, the class of any other."""
    return error.reason if isinstance(error, ModelError) else type(error).__name__


def _request_attributes(prompt: Prompt, *, streamed: bool) -> dict[str, Value]:
    sampling, reasoning = prompt.sampling, prompt.reasoning
    asked: dict[str, Value | None] = {
        names.CONVERSATION: around().conversation,
        names.OUTPUT_TYPE: "json" if prompt.output_schema else "",
        names.STREAM: streamed or None,
        names.COMPACTED: any(isinstance(item, Compaction) for item in prompt.items) or None,
        names.MAX_TOKENS: prompt.max_output_tokens,
        names.TEMPERATURE: sampling.temperature,
        names.TOP_P: sampling.top_p,
        names.TOP_K: sampling.top_k,
        names.SEED: sampling.seed,
        names.FREQUENCY_PENALTY: sampling.frequency_penalty,
        names.PRESENCE_PENALTY: sampling.presence_penalty,
        names.REASONING_LEVEL: reasoning.effort if reasoning else None,
        names.PREVIOUS_RESPONSE: prompt.previous_response_id,
    }
    found: dict[str, Value] = {}
    _add(found, asked)
    return found


def usage_values(usage: Usage) -> dict[str, Value]:
    """What was used, by the names of spans."""
    found: dict[str, Value] = {names.INPUT_TOKENS: usage.input_total, names.OUTPUT_TOKENS: usage.output_total}
    found.update(_parts(usage, names.CACHE_READ_TOKENS, names.CACHE_WRITE_TOKENS, names.REASONING_TOKENS))
    return found


def _parts(usage: Usage, read: str, written: str, reasoning: str) -> list[tuple[str, int]]:
    """Those that are not nothing."""
    counts = ((read, usage.cache_read), (written, usage.cache_write), (reasoning, usage.reasoning))
    return [(name, number) for name, number in counts if number]


def _add(found: dict[str, Value], more: dict[str, Value | None]) -> None:
    """What says something."""
    found.update({name: value for name, value in more.items() if value is not None and value != ""})


def set_values(span: Span, attributes: dict[str, Value]) -> None:
    """What is not empty."""
    for name, value in attributes.items():
        if value != "":
            span.set_attribute(name, value)


def _show(span: Span, name: str, value: Sequence[object]) -> None:
    if value:
        span.set_attribute(name, content.json_text(list(value)))  # type: ignore[arg-type]


def _close(span: Span, error: str) -> None:
    if error:
        from opentelemetry.trace import Status, StatusCode

        span.set_attribute(names.ERROR, error)
        span.set_status(Status(StatusCode.ERROR))
    span.end()
