"""What a server's tool returned, as JSON for models and clients."""

from typing import Any, assert_never

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
)

from talksy.messages import clean

MAX_ERROR_CHARS = 2_000


def plain(result: CallToolResult) -> Any:
    """What is structured as it is, a single text by itself, anything else as a list of blocks.

    Of pictures, sounds and files their kind and size is kept: no model here could read the rest,
    and it would take the room of what one can.
    """
    if result.structured_content is not None:
        return result.structured_content
    blocks = [_plain(block) for block in result.content]
    if len(blocks) == 1 and blocks[0]["type"] == "text":
        return blocks[0]["text"]
    return blocks


def complaint(result: CallToolResult) -> str:
    """What a tool says of its failure."""
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    return clean("\n".join(texts))[:MAX_ERROR_CHARS] or "it does not say why"


def _plain(block: ContentBlock) -> dict[str, Any]:
    match block:
        case TextContent():
            return {"type": "text", "text": block.text}
        case ImageContent() | AudioContent():
            size = _size(block.data)
            return {"type": block.type, "mimeType": block.mime_type, "bytes": size}
        case ResourceLink():
            named = {"uri": str(block.uri), "name": block.name, "mimeType": block.mime_type}
            return {"type": block.type, **_given(named)}
        case EmbeddedResource():
            inner = block.resource
            named = _given({"uri": str(inner.uri), "mimeType": inner.mime_type})
            if isinstance(inner, BlobResourceContents):
                return {"type": block.type, **named, "bytes": _size(inner.blob)}
            return {"type": block.type, **named, "text": inner.text}
        case _:
            assert_never(block)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _size(base64: str) -> int:
    return len(base64) * 3 // 4 - base64[-2:].count("=")
