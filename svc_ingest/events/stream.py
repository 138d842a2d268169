"""The shape of StreamFaces: credit first, then batches up and answers down, several at once and in any order.

Nothing is read while as many batches are under way as the stream may have: what a client sends too much waits in its
own buffers. A batch that cannot be answered ends the stream; the client sends it again on the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack

from footfall.ingest.v1 import ingest_pb2
from footfall.type.v1 import problem_pb2

from mesh.errors import FailedPrecondition
from mesh.ids import TenantId
from svc_ingest.events.credit import Credits

Answer = Callable[[ingest_pb2.StreamFacesRequest], Awaitable[ingest_pb2.StreamFacesResponse]]
_Item = ingest_pb2.StreamFacesResponse | BaseException | None


class FaceStream:
    """One open stream.

    Args:
        answer: answers one batch, wholly and durably.
        credits: of all streams.
        most_batches: under way at once.
    """

    def __init__(self, answer: Answer, credits: Credits, most_batches: int) -> None:  # noqa: A002 (the word for it)
        self._answer = answer
        self._credits = credits
        self._turns = asyncio.Semaphore(most_batches)
        # Answers; an empty one when the credit has changed; why the stream ends; None at its end.
        self._out: asyncio.Queue[_Item] = asyncio.Queue()
        self._batches: set[asyncio.Task[None]] = set()

    async def run(
        self, tenant_id: TenantId, requests: AsyncIterator[ingest_pb2.StreamFacesRequest]
    ) -> AsyncIterator[ingest_pb2.StreamFacesResponse]:
        """Answers until the client has no more to say and everything is answered.

        Raises:
            FailedPrecondition: PROTOCOL_VIOLATED: the batches are not numbered 1, 2, 3, …
            MeshError: why a batch could not be answered.
        """
        with ExitStack() as stack:
            credit = stack.enter_context(self._credits.open(tenant_id, self._credit_changed))
            reader = asyncio.create_task(self._read(requests))
            try:
                yield ingest_pb2.StreamFacesResponse(credit=credit.events)
                while (item := await self._out.get()) is not None:
                    if isinstance(item, BaseException):
                        raise item
                    item.credit = credit.events
                    yield item
                    if item.batch:
                        self._turns.release()
            finally:
                for task in (reader, *self._batches):
                    task.cancel()
                await asyncio.gather(reader, *self._batches, return_exceptions=True)

    def _credit_changed(self) -> None:
        self._out.put_nowait(ingest_pb2.StreamFacesResponse())

    async def _read(self, requests: AsyncIterator[ingest_pb2.StreamFacesRequest]) -> None:
        try:
            expected = 1
            async for request in requests:
                if request.batch != expected:
                    raise FailedPrecondition(
                        f"batch {expected} was to come, not {request.batch}",
                        reason=problem_pb2.ERROR_REASON_PROTOCOL_VIOLATED,
                    )
                expected += 1
                await self._turns.acquire()
                task = asyncio.create_task(self._work(request))
                self._batches.add(task)
                task.add_done_callback(self._batches.discard)
            await asyncio.gather(*self._batches)
        except Exception as error:  # noqa: BLE001 (whatever it was: the stream's own task raises it)
            self._out.put_nowait(error)
        else:
            self._out.put_nowait(None)

    async def _work(self, request: ingest_pb2.StreamFacesRequest) -> None:
        try:
            response = await self._answer(request)
        except Exception as error:  # noqa: BLE001 (as above)
            self._out.put_nowait(error)
            return
        response.batch = request.batch
        self._out.put_nowait(response)
