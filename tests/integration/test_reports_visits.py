"""VisitService: the visits one by one, page by page, and why each is what it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import psycopg
import pytest
from footfall.identity.v1 import match_pb2
from footfall.ingest.v1 import event_pb2
from footfall.ingest.v1 import visit_pb2 as record_pb2
from footfall.reports.v1 import visit_pb2
from footfall.type.v1 import face_pb2
from psycopg.types.json import Jsonb

from mesh.access import Role
from mesh.tls import Tls
from tests.support.database import TestDatabase
from tests.support.mesh import fields, reason
from tests.support.reports import RunningReports, Shop, running_reports, stamp
from tests.support.seed import SeededTenant, seed_site, seed_tenant

START = datetime(2026, 3, 10, 9, tzinfo=UTC)
ListRequest = visit_pb2.ListVisitsRequest
ExplainRequest = visit_pb2.ExplainVisitRequest


@pytest.fixture
async def reports(database: TestDatabase, peers: Callable[[str], Tls]) -> AsyncIterator[RunningReports]:
    async with running_reports(database, peers) as running:
        yield running


@pytest.fixture
def tenant(database: TestDatabase) -> SeededTenant:
    return seed_tenant(database)


@pytest.fixture
def shop(reports: RunningReports, tenant: SeededTenant) -> Shop:
    return reports.shop(tenant)


async def listed(
    reports: RunningReports, tenant: SeededTenant, request: ListRequest | None = None, **claims: Any
) -> list[record_pb2.VisitRecord]:
    async with reports.visits(tenant, **claims) as stub:
        return list((await stub.ListVisits(request or ListRequest())).visits)


def customers(visits: list[record_pb2.VisitRecord]) -> list[UUID]:
    return [UUID(visit.customer_id) for visit in visits]


# -- listing ------------------------------------------------------------------------------------------------------


async def test_visits_come_newest_first_and_oldest_first_on_request(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    people = [uuid4() for _ in range(3)]
    for number, customer in enumerate(people):
        shop.visit(customer, START + timedelta(hours=number), minutes=10)
    assert customers(await listed(reports, tenant)) == people[::-1]
    assert customers(await listed(reports, tenant, ListRequest(order_by="start_time desc"))) == people[::-1]
    assert customers(await listed(reports, tenant, ListRequest(order_by="start_time"))) == people


async def test_a_record_says_all_of_the_visit(reports: RunningReports, tenant: SeededTenant, shop: Shop) -> None:
    anna = uuid4()
    side = shop.camera()
    shop.visit(anna, START, minutes=10)
    shop.visit(anna, START + timedelta(minutes=15), camera_id=side)
    lay_image(reports.connection, tenant, best_event(reports.connection, anna))
    reports.connection.execute("UPDATE face_events SET gender = 'FEMALE', similarity = 0.75")
    (visit,) = await listed(reports, tenant)
    assert UUID(visit.customer_id) == anna
    assert visit.site_id == str(tenant.site_id)
    assert visit.start_time.ToDatetime(UTC) == START
    assert visit.end_time.ToDatetime(UTC) == START + timedelta(minutes=15)
    assert (visit.sighting_count, visit.dwell.seconds) == (3, 900)
    assert visit.state == record_pb2.VISIT_STATE_CLOSED
    assert (visit.first_camera_id, visit.last_camera_id) == (str(tenant.camera_id), str(side))
    assert visit.is_new
    assert visit.image_id
    assert visit.similarity == 0.75
    assert visit.quality == 0.5
    assert visit.gender == face_pb2.GENDER_FEMALE
    assert visit.local_date == "2026-03-10"
    assert visit.create_time.ToDatetime() <= visit.update_time.ToDatetime()
    assert not visit.HasField("superseded_by")
    reports.connection.execute(
        "INSERT INTO customers (tenant_id, id, state, gender) VALUES (%s, %s, 'ACTIVE', 'OTHER')",
        (tenant.tenant_id, anna),
    )
    assert (await listed(reports, tenant))[0].gender == face_pb2.GENDER_OTHER


async def test_a_viewer_sees_numbers_and_no_faces(reports: RunningReports, tenant: SeededTenant, shop: Shop) -> None:
    anna = uuid4()
    shop.visit(anna, START)
    lay_image(reports.connection, tenant, best_event(reports.connection, anna))
    (visit,) = await listed(reports, tenant, role=Role.VIEWER)
    assert visit.id
    assert not visit.HasField("image_id")
    async with reports.visits(tenant, Role.VIEWER) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ExplainVisit(ExplainRequest(id=visit.id))
    assert reason(refused.value) == "ROLE_NOT_ALLOWED"


async def test_pages_hold_every_visit_once_also_those_of_the_same_instant(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    for number in range(11):
        shop.visit(uuid4(), START + timedelta(hours=number // 4))
    for order in ("", "start_time"):
        seen: list[str] = []
        token, pages = "", 0
        async with reports.visits(tenant) as stub:
            while pages == 0 or token:
                page = await stub.ListVisits(ListRequest(page_size=3, page_token=token, order_by=order))
                seen += (visit.id for visit in page.visits)
                token, pages = page.next_page_token, pages + 1
        assert pages == 4
        assert len(seen) == len(set(seen)) == 11


async def test_a_page_token_is_good_for_its_filter_and_tenant_alone(
    reports: RunningReports, database: TestDatabase, tenant: SeededTenant, shop: Shop
) -> None:
    for _ in range(3):
        shop.visit(uuid4(), START)
    async with reports.visits(tenant) as stub:
        token = (await stub.ListVisits(ListRequest(page_size=1))).next_page_token
        assert len((await stub.ListVisits(ListRequest(page_size=2, page_token=token))).visits) == 2
        for other in (
            ListRequest(page_token=token, order_by="start_time"),
            ListRequest(page_token=token, is_new=True),
            ListRequest(page_token=token[:-2] + "AA"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.ListVisits(other)
            assert (reason(refused.value), fields(refused.value)) == ("PAGE_TOKEN_INVALID", ["page_token"])
    async with reports.visits(seed_tenant(database, name="Rival")) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListVisits(ListRequest(page_token=token))
        assert reason(refused.value) == "PAGE_TOKEN_INVALID"


async def test_filters_narrow_the_list(
    reports: RunningReports, database: TestDatabase, tenant: SeededTenant, shop: Shop
) -> None:
    branch = reports.shop(seed_site(database, tenant))
    side = shop.camera()
    anna, bea, clara = uuid4(), uuid4(), uuid4()
    shop.visit(anna, START)
    branch.visit(anna, START + timedelta(hours=2))
    shop.visit(bea, START + timedelta(hours=3), camera_id=side)
    shop.visit(clara, START + timedelta(hours=4))
    shop.visit(clara, START + timedelta(hours=4, minutes=20), camera_id=side)

    async def found(**filters: Any) -> list[UUID]:
        return customers(await listed(reports, tenant, ListRequest(order_by="start_time", **filters)))

    assert await found() == [anna, anna, bea, clara]
    assert await found(site_ids=[str(branch.id)]) == [anna]
    assert await found(customer_id=str(anna)) == [anna, anna]
    assert await found(camera_ids=[str(side)]) == [bea, clara]  # began or ended there
    assert await found(camera_ids=[str(side), str(branch.seeded.camera_id)]) == [anna, bea, clara]
    assert await found(is_new=True) == [anna, bea, clara]
    assert await found(is_new=False) == [anna]
    assert await found(start_time=stamp(START + timedelta(hours=2))) == [anna, bea, clara]
    assert await found(end_time=stamp(START + timedelta(hours=2))) == [anna]
    assert await found(start_time=stamp(START), end_time=stamp(START + timedelta(hours=3))) == [anna, anna]


async def test_states_are_told_apart_and_only_those_that_count_are_listed_unasked(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    now = datetime.now(UTC)
    still_here, joined, gone = uuid4(), uuid4(), uuid4()
    shop.visit(still_here, now - timedelta(minutes=1))
    early = START - timedelta(days=1)
    shop.visit(joined, early)
    shop.visit(joined, early + timedelta(minutes=50))
    shop.visit(joined, early + timedelta(minutes=25))  # a late sighting joins both
    shop.visit(gone, START)
    reports.connection.execute("UPDATE visits SET state = 'RETRACTED' WHERE customer_id = %s", (gone,))
    assert customers(await listed(reports, tenant)) == [still_here, joined]
    for name, expected in (("OPEN", still_here), ("CLOSED", joined), ("SUPERSEDED", joined), ("RETRACTED", gone)):
        state = record_pb2.VisitState.Value(f"VISIT_STATE_{name}")
        (visit,) = await listed(reports, tenant, ListRequest(states=[state]))
        assert (visit.state, UUID(visit.customer_id)) == (state, expected)
        assert visit.HasField("superseded_by") == (name == "SUPERSEDED")
    every = [value for value in record_pb2.VisitState.values() if value]
    assert len(await listed(reports, tenant, ListRequest(states=every))) == 4


async def test_a_site_manager_lists_his_sites_and_new_is_decided_by_all(
    reports: RunningReports, database: TestDatabase, tenant: SeededTenant, shop: Shop
) -> None:
    hidden = reports.shop(seed_site(database, tenant))
    anna = uuid4()
    hidden.visit(anna, START)
    shop.visit(anna, START + timedelta(hours=1))
    his: dict[str, Any] = {"role": Role.SITE_MANAGER, "site_ids": [shop.id]}
    (visit,) = await listed(reports, tenant, **his)
    assert (UUID(visit.site_id), visit.is_new) == (shop.id, False)
    (theirs,) = await listed(reports, tenant, ListRequest(site_ids=[str(hidden.id)]))
    async with reports.visits(tenant, **his) as stub:
        for call in (
            stub.ListVisits(ListRequest(site_ids=[str(hidden.id)])),
            stub.ExplainVisit(ExplainRequest(id=theirs.id)),
            stub.ExplainVisit(ExplainRequest(id=str(uuid4()))),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert (refused.value.code(), reason(refused.value)) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert await listed(reports, tenant, role=Role.SITE_MANAGER, site_ids=[]) == []


async def test_another_tenants_visits_do_not_exist(
    reports: RunningReports, database: TestDatabase, tenant: SeededTenant, shop: Shop
) -> None:
    shop.visit(uuid4(), START)
    (visit,) = await listed(reports, tenant)
    rival = seed_tenant(database, name="Rival")
    assert await listed(reports, rival) == []
    async with reports.visits(rival) as stub:
        for call in (
            stub.ExplainVisit(ExplainRequest(id=visit.id)),
            stub.ListVisits(ListRequest(site_ids=[str(shop.id)])),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() == grpc.StatusCode.NOT_FOUND


# -- explaining ---------------------------------------------------------------------------------------------------


async def test_an_explanation_shows_each_sighting_and_how_it_was_decided(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    anna, bea, forgotten = uuid4(), uuid4(), uuid4()
    carl, fired = uuid4(), uuid4()
    shop.visit(anna, START, minutes=10)
    lay_people(reports.connection, tenant, active=[anna, bea], forgotten=[forgotten], staff=[carl], former=[fired])
    event = best_event(reports.connection, anna)
    lay_image(reports.connection, tenant, event)
    embedding = uuid4()
    considered = [("CUSTOMER", anna), ("CUSTOMER", forgotten), ("STAFF", carl), ("STAFF", fired), ("CUSTOMER", bea)]
    candidates = [
        {"kind": kind, "person_id": str(person), "embedding_id": str(embedding), "similarity": 0.5, "found_by": "INDEX"}
        for kind, person in considered
    ]
    reports.connection.execute(
        "UPDATE face_events SET verdict = 'MATCHED', embedding_id = %s, space = 'test@1', similarity = 0.5,"
        " threshold = 0.375, clock_uncertainty_ms = 40 WHERE id = %s",
        (embedding, event),
    )
    reports.connection.execute(
        "INSERT INTO match_decisions (tenant_id, event_id, site_id, capture_time, space, verdict, customer_id,"
        " threshold, quality, candidates, reason) VALUES (%s, %s, %s, %s, 'test@1', 'MATCHED', %s, 0.375, 0.5, %s,"
        " 'INDEX')",
        (tenant.tenant_id, event, tenant.site_id, START, anna, Jsonb(candidates)),
    )
    (visit,) = await listed(reports, tenant)
    async with reports.visits(tenant) as stub:
        told = await stub.ExplainVisit(ExplainRequest(id=visit.id))
    assert told.visit == visit
    assert told.visit_gap.seconds == 1800
    first, second = told.sightings
    assert (first.id, second.id != first.id) == (str(event), True)
    assert first.camera_id == str(tenant.camera_id)
    assert [at.ToDatetime(UTC) for at in (first.capture_time, first.track_start_time, first.track_end_time)] == [
        START
    ] * 3
    assert first.image_id
    assert not second.HasField("image_id")
    assert first.match == event_pb2.MATCH_KNOWN
    assert first.reason == match_pb2.MatchDecision.REASON_INDEX
    assert second.reason == match_pb2.MatchDecision.REASON_UNSPECIFIED
    assert first.customer_id == str(anna)
    assert (first.embedding_id, first.space) == (str(embedding), "test@1")
    assert (first.quality, first.similarity, first.threshold) == (0.5, 0.5, 0.375)
    assert not second.HasField("similarity")
    assert first.clock_uncertainty_ms == 40
    # The erased customer and the staff member who left are not named any more.
    assert [one.customer_id or one.staff_id for one in first.candidates] == [str(anna), str(carl), str(bea)]
    assert first.candidates[0].embedding_id == str(embedding)
    # Bea was never at this site: a manager of it is not to know of her.
    async with reports.visits(tenant, role=Role.SITE_MANAGER, site_ids=[shop.id]) as stub:
        told = await stub.ExplainVisit(ExplainRequest(id=visit.id))
    assert [one.customer_id or one.staff_id for one in told.sightings[0].candidates] == [str(anna), str(carl)]


async def test_sightings_come_in_pages(reports: RunningReports, tenant: SeededTenant, shop: Shop) -> None:
    anna = uuid4()
    for minute in range(5):
        shop.visit(anna, START + timedelta(minutes=minute))
    (visit,) = await listed(reports, tenant)
    seen: list[str] = []
    token, pages = "", 0
    async with reports.visits(tenant, Role.SITE_MANAGER, site_ids=[shop.id]) as stub:
        while pages == 0 or token:
            page = await stub.ExplainVisit(ExplainRequest(id=visit.id, page_size=2, page_token=token))
            seen += (sighting.id for sighting in page.sightings)
            token, pages = page.next_page_token, pages + 1
    assert (pages, len(seen), len(set(seen))) == (3, 5, 5)


async def test_a_visit_names_those_that_became_part_of_it(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    anna = uuid4()
    for minutes in (0, 50, 25):
        shop.visit(anna, START + timedelta(minutes=minutes))
    (visit,) = await listed(reports, tenant)
    (gone,) = await listed(reports, tenant, ListRequest(states=[record_pb2.VISIT_STATE_SUPERSEDED]))
    async with reports.visits(tenant) as stub:
        told = await stub.ExplainVisit(ExplainRequest(id=visit.id))
        assert list(told.superseded_visit_ids) == [gone.id]
        assert len(told.sightings) == 3
        nothing = await stub.ExplainVisit(ExplainRequest(id=gone.id))
    assert (nothing.visit.superseded_by, len(nothing.sightings)) == (visit.id, 0)


async def test_corrections_tell_who_changed_whose_a_sighting_is(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    anna, bea, clara, admin = uuid4(), uuid4(), uuid4(), uuid4()
    shop.visit(anna, START)
    lay_people(reports.connection, tenant, active=[anna, bea, clara])
    event = best_event(reports.connection, anna)
    now = datetime.now(UTC)
    merge = "INSERT INTO merges (tenant_id, id, winner_id, loser_id, subject_id, create_time, undo_time)"
    values = " VALUES (%s, gen_random_uuid(), %s, %s, %s, %s, %s)"
    hour = timedelta(hours=1)
    reports.connection.execute(merge + values, (tenant.tenant_id, bea, anna, admin, now + hour, now + 2 * hour))
    reports.connection.execute(merge + values, (tenant.tenant_id, anna, clara, admin, now + 4 * hour, None))
    reports.connection.execute(
        "INSERT INTO sighting_moves (tenant_id, id, event_id, from_customer_id, to_customer_id, create_time)"
        " VALUES (%s, gen_random_uuid(), %s, %s, %s, %s)",
        (tenant.tenant_id, event, anna, clara, now + 3 * hour),
    )
    (visit,) = await listed(reports, tenant)
    async with reports.visits(tenant) as stub:
        (sighting,) = (await stub.ExplainVisit(ExplainRequest(id=visit.id))).sightings
    kind = visit_pb2.Correction
    assert [(one.kind, one.from_customer_id, one.to_customer_id) for one in sighting.corrections] == [
        (kind.KIND_MERGED, str(anna), str(bea)),
        (kind.KIND_UNMERGED, str(bea), str(anna)),
        (kind.KIND_MOVED, str(anna), str(clara)),
        (kind.KIND_MERGED, str(clara), str(anna)),
    ]
    assert [one.user_id for one in sighting.corrections] == [str(admin), str(admin), "", str(admin)]
    assert not sighting.corrections[2].HasField("user_id")


# -- rows ---------------------------------------------------------------------------------------------------------


def best_event(connection: psycopg.Connection, customer_id: UUID) -> UUID:
    row = connection.execute("SELECT best_event_id FROM visits WHERE customer_id = %s", (customer_id,)).fetchone()
    assert row is not None
    event: UUID = row[0]
    return event


def lay_image(connection: psycopg.Connection, tenant: SeededTenant, event_id: UUID) -> None:
    connection.execute(
        "INSERT INTO face_images (tenant_id, id, event_id, site_id, camera_id, object_key, sha256, bytes, width,"
        " height, content_type, capture_time, expire_time)"
        " VALUES (%s, gen_random_uuid(), %s, %s, %s, 'a/key', 'x', 1, 1, 1, 'image/jpeg', now(), now())",
        (tenant.tenant_id, event_id, tenant.site_id, tenant.camera_id),
    )


def lay_people(
    connection: psycopg.Connection,
    tenant: SeededTenant,
    *,
    active: list[UUID],
    forgotten: list[UUID] | None = None,
    staff: list[UUID] | None = None,
    former: list[UUID] | None = None,
) -> None:
    for state, people in (("ACTIVE", active), ("FORGOTTEN", forgotten or [])):
        for customer_id in people:
            connection.execute(
                "INSERT INTO customers (tenant_id, id, state) VALUES (%s, %s, %s)",
                (tenant.tenant_id, customer_id, state),
            )
    for left, people in ((None, staff or []), (START, former or [])):
        for staff_id in people:
            connection.execute(
                "INSERT INTO staff (tenant_id, id, display_name, effective_time, delete_time)"
                " VALUES (%s, %s, 'Carl', now(), %s)",
                (tenant.tenant_id, staff_id, left),
            )
