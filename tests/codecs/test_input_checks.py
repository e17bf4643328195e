"""Bad input is told before anything is sent, on every wire, with the item it is in."""

from __future__ import annotations

from base64 import b64encode

import pytest

from agent_core.codecs import codec_for
from agent_core.codecs.base import Compat, Repair
from agent_core.codecs.input_checks import MAX_INPUT_CHARS, image_fault
from agent_core.errors import InvalidPromptError
from agent_core.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    JsonValue,
    ResponseItem,
    parse_items,
    user_message,
)
from agent_core.prompt import Prompt, ToolSpec

WIRES = ("chat", "responses", "messages")
U = user_message("u")
PIXEL = "data:image/png;base64,iVBORw0KGgo="

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
    "data:image/png;base64,aGVsbG8sIHdvcmxk": "its data begins like no image",
    "data:image/png;base64,PGh0bWw+bm90IGZvdW5kPC9odG1sPg==": "its data begins like no image",
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


HEADS = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff\xe0",
    "gif": b"GIF89a",
    "webp": b"RIFF\x24\0\0\0WEBPVP8 ",
    "bmp": b"BM",
    "tiff": b"II*\0",
    "heic": b"\0\0\0\x18ftypheic",
    "avif": b"\0\0\0\x20ftypavif",
    "svg+xml": b'\n<svg xmlns="http://www.w3.org/2000/svg"/>',
}


@pytest.mark.parametrize("kind", HEADS)
def test_images_are_known_by_their_beginning(kind: str) -> None:
    """Every kind that some server takes; which of them it takes is between it and the caller."""
    url = f"data:image/{kind};base64,{b64encode(HEADS[kind]).decode()}"
    assert image_fault(InputImage(image_url=url)) == ""
    assert image_fault(InputImage(image_url=url.replace("base64,", "base64,AAAA"))) != ""


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("url", NO_IMAGES)
def test_a_history_that_is_to_be_mended_is_not_refused(wire: str, url: str) -> None:
    """What an older session or a resumed file holds: a note in its place, reported, and the rest goes out."""
    encoded = codec_for(wire).encode_request(Prompt([user_message("u", url), U], mend_items=True), Compat())
    assert f"[image left out: {NO_IMAGES[url]}]".encode() in encoded.body
    assert encoded.repairs == (Repair("replaced_image", 0, NO_IMAGES[url]),)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("free_form", [False, True])
def test_a_call_beyond_all_measure_is_mended(wire: str, free_form: bool) -> None:
    """A model may have made it: its input is left out, and what was answered stays."""
    long = "x" * (MAX_INPUT_CHARS + 1)
    made: tuple[ResponseItem, ResponseItem] = (
        (CustomToolCall(call_id="c1", name="f", input=long), CustomToolCallOutput(call_id="c1", output="too long"))
        if free_form
        else (FunctionCall(call_id="c1", name="f", arguments=long), FunctionCallOutput(call_id="c1", output="too long"))
    )
    encoded = codec_for(wire).encode_request(Prompt([U, *made], mend_items=True), Compat())
    assert len(encoded.body) < 1000
    assert b"[left out: 10485761 characters" in encoded.body and b"too long" in encoded.body
    assert encoded.repairs[0].kind == "replaced_arguments"


@pytest.mark.parametrize("wire", WIRES)
def test_what_was_mended_is_not_what_is_refused(wire: str) -> None:
    """An encoder that keeps both kinds of conversation takes the one for the other in neither direction."""
    kept = codec_for(wire).request_encoder(Compat())
    items = parse_items([user_message("u", "cat.png"), U])
    for _ in range(2):
        assert kept.encode(Prompt(items, mend_items=True)).repairs
        with pytest.raises(InvalidPromptError):
            kept.encode(Prompt(items))


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "url", [PIXEL, "DATA:IMAGE/PNG;BASE64,iVBORw0KGgo=", "data:image/png;base64,iVBORw\n0KGgo=", "https://x.test/a"]
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
