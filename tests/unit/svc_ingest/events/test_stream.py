"""StreamFaces' shape: credit first, each batch answered once, several at once, nothing read beyond that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from uuid import uuid4

import pytest
from footfall.ingest.v1 import ingest_pb2

from mesh.errors import MeshError, Unavailable
from mesh.ids import TenantId
from svc_ingest.events.credit import Credits
from svc_ingest.events.stream import FaceStream
from tests.support.waiting import until

TENANT = TenantId(uuid4())
Response = ingest_pb2.StreamFacesResponse


def credits_of(window: int = 256) -> Credits:
    return Credits(window, least=16, most=256)


async def batches(
    numbers: Iterable[int], read: list[int] | None = None
) -> AsyncIterator[ingest_pb2.StreamFacesRequest]:
    for number in numbers:
        if read is not None:
            read.append(number)
        yield ingest_pb2.StreamFacesRequest(batch=number)


async def echo(_request: ingest_pb2.StreamFacesRequest) -> Response:
    return Response()


async def test_the_first_message_is_the_credit_and_each_batch_is_answered_once() -> None:
    stream = FaceStream(echo, credits_of(), 4)
    messages = [message async for message in stream.run(TENANT, batches(range(1, 11)))]
    assert (messages[0].batch, messages[0].credit) == (0, 256)
    assert sorted(message.batch for message in messages[1:]) == list(range(1, 11))
    assert {message.credit for message in messages} == {256}


async def test_a_slow_batch_holds_up_no_other() -> None:
    gate = asyncio.Event()

    async def answer(request: ingest_pb2.StreamFacesRequest) -> Response:
        if request.batch == 1:
            await gate.wait()
        return Response()

    order = []
    async for message in FaceStream(answer, credits_of(), 4).run(TENANT, batches([1, 2, 3])):
        order.append(message.batch)
        if message.batch == 3:
            gate.set()
    assert order == [0, 2, 3, 1]


async def test_nothing_is_read_while_as_many_batches_are_under_way_as_may_be() -> None:
    gate, read, working = asyncio.Event(), list[int](), list[int]()

    async def answer(request: ingest_pb2.StreamFacesRequest) -> Response:
        working.append(request.batch)
        await gate.wait()
        return Response()

    run = FaceStream(answer, credits_of(), 2).run(TENANT, batches(range(1, 9), read))
    await anext(run)
    await until(lambda: len(working) == 2)
    assert len(read) <= 3  # two under way, and one in hand
    gate.set()
    assert len([message async for message in run]) == 8


async def test_batches_are_numbered_from_one() -> None:
    for numbers in ([2], [1, 3], [1, 1]):
        with pytest.raises(MeshError) as refused:
            _ = [message async for message in FaceStream(echo, credits_of(), 4).run(TENANT, batches(numbers))]
        assert refused.value.reason_name == "PROTOCOL_VIOLATED"


async def test_a_batch_that_cannot_be_answered_ends_the_stream_and_what_is_under_way() -> None:
    ended: list[int] = []

    async def answer(request: ingest_pb2.StreamFacesRequest) -> Response:
        if request.batch == 2:
            raise Unavailable("away")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(request.batch)
        raise AssertionError

    with pytest.raises(Unavailable):
        _ = [message async for message in FaceStream(answer, credits_of(), 4).run(TENANT, batches([1, 2]))]
    assert ended == [1]


async def test_a_change_of_credit_is_told_at_once_to_whoever_is_quiet() -> None:
    shared = credits_of(256)

    async def silence() -> AsyncIterator[ingest_pb2.StreamFacesRequest]:
        await asyncio.Event().wait()
        yield ingest_pb2.StreamFacesRequest()

    run = FaceStream(echo, shared, 4).run(TENANT, silence())
    assert (await anext(run)).credit == 256
    with shared.open(TENANT, lambda: None):
        message = await asyncio.wait_for(anext(run), 5)
        assert (message.batch, message.credit) == (0, 128)
    await run.aclose()  # type: ignore[attr-defined]  # a generator
