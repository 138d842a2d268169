"""Matching on the real record and the real index: nobody is new twice, and nobody is somebody else's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from mesh.database import Database
from mesh.ids import EventId, SiteId, SystemIds, TenantId
from mesh.keyring import Key, KeyRing
from svc_identity.matching.domain import Decision, Face, Policy, Reason, Verdict
from svc_identity.matching.indexing import Indexer
from svc_identity.matching.service import Matching, Query, UnknownSpaceError
from svc_identity.vectors.milvus import MilvusIndex
from svc_identity.vectors.port import Vector
from svc_identity.vectors.vault import VectorVault
from tests.support.database import TestDatabase
from tests.support.faces import person_vector, shot
from tests.support.seed import SeededTenant, seed_tenant

SPACE = "mobilefacenet-ms1m@1"
POLICY = Policy(threshold=0.40, founding_quality=0.35)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass
class House:
    """One identity process on a database and an index; a second one on the same is another replica."""

    test_database: TestDatabase
    database: Database
    index: MilvusIndex
    vault: VectorVault
    tenant: SeededTenant
    indexer: Indexer = field(init=False)
    matching: Matching = field(init=False)

    def __post_init__(self) -> None:
        self.indexer = Indexer(self.database, self.index, self.vault)
        self.matching = self.replica(self.vault)

    def replica(self, vault: VectorVault) -> Matching:
        return Matching(
            database=self.database,
            index=self.index,
            vault=vault,
            ids=SystemIds(),
            defaults={SPACE: POLICY},
            enrolled=self.indexer.wake,
        )

    @property
    def tenant_id(self) -> TenantId:
        return TenantId(self.tenant.tenant_id)

    def query(self, vector: Vector, quality: float = 0.9, staff_hint: UUID | None = None) -> Query:
        face = Face(EventId(SystemIds().uuid7(NOON)), SiteId(self.tenant.site_id), quality)
        return Query(face, NOON, SPACE, vector, staff_hint)

    async def ask(self, *queries: Query) -> list[Decision]:
        return await self.matching.match(self.tenant_id, queries)

    def customers(self) -> int:
        with self.test_database.superuser() as connection:
            row = connection.execute("SELECT count(*) FROM customers").fetchone()
        assert row is not None
        return int(row[0])

    def enrol_staff(self, vector: Vector, *, suspended: bool = False, sites: Sequence[UUID] = ()) -> UUID:
        staff_id, embedding_id = uuid4(), uuid4()
        sealed = self.vault.seal(embedding_id, vector)  # type: ignore[arg-type]
        with self.test_database.superuser() as connection:
            connection.execute(
                "INSERT INTO staff (tenant_id, id, display_name, suspended, site_ids, effective_time)"
                " VALUES (%s, %s, 'Ann', %s, %s, now())",
                (self.tenant.tenant_id, staff_id, suspended, list(sites)),
            )
            connection.execute(
                "INSERT INTO embeddings (tenant_id, id, staff_id, space, vector, quality)"
                " VALUES (%s, %s, %s, %s, %s, 1)",
                (self.tenant.tenant_id, embedding_id, staff_id, SPACE, sealed),
            )
        return staff_id


@pytest.fixture
async def house(database: TestDatabase, tmp_path: Path) -> AsyncIterator[House]:
    index = MilvusIndex(str(tmp_path / "vectors.db"))
    async with Database.connect(database.url("svc_identity")) as connected:
        vault = VectorVault(KeyRing([Key("k1", bytes(32))]))
        yield House(database, connected, index, vault, seed_tenant(database))
    await index.close()


async def test_a_stranger_founds_a_customer_and_comes_back_as_the_same(house: House) -> None:
    (first,) = await house.ask(house.query(person_vector(1)))
    (again,) = await house.ask(house.query(shot(1, 0.7)))
    assert (first.verdict, first.reason) == (Verdict.ENROLLED, Reason.NOBODY_SIMILAR)
    assert (again.verdict, again.reason) == (Verdict.MATCHED, Reason.RECENT)
    assert again.customer_id == first.customer_id
    assert again.similarity == pytest.approx(0.7, abs=1e-3)


async def test_whoever_is_indexed_is_proposed_by_the_index(house: House) -> None:
    (first,) = await house.ask(house.query(person_vector(1)))
    assert await house.indexer.index_tenant(house.tenant_id) == 1
    (again,) = await house.ask(house.query(shot(1, 0.7)))
    assert (again.reason, again.customer_id) == (Reason.INDEX, first.customer_id)


async def test_two_shots_of_one_stranger_in_a_batch_are_one_customer(house: House) -> None:
    first, second, other = await house.ask(
        house.query(person_vector(1)), house.query(shot(1, 0.8)), house.query(person_vector(2))
    )
    assert second.reason == Reason.SAME_BATCH
    assert first.customer_id == second.customer_id != other.customer_id
    assert house.customers() == 2


async def test_replicas_asked_at_once_about_one_stranger_found_one_customer(house: House) -> None:
    replicas = [house.replica(VectorVault(KeyRing([Key("k1", bytes(32))]))) for _ in range(4)]
    answers = await asyncio.gather(
        *(
            replica.match(house.tenant_id, [house.query(shot(person, 0.9, seed=turn))])
            for turn, replica in enumerate(replicas)
            for person in range(5)
        )
    )
    assert house.customers() == 5
    assert Counter(decision.verdict for (decision,) in answers) == {Verdict.ENROLLED: 5, Verdict.MATCHED: 15}


async def test_an_event_asked_about_again_gets_its_first_decision(house: House) -> None:
    query = house.query(person_vector(1))
    (first,) = await house.ask(query)
    await house.indexer.index_tenant(house.tenant_id)
    (again,) = await house.ask(query)
    assert again.verdict is Verdict.ENROLLED
    assert (again.customer_id, again.embedding_id) == (first.customer_id, first.embedding_id)
    assert house.customers() == 1


async def test_one_event_asked_about_twice_at_once_is_decided_once(house: House) -> None:
    query = house.query(person_vector(1))
    (first,), (second,) = await asyncio.gather(house.ask(query), house.ask(query))
    assert first.customer_id == second.customer_id
    assert house.customers() == 1


async def test_a_poor_face_founds_nobody_but_may_confirm_somebody(house: House) -> None:
    (poor,) = await house.ask(house.query(person_vector(1), quality=0.1))
    assert (poor.verdict, poor.reason, poor.person) == (Verdict.UNDECIDED, Reason.QUALITY_LOW, None)
    (good,) = await house.ask(house.query(person_vector(1)))
    (confirmed,) = await house.ask(house.query(shot(1, 0.6), quality=0.1))
    assert (confirmed.verdict, confirmed.customer_id) == (Verdict.MATCHED, good.customer_id)


async def test_staff_are_recognised_before_the_index_has_them(house: House) -> None:
    staff_id = house.enrol_staff(person_vector(7))
    (seen,) = await house.ask(house.query(shot(7, 0.6)))
    assert (seen.verdict, seen.staff_id, seen.customer_id) == (Verdict.STAFF, staff_id, None)
    (hinted,) = await house.ask(house.query(shot(7, 0.5), staff_hint=staff_id))
    assert (hinted.verdict, hinted.reason) == (Verdict.STAFF, Reason.STAFF_HINT)


async def test_a_staff_hint_without_the_likeness_is_not_believed(house: House) -> None:
    staff_id = house.enrol_staff(person_vector(7))
    (seen,) = await house.ask(house.query(person_vector(8), staff_hint=staff_id))
    assert seen.verdict is Verdict.ENROLLED


async def test_suspended_staff_are_strangers(house: House) -> None:
    house.enrol_staff(person_vector(7), suspended=True)
    (seen,) = await house.ask(house.query(person_vector(7)))
    assert seen.verdict is Verdict.ENROLLED


async def test_staff_of_another_site_are_customers_here(house: House) -> None:
    staff_id = house.enrol_staff(person_vector(7), sites=[uuid4()])
    (seen,) = await house.ask(house.query(person_vector(7), staff_hint=staff_id))
    assert (seen.verdict, seen.staff_id) == (Verdict.ENROLLED, None)
    here = house.enrol_staff(person_vector(9), sites=[house.tenant.site_id])
    (seen,) = await house.ask(house.query(person_vector(9)))
    assert seen.staff_id == here


async def test_a_merged_customers_face_names_who_they_became(house: House) -> None:
    (loser,) = await house.ask(house.query(person_vector(1)))
    (winner,) = await house.ask(house.query(person_vector(2)))
    with house.test_database.superuser() as connection:
        connection.execute(
            "UPDATE customers SET state = 'MERGED', merged_into = %s WHERE id = %s",
            (winner.customer_id, loser.customer_id),
        )
    (seen,) = await house.ask(house.query(shot(1, 0.8)))
    assert seen.customer_id == winner.customer_id


async def test_a_forgotten_customers_face_is_a_strangers(house: House) -> None:
    (gone,) = await house.ask(house.query(person_vector(1)))
    await house.indexer.index_tenant(house.tenant_id)
    with house.test_database.superuser() as connection:
        connection.execute("UPDATE customers SET state = 'FORGOTTEN' WHERE id = %s", (gone.customer_id,))
    (seen,) = await house.ask(house.query(shot(1, 0.9)))
    assert seen.verdict is Verdict.ENROLLED
    assert seen.customer_id != gone.customer_id


async def test_a_sure_and_different_shot_joins_the_gallery_and_a_doubtful_or_equal_one_does_not(house: House) -> None:
    await house.ask(house.query(person_vector(1)))
    await house.ask(house.query(shot(1, 0.45, seed=1)), house.query(shot(1, 0.95, seed=2)))
    assert _embeddings(house) == 1
    await house.ask(house.query(shot(1, 0.6, seed=3)))
    assert _embeddings(house) == 2


async def test_a_tenants_own_threshold_stands_above_the_models(house: House) -> None:
    await house.ask(house.query(person_vector(1)))
    with house.test_database.superuser() as connection:
        connection.execute(
            "INSERT INTO tenant_thresholds (tenant_id, space, effective_time, threshold, founding_quality)"
            " VALUES (%s, %s, now(), 0.8, 0.3)",
            (house.tenant.tenant_id, SPACE),
        )
    (seen,) = await house.ask(house.query(shot(1, 0.6)))
    assert seen.verdict is Verdict.ENROLLED
    assert seen.threshold == pytest.approx(0.8)


async def test_another_tenants_customers_are_strangers(house: House) -> None:
    await house.ask(house.query(person_vector(1)))
    await house.indexer.index_tenant(house.tenant_id)
    other = seed_tenant(house.test_database, name="Other")
    (seen,) = await house.matching.match(TenantId(other.tenant_id), [house.query(person_vector(1))])
    assert seen.verdict is Verdict.ENROLLED
    assert seen.candidates == ()


async def test_an_unknown_space_is_refused_with_its_place_in_the_batch(house: House) -> None:
    good, bad = house.query(person_vector(1)), house.query(person_vector(2))
    with pytest.raises(UnknownSpaceError) as refused:
        await house.ask(good, Query(bad.face, NOON, "facenet@1", bad.vector))
    assert refused.value.position == 1
    assert house.customers() == 0


async def test_what_a_crash_left_out_of_the_index_is_brought_over_by_the_sweep(house: House) -> None:
    await house.ask(*(house.query(person_vector(person)) for person in range(10)))
    assert await house.index.count(SPACE, house.tenant_id) == 0
    await house.indexer.sweep()
    assert await house.index.count(SPACE, house.tenant_id) == 10
    with house.test_database.superuser() as connection:
        row = connection.execute("SELECT count(*) FROM embeddings WHERE index_time IS NULL").fetchone()
    assert row == (0,)


async def test_vectors_lie_sealed_in_the_record(house: House) -> None:
    await house.ask(house.query(person_vector(1)))
    with house.test_database.superuser() as connection, connection.cursor(row_factory=psycopg.rows.scalar_row) as rows:
        (stored,) = rows.execute("SELECT vector FROM embeddings").fetchall()
    assert person_vector(1).tobytes() not in bytes(stored)


def _embeddings(house: House) -> int:
    with house.test_database.superuser() as connection:
        row = connection.execute("SELECT count(*) FROM embeddings").fetchone()
    assert row is not None
    return int(row[0])
