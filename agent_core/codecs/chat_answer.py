"""A Chat answer being put together: chunks of choice 0 in, events out, and at the end whole items.

The wire has no items, only "more text", "more reasoning", "more of call 2". So there is at most one reasoning item and
one message; each item is open from its first appearance to the end of the answer and is done there, in the order
reasoning, message, calls. Whoever feeds an answer decides when it ends, and calls `complete` or `cut` once.
"""

from __future__ import annotations

from typing import TypeAlias

from pydantic_core import from_json

from ..events import (
    Completed,
    Created,
    FinishReason,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningContentDelta,
    RefusalDelta,
    Response,
    ResponseEvent,
    ResponseStatus,
    ToolCallInputDelta,
    Usage,
)
from ..items import (
    AssistantPart,
    CustomToolCall,
    FunctionCall,
    ItemStatus,
    JsonObject,
    JsonValue,
    Message,
    Origin,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
)
from ..prompt import CustomToolSpec, Prompt
from .base import Compat, json_list, json_object, json_str
from .chat_pieces import CallPiece, Delta
from .chat_reasoning import REASONING_FIELDS, ReasoningDetails, details_text, reasoning_text, thinking_text
from .chat_words import decode_usage, finish_reason_of
from .tool_calls import PendingCall, ToolCallAssembler, made_up_id, maybe_cut, parse_arguments

__all__ = ["ChatAnswer", "custom_input"]

Events: TypeAlias = list[ResponseEvent]

_PLAIN_MEMBERS = frozenset({"role", "content"})
_CUT: frozenset[FinishReason] = frozenset({"length", "content_filter", "error"})
"""Reasons after which the last thing the model was writing is not whole."""

_UNNAMED = "unknown"
"""The name of a call that never got one. It is marked incomplete, so it is answered and never run (W-S1-15)."""


