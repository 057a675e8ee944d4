"""What may be an e-mail address and a password."""

import pytest

from talksy.auth import credential_faults, email_faults, password_faults
from talksy.auth.credentials import email_key


@pytest.mark.parametrize(
    "email",
    [
        "ada@example.com",
        "  ada@example.com\n",
        "Ada.Lovelace+talksy@mail.example.co.uk",
        "jürgen@müller.example",
        "a@b.c1",
        "x_y-z!#$%&*@xn--mller-kva.example",
        f"{'a' * 64}@{'b' * 63}.example",
    ],
)
def test_an_ordinary_address_is_taken(email: str) -> None:
    assert email_faults(email) == []


@pytest.mark.parametrize(
    "email",
    [
        "",
        "@",
        "ada",
        "ada@",
        "@example.com",
        "ada@localhost",
        "ada@example.",
        "ada@.com",
        "ada@-example.com",
        "ada@example-.com",
        "ada@exa_mple.com",
        "ada@@example.com",
        "ada lovelace@example.com",
        "ada@exam ple.com",
        '"ada"@example.com',
        "<ada@example.com>",
        "ada@[127.0.0.1]",
        "ada\0@example.com",
        "ada\u200b@example.com",
        "ada\ud800@example.com",
        f"{'a' * 65}@example.com",
        f"ada@{'b' * 64}.com",
    ],
)
def test_what_is_no_address_is_refused(email: str) -> None:
    assert email_faults(email) == ["must be an e-mail address such as ada@example.com"]


def test_an_address_has_at_most_254_characters_folded_or_not() -> None:
    longest = f"ada@{'b.' * 120}examples.c"
    assert len(longest) == 254
    assert email_faults(longest) == []
    assert email_faults("x" + longest) == ["must have at most 254 characters"]
    assert email_faults("ß" + longest[1:]) == ["must have at most 254 characters"]


def test_addresses_are_compared_without_case_space_or_way_of_composing() -> None:
    assert email_key(" ÅSA@Example.COM ") == email_key("A\u030asa@example.com")


@pytest.mark.parametrize("password", ["Abcdefg1", "A1" + "b" * 70, "Ünïcode1", "Ab1     "])
def test_a_password_that_keeps_the_rule_has_no_fault(password: str) -> None:
    assert password_faults(password) == []


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("Abcdef1", "must have at least 8 characters"),
        ("A1" + "b" * 71, "must have at most 72 bytes of UTF-8"),
        ("A1" + "ü" * 36, "must have at most 72 bytes of UTF-8"),
        ("abcdefg1", "must have an upper-case letter"),
        ("ABCDEFG1", "must have a lower-case letter"),
        ("Abcdefgh", "must have a digit"),
        ("Abcdefg1\0", "must not have a NUL character"),
        ("Abcdefg1\ud800", "must not have half of a surrogate pair"),
    ],
)
def test_each_fault_of_a_password_is_named(password: str, fault: str) -> None:
    assert password_faults(password) == [fault]


def test_every_fault_is_listed_at_once() -> None:
    assert credential_faults("ada", "\0") == [
        ("email", "must be an e-mail address such as ada@example.com"),
        ("password", "must have at least 8 characters"),
        ("password", "must have an upper-case letter"),
        ("password", "must have a lower-case letter"),
        ("password", "must have a digit"),
        ("password", "must not have a NUL character"),
    ]
