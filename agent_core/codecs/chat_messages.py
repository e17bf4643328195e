"""Items → the `messages` of a Chat request, one step at a time.

What the model made between two things of ours is one assistant message, `{role, content, reasoning, tool_calls}`, and
its outputs follow at once as tool messages (W-S1-05). Replay has put the items into an order in which that is all there
is to do. A message is written when what follows it comes, and is never touched again, so a longer history repeats the
messages of the shorter one; `merge_system` is the one profile that gives this up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias, TypeGuard, cast

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
from .replay_text import is_blank

__all__ = [
    "ChatMessages",
    "Rest",
    "call_name",
    "encode_call",
    "input_message",
    "is_system",
    "refusal_of",
    "text_of_message",
]

SEE_IMAGES = "(see attached image)"
IMAGES_OF_TOOLS = "Images from the tool results above:"

Rest: TypeAlias = tuple[int, int, int, int]
"""A place where no step was open and no images waited: how many items, messages, losses and systems there were."""

_CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call"})
_MADE = _CALLS | {"message", "reasoning"}


class ChatMessages:
    """Makes messages of items, in the order replay gives. What has no place in them is added to `losses`, what system
    messages say that are part of the first one to `systems`, and to `rests` where no step was open."""

    __slots__ = ("_compat", "_images", "_names", "losses", "rests", "systems")

    def __init__(self, compat: Compat) -> None:
        self._compat = compat
        self._images: list[JsonValue] = []  # of outputs, for servers that take none there
        self._names: dict[str, str] = {}  # of calls, by id, for servers that want them on outputs
        self.losses: list[Loss] = []
        self.systems: list[str] = []
        self.rests: list[Rest] = []

    def of(self, items: Sequence[ResponseItem]) -> Iterator[JsonObject]:
        """The messages of those items that stand behind the last rest. What is still open at their end is written as it
        is."""
        compat, losses, systems, rests = self._compat, self.losses, self.systems, self.rests
        start, written = rests[-1][:2] if rests else (0, 0)
        is_open = False  # a step: what the model said that is not written yet
        texts: list[str] = []
        reasonings: list[Reasoning] = []
        calls: list[JsonValue] = []
        opaque: list[JsonObject] = []
        for number, item in enumerate(items[start:], start):
            # `type` and not the class: a pydantic class is asked slowly whether something is one of its own. And the
            # dict of a model, not its attributes: to look there costs a fifth.
            fields = item.__dict__
            kind = fields["type"]
            is_output = kind == "function_call_output" or kind == "custom_tool_call_output"
            is_input = kind == "message" and fields["role"] != "assistant"
            if is_input and compat.merge_system and is_system(item):
                systems.append(text_of_message(item))
                continue
            if is_open and (is_output or is_input):
                is_open = False
                if message := assistant_message(texts, reasonings, calls, opaque, compat, losses):
                    written += 1
                    yield message
                texts, reasonings, calls, opaque = [], [], [], []
            if is_output:
                written += 1
                output = fields["output"]
                if type(output) is str and fields["success"] is not False and not compat.tool_message_name:
                    yield {"role": "tool", "tool_call_id": fields["call_id"], "content": output}
                else:
                    yield self._tool_message(cast("FunctionCallOutput | CustomToolCallOutput", item))
                continue
            if is_input:
                if self._images:
                    written += 1
                    yield self._message_of_images()
                written += 1
                yield input_message(cast("Message", item), compat, losses)
                continue
            if kind not in _MADE:
                losses.append(Loss("item", kind))
                continue
            if not is_open:
                if self._images:
                    written += 1
                    yield self._message_of_images()
                is_open = True
                rests.append((number, written, len(losses), len(systems)))
            if (
                kind == "function_call" and fields["opaque"] is None and fields["arguments"]
            ):  # blank ones replay replaced
                said: JsonObject = {"name": fields["name"], "arguments": fields["arguments"]}
                calls.append({"id": fields["call_id"], "type": "function", "function": said})
            elif kind == "message":
                texts.append(text_of_message(cast("Message", item)))
                if fields["phase"] is not None:
                    losses.append(Loss("phase"))
                if fields["opaque"]:
                    opaque.append(fields["opaque"])
            elif kind == "reasoning":
                reasonings.append(cast("Reasoning", item))
            else:
                calls.append(encode_call(cast("FunctionCall | CustomToolCall | LocalShellCall", item), compat))
            if compat.tool_message_name and kind in _CALLS:
                call = cast("FunctionCall | CustomToolCall | LocalShellCall", item)
                self._names[call.call_id] = call_name(call)
        if is_open:
            message = assistant_message(texts, reasonings, calls, opaque, compat, losses)
            if message is not None:
                yield {**message, "prefix": True} if compat.assistant_prefix else message
        elif self._images:
            yield self._message_of_images()
        elif start < len(items):
            rests.append((len(items), written, len(losses), len(systems)))

    def _message_of_images(self) -> JsonObject:
        """Images that tool messages cannot hold follow the last of them, as the user's (providers.md 3d)."""
        heading: JsonObject = {"type": "text", "text": IMAGES_OF_TOOLS}
        images, self._images = self._images, []
        return {"role": "user", "content": [heading, *images]}

    def _tool_message(self, item: FunctionCallOutput | CustomToolCallOutput) -> JsonObject:
        message: JsonObject = {"role": "tool", "tool_call_id": item.call_id}
        if self._compat.tool_message_name and item.call_id in self._names:
            message["name"] = self._names[item.call_id]
        output = item.output
        prefix = self._compat.error_prefix if item.success is False else ""
        if isinstance(output, str):
            message["content"] = _prefixed(output, prefix) if prefix else output
            return message
        parts = [input_part(part, self._compat, self.losses) for part in output]
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
    texts: Sequence[str],
    reasonings: Sequence[Reasoning],
    calls: list[JsonValue],
    opaque: Sequence[JsonObject],
    compat: Compat,
    losses: list[Loss],
) -> JsonObject | None:
    """One step as one message; None for reasoning without anything it belongs to.

    Content is a string (S1-14); a refusal is its text, since servers other than OpenAI know no `refusal` member.
    """
    if not texts and not calls:
        losses.append(Loss("reasoning", "it belongs to no message and no call"))
        return None
    text = texts[0] if len(texts) == 1 else "\n\n".join([text for text in texts if not is_blank(text)])
    message: JsonObject = {"role": "assistant"}
    if text and text.isspace():
        text = ""
    if text or not calls:
        message["content"] = text
    elif not compat.omit_null_content:
        message["content"] = None
    if reasonings or compat.reasoning_always_present:
        put_reasoning(message, reasonings, compat)
    for members in opaque:
        message.update(members)
    if calls:
        message["tool_calls"] = calls
    return message


