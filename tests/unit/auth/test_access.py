"""Access tokens: what they say, and every way in which they may lie."""

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talksy.auth import AccessTokens
from talksy.errors import TokenExpired, Unauthenticated

NOW = 1_700_000_000_500
OLD, NEW = "o" * 32, "n" * 32
tokens = AccessTokens([NEW, OLD], ttl_ms=900_000)


def forged(
    secret: Any = NEW,
    algorithm: str = "HS256",
    **changes: Any,
) -> str:
    claims = jwt.decode(signed(), options={"verify_signature": False})
    claims.update(changes)
    claims = {name: value for name, value in claims.items() if value is not ...}
    return jwt.encode(claims, secret, algorithm)


def signed() -> str:
    return tokens.sign("usr_1", "fam_1", now=NOW).text


def test_a_token_says_who_and_until_when() -> None:
    token = tokens.sign("usr_1", "fam_1", now=NOW)
    identity = tokens.read(token.text, now=NOW)
    assert (identity.user_id, identity.family_id, identity.scope) == (
        "usr_1",
        "fam_1",
        "tools:basic",
    )
    assert identity.expires_at == 1_700_000_900_000
    assert token.expires_in == 900


def test_it_has_the_claims_of_the_contract() -> None:
    claims = jwt.decode(signed(), options={"verify_signature": False})
    assert claims.pop("jti").startswith("jti_")
    assert claims == {
        "sub": "usr_1",
        "sid": "fam_1",
        "typ": "access",
        "ver": 1,
        "iat": 1_700_000_000,
        "exp": 1_700_000_900,
        "iss": "talksy",
        "aud": "talksy",
        "scope": "tools:basic",
    }


def test_a_guests_token_is_of_another_kind_and_says_so() -> None:
    guests = AccessTokens([NEW], ttl_ms=1_000, guest_ttl_ms=5_000)
    token = guests.sign_guest("gst_1", now=NOW).text
    identity = guests.read(token, now=NOW, guests=True)
    assert (identity.user_id, identity.family_id, identity.guest) == ("gst_1", "gst_1", True)
    assert (identity.scope, identity.expires_at) == ("tools:basic", 1_700_000_005_000)
    with pytest.raises(Unauthenticated):
        guests.read(token, now=NOW)
    with pytest.raises(TokenExpired):
        guests.read(token, now=NOW + 5_000, guests=True)


def test_where_guests_are_taken_users_are_too_and_are_no_guests() -> None:
    guests = AccessTokens([NEW], ttl_ms=1_000, guest_ttl_ms=5_000)
    assert not guests.read(signed(), now=NOW, guests=True).guest


def test_without_guests_no_token_makes_one() -> None:
    with pytest.raises(Unauthenticated):
        tokens.sign_guest("gst_1", now=NOW)
    theirs = AccessTokens([NEW], ttl_ms=1_000, guest_ttl_ms=5_000).sign_guest("gst_1", now=NOW)
    with pytest.raises(Unauthenticated):
        tokens.read(theirs.text, now=NOW, guests=True)


def test_it_is_expired_from_its_last_millisecond_on() -> None:
    assert tokens.read(signed(), now=1_700_000_899_999).user_id == "usr_1"
    with pytest.raises(TokenExpired):
        tokens.read(signed(), now=1_700_000_900_000)


def test_the_first_secret_signs_and_all_of_them_verify() -> None:
    for reader, token in ((AccessTokens([NEW], ttl_ms=1000), signed()), (tokens, forged(OLD))):
        assert reader.read(token, now=NOW).user_id == "usr_1"
    with pytest.raises(Unauthenticated):
        AccessTokens([OLD], ttl_ms=1000).read(signed(), now=NOW)


@pytest.mark.parametrize("secrets", [[], [""], [NEW, ""]])
def test_without_a_secret_there_are_no_tokens(secrets: list[str]) -> None:
    with pytest.raises(ValueError, match="secret"):
        AccessTokens(secrets, ttl_ms=1000)


@pytest.mark.parametrize(
    "changes",
    [
        {"typ": "refresh"},
        {"ver": 2},
        {"iss": "other"},
        {"aud": "other"},
        {"exp": "soon"},
        {"exp": True},
        {"iat": "now"},
        {"iat": 1.5},
        {"typ": "guest"},
        {"typ": ["access"]},
        {"sub": 7},
        {"sid": None},
        {"scope": ["tools:basic"]},
        {"algorithm": "HS384", "secret": "n" * 48},
        {"secret": "x" * 32},
        *({name: ...} for name in ("sub", "sid", "typ", "ver", "iat", "exp", "jti", "scope")),
    ],
    ids=str,
)
def test_a_token_that_is_not_quite_ours_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated) as refused:
        tokens.read(forged(**changes), now=NOW)
    assert refused.value.code == "UNAUTHENTICATED"


def test_a_lie_is_not_called_expired() -> None:
    with pytest.raises(Unauthenticated) as refused:
        tokens.read(forged("x" * 32, exp=1), now=NOW)
    assert not isinstance(refused.value, TokenExpired)


def test_a_token_without_signature_is_refused() -> None:
    with pytest.raises(Unauthenticated):
        tokens.read(forged(None, "none"), now=NOW)


@pytest.mark.parametrize(
    "header", ["[" * 2_500, '{"alg": []}', '"HS256"', "null", '{"alg":"HS256","crit":["x"]}']
)
def test_a_strange_header_is_refused(header: str) -> None:
    head = base64.urlsafe_b64encode(header.encode()).decode().rstrip("=")
    with pytest.raises(Unauthenticated):
        tokens.read(f"{head}.e30.e30", now=NOW)


@pytest.mark.parametrize("payload", [[], "x", 1, None])
def test_a_strange_payload_is_refused(payload: object) -> None:
    token = jwt.api_jws.encode(json.dumps(payload).encode(), NEW, "HS256")
    with pytest.raises(Unauthenticated):
        tokens.read(token, now=NOW)


@given(st.text() | st.text("abcXYZ019._-="))
def test_any_text_is_refused_and_raises_nothing_else(text: str) -> None:
    with pytest.raises(Unauthenticated):
        tokens.read(text, now=NOW)


def test_a_token_of_megabytes_is_refused_unread() -> None:
    with pytest.raises(Unauthenticated, match="malformed"):
        tokens.read("a" * 5_000_000, now=NOW)
