"""GET /docs, /openapi.json and /asyncapi.json."""

import hashlib
from dataclasses import dataclass

import orjson
from aiohttp import ETag, web

from talksy.transports.contracts.page import page, policy
from talksy.transports.rest.contract import listed, openapi
from talksy.transports.socketio.contract import asyncapi

DOCUMENTS = ("/openapi.json", "/asyncapi.json")
PAGE = "/docs"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A text that stays the same as long as the server lives."""

    body: bytes
    media: str
    etag: str
    policy: str | None = None
    """``Content-Security-Policy``; None for what every answer has."""


def setup_contracts(app: web.Application, *, version: str) -> None:
    """Adds the routes of the contracts, which tell of all routes that were added before.

    Raises ``LookupError`` where one of them has no contract.
    """
    leaves: dict[str, Leaf] = {}

    async def show(request: web.Request) -> web.Response:
        leaf = leaves[request.path]
        known = request.if_none_match or ()
        unchanged = any(tag.value in {leaf.etag, "*"} for tag in known)
        answer = web.Response(status=304) if unchanged else web.Response(body=leaf.body)
        if not unchanged:
            answer.content_type, answer.charset = leaf.media, "utf-8"
        answer.etag = ETag(leaf.etag)
        answer.headers["Cache-Control"] = "no-cache"
        if leaf.policy is not None:
            answer.headers["Content-Security-Policy"] = leaf.policy
        return answer

    for path in (PAGE, *DOCUMENTS):
        app.router.add_get(path, show)
    contracts = [openapi(listed(app.router), version), asyncapi(version)]
    for path, document in zip(DOCUMENTS, contracts, strict=True):
        leaves[path] = _leaf(orjson.dumps(document), "application/json")
    leaves[PAGE] = _leaf(page(*contracts).encode(), "text/html", policy())


def _leaf(body: bytes, media: str, policy: str | None = None) -> Leaf:
    return Leaf(body, media, hashlib.sha256(body).hexdigest()[:16], policy)
