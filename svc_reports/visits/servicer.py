"""VisitService on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from footfall.identity.v1 import match_pb2
from footfall.ingest.v1 import event_pb2
from footfall.ingest.v1 import visit_pb2 as record_pb2
from footfall.reports.v1 import visit_pb2, visit_pb2_grpc
from footfall.type.v1 import face_pb2

from mesh.access import Role
from mesh.auth import Caller, current_caller
from mesh.database import Database, Tx
from mesh.errors import NotFound
from mesh.ids import CameraId, CustomerId, VisitId
from mesh.paging import PageTokens, page_size
from mesh.wire import timestamp
from svc_reports.reports.store import lift_site_policy, places, snapshot_time
from svc_reports.visits import store
from svc_reports.visits.domain import COUNTING, Correction, Visit, VisitState
from svc_reports.wire import moment, site_ids

# How face_events words a verdict, and the contract a match.
_MATCHES: Final = {
    "MATCHED": event_pb2.MATCH_KNOWN,
    "ENROLLED": event_pb2.MATCH_NEW,
    "STAFF": event_pb2.MATCH_STAFF,
    "UNDECIDED": event_pb2.MATCH_UNDECIDED,
}


class VisitServicer(visit_pb2_grpc.VisitServiceServicer):
    """Reads visits, for callers' own sites."""

    def __init__(self, database: Database, pages: PageTokens) -> None:
        self._database = database
        self._pages = pages

    async def ListVisits(self, request: visit_pb2.ListVisitsRequest, context: Any) -> visit_pb2.ListVisitsResponse:
        caller, size = current_caller(), page_size(request.page_size)
        position = self._pages.decode(request, caller.tenant)
        after = None if position is None else (datetime.fromisoformat(position[0]), VisitId(UUID(position[1])))
        async with self._database.as_caller(caller, read_only=True, isolation="REPEATABLE READ") as tx:
            wanted = await _filter(tx, request)
            await lift_site_policy(tx)
            visits = await store.list_visits(tx, caller.tenant, wanted, after, size + 1)
            now = await snapshot_time(tx)
        response = visit_pb2.ListVisitsResponse(visits=[_record(visit, now, caller) for visit in visits[:size]])
        if len(visits) > size:
            last = visits[size - 1]
            response.next_page_token = self._pages.encode(request, caller.tenant, [last.start_time, last.id])
        return response

    async def ExplainVisit(
        self, request: visit_pb2.ExplainVisitRequest, context: Any
    ) -> visit_pb2.ExplainVisitResponse:
        caller, size = current_caller(), page_size(request.page_size)
        visit_id = VisitId(UUID(request.id))
        position = self._pages.decode(request, caller.tenant)
        after = None if position is None else (datetime.fromisoformat(position[0]), UUID(position[1]))
        async with self._database.as_caller(caller, read_only=True, isolation="REPEATABLE READ") as tx:
            seen = await store.sees(tx, caller.tenant, visit_id)
            await lift_site_policy(tx)
            visit = await store.visit(tx, caller.tenant, visit_id) if seen else None
            if visit is None:
                raise NotFound("visit", visit_id)
            found = await store.sightings(tx, caller.tenant, visit_id, after, size + 1)
            named = {UUID(one["person_id"]) for sighting in found for one in sighting.candidates}
            present = await store.present(tx, caller.tenant, named, caller.visible_sites)
            corrections = await store.corrections(tx, caller.tenant, found[:size])
            merged = await store.superseded(tx, caller.tenant, visit_id)
            now = await snapshot_time(tx)
        response = visit_pb2.ExplainVisitResponse(
            visit=_record(visit, now, caller),
            sightings=[_sighting(sighting, present, corrections.get(sighting.id, ())) for sighting in found[:size]],
            superseded_visit_ids=[str(id_) for id_ in merged],
        )
        response.visit_gap.FromTimedelta(visit.gap)
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = self._pages.encode(request, caller.tenant, [last.capture_time, last.id])
        return response


