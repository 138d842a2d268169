"""Events between the contract and the domain: what comes in is validated one by one, what goes out is rendered."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import numpy as np
from footfall.ingest.v1 import event_pb2
from footfall.type.v1 import embedding_pb2, face_pb2, problem_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.auth import Caller
from mesh.ids import CameraId, EventId, LeaseEpoch, StaffId, uuid7_time
from mesh.interceptors.validation import violations
from svc_ingest.events.domain import (
    Face,
    Outcome,
    Picture,
    PictureOutcome,
    Reason,
    Refusal,
    Sender,
    Sighting,
    Status,
    Verdict,
    Violation,
    refuse,
)

NORM_TOLERANCE: Final = 1e-3
DIMENSION: Final = 512

_STATUSES: Final = {
    Status.ACCEPTED: event_pb2.FaceOutcome.STATUS_ACCEPTED,
    Status.DUPLICATE: event_pb2.FaceOutcome.STATUS_DUPLICATE,
    Status.REJECTED: event_pb2.FaceOutcome.STATUS_REJECTED,
    Status.QUARANTINED: event_pb2.FaceOutcome.STATUS_QUARANTINED,
}
_MATCHES: Final = {
    None: event_pb2.MATCH_UNSPECIFIED,
    Verdict.MATCHED: event_pb2.MATCH_KNOWN,
    Verdict.ENROLLED: event_pb2.MATCH_NEW,
    Verdict.STAFF: event_pb2.MATCH_STAFF,
    Verdict.UNDECIDED: event_pb2.MATCH_UNDECIDED,
    Verdict.ANONYMOUS: event_pb2.MATCH_ANONYMOUS,
}
_PICTURES: Final = {
    Picture.NONE: event_pb2.SNAPSHOT_STATUS_UNSPECIFIED,
    Picture.STORED: event_pb2.SNAPSHOT_STATUS_STORED,
    Picture.NOT_KEPT: event_pb2.SNAPSHOT_STATUS_NOT_KEPT,
    Picture.REFUSED: event_pb2.SNAPSHOT_STATUS_REFUSED,
    Picture.PENDING: event_pb2.SNAPSHOT_STATUS_PENDING,
}

# -- in --------------------------------------------------------------------------------------------------------------


def sender_of(caller: Caller) -> Sender:
    """Who sends, by the token. An API key of an integrator has no worker."""
    return Sender(
        tenant_id=caller.tenant,
        worker_id=caller.worker_id,
        camera_ids=caller.camera_ids,
        site_ids=caller.site_ids if caller.worker_id else None,
    )


def read_event(event: event_pb2.FaceDetected) -> Sighting | Refusal:
    """The event as the domain knows it, or the fields at fault.

    Everything that can be said without looking anything up is said here: the contract's rules, the embedding's numbers,
    and that the id's millisecond is capture_time's.
    """
    if found := violations(event):
        named = tuple(Violation(v.field, v.description) for v in found)
        return Refusal(Reason.INVALID_FIELD, "; ".join(f"{v.field}: {v.description}" for v in named), named)
    event_id = EventId(UUID(event.id))
    times = _times(event)
    if isinstance(times, Refusal):
        return times
    capture_time, track_start_time, track_end_time = times
    if uuid7_time(event_id) != capture_time.replace(microsecond=capture_time.microsecond // 1000 * 1000):
        return refuse(Reason.INVALID_FIELD, "id", "must be a UUIDv7 of capture_time's millisecond")
    face = _face(event)
    if isinstance(face, Refusal):
        return face
    payload = _without_snapshot(event)
    return Sighting(
        event_id=event_id,
        camera_id=CameraId(UUID(event.camera_id)),
        lease_epoch=LeaseEpoch(event.lease_epoch),
        capture_time=capture_time,
        track_start_time=track_start_time,
        track_end_time=track_end_time,
        clock_offset_ms=event.clock_offset_ms,
        clock_uncertainty_ms=event.clock_uncertainty_ms,
        face=face,
        snapshot=event.snapshot if event.HasField("snapshot") else None,
        payload=payload,
        body_hash=hashlib.sha256(payload).digest(),
    )


def read_snapshot(snapshot: event_pb2.FaceSnapshot) -> tuple[EventId, bytes] | Refusal:
    """The event's id and the picture, or the fields at fault."""
    if found := violations(snapshot):
        named = tuple(Violation(v.field, v.description) for v in found)
        return Refusal(Reason.INVALID_FIELD, "; ".join(f"{v.field}: {v.description}" for v in named), named)
    return EventId(UUID(snapshot.event_id)), snapshot.jpeg


