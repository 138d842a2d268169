"""Whether a child is ready: asked over the road that its callers take."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

import grpc
from grpc_health.v1 import health_pb2

from mesh.tls import Tls
from stack.ports import LOOPBACK

PROBE_SECONDS = 2.0


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


async def http(port: int, path: str, *, method: str = "GET", host: str = LOOPBACK) -> bytes | None:
    """The body of an answer 200 over plain HTTP; None when there was none. For small answers of our own children."""
    return await asyncio.to_thread(_fetch, port, path, method, host)


def _fetch(port: int, path: str, method: str, host: str) -> bytes | None:
    connection = HTTPConnection(host, port, timeout=PROBE_SECONDS)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.read() if answer.status == HTTPStatus.OK else None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


@dataclass
class GrpcHealth:
    """grpc.health.v1 over mTLS. Keeps its channel while it works; call `close` at the end.

    `services` are full names; empty asks for the server as a whole.
    """

    port: int
    server_name: str
    """The DNS name in the server's certificate."""
    tls: Tls
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
            self._channel = grpc.aio.secure_channel(f"{LOOPBACK}:{self.port}", self.tls.channel_credentials(), options)
        return self._channel

    async def close(self) -> None:
        """Safe to repeat."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
