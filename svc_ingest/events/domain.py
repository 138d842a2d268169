"""Events, what is known of them, and what can become of them. What follows from what stands in judgement.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto

from mesh.ids import (
    CameraId,
    CustomerId,
    EmbeddingId,
    EventId,
    LeaseEpoch,
    SiteId,
    StaffId,
    TenantId,
    VisitId,
    WorkerId,
)

# -- an event as it comes --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Face:
    """What was measured and computed of the best shot.

    Attributes:
        quality: overall, in [0, 1].
        detection_score: in [0, 1].
        face_pixels: the shorter side of the box.
        yaw_degrees: None when the model does not tell.
        box: left, top, width, height in fractions of the frame.
        gender: the contract's word without its prefix; None when nobody knows.
        space: of both vectors; None without an embedding.
        vector: 512 little-endian float32 of norm 1.
        sample_vector: of another frame of the same track, on a sample of events.
        staff_hint_id: whom the agent's gallery recognised.
    """

    quality: float
    detection_score: float
    face_pixels: int
    yaw_degrees: float | None
    box: tuple[float, float, float, float]
    gender: str | None = None
    space: str | None = None
    vector: bytes | None = field(default=None, repr=False)
    sample_vector: bytes | None = field(default=None, repr=False)
    staff_hint_id: StaffId | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """One event, well-formed.

    Attributes:
        event_id: UUIDv7 of capture_time.
        lease_epoch: 0 from an integrator.
        track_start_time, track_end_time: around capture_time.
        clock_offset_ms, clock_uncertainty_ms: of the agent's clock at capture.
        snapshot: a JPEG, not looked at yet.
        payload: the event as sent, without its snapshot: what quarantine keeps.
        body_hash: sha256 of that: another event under the same id is told by it.
    """

    event_id: EventId
    camera_id: CameraId
    lease_epoch: LeaseEpoch
    capture_time: datetime
    track_start_time: datetime
    track_end_time: datetime
    clock_offset_ms: int
    clock_uncertainty_ms: int
    face: Face
    snapshot: bytes | None = field(default=None, repr=False)
    payload: bytes = field(default=b"", repr=False)
    body_hash: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent it, by the token.

    Attributes:
        worker_id: None for an integrator.
        camera_ids: the cameras that an integrator's key names.
        site_ids: the sites that a worker is held to; None: all of the tenant.
    """

    tenant_id: TenantId
    worker_id: WorkerId | None = None
    camera_ids: frozenset[CameraId] | None = None
    site_ids: frozenset[SiteId] | None = None


# -- what is known when it is judged ---------------------------------------------------------------------------------


class PrivacyMode(StrEnum):
    """What may be kept of a face at a site."""

    FULL = "FULL"
    NO_SNAPSHOTS = "NO_SNAPSHOTS"
    SAME_DAY = "SAME_DAY"
    ANONYMOUS = "ANONYMOUS"


@dataclass(frozen=True, slots=True)
class Camera:
    """The event's camera, and the rules of its site and tenant.

    Attributes:
        recorded: its source is a film or a folder of them: capture times lie in the recording.
        delete_time: when it was taken away.
        image_retention, embedding_retention: of the tenant.
    """

    site_id: SiteId
    privacy_mode: PrivacyMode
    recorded: bool = False
    enabled: bool = True
    delete_time: datetime | None = None
    image_retention: timedelta = timedelta(days=30)
    embedding_retention: timedelta = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Epoch:
    """The grant of the lease that the event names.

    Attributes:
        end_time: None while it runs.
    """

    worker_id: WorkerId
    grant_time: datetime
    end_time: datetime | None = None


class Verdict(StrEnum):
    """Who a face was taken for."""

    MATCHED = "MATCHED"
    ENROLLED = "ENROLLED"
    STAFF = "STAFF"
    UNDECIDED = "UNDECIDED"
    ANONYMOUS = "ANONYMOUS"


