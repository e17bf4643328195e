"""What servers answer, as parts for the model."""

from __future__ import annotations

import pytest
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ReadResourceResult,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from agent_core.items import InputImage, InputText
from agent_core.tools.base import ToolOutput
from agent_core.tools.images import MAX_IMAGE_BYTES
from agent_core.tools.mcp.content import MAX_PARTS, output_of, output_of_resource
from agent_core.tools.results import MAX_RESULT_BYTES

PNG = "iVBORw0KGgo="


def text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


def image(data: str, media_type: str = "image/png") -> ImageContent:
    return ImageContent(type="image", data=data, mime_type=media_type)


SOUND = AudioContent(type="audio", data="AAAA", mime_type="audio/wav")
LINK = ResourceLink(type="resource_link", uri="demo://a", name="a", mime_type="text/plain", description="About a.")
NOTE = EmbeddedResource(
    type="resource", resource=TextResourceContents(uri="demo://n", mime_type="text/plain", text="a note")
)


@pytest.mark.parametrize(
    ("blocks", "content"),
    [
        ([], ""),
        ([text("one")], "one"),
        ([text("one"), text("two")], "one\ntwo"),
        ([text("lone \ud800 surrogate")], "lone ? surrogate"),
        ([SOUND], "[a sound, audio/wav, 3 bytes: it cannot be shown]"),
        ([LINK], "[resource demo://a: text/plain a About a.]"),
        ([NOTE], "[resource demo://n, text/plain]\na note"),
        ([image("not base64!")], "[a picture, image/png: it is damaged]"),
        ([image("")], "[a picture, image/png: it is damaged]"),
        ([image("AAAA", "image/svg+xml")], "[a picture, image/svg+xml, 3 bytes: it cannot be shown]"),
        ([image(PNG)], (InputImage(image_url=f"data:image/png;base64,{PNG}"),)),
        ([image(PNG, "IMAGE/JPG; q=1")], (InputImage(image_url=f"data:image/jpeg;base64,{PNG}"),)),
        ([text("see"), image(PNG)], (InputText(text="see"), InputImage(image_url=f"data:image/png;base64,{PNG}"))),
    ],
)  # fmt: skip
def test_blocks(blocks: list[ContentBlock], content: object) -> None:
    """Text is text, what is a picture everywhere is a picture, the rest is named."""
    assert output_of(CallToolResult(content=blocks)) == ToolOutput(content)  # type: ignore[arg-type]  # a table's cell


def test_a_picture_no_provider_takes() -> None:
    """Too large is said, with the size."""
    (block,) = [image("AAAA" * (MAX_IMAGE_BYTES // 3 + 1))]
    words = f"[a picture, image/png, {MAX_IMAGE_BYTES + 3:,} bytes: too large to be shown]"
    assert output_of(CallToolResult(content=[block])).content == words


@pytest.mark.parametrize(
    ("texts", "structured", "content"),
    [
        ([], {"a": 1}, '{"a":1}'),
        (['{"a": 1}'], {"a": 1}, '{"a": 1}'),
        (["sunny"], {"a": 1}, 'sunny\n{"a":1}'),
        (["hello"], {"result": "hello"}, "hello"),
        (["5"], {"result": 5}, "5"),
        (["one", "2"], {"result": ["one", 2]}, "one\n2"),
        (["one"], {"result": ["one", 2]}, 'one\n{"result":["one",2]}'),
        (["{"], {"a": "ü"}, '{\n{"a":"ü"}'),
    ],
)
def test_structured_content_is_told_once(texts: list[str], structured: dict[str, object], content: str) -> None:
    """Servers repeat it as text, whole or unwrapped; where they do not, it is added."""
    result = CallToolResult(content=[text(words) for words in texts], structured_content=structured)
    assert output_of(result).content == content


def test_a_failure_is_one() -> None:
    """`isError` is the server's word for it."""
    assert output_of(CallToolResult(content=[text("no")], is_error=True)) == ToolOutput("no", success=False)


def test_long_answers_are_cut() -> None:
    """All texts together have what one may have, each its beginning and end; and there are not too many parts."""
    output = output_of(CallToolResult(content=[text("x" * 800_000), text("y" * 800_000), *[text("z")] * 300]))
    assert isinstance(output.content, str)
    assert len(output.content) < MAX_RESULT_BYTES + 1024 * MAX_PARTS
    assert (output.content[0], "[… 102 parts left out …]" in output.content) == ("x", True)
    assert output.metadata["truncated_bytes"] == 1_600_000 - MAX_RESULT_BYTES


def test_a_resource() -> None:
    """Its parts, each with where it is from."""
    contents = [
        TextResourceContents(uri="demo://a", text="words"),
        BlobResourceContents(uri="demo://b", mime_type="image/png", blob=PNG),
        BlobResourceContents(uri="demo://c", mime_type="application/zip", blob="AAAA"),
    ]
    assert output_of_resource(ReadResourceResult(contents=[*contents])).content == (
        InputText(text="[resource demo://a, unknown kind]"),
        InputText(text="words"),
        InputText(text="[resource demo://b, image/png]"),
        InputImage(image_url=f"data:image/png;base64,{PNG}"),
        InputText(text="[resource demo://c, application/zip]"),
        InputText(text="[a file, application/zip, 3 bytes: it cannot be shown]"),
    )
