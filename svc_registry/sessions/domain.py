"""The rules of workers and their sessions: the state machine, who may begin a session, and what it keeps. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

from mesh.ids import CameraId, LeaseEpoch

# -- time -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timing:
    """What keeps a session and its leases alive.

    Attributes:
        heartbeat: between two heartbeats.
        stop_after: a FAILOVER camera stops so long after the sending of the last heartbeat that renewed it.
        ttl: a lease not renewed for so long is free again, on the database's clock.
    """

    heartbeat: timedelta = timedelta(seconds=5)
    stop_after: timedelta = timedelta(seconds=15)
    ttl: timedelta = timedelta(seconds=20)

    def __post_init__(self) -> None:
        if not self.heartbeat * 2 <= self.stop_after < self.ttl:
            msg = "two heartbeats must fit before stop_after, which must be shorter than the ttl"
            raise ValueError(msg)

    @property
    def suspect_after(self) -> timedelta:
        """Silence after which the worker's next missed heartbeat would stop its cameras."""
        return self.stop_after - self.heartbeat


# -- workers ----------------------------------------------------------------------------------------------------------


class WorkerState(StrEnum):
    """Where in its life a worker is. ENROLLED shows as CONNECTING: it has never been seen."""

    ENROLLED = "ENROLLED"
    CONNECTING = "CONNECTING"
    READY = "READY"
    FULL = "FULL"
    UNHEALTHY = "UNHEALTHY"
    DRAINING = "DRAINING"
    DRAINED = "DRAINED"
    SUSPECT = "SUSPECT"
    LOST = "LOST"
    MAINTENANCE = "MAINTENANCE"
    QUARANTINED = "QUARANTINED"


_W = WorkerState
# What a heartbeat that renewed shows.
HEARD: Final = frozenset({_W.READY, _W.FULL, _W.UNHEALTHY, _W.DRAINING, _W.DRAINED})
_OUT: Final = frozenset({_W.MAINTENANCE, _W.QUARANTINED})
_CONNECTED: Final = HEARD | _OUT | {_W.CONNECTING, _W.SUSPECT, _W.LOST}

TRANSITIONS: Final[Mapping[WorkerState, frozenset[WorkerState]]] = MappingProxyType(
    {
        _W.ENROLLED: _OUT | {_W.CONNECTING},
        _W.CONNECTING: _CONNECTED - {_W.CONNECTING},
        **{state: _CONNECTED - {state} for state in HEARD},
        _W.SUSPECT: _CONNECTED - {_W.SUSPECT},
        _W.LOST: _OUT | {_W.CONNECTING},  # only a new session brings it back
        _W.MAINTENANCE: frozenset({_W.ENROLLED, _W.CONNECTING, _W.LOST, _W.QUARANTINED}),
        _W.QUARANTINED: frozenset({_W.MAINTENANCE}),
    }
)


class WorkerTransitionError(Exception):
    """A worker was to go where no worker goes: a bug."""


def move(before: WorkerState, after: WorkerState) -> WorkerState:
    """`after`, if a worker may go there from `before`; staying is always allowed.

    Raises:
        WorkerTransitionError: it may not.
    """
    if after is not before and after not in TRANSITIONS[before]:
        msg = f"a worker does not go from {before} to {after}"
        raise WorkerTransitionError(msg)
    return after


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides about a worker's state once it is heard.

    Attributes:
        state: the present one.
        drain: an administrator wants it to give its cameras away.
        unhealthy_reason: why it cannot work, as it says; "" when it can.
        slots: cameras that it is willing to watch at once.
        held: cameras that it watches.
    """

    state: WorkerState
    drain: bool = False
    unhealthy_reason: str = ""
    slots: int = 0
    held: int = 0


def state_when_heard(standing: Standing) -> WorkerState:
    """The state after a heartbeat that renewed. Maintenance and quarantine end by an administrator's word alone."""
    if standing.state in _OUT:
        return standing.state
    if standing.drain:
        after = _W.DRAINING if standing.held else _W.DRAINED
    elif standing.unhealthy_reason:
        after = _W.UNHEALTHY
    else:
        after = _W.FULL if standing.held >= standing.slots else _W.READY
    return move(standing.state, after)


def state_when_silent(state: WorkerState, silence: timedelta, timing: Timing) -> WorkerState:
    """The state after so long without a renewal."""
    if state in _OUT or state in {_W.ENROLLED, _W.LOST}:
        return state
    if silence >= timing.ttl:
        return move(state, _W.LOST)
    return move(state, _W.SUSPECT) if silence >= timing.suspect_after else state


# -- sessions ---------------------------------------------------------------------------------------------------------


class SessionEnd(StrEnum):
    """Why a session ended."""

    RESUMED = "RESUMED"  # the same boot connected again
    SUPERSEDED = "SUPERSEDED"  # a newer boot did
    EXPIRED = "EXPIRED"  # silent for a ttl
    QUARANTINED = "QUARANTINED"
    REMOVED = "REMOVED"


class Greeting(StrEnum):
    """What a Hello is answered with."""

    WELCOME = "WELCOME"
    REMOVED = "REMOVED"
    QUARANTINED = "QUARANTINED"


@dataclass(frozen=True, slots=True)
class PastSession:
    """One of a worker's sessions."""

    generation: int
    boot_id: UUID


def greet(
    state: WorkerState, boot_id: UUID, past: Sequence[PastSession], *, removed: bool, stolen: bool = False
) -> Greeting:
    """Whether a boot gets a session.

    A boot that a newer one has superseded was told to stop. When it comes again, both run, with one key between them.

    Args:
        state: the worker's.
        boot_id: Hello's.
        past: its sessions.
        removed: the worker is deleted, or its key revoked.
        stolen: it is in the wrong hands.
    """
    if removed:
        return Greeting.REMOVED
    if stolen or state is _W.QUARANTINED:
        return Greeting.QUARANTINED
    if past:
        last = max(past, key=lambda session: session.generation)
        if last.boot_id != boot_id and any(session.boot_id == boot_id for session in past):
            return Greeting.QUARANTINED
    return Greeting.WELCOME


class Ref(NamedTuple):
    """A lease as both sides name it."""

    camera_id: CameraId
    epoch: LeaseEpoch


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of leases at a Hello.

    Attributes:
        keep: still this worker's, in the order that it named them.
        drop: it named them, and they are not.
        end: the registry thought that it held them, and it does not say so.
    """

    keep: tuple[Ref, ...]
    drop: tuple[Ref, ...]
    end: tuple[Ref, ...]


def settle(held: Iterable[Ref], owned: Collection[Ref]) -> Settlement:
    """Compares what a worker says that it holds with what it was granted and has not expired."""
    named = tuple(dict.fromkeys(held))
    return Settlement(
        keep=tuple(ref for ref in named if ref in owned),
        drop=tuple(ref for ref in named if ref not in owned),
        end=tuple(sorted(ref for ref in owned if ref not in named)),
    )
