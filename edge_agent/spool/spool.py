"""The spool as the agent uses it: every call goes through one thread, which alone touches the file."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from edge_agent.spool.coverage import Commands, CoverageSlices, UnansweredSlice
from edge_agent.spool.crypto import PublicKey, SpoolKey, SpoolKeyError, WrappedKey
from edge_agent.spool.database import Database
from edge_agent.spool.events import Events, SpoolLockedError
from edge_agent.spool.records import (
    Backlog,
    Ledger,
    Limits,
    NewEvent,
    Settlement,
    Slice,
    SpooledEvent,
    SpooledSnapshot,
)
from mesh.ids import EventId

__all__ = ["Spool", "SpoolKeyError", "SpoolLockedError", "SpoolUnwritableError"]

T = TypeVar("T")


class SpoolUnwritableError(RuntimeError):
    """The disk is full or broken."""


class Spool:
    """Events, snapshots, coverage and commands on disk. What a method has answered survives a kill and a power cut."""

    def __init__(self, database: Database, boot_id: UUID, limits: Limits, executor: ThreadPoolExecutor) -> None:
        """Use `open`."""
        self._database, self._boot_id, self._executor = database, boot_id, executor
        self._events = Events(database, boot_id, limits)
        self._coverage = CoverageSlices(database, boot_id)
        self._commands = Commands(database)
        self._key = SpoolKey()
        self._in_flight: set[int] = set()
        self._arrived = asyncio.Event()
        self.unsealed = 0
        """How many keys of earlier boots were unwrapped: when it grows, `after` answers older events, too."""
        self.trouble = ""
        """Why the last event could not be kept; empty when it could."""

    @classmethod
    async def open(cls, folder: Path, boot_id: UUID, limits: Limits = Limits()) -> "Spool":  # noqa: B008  frozen
        """Opens or makes the spool. Raises `SpoolInUseError` when another agent holds the folder, and OSError."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")

        def opened() -> Spool:
            return cls(Database(folder), boot_id, limits, executor)

        try:
            return await asyncio.get_running_loop().run_in_executor(executor, opened)
        except BaseException:
            executor.shutdown(wait=False)
            raise

    async def close(self) -> None:
        """Lets the folder go, after everything that was asked for is done."""
        await self._run(self._database.close)
        self._executor.shutdown(wait=True)

    async def wrap_key(self, public: PublicKey, worker_id: str) -> None:
        """Lays the boot's key down, wrapped for the mesh. Before the first one nothing can be stored.

        Raises `SpoolKeyError` for a public key that is none.
        """

        def wrap() -> None:
            self._events.lay_down_key(self._key.wrap(public, self._boot_id, worker_id), self._key)

        await self._run(wrap)

    async def sealed(self) -> list[WrappedKey]:
        """Keys of earlier boots that only the registry can unwrap, and without which something cannot be sent."""
        return await self._run(self._events.sealed)

    async def unseal(self, boot_id: UUID, key: bytes) -> None:
        """With a key that the registry unwrapped. Raises `SpoolKeyError` when it does not open what that boot wrote."""

        def unseal() -> None:
            self._events.unseal(boot_id, SpoolKey(key))

        await self._run(unseal)
        self.unsealed += 1
        self._arrived.set()

    async def put(self, event: NewEvent) -> bool:
        """Keeps an event: durable when this returns. False when its id is here already.

        Raises `SpoolLockedError`, and `SpoolUnwritableError` when the disk takes nothing.
        """
        in_flight = frozenset(self._in_flight)
        try:
            added = await self._run(lambda: self._events.put(event, in_flight=in_flight))
        except sqlite3.Error as error:
            self.trouble = f"the spool cannot be written: {error}"
            raise SpoolUnwritableError(self.trouble) from error
        self.trouble = ""
        self._arrived.set()
        return added

    async def arrival(self) -> None:
        """Returns once something may have come that `after` did not answer before."""
        await self._arrived.wait()

    async def after(self, seq: int, count: int) -> list[SpooledEvent]:
        """At most `count` events that follow `seq`, the oldest first."""
        self._arrived.clear()
        return await self._run(lambda: self._events.after(seq, count))

    async def snapshots_after(self, seq: int, count: int) -> list[SpooledSnapshot]:
        """At most `count` snapshots to send on their own that follow `seq`."""
        return await self._run(lambda: self._events.snapshots_after(seq, count))

    def sent(self, seqs: Sequence[int]) -> None:
        """These events are on the wire: they are not evicted until `answered` or `stream_ended`."""
        self._in_flight.update(seqs)

    def stream_ended(self) -> None:
        """No answer will come to what is in flight."""
        self._in_flight.clear()

    async def settle(self, settlements: Sequence[Settlement], seqs: Sequence[int] = ()) -> int:
        """Lets go of events that were answered durably; how many were still here. `seqs`: no longer in flight."""
        settled = await self._run(lambda: self._events.settle(settlements))
        self._in_flight.difference_update(seqs)
        if any(answer.snapshot is answer.snapshot.SEND_AGAIN for answer in settlements):
            self._arrived.set()
        return settled

    async def settle_snapshots(self, done: Sequence[EventId]) -> None:
        """Lets go of snapshots that were answered on their own."""
        await self._run(lambda: self._events.settle_snapshots(done))

    async def ledger(self) -> Ledger:
        """Where every event went."""
        return await self._run(self._events.ledger)

    async def reasons(self) -> dict[str, int]:
        """Rejected and quarantined events by reason."""
        return await self._run(self._events.reasons)

    async def backlog(self) -> Backlog:
        """What waits."""
        return await self._run(self._events.backlog)

    async def put_coverage(self, slices: Sequence[Slice]) -> None:
        """Writes totals of quarters of an hour."""
        if slices:
            await self._run(lambda: self._coverage.put(slices))

    async def unanswered_coverage(self, count: int) -> list[UnansweredSlice]:
        """At most `count` slices that the registry lacks."""
        return await self._run(lambda: self._coverage.unanswered(count))

    async def answer_coverage(self, slices: Sequence[UnansweredSlice], now: datetime) -> None:
        """The registry has them."""
        if slices:
            await self._run(lambda: self._coverage.answer(slices, now))

    async def last_command(self) -> int:
        """Number of the last command received; 0 if none."""
        return await self._run(self._commands.last_seq)

    async def receive_command(self, seq: int, command_id: str) -> bytes | None:
        """Notes a command durably; its result if it had ended before."""
        return await self._run(lambda: self._commands.receive(seq, command_id))

    async def finish_command(self, command_id: str, result: bytes) -> None:
        """Keeps a command's result for the answer to a replay."""
        await self._run(lambda: self._commands.finish(command_id, result))

    async def _run(self, work: Callable[[], T]) -> T:
        # Shielded: a cancelled caller must not leave the thread's work half known.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._executor, work))
