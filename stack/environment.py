"""The environment that each child is given: everything it needs, and nothing of the caller's but what is named here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

from mesh.settings import as_environment
from mesh.tls import Tls
from stack.home import Home
from stack.ports import LOOPBACK, Ports
from stack.secrets import Secrets

DATABASE = "footfall"
TOKEN_NAME = "footfall"  # noqa: S105 - issuer and audience of tokens, not one
ROLE_OF = {"registry": "svc_registry", "ingest": "svc_ingest", "identity": "svc_identity", "reports": "svc_reports"}

# Of the caller's own environment: what programs need to run at all, and what an operator may want to turn.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "VIRTUAL_ENV")
_OPERATORS = (
    *("FOOTFALL_LOG_LEVEL", "FOOTFALL_MODELS", "FOOTFALL_DETECTOR", "FOOTFALL_EMBEDDER", "FOOTFALL_PROVIDER"),
)


def base(environ: Mapping[str, str]) -> dict[str, str]:
    """What every child gets, of `environ`."""
    env = {name: environ[name] for name in (*_PASSED_ON, *_OPERATORS) if name in environ}
    # Lines of a log must not wait in a buffer for the crash that they explain. PYTHONHASHSEED and the like stay out.
    return env | {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}


@dataclass(frozen=True, slots=True)
class Database:
    """Where PostgreSQL is: the embedded one, or one that the operator names."""

    admin_url: str
    """As whom roles and the database are made."""
    host: str
    port: int
    query: str = ""

    @classmethod
    def embedded(cls, url: str, port: int) -> Database:
        """Our own, on the loopback."""
        return cls(url, LOOPBACK, port)

    @classmethod
    def named(cls, url: str) -> Database:
        """The operator's. Raises ValueError for what is no PostgreSQL URL."""
        parts = urlsplit(url)
        if parts.scheme not in {"postgresql", "postgres"} or not parts.hostname:
            raise ValueError("--database-url must be postgresql://user:password@host:port/database")
        return cls(url, parts.hostname, parts.port or 5432, parts.query)

    def url(self, role: str, password: str, database: str = DATABASE) -> str:
        """For one of our roles."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = f"{quote(role, safe='')}:{quote(password, safe='')}@{host}:{self.port}"
        return urlunsplit(("postgresql", place, f"/{database}", self.query, ""))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the environments are made of."""

    home: Home
    ports: Ports
    secrets: Secrets
    database: Database
    gateway_host: str = LOOPBACK
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    @property
    def gateway_url(self) -> str:
        """For people and agents on this machine."""
        return f"https://localhost:{self.ports.gateway}"

    def service(self, name: str) -> dict[str, str]:
        """Of svc_<name>; `name` is one of ports.SERVICES."""
        role = ROLE_OF[name]
        tls = self.tls(f"svc-{name}")
        return base(self.environ) | as_environment(
            {
                "listen": f"{LOOPBACK}:{self.ports.service(name)}",
                "metrics_listen": f"{LOOPBACK}:{self.ports.metrics(name)}",
                "database_url": self.database.url(role, self.secrets.roles[role]),
                "tls_ca": tls.ca,
                "tls_cert": tls.cert,
                "tls_key": tls.key,
                "master_keys": self.secrets.master_keys,
                "token_issuer": TOKEN_NAME,
                "token_audience": TOKEN_NAME,
                "registry_target": f"{LOOPBACK}:{self.ports.service('registry')}",
                "identity_target": f"{LOOPBACK}:{self.ports.service('identity')}",
                "images": self.home.images.as_uri().replace("file://", "folder://"),
                "vectors": self.home.vectors,
            }
        )

    def tls(self, peer: str) -> Tls:
        """A peer's three files, as stack/certificates.py lays them."""
        folder = self.home.certificates
        return Tls(ca=folder / "ca.crt", cert=folder / f"{peer}.crt", key=folder / f"{peer}.key")
