"""The pieces that the page is made of: text, code, the fields of a shape."""

import json
import re
from collections.abc import Iterable
from html import escape
from typing import Any

from talksy.transports.schemas import REF, Json
from talksy.transports.socketio.outbox import PLACEHOLDER

_TOKENS = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"(?=:))|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>(?<![\w:/.-])-?\d+(?:\.\d+)?\b)|(?P<word>\b(?:true|false|null)\b)"
)
_NAME = re.compile(r'"([A-Za-z_$][\w$]*)":')
WIDTH = 46
"""Characters of a line of code that needs no second one."""


def prose(text: str) -> str:
    """Paragraphs; what stands between backticks is code."""
    paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
    return "".join(f"<p>{inline(part)}</p>" for part in paragraphs)


def inline(text: str) -> str:
    """One paragraph's text; what stands between backticks is code."""
    return re.sub(r"(`+)(.+?)\1", r"<code>\2</code>", escape(text, quote=False))


def code(source: str, label: str) -> str:
    """A block of code that can be copied, its JSON coloured."""
    coloured, end = "", 0
    for token in _TOKENS.finditer(source):
        coloured += escape(source[end : token.start()], quote=False)
        coloured += f'<i class="{token.lastgroup}">{escape(token.group(), quote=False)}</i>'
        end = token.end()
    coloured += escape(source[end:], quote=False)
    return (
        f'<figure class="code"><figcaption>{escape(label)}</figcaption>'
        f'<pre tabindex="0"><code>{coloured}</code></pre></figure>'
    )


def shown(value: Any) -> str:
    """JSON as people read it: short things on one line."""
    if value == PLACEHOLDER:
        return "pcm"
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value:
        return flat
    if len(flat) <= WIDTH and "_placeholder" not in flat:
        return flat
    if isinstance(value, dict):
        items = [f"{json.dumps(name)}: {shown(item)}" for name, item in value.items()]
    else:
        items = [shown(item) for item in value]
    body = ",\n".join(items).replace("\n", "\n  ")
    return f"{{\n  {body}\n}}" if isinstance(value, dict) else f"[\n  {body}\n]"


def literal(value: Any) -> str:
    """The same as JavaScript writes it."""
    return _NAME.sub(r"\1:", shown(value))


def chips(names: Iterable[str]) -> str:
    """Error codes, each a link to what it means."""
    links = (f'<a class="chip" href="#code-{name}">{name}</a>' for name in names)
    return f'<p class="chips">{" ".join(links)}</p>'


class Shapes:
    """The schemas of a document, as tables of fields."""

    def __init__(self, document: Json, prefix: str) -> None:
        """``prefix`` sets its anchors apart from those of another document."""
        self._known: Json = document["components"]["schemas"]
        self._prefix = prefix
        self.linked: dict[str, None] = {}
        """The shapes that a table links to, in the order of their use."""

    def resolved(self, schema: Json) -> Json:
        """The schema itself, where this one only names it or adds to it."""
        for part in schema.get("allOf", []):
            if "$ref" in part:
                return self.resolved(part)
        if "$ref" in schema:
            known: Json = self._known[schema["$ref"].removeprefix(REF)]
            return known
        return schema

    def codes(self, schema: Json) -> list[str]:
        """The error codes that a refusal's schema leaves."""
        told = next((part for part in schema.get("allOf", []) if "$ref" not in part), schema)
        while "properties" in told:
            inside: Json = told["properties"]
            told = inside.get("code") or inside.get("error") or inside.get("data") or {}
        return list(told.get("enum", []))

    def fields(self, schema: Json) -> str:
        """A table of an object's fields, a sentence for what has none."""
        shape = self.resolved(schema)
        if shape.get("type") == "array":
            return f'<p class="none">A {self.kind(shape)}.</p>'
        if "anyOf" in shape:
            return f'<p class="none">{self.kind(shape)}: {inline(shape["description"])}</p>'
        required = set(shape.get("required", []))
        rows = "".join(
            f'<tr><th scope="row"><code>{escape(name)}{"" if name in required else "?"}</code></th>'
            f"<td>{self.kind(field)}</td><td>{self._notes(field)}</td></tr>"
            for name, field in shape.get("properties", {}).items()
        )
        if not rows:
            return '<p class="none">No fields.</p>'
        head = '<thead><tr><th scope="col">Field</th><th scope="col">Type</th>'
        head += '<th scope="col">Meaning</th></tr></thead>'
        return f'<div class="wide"><table class="fields">{head}<tbody>{rows}</tbody></table></div>'

    def kind(self, schema: Json) -> str:
        """A type in words; a shape with fields of its own is a link to them."""
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(REF)
            if "properties" not in self._known[name]:
                return (
                    '<a href="#codes">code</a>' if name == "Code" else self.kind(self._known[name])
                )
            self.linked.setdefault(name)
            return f'<a href="#{self._prefix}-{name}">{name}</a>'
        if "const" in schema:
            return f"<code>{escape(json.dumps(schema['const']), quote=False)}</code>"
        if "enum" in schema:
            return " or ".join(
                f"<code>{escape(json.dumps(one), quote=False)}</code>" for one in schema["enum"]
            )
        if "contentMediaType" in schema:
            return "bytes"
        if "contentEncoding" in schema:
            return str(schema["contentEncoding"])
        if "anyOf" in schema:
            return " or ".join(self.kind(one) for one in schema["anyOf"])
        if schema.get("type") == "array":
            return f"list of {self.kind(schema['items'])}"
        if "additionalProperties" in schema and isinstance(schema["additionalProperties"], dict):
            return f"object of {self.kind(schema['additionalProperties'])}"
        kind = str(schema.get("type", "any"))
        return "whole number" if kind == "integer" else kind

    def _notes(self, field: Json) -> str:
        bounds = [field, *field.get("anyOf", [])]
        notes = [inline(field["description"])] if "description" in field else []
        for words, name in (
            ("At least {} characters.", "minLength"),
            ("At most {} characters.", "maxLength"),
            ("At most {} entries.", "maxItems"),
            ("{} or more.", "minimum"),
            ("{} or less.", "maximum"),
        ):
            notes += [words.format(f"{one[name]:,}") for one in bounds if name in one]
        if field.get("default") is not None:
            notes.append(f"Else <code>{escape(json.dumps(field['default']), quote=False)}</code>.")
        return " ".join(notes)
