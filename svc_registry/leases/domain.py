"""The rules of leases: their life, the policy that they are granted under, and which worker gets which camera. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from mesh.ids import CameraId, LeaseEpoch, SiteId, WorkerId
from svc_registry.directory.cameras.domain import OutagePolicy

PARKED_FOR: Final = timedelta(hours=1)
FAILURES_TO_PARK: Final = 3  # on three workers, or three times on the only one


class LeaseState(StrEnum):
    """Where in its life a lease is."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    RELEASING = "RELEASING"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


# A lease begins PENDING (another worker still watches) or ACTIVE (nobody does).
BEGINNINGS: Final = frozenset({LeaseState.PENDING, LeaseState.ACTIVE})
TRANSITIONS: Final[Mapping[LeaseState, frozenset[LeaseState]]] = MappingProxyType(
    {
        LeaseState.PENDING: frozenset({LeaseState.ACTIVE, LeaseState.EXPIRED, LeaseState.REJECTED}),
        LeaseState.ACTIVE: frozenset({LeaseState.RELEASING, LeaseState.RELEASED, LeaseState.EXPIRED}),
        LeaseState.RELEASING: frozenset({LeaseState.RELEASED, LeaseState.EXPIRED}),
        LeaseState.RELEASED: frozenset(),
        LeaseState.EXPIRED: frozenset(),
        LeaseState.REJECTED: frozenset(),
    }
)
HOLDING: Final = frozenset({LeaseState.ACTIVE, LeaseState.RELEASING})  # a worker watches under an epoch


class LeaseTransitionError(Exception):
    """A lease was to go where no lease goes: a bug."""


def move(before: LeaseState, after: LeaseState) -> LeaseState:
    """`after`, if a lease may go there from `before`.

    Raises:
        LeaseTransitionError: it may not.
    """
    if after not in TRANSITIONS[before]:
        msg = f"a lease does not go from {before} to {after}"
        raise LeaseTransitionError(msg)
    return after


class EndReason(StrEnum):
    """Why an epoch ended."""

    RELEASED = "RELEASED"  # its worker gave it back
    GIVEN_UP = "GIVEN_UP"  # its worker could not watch
    NOT_HELD = "NOT_HELD"  # its worker came back without it
    EXPIRED = "EXPIRED"  # the ttl passed
    FLIPPED = "FLIPPED"  # a successor was ready
    REGRANTED = "REGRANTED"  # the same worker watches on under another policy
    CAMERA_DISABLED = "CAMERA_DISABLED"  # … or its tenant deleted
    CAMERA_DELETED = "CAMERA_DELETED"
    WORKER_REMOVED = "WORKER_REMOVED"
    WORKER_OUT_OF_SERVICE = "WORKER_OUT_OF_SERVICE"  # maintenance, or quarantine


def ended_state(reason: EndReason) -> LeaseState:
    """What a lease is whose epoch ended so."""
    return LeaseState.EXPIRED if reason is EndReason.EXPIRED else LeaseState.RELEASED


# -- policy -----------------------------------------------------------------------------------------------------------


def outage_policy(chosen: OutagePolicy | None, workers_at_site: int) -> OutagePolicy:
    """What a lease is granted under: what the camera says, else PINNED where nobody could take over."""
    if chosen is not None:
        return chosen
    return OutagePolicy.PINNED if workers_at_site <= 1 else OutagePolicy.FAILOVER


# -- placement --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that wants a worker.

    Attributes:
        frame_rate: frames per second that it costs.
        pinned_worker_id: the only worker that may watch it; None: any of its site.
        failures: how often each worker gave it up since it last worked.
    """

    id: CameraId
    site_id: SiteId
    frame_rate: float
    pinned_worker_id: WorkerId | None = None
    failures: Mapping[WorkerId, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker that takes cameras now.

    Attributes:
        any_site: it serves other sites' cameras, too.
        slots: cameras that it is willing to watch at once.
        held: cameras that it watches, or is about to.
        spare_frame_rate: frames per second that it can still analyse beyond its present load.
    """

    id: WorkerId
    site_id: SiteId
    slots: int
    held: int
    spare_frame_rate: float
    any_site: bool = False

    @property
    def has_room(self) -> bool:
        """A camera fits when both remain, slots and frame rate."""
        return self.held < self.slots and self.spare_frame_rate > 0

    def with_camera(self, camera: Camera) -> Candidate:
        """The worker once it watches one more."""
        return replace(self, held=self.held + 1, spare_frame_rate=self.spare_frame_rate - camera.frame_rate)


def may_watch(worker: Candidate, camera: Camera) -> bool:
    """Whether a worker is allowed to watch a camera, room or not."""
    if camera.pinned_worker_id is not None:
        return worker.id == camera.pinned_worker_id
    return worker.any_site or worker.site_id == camera.site_id


def choose(camera: Camera, workers: Iterable[Candidate]) -> WorkerId | None:
    """The worker that a camera goes to: among those with room the one that failed least on it, then the least loaded.

    None when there is no room anywhere. The same input always gives the same answer.
    """
    fitting = [worker for worker in workers if worker.has_room and may_watch(worker, camera)]
    if not fitting:
        return None

    def order(worker: Candidate) -> tuple[int, float, float, int]:
        failed = camera.failures.get(worker.id, 0)
        return failed, worker.held / worker.slots, -worker.spare_frame_rate, worker.id.int

    return min(fitting, key=order).id