def _times(event: event_pb2.FaceDetected) -> tuple[datetime, datetime, datetime] | Refusal:
    capture_time = _datetime(event.capture_time)
    if capture_time is None:
        return refuse(Reason.INVALID_FIELD, "capture_time", "is no instant")
    start = _datetime(event.track_start_time) if event.HasField("track_start_time") else capture_time
    if start is None:
        return refuse(Reason.INVALID_FIELD, "track_start_time", "is no instant")
    end = _datetime(event.track_end_time) if event.HasField("track_end_time") else capture_time
    if end is None:
        return refuse(Reason.INVALID_FIELD, "track_end_time", "is no instant")
    return capture_time, start, end


def _datetime(timestamp: Timestamp) -> datetime | None:
    """To the microsecond. None: outside of the years 1 to 9999, or with more than a second of nanoseconds."""
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _face(event: event_pb2.FaceDetected) -> Face | Refusal:
    has_sample = event.HasField("sample_embedding")
    if event.HasField("embedding"):
        if wrong := _vector_fault(event.embedding):
            return refuse(Reason.EMBEDDING_INVALID, "embedding.vector", wrong)
        if has_sample and event.sample_embedding.space != event.embedding.space:
            return refuse(Reason.INVALID_FIELD, "sample_embedding.space", "must be the embedding's")
    elif has_sample:
        return refuse(Reason.INVALID_FIELD, "sample_embedding", "comes only beside an embedding")
    if has_sample and (wrong := _vector_fault(event.sample_embedding)):
        return refuse(Reason.EMBEDDING_INVALID, "sample_embedding.vector", wrong)
    quality, box = event.quality, event.box
    return Face(
        quality=quality.overall,
        detection_score=quality.detection_score,
        face_pixels=quality.face_pixels,
        yaw_degrees=quality.yaw_degrees if quality.HasField("yaw_degrees") else None,
        box=(box.left, box.top, box.width, box.height),
        gender=face_pb2.Gender.Name(event.gender).removeprefix("GENDER_") if event.gender else None,
        space=event.embedding.space if event.HasField("embedding") else None,
        vector=event.embedding.vector if event.HasField("embedding") else None,
        sample_vector=event.sample_embedding.vector if has_sample else None,
        staff_hint_id=StaffId(UUID(event.staff_hint_id)) if event.HasField("staff_hint_id") else None,
    )


def _vector_fault(embedding: embedding_pb2.Embedding) -> str | None:
    """What is wrong with the numbers; its length has been validated."""
    vector = np.frombuffer(embedding.vector, dtype="<f4")
    with np.errstate(over="ignore", invalid="ignore"):
        norm = float(np.sqrt(np.dot(vector, vector)))
    if not np.isfinite(norm):  # one number that is not finite, or too great to be squared, shows in the sum
        return f"must be {DIMENSION} finite numbers"
    if abs(norm - 1) > NORM_TOLERANCE:
        return f"must have norm 1 (within {NORM_TOLERANCE}), not {norm:.4g}"
    return None


def _without_snapshot(event: event_pb2.FaceDetected) -> bytes:
    """What quarantine keeps; only made into bytes, so cheap enough for every event."""
    if not event.HasField("snapshot"):
        return event.SerializeToString()
    bare = event_pb2.FaceDetected()
    bare.CopyFrom(event)
    bare.ClearField("snapshot")
    return bare.SerializeToString()


# -- out -------------------------------------------------------------------------------------------------------------


def write_outcome(event_id: str, outcome: Outcome) -> event_pb2.FaceOutcome:
    """The answer to one event.

    Args:
        event_id: as sent.
    """
    picture = outcome.picture
    return event_pb2.FaceOutcome(
        event_id=event_id,
        status=_STATUSES[outcome.status],
        first_status=_STATUSES[outcome.first_status] if outcome.first_status else None,
        problem=write_problem(outcome.refusal) if outcome.refusal else None,
        visit_id=str(outcome.visit_id) if outcome.visit_id else None,
        match=_MATCHES[outcome.verdict],
        person_id=str(outcome.person_id) if outcome.person_id else None,
        similarity=outcome.similarity,
        snapshot_status=_PICTURES[picture.picture],
        snapshot_problem=write_problem(picture.refusal) if picture.refusal else None,
    )


def write_snapshot_outcome(event_id: str, outcome: PictureOutcome) -> event_pb2.SnapshotOutcome:
    """The answer to one snapshot that came alone."""
    return event_pb2.SnapshotOutcome(
        event_id=event_id,
        status=_PICTURES[outcome.picture],
        problem=write_problem(outcome.refusal) if outcome.refusal else None,
    )


def write_problem(refusal: Refusal) -> problem_pb2.Problem:
    """A refusal in the contract's words."""
    return problem_pb2.Problem(
        reason=problem_pb2.ErrorReason.Value(f"ERROR_REASON_{refusal.reason}"),
        message=refusal.message,
        violations=[problem_pb2.FieldViolation(field=v.field, description=v.description) for v in refusal.violations],
    )
