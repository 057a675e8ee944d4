"""JSON is read alike at both doors: whole, or refused by name and in the same words."""

import json
import re
from typing import Any

import aiohttp
import pytest

from talksy.transports.reading import MAX_DEPTH
from tests.e2e.accounts import Account
from tests.e2e.raw import Wire, open_wire
from tests.server import Server

DEEP = "[" * 10_000 + "]" * 10_000

REFUSED = {
    "cut short": ('{"FIELD": "x"', "This is not JSON: Expecting ',' delimiter at PLACE."),
    "comma at the end": (
        '{"FIELD": "x",}',
        "This is not JSON: Illegal trailing comma before end of object at PLACE.",
    ),
    "bad escape": (r'{"FIELD": "\x"}', r"This is not JSON: Invalid \escape at PLACE."),
    "raw NUL": ('{"FIELD": "a\0b"}', "This is not JSON: Invalid control character at PLACE."),
    "given twice": ('{"FIELD": "a", "FIELD": "b"}', "FIELD is given twice"),
    "given twice, escaped": (r'{"FIELD": "a", "FIEL\u0044": "b"}', "FIELD is given twice"),
    "given twice inside": ('{"FIELD": {"a": 1, "a": 1}}', "a is given twice"),
    "NaN": ('{"FIELD": NaN}', "This is not JSON: it has no NaN."),
    "Infinity": ('{"FIELD": Infinity}', "This is not JSON: it has no Infinity."),
    "minus Infinity": ('{"FIELD": -Infinity}', "This is not JSON: it has no -Infinity."),
    "exponent": ('{"FIELD": 1e400}', "FIELD is a number too large"),
    "digits": (f'{{"FIELD": {"9" * 5_000}}}', "This has a number with too many digits."),
    "2 to the 53rd and 1": ('{"FIELD": 9007199254740993}', "FIELD must be a string"),
    "300 digits": (f'{{"FIELD": {"9" * 300}}}', "FIELD must be a string"),
    "10,000 deep": (f'{{"FIELD": {DEEP}}}', "This is nested too deeply."),
    "just too deep": (
        f'{{"FIELD": {"[" * MAX_DEPTH}{"]" * MAX_DEPTH}}}',
        "This is nested too deeply.",
    ),
    "first half": (r'{"FIELD": "a\ud83d"}', "FIELD has half a character (a lone surrogate)"),
    "second half": (r'{"FIELD": "\ude00b"}', "FIELD has half a character (a lone surrogate)"),
    "halves swapped": (
        r'{"FIELD": "\ude00\ud83d"}',
        "FIELD has half a character (a lone surrogate)",
    ),
    "half a name": (r'{"\ud83d": 1}', "This has half a character (a lone surrogate)"),
    "half inside": (
        r'{"FIELD": [1, {"a": "\udfff"}]}',
        "FIELD.1.a has half a character (a lone surrogate)",
    ),
    "no object": ('["FIELD"]', "This must be an object"),
    "nothing": ("null", "This must be an object"),
    "a number": ("7", "This must be an object"),
    "unknown field": ('{"FIELD": "x", "colour": 1}', "colour is not a known field"),
    "boolean": ('{"FIELD": true}', "FIELD must be a string"),
}
"""A payload, and what is said of it; FIELD is the one field that each door asks for."""


@pytest.fixture
async def wire(server: Server, account: Account) -> Any:
    async with open_wire(server.url) as opened:
        await opened.join({"token": account.token})
        await opened.event("SESSION_CREATED")
        yield opened


def _place(error: Any) -> Any:
    """The error without where in the text it stands: an event has its name before its payload."""
    message = re.sub(r"line \d+, column \d+", "PLACE", error["message"])
    return error["code"], message, error.get("errors")


@pytest.mark.parametrize(("payload", "says"), REFUSED.values(), ids=REFUSED.keys())
async def test_both_doors_refuse_the_same_in_the_same_words(
    wire: Wire, http: aiohttp.ClientSession, payload: str, says: str
) -> None:
    asked = payload.replace("FIELD", "token").replace(r"FIEL\u0044", r"toke\u006e")
    await wire.send(f'421["auth_refresh",{asked}]')
    ack = await wire.ack(1)
    body = payload.replace("FIELD", "refreshToken").replace(r"FIEL\u0044", r"refreshToke\u006e")
    async with http.post(
        "/auth/refresh", data=body.encode(), headers={"Content-Type": "application/json"}
    ) as answer:
        assert answer.status == 400
        problem = await answer.json()

    code, message, faults = _place(ack["error"])
    if says.startswith("This is not JSON: Illegal trailing comma"):
        assert message.startswith("This is not JSON: ")  # Python 3.13 has better words for it
        says = message
    assert (code, message) == ("VALIDATION_ERROR", says.replace("FIELD", "token"))
    renamed = json.loads(json.dumps([message, faults]).replace("token", "refreshToken"))
    assert _place(problem) == ("VALIDATION_ERROR", *renamed)


WHOLE = {
    "every plane": "".join(chr(plane * 0x10000 + 0x41) for plane in range(17)),
    "the last character": "\U0010ffff",
    "no character for ever": "\ufdd0\ufffe\uffff",
    "family": "👩‍👩‍👧‍👦",
    "right to left": "\u202eabc\u202c",
    "combining": "Z͑ͫ̓ͪ̂ͫ̽͏̴̙",
    "separators": "a\u2028b\u2029c",
    "control characters": "".join(map(chr, range(1, 32))),
    "byte order mark": "\ufefftext",
    "what looks like JSON": '"],{"text":"\\ud800"',
}


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE.keys())
async def test_any_other_text_is_taken_whole(wire: Wire, text: str) -> None:
    payload = {"text": f"/mock tokens=1 {text}", "messageId": "m"}
    await wire.send("421" + json.dumps(["user_message", payload]))
    assert (await wire.ack(1))["ok"] is True
    await wire.send('422["get_history",{}]')
    history = await wire.event("conversation_history")
    assert history[0]["content"] == payload["text"]
