"""WorkerService, between protobuf and the domain.

PushPreview, ReportWorkerStolen and DeleteWorker are not built yet.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

from footfall.registry.v1 import worker_pb2, worker_session_pb2
from footfall.type.v1 import problem_pb2

from mesh.auth import Caller, current_caller
from mesh.database import Tx
from mesh.errors import PermissionDenied
from mesh.ids import SiteId, WorkerId
from mesh.interceptors.base import Context
from mesh.paging import PageTokens, page_size
from mesh.wire import timestamp
from svc_registry.sessions.domain import WorkerState
from svc_registry.sessions.stream import Connections
from svc_registry.sessions.workers import Worker, Workers, get_worker, list_workers
from svc_registry.transactions import Transactions
from svc_registry.wire import ids_of

_STATE: Final = "WORKER_STATE_"


class WorkerServicer:
    """The RPCs of WorkerService."""

    def __init__(
        self, connections: Connections, workers: Workers, transactions: Transactions, pages: PageTokens
    ) -> None:
        self._connections = connections
        self._workers = workers
        self._transactions = transactions
        self._pages = pages

    def Connect(
        self, requests: AsyncIterator[worker_session_pb2.ConnectRequest], _context: Context
    ) -> AsyncIterator[worker_session_pb2.ConnectResponse]:
        return self._connections.connect(current_caller(), requests)

    async def UnwrapSpoolKey(
        self, request: worker_pb2.UnwrapSpoolKeyRequest, _context: Context
    ) -> worker_pb2.UnwrapSpoolKeyResponse:
        caller = current_caller()
        if caller.worker_id is None:
            raise PermissionDenied("this key is no worker's", reason=problem_pb2.ERROR_REASON_WORKER_REMOVED)
        key = await self._connections.keys.unwrap(caller, caller.worker_id, request.key_id, request.wrapped_key)
        return worker_pb2.UnwrapSpoolKeyResponse(key=key)

    async def ListWorkers(
        self, request: worker_pb2.ListWorkersRequest, _context: Context
    ) -> worker_pb2.ListWorkersResponse:
        caller, size = current_caller(), page_size(request.page_size)
        position = self._pages.decode(request, caller.tenant)
        site_ids = ids_of(request.site_ids)
        for site_id in site_ids:
            caller.check_site(SiteId(site_id))

        async def work(tx: Tx, _caller: Caller) -> list[Worker]:
            return await list_workers(
                tx,
                site_ids=site_ids,
                states=[named for state in request.states for named in _states(state)],
                order_by=request.order_by,
                after=UUID(position[0]) if position else None,
                limit=size + 1,
            )

        found = await self._transactions.read(work)
        response = worker_pb2.ListWorkersResponse(workers=[to_proto(worker) for worker in found[:size]])
        if len(found) > size:
            response.next_page_token = self._pages.encode(request, caller.tenant, [found[size - 1].id])
        return response

    async def GetWorker(self, request: worker_pb2.GetWorkerRequest, _context: Context) -> worker_pb2.GetWorkerResponse:
        worker_id = WorkerId(UUID(request.id))
        worker = await self._transactions.read(lambda tx, _caller: get_worker(tx, worker_id))
        return worker_pb2.GetWorkerResponse(worker=to_proto(worker))

    async def DrainWorker(
        self, request: worker_pb2.DrainWorkerRequest, _context: Context
    ) -> worker_pb2.DrainWorkerResponse:
        async def work(tx: Tx, caller: Caller) -> worker_pb2.DrainWorkerResponse:
            worker = await self._workers.drain(tx, caller, WorkerId(UUID(request.id)), request.reason)
            return worker_pb2.DrainWorkerResponse(worker=to_proto(worker))

        return await self._transactions.write(request, worker_pb2.DrainWorkerResponse, work)

    async def UndrainWorker(
        self, request: worker_pb2.UndrainWorkerRequest, _context: Context
    ) -> worker_pb2.UndrainWorkerResponse:
        async def work(tx: Tx, caller: Caller) -> worker_pb2.UndrainWorkerResponse:
            worker = await self._workers.undrain(tx, caller, WorkerId(UUID(request.id)))
            return worker_pb2.UndrainWorkerResponse(worker=to_proto(worker))

        return await self._transactions.write(request, worker_pb2.UndrainWorkerResponse, work)

    async def SetWorkerMaintenance(
        self, request: worker_pb2.SetWorkerMaintenanceRequest, _context: Context
    ) -> worker_pb2.SetWorkerMaintenanceResponse:
        async def work(tx: Tx, caller: Caller) -> worker_pb2.SetWorkerMaintenanceResponse:
            worker_id = WorkerId(UUID(request.id))
            worker = await self._workers.set_maintenance(
                tx, caller, worker_id, request.reason, maintenance=request.maintenance
            )
            return worker_pb2.SetWorkerMaintenanceResponse(worker=to_proto(worker))

        return await self._transactions.write(request, worker_pb2.SetWorkerMaintenanceResponse, work)


def _states(value: worker_pb2.WorkerState.ValueType) -> tuple[WorkerState, ...]:
    state = WorkerState(worker_pb2.WorkerState.Name(value).removeprefix(_STATE))
    return (state, WorkerState.ENROLLED) if state is WorkerState.CONNECTING else (state,)


def to_proto(worker: Worker) -> worker_pb2.Worker:
    """The worker as the contract has it."""
    shown = WorkerState.CONNECTING if worker.state is WorkerState.ENROLLED else worker.state
    capacity = None
    if worker.agent_version:  # it has said Hello
        capacity = worker_session_pb2.Capacity(slots=worker.slots, spare_frame_rate=worker.spare_frame_rate)
    return worker_pb2.Worker(
        id=str(worker.id),
        site_id=str(worker.site_id),
        display_name=worker.display_name,
        state=worker_pb2.WorkerState.Value(f"{_STATE}{shown.value}"),
        state_reason=worker.state_reason,
        state_time=timestamp(worker.state_time),
        capacity=capacity,
        agent_version=worker.agent_version,
        camera_count=worker.camera_count,
        heartbeat_time=timestamp(worker.heartbeat_time),
        create_time=timestamp(worker.create_time),
        platform=worker.platform,
        execution_providers=worker.execution_providers,
        embedding_spaces=worker.embedding_spaces,
        api_key_id=str(worker.api_key_id or ""),
        spool_events=worker.spool_events,
        clock_offset_ms=worker.clock_offset_ms,
        stolen_time=timestamp(worker.stolen_time),
    )
