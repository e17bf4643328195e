"""Images a provider refused: left out of every later request, so that no conversation is stuck with one.

Most of what is no image is told before it is sent (`codecs.input_checks`). The rest only the server knows: a file that
is cut, too large, of a kind this model does not read. Its refusal does not say which one it means, so all are left out
that came since the model last spoke, or, if none did, all there are. A picture the user has just sent is the user's to
hear of; the conversation goes on without it. Of any other nobody could do better, and the request goes out again at
once (codex.md 2.6: replace_last_turn_images).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType

from .codecs.base import Repair
from .errors import BadImageError
from .items import (
    CustomToolCallOutput,
    FunctionCallOutput,
    InputFile,
    InputImage,
    InputText,
    Message,
    ResponseItem,
    checked_items,
)
from .prompt import Prompt
from .retry import Tries
from .turn_parts import Model, ModelStream

__all__ = ["RefusedImages"]

_REASON = "the provider refused it"
_NOTES = {"input_image": f"[image left out: {_REASON}]", "input_file": f"[file left out: {_REASON}]"}


class RefusedImages:
    """Remembers them, by the item that holds them, as long as it lives: for the session of one agent. An agent that
    resumes it hears of them once more."""

    __slots__ = ("_left_out", "_refused")

    def __init__(self) -> None:
        self._refused: set[str] = set()
        self._left_out: dict[str, ResponseItem] = {}  # items with notes, the same objects in every request

    def guarding(self, model: Model) -> Model:
        """`model`, asked without them."""
        return _Guarded(model, self)

    def without(self, prompt: Prompt) -> tuple[Prompt, tuple[Repair, ...]]:
        """The prompt with a note in the place of each, and what to report."""
        if not self._refused:
            return prompt, ()
        items = list(prompt.items)
        repairs: list[Repair] = []
        for index, item in enumerate(items):
            if item.id is not None and item.id in self._refused:
                items[index] = self._left_out.get(item.id) or self._left_out.setdefault(item.id, _noted(item))
                repairs.append(Repair("replaced_image", index, _REASON))
        return replace(prompt, items=checked_items(items)), tuple(repairs)

    def take(self, items: Sequence[ResponseItem]) -> bool:
        """Remember what a refusal of these items may have meant. True if asking without it is worth while: it was
        something, and nothing the user has just sent."""
        new = [item for item in items[_last_of_the_model(items) + 1 :] if self._may_be_meant(item)]
        meant = new or [item for item in items if self._may_be_meant(item)]
        self._refused.update(item.id for item in meant if item.id is not None)
        return bool(meant) and not any(item.type == "message" for item in new)

    def _may_be_meant(self, item: ResponseItem) -> bool:
        return item.id is not None and item.id not in self._refused and _holds_media(item)


class _Guarded:
    """See Model."""

    __slots__ = ("_model", "_refused")

    def __init__(self, model: Model, refused: RefusedImages) -> None:
        self._model = model
        self._refused = refused

    @property
    def model(self) -> str:
        return self._model.model

    def stream(self, prompt: Prompt, *, tries: Tries | None = None) -> _Asked:
        return _Asked(self._model, self._refused, prompt, tries)


class _Asked:
    """One answer, asked for again as long as it is refused for images that can be left out."""

    __slots__ = ("_model", "_opened", "_prompt", "_refused", "_tries")

    def __init__(self, model: Model, refused: RefusedImages, prompt: Prompt, tries: Tries | None) -> None:
        self._model = model
        self._refused = refused
        self._prompt = prompt
        self._tries = tries

    async def __aenter__(self) -> ModelStream:
        while True:
            asked, repairs = self._refused.without(self._prompt)
            opening = self._model.stream(asked, tries=self._tries)
            try:
                events = await opening.__aenter__()
                break
            except BadImageError:
                if not self._refused.take(self._prompt.items):  # which each time leaves fewer to take
                    raise
        self._opened = opening
        events.repairs = (*events.repairs, *repairs)
        return events

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._opened.__aexit__(kind, error, trace)


def _last_of_the_model(items: Sequence[ResponseItem]) -> int:
    """The place of the last item that a model made; -1 if there is none."""
    for index in range(len(items) - 1, -1, -1):
        item = items[index]
        ours = item.type == "function_call_output" or item.type == "custom_tool_call_output"
        if not ours and not (item.type == "message" and item.role != "assistant"):
            return index
    return -1


def _holds_media(item: ResponseItem) -> bool:
    if isinstance(item, Message):
        return any(part.type in _NOTES for part in item.content)
    if isinstance(item, FunctionCallOutput | CustomToolCallOutput):
        return not isinstance(item.output, str) and any(part.type in _NOTES for part in item.output)
    return False


def _noted(item: ResponseItem) -> ResponseItem:
    """The item with a note in the place of each image and file."""
    if isinstance(item, Message):
        return item.model_copy(update={"content": tuple(map(_note, item.content))})
    if isinstance(item, FunctionCallOutput | CustomToolCallOutput) and not isinstance(item.output, str):
        return item.model_copy(update={"output": tuple(map(_note, item.output))})
    return item


def _note(part: object) -> object:
    return InputText(text=_NOTES[part.type]) if isinstance(part, InputImage | InputFile) else part
