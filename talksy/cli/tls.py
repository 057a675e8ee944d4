"""TLS from two PEM files, read again when they are renewed."""

import asyncio
import ssl
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import structlog
from cryptography import x509

log = structlog.get_logger(__name__)

LOOK_SECONDS = 60.0
"""How often the files are looked at."""


class TlsError(Exception):
    """The files are no certificate with its key."""


class Certificate:
    """A certificate's chain and its key, as a context that a server can use for its whole life."""

    def __init__(self, chain: Path, key: Path) -> None:
        """Raises ``TlsError``."""
        self._chain = chain
        self._key = key
        self._seen = self._state()
        self.context = self._read()
        self.renewed = asyncio.Event()
        """Set by whoever knows that the files have changed."""

    @property
    def expires_at(self) -> datetime:
        """When the certificate runs out, UTC. Raises ``TlsError``."""
        try:
            certificate = x509.load_pem_x509_certificates(self._chain.read_bytes())[0]
        except (OSError, ValueError) as error:
            raise TlsError(f"TLS_CERT={self._chain} cannot be read: {error}") from error
        return certificate.not_valid_after_utc

    async def watch(self) -> None:
        """Goes on for ever: who connects after a renewal is shown the new certificate."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.renewed.wait(), LOOK_SECONDS)
            asked = self.renewed.is_set()
            self.renewed.clear()
            if asked or self._state() != self._seen:
                self._renew()

    def _renew(self) -> None:
        self._seen = self._state()
        try:
            # In a context of its own first: a half that does not fit would spoil the living one.
            self._read()
            self._load(self.context)
            until = self.expires_at.isoformat(timespec="seconds")
        except TlsError as error:
            # The old one serves on; both files may not be there yet.
            log.warning("certificate_not_renewed", reason=str(error))
        else:
            log.info("certificate_renewed", until=until)

    def _state(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(map(_stamp, (self._chain, self._key)))

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.set_alpn_protocols(["http/1.1"])
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            # Without the password a key that has one would be asked for on the terminal.
            context.load_cert_chain(self._chain, self._key, password="")
        except ssl.SSLError as error:
            raise TlsError(self._fault(error)) from error
        except OSError as error:
            raise TlsError(f"TLS_CERT or TLS_KEY cannot be read: {error.strerror}") from error

    def _fault(self, error: ssl.SSLError) -> str:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"TLS_KEY={self._key} is not the key of TLS_CERT={self._chain}"
        try:
            x509.load_pem_x509_certificates(self._chain.read_bytes())
        except ValueError:
            return f"TLS_CERT={self._chain} is no PEM file with a certificate"
        return f"TLS_KEY={self._key} is no PEM file with a key that has no password"


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino
