"""IngestService: faces in, answers out. The quarantine's RPCs come with a later version; its events are stored now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from footfall.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from footfall.type.v1 import problem_pb2

from mesh.auth import current_caller
from mesh.errors import FieldViolation, MeshError
from svc_ingest.events import wire
from svc_ingest.events.credit import Credits
from svc_ingest.events.domain import Refusal, Sender
from svc_ingest.events.service import EventService
from svc_ingest.events.stream import FaceStream


class IngestServicer(ingest_pb2_grpc.IngestServiceServicer):
    """Protobuf ↔ domain.

    Args:
        service: takes the events.
        credits: of the open streams.
        stream_batches: of one stream, under way at once.
    """

    def __init__(self, service: EventService, credits: Credits, stream_batches: int) -> None:  # noqa: A002
        self._service = service
        self._credits = credits
        self._stream_batches = stream_batches

    async def StreamFaces(
        self,
        request_iterator: AsyncIterator[ingest_pb2.StreamFacesRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[ingest_pb2.StreamFacesResponse]:
        """See the contract."""
        sender = wire.sender_of(current_caller())

        async def answer(request: ingest_pb2.StreamFacesRequest) -> ingest_pb2.StreamFacesResponse:
            return await self._answer(sender, request)

        stream = FaceStream(answer, self._credits, self._stream_batches)
        async for response in stream.run(sender.tenant_id, request_iterator):
            yield response

    async def IngestFace(
        self,
        request: ingest_pb2.IngestFaceRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> ingest_pb2.IngestFaceResponse:
        """See the contract."""
        item = wire.read_event(request.event)
        if isinstance(item, Refusal):
            raise _malformed(item)
        (outcome,) = await self._service.take(wire.sender_of(current_caller()), [item])
        return ingest_pb2.IngestFaceResponse(outcome=wire.write_outcome(request.event.id, outcome))

    async def _answer(self, sender: Sender, request: ingest_pb2.StreamFacesRequest) -> ingest_pb2.StreamFacesResponse:
        outcomes = await self._service.take(sender, [wire.read_event(event) for event in request.events])
        pictures = await self._service.take_snapshots(sender, [wire.read_snapshot(one) for one in request.snapshots])
        return ingest_pb2.StreamFacesResponse(
            outcomes=[
                wire.write_outcome(event.id, outcome) for event, outcome in zip(request.events, outcomes, strict=True)
            ],
            snapshot_outcomes=[
                wire.write_snapshot_outcome(snapshot.event_id, outcome)
                for snapshot, outcome in zip(request.snapshots, pictures, strict=True)
            ],
        )


def _malformed(refusal: Refusal) -> MeshError:
    return MeshError(
        problem_pb2.ErrorReason.Value(f"ERROR_REASON_{refusal.reason}"),
        refusal.message,
        violations=[FieldViolation(f"event.{found.field}", found.description) for found in refusal.violations],
    )
