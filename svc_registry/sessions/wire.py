"""Between the messages of a session and the domain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from footfall.registry.v1 import camera_pb2, lease_pb2, site_pb2, worker_session_pb2
from footfall.type.v1 import face_pb2, problem_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict

from mesh.ids import CameraId, LeaseEpoch
from mesh.keyring import KeyRing
from mesh.wire import duration, timestamp
from svc_registry.directory.cameras.credentials import unseal
from svc_registry.directory.cameras.domain import FRAME_RATE, MIN_FACE_PIXELS, Credentials
from svc_registry.leases.desired import DesiredLease
from svc_registry.leases.store import Renewal
from svc_registry.sessions.domain import Ref, Timing
from svc_registry.sessions.roster import Beat, Farewell, LiveSession
from svc_registry.sessions.service import Opened
from svc_registry.sessions.spool_keys import SpoolPublicKey
from svc_registry.sessions.store import Introduction, Slice

_MILLISECOND: Final = timedelta(milliseconds=1)
_MOST_AGE_MS: Final = 2**31 - 1
_ACTIVITY: Final = "CAMERA_ACTIVITY_"

# -- up ---------------------------------------------------------------------------------------------------------------


def introduction(hello: worker_session_pb2.Hello) -> Introduction:
    """What Hello says of the worker."""
    return Introduction(
        boot_id=UUID(hello.boot_id),
        agent_version=hello.agent_version,
        platform=hello.platform,
        execution_providers=list(hello.execution_providers),
        embedding_spaces=list(hello.embedding_spaces),
        slots=hello.capacity.slots,
        spare_frame_rate=hello.capacity.spare_frame_rate,
    )


def ref_of(lease: lease_pb2.LeaseRef) -> Ref:
    """A lease by name."""
    return Ref(CameraId(UUID(lease.camera_id)), LeaseEpoch(lease.epoch))


def beat_of(heartbeat: worker_session_pb2.Heartbeat, session: LiveSession, now: datetime) -> Beat:
    """A heartbeat as it came in.

    Args:
        now: the server's clock.

    Raises:
        ValueError: a time outside of the years 1 to 9999.
    """
    by_camera = {report.lease.camera_id: report for report in heartbeat.cameras}
    return Beat(
        seq=heartbeat.seq,
        receive_time=now,
        worker_time=heartbeat.worker_time.ToDatetime(UTC),
        slots=heartbeat.capacity.slots,
        spare_frame_rate=heartbeat.capacity.spare_frame_rate,
        unhealthy_reason=heartbeat.unhealthy_reason,
        spool_events=heartbeat.spool_events,
        spool_bytes=heartbeat.spool_bytes,
        spool_age=heartbeat.spool_age.ToTimedelta() if heartbeat.HasField("spool_age") else None,
        renewals=[_renewal(report, session) for report in by_camera.values()],
        slices=[_slice(one, session) for one in heartbeat.coverage],
    )


def problem_of(message: problem_pb2.Problem) -> dict[str, Any]:
    """A problem as the tables hold it."""
    return MessageToDict(message)


def _renewal(report: worker_session_pb2.CameraReport, session: LiveSession) -> Renewal:
    return Renewal(
        worker_id=session.key.worker_id,
        generation=session.key.generation,
        ref=ref_of(report.lease),
        activity=worker_session_pb2.CameraActivity.Name(report.activity).removeprefix(_ACTIVITY),
        frame_age_ms=_milliseconds(report.frame_age) if report.HasField("frame_age") else None,
        frame_rate=report.frame_rate,
        problem=problem_of(report.problem) if report.HasField("problem") else None,
        spool_events=report.spool_events,
        complete_to_time=report.complete_to_time.ToDatetime(UTC) if report.HasField("complete_to_time") else None,
    )


def _slice(one: worker_session_pb2.CoverageSlice, session: LiveSession) -> Slice:
    camera_id, epoch = ref_of(one.lease)
    return Slice(
        worker_id=session.key.worker_id,
        boot_id=UUID(one.boot_id) if one.boot_id else session.boot_id,
        camera_id=camera_id,
        epoch=epoch,
        start_time=one.start_time.ToDatetime(UTC),
        watched_ms=_milliseconds(one.watched),
        frames=one.frames,
        faces_seen=one.faces_seen,
        faces_usable=one.faces_usable,
        events_evicted=one.events_evicted,
    )


def _milliseconds(duration: Duration) -> int:
    return min(_MOST_AGE_MS, duration.ToTimedelta() // _MILLISECOND)


# -- down -------------------------------------------------------------------------------------------------------------


def welcome(opened: Opened, timing: Timing, key: SpoolPublicKey, now: datetime) -> worker_session_pb2.ConnectResponse:
    """The first word to a worker that got its session."""
    return worker_session_pb2.ConnectResponse(
        welcome=worker_session_pb2.Welcome(
            generation=opened.key.generation,
            heartbeat_interval=duration(timing.heartbeat),
            lease_ttl=duration(timing.ttl),
            stop_after=duration(timing.stop_after),
            keep=refs(opened.settlement.keep),
            drop=refs(opened.settlement.drop),
            server_time=timestamp(now),
            spool_public_key=worker_session_pb2.SpoolPublicKey(key_id=str(key.id), der=key.der),
        )
    )


def acknowledgement(
    seq: int, renewed: Sequence[Ref], ttl: timedelta, now: datetime
) -> worker_session_pb2.ConnectResponse:
    """The answer to a heartbeat that is committed."""
    return worker_session_pb2.ConnectResponse(
        heartbeat_ack=worker_session_pb2.HeartbeatAck(
            seq=seq, renewed=refs(renewed), ttl_left=duration(ttl), server_time=timestamp(now)
        )
    )


def desired(revision: int, leases: Sequence[DesiredLease], ring: KeyRing) -> worker_session_pb2.ConnectResponse:
    """Everything that a worker should be doing, passwords opened: for its own stream alone."""
    message = worker_session_pb2.Desired(revision=revision, leases=[_lease(lease, ring) for lease in leases])
    return worker_session_pb2.ConnectResponse(desired=message)


def go_away(word: Farewell) -> worker_session_pb2.ConnectResponse:
    """The last word."""
    return worker_session_pb2.ConnectResponse(
        go_away=worker_session_pb2.GoAway(
            reason=word.reason or worker_session_pb2.GoAway.REASON_UNSPECIFIED,
            retry_after=duration(word.retry_after),
            message=word.message,
        )
    )


def refs(found: Sequence[Ref]) -> list[lease_pb2.LeaseRef]:
    """Leases by name."""
    return [lease_pb2.LeaseRef(camera_id=str(ref.camera_id), epoch=ref.epoch) for ref in found]


def _lease(lease: DesiredLease, ring: KeyRing) -> lease_pb2.CameraLease:
    credentials = Credentials("", "")
    if lease.credentials is not None:
        credentials = unseal(ring, lease.camera_id, lease.credentials)
    settings = lease.settings
    return lease_pb2.CameraLease(
        camera_id=str(lease.camera_id),
        state=lease_pb2.LeaseState.Value(f"LEASE_STATE_{lease.state.value}"),
        epoch=lease.epoch,
        release_deadline=timestamp(lease.release_deadline_time),
        outage_policy=camera_pb2.OutagePolicy.Value(f"OUTAGE_POLICY_{lease.policy.value}"),
        source=lease_pb2.LeaseSource(
            uri=lease.source_uri,
            username=credentials.username,
            password=credentials.password,
            recording_start_time=timestamp(lease.recording_start_time),
        ),
        settings=lease_pb2.LeaseSettings(
            frame_rate=FRAME_RATE if settings.frame_rate is None else settings.frame_rate,
            min_face_pixels=MIN_FACE_PIXELS if settings.min_face_pixels is None else settings.min_face_pixels,
            motion_gate=settings.motion_gate is not False,
            # The embedding of a SAME_DAY site lives in memory, and its pictures nowhere.
            snapshots=settings.snapshots is not False and lease.privacy_mode == "FULL",
            embedding_space=lease.embedding_space,
            role=camera_pb2.CameraRole.Value(f"CAMERA_ROLE_{lease.role.value}"),
            masks=[camera_pb2.Mask(corners=[face_pb2.Point(x=x, y=y) for x, y in mask]) for mask in lease.masks],
            privacy_mode=site_pb2.PrivacyMode.Value(f"PRIVACY_MODE_{lease.privacy_mode}"),
        ),
        paused=lease.paused,
    )
