"""One item, looked at alone: as it may be sent to one wire and model, rewritten so that it may be, or left out.

Nothing here depends on an item's neighbours: pairing, order and anchoring come after. Whose item is it? *Own* means the
same wire and the same provider label; an item without origin is the caller's own word and counts as own. Sealed values
(encrypted reasoning, signatures, `reasoning_details`) also need the same model; readable reasoning may go to another
model of its provider (providers.md 3b, pains.md 2). Thought signatures on calls and encrypted compactions need only the
provider: without the first the request is refused for certain (Gemini), without the second the conversation is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeVar, assert_never

from ..items import (
    Compaction,
    ContentPart,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    GhostSnapshot,
    ImageGenerationCall,
    InputFile,
    InputImage,
    InputText,
    JsonObject,
    LocalShellCall,
    Message,
    Origin,
    OutputPart,
    OutputText,
    Reasoning,
    ResponseItem,
    Role,
    ToolSearchCall,
    ToolSearchOutput,
    UnknownItem,
    WebSearchCall,
    WireName,
    assistant_message,
    user_message,
)
from .base import Compat, Repair, RepairKind
from .input_checks import call_fault, check_call, check_image, image_fault
from .replay_origin import is_sealed, same_model, same_origin
from .replay_text import (
    INVALID_ARGUMENTS,
    clean_model,
    clean_text,
    dump_object,
    is_blank,
    is_clean,
    json_arguments,
    legal_name,
)

__all__ = ["ItemFitter", "sent_id", "without_id"]

_IMAGE_LEFT_OUT = "[image left out: this model reads text only]"
_ASSISTANT_MEDIA_LEFT_OUT = "[attachment left out: an assistant message carries text only]"
_FILE_LEFT_OUT = "[file left out: this model reads no files]"
_NO_FILE_LEFT_OUT = "[file left out: neither data, URL nor id]"
_SYSTEM_MEDIA_LEFT_OUT = "[attachment left out: a system message carries text only]"

_CLIENT_MADE = (FunctionCallOutput, CustomToolCallOutput, ToolSearchOutput, GhostSnapshot)  # kinds without an origin
_REDACTED = "redacted_thinking"  # Origin.field of what came as such a block

_SERVER_KINDS: Mapping[WireName, frozenset[str]] = {
    "chat": frozenset(),
    "responses": frozenset({"web_search_call", "image_generation_call", "unknown"}),
    "messages": frozenset({"unknown"}),
}
"""What a provider ran itself, by the wires that can be told of it."""

_T = TypeVar("_T")
_Text = TypeVar("_Text", InputText, OutputText)
_Named = TypeVar("_Named", FunctionCall, CustomToolCall)
_Carrier = TypeVar("_Carrier", Message, FunctionCall, CustomToolCall, LocalShellCall, ToolSearchCall)
_Output = TypeVar("_Output", FunctionCallOutput, CustomToolCallOutput)


class ItemFitter:
    """Fits items to one wire and model: one `fit` per item, in history order. Changes are added to `repairs`."""

    __slots__ = (
        "_compat", "_dropped_searches", "_item_ids", "_lower_custom", "_mend", "_model", "_names", "_repairs", "_wire",
    )  # fmt: skip

    def __init__(
        self, *, wire: WireName, model: str, compat: Compat, repairs: list[Repair], mend: bool = False
    ) -> None:
        self._wire: WireName = wire
        self._model = model
        self._compat = compat
        self._mend = mend
        self._repairs = repairs
        self._names: dict[str, str] = {}
        self._lower_custom = wire == "messages" or not compat.custom_tools
        self._dropped_searches: Counter[str | None] = Counter()
        self._item_ids: set[str] = set()  # of what is sent under its provider's id

    def fit(self, index: int, item: ResponseItem) -> ResponseItem | None:
        """The item as it may be sent, or None for not at all."""
        fitted = self._fit(index, item)
        return fitted if fitted is None or self._wire != "responses" else self._once(index, fitted)

    def _fit(self, index: int, item: ResponseItem) -> ResponseItem | None:
        # `type` and not the class: isinstance with a pydantic model that does not match costs ten times as much.
        if item.type == "message":
            return self._message(index, item)
        if item.type == "function_call_output":
            return self._output(index, item)
        if item.type == "function_call":
            return self._function_call(index, item)
        if item.type == "reasoning":
            return self._reasoning(index, item)
        if item.type == "custom_tool_call":
            return self._custom_call(index, item)
        if item.type == "custom_tool_call_output":
            return self._custom_output(index, item)
        if item.type == "local_shell_call":
            return self._shell_call(index, item)
        if item.type == "tool_search_call" or item.type == "tool_search_output":
            return self._tool_search(index, item)
        if item.type == "compaction":
            return self._compaction(index, item)
        if item.type == "web_search_call" or item.type == "image_generation_call" or item.type == "unknown":
            return self._server_item(index, item)
        if item.type == "ghost_snapshot":
            self._report("dropped_item", index, "a repository snapshot annotates history and is never sent")
            return None
        assert_never(item)

    # messages

    def _message(self, index: int, item: Message) -> Message | None:
        if item.opaque is not None:
            item = self._own_opaque(index, item)
        assistant = item.role == "assistant"
        if len(item.content) == 1 and _is_plain(item.content[0], "output_text" if assistant else "input_text"):
            return item
        parts: list[ContentPart] = []
        changed, blank = False, True
        for part in item.content:
            fitted = self._assistant_part(index, part) if assistant else self._input_part(index, part, item.role)
            if fitted is None:
                changed = True
                continue
            changed = changed or fitted is not part
            blank = blank and _is_blank_part(fitted)
            parts.append(fitted)
        if blank:
            self._report("dropped_empty_message", index, f"the {item.role} message has no content")
            return None
        return item.model_copy(update={"content": tuple(parts)}) if changed else item

    def _assistant_part(self, index: int, part: ContentPart) -> ContentPart | None:
        if part.type == "output_text":
            return self._text_part(index, part)
        if part.type == "refusal":
            cleaned = clean_text(part.refusal)
            return (
                part if cleaned is part.refusal else self._cleaned(index, part.model_copy(update={"refusal": cleaned}))
            )
        if part.type == "input_text":
            self._report("lowered_item", index, "an input part in an assistant message is written as output text")
            return self._text_part(index, OutputText(text=part.text))
        if part.type == "input_image":
            self._report("replaced_image", index, "an assistant message carries no image")
        else:
            self._report("replaced_file", index, "an assistant message carries no file")
        return OutputText(text=_ASSISTANT_MEDIA_LEFT_OUT)

    def _input_part(self, index: int, part: ContentPart, role: Role) -> InputText | InputImage | InputFile | None:
        if part.type == "input_text":
            return self._text_part(index, part)
        if part.type == "output_text" or part.type == "refusal":
            text = part.text if part.type == "output_text" else part.refusal
            self._report("lowered_item", index, "an output part outside an assistant message is written as input text")
            return self._text_part(index, InputText(text=text))
        if role != "user" and (self._wire != "responses" or self._compat.merge_system):
            kind: RepairKind = "replaced_image" if part.type == "input_image" else "replaced_file"
            self._report(kind, index, "a system message carries text only")
            return InputText(text=_SYSTEM_MEDIA_LEFT_OUT)
        if self._mend:
            return self._returned(index, part)
        if part.type == "input_image" and self._compat.images:
            check_image(index, part)
        return self._media_part(index, part)

    def _media_part(self, index: int, part: InputImage | InputFile) -> InputText | InputImage | InputFile:
        if part.type == "input_image" and not self._compat.images:
            self._report("replaced_image", index, "the model reads text only")
            return InputText(text=_IMAGE_LEFT_OUT)
        if part.type == "input_file" and not self._compat.files:
            self._report("replaced_file", index, "the model reads no files")
            return InputText(text=_FILE_LEFT_OUT)
        if part.type == "input_file" and not (part.file_data or part.file_url or part.file_id):
            self._report("replaced_file", index, "a file without data, URL or id")
            return InputText(text=_NO_FILE_LEFT_OUT)
        cleaned = clean_model(part)
        return part if cleaned is part else self._cleaned(index, cleaned)

    def _text_part(self, index: int, part: _Text) -> _Text | None:
        # Messages refuses blank text blocks; elsewhere a blank part may be the space between two others.
        if self._wire == "messages" and is_blank(part.text):
            self._report("dropped_empty_message", index, "this wire refuses a blank part")
            return None
        cleaned = clean_text(part.text)
        if cleaned is part.text:
            return part
        return self._cleaned(index, part.model_copy(update={"text": cleaned}))

    # calls and outputs

    def _function_call(self, index: int, item: FunctionCall) -> FunctionCall:
        if not self._mend:
            check_call(index, item)
        elif fault := call_fault(item):
            self._report("replaced_arguments", index, fault)
            item = item.model_copy(update={"arguments": dump_object({INVALID_ARGUMENTS: f"[left out: {fault}]"})})
        if item.opaque is not None:
            item = self._own_opaque(index, item)
        arguments = json_arguments(item.arguments)
        if arguments is not item.arguments:
            self._report("replaced_arguments", index, _arguments_reason(item.arguments, arguments))
            item = item.model_copy(update={"arguments": arguments})
        return self._named(index, item)

    def _custom_call(self, index: int, item: CustomToolCall) -> CustomToolCall | FunctionCall:
        if not self._mend:
            check_call(index, item)
        elif fault := call_fault(item):
            self._report("replaced_arguments", index, fault)
            item = item.model_copy(update={"input": f"[left out: {fault}]"})
        if item.opaque is not None:
            item = self._own_opaque(index, item)
        cleaned = clean_text(item.input)
        if cleaned is not item.input:
            item = self._cleaned(index, item.model_copy(update={"input": cleaned}))
        if self._lower_custom:
            self._report("lowered_item", index, "a free-form call is written as a function call with one member, input")
            return self._named(index, _call_from(item, item.name, {"input": item.input}, item.namespace))
        return self._named(index, item)

    def _named(self, index: int, item: _Named) -> _Named:
        name = self._names.get(item.name)
        if name is None:
            name = self._names[item.name] = legal_name(item.name, self._wire)
        if name != item.name:
            self._report("replaced_name", index, "no server takes this tool name back")
            item = item.model_copy(update={"name": name})
        if item.namespace is not None and clean_text(item.namespace) is not item.namespace:
            item = self._cleaned(index, item.model_copy(update={"namespace": clean_text(item.namespace)}))
        return item

    def _shell_call(self, index: int, item: LocalShellCall) -> LocalShellCall | FunctionCall:
        item = self._own_opaque(index, item)
        if self._wire == "responses":
            return item
        self._report("lowered_item", index, "a local shell call is written as a function call")
        action = item.action
        arguments: JsonObject = {"command": list(action.command)}
        if action.timeout_ms is not None:
            arguments["timeout_ms"] = action.timeout_ms
        if action.working_directory is not None:
            arguments["working_directory"] = action.working_directory
        if action.env is not None:
            arguments["env"] = dict(action.env)
        if action.user is not None:
            arguments["user"] = action.user
        return _call_from(item, "local_shell", arguments)

    def _output(self, index: int, item: _Output) -> _Output:
        output = item.output
        if isinstance(output, str):
            cleaned = clean_text(output)
            if cleaned is output:
                return item
            return self._cleaned(index, item.model_copy(update={"output": cleaned}))
        parts: list[OutputPart] = []
        for part in output:
            fitted = self._text_part(index, part) if part.type == "input_text" else self._returned(index, part)
            if fitted is not None:
                parts.append(fitted)
        if len(parts) == len(output) and all(a is b for a, b in zip(parts, output, strict=True)):
            return item
        return item.model_copy(update={"output": tuple(parts)})

    def _returned(self, index: int, part: InputImage | InputFile) -> InputText | InputImage | InputFile:
        """What nobody can take back (a tool returned it, or it is history), so what is no image is no error here."""
        fault = image_fault(part) if part.type == "input_image" and self._compat.images else ""
        if not fault:
            return self._media_part(index, part)
        self._report("replaced_image", index, fault)
        return InputText(text=f"[image left out: {fault}]")

    def _custom_output(self, index: int, item: CustomToolCallOutput) -> CustomToolCallOutput | FunctionCallOutput:
        item = self._output(index, item)
        if not self._lower_custom:
            return item
        self._report("lowered_item", index, "the output of a free-form call is written as that of a function call")
        return FunctionCallOutput(id=item.id, call_id=item.call_id, output=item.output, success=item.success)

    # what only some peers know

    def _tool_search(self, index: int, item: ToolSearchCall | ToolSearchOutput) -> ResponseItem | None:
        if self._wire != "responses":
            self._report("dropped_item", index, "this wire has no tool search")
            return None
        if item.type == "tool_search_output":
            if item.execution == "server" and self._dropped_searches[item.call_id] > 0:
                self._dropped_searches[item.call_id] -= 1
                self._report("dropped_item", index, "its tool search was another provider's")
                return None
        elif item.execution == "server" and not self._own(item.origin):
            self._dropped_searches[item.call_id] += 1
            self._report("dropped_item", index, "a tool search another provider ran")
            return None
        else:
            return self._own_opaque(index, item)
        cleaned = clean_model(item)
        return item if cleaned is item else self._cleaned(index, cleaned)

    def _server_item(
        self, index: int, item: WebSearchCall | ImageGenerationCall | UnknownItem
    ) -> WebSearchCall | ImageGenerationCall | UnknownItem | None:
        # Without an origin these are what the Responses API calls items: only there can they be meant.
        if item.type not in _SERVER_KINDS[self._wire] or (item.origin is None and self._wire != "responses"):
            self._report("dropped_item", index, "this wire has no place for it")
            return None
        if not self._own(item.origin):
            self._report("dropped_item", index, "only the provider it came from knows this item")
            return None
        if item.type == "unknown" and not item.raw_type:
            self._report("dropped_item", index, "an item without a type")
            return None
        if item.type == "image_generation_call":
            if item.origin is None or not item.origin.item_id:
                self._report("dropped_item", index, "it cannot be named: its provider's id is not known")
                return None
            if item.result and not self._compat.images:
                self._report("replaced_image", index, "the model reads text only")
                item = item.model_copy(update={"result": ""})
        cleaned = clean_model(item)
        return item if cleaned is item else self._cleaned(index, cleaned)

    def _compaction(self, index: int, item: Compaction) -> Compaction | Message | None:
        cleaned = clean_model(item)
        if cleaned is not item:
            item = self._cleaned(index, cleaned)
        if self._wire == "responses" and item.encrypted_content and self._own(item.origin):
            return item
        if item.summary is None or is_blank(item.summary):
            self._report("dropped_item", index, "a compaction only its own provider can read, without a summary")
            return None
        self._report("lowered_item", index, "the summary of a compaction is written as a user message")
        return user_message(item.summary).model_copy(update={"id": item.id})

    # reasoning

    def is_plain_reasoning(self, item: ResponseItem) -> bool:
        """Whether it is reasoning that `fit` leaves as it is, as long as no item goes by its provider's id."""
        if item.type != "reasoning" or not _is_clean_reasoning(item) or not self._own(item.origin):
            return False
        fits = item.origin is None or not is_sealed(item) or same_model(item.origin.model, self._model)
        return fits and self._is_sendable(item)

    def _reasoning(self, index: int, item: Reasoning) -> Reasoning | Message | None:
        if not _is_clean_reasoning(item):
            cleaned = clean_model(item)
            item = item if cleaned is item else self._cleaned(index, cleaned)
        own = self._own(item.origin)
        if own and item.origin is not None and is_sealed(item) and not same_model(item.origin.model, self._model):
            item = item.model_copy(update={"encrypted_content": None, "signature": None, "details": (), "opaque": None})
            own = self._is_sendable(item)
            if own:
                self._report("dropped_opaque", index, "sealed for another model; its readable text stays")
        if not own:
            return self._foreign_reasoning(index, item)
        if self._is_sendable(item):
            return item
        blank = is_blank(item.text) and not is_sealed(item)
        self._report("dropped_reasoning", index, "blank" if blank else "not sealed as this provider wants it")
        return None

    def _foreign_reasoning(self, index: int, item: Reasoning) -> Message | None:
        if self._compat.foreign_reasoning == "text" and not is_blank(item.text):
            self._report("textified_reasoning", index, "reasoning of another origin")
            return assistant_message(item.text).model_copy(update={"id": item.id})
        self._report("dropped_reasoning", index, "reasoning of another origin")
        return None

    def _is_sendable(self, item: Reasoning) -> bool:
        compat = self._compat
        if self._wire == "chat":
            return compat.reasoning_field != "none" and (is_sealed(item) or not is_blank(item.text))
        if self._wire == "messages":
            # Encrypted is what came as a whole block; text without its signature is no block of this wire's.
            whole = bool(item.encrypted_content) and item.origin is not None and item.origin.field == _REDACTED
            return whole or bool(item.signature) or (compat.unsigned_thinking and not is_blank(item.text))
        if item.encrypted_content:
            return True
        stored = compat.send_item_ids and item.origin is not None and bool(item.origin.item_id)
        return stored or (not compat.encrypted_reasoning and not is_blank(item.text))

    # items that go by their provider's id

    def _once(self, index: int, item: ResponseItem) -> ResponseItem | None:
        """The item, if its id was not sent before (OpenAI: "Duplicate item found with id"); else without it, or None
        where it is nothing without."""
        item_id = sent_id(item, self._compat)
        if not item_id or item_id not in self._item_ids:
            if item_id:
                self._item_ids.add(item_id)
            return item
        if item.type == "unknown" or item.type == "image_generation_call":
            self._report("dropped_item", index, "the same item stands before it")
            return None
        unnamed = without_id(item)
        if unnamed.type == "reasoning" and not self._is_sendable(unnamed):
            self._report("dropped_reasoning", index, "the same item stands before it")
            return None
        self._report("dropped_opaque", index, "its provider's id: the same stands before it")
        return unnamed

    # shared

    def _own(self, origin: Origin | None) -> bool:
        return same_origin(origin, wire=self._wire, provider=self._compat.provider)

    def _own_opaque(self, index: int, item: _Carrier) -> _Carrier:
        """Without provider data of another origin, and with clean strings."""
        if item.opaque is not None and not self._own(item.origin):
            self._report("dropped_opaque", index, "provider data of another origin")
            item = item.model_copy(update={"opaque": None})
        cleaned = clean_model(item)
        return item if cleaned is item else self._cleaned(index, cleaned)

    def _cleaned(self, index: int, cleaned: _T) -> _T:
        self._report("replaced_characters", index, "a NUL or half a character")
        return cleaned

    def _report(self, kind: RepairKind, index: int, reason: str) -> None:
        self._repairs.append(Repair(kind, index, reason))


