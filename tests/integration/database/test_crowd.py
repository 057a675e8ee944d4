"""Lanes under a crowd."""

import pytest

from tests.integration.database.crowd import talk


@pytest.mark.parametrize("turn", range(2))
async def test_a_crowd_on_two_nodes_finds_every_lane_in_order(url: str, turn: int) -> None:
    """Nothing is lost, begun twice or left waiting, and every message has a place of its own."""
    await talk(url, people=12 + turn)
