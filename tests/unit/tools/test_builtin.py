"""The small tools that every node has."""

from datetime import datetime
from typing import Any

import pytest

from talksy.errors import ToolFailed, ValidationError
from talksy.tools import BASIC
from talksy.tools.builtin import BUILTIN
from talksy.tools.builtin.addresses import is_public
from talksy.tools.builtin.clock import get_current_time
from talksy.tools.builtin.demo import get_account_balance, get_order_status
from talksy.tools.builtin.html import text_of
from talksy.tools.builtin.units import UNITS, unit_convert
from tests.unit.tools.tools import ADA


def test_all_of_them_may_be_used_by_everybody_and_say_what_they_take() -> None:
    for tool in BUILTIN:
        definition = tool.definition
        assert (definition.policy, definition.scope) == ("auto", BASIC)
        assert all("description" in part for part in definition.parameters["properties"].values())


async def test_the_time_is_told_in_a_zone() -> None:
    told = await get_current_time(zone="Asia/Kolkata")
    assert told["utcOffset"] == "+05:30"
    assert datetime.fromisoformat(str(told["iso"])).utcoffset() is not None
    assert (await get_current_time())["zone"] == "UTC"


@pytest.mark.parametrize(
    ("zone", "near"),
    [
        ("berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("Europe/Pariss", "Europe/Paris"),
        ("../../etc/passwd", None),
        ("Europe", None),
        ("", None),
        ("\0", None),
        (5000 * "x", None),
    ],
)
async def test_a_zone_that_is_none_names_near_ones(zone: str, near: str | None) -> None:
    with pytest.raises(ValidationError) as refused:
        await get_current_time(zone=zone)
    assert refused.value.faults[0][0] == "zone"
    assert (near or "there is no such time zone") in refused.value.message


@pytest.mark.parametrize(
    ("value", "unit", "to", "expected"),
    [
        (1, "mi", "km", 1.609344),
        (100, "C", "F", 212),
        (-40, "°F", "celsius", -40),
        (0, "K", "C", -273.15),
        (1, "gal", "l", 3.785411784),
        (90, "km/h", "m/s", 25),
        (1, "GiB", "MB", 1073.741824),
        (8, "Mbit", "MB", 1),
        (1, "kWh", "kJ", 3600),
        (1, "atm", "mmHg", 760),
        (1, "wk", "hours", 168),
        (1, "ha", "acres", 2.47105381467),
        (16, "oz", "LB", 1),
        (1, "square meter", "ft2", 10.7639104167),
    ],
)
async def test_units_are_converted(value: float, unit: str, to: str, expected: float) -> None:
    assert (await unit_convert(value, unit, to))["result"] == expected


async def convert(given: dict[str, Any]) -> Any:
    return await unit_convert.run(unit_convert.check(given), ADA)


@pytest.mark.parametrize(
    ("change", "path", "told"),
    [
        ({"to": "kg"}, "to", "kg measures mass, km length"),
        ({"from": "kmm"}, "from", "did you mean "),
        ({"to": "???"}, "to", "examples are"),
        ({"value": "3"}, "value", "number"),
        ({"value": 1e300}, "value", "less than"),
        ({"from": "C", "to": "F", "value": -300}, "value", "absolute zero"),
    ],
)
async def test_what_cannot_be_converted_is_named(
    change: dict[str, Any], path: str, told: str
) -> None:
    given = {"value": 1, "from": "km", "to": "mi", **change}
    with pytest.raises(ValidationError) as refused:
        await convert(given)
    assert refused.value.faults[0][0] == path
    assert told in refused.value.faults[0][1]


@pytest.mark.parametrize("name", UNITS)
async def test_there_and_back_is_where_it_began(name: str) -> None:
    quantity = UNITS[name][0]
    for other in (unit for unit in UNITS if UNITS[unit][0] == quantity):
        there = await unit_convert(1.5, name, other)
        back = await unit_convert(there["result"], other, name)
        assert back["result"] == pytest.approx(1.5, rel=1e-9)


async def test_the_demo_pair_knows_its_samples_and_names_them() -> None:
    balance = await get_account_balance(userId="user-1")
    assert balance == {"userId": "user-1", "balance": 1250.75, "currency": "USD"}
    assert (await get_order_status(orderId="ORD-1001"))["status"] == "shipped"
    with pytest.raises(ToolFailed, match="user-1, user-2"):
        await get_account_balance(userId="user-9")
    with pytest.raises(ToolFailed, match="ORD-1001"):
        await get_order_status(orderId="1001")


PRIVATE = """
127.0.0.1 127.9.9.9 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1
100.100.100.200 0.0.0.0 0.1.2.3 192.0.0.192 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1
239.1.1.1 240.0.0.1 255.255.255.255 168.63.129.16 192.88.99.1 :: ::1 ::ffff:127.0.0.1
::ffff:8.8.8.8 ::7f00:1 64:ff9b::7f00:1 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1::1
3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1 localhost 1.2
"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_an_address_that_is_not_public_is_none(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "2a00:1450::200e"])
def test_a_public_address_is_one(address: str) -> None:
    assert is_public(address)


def test_a_pages_text_is_what_somebody_would_read() -> None:
    page = """<!doctype html><html><head><title>T &amp; t</title><style>p{}</style></head>
    <body><script>if (a < b) alert("x")</script><h1>Hi</h1><p>One <b>two</b><br>three</p>
    <!-- <p>not this</p> --><ul><li>a</li><li>b &lt; c</li></ul>1 < 2</body></html>"""
    assert text_of(page).splitlines() == ["T & t", "Hi", "One two", "three", "a", "b < c", "1 < 2"]


@pytest.mark.parametrize(
    "piece", ["<", "<!--", "<script>", "<a ", "</", "&", "<p", "<script", "İ<b>"]
)
def test_a_page_made_to_take_long_takes_linear_time(piece: str) -> None:
    text_of(piece * (200_000 // len(piece)))
