"""One batch on its way: what is known of its events, what was judged and decided, and what follows from that. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mesh.ids import CustomerId, EventId, SiteId, VisitId
from svc_ingest.events import judgement
from svc_ingest.events.domain import (
    Camera,
    Decision,
    Grounds,
    Limits,
    Outcome,
    Picture,
    PictureOutcome,
    Reason,
    Refusal,
    Sender,
    Sighting,
    Status,
    Verdict,
)
from svc_ingest.events.matching import FaceQuery
from svc_ingest.events.picture_store import ImageRow, StoredEvent
from svc_ingest.events.pictures import Pending, PictureResult, Snapshot
from svc_ingest.events.store import EventRow, QuarantineRow, Span


@dataclass(frozen=True, slots=True)
class Judged:
    """Events of one sender after the judgement.

    Attributes:
        known: what they were judged by.
        outcomes: of those that are answered by it.
        taken: to be matched and written.
        held: to be quarantined, and why.
    """

    sender: Sender
    sightings: Mapping[EventId, Sighting]
    known: Mapping[EventId, Grounds]
    now: datetime
    outcomes: Mapping[EventId, Outcome]
    taken: Sequence[EventId]
    held: Mapping[EventId, Refusal]

    def camera(self, event_id: EventId) -> Camera:
        """Of an event that is taken or held."""
        camera = self.known[event_id].camera
        if camera is None:
            raise AssertionError  # judge() refuses an event without one
        return camera


def judge_all(
    sender: Sender,
    sightings: Mapping[EventId, Sighting],
    known: Mapping[EventId, Grounds],
    limits: Limits,
    now: datetime,
) -> Judged:
    """Judges every event by what is known of it."""
    outcomes: dict[EventId, Outcome] = {}
    taken: list[EventId] = []
    held: dict[EventId, Refusal] = {}
    for event_id, sighting in sightings.items():
        earlier = known[event_id].earlier
        if earlier is not None:
            outcomes[event_id] = judgement.duplicate(sighting, earlier, sender)
            continue
        refusal = judgement.judge(sighting, known[event_id], sender, limits, now)
        if refusal is None:
            taken.append(event_id)
        elif refusal.hold:
            held[event_id] = refusal
        else:
            outcomes[event_id] = judgement.refused(refusal)
    return Judged(sender, sightings, known, now, outcomes, taken, held)


def queries(judged: Judged) -> Iterator[FaceQuery]:
    """What to ask identity. Faces without an embedding are nobody's: their site identifies nobody."""
    for event_id in judged.taken:
        sighting = judged.sightings[event_id]
        face = sighting.face
        if face.vector is not None and face.space is not None:
            yield FaceQuery(
                event_id=event_id,
                site_id=judged.camera(event_id).site_id,
                capture_time=sighting.capture_time,
                space=face.space,
                vector=face.vector,
                quality=face.quality,
                sample_vector=face.sample_vector,
                staff_hint_id=face.staff_hint_id,
            )


def wanted_pictures(judged: Judged, decided: Mapping[EventId, Decision]) -> Iterator[Snapshot]:
    """The snapshots that may be kept, of events that are about to be written."""
    for event_id in (*decided, *judged.held):
        sighting, camera = judged.sightings[event_id], judged.camera(event_id)
        verdict = decided[event_id].verdict if event_id in decided else None
        if sighting.snapshot is None:
            continue
        if judgement.wants_picture(camera, verdict, sighting.capture_time, judged.now):
            yield Snapshot(
                event_id=event_id,
                site_id=camera.site_id,
                camera_id=sighting.camera_id,
                capture_time=sighting.capture_time,
                expire_time=judgement.picture_expiry(camera, sighting.capture_time),
                jpeg=sighting.snapshot,
            )


def late_picture(event: StoredEvent, jpeg: bytes) -> Snapshot:
    """The snapshot of an event that is stored already."""
    earlier = event.earlier
    return Snapshot(
        event_id=event.event_id,
        site_id=event.camera.site_id,
        camera_id=earlier.camera_id,
        capture_time=earlier.capture_time,
        expire_time=judgement.picture_expiry(event.camera, earlier.capture_time),
        jpeg=jpeg,
    )


def may_have_picture(event: StoredEvent, sender: Sender, now: datetime) -> bool:
    """Whether this sender may still add a picture to a stored event."""
    earlier = event.earlier
    if earlier.worker_id != sender.worker_id or earlier.discarded:
        return False
    if sender.worker_id is None and earlier.camera_id not in (sender.camera_ids or ()):
        return False
    return judgement.wants_picture(event.camera, earlier.verdict, earlier.capture_time, now)


# -- what is written -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """What one batch is going to write.

    Attributes:
        images: pictures that lie in the store already.
    """

    sightings: Mapping[EventId, Sighting]
    accepted: Mapping[EventId, EventRow]
    quarantined: Mapping[EventId, QuarantineRow]
    images: Mapping[EventId, ImageRow]

    def customers(self) -> set[tuple[CustomerId, SiteId]]:
        """Whose visits will change, and where."""
        return set(_starts(self.accepted.values()))


def spans(rows: Iterable[EventRow]) -> list[Span]:
    """Where visits must be folded anew."""
    return [Span(customer, site, min(times), max(times)) for (customer, site), times in _starts(rows).items()]


def _starts(rows: Iterable[EventRow]) -> dict[tuple[CustomerId, SiteId], list[datetime]]:
    times: dict[tuple[CustomerId, SiteId], list[datetime]] = {}
    for row in rows:
        if row.decision.customer_id is not None:
            key = (row.decision.customer_id, row.camera.site_id)
            times.setdefault(key, []).append(row.sighting.track_start_time)
    return times


def passages(rows: Iterable[EventRow]) -> list[EventRow]:
    """Those that nobody was asked about."""
    return [row for row in rows if row.decision.verdict is Verdict.ANONYMOUS]


# -- what is answered ------------------------------------------------------------------------------------------------


def accepted(decision: Decision, visit_id: VisitId | None) -> Outcome:
    """The outcome of an event that was written."""
    return Outcome(
        Status.ACCEPTED,
        verdict=decision.verdict,
        person_id=decision.customer_id or decision.staff_id,
        similarity=decision.similarity,
        visit_id=visit_id,
    )


def answer(item: Sighting | Refusal, fresh: Mapping[EventId, Sighting], settled: Mapping[EventId, Outcome]) -> Outcome:
    """The answer to one place of the batch; the same event at two places is answered DUPLICATE at the second.

    Args:
        fresh: the first place of each event.
        settled: what became of that.
    """
    if isinstance(item, Refusal):
        return judgement.refused(item)
    first, outcome = fresh[item.event_id], settled[item.event_id]
    return outcome if first is item else judgement.repeated(item, first, outcome)


def is_orphan(outcome: Outcome) -> bool:
    """Whether a picture lies in the store for an event that is not stored, neither by this batch nor by another."""
    refusal = outcome.refusal
    return outcome.status is Status.REJECTED and refusal is not None and refusal.reason is not Reason.REQUEST_ID_REUSED


def picture(result: PictureResult | None) -> PictureOutcome:
    """What is said about a snapshot. None: it was not wanted."""
    if result is None:
        return PictureOutcome(Picture.NOT_KEPT)
    if isinstance(result, Refusal):
        return PictureOutcome(Picture.REFUSED, result)
    return PictureOutcome(Picture.PENDING if isinstance(result, Pending) else Picture.STORED)
