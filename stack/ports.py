"""The ports of the mesh at one desk, and who holds one that is taken."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

LOOPBACK = "127.0.0.1"
DEFAULT_BASE = 8400
HIGHEST_BASE = 65535 - 43

_WORDS = 100

SERVICES = ("registry", "ingest", "identity", "reports")


@dataclass(frozen=True, slots=True)
class Ports:
    """Every port is `base` plus a fixed number, so several meshes live on one machine by several bases."""

    base: int = DEFAULT_BASE

    def __post_init__(self) -> None:
        """Raises ValueError for a base from which some port would not exist."""
        if not 1024 <= self.base <= HIGHEST_BASE:
            raise ValueError(f"--port-base must lie between 1024 and {HIGHEST_BASE}, not {self.base}")

    def service(self, name: str) -> int:
        """gRPC with mTLS. `name` is one of SERVICES."""
        return self.base + 1 + SERVICES.index(name)

    def metrics(self, name: str) -> int:
        """HTTP /metrics and /healthz of a service."""
        return self.base + 11 + SERVICES.index(name)

    @property
    def jwks(self) -> int:
        """Envoy's inner listener, from which it fetches the token keys."""
        return self.base + 8

    @property
    def gateway_admin(self) -> int:
        """Envoy's admin interface, on the loopback."""
        return self.base + 9

    @property
    def postgres(self) -> int:
        """The embedded database."""
        return self.base + 32

    @property
    def gateway(self) -> int:
        """HTTPS for everybody: the UI, JSON, gRPC and gRPC-web."""
        return self.base + 43

    def all(self, *, embedded_database: bool = True) -> Mapping[str, int]:
        """Every port by what it is for."""
        ports = {f"svc-{name}": self.service(name) for name in SERVICES}
        ports |= {f"svc-{name} metrics": self.metrics(name) for name in SERVICES}
        ports |= {"gateway": self.gateway, "gateway admin": self.gateway_admin, "gateway keys": self.jwks}
        if embedded_database:
            ports["postgres"] = self.postgres
        return ports


@dataclass(frozen=True, slots=True)
class Holder:
    """Who listens on a port; `pid` None when the system does not tell us (another user's process)."""

    pid: int | None
    command: str

    def __str__(self) -> str:
        """For a sentence: "held by …"."""
        return self.command if self.pid is None else f"{self.command} (pid {self.pid})"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier run in TIME_WAIT do not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def holder(port: int) -> Holder:
    """Who listens on a taken port."""
    try:
        listening = (found for found in psutil.net_connections("tcp") if found.status == psutil.CONN_LISTEN)
        pids = [found.pid for found in listening if found.laddr and found.laddr.port == port]
    except psutil.AccessDenied:  # macOS tells it to root alone
        pids = []
    pid = next((pid for pid in pids if pid), None)
    if pid is None:
        return Holder(None, "a process of another user")
    try:
        process = psutil.Process(pid)
        command = " ".join(" ".join(process.cmdline()[:6]).split()) or process.name()
    except psutil.Error:
        command = "a process that has just ended"
    return Holder(pid, command if len(command) <= _WORDS else f"{command[: _WORDS - 1]}…")
