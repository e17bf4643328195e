"""`view_image`: a picture of the project's, shown to the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ToolError
from ..items import InputImage, JsonObject
from ..prompt import ToolSpec
from .arguments import InvalidArguments, check_arguments, parse_arguments
from .base import ToolCall, ToolContext, ToolOutput
from .file_writes import read_for_change
from .images import MAX_IMAGE_BYTES, data_url, media_type_of
from .paths import near_names, resolve_inside, shown_path

if TYPE_CHECKING:
    from ..approvals import ApprovalRequest

__all__ = ["ViewImage"]

_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "The picture, relative to the working directory."},
        "detail": {"type": "string", "enum": ["auto", "low", "high", "original"], "description": "Default auto."},
    },
    "required": ["path"],
    "additionalProperties": False,
}


class ViewImage:
    """The tool. PNG, JPEG, GIF and WebP by their content, below the roots, at most 3.75 MB; sent as they are.

    A model without eyes is told that there was a picture: replay sees to that.
    """

    name: str = "view_image"
    read_only: bool = True
    parallel: bool = True
    timeout_s: float | None = None

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(self.name, "Shows you a picture file (PNG, JPEG, GIF or WebP).", _PARAMETERS)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        return None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from anyio import to_thread

        from .requests import ViewImageRequest

        try:
            asked = check_arguments(ViewImageRequest, parse_arguments(call.arguments))
            path = resolve_inside(asked.path, context)
            content, _ = await to_thread.run_sync(read_for_change, path)
            if content is None:
                names = near_names(path)
                remedy = f"did you mean {' or '.join(map(repr, names))}?" if names else "check the path"
                raise ToolError(f"there is no file {asked.path!r}", remedy=remedy)
            url = _data_url(content, asked.path)
        except InvalidArguments:
            raise
        except ToolError as error:
            return ToolOutput(f"{error.message}; {error.remedy}", success=False)
        image = InputImage(image_url=url, detail=asked.detail)
        return ToolOutput((image,), metadata={"path": shown_path(path, context), "bytes": len(content)})


def _data_url(content: bytes, path: str) -> str:
    media_type = media_type_of(content)
    if media_type is None:
        raise ToolError(f"{path!r} is no PNG, JPEG, GIF or WebP", remedy="convert it, or read it as text")
    if len(content) > MAX_IMAGE_BYTES:
        raise ToolError(
            f"{path!r} has {len(content)} bytes, more than {MAX_IMAGE_BYTES}", remedy="make it smaller with a command"
        )
    return data_url(content, media_type)
