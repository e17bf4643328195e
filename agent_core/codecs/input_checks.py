"""What no server would take, told before anything is sent: an image that is no image, arguments nobody can have meant.

Replay asks for each item once, and knows its place. What is said names the item and quotes none of its text. What the
caller wrote is an error. What a tool returned is not: nobody could take it back, and the conversation would be stuck
with it, so there replay puts a note in its place and reports that.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64

from ..errors import InvalidPromptError
from ..items import CustomToolCall, FunctionCall, InputImage

__all__ = ["MAX_INPUT_CHARS", "check_call", "check_image", "image_fault"]

MAX_INPUT_CHARS = 10 * 1024 * 1024
"""The longest string of one member that the OpenAI APIs take ("maximum length 10485760"); others take less."""

_FETCHED = frozenset({"http", "https", "gs", "ms"})
"""Schemes of what a provider gets for itself: the web, Google's storage, Moonshot's files."""

_REMEDY = "pass an http(s) URL, or data:image/<kind>;base64,<data>"


def check_call(index: int, item: FunctionCall | CustomToolCall) -> None:
    """Raises InvalidPromptError for input longer than any server takes."""
    size = len(item.arguments if item.type == "function_call" else item.input)
    if size > MAX_INPUT_CHARS:
        raise InvalidPromptError(
            f"items[{index}]: the input of call {item.call_id[:64]!r} to {item.name[:64]!r} has {size} characters;"
            f" servers take {MAX_INPUT_CHARS} at most",
            remedy="leave the call and its output out of the history, or shorten its input",
        )


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
    return "" if found else "its data: URL is empty"
