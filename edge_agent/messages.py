"""Between the agent's own types and the contract's messages. Beside the streams, the only module that knows both."""

import platform
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import numpy as np
from footfall_messages.footfall.ingest import v1 as ingest
from footfall_messages.footfall.registry import v1 as registry
from footfall_messages.footfall.type import v1 as types

from edge_agent.eye import EyeSettings, Sighting
from edge_agent.plan import Plan, Report, Trouble
from edge_agent.session.domain import Lease, Phase, Policy, Ref
from edge_agent.sources.address import Credentials
from edge_agent.sources.capture import Activity
from edge_agent.spool.coverage import UnansweredSlice
from edge_agent.spool.records import Backlog
from mesh.ids import CameraId, EventId, LeaseEpoch, StaffId
from vision.embed import DIMENSION, Embedding

_MILLISECOND: Final = timedelta(milliseconds=1)
_MOST_MILLISECONDS: Final = 86_400_000
"""The contract's bound on offset and uncertainty."""

_PHASES: Final = {
    registry.LeaseState.ACTIVE: Phase.ACTIVE,
    registry.LeaseState.RELEASING: Phase.RELEASING,
}
_ACTIVITIES: Final = {
    Activity.OPENING: registry.CameraActivity.OPENING,
    Activity.WATCHING: registry.CameraActivity.WATCHING,
    Activity.FAILING: registry.CameraActivity.FAILING,
    Activity.ENDED: registry.CameraActivity.FINISHED,
}


# -- events ------------------------------------------------------------------------------------------------------------


def face_detected(
    sighting: Sighting,
    *,
    event_id: EventId,
    camera_id: CameraId,
    epoch: LeaseEpoch,
    space: str,
    offset: timedelta,
    uncertainty: timedelta,
    staff: StaffId | None,
) -> ingest.FaceDetected:
    """The event of a sighting, without its snapshot."""
    box, quality = sighting.box, sighting.quality
    points = [types.Point(x=float(x), y=float(y)) for x, y in sighting.landmarks]
    return ingest.FaceDetected(
        id=str(event_id),
        camera_id=str(camera_id),
        lease_epoch=epoch,
        capture_time=sighting.capture_time,
        clock_offset_ms=_bounded(offset / _MILLISECOND),
        clock_uncertainty_ms=max(0, _bounded(uncertainty / _MILLISECOND)),
        track_start_time=sighting.start,
        track_end_time=sighting.end,
        embedding=embedding_message(sighting.embedding, space),
        sample_embedding=None if sighting.sample is None else embedding_message(sighting.sample, space),
        quality=types.FaceQuality(
            detection_score=min(1.0, max(0.0, quality.detection_score)),
            overall=min(1.0, max(0.0, quality.overall)),
            face_pixels=min(8192, max(8, quality.face_pixels)),
            yaw_degrees=float(quality.yaw_degrees),
        ),
        box=types.BoundingBox(left=box.left, top=box.top, width=box.width, height=box.height),
        landmarks=types.Landmarks5(
            right_eye=points[0],
            left_eye=points[1],
            nose_tip=points[2],
            right_mouth_corner=points[3],
            left_mouth_corner=points[4],
        ),
        staff_hint_id=None if staff is None else str(staff),
    )


def embedding_message(embedding: Embedding, space: str) -> types.Embedding:
    """512 float32 as the contract's bytes."""
    return types.Embedding(space=space, vector=embedding.astype("<f4").tobytes())


def embedding_of(message: types.Embedding) -> Embedding | None:
    """The inverse; None for one that is no point of the unit sphere."""
    if len(message.vector) != 4 * DIMENSION:
        return None
    vector = np.frombuffer(message.vector, "<f4").astype(np.float32)
    return vector if abs(float(np.linalg.norm(vector)) - 1.0) <= 1e-3 else None


def _bounded(milliseconds: float) -> int:
    return max(-_MOST_MILLISECONDS, min(_MOST_MILLISECONDS, round(milliseconds)))


