"""The rules of leases as the worker keeps them, pure: what to watch now, and when to stop.

The registry's word is a level, not an edge: `Desired` tells everything, whole. What the worker watches follows from the
last `Desired` and from which leases were renewed, and is computed anew after every message and every deadline.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from mesh.ids import CameraId, LeaseEpoch

Plan = TypeVar("Plan")
"""How to watch a camera: source and settings. The rules only ask whether two plans are the same."""


class Phase(Enum):
    """What a lease asks for."""

    PENDING = auto()
    """Open the source and emit nothing: another worker still watches."""
    ACTIVE = auto()
    """Watch."""
    RELEASING = auto()
    """Watch until it leaves `Desired` or its deadline passes."""


class Policy(Enum):
    """What to do when the registry is silent."""

    FAILOVER = auto()
    """Stop: another worker takes over."""
    PINNED = auto()
    """Go on and spool: nobody else can reach the camera."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A lease by name."""

    camera_id: CameraId
    epoch: LeaseEpoch


@dataclass(frozen=True, slots=True)
class Lease(Generic[Plan]):
    """One camera as the registry wants it."""

    camera_id: CameraId
    phase: Phase
    epoch: LeaseEpoch
    """0 while PENDING."""
    policy: Policy
    plan: Plan
    paused: bool = False
    release_deadline: datetime | None = None
    """For RELEASING; server time."""

    @property
    def ref(self) -> Ref:
        """Its name."""
        return Ref(self.camera_id, self.epoch)


@dataclass(frozen=True, slots=True)
class Watch(Generic[Plan]):
    """What to do with one camera now."""

    plan: Plan
    epoch: LeaseEpoch | None
    """To emit events under; None: emit nothing."""
    paused: bool = False
    """Hold the source open without looking."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What Welcome said, in seconds."""

    heartbeat: float = 5.0
    stop_after: float = 15.0
    ttl: float = 20.0


@dataclass(frozen=True, slots=True)
class Leases(Generic[Plan]):
    """Everything the worker knows about what it may watch. Times are seconds of its own clock that also runs asleep."""

    revision: int = 0
    """Of the last Desired of this session."""
    desired: Mapping[CameraId, Lease[Plan]] = field(default_factory=lambda: MappingProxyType({}))
    deadlines: Mapping[Ref, float] = field(default_factory=lambda: MappingProxyType({}))
    """Of leases that were renewed in their life: when a FAILOVER one must stop."""
    timing: Timing = Timing()


NOTHING: Final[int] = 0


def welcomed(leases: Leases[Plan], keep: Collection[Ref], timing: Timing) -> Leases[Plan]:
    """A new session has begun: what was held and is not kept stops at once.

    The next Desired counts, whatever its revision. A kept lease keeps the deadline that it had: only a heartbeat's
    answer renews.
    """
    kept = set(keep)
    desired = {camera: lease for camera, lease in leases.desired.items() if lease.ref in kept}
    deadlines = {ref: deadline for ref, deadline in leases.deadlines.items() if ref in kept}
    return Leases(NOTHING, MappingProxyType(desired), MappingProxyType(deadlines), timing)


def desired(leases: Leases[Plan], revision: int, wanted: Sequence[Lease[Plan]]) -> Leases[Plan]:
    """The registry told everything anew. An older telling than the last is ignored."""
    if revision < leases.revision:
        return leases
    by_camera = {lease.camera_id: lease for lease in wanted}
    named = {lease.ref for lease in wanted}
    deadlines = {ref: deadline for ref, deadline in leases.deadlines.items() if ref in named}
    return replace(
        leases, revision=revision, desired=MappingProxyType(by_camera), deadlines=MappingProxyType(deadlines)
    )


def renewed(leases: Leases[Plan], refs: Collection[Ref], sent_at: float) -> Leases[Plan]:
    """A heartbeat was answered. Deadlines count from its *sending*; an answer never shortens one.

    A lease that the answer does not name was not renewed: the safe reading of silence.
    """
    held = {lease.ref for lease in leases.desired.values() if lease.phase is not Phase.PENDING}
    until = sent_at + leases.timing.stop_after
    fresh = {ref: max(until, leases.deadlines.get(ref, until)) for ref in refs if ref in held}
    return replace(leases, deadlines=MappingProxyType({**leases.deadlines, **fresh}))


def given_up(leases: Leases[Plan], camera_id: CameraId) -> Leases[Plan]:
    """The worker cannot watch this camera and gives its lease back; until the registry wants it anew, it is gone."""
    others = {camera: lease for camera, lease in leases.desired.items() if camera != camera_id}
    deadlines = {ref: deadline for ref, deadline in leases.deadlines.items() if ref.camera_id != camera_id}
    return replace(leases, desired=MappingProxyType(others), deadlines=MappingProxyType(deadlines))


def is_alive(leases: Leases[Plan], ref: Ref, now: float) -> bool:
    """Whether events may be captured under this lease at `now`."""
    lease = leases.desired.get(ref.camera_id)
    deadline = leases.deadlines.get(ref)
    if lease is None or lease.ref != ref or deadline is None:
        return False
    return lease.policy is Policy.PINNED or now < deadline


def to_watch(
    leases: Leases[Plan], now: float, server_time: datetime, opened: Collection[CameraId] = ()
) -> dict[CameraId, Watch[Plan]]:
    """What to do with each camera at `now`; one that is not named is to be let go.

    `opened`: cameras whose source is open. A lease that waits for its first renewal starts nothing, and closes nothing
    either: in a hand-over the source stays open while the epoch changes.
    """
    watches: dict[CameraId, Watch[Plan]] = {}
    for camera, lease in leases.desired.items():
        match lease.phase:
            case Phase.PENDING:
                watches[camera] = Watch(lease.plan, None)
            case Phase.RELEASING if lease.release_deadline is not None and server_time >= lease.release_deadline:
                continue
            case _ if is_alive(leases, lease.ref, now):
                watches[camera] = Watch(lease.plan, lease.epoch, lease.paused)
            case _ if lease.ref not in leases.deadlines and camera in opened:
                watches[camera] = Watch(lease.plan, None)
    return watches


def to_renew(leases: Leases[Plan]) -> list[Ref]:
    """The leases that a heartbeat names: every one with an epoch, also those that were not renewed yet or any more."""
    return [lease.ref for lease in leases.desired.values() if lease.phase is not Phase.PENDING]


def held(leases: Leases[Plan], now: float) -> list[Ref]:
    """What Hello tells: leases that live by the worker's own clock, and those it spools for."""
    return [ref for ref in to_renew(leases) if is_alive(leases, ref, now)]


def awaits_renewal(leases: Leases[Plan], now: float) -> bool:
    """Whether some camera stands still until a heartbeat is answered: then the next one is sent at once."""
    return any(not is_alive(leases, ref, now) for ref in to_renew(leases))


def next_change(leases: Leases[Plan], now: float) -> float | None:
    """Seconds until the next deadline at which `to_watch` may change; None when there is none ahead."""
    ahead = [
        deadline - now
        for ref, deadline in leases.deadlines.items()
        if (lease := leases.desired.get(ref.camera_id)) and lease.policy is Policy.FAILOVER and deadline > now
    ]
    return min(ahead, default=None)


def reconnect_window(leases: Leases[Plan], now: float) -> float | None:
    """While a FAILOVER lease lives: seconds within which to reconnect, a third of what is left. Else None: back off.

    A PINNED lease has no hurry.
    """
    left = next_change(leases, now)
    return None if left is None else left / 3
