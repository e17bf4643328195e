"""Items → the `messages` of a Chat request, one step at a time.

What the model made between two things of ours is one assistant message, `{role, content, reasoning, tool_calls}`, and
its outputs follow at once as tool messages (W-S1-05). Replay has put the items into an order in which that is all there
is to do. A message is written when what follows it comes, and is never touched again, so a longer history repeats the
messages of the shorter one; `merge_system` is the one profile that gives this up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from ..items import (
    ContentPart,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputFile,
    InputImage,
    InputText,
    JsonObject,
    JsonValue,
    LocalShellCall,
    Message,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    text_of,
)
from .base import Compat, Loss, json_bytes, json_str
from .chat_reasoning import put_reasoning

__all__ = ["ChatMessages", "call_name", "encode_call", "input_message", "is_system", "refusal_of", "text_of_message"]

SEE_IMAGES = "(see attached image)"
IMAGES_OF_TOOLS = "Images from the tool results above:"


class ChatMessages:
    """Feed items, in the order replay gives; `take` the messages that are whole. `close` ends the last step, and
    returns the rest. What has no place in them is added to `losses`."""

    __slots__ = ("_calls", "_compat", "_images", "_losses", "_made", "_messages", "_names", "_reasonings")

    def __init__(self, compat: Compat, losses: list[Loss]) -> None:
        self._compat = compat
        self._losses = losses
        self._messages: list[JsonValue] = []
        self._reasonings: list[Reasoning] = []  # of the open step, as are the next two
        self._made: list[Message] = []
        self._calls: list[JsonValue] = []
        self._names: dict[str, str] = {}  # of calls, by id, for servers that want them on outputs
        self._images: list[JsonValue] = []  # of outputs, for servers that take none there

    def feed(self, item: ResponseItem) -> None:
        # `type` and not the class: a pydantic class is asked slowly whether something is one of its own.
        if item.type == "function_call_output" or item.type == "custom_tool_call_output":
            self._end_step()
            self._messages.append(self._tool_message(item))
        elif item.type == "reasoning":
            self._end_outputs()
            self._reasonings.append(item)
        elif item.type == "message":
            if item.role != "assistant":
                self._end_step()
            self._end_outputs()
            if item.role == "assistant":
                self._made.append(item)
            else:
                self._messages.append(input_message(item, self._compat, self._losses))
        elif item.type == "function_call" or item.type == "custom_tool_call" or item.type == "local_shell_call":
            self._end_outputs()
            self._calls.append(encode_call(item, self._compat))
            self._names[item.call_id] = call_name(item)
        else:
            self._losses.append(Loss("item", item.type))

    @property
    def at_rest(self) -> bool:
        """No step is open and no images wait: nothing that follows joins in."""
        return not (self._made or self._calls or self._reasonings or self._images)

    def take(self) -> list[JsonValue]:
        messages, self._messages = self._messages, []
        return messages

    def close(self) -> list[JsonValue]:
        self._end_step()
        self._end_outputs()
        return self.take()

    def _end_step(self) -> None:
        if not (self._made or self._calls or self._reasonings):
            return
        message = assistant_message(self._made, self._reasonings, self._calls, self._compat, self._losses)
        if message is not None:
            self._messages.append(message)
        self._made, self._calls, self._reasonings = [], [], []

    def _end_outputs(self) -> None:
        """Images that tool messages cannot hold follow the last of them, as the user's (providers.md 3d)."""
        if self._images:
            heading: JsonObject = {"type": "text", "text": IMAGES_OF_TOOLS}
            self._messages.append({"role": "user", "content": [heading, *self._images]})
            self._images = []

    def _tool_message(self, item: FunctionCallOutput | CustomToolCallOutput) -> JsonObject:
        message: JsonObject = {"role": "tool", "tool_call_id": item.call_id}
        if self._compat.tool_message_name and item.call_id in self._names:
            message["name"] = self._names[item.call_id]
        prefix = self._compat.error_prefix if item.success is False else ""
        if isinstance(item.output, str):
            message["content"] = _prefixed(item.output, prefix)
            return message
        parts = [input_part(part, self._compat, self._losses) for part in item.output]
        text = "\n".join(_part_text(part) for part in parts if _is_text(part))
        media: list[JsonValue] = [part for part in parts if not _is_text(part)]
        if media and self._compat.images_in_tool_results and not self._compat.content_as_string:
            heading: list[JsonValue] = [{"type": "text", "text": prefix.strip()}] if prefix else []
            message["content"] = [*heading, *parts]
        else:
            message["content"] = _prefixed(text or (SEE_IMAGES if media else ""), prefix)
            self._images.extend(media)
        return message


