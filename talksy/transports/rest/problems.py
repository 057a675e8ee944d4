"""Errors as RFC 9457 problem documents."""

from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from talksy.errors import (
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    TalksyError,
    ValidationError,
)

_OURS: dict[int, type[TalksyError]] = {
    404: NotFound,
    405: MethodNotAllowed,
    413: PayloadTooLarge,
}


def problem(error: TalksyError, request_id: str) -> web.Response:
    """``{type, title, status, code, message, detail, requestId, errors?, retryAfter?}``.

    ``type`` is ``urn:talksy:error:`` and the code; ``title`` is the same for every problem of a
    type, ``detail`` (and ``message``, as sockets call it) tells of this one.
    """
    headers = {}
    payload = error.payload()
    if error.status in {429, 503}:
        payload.setdefault("retryAfter", 1)
        headers["Retry-After"] = str(payload["retryAfter"])
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    body: dict[str, Any] = {
        "type": f"urn:talksy:error:{error.code.lower().replace('_', '-')}",
        "title": (type(error).__doc__ or "").strip().rstrip("."),
        "status": error.status,
        **payload,
        "detail": error.message,
        "requestId": request_id,
    }
    return web.Response(
        body=orjson.dumps(body),
        status=error.status,
        headers=headers,
        content_type="application/problem+json",
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
