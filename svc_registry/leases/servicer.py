"""FleetService, between protobuf and the domain: leases, their history and coverage.

PinCamera, ReleaseCamera, WatchCameras, WatchPreview, SendCommand and ListCommands are not built yet.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from footfall.registry.v1 import camera_pb2, coverage_pb2, lease_pb2, lease_record_pb2
from footfall.type.v1 import problem_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict

from mesh.auth import Caller, current_caller
from mesh.database import Tx
from mesh.ids import SiteId
from mesh.interceptors.base import Context
from mesh.paging import PageTokens, page_size
from mesh.wire import moment, timestamp
from svc_registry.leases.listing import Coverage, Filter, Lease, list_coverage, list_history, list_leases
from svc_registry.transactions import Transactions
from svc_registry.wire import ids_of

COVERAGE_PAGE = 1000
MOST_COVERAGE = 5000


class FleetServicer:
    """The RPCs of FleetService."""

    def __init__(self, transactions: Transactions, pages: PageTokens) -> None:
        self._transactions = transactions
        self._pages = pages

    async def ListLeases(
        self, request: lease_record_pb2.ListLeasesRequest, _context: Context
    ) -> lease_record_pb2.ListLeasesResponse:
        caller, size = current_caller(), page_size(request.page_size)
        after = _after(self._pages.decode(request, caller.tenant))
        wanted = _filter(caller, request)

        async def work(tx: Tx, _caller: Caller) -> list[Lease]:
            return await list_leases(tx, wanted, after, size + 1)

        found = await self._transactions.read(work)
        response = lease_record_pb2.ListLeasesResponse(leases=[to_proto(lease) for lease in found[:size]])
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = self._pages.encode(request, caller.tenant, [last.grant_time, last.id])
        return response

    async def ListLeaseHistory(
        self, request: lease_record_pb2.ListLeaseHistoryRequest, _context: Context
    ) -> lease_record_pb2.ListLeaseHistoryResponse:
        caller, size = current_caller(), page_size(request.page_size)
        after = _after(self._pages.decode(request, caller.tenant))
        wanted = _filter(caller, request)
        start = moment("start_time", request.start_time) if request.HasField("start_time") else None
        end = moment("end_time", request.end_time) if request.HasField("end_time") else None

        async def work(tx: Tx, _caller: Caller) -> list[Lease]:
            return await list_history(tx, wanted, start=start, end=end, after=after, limit=size + 1)

        found = await self._transactions.read(work)
        response = lease_record_pb2.ListLeaseHistoryResponse(leases=[to_proto(lease) for lease in found[:size]])
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = self._pages.encode(request, caller.tenant, [last.grant_time, last.id])
        return response

    async def ListCoverage(
        self, request: coverage_pb2.ListCoverageRequest, _context: Context
    ) -> coverage_pb2.ListCoverageResponse:
        caller = current_caller()
        size = page_size(request.page_size, COVERAGE_PAGE, MOST_COVERAGE)
        after = _after(self._pages.decode(request, caller.tenant))
        wanted = _filter(caller, request)
        start, end = moment("start_time", request.start_time), moment("end_time", request.end_time)

        async def work(tx: Tx, _caller: Caller) -> list[Coverage]:
            return await list_coverage(tx, wanted, start=start, end=end, after=after, limit=size + 1)

        found = await self._transactions.read(work)
        response = coverage_pb2.ListCoverageResponse(coverage=[_coverage(one) for one in found[:size]])
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = self._pages.encode(request, caller.tenant, [last.start_time, last.camera_id])
        return response


def _filter(caller: Caller, request: Any) -> Filter:
    """The filter of a list request, held to the caller's sites.

    Raises:
        PermissionDenied: SITE_NOT_ALLOWED.
    """
    site_ids = ids_of(request.site_ids)
    for site_id in site_ids:
        caller.check_site(SiteId(site_id))
    return Filter(site_ids, ids_of(request.camera_ids), ids_of(getattr(request, "worker_ids", ())))


def _after(position: list[Any] | None) -> tuple[datetime, UUID] | None:
    return (datetime.fromisoformat(position[0]), UUID(position[1])) if position else None


def to_proto(lease: Lease) -> lease_record_pb2.Lease:
    """The lease as the contract has it."""
    return lease_record_pb2.Lease(
        id=str(lease.id),
        camera_id=str(lease.camera_id),
        site_id=str(lease.site_id),
        worker_id=str(lease.worker_id),
        epoch=lease.epoch,
        state=lease_pb2.LeaseState.Value(f"LEASE_STATE_{lease.state.value}"),
        outage_policy=camera_pb2.OutagePolicy.Value(f"OUTAGE_POLICY_{lease.policy.value}"),
        grant_time=timestamp(lease.grant_time),
        active_time=timestamp(lease.active_time),
        expire_time=timestamp(lease.expire_time),
        end_time=timestamp(lease.end_time),
        problem=ParseDict(dict(lease.problem), problem_pb2.Problem()) if lease.problem else None,
    )


def _coverage(one: Coverage) -> coverage_pb2.Coverage:
    watched = Duration()
    watched.FromMilliseconds(one.watched_ms)
    return coverage_pb2.Coverage(
        camera_id=str(one.camera_id),
        site_id=str(one.site_id),
        start_time=timestamp(one.start_time),
        watched=watched,
        frame_count=one.frames,
        faces_seen=one.faces_seen,
        faces_usable=one.faces_usable,
        events_evicted=one.events_evicted,
    )
