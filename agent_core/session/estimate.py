"""How many tokens a history will take, before a provider says so.

Between two answers a provider's own count is known up to the last answer; only what came after it is estimated, at 4
bytes a token (codex.md 2.4). So the error does not grow with the history, and the cost of asking follows what is new.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from typing import assert_never

from msgspec import Struct

from ..events import Usage
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
    JsonValue,
    LocalShellCall,
    Message,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    ToolSearchCall,
    ToolSearchOutput,
    UnknownItem,
    WebSearchCall,
)
from .history import BYTES_PER_TOKEN, OutputBudget, text_bytes

__all__ = ["ITEM_BYTES", "TokenEstimate", "estimate_item"]

IMAGE_BYTES = 7373
"""About 1,844 tokens: what Codex counts for an image, whatever its data (codex.md 2.4). Near the most Anthropic takes
(1568 by 1568 pixels at 750 a token: about 1,600 after scaling) and above OpenAI's 1,445 for a tall page of tiles."""
LOW_DETAIL_BYTES = 85 * BYTES_PER_TOKEN
"""OpenAI's flat price of `detail: low`; its newer models take less."""
PATCH_PIXELS = 32
MAX_PATCHES = 10_000
"""`detail: original` costs a token per 32 by 32 patch, up to this many (codex.md 2.4)."""
ITEM_BYTES = 12
"""Role, separators and keys around the text: OpenAI counts 3 tokens a message, calls and outputs are alike."""


class TokenEstimate(Struct, frozen=True):
    """`tokens` that the first `items` items of a history take.

    A provider's count includes instructions and tool specs; without one they are not in it. `measured` is how much of
    `tokens` a provider has counted.
    """

    tokens: int = 0
    items: int = 0
    measured: int = 0

    def calibrated(self, usage: Usage, items: int) -> TokenEstimate:
        """After a response: `usage` is that of the response, `items` the length of the history that ends in it."""
        held = usage.total if usage.context is None else usage.context
        return TokenEstimate(held, items, held)

    def over(self, history: Sequence[ResponseItem], budget: OutputBudget | None = None) -> TokenEstimate:
        """Of the whole history, which starts with the items counted so far; of outputs, what `budget` shows."""
        new = sum(estimate_item(history[n], budget) for n in range(self.items, len(history)))
        return TokenEstimate(self.tokens + new, max(self.items, len(history)), self.measured)


def estimate_item(item: ResponseItem, budget: OutputBudget | None = None) -> int:
    """Tokens of one item, rounded up; 0 for what is never sent."""
    size = _item_bytes(item, budget)
    return -(-(size + ITEM_BYTES) // BYTES_PER_TOKEN) if size else 0


def _item_bytes(item: ResponseItem, budget: OutputBudget | None) -> int:
    match item:
        case Message():
            return sum(_part_bytes(part) for part in item.content)
        case FunctionCallOutput() | CustomToolCallOutput():
            return len(item.call_id) + _output_bytes(item.output, budget)
        case FunctionCall():
            return len(item.call_id) + len(item.name) + text_bytes(item.arguments)
        case CustomToolCall():
            return len(item.call_id) + len(item.name) + text_bytes(item.input)
        case LocalShellCall():
            return len(item.call_id) + sum(text_bytes(word) + 3 for word in item.action.command)
        case Reasoning():
            return _reasoning_bytes(item)
        case Compaction():
            sealed = _sealed_bytes(item.encrypted_content) if item.encrypted_content is not None else 0
            return sealed or text_bytes(item.summary or "")
        case ToolSearchCall():
            return _json_bytes(item.arguments)
        case ToolSearchOutput():
            return _json_bytes(list(item.tools))
        case WebSearchCall():
            return _json_bytes(item.action)
        case ImageGenerationCall():
            return IMAGE_BYTES if item.result else 0
        case UnknownItem():
            return _json_bytes(item.raw)
        case GhostSnapshot():
            return 0
        case _:
            assert_never(item)


def _part_bytes(part: ContentPart) -> int:
    match part:
        case InputText() | OutputText():
            return text_bytes(part.text)
        case Refusal():
            return text_bytes(part.refusal)
        case InputImage():
            return _image_bytes(part)
        case InputFile():
            return _file_bytes(part)
        case _:
            assert_never(part)


def _output_bytes(output: str | tuple[ContentPart, ...], budget: OutputBudget | None) -> int:
    """Texts up to the budget they share, everything else whole."""
    if isinstance(output, str):
        texts, rest = text_bytes(output), 0
    else:
        texts = sum(text_bytes(part.text) for part in output if isinstance(part, InputText))
        rest = sum(_part_bytes(part) for part in output if not isinstance(part, InputText))
    return rest + (texts if budget is None else min(texts, budget.max_bytes))


def _reasoning_bytes(item: Reasoning) -> int:
    """The readable text and what is sealed. A signature vouches for text that is counted already."""
    sealed = [item.encrypted_content] if item.encrypted_content is not None else []
    sealed += [value for detail in item.details if isinstance(value := detail.get("data"), str)]
    return sum(map(text_bytes, (*item.summary, *item.content))) + sum(map(_sealed_bytes, sealed))


def _sealed_bytes(encrypted: str) -> int:
    """What base64 of encrypted reasoning stands for, less its envelope (codex.md 2.4)."""
    return max(len(encrypted) * 3 // 4 - 650, 0)


def _image_bytes(image: InputImage) -> int:
    if image.detail == "low":
        return LOW_DETAIL_BYTES
    size = _png_size(image.image_url) if image.detail == "original" else None
    if size is None:
        return IMAGE_BYTES
    across, down = (-(-pixels // PATCH_PIXELS) for pixels in size)
    return min(across * down, MAX_PATCHES) * BYTES_PER_TOKEN


def _png_size(url: str) -> tuple[int, int] | None:
    """Width and height from the first bytes of a PNG in a `data:` URL; None for anything else."""
    head, comma, rest = url[:96].partition(";base64,")
    if not comma or not head.startswith("data:"):
        return None
    try:
        first = b64decode(rest[:32], validate=True)
    except ValueError:
        return None
    if len(first) < 24 or first[:8] != b"\x89PNG\r\n\x1a\n" or first[12:16] != b"IHDR":
        return None
    return int.from_bytes(first[16:20]), int.from_bytes(first[20:24])


def _file_bytes(file: InputFile) -> int:
    """Text files by their size; of others nobody knows without reading them, so they count as one picture each."""
    data = file.file_data or ""
    if data.startswith("data:text/") and ";base64," in data[:96]:
        return len(data) * 3 // 4
    return IMAGE_BYTES


def _json_bytes(value: JsonValue) -> int:
    return 0 if value is None else len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
