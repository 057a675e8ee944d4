"""The documents are what they say they are: valid, whole, with examples that hold."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import openapi_spec_validator
import pytest

from talksy.errors import TalksyError
from talksy.transports.rest.contract import ROUTES, openapi
from talksy.transports.shapes import told
from talksy.transports.socketio.contract import ASKED, TOLD, asyncapi, server_events
from talksy.transports.socketio.desk import _EVENTS
from tests.contract import Json, strict, validator
from tests.node import ready_node

VOCABULARY = frozenset(
    [
        "VALIDATION_ERROR",
        "UNAUTHENTICATED",
        "INVALID_CREDENTIALS",
        "TOKEN_EXPIRED",
        "FORBIDDEN",
        "ORIGIN_DENIED",
        "EMAIL_TAKEN",
        "NOT_FOUND",
        "METHOD_NOT_ALLOWED",
        "SESSION_NOT_FOUND",
        "SESSION_EXPIRED",
        "SESSION_LIMIT",
        "RATE_LIMITED",
        "TURN_IN_PROGRESS",
        "TURN_QUEUE_FULL",
        "TURN_NOT_FOUND",
        "TOOL_NOT_FOUND",
        "TOOL_FAILED",
        "TOOL_TIMEOUT",
        "TOOL_BUSY",
        "TOOL_DENIED",
        "APPROVAL_EXPIRED",
        "MIC_BUSY",
        "PROVIDER_UNAVAILABLE",
        "PROVIDER_TIMEOUT",
        "IDEMPOTENCY_CONFLICT",
        "PAYLOAD_TOO_LARGE",
        "UNKNOWN_EVENT",
        "SLOW_CONSUMER",
        "OVERLOADED",
        "SERVER_DRAINING",
        "INTERNAL_ERROR",
    ]
)
"""What clients were promised: a code that is renamed or lost breaks them."""


@pytest.fixture(scope="module")
def rest() -> Json:
    return openapi(ROUTES, "1.2.3")


@pytest.fixture(scope="module")
def sockets() -> Json:
    return asyncapi("1.2.3")


def test_the_openapi_document_is_valid(rest: Json) -> None:
    openapi_spec_validator.validate(rest)
    assert (rest["openapi"], rest["info"]["version"]) == ("3.1.0", "1.2.3")


def test_the_asyncapi_document_is_valid_by_the_published_schema(sockets: Json) -> None:
    published = ready_node().modules / "@asyncapi" / "specs" / "schemas"
    schema = json.loads((published / "3.0.0-without-$id.json").read_text(encoding="utf-8"))
    faults = jsonschema_rs.Draft7Validator(schema).iter_errors(sockets)
    assert [(list(fault.instance_path), fault.message) for fault in faults] == []
    assert (sockets["asyncapi"], sockets["info"]["version"]) == ("3.0.0", "1.2.3")


def test_every_reference_of_the_asyncapi_document_leads_somewhere(sockets: Json) -> None:
    for reference in _references(sockets):
        place: Any = sockets
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from _references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)


def test_the_examples_of_messages_are_valid(sockets: Json) -> None:
    closed = strict(sockets)
    for name, message in closed["components"]["messages"].items():
        check = validator(closed, message["payload"])
        assert message["examples"], name
        for example in message["examples"]:
            check.validate(example["payload"])


def test_the_examples_of_answers_are_valid(rest: Json) -> None:
    closed = strict(rest)
    operations = [operation for path in closed["paths"].values() for operation in path.values()]
    bodies = [operation.get("requestBody", {}) for operation in operations]
    answers = [answer for operation in operations for answer in operation["responses"].values()]
    contents = [
        content for body in bodies + answers for content in body.get("content", {}).values()
    ]
    checked = 0
    for content in contents:
        examples = [example["value"] for example in content.get("examples", {}).values()]
        for example in examples + ([content["example"]] if "example" in content else []):
            validator(closed, content["schema"]).validate(example)
            checked += 1
    assert checked > 50


def test_the_codes_of_both_documents_are_those_of_the_error_tree(rest: Json, sockets: Json) -> None:
    tree = {error.code for error in told()}
    assert all(error.__module__ == TalksyError.__module__ for error in told())
    assert tree == VOCABULARY
    for document in (rest, sockets):
        assert set(document["components"]["schemas"]["Code"]["enum"]) == tree
        assert {known["code"] for known in document["x-error-codes"]} == tree


# ---- the contract and the code, both ways


def test_every_event_that_is_served_has_a_contract_and_the_other_way_round() -> None:
    assert _EVENTS.keys() == ASKED.keys()


def test_every_event_that_is_sent_has_a_contract_and_the_other_way_round() -> None:
    assert server_events().keys() == TOLD.keys()
    assert all(told.example[0] == name for name, told in TOLD.items())


def test_a_route_without_a_contract_is_told_so() -> None:
    with pytest.raises(LookupError, match="POST /nothing has no contract"):
        openapi([("POST", "/nothing")], "1")


def test_every_field_and_every_event_says_what_it_is(sockets: Json, rest: Json) -> None:
    for document in (sockets, rest):
        undescribed = [
            name
            for name, shape in document["components"]["schemas"].items()
            if not shape.get("description")
        ]
        assert undescribed == []
    assert all(operation.get("summary") for operation in sockets["operations"].values())
