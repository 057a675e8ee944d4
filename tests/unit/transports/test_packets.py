"""Socket.IO packets that are not well formed are refused, and the handshake is read."""

from typing import Any

import pytest
from socketio.packet import CONNECT

from talksy.errors import ValidationError
from talksy.gateway import Hello
from talksy.transports.socketio import json
from talksy.transports.socketio.desk import hello, parse
from talksy.transports.socketio.packets import Strict, plain_connect
from talksy.transports.socketio.payloads import (
    Cancel,
    GetHistory,
    Nothing,
    Payload,
    ResumeTurn,
    UserMessage,
)


@pytest.fixture(autouse=True)
def our_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Strict, "json", json)


@pytest.mark.parametrize(
    ("encoded", "kind", "number", "data"),
    [
        ("0", 0, None, None),
        ('0{"token":"t"}', 0, None, {"token": "t"}),
        ('2["cancel"]', 2, None, ["cancel"]),
        ('27["cancel",{"turnId":"t"}]', 2, 7, ["cancel", {"turnId": "t"}]),
        ("1", 1, None, None),
    ],
)
def test_well_formed_packets_are_read(
    encoded: str, kind: int, number: int | None, data: Any
) -> None:
    packet = Strict(encoded_packet=encoded)
    assert (packet.packet_type, packet.id, packet.data) == (kind, number, data)


@pytest.mark.parametrize(
    ("encoded", "fault"),
    [
        (b"audio", "no packet announced"),
        ('511-["audio",{"_placeholder":true,"num":0}]', "11 attachments, 10 are allowed"),
        ('50-["audio"]', "without attachments"),
        ("2", "begins with its name"),
        ("2{}", "begins with its name"),
        ("2[]", "begins with its name"),
        ("2[1]", "begins with its name"),
        ('2["cancel"', "Expecting ',' delimiter"),
        ("x", "no such packet type"),
    ],
)
def test_others_are_refused(encoded: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Strict(encoded_packet=encoded)


def test_the_json_of_the_wire_is_compact_text() -> None:
    assert json.dumps(["a", {"b": "ä"}], separators=(",", ":")) == '["a",{"b":"ä"}]'
    assert json.loads('["a"]') == ["a"]
    with pytest.raises(json.Unreadable, match="column"):
        json.loads("[")


# ---- the handshake


def test_a_handshake_may_be_empty() -> None:
    assert hello(None, bearer=None, session_id=None) == Hello(None, resume=[])
    assert hello({}, bearer="b", session_id="ses_q") == Hello("b", "ses_q", resume=[])


def test_what_the_handshake_says_goes_before_the_header_and_the_query() -> None:
    auth = {
        "token": "t",
        "sessionId": "ses_1",
        "open": True,
        "resume": [{"turnId": "trn_1", "after": -1}],
    }
    assert hello(auth, bearer="b", session_id="ses_q") == Hello("t", "ses_1", True, [("trn_1", -1)])


@pytest.mark.parametrize(
    ("auth", "path"),
    [
        (["token"], ""),
        ("token", ""),
        ({"token": 1}, "token"),
        ({"token": "x" * 8_193}, "token"),
        ({"tokn": "t"}, "tokn"),
        ({"open": "yes"}, "open"),
        ({"resume": [{"turnId": "t", "after": -2}]}, "resume.0.after"),
        ({"resume": [{"turnId": "t", "after": 0}] * 21}, "resume"),
        ({"session_id": "ses_1"}, "session_id"),
    ],
)
def test_a_handshake_that_is_not_right_says_what(auth: Any, path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        hello(auth, bearer=None, session_id=None)
    assert [fault for fault, _ in caught.value.faults] == [path]


# ---- the payloads


def test_payloads_have_defaults() -> None:
    assert parse(UserMessage, {"text": "hi"}).on_busy == "queue"
    assert parse(GetHistory, {}).limit == 50
    assert parse(Cancel, {}).turn_id is None
    assert parse(Nothing, {}) == Nothing()


@pytest.mark.parametrize(
    ("model", "value", "path"),
    [
        (UserMessage, {}, "text"),
        (UserMessage, {"text": 7}, "text"),
        (UserMessage, {"text": None}, "text"),
        (UserMessage, {"text": "hi", "messageId": ""}, "messageId"),
        (UserMessage, {"text": "hi", "messageId": "a b"}, "messageId"),
        (UserMessage, {"text": "hi", "messageId": "x" * 129}, "messageId"),
        (UserMessage, {"text": "hi", "messageId": "x\n"}, "messageId"),
        (UserMessage, {"text": "hi", "onBusy": "wait"}, "onBusy"),
        (UserMessage, {"text": "hi", "retry": 1}, "retry"),
        (UserMessage, {"text": "hi", "texts": 1}, "texts"),
        (UserMessage, "hi", ""),
        (UserMessage, None, ""),
        (GetHistory, {"limit": 0}, "limit"),
        (GetHistory, {"limit": 101}, "limit"),
        (GetHistory, {"limit": "5"}, "limit"),
        (GetHistory, {"limit": True}, "limit"),
        (ResumeTurn, {"turnId": "t"}, "after"),
        (ResumeTurn, {"turnId": "", "after": 0}, "turnId"),
        (ResumeTurn, {"turnId": "t", "after": 1.5}, "after"),
        (ResumeTurn, {"turnId": "t", "after": 2**60}, "after"),
        (Cancel, {"turnId": 1}, "turnId"),
        (Nothing, {"a": 1}, "a"),
        (Nothing, [], ""),
    ],
)
def test_a_payload_that_is_not_right_says_what(model: type[Payload], value: Any, path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse(model, value)
    assert [fault for fault, _ in caught.value.faults] == [path]


@pytest.mark.parametrize(
    "text",
    [
        "0{}",
        '0{"token":"a.b.c"}',
        '0{"token":null,"open":true,"resume":[{"turnId":"trn_1","after":3}]}',
    ],
)
def test_a_plain_connect_is_what_the_strict_reading_says(text: str) -> None:
    read = Strict(encoded_packet=text)
    assert (read.packet_type, read.namespace, read.id) == (CONNECT, None, None)
    assert plain_connect(text) == read.data


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0/custom,{}",
        "012",
        "0[]",
        '0{"token":',
        '0{"a":1,"a":2}',
        '0{"a":1e400}',
        '2{"token":"a"}',
        '0{"a":[[[[[[[[[[]]]]]]]]]]}',
    ],
)
def test_all_else_is_left_to_the_strict_reading(text: str) -> None:
    assert plain_connect(text) is None
