"""The page of both contracts: one file of HTML that needs nothing else, and little script."""

import base64
import hashlib
import shlex
from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path

from talksy.transports.contracts.markup import Shapes, chips, code, inline, literal, prose, shown
from talksy.transports.rest.problems import PROBLEM
from talksy.transports.schemas import Json

HERE = "http://localhost:3000"
"""Stands in the examples; the script puts the page's own address in its place."""
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect "
    "width='32' height='32' rx='8' fill='%235b5bd6'/%3E%3Cpath d='M9 10h14v3h-5.4v11h-3.2V13H9z' "
    "fill='%23fff'/%3E%3C/svg%3E"
)
START_REST = f"""\
curl {HERE}/auth/register \\
  -H 'Content-Type: application/json' \\
  -d '{{"email": "ada@example.com", "password": "Hello-Talksy-1"}}'"""
START_SOCKET = f"""\
import {{ io }} from "socket.io-client";

const socket = io("{HERE}", {{ auth: {{ token }} }});
socket.on("stream_chunk", ({{ content }}) => process.stdout.write(content));
socket.on("stream_end", ({{ reason }}) => console.log(reason));
socket.emit("user_message_stream", {{ text: "Tell me a joke" }}, console.log);"""


@cache
def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8").strip()


def policy() -> str:
    """``Content-Security-Policy`` of the page: its own style and script, by their hashes."""

    def own(name: str) -> str:
        digest = hashlib.sha256(_file(name).encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    return (
        f"default-src 'none'; style-src {own('page.css')}; script-src {own('page.js')}; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def page(openapi: Json, asyncapi: Json) -> str:
    """The page of two documents."""
    version = escape(openapi["info"]["version"])
    rest, sockets = _Rest(openapi), _Sockets(asyncapi)
    body = "".join(
        [
            _start(openapi, asyncapi),
            rest.sections(),
            sockets.sections(),
            _codes(openapi),
        ]
    )
    links = [
        ("Start", [("start", "In two steps")]),
        *rest.contents(),
        *sockets.contents(),
        ("Errors", [("codes", "All codes")]),
    ]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="The REST and Socket.IO contracts of this Talksy server.">
<title>Talksy {version}: the contracts</title>
<link rel="icon" href="{ICON}">
<style>{_file("page.css")}</style>
</head>
<body>
<a class="skip" href="#start">Skip to the contracts</a>
<header class="bar"><a class="brand" href="#start">Talksy <small>{version}</small></a>
<a class="to-contents" href="#contents">Contents</a></header>
<div class="columns">
<main>{body}</main>
<nav id="contents" aria-label="Contents">{_contents(links)}</nav>
</div>
<script>{_file("page.js")}</script>
</body>
</html>
"""


def _contents(groups: Iterable[tuple[str, list[tuple[str, str]]]]) -> str:
    parts = []
    for title, links in groups:
        items = "".join(f'<li><a href="#{anchor}">{label}</a></li>' for anchor, label in links)
        parts.append(f"<section><h2>{escape(title)}</h2><ul>{items}</ul></section>")
    return "".join(parts)


def _start(openapi: Json, asyncapi: Json) -> str:
    return f"""
<section id="start" class="start">
<h1>Talk to Talksy</h1>
<p class="lead">Accounts go over REST, conversations over Socket.IO. Answers are streamed, numbered
and kept: a lost connection loses nothing.</p>
<p class="files"><a href="/openapi.json">openapi.json <small>3.1</small></a>
<a href="/asyncapi.json">asyncapi.json <small>3.0</small></a>
<a href="/health/detailed">How is the server?</a></p>
<div class="pair">{code(START_REST, "1 · an account")}
{code(START_SOCKET, "2 · a conversation")}</div>
<div class="pair words"><div><h2>REST</h2>{prose(openapi["info"]["description"])}</div>
<div><h2>Socket.IO</h2>{prose(asyncapi["info"]["description"])}</div></div>
<p class="legend">A field with a question mark, such as <code>usage?</code>, may be left out.</p>
</section>"""


def _codes(document: Json) -> str:
    rows = "".join(
        f'<tr id="code-{known["code"]}"><th scope="row"><code>{known["code"]}</code></th>'
        f"<td>{known['status']}</td><td>{'yes' if known['retryable'] else 'no'}</td>"
        f"<td>{inline(known['message'])}</td></tr>"
        for known in document["x-error-codes"]
    )
    return f"""
<section id="codes"><h2>Error codes</h2>
<p>The same for REST, in problem documents, and for sockets, in acks and in <code>error</code>. The
message that comes with a code says what to change here and now.</p>
<div class="wide"><table class="codes"><thead><tr><th scope="col">Code</th>
<th scope="col">Status</th><th scope="col">Try again?</th>
<th scope="col">What it means</th></tr></thead>
<tbody>{rows}</tbody></table></div></section>"""


def _entry(anchor: str, badge: str, kind: str, name: str, does: str, body: str) -> str:
    return f"""
<article id="{anchor}"><h3><span class="badge {kind}">{badge}</span>
<a class="self" href="#{anchor}"><code>{escape(name)}</code></a></h3>
<p class="does">{inline(does)}</p>{body}</article>"""


def _halves(left: str, right: str) -> str:
    return f'<div class="halves"><div>{left}</div><div>{right}</div></div>'


def _nested(shapes: Shapes, document: Json, prefix: str, title: str) -> str:
    """The shapes that the tables link to, and those that these link to."""
    done: dict[str, str] = {}
    while more := [name for name in shapes.linked if name not in done]:
        for name in more:
            schema = document["components"]["schemas"][name]
            done[name] = (
                f'<article id="{prefix}-{name}"><h3><a class="self" href="#{prefix}-{name}">'
                f"<code>{name}</code></a></h3>{prose(schema.get('description', ''))}"
                f"{shapes.fields(schema)}</article>"
            )
    return f'<section id="{prefix}-shapes"><h2>{title}</h2>{"".join(done.values())}</section>'


class _Rest:
    """The routes."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._shapes = Shapes(document, "rest")
        self._routes = [
            (method.upper(), path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]

    def contents(self) -> list[tuple[str, list[tuple[str, str]]]]:
        return [
            (
                tag["name"],
                [
                    (operation["operationId"], f"<b>{method}</b> {escape(path)}")
                    for method, path, operation in self._routes
                    if tag["name"] in operation["tags"]
                ],
            )
            for tag in self._document["tags"]
        ]

    def sections(self) -> str:
        parts = ""
        for tag in self._document["tags"]:
            routes = [route for route in self._routes if tag["name"] in route[2]["tags"]]
            entries = "".join(self._route(*route) for route in routes)
            parts += f"<section><h2>REST: {escape(tag['name'])}</h2>{entries}</section>"
        return parts + _nested(self._shapes, self._document, "rest", "REST: shapes")

    def _route(self, method: str, path: str, operation: Json) -> str:
        left, sample = prose(operation["description"]), f"curl {HERE}{path}"
        for part in operation.get("parameters", []):
            sample = sample.replace(f"{{{part['name']}}}", part["example"])
        if method not in {"GET", "POST"}:
            sample += f" -X {method}"
        if "requestBody" in operation:
            body = operation["requestBody"]["content"]["application/json"]
            left += f"<h4>Body</h4>{self._shapes.fields(body['schema'])}"
            sample += " \\\n  -H 'Content-Type: application/json'"
            sample += f" \\\n  -d {shlex.quote(_inner(shown(body['example'])))}"
        if "security" in operation:
            left += "<p>Needs <code>Authorization: Bearer</code> with an access token.</p>"
            sample += ' \\\n  -H "Authorization: Bearer $TOKEN"'
        right = code(sample, "curl")
        for status, response in operation["responses"].items():
            told, example = self._response(status, response)
            left, right = left + told, right + example
        name = operation["operationId"]
        return _entry(
            name, method, method.lower(), path, operation["summary"], _halves(left, right)
        )

    def _response(self, status: str, response: Json) -> tuple[str, str]:
        """A status: what stands beside the examples, and its own."""
        badge = f'<span class="status s{status[0]}">{status}</span>'
        left = f"<h4>{badge} {inline(response['description'])}</h4>"
        contents: Json = response.get("content", {})
        for media, content in contents.items():
            if media == PROBLEM:
                return left + chips(self._shapes.codes(content["schema"])), ""
            if "example" in content:
                left += self._shapes.fields(content["schema"])
                return left, code(shown(content["example"]), f"{status} {media}")
        return left, ""


class _Sockets:
    """The events."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._shapes = Shapes(document, "socket")
        events = document["operations"].items()
        self._asked = [(name, it) for name, it in events if it["action"] == "receive"]
        self._told = [(name, it) for name, it in events if it["action"] == "send"]

    def contents(self) -> list[tuple[str, list[tuple[str, str]]]]:
        return [
            ("You send", [(f"send-{name}", escape(name)) for name, _ in self._asked]),
            ("You are told", [(f"told-{name}", escape(name)) for name, _ in self._told]),
        ]

    def sections(self) -> str:
        asked = "".join(self._ask(name, operation) for name, operation in self._asked)
        told = "".join(self._tell(name, operation) for name, operation in self._told)
        return (
            f"<section><h2>Socket.IO: you send</h2>{asked}</section>"
            f"<section><h2>Socket.IO: you are told</h2>{told}</section>"
            + _nested(self._shapes, self._document, "socket", "Socket.IO: shapes")
        )

    def _message(self, reference: Json) -> Json:
        name = reference["$ref"].rpartition("/")[2]
        message: Json = self._document["components"]["messages"][name]
        return message

    def _ask(self, name: str, operation: Json) -> str:
        message = self._message(operation["messages"][0])
        accepted, refused = (self._message(one) for one in operation["reply"]["messages"])
        left = f"<h4>Payload</h4>{self._shapes.fields(message['payload'])}"
        left += '<h4><span class="status s2">ok</span> '
        left += f"{inline(self._shapes.resolved(accepted['payload']).get('description', ''))}</h4>"
        left += self._shapes.fields(accepted["payload"])
        left += '<h4><span class="status s4">refused</span> with one of</h4>'
        left += chips(self._shapes.codes(refused["payload"]))
        if "x-then" in operation:
            events = " ".join(
                f'<a class="chip then" href="#told-{event}">{event}</a>'
                for event in operation["x-then"]
            )
            left += f'<h4>Then</h4><p class="chips">{events}</p>'
        right = "".join(
            code(self._sample(name, example["payload"]), "JavaScript")
            for example in message["examples"]
        )
        right += code(shown(accepted["examples"][0]["payload"]), "accepted")
        right += code(shown(refused["examples"][0]["payload"]), "refused")
        return _entry(
            f"send-{name}", "send", "send", name, operation["summary"], _halves(left, right)
        )

    def _sample(self, name: str, payload: Json) -> str:
        if name == "connect":
            return f'const socket = io("{HERE}", {{\n  auth: {_inner(literal(payload))},\n}});'
        return f'socket.emit("{name}", {literal(payload)}, (ack) => console.log(ack));'

    def _tell(self, name: str, operation: Json) -> str:
        message = self._message(operation["messages"][0])
        schema = message["payload"]
        sample = f'socket.on("{name}", (payload) => console.log(payload));'
        right = code(sample, "JavaScript")
        right += code(shown(message["examples"][0]["payload"]), "payload")
        left = prose(self._shapes.resolved(schema).get("description", ""))
        left += self._shapes.fields(schema)
        return _entry(
            f"told-{name}", "told", "told", name, operation["summary"], _halves(left, right)
        )


def _inner(text: str) -> str:
    return text.replace("\n", "\n  ")
