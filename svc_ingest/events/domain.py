"""Whether an event is believed, what becomes of it, and whether its picture is wanted. Pure.

An event is judged twice by the same function: before it is matched, and again in the transaction that writes it. In
between, a lease may have ended, a camera may be gone, or a replay of the event may have been faster.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
        quarantined: it was quarantined first, whatever became of it since.
        discarded: it was quarantined, and somebody threw it away.
        verdict, customer_id, staff_id, similarity, visit_id: of today; all None while it is quarantined.
        has_image: its picture is in the image store.
    """

    camera_id: CameraId
    worker_id: WorkerId | None
    lease_epoch: LeaseEpoch
    capture_time: datetime
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


# -- the judgement ---------------------------------------------------------------------------------------------------


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


def judge(sighting: Sighting, grounds: Grounds, sender: Sender, limits: Limits, now: datetime) -> Refusal | None:
    """Why the event is not taken; None when it is. Only for events that are not stored yet.

    Args:
        now: the server's clock.
    """
    if grounds.erased:
        return Refusal(Reason.PERSON_ERASED, "the person was erased")
    camera = grounds.camera
    if camera is None or not _may_name(camera, grounds.epoch, sender):
        return refuse(Reason.NOT_FOUND, "camera_id", "there is no such camera")
    return (
        _judge_sender(sighting, sender)
        or _judge_time(sighting, camera, limits, now)
        or _judge_privacy(sighting, camera)
        or _judge_camera(sighting, camera, grounds.epoch, sender, limits)
        or _judge_lease(sighting, camera, grounds.epoch, sender, limits)
    )


def _may_name(camera: Camera, epoch: Epoch | None, sender: Sender) -> bool:
    """A worker knows of the cameras at its sites, and of those that were ever leased to it."""
    if sender.site_ids is None or camera.site_id in sender.site_ids:
        return True
    return epoch is not None and epoch.worker_id == sender.worker_id


def _judge_sender(sighting: Sighting, sender: Sender) -> Refusal | None:
    if sender.worker_id is not None:
        if sighting.lease_epoch < 1:
            return refuse(Reason.INVALID_FIELD, "lease_epoch", "a worker's events name the epoch of its lease")
        return None
    if sender.camera_ids is None or sighting.camera_id not in sender.camera_ids:
        return refuse(Reason.CAMERA_NOT_ALLOWED, "camera_id", "the API key does not name this camera")
    if sighting.lease_epoch != 0:
        return refuse(Reason.INVALID_FIELD, "lease_epoch", "must be 0: an API key without a worker holds no leases")
    return None


def _judge_time(sighting: Sighting, camera: Camera, limits: Limits, now: datetime) -> Refusal | None:
    if sighting.capture_time > now + limits.future:
        return refuse(Reason.CAPTURE_TIME_IN_FUTURE, "capture_time", "lies in the future")
    if sighting.track_end_time > now + limits.future:
        return refuse(Reason.CAPTURE_TIME_IN_FUTURE, "track_end_time", "lies in the future")
    if sighting.capture_time < now - camera.embedding_retention:
        return refuse(Reason.CAPTURE_TIME_TOO_OLD, "capture_time", "lies before the tenant's retention")
    return None


def _judge_privacy(sighting: Sighting, camera: Camera) -> Refusal | None:
    has_embedding = sighting.face.vector is not None
    if camera.privacy_mode is PrivacyMode.ANONYMOUS:
        if has_embedding or sighting.face.sample_vector is not None:
            return refuse(Reason.PRIVACY_MODE_FORBIDS, "embedding", "the site's privacy mode allows none")
        return None
    if not has_embedding:
        return refuse(Reason.INVALID_FIELD, "embedding", "is required")
    return None


def _judge_camera(
    sighting: Sighting, camera: Camera, epoch: Epoch | None, sender: Sender, limits: Limits
) -> Refusal | None:
    if camera.delete_time is not None and sighting.capture_time > camera.delete_time + limits.lease_skew:
        return refuse(Reason.NOT_FOUND, "camera_id", "there is no such camera")
    if camera.enabled or camera.delete_time is not None:
        return None
    # Disabling a camera ends its lease. What was captured under the lease that this ended is as true as ever.
    ended = epoch is not None and epoch.end_time is not None and epoch.worker_id == sender.worker_id
    if ended and _covers(epoch, sighting, camera, limits):
        return None
    return refuse(Reason.CAMERA_DISABLED, "camera_id", "the camera was disabled")


