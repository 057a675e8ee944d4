"""The server's own TLS: stock clients over https and wss, and certificates that are renewed."""

import signal
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.certificates import Authority, Certificate
from tests.e2e.browser import browsing
from tests.e2e.test_cli import talksy
from tests.server import Server, running_server

HOST = "127.0.0.1"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def issued(authority: Authority, name: str) -> Certificate:
    """A certificate in files of its own."""
    made = authority.issue(HOST)
    folder = made.path.parent
    return Certificate(
        made.path.rename(folder / f"{name}.pem"), made.key.rename(folder / f"{name}.key")
    )


def greeted(server: Server, authority: Authority) -> ssl.SSLSocket:
    """A connection to the server, trusted by ``authority`` alone."""
    context = ssl.create_default_context(cafile=str(authority.path))
    context.set_alpn_protocols(["h2", "http/1.1"])
    line = socket.create_connection((HOST, urlsplit(server.url).port or 0), timeout=5)
    return context.wrap_socket(line, server_hostname=HOST)


def serial(server: Server, authority: Authority) -> str:
    """The number of the certificate that whoever connects now is shown."""
    with greeted(server, authority) as line:
        certificate = line.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


@pytest.mark.parametrize("transports", [["websocket"], ["polling"]], ids=["wss", "https"])
async def test_the_stock_client_talks_over_tls(authority: Authority, transports: list[str]) -> None:
    own = authority.issue(HOST)
    async with running_server(TLS_CERT=own.path, TLS_KEY=own.key) as server:
        assert server.url.startswith("https://")
        with greeted(server, authority) as line:
            assert line.version() == "TLSv1.3"
            assert line.selected_alpn_protocol() == "http/1.1"
        async with browsing(
            server.url, transports=transports, ca=authority.path.read_text()
        ) as browser:
            assert (await browser.until_named("connect"))["transport"] == transports[0]
            ack = await browser.call("user_message_stream", {"text": "/mock tokens=200"})
            assert await browser.answer(ack["turnId"])


async def test_a_renewed_certificate_is_picked_up_without_a_restart(authority: Authority) -> None:
    """A half that does not fit changes nothing; open connections stay."""
    old, new = issued(authority, "old"), issued(authority, "new")
    async with running_server(TLS_CERT=old.path, TLS_KEY=old.key) as server:
        first = serial(server, authority)
        with greeted(server, authority) as line:
            old.path.write_bytes(new.path.read_bytes())
            server.process.send_signal(signal.SIGHUP)
            told = await server.logged("certificate_not_renewed")
            assert "is not the key of" in told["reason"]
            assert serial(server, authority) == first

            old.key.write_bytes(new.key.read_bytes())
            server.process.send_signal(signal.SIGHUP)
            await server.logged("certificate_renewed")
            assert serial(server, authority) != first

            line.sendall(b"GET /health/live HTTP/1.1\r\nHost: talksy\r\n\r\n")
            answer = line.makefile("rb")
            assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
            headers = [*iter(answer.readline, b"\r\n")]
            assert b"Strict-Transport-Security: max-age=31536000\r\n" in headers


async def test_a_key_that_does_not_fit_ends_the_start_in_a_line(
    authority: Authority, tmp_path: Path
) -> None:
    one, other = issued(authority, "one"), issued(authority, "other")

    code, out, err = await talksy(
        tmp_path, "serve", TLS_CERT=str(one.path), TLS_KEY=str(other.key), PORT="0"
    )

    assert (code, out) == (1, "")
    assert err == f"talksy: TLS_KEY={other.key} is not the key of TLS_CERT={one.path}\n"
