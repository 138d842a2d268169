"""Whether an event is believed, what its sender hears, and whether its picture is wanted. Pure.

An event is judged twice by the same function: before it is matched, and again in the transaction that writes it. In
between, a lease may have ended, a camera may be gone, or a replay of the event may have been faster.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from svc_ingest.events.domain import (
    Camera,
    Earlier,
    Epoch,
    Grounds,
    Limits,
    Outcome,
    PrivacyMode,
    Reason,
    Refusal,
    Sender,
    Sighting,
    Status,
    Verdict,
    Violation,
    refuse,
)


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


# -- what is said ----------------------------------------------------------------------------------------------------


def refused(refusal: Refusal) -> Outcome:
    """The outcome of an event that is not taken."""
    return Outcome(Status.QUARANTINED if refusal.hold else Status.REJECTED, refusal=refusal)


def duplicate(sighting: Sighting, earlier: Earlier, sender: Sender) -> Outcome:
    """The outcome of an event whose id is stored already: its first answer, or a refusal if it is another event."""
    origin = (earlier.camera_id, earlier.worker_id, earlier.lease_epoch, earlier.capture_time)
    if origin != (sighting.camera_id, sender.worker_id, sighting.lease_epoch, sighting.capture_time):
        return _reused()
    if earlier.body_hash is not None and earlier.body_hash != sighting.body_hash:
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
    if sighting.body_hash != first.body_hash:
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