class ChatAnswer:
    """Feed chunks, then `complete` or `cut`. `native` is the wire's finish_reason once one came."""

    __slots__ = (
        "_annotations",
        "_announced",
        "_calls",
        "_compat",
        "_created",
        "_custom_names",
        "_details",
        "_ended",
        "_field",
        "_id",
        "_ids",
        "_lowered",
        "_message_index",
        "_model",
        "_native_cut",
        "_next",
        "_opaque",
        "_plain_origin",
        "_prompt_model",
        "_provider",
        "_reasoning",
        "_reasoning_index",
        "_reasoning_opaque",
        "_refusal",
        "_repeated",
        "_stop_sequence",
        "_text",
        "_usage",
        "native",
    )

    def __init__(self, prompt: Prompt, compat: Compat) -> None:
        self.native: str | None = None
        self._native_cut = False
        self._prompt_model = prompt.model
        self._provider = compat.provider
        self._compat = compat
        self._custom_names = {spec.name for spec in prompt.tools if isinstance(spec, CustomToolSpec)}
        self._created = False
        self._id = ""
        self._model = ""
        self._usage: Usage | None = None
        self._stop_sequence: str | None = None
        self._next = 0
        self._message_index = -1
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._annotations: list[JsonObject] = []
        self._opaque: JsonObject | None = None
        self._reasoning_index = -1
        self._reasoning: list[str] = []
        self._reasoning_opaque: JsonObject | None = None
        self._details = ReasoningDetails()
        self._field = ""
        self._calls = ToolCallAssembler()
        self._announced = 0  # calls that were, or never will be
        self._ids: set[str] = set()
        self._lowered: set[int] = set()  # places of custom calls that come as functions
        self._repeated: JsonObject | None = None
        self._plain_origin: Origin | None = None
        self._ended: Response | None = None

    # In

    def chunk(self, chunk: JsonObject, out: Events) -> JsonValue:
        """Take a chunk, or a whole completion. Returns the error its choice holds, if any."""
        if not self._created:
            self._begin(chunk, out)
        usage = chunk.get("usage")
        if usage or "x_groq" in chunk:
            self._on_usage(json_object(usage) or json_object((json_object(chunk.get("x_groq")) or {}).get("usage")))
        error: JsonValue = None
        choices = chunk.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict) and not choice.get("index"):
                    error = self._choice(choice, bool(usage), out) or error
        return error

    def piece(self, delta: Delta, out: Events) -> bool:
        """Take the delta of a plain chunk. False, and nothing was taken, where it has to be read in full."""
        if not self._created:
            return False
        text = delta.content
        if delta.tool_calls:
            more = text or delta.reasoning_content or delta.reasoning or len(delta.tool_calls) > 1
            return not more and self._fragment(delta.tool_calls[0], out)
        if delta.reasoning_content:
            self._on_reasoning(delta.reasoning_content, "reasoning_content", out)
        elif delta.reasoning:
            self._on_reasoning(delta.reasoning, "reasoning", out)
        if text:
            self._on_text(text, out)
        return True

    @property
    def answered(self) -> bool:
        """Something the caller can use has come: text, or calls that are all whole."""
        calls = self._calls.calls
        return bool(self._text) or (bool(calls) and all(call.name and call.whole for call in calls))

    # Out

    def complete(self, out: Events) -> None:
        """The answer ended well: finish all items and say why."""
        self._take_rest(out)
        reason, cut = self._reason()
        items = self._finish(self._items(cut), out)
        status: ResponseStatus = "incomplete" if reason in _CUT else "completed"
        self._ended = self._response(items, reason, status)
        out.append(
            Completed(
                self._id,
                self._model,
                reason,
                status,
                self._usage,
                native_reason=self.native,
                stop_sequence=self._stop_sequence,
            )
        )

    def cut(self, out: Events) -> None:
        """The answer broke off: finish all open items as incomplete."""
        self._take_rest(out)
        self._ended = self._response(self._finish(self._items(None), out), "error", "failed")

    def response(self) -> Response:
        """The answer so far with its items incomplete; after its end, the whole of it."""
        if self._ended is not None:
            return self._ended
        return self._response([item for _, item in self._items(None)], "unknown", "incomplete")

    def _response(self, items: list[ResponseItem], reason: FinishReason, status: ResponseStatus) -> Response:
        return Response(
            self._id,
            self._model,
            tuple(items),
            reason,
            status,
            self._usage,
            native_reason=self.native,
            stop_sequence=self._stop_sequence,
        )

    # Chunks

    def _begin(self, chunk: JsonObject, out: Events) -> None:
        self._id = self._id or json_str(chunk.get("id"))
        self._model = self._model or json_str(chunk.get("model"))
        if self._id or self._model:
            self._created = bool(self._id and self._model) or bool(chunk.get("choices"))
            if self._created and not self._next:
                out.append(Created(self._id, self._model))

    def _on_usage(self, raw: JsonObject | None) -> None:
        if raw:
            self._usage = decode_usage(raw, self._compat)

    def _choice(self, choice: JsonObject, usage_said: bool, out: Events) -> JsonValue:
        delta = choice.get("delta")
        if delta and isinstance(delta, dict):
            text = delta.get("content")
            if isinstance(text, str) and delta.keys() <= _PLAIN_MEMBERS:
                if text:
                    self._on_text(text, out)
            else:
                self._delta(delta, out)
        if "message" in choice:  # beside the delta (Perplexity, Writer), or instead of it
            self._repeated = json_object(choice["message"]) or self._repeated
        finish = choice.get("finish_reason")
        if finish and isinstance(finish, str):
            self.native = finish
            native = choice.get("native_finish_reason")
            # OpenRouter says tool_calls of calls that were cut; only the provider's own word tells (ODDITIES).
            self._native_cut |= isinstance(native, str) and finish_reason_of(native) == "length"
            for member in ("stop_reason", "matched_stop"):  # vLLM, SGLang: a string, or the number of a token
                self._stop_sequence = json_str(choice.get(member)) or self._stop_sequence
        if "usage" in choice and not usage_said:  # older Moonshot
            self._on_usage(json_object(choice["usage"]))
        return choice.get("error") or None

    def _delta(self, delta: JsonObject, out: Events) -> None:
        """Reasoning before text before calls: servers put them into one chunk in any order (W-S1-38)."""
        self._reasoning_delta(delta, out)
        content = delta.get("content")
        if isinstance(content, str):
            if content:
                self._on_text(content, out)
        elif content:
            self._content_list(json_list(content), out)
        if refusal := json_str(delta.get("refusal")):
            self._on_refusal(refusal, out)
        if annotations := delta.get("annotations"):
            self._on_annotations(json_list(annotations), out)
        if extra := delta.get("extra_content"):
            self._opaque = {"extra_content": extra}
        for element in json_list(delta.get("tool_calls")):
            if (call := json_object(element)) is not None:
                self._on_call(call, out)
        if (legacy := json_object(delta.get("function_call"))) is not None:
            self._on_call({"function": legacy}, out)

    def _reasoning_delta(self, delta: JsonObject, out: Events) -> None:
        details = delta.get("reasoning_details")
        if details:
            self._details.feed(json_list(details))
        for name in REASONING_FIELDS:
            value = delta.get(name)
            if value and (text := reasoning_text(value)):
                self._on_reasoning(text, name, out)
                break
        else:
            # Where text came in a field of its own, details repeat it, at times in another chunk.
            own_text = self._field not in ("", "reasoning_details")
            if details and not own_text and (text := details_text(details)):
                self._on_reasoning(text, "reasoning_details", out)
        if opaque := delta.get("reasoning_opaque"):  # Copilot
            self._reasoning_opaque = {"reasoning_opaque": opaque}
        if self._reasoning_index < 0 and (self._details or self._reasoning_opaque):
            self._open_reasoning(out)

    def _content_list(self, parts: list[JsonValue], out: Events) -> None:
        """Mistral's content parts: thinking and text."""
        for entry in parts:
            part: JsonObject = {"text": entry} if isinstance(entry, str) else json_object(entry) or {}
            if part.get("type") in ("thinking", "reasoning"):
                if text := thinking_text(part.get("thinking") or part.get("summary")):
                    self._on_reasoning(text, "content", out)
            elif text := json_str(part.get("text")):
                self._on_text(text, out)
            elif refusal := json_str(part.get("refusal")):
                self._on_refusal(refusal, out)

    def _on_text(self, text: str, out: Events) -> None:
        index = self._message_index
        if index < 0:
            index = self._open_message(out)
        self._text.append(text)
        out.append(OutputTextDelta(index, text))

    def _on_refusal(self, text: str, out: Events) -> None:
        index = self._message_index if self._message_index >= 0 else self._open_message(out)
        self._refusal.append(text)
        out.append(RefusalDelta(index, text))

    def _on_annotations(self, annotations: list[JsonValue], out: Events) -> None:
        for entry in annotations:
            if (annotation := json_object(entry)) and annotation not in self._annotations:
                self._annotations.append(annotation)
        if self._annotations and self._message_index < 0:
            self._open_message(out)

    def _on_reasoning(self, text: str, name: str, out: Events) -> None:
        self._field = self._field or name
        index = self._reasoning_index
        if index < 0:
            index = self._open_reasoning(out)
        self._reasoning.append(text)
        out.append(ReasoningContentDelta(index, text))

    def _on_call(self, delta: JsonObject, out: Events) -> None:
        fed = self._calls.feed(delta)
        if fed is None:
            return
        call, text = fed
        if call.event_index < 0:
            self._announce(out, final=False)
        elif text and self._streams(call):
            out.append(ToolCallInputDelta(call.event_index, call.call_id, text))

    def _fragment(self, piece: CallPiece, out: Events) -> bool:
        """`_on_call` where it appends to a call that was announced, and does nothing else."""
        call = self._calls.at(piece.index)
        if call is None or call.event_index < 0 or not self._streams(call):
            return False
        text = piece.function.arguments
        if text:
            call.pieces.append(text)
            out.append(ToolCallInputDelta(call.event_index, call.call_id, text))
        return True

    # Items

    def _open(self, item: ResponseItem, out: Events) -> int:
        index = self._next
        self._next += 1
        out.append(OutputItemAdded(index, item))
        return index

    def _open_message(self, out: Events) -> int:
        self._message_index = self._open(Message(role="assistant", origin=self._origin()), out)
        return self._message_index

    def _open_reasoning(self, out: Events) -> int:
        self._reasoning_index = self._open(Reasoning(origin=self._origin(self._reasoning_field())), out)
        return self._reasoning_index

    def _announce(self, out: Events, *, final: bool) -> None:
        """Add the calls that have a name and an id, in order of appearance; at the end, those without them too."""
        calls = self._calls.calls
        while self._announced < len(calls):
            call = calls[self._announced]
            if not final and not (call.name and call.call_id):
                return
            self._announced += 1
            if not (call.name or call.text):
                continue
            if not call.call_id or call.call_id in self._ids:
                call.call_id = made_up_id(self._id, call.number)
            self._ids.add(call.call_id)
            call.event_index = self._open(self._call_item(call, "", "completed"), out)
            if not self._streams(call):
                self._lowered.add(call.event_index)
            elif call.text:
                out.append(ToolCallInputDelta(call.event_index, call.call_id, call.text))

    def _take_rest(self, out: Events) -> None:
        """What only the end decides: what came in a `message` and in no delta, and calls without a name or an id."""
        if self._repeated is None:
            self._announce(out, final=True)
            return
        rest, self._repeated = dict(self._repeated), None
        seen = {
            "content": self._text,
            "refusal": self._refusal,
            "annotations": self._annotations,
            "tool_calls": self._calls.calls,
            "function_call": self._calls.calls,
            "reasoning_details": self._reasoning or self._details,
            **dict.fromkeys(REASONING_FIELDS, self._reasoning),
        }
        for name in [name for name, had in seen.items() if had]:
            rest.pop(name, None)
        # A message lists whole calls: each is one, even where neither id nor index says so.
        calls = [json_object(entry) for entry in json_list(rest.pop("tool_calls", None))]
        rest["tool_calls"] = [{**call, "index": number} for number, call in enumerate(calls) if call is not None]
        self._delta(rest, out)
        self._announce(out, final=True)

    def _reason(self) -> tuple[FinishReason, bool]:
        """Why the model stopped, and whether what it wrote last is cut. finish_reason alone is never trusted: calls
        that came are calls (W-S1-17), and without any there is nothing to run."""
        calls = any(call.event_index >= 0 for call in self._calls.calls)
        reason = finish_reason_of(self.native) if self.native else "unknown"
        if self._native_cut:
            reason = "length"
        if calls and reason in ("stop", "unknown"):
            reason = "tool_calls"
        elif not calls and reason == "tool_calls":
            reason = "stop"
        return reason, reason in _CUT

    def _items(self, cut: bool | None) -> list[tuple[int, ResponseItem]]:
        """The items with their places. `cut`: the last of them is not whole; None: none of them is."""
        calls = [call for call in self._calls.calls if call.event_index >= 0]
        out: list[tuple[int, ResponseItem]] = []
        if self._reasoning_index >= 0:
            last = not calls and self._message_index < 0
            out.append((self._reasoning_index, self._reasoning_item(_status(cut, last=last))))
        if self._message_index >= 0:
            out.append((self._message_index, self._message_item(_status(cut, last=not calls))))
        for call in calls:
            status = _status(cut, last=call is calls[-1])
            if not call.name or self._broken(call):
                status = "incomplete"  # cut, whatever the finish_reason says (vllm#53269)
            out.append((call.event_index, self._call_item(call, call.text, status)))
        return out

    def _broken(self, call: PendingCall) -> bool:
        """Whether a call's arguments were cut. Those of a lowered tool must be an object: its input is inside. Others
        may be any JSON value: where the schema does not bind them, vLLM's are `true` or `8` at times, and the model is
        to be told that it made a mistake, not that it was cut."""
        if call.custom:
            return False
        return maybe_cut(call.text) if self._streams(call) else parse_arguments(call.text) is None

    def _finish(self, items: list[tuple[int, ResponseItem]], out: Events) -> list[ResponseItem]:
        for index, item in items:
            if isinstance(item, CustomToolCall) and item.input and index in self._lowered:
                out.append(ToolCallInputDelta(index, item.call_id, item.input))
            out.append(OutputItemDone(index, item))
        return [item for _, item in items]

    def _message_item(self, status: ItemStatus) -> Message:
        parts: list[AssistantPart] = []
        if self._text or self._annotations:
            parts.append(OutputText(text="".join(self._text), annotations=tuple(self._annotations)))
        if self._refusal:
            parts.append(Refusal(refusal="".join(self._refusal)))
        return Message(
            role="assistant", content=tuple(parts), status=status, origin=self._origin(), opaque=self._opaque
        )

    def _reasoning_item(self, status: ItemStatus) -> Reasoning:
        return Reasoning(
            content=("".join(self._reasoning),) if self._reasoning else (),
            details=self._details.whole(),
            opaque=self._reasoning_opaque,
            status=status,
            origin=self._origin(self._reasoning_field()),
        )

    def _call_item(self, call: PendingCall, text: str, status: ItemStatus) -> FunctionCall | CustomToolCall:
        name, origin = call.name or _UNNAMED, self._origin()
        if call.custom or name in self._custom_names:
            text = text if call.custom else custom_input(text)
            return CustomToolCall(
                call_id=call.call_id, name=name, input=text, status=status, origin=origin, opaque=call.opaque
            )
        return FunctionCall(
            call_id=call.call_id, name=name, arguments=text, status=status, origin=origin, opaque=call.opaque
        )

    def _streams(self, call: PendingCall) -> bool:
        """Are the wire's pieces pieces of the item? Not of a custom tool that was lowered: there they are JSON."""
        return call.custom or call.name not in self._custom_names

    def _reasoning_field(self) -> str:
        return "reasoning_details" if self._details else self._field

    def _origin(self, name: str = "") -> Origin:
        if not name and self._plain_origin is not None:
            return self._plain_origin
        made = Origin(
            wire="chat",
            provider=self._provider,
            model=self._prompt_model or self._model,
            field=name,
            response_id=self._id,
        )
        if not name and self._created:  # neither id nor model will change
            self._plain_origin = made
        return made


def _status(cut: bool | None, *, last: bool) -> ItemStatus:
    return "incomplete" if cut is None or (cut and last) else "completed"


def custom_input(arguments: str) -> str:
    """The input of a custom tool from the arguments of the function it was lowered to: `{"input": …}`, also when cut;
    an object with one string under another name; anything else as it stands."""
    found = parse_arguments(arguments)
    if found is None:
        try:
            found = json_object(from_json(arguments, allow_partial="trailing-strings"))
        except ValueError:
            found = None
    if found is None:
        return arguments
    value = found.get("input")
    if not isinstance(value, str) and len(found) == 1:
        value = next(iter(found.values()))
    if isinstance(value, str):
        return value
    return arguments if found else ""
