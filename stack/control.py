"""Commands to a mesh that another process supervises: start it detached, stop it, describe it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psutil

from mesh.clock import Clock
from stack import state
from stack.home import Home
from stack.state import MeshRecord, MeshState

STOP_SECONDS = 60.0
_POLL_SECONDS = 0.05


class ControlError(Exception):
    """What was asked could not be done; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One process, measured now."""

    name: str
    state: str
    pid: int | None
    restarts: int
    uptime_seconds: float | None
    memory_bytes: int
    """Of the process and its descendants. Pages that several share (PostgreSQL's buffers) count once where the system
    can tell (Linux: PSS), once per process elsewhere (RSS)."""
    last_exit: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The mesh, measured now."""

    state: MeshState
    gateway: str
    ready_seconds: float | None
    rows: tuple[Row, ...]

    @property
    def memory_bytes(self) -> int:
        """Of all of it, the supervisor included."""
        return sum(row.memory_bytes for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "memory_bytes": self.memory_bytes}


def status(home: Home, clock: Clock) -> Status | None:
    """Of the mesh of this home; None when it does not run."""
    record = state.living(home)
    if record is None:
        return None
    now = clock.now()
    # The children's share is theirs: the supervisor's row is itself alone.
    supervisor = Row(
        name="supervisor",
        state=record.state,
        pid=record.pid,
        restarts=0,
        uptime_seconds=_seconds(record.start_time, now),
        memory_bytes=_own_memory(psutil.Process(record.pid)),
    )
    children = tuple(
        Row(
            name=child.name,
            state=child.state,
            pid=child.pid,
            restarts=child.restarts,
            uptime_seconds=_seconds(child.start_time, now) if child.pid else None,
            memory_bytes=_memory(child.pid),
            last_exit=child.last_exit,
        )
        for child in record.children
    )
    return Status(record.state, record.gateway, record.ready_seconds, (supervisor, *children))


def _seconds(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else round((now - since).total_seconds(), 1)


def _memory(pid: int | None) -> int:
    if pid is None:
        return 0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(_own_memory(member) for member in family)


def _own_memory(process: psutil.Process) -> int:
    try:
        if sys.platform == "linux":
            with contextlib.suppress(psutil.AccessDenied):
                return int(process.memory_full_info().pss)
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def detach(
    home: Home, argv: Sequence[str], env: Mapping[str, str], on_change: Callable[[MeshRecord], None]
) -> MeshRecord:
    """Starts a supervisor (`python -m stack up …`) on its own, and returns when its mesh is SERVING.

    Its output goes to logs/supervisor.log. Raises ControlError with the reason when it does not come up.
    """
    home.make()
    log = home.logs / "supervisor.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # so that neither Ctrl-C nor the end of this terminal reaches it
        )
    seen: MeshRecord | None = None
    while process.poll() is None:
        record = state.read(home)
        if record is not None and record.pid == process.pid and record != seen:
            seen = record
            on_change(record)
            if record.state is MeshState.SERVING:
                process.returncode = 0  # it lives on without us: not a process that somebody forgot to wait for
                return record
        time.sleep(_POLL_SECONDS)
    raise ControlError(log.read_text(errors="replace").strip() or f"the supervisor ended (exit {process.returncode})")


def down(home: Home, *, seconds: float = STOP_SECONDS) -> bool:
    """Stops the mesh of this home; False when none runs. Raises ControlError when it had to be killed."""
    record = state.living(home)
    supervisor = state.process(record.pid, record.process_start) if record else None
    if record is None or supervisor is None:
        return False
    supervisor.send_signal(signal.SIGTERM)
    if not _ended(record, seconds):
        supervisor.kill()
        _ended(record, seconds)
        raise ControlError(f"it did not stop within {seconds:.0f} s, and was killed with all its children")
    return True


def _ended(record: MeshRecord, seconds: float) -> bool:
    """Waits for the end. A zombie has ended, its parent just has not looked yet; psutil's own wait would go on."""
    deadline = time.monotonic() + seconds
    while state.process(record.pid, record.process_start) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def reload(home: Home) -> bool:
    """Makes a running mesh look for new agents; False when none runs."""
    record = state.living(home)
    if record is None:
        return False
    os.kill(record.pid, signal.SIGHUP)
    return True
