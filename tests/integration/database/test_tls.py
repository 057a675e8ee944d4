"""The way to PostgreSQL under TLS, said as libpq's users say it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from talksy.database import Database, Unreachable
from tests.certificates import Authority
from tests.postgres import (
    USER,
    give,
    nobodys_folder,
    running_pgbouncer,
    running_postgres,
    speaks_tls,
)

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with nobodys_folder() as folder:
        folder.chmod(0o755)
        yield Authority(folder)


@pytest.fixture(scope="module")
def address(authority: Authority) -> Iterator[str]:
    """A server that takes nobody in without TLS; PgBouncer's where PostgreSQL was built without."""
    certificate = authority.issue(HOST)
    give(certificate.path, certificate.key)
    if speaks_tls():
        files = {"ssl_cert_file": str(certificate.path), "ssl_key_file": str(certificate.key)}
        hba = "hostnossl all all all reject\nhost all checked all scram-sha-256\n"
        with running_postgres(hba=hba, ssl="on", **files) as postgres:
            yield postgres.address
    else:
        with running_postgres() as postgres, running_pgbouncer(postgres, tls=certificate) as pooler:
            yield pooler


def url(address: str, **query: object) -> str:
    parameters = "&".join(f"{name}={value}" for name, value in query.items())
    return f"postgresql://{USER}:hush@{address}/postgres?{parameters}"


async def refused(where: str) -> str:
    """Why there is no connection."""
    with pytest.raises(Unreachable) as caught:
        async with Database.open(where):
            pass
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_a_server_is_spoken_to_under_tls(
    authority: Authority, address: str, mode: str
) -> None:
    where = url(address, sslmode=mode, sslrootcert=authority.path)

    def look(connection: Connection) -> bool:
        line: Any = connection.connection.driver_connection
        return line._transport.get_extra_info("ssl_object") is not None

    async with Database.open(where) as database:
        assert await database.read(look)


async def test_an_unknown_authority_is_refused_in_a_line(address: str, tmp_path: Path) -> None:
    other = Authority(tmp_path, "another")
    for mode in ("require", "verify-ca", "verify-full"):
        why = await refused(url(address, sslmode=mode, sslrootcert=other.path))
        assert f"cannot reach the database at {address}: its certificate is refused" in why
    assert "certificate is refused" in await refused(url(address, sslrootcert="system"))


async def test_a_certificate_of_another_host_is_refused(authority: Authority, address: str) -> None:
    elsewhere = address.replace(HOST, "localhost")
    why = await refused(url(elsewhere, sslmode="verify-full", sslrootcert=authority.path))
    assert "certificate is refused" in why
    assert "localhost" in why
    async with Database.open(url(elsewhere, sslmode="verify-ca", sslrootcert=authority.path)):
        pass


async def test_a_server_without_tls_is_refused_where_it_is_required() -> None:
    with running_postgres() as plain:
        assert "rejected SSL" in await refused(url(plain.address, sslmode="require"))