def assistant_message(
    made: Sequence[Message],
    reasonings: Sequence[Reasoning],
    calls: Sequence[JsonValue],
    compat: Compat,
    losses: list[Loss],
) -> JsonObject | None:
    """One step as one message; None for reasoning without anything it belongs to.

    Content is a string (S1-14); a refusal is its text, since servers other than OpenAI know no `refusal` member.
    """
    if not made and not calls:
        losses.append(Loss("reasoning", "it belongs to no message and no call"))
        return None
    text = "\n\n".join([text for text in map(text_of_message, made) if not text.isspace() and text])
    message: JsonObject = {"role": "assistant"}
    if text or not calls:
        message["content"] = text
    elif not compat.omit_null_content:
        message["content"] = None
    put_reasoning(message, reasonings, compat)
    for item in made:
        message.update(item.opaque or {})
        if item.phase is not None:
            losses.append(Loss("phase"))
    if calls:
        message["tool_calls"] = list(calls)
    return message


def encode_call(item: FunctionCall | CustomToolCall | LocalShellCall, compat: Compat) -> JsonObject:
    """One element of `tool_calls`. Kinds the server lacks are functions, as replay writes them too."""
    call: JsonObject = {"id": item.call_id, "type": "function"}
    match item:
        case FunctionCall():
            call["function"] = {"name": item.name, "arguments": item.arguments if item.arguments.strip() else "{}"}
        case CustomToolCall() if compat.custom_tools:
            call = {"id": item.call_id, "type": "custom", "custom": {"name": item.name, "input": item.input}}
        case CustomToolCall():
            call["function"] = {"name": item.name, "arguments": json_bytes({"input": item.input}).decode()}
        case LocalShellCall():
            action: JsonObject = item.action.model_dump(mode="json", exclude={"type"})
            call["function"] = {"name": call_name(item), "arguments": json_bytes(action).decode()}
    call.update(item.opaque or {})
    return call


def input_message(item: Message, compat: Compat, losses: list[Loss]) -> JsonObject:
    """A system, developer or user message: a string, or parts where there is more than text (S1-14)."""
    if item.role != "user":
        return {"role": compat.system_role, "content": text_of_message(item)}
    if len(item.content) == 1 and item.content[0].type == "input_text":
        return {"role": "user", "content": item.content[0].text}
    parts = [input_part(part, compat, losses) for part in item.content]
    if all(map(_is_text, parts)):
        return {"role": "user", "content": "".join(map(_part_text, parts))}
    return {"role": "user", "content": [part for part in parts if not _is_text(part) or _part_text(part).strip()]}


def input_part(part: ContentPart, compat: Compat, losses: list[Loss]) -> JsonObject:
    """One content part. A file the server cannot take is named in its place."""
    match part:
        case InputText() | OutputText():
            return {"type": "text", "text": part.text}
        case Refusal():
            return {"type": "text", "text": part.refusal}
        case InputImage():
            image: JsonObject = {"url": part.image_url}
            if part.detail is not None:
                image["detail"] = "high" if part.detail == "original" else part.detail
            return {"type": "image_url", "image_url": image}
        case InputFile():
            members: JsonObject = {
                "filename": part.filename,
                "file_data": part.file_data,
                "file_id": part.file_id,
            }
            if compat.files and (part.file_data or part.file_id):
                return {"type": "file", "file": {name: value for name, value in members.items() if value is not None}}
            losses.append(Loss("files"))
            return {"type": "text", "text": f"[file not included: {part.filename or part.file_url or part.file_id}]"}


def _is_text(part: JsonObject) -> bool:
    return part["type"] == "text"


def _part_text(part: JsonObject) -> str:
    return json_str(part.get("text"))


def _prefixed(text: str, prefix: str) -> str:
    return text if text.startswith(prefix) else prefix + text


def is_system(item: ResponseItem) -> TypeGuard[Message]:
    return item.type == "message" and item.role in ("system", "developer")


def text_of_message(message: Message) -> str:
    """All that a message says; what it refused with, too."""
    if len(message.content) == 1 and message.content[0].type == "output_text":
        return message.content[0].text
    return text_of(message) + refusal_of(message)


def refusal_of(message: Message) -> str:
    return "".join(part.refusal for part in message.content if isinstance(part, Refusal))


def call_name(item: FunctionCall | CustomToolCall | LocalShellCall) -> str:
    return "local_shell" if item.type == "local_shell_call" else item.name