class Reason(StrEnum):
    """Why an event or a picture is refused: the contract's ErrorReason without its prefix (a test compares them)."""

    INVALID_FIELD = "INVALID_FIELD"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    NOT_FOUND = "NOT_FOUND"
    CAMERA_NOT_ALLOWED = "CAMERA_NOT_ALLOWED"
    CAMERA_DISABLED = "CAMERA_DISABLED"
    CAPTURE_TIME_IN_FUTURE = "CAPTURE_TIME_IN_FUTURE"
    CAPTURE_TIME_TOO_OLD = "CAPTURE_TIME_TOO_OLD"
    LEASE_EPOCH_STALE = "LEASE_EPOCH_STALE"
    CLOCK_UNCERTAIN = "CLOCK_UNCERTAIN"
    PRIVACY_MODE_FORBIDS = "PRIVACY_MODE_FORBIDS"
    PERSON_ERASED = "PERSON_ERASED"
    EMBEDDING_INVALID = "EMBEDDING_INVALID"
    EMBEDDING_SPACE_UNKNOWN = "EMBEDDING_SPACE_UNKNOWN"
    SNAPSHOT_INVALID = "SNAPSHOT_INVALID"
    IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is stored under the event's id already.

    Attributes:
        body_hash: of the event as it came first; None where it was not kept.
        quarantined: it was quarantined first, whatever became of it since.
        discarded: it was quarantined, and somebody threw it away.
        verdict, customer_id, staff_id, similarity, visit_id: of today; all None while it is quarantined.
        has_image: its picture is in the image store.
    """

    camera_id: CameraId
    worker_id: WorkerId | None
    lease_epoch: LeaseEpoch
    capture_time: datetime
    body_hash: bytes | None = None
    quarantined: bool = False
    discarded: bool = False
    verdict: Verdict | None = None
    customer_id: CustomerId | None = None
    staff_id: StaffId | None = None
    similarity: float | None = None
    visit_id: VisitId | None = None
    counts: bool = True
    has_image: bool = False


@dataclass(frozen=True, slots=True)
class Grounds:
    """What an event is judged by, all read at one instant.

    Attributes:
        camera: None: the tenant has no such camera, and never had.
        epoch: None: never granted.
        earlier: None: not seen before.
        erased: its id is a tombstone.
    """

    camera: Camera | None = None
    epoch: Epoch | None = None
    earlier: Earlier | None = None
    erased: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How far clocks may disagree.

    Attributes:
        future: captured so much later than our own clock says is still believed.
        lease_skew: around the beginning and the end of an epoch.
        clock_uncertainty: an agent that is less sure of its clock is not believed.
    """

    future: timedelta = timedelta(seconds=60)
    lease_skew: timedelta = timedelta(seconds=5)
    clock_uncertainty: timedelta = timedelta(seconds=60)


# -- why not ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Violation:
    """One field at fault, by its path from the event's root."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event (or a picture) is not taken, and what is done with it.

    Attributes:
        hold: it is quarantined rather than rejected: it may be true.
    """

    reason: Reason
    message: str
    violations: tuple[Violation, ...] = ()
    hold: bool = False


def refuse(reason: Reason, path: str, description: str) -> Refusal:
    """A rejection for one field."""
    return Refusal(reason, f"{path}: {description}", (Violation(path, description),))


# -- what became of it -----------------------------------------------------------------------------------------------


class Status(Enum):
    """What became of an event. Every one is durable."""

    ACCEPTED = auto()
    DUPLICATE = auto()
    REJECTED = auto()
    QUARANTINED = auto()


class Picture(Enum):
    """What became of a snapshot."""

    NONE = auto()
    STORED = auto()
    NOT_KEPT = auto()
    REFUSED = auto()
    PENDING = auto()


@dataclass(frozen=True, slots=True)
class PictureOutcome:
    """What became of a snapshot, and why when it was REFUSED."""

    picture: Picture = Picture.NONE
    refusal: Refusal | None = None


NO_PICTURE = PictureOutcome()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event.

    Attributes:
        first_status: for DUPLICATE: ACCEPTED or QUARANTINED.
        refusal: for REJECTED and QUARANTINED.
        verdict, person_id, similarity, visit_id: for ACCEPTED, and for a DUPLICATE of one.
    """

    status: Status
    first_status: Status | None = None
    refusal: Refusal | None = None
    verdict: Verdict | None = None
    person_id: CustomerId | StaffId | None = None
    similarity: float | None = None
    visit_id: VisitId | None = None
    picture: PictureOutcome = NO_PICTURE


@dataclass(frozen=True, slots=True)
class Decision:
    """Who a face was taken for, as matching decided.

    Attributes:
        verdict: None: it must not be matched, and `refusal` says why.
        customer_id: for MATCHED and ENROLLED; staff_id for STAFF.
        embedding_id: the gallery's embedding that it matched, or founded.
        similarity: of the best candidate, in [-1, 1].
        threshold: that decided.
    """

    verdict: Verdict | None
    customer_id: CustomerId | None = None
    staff_id: StaffId | None = None
    embedding_id: EmbeddingId | None = None
    similarity: float | None = None
    threshold: float | None = None
    refusal: Refusal | None = None


NOBODY_ASKED = Decision(Verdict.ANONYMOUS)
