"""The port that workers share."""

import socket
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from talksy.cli.workers import Port


@pytest.fixture(params=[True, False], ids=["apart", "together"])
def port(request: pytest.FixtureRequest) -> Iterator[Port]:
    """Each worker with sockets of its own, and all with the same."""
    if request.param and sys.platform != "linux":
        pytest.skip("only Linux shares connections out among the sockets of a port")
    with closing(Port("127.0.0.1", 0, apart=request.param)) as port:
        yield port


def answered(port: Port) -> bool:
    """Whether a connection is taken by anybody who listens now."""
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port.number)) == 0


def test_workers_listen_on_one_port(port: Port) -> None:
    with port.sockets() as (first,), port.sockets() as (second,):
        for each in (first, second):
            assert each.getsockname() == ("127.0.0.1", port.number)
            each.listen()
        assert answered(port)


def test_a_port_that_is_taken_is_told_so(port: Port) -> None:
    """Also where those who have it would share it with their own kind."""
    with port.sockets() as (worker,):
        worker.listen()
        with pytest.raises(OSError, match="in use"):
            Port("127.0.0.1", port.number)


def test_what_a_dead_worker_had_is_given_to_the_others(port: Port) -> None:
    with port.sockets() as (living,):
        living.listen()
        with port.sockets() as (dead,):
            dead.listen()
        assert all(answered(port) for _ in range(20))


def test_a_name_is_every_address_that_it_has() -> None:
    with closing(Port("localhost", 0)) as port, port.sockets() as sockets:
        families = {each.family for each in sockets}
        assert socket.AF_INET in families
        assert {each.getsockname()[1] for each in sockets} == {port.number}
