"""One suite for every vector index: what svc_identity relies on, on Milvus Lite and on the exact one in memory."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest

from mesh.ids import EmbeddingId, TenantId
from svc_identity.vectors.exact import ExactIndex
from svc_identity.vectors.milvus import MilvusIndex
from svc_identity.vectors.port import BadVectorError, IndexRow, Vector, VectorIndex, Vectors

SPACE = "mobilefacenet-ms1m@1"
ACME, OTHER = TenantId(UUID(int=1)), TenantId(UUID(int=2))


@pytest.fixture(params=["exact", "milvus-lite"])
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorIndex]:
    made: VectorIndex = ExactIndex() if request.param == "exact" else MilvusIndex(str(tmp_path / "vectors.db"))
    yield made
    await made.close()


def unit_vectors(count: int, seed: int = 0) -> Vectors:
    drawn = np.random.default_rng(seed).normal(size=(count, 512)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


def row(vector: Vector, tenant_id: TenantId = ACME, id_: EmbeddingId | None = None) -> IndexRow:
    return IndexRow(id_ or EmbeddingId(uuid4()), tenant_id, "CUSTOMER", str(uuid4()), 1_700_000_000, vector)


async def test_an_indexed_face_is_its_own_nearest_neighbour(index: VectorIndex) -> None:
    vectors = unit_vectors(50)
    rows = [row(vector) for vector in vectors]
    await index.upsert(SPACE, rows)
    found = await index.search(SPACE, ACME, vectors, 1)
    assert [hits[0].id for hits in found] == [row_.id for row_ in rows]
    assert all(0.999 < hits[0].similarity <= 1.0 for hits in found)


async def test_hits_come_best_first_and_no_more_than_asked_for(index: VectorIndex) -> None:
    vectors = unit_vectors(30)
    await index.upsert(SPACE, [row(vector) for vector in vectors])
    (hits,) = await index.search(SPACE, ACME, unit_vectors(1, seed=9), 5)
    assert len(hits) == 5
    assert [hit.similarity for hit in hits] == sorted((hit.similarity for hit in hits), reverse=True)


async def test_an_empty_index_answers_every_face_with_nothing(index: VectorIndex) -> None:
    assert await index.search(SPACE, ACME, unit_vectors(3), 5) == [[], [], []]
    assert await index.count(SPACE, ACME) == 0


async def test_no_tenant_finds_another_tenants_face(index: VectorIndex) -> None:
    vectors = unit_vectors(4)
    await index.upsert(SPACE, [row(vectors[0], ACME), row(vectors[1], OTHER)])
    assert [len(hits) for hits in await index.search(SPACE, ACME, vectors, 5)] == [1, 1, 1, 1]
    (hits,) = await index.search(SPACE, ACME, vectors[1:2], 5)
    assert hits[0].similarity < 0.5


async def test_no_tenant_deletes_another_tenants_face(index: VectorIndex) -> None:
    mine, theirs = row(unit_vectors(1)[0], ACME), row(unit_vectors(1, seed=5)[0], OTHER)
    await index.upsert(SPACE, [mine, theirs])
    await index.delete(SPACE, ACME, [mine.id, theirs.id])
    assert (await index.count(SPACE, ACME), await index.count(SPACE, OTHER)) == (0, 1)


async def test_spaces_do_not_mix(index: VectorIndex) -> None:
    vectors = unit_vectors(1)
    await index.upsert(SPACE, [row(vectors[0])])
    assert await index.search("arcface-w600k-mbf@1", ACME, vectors, 5) == [[]]


async def test_writing_a_row_again_changes_nothing(index: VectorIndex) -> None:
    one = row(unit_vectors(1)[0])
    await index.upsert(SPACE, [one])
    await index.upsert(SPACE, [one])
    assert await index.count(SPACE, ACME) == 1


async def test_a_deleted_face_is_not_found_and_deleting_it_again_is_no_error(index: VectorIndex) -> None:
    one = row(unit_vectors(1)[0])
    await index.upsert(SPACE, [one])
    await index.delete(SPACE, ACME, [one.id])
    await index.delete(SPACE, ACME, [one.id])
    assert await index.search(SPACE, ACME, unit_vectors(1), 5) == [[]]


@pytest.mark.parametrize(
    "vector",
    [
        np.full(512, np.nan, dtype=np.float32),
        np.zeros(512, dtype=np.float32),
        np.full(512, np.inf, dtype=np.float32),
        np.ones(128, dtype=np.float32) / np.sqrt(np.float32(128)),
    ],
    ids=["not a number", "no length", "infinite", "128 numbers"],
)
async def test_a_bad_vector_is_refused_before_it_reaches_the_index(index: VectorIndex, vector: Vector) -> None:
    with pytest.raises(BadVectorError):
        await index.upsert(SPACE, [row(vector)])
    with pytest.raises(BadVectorError):
        await index.search(SPACE, ACME, vector[np.newaxis, :], 5)
    assert await index.count(SPACE, ACME) == 0


async def test_milvus_lite_keeps_every_acknowledged_row_through_a_kill(tmp_path: Path) -> None:
    place = tmp_path / "vectors.db"
    program = textwrap.dedent(
        """
        import asyncio, sys
        from tests.integration.test_vector_index import ACME, SPACE, row, unit_vectors
        from svc_identity.vectors.milvus import MilvusIndex

        async def main() -> None:
            index = MilvusIndex(sys.argv[1])
            written = 0
            while True:
                await index.upsert(SPACE, [row(vector) for vector in unit_vectors(64, seed=written)])
                written += 64
                print(written, flush=True)

        asyncio.run(main())
        """
    )
    writer = subprocess.Popen([sys.executable, "-c", program, str(place)], stdout=subprocess.PIPE, text=True)
    with writer:
        assert writer.stdout is not None
        acknowledged = 0
        for line in writer.stdout:
            acknowledged = int(line)
            if acknowledged >= 640:
                break
        writer.send_signal(signal.SIGKILL)
    index = MilvusIndex(str(place))
    try:
        assert await index.count(SPACE, ACME) >= acknowledged
        (hits,) = await index.search(SPACE, ACME, unit_vectors(1, seed=0), 1)
        assert hits[0].similarity > 0.999
    finally:
        await index.close()
