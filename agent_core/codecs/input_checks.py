"""What no server would take, told before anything is sent: an image that is no image, arguments nobody can have meant.

Replay asks for each item once, and knows its place. What is said names the item and quotes none of its text. What the
caller writes is an error. What a tool returned, or a history holds that is to be mended (`Prompt.mend_items`), is not:
nobody could take it back, and the conversation would be stuck with it, so there replay puts a note in its place and
reports that. An agent asks about the user's items before they are history (`check_items`).
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterable

from ..errors import InvalidPromptError
from ..items import CustomToolCall, FunctionCall, InputImage, ResponseItem

__all__ = ["MAX_INPUT_CHARS", "call_fault", "check_call", "check_image", "check_items", "image_fault"]

MAX_INPUT_CHARS = 10 * 1024 * 1024
"""The longest string of one member that the OpenAI APIs take ("maximum length 10485760"); others take less."""

_FETCHED = frozenset({"http", "https", "gs", "ms"})
"""Schemes of what a provider gets for itself: the web, Google's storage, Moonshot's files."""

_REMEDY = "pass an http(s) URL, or data:image/<kind>;base64,<data>"

_BEGINNINGS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",  # JPEG
    b"GIF8",
    b"BM",
    b"II*\0",
    b"MM\0*",  # TIFF, both ways round
    b"\0\0\1\0",  # ICO
    b"\xff\x0a",
    b"\0\0\0\x0cJXL ",  # JPEG XL
    b"\0\0\0\x0cjP  ",  # JPEG 2000
)
_LATER = {b"RIFF": (8, b"WEBP"), b"\0\0\0": (4, b"ftyp")}  # and HEIC, AVIF
_MARKUP = (b"<svg", b"<?xml", b"<!DOCTYPE svg", b"<!--")


def check_items(items: Iterable[ResponseItem]) -> None:
    """Raises InvalidPromptError for the first of these items that would be refused wherever it is sent, naming its
    place among them."""
    for index, item in enumerate(items):
        if item.type == "message":
            for part in item.content:
                if part.type == "input_image":
                    check_image(index, part)
        elif item.type == "function_call" or item.type == "custom_tool_call":
            check_call(index, item)


def check_call(index: int, item: FunctionCall | CustomToolCall) -> None:
    """Raises InvalidPromptError for input longer than any server takes."""
    fault = call_fault(item)
    if fault:
        raise InvalidPromptError(
            f"items[{index}]: the input of call {item.call_id[:64]!r} to {item.name[:64]!r} has {fault}",
            remedy="leave the call and its output out of the history, or shorten its input",
        )


def call_fault(item: FunctionCall | CustomToolCall) -> str:
    """Why no server would take the input of this call; empty for one that may."""
    size = len(item.arguments if item.type == "function_call" else item.input)
    return f"{size} characters; servers take {MAX_INPUT_CHARS} at most" if size > MAX_INPUT_CHARS else ""


def check_image(index: int, part: InputImage) -> None:
    """Raises InvalidPromptError for an `image_url` in which no server would find an image."""
    fault = image_fault(part)
    if fault:
        raise InvalidPromptError(f"items[{index}]: an image is no image: {fault}", remedy=_REMEDY)


def image_fault(part: InputImage) -> str:
    """Why no server would find an image in this part; empty for one that may."""
    url = part.image_url
    scheme, colon, rest = url[:4096].partition(":")
    if not colon:
        return "its URL has no scheme"
    if scheme.lower() != "data":
        known = scheme.lower() in _FETCHED and rest
        return "" if known else f"no server reads the scheme {scheme[:16]!r}"
    head, comma, _ = rest.partition(",")
    media_type, *flags = (word.strip() for word in head.lower().split(";"))
    if not comma:
        return "its data: URL holds no data"
    if not media_type.startswith("image/"):
        return f"its data: URL is of type {media_type[:32]!r}" if media_type else "it has no media type"
    if "base64" not in flags:
        return "its data: URL is not base64"
    try:
        found = a2b_base64("".join(url[url.index(",") + 1 :].split()), strict_mode=True)
    except (Base64Error, ValueError):
        return "its data is not base64"
    if not found:
        return "its data: URL is empty"
    return "" if _begins_an_image(found[:64]) else "its data begins like no image"


def _begins_an_image(head: bytes) -> bool:
    """By its first bytes, as the servers tell; a text, a web page or a file cut at the wrong end begins otherwise."""
    if head.startswith(_BEGINNINGS) or head.lstrip().startswith(_MARKUP):
        return True
    later = (mark == head[at : at + len(mark)] for first, (at, mark) in _LATER.items() if head.startswith(first))
    return any(later)
