"""Certificates of an authority that only the tests know."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files."""

    path: Path
    key: Path


class Authority:
    """Signs certificates; who trusts ``path`` trusts them."""

    def __init__(self, folder: Path, name: str = "Talksy's tests") -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._serial = 0
        own = self._certificate(self._name, self._key.public_key())
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self._signed(own))

    def issue(self, host: str) -> Certificate:
        """A certificate for a host's name or address."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        certificate = self._certificate(name, key.public_key())
        certificate = certificate.add_extension(
            x509.SubjectAlternativeName([_known_as(host)]), False
        )
        made = Certificate(self._folder / f"{host}.pem", self._folder / f"{host}.key")
        made.path.write_bytes(self._signed(certificate))
        made.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        made.key.chmod(0o600)
        return made

    def _certificate(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        day = dt.timedelta(days=1)
        self._serial += 1
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=name,
            public_key=key,
            serial_number=self._serial,
            not_valid_before=now - day,
            not_valid_after=now + day,
        )

    def _signed(self, certificate: x509.CertificateBuilder) -> bytes:
        made = certificate.sign(self._key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)


def _known_as(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
