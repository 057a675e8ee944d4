"""The text of a page, simply: no layout, no scripts. It takes linear time, whatever the page."""

import re
from html import unescape

_NAME = re.compile(r"/?[a-zA-Z][a-zA-Z0-9]*")
_UNREAD = {"script", "style", "noscript", "template", "svg", "iframe", "textarea", "select"}
_BLOCKS = {
    *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figure"),
    *("footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav"),
    *("ol", "p", "pre", "section", "table", "td", "th", "tr", "ul", "title"),
}


def text_of(page: str) -> str:
    """What somebody would read of ``page``, a line for each block."""
    parts: list[str] = []
    lower = page.lower()
    if len(lower) != len(page):  # a few letters grow when they become small
        page = lower
    at = 0
    while (opening := page.find("<", at)) >= 0:
        parts.append(page[at:opening])
        name = _NAME.match(page, opening + 1)
        if page.startswith("<!--", opening):
            at = _behind(page, "-->", opening)
        elif name is None and page[opening + 1 : opening + 2] not in ("!", "?"):
            parts.append("<")
            at = opening + 1
        else:
            at = _behind(page, ">", opening)
            tag = lower[opening + 1 : name.end()] if name else ""
            if tag.lstrip("/") in _BLOCKS:
                parts.append("\n")
            if tag in _UNREAD:
                at = _behind(lower, f"</{tag}", at)
                at = _behind(page, ">", at)
    parts.append(page[at:])
    lines = (" ".join(line.split()) for line in unescape("".join(parts)).splitlines())
    return "\n".join(line for line in lines if line)


def _behind(text: str, what: str, at: int) -> int:
    found = text.find(what, at)
    return len(text) if found < 0 else found + len(what)
