"""What a client may send of sound, and what it is told of the rest."""

from base64 import b64encode
from typing import Any

import pytest

from talksy.errors import ValidationError
from talksy.transports.socketio.desk import parse
from talksy.transports.socketio.payloads import Audio, Played, StartVoice

PCM = bytes(range(256))


@pytest.mark.parametrize("given", [PCM, b64encode(PCM).decode()], ids=["bytes", "base64"])
def test_sound_is_bytes_or_their_base64(given: bytes | str) -> None:
    assert parse(Audio, given).root == PCM


@pytest.mark.parametrize("given", [{}, [1, 2], {"audio": PCM}, None, 5, True])
def test_what_is_no_sound_is_told_what_to_send(given: Any) -> None:
    with pytest.raises(ValidationError, match="is no audio: send PCM as a binary attachment"):
        parse(Audio, given)


@pytest.mark.parametrize(
    "given", ["AAA", "AA==AA==", "A\nA=", "ÄÄÄÄ", "data:audio/wav;base64,AA=="]
)
def test_broken_base64_is_named(given: str) -> None:
    with pytest.raises(ValidationError, match="is not the base64 of audio"):
        parse(Audio, given)


@pytest.mark.parametrize(
    ("given", "path", "says"),
    [
        ({"sampleRate": 7_999}, "sampleRate", "must be 8000 or more"),
        ({"sampleRate": 44_100.5}, "sampleRate", "whole number"),
        ({"sampleRate": True}, "sampleRate", "must be a whole number"),
        ({"mode": "sing"}, "mode", "must be 'turn', 'transcribe' or 'dictate'"),
        ({"profile": "My Desk"}, "profile", "such as my-desk"),
        ({"language": "e"}, "language", "a language tag such as en"),
        ({"voice": ""}, "voice", "must not be empty"),
        ({"turnDetection": {"threshold": "0.5"}}, "turnDetection.threshold", "must be a number"),
        ({"turnDetection": {"silence": 5}}, "turnDetection.silence", "is not a known field"),
        ({"colour": "red"}, "colour", "is not a known field"),
    ],
)
def test_a_microphone_that_cannot_be_listened_to_is_told_why(
    given: dict[str, Any], path: str, says: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        parse(StartVoice, given)
    ((where, message),) = refused.value.faults
    assert where == path
    assert says in message


def test_what_was_played_may_be_a_part_of_a_millisecond() -> None:
    assert parse(Played, {"turnId": "trn_1", "ms": 12.5}).ms == 12.5
    assert parse(Played, {"turnId": "trn_1", "ms": 12}).ms == 12
    with pytest.raises(ValidationError, match="ms must be 0 or more"):
        parse(Played, {"turnId": "trn_1", "ms": -1})
