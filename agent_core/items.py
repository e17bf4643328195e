"""Conversation items: what a conversation is made of, on no wire in particular.

Frozen pydantic models, a union discriminated by `type`. A type this version does not know survives as `UnknownItem`
with its JSON untouched; a field it does not know is kept on its item. Arguments of calls stay the model's own text.

Identity: `id` is ours (given by a session when the item is appended; appends are idempotent by it). What a provider
called the item is metadata in `origin`. Opaque values (encrypted reasoning, signatures, `opaque`) may only be shown
again to the origin they came from; replay decides that, nothing else does.
"""

# No `from __future__ import annotations`: pydantic would evaluate each of them again, a quarter of importing this.

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Literal, TypeAlias, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    JsonValue,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
)

from .errors import InvalidPromptError

__all__ = [
    "AssistantPart",
    "CallItem",
    "CallOutputItem",
    "Compaction",
    "ContentPart",
    "CustomToolCall",
    "CustomToolCallOutput",
    "FunctionCall",
    "FunctionCallOutput",
    "GhostSnapshot",
    "ImageDetail",
    "ImageGenerationCall",
    "InputFile",
    "InputImage",
    "InputText",
    "ItemStatus",
    "JsonObject",
    "JsonValue",
    "LocalShellAction",
    "LocalShellCall",
    "Message",
    "Origin",
    "OutputPart",
    "OutputText",
    "Reasoning",
    "Refusal",
    "ResponseItem",
    "Role",
    "ToolSearchCall",
    "ToolSearchOutput",
    "UnknownItem",
    "WebSearchCall",
    "WireName",
    "assistant_message",
    "checked_items",
    "dump_item",
    "item_to_json",
    "output_text_of",
    "parse_item",
    "parse_items",
    "system_message",
    "text_of",
    "user_message",
]

JsonObject: TypeAlias = dict[str, JsonValue]
WireName = Literal["chat", "responses", "messages"]
Role = Literal["system", "developer", "user", "assistant"]
ItemStatus = Literal["completed", "incomplete", "in_progress"]
ImageDetail = Literal["auto", "low", "high", "original"]


class _Model(BaseModel):
    # defer_build: importing the package must not pay for schemas nobody uses.
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> JsonObject:
        # Not exclude_none: that would also drop nulls inside JSON we only keep.
        out: JsonObject = handler(self)
        return {key: value for key, value in out.items() if value is not None}


class Origin(_Model):
    """Where a model-made item came from. `field` is the wire field its reasoning arrived in (`reasoning_content`,
    `reasoning`, `reasoning_text`, `reasoning_details`, `content` for a content list, `thinking`, …): replay sends it
    back in the same one.
    """

    wire: WireName
    provider: str = ""
    model: str = ""
    field: str = ""
    item_id: str = ""
    response_id: str = ""


class InputText(_Model):
    type: Literal["input_text"] = "input_text"
    text: str


class InputImage(_Model):
    """`image_url` is an http(s) URL or a `data:` URL; it is passed on, never fetched."""

    type: Literal["input_image"] = "input_image"
    image_url: str
    detail: ImageDetail | None = None


class InputFile(_Model):
    """One of `file_data` (a `data:` URL), `file_url` or `file_id` (a provider's handle) is set."""

    type: Literal["input_file"] = "input_file"
    filename: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None


class OutputText(_Model):
    """`annotations` are the provider's citation objects, as they came."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: tuple[JsonObject, ...] = ()


class Refusal(_Model):
    type: Literal["refusal"] = "refusal"
    refusal: str


ContentPart: TypeAlias = Annotated[InputText | InputImage | InputFile | OutputText | Refusal, Discriminator("type")]
AssistantPart: TypeAlias = OutputText | Refusal
OutputPart: TypeAlias = Annotated[InputText | InputImage | InputFile, Discriminator("type")]


class _Item(_Model):
    id: str | None = None


class _ModelItem(_Item):
    """What a model makes. `opaque` is provider data that must be echoed verbatim to the same origin
    (e.g. `extra_content` with a thought signature)."""

    origin: Origin | None = None
    opaque: JsonObject | None = None


class Message(_ModelItem):
    """A message of any role. Assistant content is `OutputText` and `Refusal` parts; other roles use input parts."""

    type: Literal["message"] = "message"
    role: Role
    content: tuple[ContentPart, ...] = ()
    phase: Literal["commentary", "final_answer"] | None = None
    status: ItemStatus = "completed"


class Reasoning(_ModelItem):
    """A model's reasoning. `summary` and `content` are its readable parts; `encrypted_content` (Responses, redacted
    thinking) and `signature` (thinking blocks) are opaque; `details` is a verbatim `reasoning_details` array.
    `origin.field` says in which field it came.
    """

    type: Literal["reasoning"] = "reasoning"
    summary: tuple[str, ...] = ()
    content: tuple[str, ...] = ()
    encrypted_content: str | None = None
    signature: str | None = None
    details: tuple[JsonObject, ...] = ()
    status: ItemStatus = "completed"

    @property
    def text(self) -> str:
        """The readable reasoning: content if there is any, else the summary."""
        return "".join(self.content) or "".join(self.summary)


class FunctionCall(_ModelItem):
    """`arguments` is the model's own text, valid JSON or not. `status="incomplete"`: cut off, never to be executed."""

    type: Literal["function_call"] = "function_call"
    call_id: str
    name: str
    arguments: str = ""
    namespace: str | None = None
    status: ItemStatus = "completed"


