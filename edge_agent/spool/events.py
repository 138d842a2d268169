"""Events and snapshots: kept before they are sent, let go when they are answered, evicted when the spool is full."""

import contextlib
import dataclasses
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import Final
from uuid import UUID

from edge_agent.spool.crypto import SpoolKey, WrappedKey
from edge_agent.spool.database import Database, micros, moment
from edge_agent.spool.records import (
    Backlog,
    CameraBacklog,
    Ledger,
    Limits,
    NewEvent,
    Settlement,
    SnapshotVerdict,
    SpooledEvent,
    SpooledSnapshot,
)
from mesh.ids import CameraId, EventId

QUARTER_MICROS: Final = 900 * 1_000_000
MOST_SNAPSHOTS_DROPPED: Final = 1000
"""In one transaction; far more than one event needs."""
_COUNTS: Final = ("stored", "accepted", "rejected", "quarantined", "evicted", "snapshots_dropped")


class SpoolLockedError(RuntimeError):
    """There is no wrapped key for this boot yet: what was written now could never be read after a restart."""


@dataclasses.dataclass(slots=True)
class _Size:
    """Kept in memory: counting 200,000 rows at every event would cost more than the event."""

    events: int
    bytes: int

    def add(self, events: int, size: int) -> None:
        self.events += events
        self.bytes += size


