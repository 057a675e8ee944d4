"""What is wrong with a certificate's files is said in the operator's words."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from talksy.cli.tls import Certificate, TlsError
from tests.certificates import Authority
from tests.certificates import Certificate as Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Authority(tmp_path).issue("localhost")


def test_it_knows_when_it_runs_out(files: Files) -> None:
    left = Certificate(files.path, files.key).expires_at - datetime.now(UTC)
    assert timedelta(hours=23) < left < timedelta(days=1)


def test_a_file_that_is_no_certificate_is_named(files: Files) -> None:
    files.path.write_text("no PEM")
    with pytest.raises(TlsError, match=r"^TLS_CERT=.* is no PEM file with a certificate$"):
        Certificate(files.path, files.key)


def test_a_file_that_is_no_key_is_named(files: Files) -> None:
    files.key.write_text("no PEM")
    with pytest.raises(TlsError, match=r"^TLS_KEY=.* is no PEM file with a key"):
        Certificate(files.path, files.key)


def test_a_key_with_a_password_is_refused_and_asks_nobody(files: Files) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hush"),
        )
    )
    with pytest.raises(TlsError, match="that has no password"):
        Certificate(files.path, files.key)