class FunctionCallOutput(_Item):
    """The one answer to a `FunctionCall` or `LocalShellCall`. `success=False` marks an error for wires that say so."""

    type: Literal["function_call_output"] = "function_call_output"
    call_id: str
    output: str | tuple[OutputPart, ...] = ""
    success: bool | None = None


class LocalShellAction(_Model):
    type: Literal["exec"] = "exec"
    command: tuple[str, ...] = ()
    timeout_ms: int | None = None
    working_directory: str | None = None
    env: dict[str, str] | None = None
    user: str | None = None


class LocalShellCall(_ModelItem):
    type: Literal["local_shell_call"] = "local_shell_call"
    call_id: str
    action: LocalShellAction = LocalShellAction.model_construct()
    status: ItemStatus = "completed"


class CustomToolCall(_ModelItem):
    """A free-form call: `input` is text, not JSON."""

    type: Literal["custom_tool_call"] = "custom_tool_call"
    call_id: str
    name: str
    input: str = ""
    namespace: str | None = None
    status: ItemStatus = "completed"


class CustomToolCallOutput(_Item):
    type: Literal["custom_tool_call_output"] = "custom_tool_call_output"
    call_id: str
    output: str | tuple[OutputPart, ...] = ""
    success: bool | None = None


class ToolSearchCall(_ModelItem):
    """`execution="server"` is answered by the provider; `"client"` by us."""

    type: Literal["tool_search_call"] = "tool_search_call"
    call_id: str | None = None
    execution: Literal["client", "server"] = "client"
    arguments: JsonValue = None
    status: ItemStatus = "completed"


class ToolSearchOutput(_Item):
    type: Literal["tool_search_output"] = "tool_search_output"
    call_id: str | None = None
    execution: Literal["client", "server"] = "client"
    tools: tuple[JsonObject, ...] = ()
    status: ItemStatus = "completed"


class WebSearchCall(_ModelItem):
    """Run by the provider; kept for the record and for replay to the same origin."""

    type: Literal["web_search_call"] = "web_search_call"
    action: JsonObject | None = None
    status: str | None = None


class ImageGenerationCall(_ModelItem):
    """`result` is base64 image data."""

    type: Literal["image_generation_call"] = "image_generation_call"
    result: str = ""
    revised_prompt: str | None = None
    status: str | None = None


class GhostSnapshot(_Item):
    """A harness's note of a repository state. It annotates history and is never sent."""

    type: Literal["ghost_snapshot"] = "ghost_snapshot"
    ghost_commit: JsonObject


class Compaction(_ModelItem):
    """Stands for earlier history: a provider's `encrypted_content`, or our own `summary` text."""

    type: Literal["compaction"] = "compaction"
    summary: str | None = None
    encrypted_content: str | None = None


class UnknownItem(_ModelItem):
    """An item of a type this version does not know: `raw` is its JSON object, untouched.

    Replay shows it again only to the origin it came from.
    """

    type: Literal["unknown"] = "unknown"
    raw: JsonObject

    @property
    def raw_type(self) -> str:
        value = self.raw.get("type")
        return value if isinstance(value, str) else ""


_ITEM_CLASSES: dict[str, type[_Item]] = {
    "message": Message,
    "reasoning": Reasoning,
    "function_call": FunctionCall,
    "function_call_output": FunctionCallOutput,
    "local_shell_call": LocalShellCall,
    "custom_tool_call": CustomToolCall,
    "custom_tool_call_output": CustomToolCallOutput,
    "tool_search_call": ToolSearchCall,
    "tool_search_output": ToolSearchOutput,
    "web_search_call": WebSearchCall,
    "image_generation_call": ImageGenerationCall,
    "ghost_snapshot": GhostSnapshot,
    "compaction": Compaction,
    "unknown": UnknownItem,
}
_ITEM_TYPES: frozenset[type] = frozenset(_ITEM_CLASSES.values())

ResponseItem: TypeAlias = (
    Message
    | Reasoning
    | FunctionCall
    | FunctionCallOutput
    | LocalShellCall
    | CustomToolCall
    | CustomToolCallOutput
    | ToolSearchCall
    | ToolSearchOutput
    | WebSearchCall
    | ImageGenerationCall
    | GhostSnapshot
    | Compaction
    | UnknownItem
)
CallItem: TypeAlias = FunctionCall | LocalShellCall | CustomToolCall | ToolSearchCall
CallOutputItem: TypeAlias = FunctionCallOutput | CustomToolCallOutput | ToolSearchOutput


