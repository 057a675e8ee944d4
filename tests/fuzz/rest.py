"""Fuzzing of the REST door: no 5xx, and no answer that the contract does not have."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import requests
import schemathesis
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from talksy.transports.rest.contract import ROUTES
from tests.fuzz.sockets import SETTINGS
from tests.fuzz.tally import Tally
from tests.fuzz.words import bodies

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
DOCUMENTED = frozenset({200, 201, 204, 400, 401, 409, 413})
POSTS = ("/auth/register", "/auth/login", "/auth/refresh", "/auth/logout")


def fuzz_rest(url: str, count: int, number: int) -> Tally:
    """Sends about ``count`` requests; ``number`` is the seed. Raises what is wrong with an answer.

    Half of them are made from the document, for each operation right and wrong in turn; the others
    are bodies that nobody who had read it would send.
    """
    tally = Tally()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    # It leaves out where it read the document.
    assert len(operations) == len(ROUTES) - 1
    with requests.Session() as session:

        def call(case: Case[Any]) -> None:
            response = case.call(base_url=url, session=session)
            case.validate_response(response, checks=CHECKS)
            _count(tally, response.status_code)

        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                cases = operation.as_strategy(generation_mode=mode)
                _run(call, cases, count // 2 // (2 * len(POSTS)), number)

        def post(path: str, body: bytes) -> None:
            kind = {"Content-Type": "application/json"}
            response = session.post(f"{url}{path}", data=body, headers=kind)
            assert response.status_code in DOCUMENTED, response.status_code
            if response.status_code >= 400:
                assert response.headers["Content-Type"].startswith("application/problem+json")
                assert response.json()["requestId"] == response.headers["X-Request-Id"]
            _count(tally, response.status_code)

        both = st.tuples(st.sampled_from(POSTS), bodies)
        _run(lambda pair: post(*pair), both, count // 2, number)
    return tally


def _count(tally: Tally, status: int) -> None:
    tally.sent += 1
    tally.answers[str(status)] += 1


def _run(
    send: Callable[[Any], None], strategy: st.SearchStrategy[Any], count: int, number: int
) -> None:
    @seed(number)
    @settings(max_examples=max(1, count), **SETTINGS)
    @given(strategy)
    def once(drawn: Any) -> None:
        send(drawn)

    # An operation that takes nothing has nothing that could be wrong.
    with suppress(Unsatisfiable):
        once()
