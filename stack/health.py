"""Whether a child is ready: asked over the road that its callers take."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2

from stack.ports import LOOPBACK

PROBE_SECONDS = 2.0
_HTTP_OK = b" 200 "


@dataclass(frozen=True, slots=True)
class Identity:
    """The three files with which a peer shows who it is and checks who answers."""

    ca: Path
    certificate: Path
    key: Path

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads them anew, so that a rotated certificate is used. Raises OSError."""
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), self.key.read_bytes(), self.certificate.read_bytes())


async def accepts(port: int, host: str = LOOPBACK) -> bool:
    """Whether somebody listens."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:  # TimeoutError among them
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def http_ok(port: int, path: str, *, method: str = "GET", host: str = LOOPBACK) -> bool:
    """Whether plain HTTP answers 200."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                request = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                return _HTTP_OK in await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError):  # ValueError: a line longer than the reader's limit
        return False


@dataclass
class GrpcHealth:
    """grpc.health.v1 over mTLS. Keeps its channel while it works; call `close` at the end.

    `services` are full names; empty asks for the server as a whole.
    """

    port: int
    server_name: str
    """The DNS name in the server's certificate."""
    identity: Identity
    services: Sequence[str] = ("",)
    _channel: grpc.aio.Channel | None = field(default=None, init=False, repr=False)

    async def __call__(self, pid: int) -> bool:  # noqa: ARG002 - a port has one holder
        """Whether every one of the services is SERVING."""
        # A channel that meets a closed port backs off for a second and more; a socket tells at once.
        if self._channel is None and not await accepts(self.port):
            return False
        try:
            check = self._open().unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            for service in self.services:
                answer = await check(health_pb2.HealthCheckRequest(service=service), timeout=PROBE_SECONDS)
                if answer.status != health_pb2.HealthCheckResponse.SERVING:
                    return False
        except (grpc.aio.AioRpcError, OSError):
            await self.close()
            return False
        return True

    def _open(self) -> grpc.aio.Channel:
        if self._channel is None:
            options = [("grpc.ssl_target_name_override", self.server_name)]
            self._channel = grpc.aio.secure_channel(f"{LOOPBACK}:{self.port}", self.identity.credentials(), options)
        return self._channel

    async def close(self) -> None:
        """Safe to repeat."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