def parse_item(value: object) -> ResponseItem:
    """One item from a JSON object (or an item, returned as it is).

    An object whose `type` is unknown becomes an `UnknownItem`. Raises InvalidPromptError for anything that is not
    an object with a `type`, and for a known type whose fields are wrong; the message names the field.
    """
    if isinstance(value, _Item):
        return cast("ResponseItem", value)  # every _Item subclass is a member of the union
    if not isinstance(value, Mapping):
        raise InvalidPromptError(f"an item must be a JSON object, not {type(value).__name__}")
    fields = cast("Mapping[str, JsonValue]", value)
    kind = fields.get("type")
    if kind is None and "role" in fields:  # the Responses API lets a message leave its type out
        kind = "message"
    if not isinstance(kind, str):
        raise InvalidPromptError(f"an item needs a 'type' string, got {kind!r}")
    cls = _ITEM_CLASSES.get(kind)
    if cls is None:
        return UnknownItem(raw=dict(fields))
    if kind == "message" and isinstance(fields.get("content"), str):  # which the Responses API takes too
        part = "output_text" if fields.get("role") == "assistant" else "input_text"
        fields = {**fields, "content": [{"type": part, "text": fields["content"]}]}
    try:
        return cast("ResponseItem", cls.model_validate(dict(fields)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        reason = first["msg"].replace("valid tuple", "valid list")
        raise InvalidPromptError(
            f"item of type {kind!r} is invalid at {where!r}: {reason}", remedy=f"correct {where!r} of this item"
        ) from None


class _CheckedItems(tuple[ResponseItem, ...]):
    """Nothing but items: `parse_items` takes it as it is, so a prompt of a long history costs no look at each."""

    __slots__ = ()


def checked_items(items: Iterable[ResponseItem]) -> tuple[ResponseItem, ...]:
    """Items that need not be looked at again, by whoever knows that they are items."""
    return _CheckedItems(items)


def parse_items(values: object) -> tuple[ResponseItem, ...]:
    """Items from a list of JSON objects. Raises InvalidPromptError naming the position of the first bad one."""
    if isinstance(values, _CheckedItems):
        return values
    kind = type(values).__name__
    if isinstance(values, (list, tuple)):
        listed = cast("Sequence[ResponseItem]", values)  # as it will turn out, or be refused below
        if _ITEM_TYPES.issuperset(map(type, listed)):
            return _CheckedItems(listed)
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InvalidPromptError(
            f"items must be a list of items, not {kind}",
            remedy="pass a string, or a list of items or of JSON objects with a type",
        )
    out: list[ResponseItem] = []
    for n, value in enumerate(cast("Iterable[object]", values)):
        try:
            out.append(parse_item(value))
        except InvalidPromptError as error:
            raise InvalidPromptError(f"items[{n}]: {error.message}", remedy=error.remedy) from None
    return _CheckedItems(out)


def dump_item(item: ResponseItem) -> JsonObject:
    """The item as a JSON object, `type` first; fields that are None are left out."""
    out: JsonObject = {"type": item.type}
    out.update(item.model_dump(mode="json"))
    return out


def item_to_json(item: ResponseItem) -> str:
    """The item as one line of JSON: `parse_item(json.loads(item_to_json(x))) == x`."""
    return _json_adapter().dump_json(dump_item(item)).decode()


@cache
def _json_adapter() -> TypeAdapter[JsonObject]:
    return TypeAdapter(JsonObject)


def user_message(text: str, *images: str) -> Message:
    """A user message from text and image URLs (http or `data:`)."""
    parts: list[InputText | InputImage] = [InputText(text=text)] if text or not images else []
    parts.extend(InputImage(image_url=url) for url in images)
    return Message(role="user", content=tuple(parts))


def assistant_message(text: str) -> Message:
    """An assistant message with one text part."""
    return Message(role="assistant", content=(OutputText(text=text),))


def system_message(text: str, *, role: Literal["system", "developer"] = "system") -> Message:
    """A system (or developer) message in the middle of a conversation; see Prompt.instructions for the first one."""
    return Message(role=role, content=(InputText(text=text),))


def text_of(message: Message) -> str:
    """All text parts of a message, joined without a separator; refusals and images left out."""
    return "".join(part.text for part in message.content if isinstance(part, (InputText, OutputText)))


def output_text_of(output: FunctionCallOutput | CustomToolCallOutput) -> str:
    """The text of a call's output; parts are joined by newlines, images left out."""
    if isinstance(output.output, str):
        return output.output
    return "\n".join(part.text for part in output.output if isinstance(part, InputText))
