"""One clear line for the operator, whatever stands between us and a vendor."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from talksy.ai.llm import LanguageModel, open_model
from talksy.errors import Cause, ProviderFault
from tests.integration.llm.conftest import collect
from tests.vendors.groq_server import GroqServer
from tests.vendors.openai_server import HABITS, OpenAIServer
from tests.vendors.replay import Scenario


def model(vendor: str, url: str) -> LanguageModel:
    options = {"api_key": "sk-secret", "model": "small", "base_url": url}
    return open_model(vendor, {vendor.partition(":")[0]: options})


async def failures(vendor: str, url: str) -> list[ProviderFault]:
    """What an answer and a ping fail of; each leaves one line in the log."""
    opened, faults = model(vendor, url), []
    for ask in (lambda: collect(opened), opened.ping):
        with capture_logs() as lines, pytest.raises(ProviderFault) as raised:
            await ask()
        [line] = lines
        assert line["hint"] == raised.value.hint
        assert "secret" not in f"{line}{raised.value.payload()}"
        assert "hint" not in raised.value.payload()
        faults.append(raised.value)
    await opened.close()
    return faults


@asynccontextmanager
async def secured(folder: Path) -> AsyncIterator[str]:
    """A server whose certificate nobody has signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = folder / "server.pem"
    path.write_bytes(
        certificate.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    runner = web.AppRunner(web.Application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0, ssl_context=context)
    await site.start()
    try:
        yield f"localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("vendor", ["openai", "groq"])
async def test_a_certificate_that_nobody_signed_is_named(vendor: str, tmp_path: Path) -> None:
    async with secured(tmp_path) as place:
        for fault in await failures(vendor, f"https://{place}"):
            assert fault.cause == "broken"
            assert "certificate is not trusted" in str(fault.hint)


@pytest.mark.parametrize("vendor", ["openai", "groq"])
async def test_a_server_without_tls_is_named(vendor: str, server: OpenAIServer) -> None:
    url = server.url.replace("http:", "https:").removesuffix("/v1")
    for fault in await failures(vendor, url):
        assert fault.cause == "broken"
        assert "does not speak TLS" in str(fault.hint)


@pytest.mark.parametrize("vendor", ["openai", "groq"])
async def test_a_port_where_nothing_listens_is_named(vendor: str) -> None:
    async with OpenAIServer() as gone:
        url = gone.url.removesuffix("/v1")
    for fault in await failures(vendor, url):
        assert (fault.cause, str(fault.hint)) == (
            "unavailable",
            f"nothing listens there: check {vendor.upper()}_BASE_URL",
        )


@pytest.mark.parametrize("vendor", ["openai", "groq"])
async def test_a_host_that_is_not_there_is_named(vendor: str) -> None:
    for fault in await failures(vendor, "http://no-such-host.invalid"):
        assert "there is no such host" in str(fault.hint)


@pytest.mark.parametrize(
    ("habit", "cause", "hint"),
    [
        ("wrong-key", "auth", "check OPENAI_API_KEY"),
        ("no-credit", "auth", "no credit"),
        ("no-model", "not_found", "check OPENAI_MODEL and OPENAI_BASE_URL"),
        ("not-there", "not_found", "web page answered instead of the API: check OPENAI_BASE_URL"),
        ("redirect", "broken", "redirects: set OPENAI_BASE_URL"),
        ("html-200", "broken", "check OPENAI_BASE_URL"),
        ("junk", "broken", "does not speak the vendor's API: check OPENAI_BASE_URL"),
        ("html", "unavailable", "a proxy answered"),
    ],
)
async def test_what_a_server_answers_is_read_for_the_operator(
    habit: str, cause: Cause, hint: str, server: OpenAIServer
) -> None:
    server.script(*[HABITS[habit]] * 2)
    for fault in await failures("openai", server.url):
        assert fault.cause == cause
        assert hint in str(fault.hint)


@pytest.mark.parametrize("listed", ["small", "small:latest"])
async def test_a_model_that_the_server_does_not_list_is_named(
    listed: str, server: OpenAIServer
) -> None:
    body = b'{"object": "list", "data": [{"id": "%s", "object": "model"}]}' % listed.encode()
    server.script(*[Scenario((body,), 200, {"Content-Type": "application/json"})] * 2)
    good, bad = model("openai", server.url), model("openai:other", server.url)
    await good.ping()
    with pytest.raises(ProviderFault) as raised:
        await bad.ping()
    assert (raised.value.cause, raised.value.hint) == (
        "not_found",
        "the server lists no such model: check OPENAI_MODEL",
    )
    await good.close()
    await bad.close()


async def test_openais_api_at_groqs_address_is_named(groq_server: GroqServer) -> None:
    """A base URL that is one path too short is found in the first line."""
    for fault in await failures("openai", groq_server.url):
        assert fault.cause == "not_found"
        assert "OPENAI_BASE_URL" in str(fault.hint)