async def _filter(tx: Tx, request: visit_pb2.ListVisitsRequest) -> store.Filter:
    """What is asked for, of the sites that the caller sees."""
    asked = site_ids(request.site_ids)
    seen = [place.id for place in await places(tx, asked)]
    for site_id in asked:
        if site_id not in seen:
            raise NotFound("site", site_id)
    states = frozenset(
        VisitState(record_pb2.VisitState.Name(state).removeprefix("VISIT_STATE_")) for state in request.states
    )
    return store.Filter(
        site_ids=seen,
        start_time=moment("start_time", request.start_time) if request.HasField("start_time") else None,
        end_time=moment("end_time", request.end_time) if request.HasField("end_time") else None,
        camera_ids=[CameraId(UUID(id_)) for id_ in request.camera_ids],
        customer_id=CustomerId(UUID(request.customer_id)) if request.customer_id else None,
        states=states or COUNTING,
        is_new=request.is_new if request.HasField("is_new") else None,
        ascending=request.order_by == "start_time",
    )


def _record(visit: Visit, now: datetime, caller: Caller) -> record_pb2.VisitRecord:
    shows_faces = caller.role is not Role.VIEWER
    record = record_pb2.VisitRecord(
        id=str(visit.id),
        customer_id=str(visit.customer_id),
        site_id=str(visit.site_id),
        start_time=timestamp(visit.start_time),
        end_time=timestamp(visit.end_time),
        sighting_count=visit.sighting_count,
        state=record_pb2.VisitState.Value(f"VISIT_STATE_{visit.state(now)}"),
        superseded_by=str(visit.superseded_by) if visit.superseded_by else None,
        first_camera_id=str(visit.first_camera_id),
        last_camera_id=str(visit.last_camera_id),
        is_new=visit.is_new,
        image_id=str(visit.image_id) if shows_faces and visit.image_id else None,
        similarity=visit.similarity,
        quality=visit.quality,
        gender=face_pb2.Gender.Value(f"GENDER_{visit.gender or 'UNSPECIFIED'}"),
        local_date=visit.local_date.isoformat(),
        create_time=timestamp(visit.create_time),
        update_time=timestamp(visit.update_time),
    )
    if visit.dwell is not None:
        record.dwell.FromTimedelta(visit.dwell)
    return record


def _sighting(sighting: store.Sighting, present: set[UUID], corrections: Sequence[Correction]) -> visit_pb2.Sighting:
    return visit_pb2.Sighting(
        id=str(sighting.id),
        camera_id=str(sighting.camera_id),
        capture_time=timestamp(sighting.capture_time),
        track_start_time=timestamp(sighting.track_start_time),
        track_end_time=timestamp(sighting.track_end_time),
        quality=sighting.quality,
        image_id=str(sighting.image_id) if sighting.image_id else None,
        match=_MATCHES.get(sighting.verdict, event_pb2.MATCH_UNSPECIFIED),
        reason=match_pb2.MatchDecision.Reason.Value(f"REASON_{sighting.reason or 'UNSPECIFIED'}"),
        customer_id=str(sighting.customer_id) if sighting.customer_id else "",
        embedding_id=str(sighting.embedding_id) if sighting.embedding_id else "",
        space=sighting.space,
        similarity=sighting.similarity,
        threshold=sighting.threshold,
        candidates=_candidates(sighting.candidates, present),
        corrections=[_correction(one) for one in corrections],
        clock_uncertainty_ms=sighting.clock_uncertainty_ms,
    )


def _candidates(documents: Sequence[dict[str, Any]], present: set[UUID]) -> list[match_pb2.Candidate]:
    """Who was considered; people erased since are left out."""
    return [
        match_pb2.Candidate(
            similarity=one["similarity"],
            embedding_id=one["embedding_id"],
            **{"staff_id" if one["kind"] == "STAFF" else "customer_id": one["person_id"]},
        )
        for one in documents
        if UUID(one["person_id"]) in present
    ]


def _correction(one: Correction) -> visit_pb2.Correction:
    return visit_pb2.Correction(
        create_time=timestamp(one.create_time),
        kind=visit_pb2.Correction.Kind.Value(f"KIND_{one.kind}"),
        from_customer_id=str(one.from_customer_id),
        to_customer_id=str(one.to_customer_id),
        user_id=str(one.subject_id) if one.subject_id else None,
    )