def assign(cameras: Sequence[Camera], workers: Iterable[Candidate]) -> dict[CameraId, WorkerId]:
    """Places cameras that nobody watches, one after another, each counting for the next.

    A camera that is not in the answer has to wait.
    """
    room = {worker.id: worker for worker in workers}
    placed: dict[CameraId, WorkerId] = {}
    for camera in cameras:
        chosen = choose(camera, room.values())
        if chosen is not None:
            placed[camera.id] = chosen
            room[chosen] = room[chosen].with_camera(camera)
    return placed


def is_to_be_parked(failures: Mapping[WorkerId, int]) -> bool:
    """Whether a camera has been given up so often that it is left alone for an hour."""
    return sum(failures.values()) >= FAILURES_TO_PARK


# -- what has to change -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """A lease under which somebody watches, with what decides about its end.

    Attributes:
        expired: its ttl has passed on the database's clock; never true of a PINNED one.
        wanted: its camera is there, enabled, and its tenant lives.
        worker_gone: its worker is deleted, or has no key that is good.
        worker_out: its worker is in maintenance or quarantined.
        newer_session: its worker has begun a session that did not keep it.
        session_lives: the session under which it was renewed is alive.
        wanted_policy: what it would be granted under now.
        generation: of that session.
        draining: its worker gives its cameras away.
    """

    camera_id: CameraId
    epoch: LeaseEpoch
    worker_id: WorkerId
    policy: OutagePolicy
    wanted_policy: OutagePolicy
    expired: bool = False
    wanted: bool = True
    worker_gone: bool = False
    worker_out: bool = False
    newer_session: bool = False
    session_lives: bool = True
    generation: int = 0
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """A camera about which something may have to be decided.

    Attributes:
        wanted_policy: what a lease of it would be granted under.
        epoch: the last one granted; 0: none ever was.
        held: its living lease; None: nobody watches it.
        successor_worker_id: who holds a PENDING lease of it.
    """

    camera: Camera
    wanted_policy: OutagePolicy
    epoch: LeaseEpoch
    held: Held | None = None
    successor_worker_id: WorkerId | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to change.

    Attributes:
        ends: leases that end, and why.
        regrants: leases that go on under a new epoch and policy, of the same worker.
        grants: cameras that nobody watches → who shall.
        moves: cameras that leave a worker which answers → who shall be ready first.
    """

    ends: Sequence[tuple[Held, EndReason]] = ()
    regrants: Sequence[Held] = ()
    grants: Mapping[CameraId, WorkerId] = field(default_factory=dict)
    moves: Mapping[CameraId, WorkerId] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ends or self.regrants or self.grants or self.moves)


def decide(situations: Sequence[Situation], workers: Iterable[Candidate], *, may_expire: bool) -> Plan:
    """From what is so to what has to change; nothing, once it is as it should be.

    Args:
        situations: in the order in which cameras are placed.
        workers: those that take cameras.
        may_expire: as for `end_of`.
    """
    ends: list[tuple[Held, EndReason]] = []
    regrants: list[Held] = []
    free: list[Camera] = []
    leaving: list[tuple[Camera, WorkerId]] = []
    for situation in situations:
        held = situation.held
        if held is None:
            free.append(situation.camera)
        elif (reason := end_of(held, may_expire=may_expire)) is not None:
            ends.append((held, reason))
            if held.wanted:
                free.append(situation.camera)
        elif is_to_be_regranted(held):
            regrants.append(held)
        elif held.draining and situation.successor_worker_id is None:
            leaving.append((situation.camera, held.worker_id))
    room = list(workers)
    grants = assign(free, room)
    taken = {camera.id: camera for camera in free}
    for camera_id, worker_id in grants.items():
        room = [w.with_camera(taken[camera_id]) if w.id == worker_id else w for w in room]
    moves = {}
    for camera, holder in leaving:
        chosen = choose(camera, [worker for worker in room if worker.id != holder])
        if chosen is not None:
            moves[camera.id] = chosen
            room = [w.with_camera(camera) if w.id == chosen else w for w in room]
    return Plan(ends, regrants, grants, moves)


def end_of(lease: Held, *, may_expire: bool) -> EndReason | None:
    """Why a lease has to end now; None: it goes on.

    Args:
        may_expire: some replica has renewed for one unbroken ttl: only then does silence tell anything.
    """
    if not lease.wanted:
        return EndReason.CAMERA_DISABLED
    if lease.worker_gone:
        return EndReason.WORKER_REMOVED
    if lease.worker_out:
        return EndReason.WORKER_OUT_OF_SERVICE
    if lease.newer_session:
        return EndReason.NOT_HELD
    if lease.expired and may_expire:
        return EndReason.EXPIRED
    return None


def is_to_be_regranted(lease: Held) -> bool:
    """Whether a lease changes its policy, which it does by a new epoch for the same worker.

    Its holder acts on what it was told, so one that does not listen keeps what it has: a PINNED camera of a silent
    worker is being watched, and would be lost to a FAILOVER that its worker knows nothing of.
    """
    return lease.policy is not lease.wanted_policy and lease.session_lives and not lease.expired
