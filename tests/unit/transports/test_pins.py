"""The libraries are still what our transports were written on."""

import pytest

from tests.unit.transports.pins import current, pinned

ADVICE = (
    "read the difference, run the protocol tests, the client checks and the fuzz (tests/protocol), "
    "then pin anew: python -m tests.unit.transports.pins"
)


def test_what_is_leaned_on_is_as_it_was() -> None:
    now, then = current(), pinned()
    changed = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    if changed:
        pytest.fail(f"{', '.join(changed)}: {ADVICE}", pytrace=False)


def test_many_members_are_pinned() -> None:
    assert len(pinned()) > 100
