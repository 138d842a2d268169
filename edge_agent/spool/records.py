"""What goes into the spool and comes out of it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from mesh.ids import CameraId, EventId, LeaseEpoch


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait. Beyond it unsent snapshots go first, then the oldest events, counted."""

    max_events: int = 200_000
    max_bytes: int = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class NewEvent:
    """One event to keep until it is answered for."""

    id: EventId
    camera_id: CameraId
    epoch: LeaseEpoch
    capture_time: datetime
    """Aware, server time."""
    body: bytes = field(repr=False)
    """FaceDetected without its snapshot, serialised."""
    snapshot: bytes | None = field(default=None, repr=False)
    """JPEG."""


@dataclass(frozen=True, slots=True)
class SpooledEvent:
    """One event to send."""

    seq: int
    """Its place in the spool: grows with every event."""
    id: EventId
    body: bytes = field(repr=False)
    snapshot: bytes | None = field(repr=False)
    """None also when the spool had to let go of it."""

    @property
    def size(self) -> int:
        """Bytes on the wire, without framing."""
        return len(self.body) + len(self.snapshot or b"")


@dataclass(frozen=True, slots=True)
class SpooledSnapshot:
    """A picture whose event is durable and which is not durable itself."""

    seq: int
    event_id: EventId
    jpeg: bytes = field(repr=False)


class Verdict(StrEnum):
    """How an event ended. Every event that was stored ends in one of these, or is still spooled."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"


class SnapshotVerdict(StrEnum):
    """What to do with an event's snapshot."""

    LET_GO = "let_go"
    SEND_AGAIN = "send_again"


@dataclass(frozen=True, slots=True)
class Settlement:
    """One durable answer."""

    event_id: EventId
    verdict: Verdict
    reason: str = ""
    """Why, for REJECTED and QUARANTINED: the name of an ErrorReason."""
    snapshot: SnapshotVerdict = SnapshotVerdict.LET_GO


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where all went since the spool was made: stored = accepted + rejected + quarantined + evicted + spooled."""

    stored: int
    accepted: int
    rejected: int
    quarantined: int
    evicted: int
    spooled: int
    snapshots_dropped: int
    """Snapshots that a full spool let go of while their events stayed."""

    @property
    def balanced(self) -> bool:
        """Nothing is unaccounted for."""
        return self.stored == self.accepted + self.rejected + self.quarantined + self.evicted + self.spooled


@dataclass(frozen=True, slots=True)
class CameraBacklog:
    """What waits of one camera."""

    events: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits."""

    events: int
    bytes: int
    oldest: datetime | None
    """Capture time of the oldest event; None when nothing waits."""
    cameras: dict[CameraId, CameraBacklog]


@dataclass(frozen=True, slots=True)
class SliceKey:
    """Which quarter of an hour of which camera, counted by which boot."""

    boot_id: UUID
    camera_id: CameraId
    epoch: LeaseEpoch
    start_time: datetime
    """On a multiple of 15 minutes."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What was watched in it so far: totals that only grow."""

    key: SliceKey
    watched: timedelta = timedelta()
    frames: int = 0
    faces_seen: int = 0
    faces_usable: int = 0
    evicted: int = 0
    """Kept by the spool itself; ignored on the way in."""
