"""The streams that are open, so that a revoked or expired token, or a stop, ends them with its reason.

A handler notices nothing but a cancellation (its `finally` and `async with` run); the client gets the reason.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from footfall.type.v1 import problem_pb2

from mesh.auth import CallerCell, Revocations
from mesh.clock import Clock
from mesh.errors import MeshError, Unauthenticated


@dataclass(eq=False, slots=True)
class OpenStream:
    """One open stream.

    Attributes:
        cell: its caller, as of the last Reauth.
        task: in which its handler runs.
        verdict: why it is being ended; None while it is not.
        writing: a message is on its way out, and no status can be sent before it is.
    """

    cell: CallerCell
    task: asyncio.Task[object]
    verdict: MeshError | None = None
    writing: bool = False

    def end(self, error: MeshError) -> None:
        """Cancels the handler (after the write at hand); the auth interceptor turns that into `error`."""
        if self.verdict is None:
            self.verdict = error
            if not self.writing:
                self.task.cancel()


class OpenStreams:
    """All open streams of a server.

    Args:
        revocations: what was revoked; None where nothing can be (a service without sign-in's tables).
        clock: token expiry is judged on it.
    """

    def __init__(self, revocations: Revocations | None, clock: Clock) -> None:
        self._revocations = revocations
        self._clock = clock
        self._streams: set[OpenStream] = set()

    def __len__(self) -> int:
        return len(self._streams)

    def all(self) -> tuple[OpenStream, ...]:
        """Those that are open now."""
        return tuple(self._streams)

    def add(self, cell: CallerCell) -> OpenStream:
        """Registers the stream that runs in this task."""
        task = asyncio.current_task()
        if task is None:
            msg = "a stream runs in a task"
            raise RuntimeError(msg)
        stream = OpenStream(cell, task)
        self._streams.add(stream)
        return stream

    def remove(self, stream: OpenStream) -> None:
        """The stream has ended."""
        self._streams.discard(stream)

    async def look(self) -> None:
        """Ends the streams whose token has expired or was revoked. Run it every few seconds."""
        now = self._clock.now()
        for stream in self.all():
            caller = stream.cell.caller
            if caller.token is None:
                continue
            if self._revocations is not None and self._revocations.is_revoked(caller.family):
                stream.end(
                    Unauthenticated(
                        "the token was revoked: sign in anew", reason=problem_pb2.ERROR_REASON_TOKEN_REVOKED
                    )
                )
            elif caller.expire_time is not None and caller.expire_time <= now:
                stream.end(Unauthenticated("the token has expired", reason=problem_pb2.ERROR_REASON_TOKEN_EXPIRED))

    def end_all(self, error: MeshError) -> None:
        """Ends every stream: the server stops."""
        for stream in self.all():
            stream.end(error)
