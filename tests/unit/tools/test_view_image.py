"""view_image: pictures by their content, whole or not at all."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from agent_core.items import InputImage, JsonValue
from agent_core.tools import ToolContext, ViewImage, view_image

from .calls import call

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("content", "kind"),
    [(PNG, "png"), (b"\xff\xd8\xff\xe0x", "jpeg"), (b"GIF89a", "gif"), (b"RIFF\0\0\0\0WEBPVP8 ", "webp")],
)
async def test_pictures(content: bytes, kind: str, tmp_path: Path) -> None:
    """The name does not matter; the picture goes out as it is, with the detail that was asked for."""
    (tmp_path / "picture.dat").write_bytes(content)
    output = await ViewImage().run(call("view_image", {"path": "picture.dat", "detail": "high"}), ToolContext(tmp_path))
    url = f"data:image/{kind};base64,{b64encode(content).decode()}"
    metadata: dict[str, JsonValue] = {"path": "picture.dat", "bytes": len(content)}
    assert (output.content, output.metadata) == ((InputImage(image_url=url, detail="high"),), metadata)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("text.png", "'text.png' is no PNG, JPEG, GIF or WebP; convert it, or read it as text"),
        ("a.pgn", "there is no file 'a.pgn'; did you mean 'a.png'?"),
        ("a.png", "'a.png' has 32 bytes, more than 20; make it smaller with a command"),
        ("/etc/passwd", "'/etc/passwd' is outside the allowed directories; use a path below the working directory"),
    ],
)
async def test_refusals(path: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What no provider would take is refused here."""
    monkeypatch.setattr(view_image, "MAX_IMAGE_BYTES", 20)
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "a.png").write_bytes(PNG)
    output = await ViewImage().run(call("view_image", {"path": path}), ToolContext(tmp_path))
    assert (output.content, output.success) == (expected, False)