def sent_id(item: ResponseItem, compat: Compat) -> str:
    """The id a fitted item goes under on responses, empty for none (codex.md 1.1)."""
    if isinstance(item, _CLIENT_MADE):
        return ""
    origin = item.origin
    own = origin is not None and same_origin(origin, wire="responses", provider=compat.provider)
    named = origin.item_id if origin is not None and own else ""
    if isinstance(item, UnknownItem):
        raw = item.raw.get("id")
        return (compat.send_item_ids and named) or (raw if isinstance(raw, str) else "")
    return named if compat.send_item_ids or isinstance(item, ImageGenerationCall) else ""


def without_id(item: ResponseItem) -> ResponseItem:
    """The item as one its provider never named."""
    if isinstance(item, _CLIENT_MADE) or item.origin is None:
        return item
    return item.model_copy(update={"origin": item.origin.model_copy(update={"item_id": ""})})


def _is_plain(part: ContentPart, kind: str) -> bool:
    """The everyday part, told apart quickly: text of the right kind that stays as it is on every wire."""
    if part.type == "input_text" or part.type == "output_text":
        text = part.text
        return part.type == kind and bool(text) and not text.isspace() and is_clean(text)
    return False


def _is_clean_reasoning(item: Reasoning) -> bool:
    if item.details or item.opaque:
        return False
    for text in item.content:
        if not is_clean(text):
            return False
    return (
        all(map(is_clean, item.summary)) and is_clean(item.encrypted_content or "") and is_clean(item.signature or "")
    )


def _is_blank_part(part: ContentPart) -> bool:
    if part.type == "input_text" or part.type == "output_text":
        return is_blank(part.text)
    return part.type == "refusal" and is_blank(part.refusal)


def _call_from(
    item: CustomToolCall | LocalShellCall, name: str, arguments: JsonObject, namespace: str | None = None
) -> FunctionCall:
    return FunctionCall(
        id=item.id,
        origin=item.origin,
        opaque=item.opaque,
        call_id=item.call_id,
        name=name,
        arguments=dump_object(arguments),
        namespace=namespace,
        status=item.status,
    )


def _arguments_reason(before: str, after: str) -> str:
    if is_blank(before):
        return "blank arguments"
    if after.startswith(f'{{"{INVALID_ARGUMENTS}":'):
        return "arguments that are no JSON object"
    return "arguments with raw control characters"
