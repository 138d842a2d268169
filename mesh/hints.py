"""NOTIFY as a hint: "look again", without data, coalesced, after the commit. Readers poll every second anyway.

A NOTIFY inside a transaction would serialize all commits on one lock of PostgreSQL, so hints go out on a connection of
their own, many as one. A lost hint costs a reader at most one second.

    listener = Listener(database.url, ["visits"])          # one per process, run under the supervisor
    while True:
        seen = listener.seen("visits")
        rows = await read()
        if not rows:
            await listener.wait("visits", seen)            # a hint, or a second
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
import structlog
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncEngine

HINTS: Final = "footfall.hints"  # where a connection's info keeps the channels that its transaction hinted at
GATHER_SECONDS: Final = 0.02  # hints within this become one
POLL_SECONDS: Final = 1.0
CONNECT_SECONDS: Final = 5.0

_log = structlog.get_logger(__name__)


class Hints:
    """The sending side, owned by a Database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: set[str] = set()
        self._sender: asyncio.Task[None] | None = None

    def send(self, channels: Iterable[str]) -> None:
        """Sends soon. Never fails: it is a hint."""
        self._waiting.update(channels)
        if self._waiting and (self._sender is None or self._sender.done()):
            self._sender = asyncio.create_task(self._send(), name="hints")

    async def close(self) -> None:
        """Waits until what was hinted at is sent."""
        if self._sender is not None:
            await self._sender

    async def _send(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            channels, self._waiting = sorted(self._waiting), set()
            try:
                async with self._engine.connect() as connection:
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                    await connection.execute(
                        text("SELECT pg_notify(c, '') FROM unnest(CAST(:channels AS text[])) c"),
                        {"channels": channels},
                    )
            except (exc.SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                _log.info("hint_lost", error=type(error).__name__)  # readers poll


class Listener:
    """The receiving side: one connection for all channels of a process. Run `run` under the supervisor.

    Args:
        url: postgresql://….
        channels: to listen on; SQL identifiers.
        poll_seconds: how long a wait lasts without a hint.
    """

    def __init__(self, url: str, channels: Sequence[str], poll_seconds: float = POLL_SECONDS) -> None:
        self._url = url
        self._poll_seconds = poll_seconds
        self._seen = dict.fromkeys(channels, 0)
        self._changed = {channel: asyncio.Event() for channel in channels}

    def seen(self, channel: str) -> int:
        """How many hints have come. Take it before reading, and give it to `wait`: then none is missed."""
        return self._seen[channel]

    async def wait(self, channel: str, seen: int) -> None:
        """Returns at the first hint after `seen`, or after the poll interval."""
        if self._seen[channel] != seen:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed[channel].wait(), self._poll_seconds)

    async def run(self) -> None:
        """Listens until cancelled; when the connection is lost it raises, and the supervisor starts it again."""
        lost = asyncio.Event()
        connection: Any = await asyncpg.connect(self._url, timeout=CONNECT_SECONDS)
        try:
            connection.add_termination_listener(lambda _connection: lost.set())
            for channel in self._seen:
                await connection.add_listener(channel, self._hear)
                self._wake(channel)  # what was hinted while nobody listened
            await lost.wait()
        finally:
            await connection.close(timeout=CONNECT_SECONDS)
        msg = "the connection that listens for hints was lost"
        raise ConnectionError(msg)

    def _hear(self, _connection: object, _pid: int, channel: str, _payload: object) -> None:
        self._wake(channel)

    def _wake(self, channel: str) -> None:
        self._seen[channel] += 1
        self._changed[channel].set()
        self._changed[channel] = asyncio.Event()
