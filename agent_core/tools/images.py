"""Pictures by their content: what every provider with eyes takes, as the part of an output that shows it."""

from __future__ import annotations

from base64 import b64encode

__all__ = ["MAX_IMAGE_BYTES", "data_url", "media_type_of"]

MAX_IMAGE_BYTES = 3_750_000
"""5 MB in base64, the most Anthropic takes; OpenAI and Google take more (providers.md 3d)."""

_KINDS: tuple[tuple[bytes, int, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF8", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
)
"""How the files begin that every provider with pictures takes, and where."""


def media_type_of(content: bytes) -> str | None:
    """PNG, JPEG, GIF or WebP; None for anything else."""
    return next((kind for magic, at, kind in _KINDS if content[at : at + len(magic)] == magic), None)


def data_url(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{b64encode(content).decode()}"
