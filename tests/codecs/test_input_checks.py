"""Bad input is told before anything is sent, on every wire, with the item it is in."""

from __future__ import annotations

import pytest

from agent_core.codecs import codec_for
from agent_core.codecs.base import Compat, Repair
from agent_core.codecs.input_checks import MAX_INPUT_CHARS
from agent_core.errors import InvalidPromptError
from agent_core.items import (
    CustomToolCall,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    JsonValue,
    ResponseItem,
    user_message,
)
from agent_core.prompt import Prompt, ToolSpec

WIRES = ("chat", "responses", "messages")
U = user_message("u")
PIXEL = "data:image/png;base64,AAAA"

NO_IMAGES: dict[str, str] = {
    "cat.png": "its URL has no scheme",
    "": "its URL has no scheme",
    "ftp://x.test/cat.png": "no server reads the scheme 'ftp'",
    "file:///cat.png": "no server reads the scheme 'file'",
    "https:": "no server reads the scheme 'https'",
    "data:image/png;base64": "its data: URL holds no data",
    "data:image/png;base64,": "its data: URL is empty",
    "data:;base64,AAAA": "it has no media type",
    "data:text/plain;base64,AAAA": "its data: URL is of type 'text/plain'",
    "data:image/svg+xml,<svg/>": "its data: URL is not base64",
    "data:image/png;base64,A": "its data is not base64",
    "data:image/png;base64,%%%%": "its data is not base64",
    "data:image/png;base64,ÄÄÄÄ": "its data is not base64",
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("url", NO_IMAGES)
def test_an_image_that_is_none(wire: str, url: str) -> None:
    """The message and what is wrong with it are named; its data is not in what is said."""
    with pytest.raises(InvalidPromptError) as caught:
        codec_for(wire).encode_request(Prompt([U, user_message("u", url)]), Compat())
    assert caught.value.message == f"items[1]: an image is no image: {NO_IMAGES[url]}"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("url", NO_IMAGES)
def test_a_tool_that_returned_no_image(wire: str, url: str) -> None:
    """A tool's fault must not stop the conversation for ever: a note stands in its place, and that is reported."""
    output = FunctionCallOutput(call_id="c", output=(InputImage(image_url=url),))
    items: list[ResponseItem] = [U, FunctionCall(call_id="c", name="f", arguments="{}"), output]
    encoded = codec_for(wire).encode_request(Prompt(items), Compat())
    assert f"[image left out: {NO_IMAGES[url]}]".encode() in encoded.body
    assert encoded.repairs == (Repair("replaced_image", 2, NO_IMAGES[url]),)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "url", [PIXEL, "DATA:IMAGE/PNG;BASE64,AAAA", "data:image/png;base64,AA\nAA", "https://x.test/a"]
)
def test_images_that_are_some(wire: str, url: str) -> None:
    """Case and line breaks do not matter."""
    codec_for(wire).encode_request(Prompt([user_message("u", url)]), Compat())


@pytest.mark.parametrize("wire", WIRES)
def test_what_a_text_model_does_not_get_is_not_checked(wire: str) -> None:
    """An image that is replaced by a note may be anything."""
    codec_for(wire).encode_request(Prompt([user_message("u", "cat.png")]), Compat(images=False))


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("free_form", [False, True])
def test_arguments_beyond_all_measure(wire: str, free_form: bool) -> None:
    """50 MB of arguments are an error that names the call, not a request that is refused after minutes."""
    text = " " * (50 * 1000 * 1000)
    call: ResponseItem = FunctionCall(call_id="c1", name="f", arguments=text)
    if free_form:
        call = CustomToolCall(call_id="c1", name="f", input=text)
    with pytest.raises(InvalidPromptError, match=r"items\[1\]: the input of call 'c1' to 'f' has 50000000 characters"):
        codec_for(wire).encode_request(Prompt([U, call]), Compat())


def test_the_longest_arguments_go_out() -> None:
    """The limit itself is legal."""
    call = FunctionCall(call_id="c1", name="f", arguments='{"a":"' + "x" * (MAX_INPUT_CHARS - 8) + '"}')
    assert len(codec_for("chat").encode_request(Prompt([U, call]), Compat()).body) > MAX_INPUT_CHARS


@pytest.mark.parametrize("kind", ["array", "string", ["string", "null"]])
def test_a_tool_whose_schema_is_no_object(kind: JsonValue) -> None:
    """Arguments are an object, so their schema describes one; told when the prompt is made."""
    with pytest.raises(InvalidPromptError, match="parameters of tool 'f' must describe an object"):
        Prompt("u", tools=[ToolSpec("f", parameters={"type": kind})])
