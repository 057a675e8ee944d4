"""Log lines: what they say and what they never say."""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from talksy.logs import HIDDEN, setup_logs

Line = dict[str, Any]
Set = Callable[..., io.StringIO]


@pytest.fixture
def setup() -> Iterator[Set]:
    """Sets the logs up as asked; afterwards they are as they were."""
    root, ours = logging.getLogger(), logging.getLogger("talksy")
    before = root.handlers[:], root.level, ours.level

    def set_up(level: str = "info", layout: Any = "json") -> io.StringIO:
        stream = io.StringIO()
        setup_logs(level, layout, stream)
        return stream

    yield set_up
    logging.captureWarnings(False)
    structlog.reset_defaults()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def lines(stream: io.StringIO) -> list[Line]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def failure() -> LookupError:
    """The error of a function that knew a password."""

    def log_in(password: str) -> None:
        raise LookupError(f"no account ({len(password)} characters)")

    try:
        log_in("-".join(2 * ["hunter2"]))
    except LookupError as error:
        return error
    raise AssertionError


def test_a_line_is_json_with_level_time_and_origin(setup: Set) -> None:
    stream = setup()
    structlog.get_logger("talksy.gateway").info("listening", port=3000)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "listening",
        "port": 3000,
        "level": "info",
        "logger": "talksy.gateway",
    }


def test_a_line_says_which_request_session_and_turn_it_belongs_to(setup: Set) -> None:
    stream = setup()
    ids = {"request_id": "req_1", "session_id": "ses_1", "turn_id": "trn_1"}
    with structlog.contextvars.bound_contextvars(**ids):
        structlog.get_logger("talksy.journal").info("turn_ended")
        logging.getLogger("aiohttp.server").warning("slow")
    ours, theirs = lines(stream)
    assert ids.items() <= ours.items()
    assert ids.items() <= theirs.items()


@pytest.mark.parametrize(
    ("level", "seen"), [("debug", ["a", "b", "c"]), ("info", ["b", "c"]), ("error", ["c"])]
)
def test_lines_below_the_level_are_left_out(setup: Set, level: str, seen: list[str]) -> None:
    stream = setup(level)
    log = structlog.get_logger("talksy")
    log.debug("a")
    log.info("b")
    log.error("c")
    assert [line["event"] for line in lines(stream)] == seen


@pytest.mark.parametrize("name", ["engineio.server", "socketio.server", "aiohttp.access", "openai"])
def test_payloads_that_libraries_write_at_info_are_left_out(setup: Set, name: str) -> None:
    stream = setup("debug")
    logging.getLogger(name).info("received %s", "a private message")
    logging.getLogger(name).warning("packet queue is full")
    assert [line["event"] for line in lines(stream)] == ["packet queue is full"]


def test_an_exception_is_a_field_with_its_frames_but_not_their_variables(setup: Set) -> None:
    stream = setup()
    structlog.get_logger("talksy").error("login_failed", exc_info=failure())
    (line,) = lines(stream)
    (error,) = line["exception"]
    assert (error["exc_type"], error["exc_value"]) == ("LookupError", "no account (15 characters)")
    assert error["frames"][-1]["name"] == "log_in"
    assert "hunter2-hunter2" not in stream.getvalue()


def test_an_exception_of_a_library_is_a_field_too(setup: Set) -> None:
    stream = setup()
    logging.getLogger("asyncio").error("a task failed", exc_info=failure())
    assert lines(stream)[0]["exception"][0]["exc_type"] == "LookupError"


@pytest.mark.parametrize(
    "name",
    [
        "token", "accessToken", "refresh_token", "TOKEN", "password", "passwordHash",
        "authorization", "Authorization", "jwt_secret", "apiKey", "OPENAI_API_KEY", "text",
        "content", "systemPrompt", "transcript", "cookie",
    ],
)  # fmt: skip
def test_what_stands_under_a_secret_name_is_hidden(setup: Set, name: str) -> None:
    stream = setup()
    structlog.get_logger("talksy").info("seen", **{name: "private"})
    assert lines(stream)[0][name] == HIDDEN


def test_what_stands_deep_inside_is_hidden_too(setup: Set) -> None:
    stream = setup()
    body = {"user": [{"id": 1, "password": "private"}], "tokens": ("private",)}
    structlog.get_logger("talksy").info("seen", body=body)
    assert lines(stream)[0]["body"] == {
        "user": [{"id": 1, "password": HIDDEN}],
        "tokens": ["private"],
    }


def test_numbers_and_harmless_names_are_not_hidden(setup: Set) -> None:
    stream = setup()
    fields = {"token": 7, "text": None, "context": "a", "monkey": "b", "contents": "c"}
    structlog.get_logger("talksy").info("seen", **fields)
    assert fields.items() <= lines(stream)[0].items()


def test_text_is_one_readable_line_without_colours_in_a_file(setup: Set) -> None:
    stream = setup(layout="text")
    structlog.get_logger("talksy").info("listening", port=3000, token="private")
    (line,) = stream.getvalue().splitlines()
    assert "listening" in line
    assert "port=3000" in line
    assert "private" not in line
    assert "\x1b" not in line


def test_a_traceback_in_text_shows_no_variables(setup: Set) -> None:
    stream = setup(layout="text")
    structlog.get_logger("talksy").error("login_failed", exc_info=failure())
    assert "LookupError" in stream.getvalue()
    assert "hunter2-hunter2" not in stream.getvalue()


def test_warnings_of_python_are_lines_too(setup: Set) -> None:
    stream = setup()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("careful", stacklevel=1)
        logging.captureWarnings(False)
    assert "careful" in lines(stream)[0]["event"]
