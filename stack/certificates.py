"""The mesh's certificates at one desk: an authority of our own, and one certificate per peer.

    tls = issue(make_ca(folder), "svc-ingest")        # svc-ingest.crt and .key, next to ca.crt and ca.key

A peer's name is the certificate's first DNS name; localhost and 127.0.0.1 follow, so that a browser at the desk
believes the gateway's too. Everything is made once, kept, and made again when less than a month is left of it. In
Kubernetes cert-manager does this work.
"""

from __future__ import annotations

import ipaddress
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh.tls import Tls

PEERS: Final = ("gateway", "svc-registry", "svc-ingest", "svc-identity", "svc-reports", "operator")
CA_LIFE: Final = timedelta(days=3650)
LIFE: Final = timedelta(days=365)
RENEW_BEFORE: Final = timedelta(days=30)
BACKDATE: Final = timedelta(hours=1)  # for peers whose clock is behind


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority that signs every peer's certificate.

    Attributes:
        folder: where ca.crt, ca.key and the peers' files lie.
        certificate: its own.
        key: its private key.
    """

    folder: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def file(self) -> Path:
        """ca.crt, which every peer trusts."""
        return self.folder / "ca.crt"


def make_ca(folder: Path, now: datetime | None = None) -> Authority:
    """The authority of `folder`; made at the first call, and again when its end is near.

    Args:
        folder: becomes mode 0700.
        now: for tests; aware.
    """
    at = now or datetime.now(UTC)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = _read(folder, "ca")
    if known is not None and _lives(known[0], at, LIFE):  # a peer's certificate must not outlive it
        return Authority(folder, *known)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Footfall mesh authority")])
    certificate = (
        _builder(name, name, key, at, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(folder, "ca", certificate, key)
    return Authority(folder, certificate, key)


def issue(authority: Authority, peer: str, *, names: tuple[str, ...] = (), now: datetime | None = None) -> Tls:
    """A peer's certificate and key; made when missing, of another authority or other names, or near its end.

    Args:
        authority: who signs.
        peer: its name; files are called after it.
        names: further DNS names or addresses by which it is reached (the gateway's).
        now: for tests; aware.
    """
    at = now or datetime.now(UTC)
    tls = Tls(ca=authority.file, cert=authority.folder / f"{peer}.crt", key=authority.folder / f"{peer}.key")
    wanted = _names(peer, names)
    known = _read(authority.folder, peer)
    if known is not None and _lives(known[0], at, RENEW_BEFORE) and _signed(known[0], authority, wanted):
        return tls
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, peer)]), authority.certificate.subject, key, at, LIFE
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName(wanted), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    _write(authority.folder, peer, certificate, key)
    return tls


def _names(peer: str, names: tuple[str, ...]) -> list[x509.GeneralName]:
    return [_name(name) for name in dict.fromkeys((peer, "localhost", "127.0.0.1", *names))]


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, at: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - BACKDATE)
        .not_valid_after(at + life)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _lives(certificate: x509.Certificate, at: datetime, before: timedelta) -> bool:
    return certificate.not_valid_after_utc - at > before


def _signed(certificate: x509.Certificate, authority: Authority, wanted: list[x509.GeneralName]) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, x509.ExtensionNotFound, ValueError, TypeError):
        return False
    return list(names) == wanted


def _read(folder: Path, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """A certificate and its key; None when either is missing or damaged, or they do not belong together."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())
        key = load_pem_private_key((folder / f"{name}.key").read_bytes(), password=None)
    except (OSError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return certificate, key


def _write(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _replace(folder / f"{name}.key", secret, 0o600)
    _replace(folder / f"{name}.crt", certificate.public_bytes(Encoding.PEM), 0o644)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Writes whole or not at all: a reader never meets half a file."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
