"""What the supervisor tells the other commands: a file, rewritten at every change, and a lock that proves it lives."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import psutil

from stack import files
from stack.children import ChildState
from stack.home import Home

# psutil derives start times from the boot time, which moves a little when the clock is set.
_START_TOLERANCE_SECONDS = 2.0
_LOCK_PATIENCE_SECONDS = 1.0


class MeshState(StrEnum):
    """Where the mesh as a whole is."""

    STARTING = "STARTING"
    SERVING = "SERVING"
    DEGRADED = "DEGRADED"
    """Was up; a child is away or not ready just now."""
    STOPPING = "STOPPING"
    FAILED = "FAILED"
    """Could not start; `problem` says why."""


@dataclass(frozen=True, slots=True)
class ChildRecord:
    """One child, as of the last change."""

    name: str
    state: ChildState
    pid: int | None = None
    restarts: int = 0
    start_time: datetime | None = None
    last_exit: str | None = None
    """How it last ended by itself: "exit 1", "SIGKILL"."""


@dataclass(frozen=True, slots=True)
class MeshRecord:
    """The supervisor and its children, as of the last change."""

    pid: int
    process_start: float
    """psutil's create_time of `pid`: a later process with the same pid has another."""
    state: MeshState
    start_time: datetime
    ready_seconds: float | None = None
    """From start to the first SERVING."""
    problem: str | None = None
    gateway: str = ""
    """https://localhost:8443, say."""
    port_base: int = 0
    children: tuple[ChildRecord, ...] = field(default=())

    def to_json(self) -> str:
        """Times as ISO 8601."""
        return json.dumps(asdict(self), indent=1, default=lambda value: value.isoformat()) + "\n"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse. Raises KeyError, ValueError, TypeError."""
        children = tuple(
            ChildRecord(
                **{
                    **child,
                    "state": ChildState(child["state"]),
                    "start_time": datetime.fromisoformat(child["start_time"]) if child["start_time"] else None,
                }
            )
            for child in content["children"]
        )
        start = datetime.fromisoformat(content["start_time"])
        return cls(**{**content, "state": MeshState(content["state"]), "start_time": start, "children": children})


class AlreadyRunningError(Exception):
    """Another supervisor has this home."""


class Lock:
    """Held by the supervisor as long as it lives; the kernel lets go of it however it dies."""

    def __init__(self, home: Home) -> None:
        """Takes nothing yet."""
        self._home = home
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Takes it. Raises AlreadyRunningError."""
        descriptor = os.open(self._home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.SECRET)
        deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:  # `is_locked` of another command holds it for a blink at most
                    os.close(descriptor)
                    record = read(self._home)
                    pid = f" (pid {record.pid})" if record else ""
                    message = f"the mesh in {self._home.root} runs already{pid}; `python -m stack down` stops it"
                    raise AlreadyRunningError(message) from None
                time.sleep(0.02)
        self._descriptor = descriptor
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Lets go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_locked(home: Home) -> bool:
    """Whether a supervisor holds this home."""
    try:
        descriptor = os.open(home.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write(home: Home, record: MeshRecord) -> None:
    """Replaces the state file."""
    files.write(home.state, record.to_json(), mode=files.SECRET)


def read(home: Home) -> MeshRecord | None:
    """What was last written, by a supervisor that may be gone; None when nothing readable was."""
    try:
        content = files.read_json(home.state)
        return None if content is None else MeshRecord.from_json(content)
    except (ValueError, KeyError, TypeError):
        return None


def living(home: Home) -> MeshRecord | None:
    """What the supervisor of this home says, if it lives."""
    record = read(home)
    if record is None or not is_locked(home) or process(record.pid, record.process_start) is None:
        return None
    return record


def process(pid: int, start: float) -> psutil.Process | None:
    """The process with this pid, if it is the one that started then and not a later one with the same number."""
    try:
        found = psutil.Process(pid)
        same = abs(found.create_time() - start) <= _START_TOLERANCE_SECONDS
        return found if same and found.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None
