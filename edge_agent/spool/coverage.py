"""What was watched, and which commands were received: small things that must survive a restart beside the events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from edge_agent.spool.database import Database, micros, moment
from edge_agent.spool.records import Slice, SliceKey
from mesh.ids import CameraId, LeaseEpoch

KEPT_RESULTS: Final = 1000
"""Of commands, for the answer to a replay."""

KEPT_COVERAGE: Final = timedelta(days=1)
"""An answered slice stays so long: events of it may yet be evicted, and its totals must not begin anew."""

_KEY: Final = "boot_id = ? AND camera_id = ? AND epoch = ? AND start_time = ?"


@dataclass(frozen=True, slots=True)
class UnansweredSlice:
    """Totals that the registry does not have yet."""

    slice: Slice
    version: int
    """To answer with: a slice that changed meanwhile stays unanswered."""


class CoverageSlices:
    """The table coverage."""

    def __init__(self, database: Database, boot_id: UUID) -> None:
        """On the spool's own connection. `boot_id`: of this start, whose slices may still grow."""
        self._database, self._boot = database, boot_id.bytes

    def put(self, slices: Sequence[Slice]) -> None:
        """Writes totals; each column keeps the greatest it ever had. `evicted` is the spool's own and is left alone."""
        rows = [(*_columns(one.key), one.watched // timedelta(microseconds=1), one.frames, one.faces_seen,
                 one.faces_usable) for one in slices]  # fmt: skip
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT INTO coverage"
                " (boot_id, camera_id, epoch, start_time, watched, frames, faces_seen, faces_usable)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (boot_id, camera_id, epoch, start_time) DO UPDATE SET"
                " watched = max(watched, excluded.watched), frames = max(frames, excluded.frames),"
                " faces_seen = max(faces_seen, excluded.faces_seen),"
                " faces_usable = max(faces_usable, excluded.faces_usable), version = version + 1",
                rows,
            )

    def unanswered(self, count: int) -> list[UnansweredSlice]:
        """At most `count` slices that the registry lacks, the oldest first."""
        rows = self._database.connection.execute(
            "SELECT boot_id, camera_id, epoch, start_time, watched, frames, faces_seen, faces_usable, evicted, version"
            " FROM coverage WHERE version > answered ORDER BY start_time LIMIT ?",
            (count,),
        )
        return [
            UnansweredSlice(
                Slice(
                    SliceKey(UUID(bytes=boot), CameraId(UUID(bytes=camera)), LeaseEpoch(epoch), moment(start)),
                    timedelta(microseconds=watched),
                    *figures,
                ),
                version,
            )
            for boot, camera, epoch, start, watched, *figures, version in rows
        ]

    def answer(self, slices: Sequence[UnansweredSlice], now: datetime) -> None:
        """The registry has them. Forgets those so old that nothing can change them any more."""
        with self._database.transaction() as connection:
            connection.executemany(
                f"UPDATE coverage SET answered = max(answered, ?) WHERE {_KEY}",  # noqa: S608  a constant
                [(one.version, *_columns(one.slice.key)) for one in slices],
            )
            connection.execute(
                "DELETE FROM coverage WHERE version = answered AND start_time < ?"
                " AND boot_id NOT IN (SELECT boot_id FROM events) AND boot_id <> ?",
                (micros(now - KEPT_COVERAGE), self._boot),
            )


class Commands:
    """The table commands."""

    def __init__(self, database: Database) -> None:
        """On the spool's own connection."""
        self._database = database

    def last_seq(self) -> int:
        """Of the last command received; 0 if none."""
        row = self._database.connection.execute("SELECT coalesce(max(seq), 0) FROM commands").fetchone()
        return int(row[0])

    def receive(self, seq: int, command_id: str) -> bytes | None:
        """Notes a command durably; the result it ended with before, if this is a replay of one that ended."""
        with self._database.transaction() as connection:
            connection.execute("INSERT INTO commands (seq, id) VALUES (?, ?) ON CONFLICT DO NOTHING", (seq, command_id))
            connection.execute("DELETE FROM commands WHERE seq <= (SELECT max(seq) FROM commands) - ?", (KEPT_RESULTS,))
            row = connection.execute("SELECT result FROM commands WHERE id = ?", (command_id,)).fetchone()
        return None if row is None or row[0] is None else bytes(row[0])

    def finish(self, command_id: str, result: bytes) -> None:
        """Keeps the first result of a command."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE commands SET result = ? WHERE id = ? AND result IS NULL", (result, command_id))


def _columns(key: SliceKey) -> tuple[bytes, bytes, int, int]:
    return key.boot_id.bytes, key.camera_id.bytes, key.epoch, micros(key.start_time)