def encode_call(item: FunctionCall | CustomToolCall | LocalShellCall, compat: Compat) -> JsonObject:
    """One element of `tool_calls`. Kinds the server lacks are functions, as replay writes them too."""
    call: JsonObject = {"id": item.call_id, "type": "function"}
    match item:
        case FunctionCall():
            arguments = item.arguments
            said: JsonObject = {"name": item.name, "arguments": "{}" if is_blank(arguments) else arguments}
            call["function"] = said
        case CustomToolCall() if compat.custom_tools:
            call = {"id": item.call_id, "type": "custom", "custom": {"name": item.name, "input": item.input}}
        case CustomToolCall():
            call["function"] = {"name": item.name, "arguments": json_bytes({"input": item.input}).decode()}
        case LocalShellCall():
            action: JsonObject = item.action.model_dump(mode="json", exclude={"type"})
            call["function"] = {"name": call_name(item), "arguments": json_bytes(action).decode()}
    if item.opaque:
        call.update(item.opaque)
    return call


def input_message(item: Message, compat: Compat, losses: list[Loss]) -> JsonObject:
    """A system, developer or user message: a string, or parts where there is more than text (S1-14)."""
    if item.role != "user":
        return {"role": compat.system_role, "content": text_of_message(item)}
    content = item.content
    if len(content) == 1 and content[0].type == "input_text":
        return {"role": "user", "content": content[0].text}
    parts = [input_part(part, compat, losses) for part in content]
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
    content = message.content
    if len(content) == 1:
        part = content[0].__dict__  # as in `ChatMessages.of`
        if part["type"] == "output_text":
            return cast("str", part["text"])
    return text_of(message) + refusal_of(message)


def refusal_of(message: Message) -> str:
    return "".join(part.refusal for part in message.content if isinstance(part, Refusal))


def call_name(item: FunctionCall | CustomToolCall | LocalShellCall) -> str:
    return "local_shell" if item.type == "local_shell_call" else item.name
