"""Refresh tokens as text."""

import pytest
from cryptography.fernet import InvalidToken

from talksy.auth import refresh


def test_a_token_is_256_random_bits_behind_its_prefix() -> None:
    token = refresh.new_token()
    assert refresh.well_formed(token)
    assert len(token) == len("rt_") + 43
    assert token != refresh.new_token()


@pytest.mark.parametrize("token", ["", "rt_", "rt_" + "a" * 42, "rt_" + "a" * 44, "rt_" + "ü" * 43])
def test_other_texts_are_not_tokens(token: str) -> None:
    assert not refresh.well_formed(token)


def test_a_sealed_successor_opens_with_its_predecessor_alone() -> None:
    first, second, other = (refresh.new_token() for _ in range(3))
    sealed = refresh.seal(second, first)
    assert second.encode() not in sealed
    assert refresh.unseal(sealed, first) == second
    with pytest.raises(InvalidToken):
        refresh.unseal(sealed, other)