class Events:
    """The tables keys, events, snapshots and ledger."""

    def __init__(self, database: Database, boot_id: UUID, limits: Limits) -> None:
        """`boot_id`: of this start of the agent."""
        self._database, self._boot, self._limits = database, boot_id.bytes, limits
        self._keys: dict[bytes, SpoolKey] = {}
        self._size = self._measured()

    # -- keys ------------------------------------------------------------------------------------------------------

    def lay_down_key(self, wrapped: WrappedKey, key: SpoolKey) -> None:
        """Makes the boot's key known, in its wrapped form on disk; a newer wrapping replaces the older."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO keys VALUES (?, ?, ?)"
                " ON CONFLICT (boot_id) DO UPDATE SET key_id = excluded.key_id, wrapped = excluded.wrapped",
                (wrapped.boot_id.bytes, wrapped.key_id, wrapped.wrapped),
            )
        self._keys[wrapped.boot_id.bytes] = key

    def sealed(self) -> list[WrappedKey]:
        """Keys of earlier boots that still hold something and are not known in memory."""
        rows = self._database.connection.execute(
            "SELECT boot_id, key_id, wrapped FROM keys WHERE boot_id IN (SELECT boot_id FROM events)"
            " OR boot_id IN (SELECT boot_id FROM snapshots)"
        )
        return [
            WrappedKey(UUID(bytes=boot), key_id, wrapped) for boot, key_id, wrapped in rows if boot not in self._keys
        ]

    def unseal(self, boot_id: UUID, key: SpoolKey) -> None:
        """What that boot wrote can be read again. Raises `SpoolKeyError` when it is another key."""
        row = self._database.connection.execute(
            "SELECT id, body FROM events WHERE boot_id = ? LIMIT 1", (boot_id.bytes,)
        ).fetchone()
        if row is not None:
            key.open(row[1], _event_place(row[0]))
        self._keys[boot_id.bytes] = key

    # -- in and out ------------------------------------------------------------------------------------------------

    def put(self, event: NewEvent, *, in_flight: Collection[int] = ()) -> bool:
        """Keeps an event, making room first; false when its id is here already. Raises `SpoolLockedError`.

        `in_flight`: events that were sent and are about to be answered; they are not evicted.
        """
        key = self._keys.get(self._boot)
        if key is None:
            raise SpoolLockedError("the boot's key is not wrapped yet")
        body = key.seal(event.body, _event_place(event.id.bytes))
        snapshot = None if event.snapshot is None else key.seal(event.snapshot, _snapshot_place(event.id.bytes))
        with self._transaction() as (connection, change):
            added = connection.execute(
                "INSERT INTO events (id, boot_id, camera_id, epoch, capture_time, body) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO NOTHING",
                (event.id.bytes, self._boot, event.camera_id.bytes, event.epoch, micros(event.capture_time), body),
            ).rowcount
            if not added:
                return False
            change.add(1, len(body))
            if snapshot is not None:
                change.add(0, len(snapshot))
                connection.execute(
                    "INSERT INTO snapshots (event_id, boot_id, jpeg) VALUES (?, ?, ?)",
                    (event.id.bytes, self._boot, snapshot),
                )
            self._count(connection, "stored")
            self._make_room(connection, change, frozenset(in_flight))
        return True

    def after(self, seq: int, count: int) -> list[SpooledEvent]:
        """At most `count` events that follow `seq`, the oldest first; those whose key is not known are left out."""
        rows = self._database.connection.execute(
            f"SELECT e.seq, e.id, e.boot_id, e.body, s.jpeg FROM events e LEFT JOIN snapshots s ON s.event_id = e.id"  # noqa: S608
            f" WHERE e.seq > ? AND e.boot_id IN ({_marks(self._keys)}) ORDER BY e.seq LIMIT ?",
            (seq, *self._keys, count),
        )
        return [
            SpooledEvent(
                number,
                EventId(UUID(bytes=event)),
                self._keys[boot].open(body, _event_place(event)),
                None if jpeg is None else self._keys[boot].open(jpeg, _snapshot_place(event)),
            )
            for number, event, boot, body, jpeg in rows
        ]

    def snapshots_after(self, seq: int, count: int) -> list[SpooledSnapshot]:
        """At most `count` snapshots that follow `seq` and whose events are durable without them."""
        rows = self._database.connection.execute(
            f"SELECT seq, event_id, boot_id, jpeg FROM snapshots"  # noqa: S608
            f" WHERE alone AND seq > ? AND boot_id IN ({_marks(self._keys)}) ORDER BY seq LIMIT ?",
            (seq, *self._keys, count),
        )
        return [
            SpooledSnapshot(number, EventId(UUID(bytes=event)), self._keys[boot].open(jpeg, _snapshot_place(event)))
            for number, event, boot, jpeg in rows
        ]

    def settle(self, settlements: Sequence[Settlement]) -> int:
        """Lets go of events that were answered durably; how many of them were still here.

        One that is not here any more was evicted, and stays counted as such.
        """
        settled = 0
        with self._transaction() as (connection, change):
            for answer in settlements:
                event = answer.event_id.bytes
                row = connection.execute("DELETE FROM events WHERE id = ? RETURNING length(body)", (event,)).fetchone()
                if row is None:
                    continue
                settled += 1
                change.add(-1, -row[0])
                self._count(connection, answer.verdict.value)
                if answer.reason:
                    self._count(connection, f"{answer.verdict.value}:{answer.reason}")
                if answer.snapshot is SnapshotVerdict.SEND_AGAIN:
                    connection.execute("UPDATE snapshots SET alone = 1 WHERE event_id = ?", (event,))
                else:
                    self._drop_snapshot(connection, change, event)
            self._forget_keys(connection)
        return settled

    def settle_snapshots(self, done: Sequence[EventId]) -> None:
        """Lets go of snapshots that were answered on their own."""
        with self._transaction() as (connection, change):
            for event in done:
                self._drop_snapshot(connection, change, event.bytes)
            self._forget_keys(connection)

    # -- figures ---------------------------------------------------------------------------------------------------

    def ledger(self) -> Ledger:
        """Where every event went."""
        rows = dict(self._database.connection.execute("SELECT name, value FROM ledger").fetchall())
        counts = {name: int(rows.get(name, 0)) for name in _COUNTS}
        return Ledger(spooled=self._size.events, **counts)

    def reasons(self) -> dict[str, int]:
        """Rejected and quarantined events by reason: "rejected:INVALID_FIELD" → count."""
        rows = self._database.connection.execute("SELECT name, value FROM ledger WHERE name LIKE '%:%'")
        return {str(name): int(value) for name, value in rows}

    def backlog(self) -> Backlog:
        """What waits, per camera too."""
        rows = self._database.connection.execute(
            "SELECT camera_id, count(*), min(capture_time) FROM events GROUP BY camera_id"
        ).fetchall()
        cameras = {CameraId(UUID(bytes=camera)): CameraBacklog(count, moment(oldest)) for camera, count, oldest in rows}
        oldest = min((camera.oldest for camera in cameras.values()), default=None)
        return Backlog(self._size.events, self._size.bytes, oldest, cameras)

    # -- room ------------------------------------------------------------------------------------------------------

    def _make_room(self, connection: sqlite3.Connection, size: _Size, in_flight: frozenset[int]) -> None:
        """Unsent snapshots go first, then the oldest events. What is in flight stays: its answer is on the way."""
        limits = self._limits
        for seq, length in self._oldest_snapshots(connection, in_flight) if size.bytes > limits.max_bytes else ():
            connection.execute("DELETE FROM snapshots WHERE seq = ?", (seq,))
            self._count(connection, "snapshots_dropped")
            size.add(0, -length)
            if size.bytes <= limits.max_bytes:
                break
        while size.events > limits.max_events or size.bytes > limits.max_bytes:
            oldest = self._oldest_event(connection, in_flight)
            if oldest is None:
                return
            self._evict(connection, size, oldest)

    def _oldest_snapshots(self, connection: sqlite3.Connection, in_flight: frozenset[int]) -> list[tuple[int, int]]:
        rows = connection.execute(
            "SELECT s.seq, length(s.jpeg), e.seq FROM snapshots s LEFT JOIN events e ON e.id = s.event_id"
            " ORDER BY s.seq LIMIT ?",
            (len(in_flight) + MOST_SNAPSHOTS_DROPPED,),
        ).fetchall()
        return [(seq, length) for seq, length, event in rows if event not in in_flight]

    def _oldest_event(self, connection: sqlite3.Connection, in_flight: frozenset[int]) -> int | None:
        rows = connection.execute("SELECT seq FROM events ORDER BY seq LIMIT ?", (len(in_flight) + 1,)).fetchall()
        return next((seq for (seq,) in rows if seq not in in_flight), None)

    def _evict(self, connection: sqlite3.Connection, size: _Size, seq: int) -> None:
        (event, boot, camera, epoch, captured, length) = connection.execute(
            "DELETE FROM events WHERE seq = ? RETURNING id, boot_id, camera_id, epoch, capture_time, length(body)",
            (seq,),
        ).fetchone()
        size.add(-1, -length)
        self._drop_snapshot(connection, size, event)
        self._count(connection, "evicted")
        # The gap is shown where the event would have counted.
        connection.execute(
            "INSERT INTO coverage (boot_id, camera_id, epoch, start_time, evicted) VALUES (?, ?, ?, ?, 1)"
            " ON CONFLICT (boot_id, camera_id, epoch, start_time)"
            " DO UPDATE SET evicted = evicted + 1, version = version + 1",
            (boot, camera, epoch, captured - captured % QUARTER_MICROS),
        )

    def _drop_snapshot(self, connection: sqlite3.Connection, size: _Size, event: bytes) -> None:
        row = connection.execute("DELETE FROM snapshots WHERE event_id = ? RETURNING length(jpeg)", (event,)).fetchone()
        if row is not None:
            size.add(0, -row[0])

    def _count(self, connection: sqlite3.Connection, name: str) -> None:
        connection.execute(
            "INSERT INTO ledger VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1", (name,)
        )

    def _forget_keys(self, connection: sqlite3.Connection) -> None:
        """An earlier boot's key goes with the last thing it sealed."""
        connection.execute(
            "DELETE FROM keys WHERE boot_id <> ? AND boot_id NOT IN (SELECT boot_id FROM events)"
            " AND boot_id NOT IN (SELECT boot_id FROM snapshots)",
            (self._boot,),
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[tuple[sqlite3.Connection, _Size]]:
        """A transaction, and the spool's size as it will be once that is committed."""
        size = dataclasses.replace(self._size)
        with self._database.transaction() as connection:
            yield connection, size
        self._size = size

    def _measured(self) -> _Size:
        (events, bodies) = self._database.connection.execute(
            "SELECT count(*), coalesce(sum(length(body)), 0) FROM events"
        ).fetchone()
        (jpegs,) = self._database.connection.execute("SELECT coalesce(sum(length(jpeg)), 0) FROM snapshots").fetchone()
        return _Size(events, bodies + jpegs)


def _event_place(event_id: bytes) -> bytes:
    return b"event:" + event_id


def _snapshot_place(event_id: bytes) -> bytes:
    return b"snapshot:" + event_id


def _marks(values: Collection[object]) -> str:
    return ",".join("?" * len(values))
