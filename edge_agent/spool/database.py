"""The SQLite file under the spool: one process, one connection, one thread, and nothing acknowledged is ever lost."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Final

import structlog

VERSION: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_log = structlog.get_logger(__name__)


class SpoolInUseError(RuntimeError):
    """Another agent holds this folder."""


class Database:
    """The connection, and what all tables share. Not safe to use from two threads at a time."""

    def __init__(self, folder: Path) -> None:
        """Opens or makes the spool in a folder that only this user may enter.

        A file that SQLite finds damaged is put aside, and a new one begun: an agent that did not start would lose more.
        Raises `SpoolInUseError`, OSError.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        self._lock = _locked(folder / "lock")
        path = folder / "spool.sqlite"
        try:
            self.connection = _opened(path)
        except sqlite3.DatabaseError:
            aside = folder / f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}.sqlite"
            path.rename(aside)
            _log.exception("spool_damaged", aside=aside.name)
            self.connection = _opened(path)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; durable when the context ends without an error."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()

    def close(self) -> None:
        """Lets the folder go."""
        self.connection.close()
        os.close(self._lock)


def micros(time: datetime) -> int:
    """Microseconds since 1970, for a column. `time` is aware."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def moment(value: int) -> datetime:
    """The inverse of `micros`."""
    return _EPOCH + timedelta(microseconds=value)


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SpoolInUseError("another agent is using this spool folder") from error
    return descriptor


def _opened(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    # The one thread is the spool's executor's, which did not exist yet when a test opens it.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: the log is on the disk before a commit is answered; NORMAL would lose the last ones with the power.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # Deleted faces are encrypted, and overwritten all the same.
        connection.execute("PRAGMA secure_delete = ON")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            schema = files(__package__).joinpath("schema.sql").read_text()
            connection.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {VERSION}; COMMIT;")
        elif version != VERSION:
            raise RuntimeError(f"the spool was written by another version of the agent (layout {version})")
    except BaseException:
        connection.close()
        raise
    return connection
