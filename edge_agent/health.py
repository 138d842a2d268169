"""/healthz and /metrics over plain HTTP, for whoever watches the watcher."""

import asyncio
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest

LONGEST_REQUEST: Final = 8192
TIMEOUT: Final = 5.0


class HealthServer:
    """Answers two paths, one request per connection."""

    def __init__(self, listen: str, problem: Callable[[], str], metrics: CollectorRegistry) -> None:
        """`listen`: host:port. `problem`: why the agent does not work; empty when it does."""
        self._listen, self._problem, self._metrics = listen, problem, metrics
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens; of use when the port asked for was 0."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server else 0

    async def start(self) -> None:
        """Listens. Raises OSError when the port is taken."""
        host, _, port = self._listen.rpartition(":")
        self._server = await asyncio.start_server(self._serve, host.strip("[]"), int(port), limit=LONGEST_REQUEST)

    async def stop(self) -> None:
        """Listens no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head.split(b"\r\n", 1)[0]))
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a probe that went away, or was none
        finally:
            writer.close()

    def _answer(self, request: bytes) -> bytes:
        match request.split(b" "):
            case [b"GET", b"/healthz", _]:
                problem = self._problem()
                return _response("503 Service Unavailable" if problem else "200 OK", (problem or "ok") + "\n")
            case [b"GET", b"/metrics", _]:
                return _response("200 OK", generate_latest(self._metrics).decode())
            case _:
                return _response("404 Not Found", "not found\n")


def _response(status: str, body: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body.encode())}\r\n"
    return (head + "Connection: close\r\n\r\n" + body).encode()
