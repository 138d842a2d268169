"""mTLS between peers: every connection shows a certificate, and a peer's name is its certificate's first DNS name.

Files, not bytes: when an operator (cert-manager, `stack`) renews them, the server shows the new certificate at the next
handshake, without a restart.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from mesh.settings import ServiceSettings


@dataclass(frozen=True, slots=True)
class Tls:
    """Where a peer's key material lies (PEM files).

    Attributes:
        ca: who signs the peers' certificates.
        cert: this peer's certificate.
        key: its private key.
    """

    ca: Path
    cert: Path
    key: Path

    @classmethod
    def of(cls, settings: ServiceSettings) -> Tls:
        """The files that the settings name."""
        return cls(settings.tls_ca, settings.tls_cert, settings.tls_key)

    def server_credentials(self) -> grpc.ServerCredentials:
        """For a listener that lets in only who shows a certificate of the mesh."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            _Renewal(self).fetch,  # type: ignore[arg-type]  # None: "as before", says gRPC's own documentation
            require_client_authentication=True,
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For a channel to a peer, as this peer."""
        return grpc.ssl_channel_credentials(
            root_certificates=self.ca.read_bytes(),
            private_key=self.key.read_bytes(),
            certificate_chain=self.cert.read_bytes(),
        )

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(self.key.read_bytes(), self.cert.read_bytes())], root_certificates=self.ca.read_bytes()
        )

    def _stamp(self) -> tuple[int, ...]:
        return tuple(path.stat().st_mtime_ns for path in (self.ca, self.cert, self.key))


class _Renewal:
    """Asked by gRPC at every handshake, on a thread of its own: reads the files again when they have changed."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._seen = tls._stamp()

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            stamp = self._tls._stamp()
            if stamp == self._seen:
                return None  # as before
            configuration = self._tls._configuration()
            ssl.create_default_context().load_cert_chain(self._tls.cert, self._tls.key)  # a half-written pair raises
        except (OSError, ssl.SSLError):
            return None  # in the middle of being replaced: the next handshake asks again
        self._seen = stamp
        return configuration


def peer_name(auth_context: Mapping[str, Iterable[bytes]]) -> str:
    """The name in the peer's certificate: its first DNS name that is not this host; "" without a certificate.

    Args:
        auth_context: of a gRPC call (`context.auth_context()`).
    """
    for raw in auth_context.get("x509_subject_alternative_name", ()):
        name = raw.decode("utf-8", "replace")
        if name != "localhost" and not _is_address(name):
            return name
    return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
