"""Taking events: judged, matched, judged again and written, folded, answered. Idempotent by event id throughout.

Nothing is held while identity and the image store are asked: what is written is decided anew in the transaction that
writes it. So whatever dies in between, the same events sent again come to the same end.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import structlog

from mesh import telemetry
from mesh.clock import Clock
from mesh.database import Database, Tx, lock, notify
from mesh.errors import Conflict, Unavailable
from mesh.ids import EventId, VisitId
from mesh.keyring import KeyRing
from svc_ingest.events import batch, judgement, picture_store, store
from svc_ingest.events.batch import Judged, Plan
from svc_ingest.events.domain import (
    NOBODY_ASKED,
    Decision,
    Limits,
    Outcome,
    Picture,
    PictureOutcome,
    Refusal,
    Sender,
    Sighting,
    Status,
)
from svc_ingest.events.fairness import FairTurns
from svc_ingest.events.matching import MOST_FACES, Matcher
from svc_ingest.events.picture_store import ImageRow
from svc_ingest.events.pictures import PictureKeeper, PictureResult
from svc_ingest.events.store import EventRow, QuarantineRow, associated

CHANNEL: Final = "visits"  # hints for the feed
FIRST_BACKOFF: Final = 0.1  # seconds, doubled, with jitter
MOST_BACKOFF: Final = 2.0

T = TypeVar("T")

_log = structlog.get_logger(__name__)
_events = telemetry.counter("events", "Events answered", ["status", "reason"])
_batch_seconds = telemetry.histogram("batch_seconds", "From a batch's arrival to its commit")


class EventService:
    """Takes events and pictures of events.

    Args:
        database: as svc_ingest.
        matcher: who is this?
        pictures: into the image store.
        ring: embeddings and quarantined events are encrypted with it.
        limits: how far clocks may disagree.
        turns: for batches of all streams together.
        attempts: of a batch, while a store or identity is away.
        clock: events are judged on it.
    """

    def __init__(
        self,
        database: Database,
        matcher: Matcher,
        pictures: PictureKeeper,
        ring: KeyRing,
        *,
        limits: Limits,
        turns: FairTurns,
        attempts: int,
        clock: Clock,
    ) -> None:
        self._database = database
        self._matcher = matcher
        self._pictures = pictures
        self._ring = ring
        self._limits = limits
        self._turns = turns
        self._attempts = attempts
        self._clock = clock

    async def take(self, sender: Sender, items: Sequence[Sighting | Refusal]) -> list[Outcome]:
        """What became of each event, in their order; durable when it returns.

        Args:
            sender: of all of them.
            items: events; or why one is malformed, which is its answer.

        Raises:
            Unavailable: a store or identity stays away; nothing was answered, and all may be sent again.
        """
        fresh: dict[EventId, Sighting] = {}
        for item in items:
            if isinstance(item, Sighting):
                fresh.setdefault(item.event_id, item)
        settled: Mapping[EventId, Outcome] = {}
        if fresh:
            with _batch_seconds.time():
                settled = await self._patiently(sender, lambda: self._settle(sender, fresh))
        outcomes = [batch.answer(item, fresh, settled) for item in items]
        for outcome in outcomes:
            _events.labels(outcome.status.name, outcome.refusal.reason.value if outcome.refusal else "").inc()
        return outcomes

    async def take_snapshots(
        self, sender: Sender, items: Sequence[tuple[EventId, bytes] | Refusal]
    ) -> list[PictureOutcome]:
        """What became of each picture that came alone, in their order; durable when it returns.

        Raises:
            Unavailable: the database stays away.
        """
        pictures = {item[0]: item[1] for item in items if not isinstance(item, Refusal)}
        settled: Mapping[EventId, PictureOutcome] = {}
        if pictures:
            settled = await self._patiently(sender, lambda: self._add_pictures(sender, pictures))
        return [
            PictureOutcome(Picture.REFUSED, item) if isinstance(item, Refusal) else settled[item[0]] for item in items
        ]

    async def _patiently(self, sender: Sender, work: Callable[[], Awaitable[T]]) -> T:
        """Repeats what is idempotent while something is away; bounded, so that the sender hears of it."""
        backoff = FIRST_BACKOFF
        for attempt in range(1, self._attempts + 1):
            try:
                async with self._turns.turn(sender.tenant_id):
                    return await work()
            except (Unavailable, Conflict) as error:
                if attempt == self._attempts:
                    raise Unavailable(error.message, retry_after=error.retry_after) from error
                _log.info("batch_again", attempt=attempt, reason=error.reason_name)
            await self._clock.sleep(random.uniform(backoff / 2, backoff))  # noqa: S311 (jitter, no secret)
            backoff = min(MOST_BACKOFF, backoff * 2)
        raise AssertionError  # the last attempt returned or raised

    # -- events ------------------------------------------------------------------------------------------------------

    async def _settle(self, sender: Sender, sightings: Mapping[EventId, Sighting]) -> dict[EventId, Outcome]:
        known = await self._database.run(
            sender.tenant_id,
            lambda tx: store.grounds(tx, sender.tenant_id, list(sightings.values())),
            read_only=True,
        )
        judged = batch.judge_all(sender, sightings, known, self._limits, self._clock.now())
        decisions = await self._decide(judged)
        decided = {event_id: decision for event_id, decision in decisions.items() if decision.refusal is None}
        outcomes = dict(judged.outcomes)
        for event_id, decision in decisions.items():
            if decision.refusal is not None:
                outcomes[event_id] = judgement.refused(decision.refusal)
        pictures = await self._pictures.keep(sender.tenant_id, list(batch.wanted_pictures(judged, decided)))
        if decided or judged.held:
            plan = self._plan(judged, decided, pictures)
            outcomes |= await self._database.run(sender.tenant_id, lambda tx: self._write(tx, sender, plan))
            await self._pictures.drop(
                row for event_id, row in plan.images.items() if batch.is_orphan(outcomes[event_id])
            )
        return await self._with_pictures(judged, outcomes, pictures)

    async def _decide(self, judged: Judged) -> dict[EventId, Decision]:
        """Who each face is."""
        decisions = dict.fromkeys(judged.taken, NOBODY_ASKED)
        asked = list(batch.queries(judged))
        for start in range(0, len(asked), MOST_FACES):
            part = asked[start : start + MOST_FACES]
            answers = await self._matcher.match(judged.sender.tenant_id, part)
            decisions |= {query.event_id: answer for query, answer in zip(part, answers, strict=True)}
        return decisions

    def _plan(
        self, judged: Judged, decided: Mapping[EventId, Decision], pictures: Mapping[EventId, PictureResult]
    ) -> Plan:
        return Plan(
            sightings={event_id: judged.sightings[event_id] for event_id in (*decided, *judged.held)},
            accepted={event_id: self._event_row(judged, event_id, decision) for event_id, decision in decided.items()},
            quarantined={
                event_id: self._quarantine_row(judged, event_id, refusal) for event_id, refusal in judged.held.items()
            },
            images={event_id: row for event_id, row in pictures.items() if isinstance(row, ImageRow)},
        )

    def _event_row(self, judged: Judged, event_id: EventId, decision: Decision) -> EventRow:
        sighting, camera = judged.sightings[event_id], judged.camera(event_id)
        if not judgement.keeps_embedding(camera, sighting.capture_time, judged.now):
            return EventRow(sighting, camera, decision)
        return EventRow(
            sighting,
            camera,
            decision,
            embedding=self._sealed(judged.sender, event_id, sighting.face.vector, "embedding"),
            sample_embedding=self._sealed(judged.sender, event_id, sighting.face.sample_vector, "second_embedding"),
        )

    def _quarantine_row(self, judged: Judged, event_id: EventId, refusal: Refusal) -> QuarantineRow:
        sighting, camera = judged.sightings[event_id], judged.camera(event_id)
        payload = self._sealed(judged.sender, event_id, sighting.payload, "payload") or b""
        return QuarantineRow(sighting, camera, refusal.reason, payload, judged.now + camera.image_retention)

    def _sealed(self, sender: Sender, event_id: EventId, plaintext: bytes | None, what: str) -> bytes | None:
        if plaintext is None:
            return None
        return self._ring.encrypt(plaintext, associated(sender.tenant_id, event_id, what))

    async def _write(self, tx: Tx, sender: Sender, plan: Plan) -> dict[EventId, Outcome]:
        """The one transaction of a batch: judged once more under the locks, then written and folded."""
        tenant_id = sender.tenant_id
        await lock(tx, *(store.visit_lock(tenant_id, customer, site) for customer, site in plan.customers()))
        known = await store.grounds(tx, tenant_id, list(plan.sightings.values()))
        judged = batch.judge_all(sender, plan.sightings, known, self._limits, self._clock.now())
        if not (set(judged.taken) <= plan.accepted.keys() and judged.held.keys() <= plan.quarantined.keys()):
            raise Conflict("a lease ended at this very moment")  # the batch is judged from the beginning
        accepted = [plan.accepted[event_id] for event_id in judged.taken]
        quarantined = [plan.quarantined[event_id] for event_id in judged.held]
        written = await store.insert_events(tx, sender, accepted) if accepted else set()
        written |= await store.insert_quarantined(tx, sender, quarantined) if quarantined else set()
        if len(written) != len(accepted) + len(quarantined):
            raise Conflict("the same event was written at this very moment")  # and is a duplicate the next time
        if images := [row for event_id, row in plan.images.items() if event_id in written]:
            await picture_store.insert_images(tx, tenant_id, images)
        visits = await self._fold(tx, sender, accepted)
        outcomes = dict(judged.outcomes)
        outcomes |= {event_id: judgement.refused(refusal) for event_id, refusal in judged.held.items()}
        for row in accepted:
            event_id = row.sighting.event_id
            outcomes[event_id] = batch.accepted(row.decision, visits.get(event_id))
        return outcomes

    async def _fold(self, tx: Tx, sender: Sender, accepted: Sequence[EventRow]) -> Mapping[EventId, VisitId]:
        if anonymous := batch.passages(accepted):
            await store.mark_passages(tx, sender.tenant_id, anonymous)
        spans = batch.spans(accepted)
        if not spans:
            return {}
        await store.fold(tx, sender.tenant_id, spans)
        await notify(tx, CHANNEL)
        return await store.visits_of(tx, sender.tenant_id, [row.sighting.event_id for row in accepted])

    # -- pictures ----------------------------------------------------------------------------------------------------

    async def _with_pictures(
        self, judged: Judged, outcomes: Mapping[EventId, Outcome], pictures: Mapping[EventId, PictureResult]
    ) -> dict[EventId, Outcome]:
        """The outcomes with what became of the snapshots. A replay's snapshot may be the first to arrive."""
        answered: dict[EventId, Outcome] = {}
        late: dict[EventId, bytes] = {}
        for event_id, outcome in outcomes.items():
            snapshot = judged.sightings[event_id].snapshot
            answered[event_id] = outcome
            if snapshot is None or outcome.status is Status.REJECTED:
                continue
            if outcome.status is Status.DUPLICATE:
                late[event_id] = snapshot
            else:
                answered[event_id] = replace(outcome, picture=batch.picture(pictures.get(event_id)))
        if late:
            found = await self._add_pictures(judged.sender, late)
            answered |= {event_id: replace(outcomes[event_id], picture=found[event_id]) for event_id in late}
        return answered

    async def _add_pictures(self, sender: Sender, jpegs: Mapping[EventId, bytes]) -> dict[EventId, PictureOutcome]:
        """Adds pictures to events that are stored already."""
        now = self._clock.now()
        stored = await self._database.run(
            sender.tenant_id,
            lambda tx: picture_store.stored_events(tx, sender.tenant_id, list(jpegs)),
            read_only=True,
        )
        outcomes = dict.fromkeys(jpegs, PictureOutcome(Picture.NOT_KEPT))
        wanted = []
        for event_id, event in stored.items():
            if not batch.may_have_picture(event, sender, now):
                continue
            if event.earlier.has_image:
                outcomes[event_id] = PictureOutcome(Picture.STORED)
            else:
                wanted.append(batch.late_picture(event, jpegs[event_id]))
        kept = await self._pictures.keep(sender.tenant_id, wanted)
        rows = [row for row in kept.values() if isinstance(row, ImageRow)]
        if rows:
            await self._database.run(sender.tenant_id, lambda tx: self._write_pictures(tx, sender, rows))
        return outcomes | {event_id: batch.picture(result) for event_id, result in kept.items()}

    async def _write_pictures(self, tx: Tx, sender: Sender, rows: Sequence[ImageRow]) -> None:
        await picture_store.insert_images(tx, sender.tenant_id, rows)
        await picture_store.announce_images(tx, sender.tenant_id, [row.event_id for row in rows])
        await notify(tx, CHANNEL)
