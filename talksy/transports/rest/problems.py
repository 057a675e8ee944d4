"""Errors as RFC 9457 problem documents."""

from http import HTTPStatus
from typing import Any, cast

import orjson
from aiohttp import web

from talksy.errors import (
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    TalksyError,
    ValidationError,
)
from talksy.transports.shapes import Problem

PROBLEM = "application/problem+json"
WAITING = frozenset({429, 503})
"""Statuses that say when to come back."""

_OURS: dict[int, type[TalksyError]] = {
    404: NotFound,
    405: MethodNotAllowed,
    413: PayloadTooLarge,
}


def document(error: TalksyError, request_id: str) -> Problem:
    """``type`` is ``urn:talksy:error:`` and the code; ``title`` is the same for every problem of a
    type, ``detail`` (and ``message``, as sockets call it) tells of this one.
    """
    body: dict[str, Any] = {
        "type": f"urn:talksy:error:{error.code.lower().replace('_', '-')}",
        "title": (type(error).__doc__ or "").strip().rstrip("."),
        "status": error.status,
        **error.payload(),
        "detail": error.message,
        "requestId": request_id,
    }
    if error.status in WAITING:
        body.setdefault("retryAfter", 1)
    return cast("Problem", body)


def problem(error: TalksyError, request_id: str) -> web.Response:
    """An error as a response."""
    body = document(error, request_id)
    headers = {}
    if error.status in WAITING:
        headers["Retry-After"] = str(body.get("retryAfter"))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(
        body=orjson.dumps(body),
        status=error.status,
        headers=headers,
        content_type=PROBLEM,
    )


def http_problem(error: web.HTTPException, request: web.Request, request_id: str) -> web.Response:
    """A problem document for what aiohttp itself refuses."""
    kind = _OURS.get(error.status, ValidationError)
    message = None
    if error.status == HTTPStatus.NOT_FOUND:
        message = f"There is nothing at {request.path[:200]}."
    elif isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"This path does not take {request.method}, but {allowed}."
    elif kind is ValidationError:
        message = error.reason
    answer = problem(kind(message), request_id)
    if "Allow" in error.headers:
        answer.headers["Allow"] = error.headers["Allow"]
    return answer
