"""Holds what any test receives against the contracts that the server publishes.

Clients report here; ``contracts_kept`` in ``conftest`` fails the test in which something came that
the contracts do not have. Clients may be sent more fields one day: here none are let through that
are not written down.
"""

import json
import re
from functools import cache
from typing import Any

import aiohttp
import jsonschema_rs

from talksy.transports.rest.contract import ROUTES, openapi
from talksy.transports.socketio.contract import ASKED, asyncapi

Json = dict[str, Any]

violations: list[str] = []
"""What broke a contract, a line each."""

ATTACHED: Json = {"_placeholder": True, "num": 0}
"""Stands for bytes, as in the packets themselves."""
OPEN_AREA = "/socket.io/"
"""What is below it is no REST."""


@cache
def sockets() -> Json:
    document: Json = strict(asyncapi("0"))
    return document


@cache
def rest() -> Json:
    document: Json = strict(openapi(ROUTES, "0"))
    return document


def strict(schema: Any) -> Any:
    """The same with every object closed to fields that it does not name, and bytes attached."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "contentMediaType" in schema:
        return {"const": ATTACHED}
    closed = {name: strict(part) for name, part in schema.items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


def validator(document: Json, schema: Json) -> jsonschema_rs.Draft202012Validator:
    """Of a schema that stands somewhere in ``document``."""
    return jsonschema_rs.Draft202012Validator(
        {"allOf": [schema], "components": {"schemas": document["components"]["schemas"]}}
    )


@cache
def _message(name: str) -> jsonschema_rs.Draft202012Validator | None:
    message = sockets()["components"]["messages"].get(name)
    return message and validator(sockets(), message["payload"])


def check_event(name: str, data: Any) -> None:
    """An event that a client was told."""
    operation = sockets()["operations"].get(name)
    if isinstance(data, dict):
        data = {key: ATTACHED if type(it) is bytes else it for key, it in data.items()}
    if operation is None or operation["action"] != "send":
        violations.append(f"{name} is no event of the contract")
    else:
        _check(name, _message(name), data)


def check_ack(event: str | None, data: Any) -> None:
    """The acknowledgement of ``event``; of any one where it is not known."""
    if event in ASKED:
        ok = isinstance(data, dict) and data.get("ok") is True
        _check(f"ack of {event}", _message(f"{event}_{'accepted' if ok else 'refused'}"), data)
    elif event is not None:
        _check(f"ack of {event}", _refused(), data)
    elif not any(_message(f"{name}_accepted").is_valid(data) for name in ASKED):  # type: ignore[union-attr]
        _check("ack", _refused(), data)


def check_refusal(data: Any) -> None:
    """What came as ``connect_error``, if it is an answer of ours."""
    if isinstance(data, dict):
        _check("connect_error", _message("connect_error"), data)


@cache
def _refused() -> jsonschema_rs.Draft202012Validator:
    return validator(sockets(), {"$ref": "#/components/schemas/Refused"})


def check_answer(answer: aiohttp.ClientResponse, body: bytes | None) -> None:
    """A REST answer; its body where it was read."""
    path = answer.url.path
    if "X-Request-Id" not in answer.headers or path.startswith(OPEN_AREA):
        return  # not one of ours
    what = f"{answer.status} of {answer.method} {path}"
    method = {"HEAD": "GET"}.get(answer.method, answer.method)
    if method == "OPTIONS" and answer.status == 204:
        return  # a browser asked beforehand
    document = rest()
    path = next((known for known in document["paths"] if _leads(known, path)), path)
    if path not in document["paths"]:
        documented = document["components"]["responses"]["NotFound"]
        if answer.status != 404:
            return  # a route of a test's own
    elif (operation := document["paths"][path].get(method.lower())) is None:
        documented = document["components"]["responses"]["MethodNotAllowed"]
        if answer.status != 405:
            violations.append(f"{what}: this method is not documented")
    else:
        documented = operation["responses"].get(str(answer.status))
    if documented is None:
        violations.append(f"{what} is not documented")
        return
    lacking = [name for name in documented["headers"] if name not in answer.headers]
    if lacking:
        violations.append(f"{what} lacks {lacking}")
    content = documented.get("content", {})
    if answer.method == "HEAD" or (answer.status in (204, 304) and not content):
        return
    if answer.content_type not in content:
        violations.append(f"{what} is {answer.content_type}")
    elif body is not None and answer.content_type.endswith("json"):
        schema = content[answer.content_type]["schema"]
        _check(what, _body(json.dumps(schema)), json.loads(body))


def _leads(known: str, path: str) -> bool:
    """Whether a path of the contract, which may have parts between braces, is this one."""
    return re.fullmatch(re.sub(r"{\w+}", "[^/]+", known), path) is not None


@cache
def _body(schema: str) -> jsonschema_rs.Draft202012Validator:
    return validator(rest(), json.loads(schema))


def _check(what: str, check: jsonschema_rs.Draft202012Validator | None, data: Any) -> None:
    assert check is not None, what
    try:
        check.validate(data)
    except jsonschema_rs.ValidationError as error:
        where = "/".join(map(str, error.instance_path))
        violations.append(f"{what}: {where or 'it'}: {error.message}")
    except ValueError as error:  # what JSON cannot hold, such as bytes
        violations.append(f"{what}: {error}")
