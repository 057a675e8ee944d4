"""Whose request it is, and which pages may ask."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talksy.transports.address import client_address
from talksy.transports.origin import origin_allowed

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "header", "client"),
    [
        ("203.0.113.1", None, "203.0.113.1"),
        ("203.0.113.1", "198.51.100.1", "203.0.113.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.1, garbage", "10.0.0.1"),
        ("10.0.0.1", "garbage, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::/64"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("fd00::1", "2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("2001:db8::1", None, "2001:db8::/64"),
        ("fe80::1%eth0", None, "fe80::/64"),
        ("", "198.51.100.1", ""),
        ("/run/talksy.sock", "198.51.100.1", "/run/talksy.sock"),
    ],
)
def test_the_client_is_the_rightmost_hop_that_a_trusted_one_told(
    peer: str, header: str | None, client: str
) -> None:
    assert client_address(peer, header, TRUSTED) == client


@given(st.text() | st.text("0123456789abcdef:.,[]% "))
def test_no_header_raises(header: str | None) -> None:
    assert client_address("10.0.0.1", header, TRUSTED)


@pytest.mark.parametrize(
    ("origins", "origin", "host", "allowed"),
    [
        (("*",), "https://any.example", "talksy.example", True),
        (("*",), "null", "talksy.example", True),
        (("https://page.example",), "https://page.example", "talksy.example", True),
        (("https://page.example",), "https://other.example", "talksy.example", False),
        (("https://page.example",), "http://page.example", "talksy.example", False),
        (("https://page.example",), "null", "talksy.example", False),
        ((), "https://talksy.example", "talksy.example", True),
        ((), "https://Talksy.example", "talksy.example:443", True),
        ((), "http://talksy.example:80", "talksy.example", True),
        ((), "http://localhost:3000", "localhost:3000", True),
        ((), "http://localhost:3001", "localhost:3000", False),
        ((), "file://localhost", "localhost", False),
        ((), "talksy.example", "talksy.example", False),
        ((), "", "", False),
        ((), None, "talksy.example", True),
    ],
)
def test_an_origin_is_allowed_by_the_list_or_by_being_our_own(
    origins: tuple[str, ...], origin: str | None, host: str, allowed: bool
) -> None:
    assert origin_allowed(origins, origin, host) is allowed