# -- the session -------------------------------------------------------------------------------------------------------


def lease_of(message: registry.CameraLease) -> Lease[Plan]:
    """A lease as the agent keeps it. Raises ValueError for one whose camera has no id."""
    phase = _PHASES.get(message.state, Phase.PENDING)
    pinned = message.outage_policy == registry.OutagePolicy.PINNED
    return Lease(
        CameraId(UUID(message.camera_id)),
        phase,
        LeaseEpoch(message.epoch if phase is not Phase.PENDING else 0),
        Policy.PINNED if pinned else Policy.FAILOVER,
        plan_of(message.source or registry.LeaseSource(), message.settings or registry.LeaseSettings()),
        message.paused,
        message.release_deadline,
    )


def plan_of(source: registry.LeaseSource, settings: registry.LeaseSettings) -> Plan:
    """How to watch. What the registry left out gets the contract's default."""
    masks = tuple(tuple((corner.x, corner.y) for corner in mask.corners) for mask in settings.masks)
    return Plan(
        uri=source.uri,
        credentials=Credentials(source.username, source.password),
        recording_start=source.recording_start_time,
        frame_rate=settings.frame_rate or 8.0,
        eye=EyeSettings(
            min_face_pixels=settings.min_face_pixels or 40,
            motion_gate=settings.motion_gate,
            snapshots=settings.snapshots,
            anonymous=settings.privacy_mode == registry.PrivacyMode.ANONYMOUS,
            masks=masks,
        ),
        space=settings.embedding_space,
    )


def ref_message(ref: Ref) -> registry.LeaseRef:
    """A lease by name."""
    return registry.LeaseRef(camera_id=str(ref.camera_id), epoch=ref.epoch)


def refs_of(messages: Sequence[registry.LeaseRef]) -> list[Ref]:
    """Leases by name; those that name none are left out."""
    return [Ref(CameraId(UUID(one.camera_id)), LeaseEpoch(one.epoch)) for one in messages if one.camera_id]


def problem(trouble: Trouble) -> types.Problem:
    """Why something is not possible."""
    reason = types.ErrorReason.__members__.get(trouble.reason, types.ErrorReason.INTERNAL)
    return types.Problem(reason=reason, message=trouble.message[:500])


def camera_report(ref: Ref, report: Report | None, backlog: Backlog, server_now: datetime) -> registry.CameraReport:
    """How a camera fares; one that is not at work yet is OPENING."""
    waiting = backlog.cameras.get(ref.camera_id)
    captured = report.watermark if report else server_now
    message = registry.CameraReport(
        lease=ref_message(ref),
        activity=registry.CameraActivity.OPENING,
        spool_events=waiting.events if waiting else 0,
        complete_to_time=min(captured, waiting.oldest) if waiting else captured,
    )
    if report is None:
        return message
    message.activity = _ACTIVITIES[report.activity]
    if report.paused and report.activity is Activity.WATCHING:
        message.activity = registry.CameraActivity.PAUSED
    if report.frame_age is not None:
        message.frame_age = timedelta(seconds=max(0.0, report.frame_age))
    message.frame_rate = min(1000.0, report.frame_rate)
    if report.trouble is not None:
        message.problem = problem(report.trouble)
    return message


def coverage_slice(told: UnansweredSlice, boot_id: UUID) -> registry.CoverageSlice:
    """Totals of a quarter; `boot_id`: of this start, which need not be named."""
    one, key = told.slice, told.slice.key
    return registry.CoverageSlice(
        lease=ref_message(Ref(key.camera_id, key.epoch)),
        start_time=key.start_time,
        watched=one.watched,
        frames=one.frames,
        faces_seen=one.faces_seen,
        faces_usable=one.faces_usable,
        events_evicted=one.evicted,
        boot_id="" if key.boot_id == boot_id else str(key.boot_id),
    )


def platform_name() -> str:
    """Operating system and processor, e.g. "linux-x86_64"."""
    return f"{platform.system().lower() or 'unknown'}-{platform.machine().lower() or 'unknown'}"