def _judge_lease(
    sighting: Sighting, camera: Camera, epoch: Epoch | None, sender: Sender, limits: Limits
) -> Refusal | None:
    if sender.worker_id is None:
        return None
    if epoch is None or epoch.worker_id != sender.worker_id:
        return _hold(Reason.LEASE_EPOCH_STALE, "lease_epoch", "was not granted to this worker")
    if not _covers(epoch, sighting, camera, limits):
        return _hold(Reason.LEASE_EPOCH_STALE, "lease_epoch", "was not the camera's epoch at capture_time")
    uncertainty = timedelta(milliseconds=sighting.clock_uncertainty_ms)
    if not camera.recorded and uncertainty > limits.clock_uncertainty:
        return _hold(Reason.CLOCK_UNCERTAIN, "clock_uncertainty_ms", "the agent was too unsure of its clock")
    return None


def _covers(epoch: Epoch | None, sighting: Sighting, camera: Camera, limits: Limits) -> bool:
    """Whether the epoch was in force at capture_time. Recorded footage is held to the epoch, not to its time."""
    if epoch is None:
        return False
    if camera.recorded:
        return True
    begun = sighting.capture_time >= epoch.grant_time - limits.lease_skew
    ended = epoch.end_time is not None and sighting.capture_time > epoch.end_time + limits.lease_skew
    return begun and not ended


def _hold(reason: Reason, path: str, description: str) -> Refusal:
    return Refusal(reason, f"{path}: {description}", (Violation(path, description),), hold=True)


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


def refused(refusal: Refusal) -> Outcome:
    """The outcome of an event that is not taken."""
    return Outcome(Status.QUARANTINED if refusal.hold else Status.REJECTED, refusal=refusal)


def duplicate(sighting: Sighting, earlier: Earlier, sender: Sender) -> Outcome:
    """The outcome of an event whose id is stored already: its first answer, or a refusal if it is another event."""
    same = (earlier.camera_id, earlier.worker_id, earlier.lease_epoch, earlier.capture_time) == (
        sighting.camera_id,
        sender.worker_id,
        sighting.lease_epoch,
        sighting.capture_time,
    )
    if not same:
        return _reused()
    return Outcome(
        Status.DUPLICATE,
        first_status=Status.QUARANTINED if earlier.quarantined else Status.ACCEPTED,
        verdict=earlier.verdict,
        person_id=earlier.customer_id or earlier.staff_id,
        similarity=earlier.similarity,
        visit_id=earlier.visit_id if earlier.counts else None,
    )


def repeated(sighting: Sighting, first: Sighting, outcome: Outcome) -> Outcome:
    """The outcome of an event whose id stood earlier in the same batch, and whose `outcome` that was."""
    if replace(sighting, snapshot=None) != replace(first, snapshot=None):
        return _reused()
    if outcome.status in (Status.ACCEPTED, Status.QUARANTINED):
        return replace(outcome, status=Status.DUPLICATE, first_status=outcome.status, refusal=None)
    return outcome


def _reused() -> Outcome:
    return refused(refuse(Reason.REQUEST_ID_REUSED, "id", "was used by another event"))


def wants_picture(camera: Camera, verdict: Verdict | None, capture_time: datetime, now: datetime) -> bool:
    """Whether a picture of the event may be kept.

    Args:
        verdict: None while the event is quarantined: the picture helps whoever decides about it.
    """
    if camera.privacy_mode is not PrivacyMode.FULL:
        return False
    if verdict not in (None, Verdict.MATCHED, Verdict.ENROLLED):
        return False  # it counts for nobody
    return picture_expiry(camera, capture_time) > now


def picture_expiry(camera: Camera, capture_time: datetime) -> datetime:
    """When the raw image's time is over."""
    return capture_time + camera.image_retention


def keeps_embedding(camera: Camera, capture_time: datetime, now: datetime) -> bool:
    """Whether the event's own embedding is written: for the raw image's life, and never in mode SAME_DAY."""
    return (
        camera.privacy_mode in (PrivacyMode.FULL, PrivacyMode.NO_SNAPSHOTS)
        and picture_expiry(camera, capture_time) > now
    )
