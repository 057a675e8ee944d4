"""What tools of servers are called, and what they return."""

import pytest
from mcp_types import (
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from talksy.tools.mcp.naming import tool_name
from talksy.tools.mcp.results import complaint, plain


@pytest.mark.parametrize("tool", ["read", "read_file", "read-2"])
def test_a_name_that_can_be_one_stays(tool: str) -> None:
    assert tool_name("files", tool) == f"files__{tool}"


@pytest.mark.parametrize("tool", ["read.file", "read file", "läs", 80 * "r", ""])
def test_any_other_is_made_one_with_a_mark(tool: str) -> None:
    name = tool_name("files", tool)
    assert name.startswith("files__")
    assert len(name) <= 64
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")


def test_two_names_do_not_become_one() -> None:
    names = ["a.b", "a/b", "a b", "a_b", 80 * "r", 81 * "r"]
    assert len({tool_name("files", name) for name in names}) == len(names)


def test_a_text_is_itself_and_what_is_structured_goes_before_it() -> None:
    text = TextContent(text="18 degrees")
    assert plain(CallToolResult(content=[text])) == "18 degrees"
    assert plain(CallToolResult(content=[text], structured_content={"degrees": 18})) == {
        "degrees": 18
    }
    assert plain(CallToolResult(content=[])) == []


def test_other_blocks_are_told_of() -> None:
    note = TextResourceContents(uri="file:///a", text="hello")
    blob = BlobResourceContents(uri="file:///b", mime_type="image/png", blob="aGVsbG8=")
    blocks: list[ContentBlock] = [
        ImageContent(data="aGVsbG8=", mime_type="image/png"),
        ResourceLink(uri="file:///c", name="c"),
        EmbeddedResource(resource=note),
        EmbeddedResource(resource=blob),
    ]
    assert plain(CallToolResult(content=blocks)) == [
        {"type": "image", "mimeType": "image/png", "bytes": 5},
        {"type": "resource_link", "uri": "file:///c", "name": "c"},
        {"type": "resource", "uri": "file:///a", "text": "hello"},
        {"type": "resource", "uri": "file:///b", "mimeType": "image/png", "bytes": 5},
    ]


def test_a_complaint_has_an_end_and_is_never_empty() -> None:
    assert complaint(CallToolResult(content=[], is_error=True)) == "it does not say why"
    long = TextContent(text=10_000 * "x")
    assert len(complaint(CallToolResult(content=[long], is_error=True))) == 2_000
