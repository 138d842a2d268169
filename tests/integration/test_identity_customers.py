"""Customers as they are read, and the housekeeping that follows their sightings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from footfall.identity.v1 import customer_pb2, customer_profile_pb2, erasure_pb2, match_pb2, staff_face_pb2, staff_pb2

from mesh.access import Role
from mesh.ids import TenantId
from mesh.tls import Tls
from tests.support.database import TestDatabase
from tests.support.faces import person_vector, shot
from tests.support.identity import IDS, NOON, SPACE, RunningIdentity, embedding, query, running_identity
from tests.support.mesh import reason
from tests.support.seed import SeededTenant, seed_site, seed_tenant
from tests.support.waiting import until

ACTIVE = customer_profile_pb2.CUSTOMER_STATE_ACTIVE
PROVISIONAL = customer_profile_pb2.CUSTOMER_STATE_PROVISIONAL


@pytest.fixture
async def identity(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path
) -> AsyncIterator[RunningIdentity]:
    async with running_identity(database, peers, tmp_path) as running:
        yield running


@pytest.fixture
def tenant(identity: RunningIdentity) -> SeededTenant:
    return seed_tenant(identity.database)


async def see(identity: RunningIdentity, tenant: SeededTenant, *faces: match_pb2.FaceQuery) -> list[Any]:
    async with identity.matching(tenant) as stub:
        return list((await stub.MatchFaces(match_pb2.MatchFacesRequest(faces=faces))).decisions)


def commit_sighting(
    identity: RunningIdentity, tenant: SeededTenant, decision: match_pb2.MatchDecision, at: datetime
) -> None:
    """The row that svc_ingest writes, and the visit that its fold makes of it."""
    with identity.database.superuser() as connection:
        connection.execute(
            "INSERT INTO face_events (tenant_id, id, site_id, camera_id, lease_epoch, capture_time, track_start_time,"
            " track_end_time, quality, verdict, customer_id) VALUES (%s, %s, %s, %s, 1, %s, %s, %s, 0.9, %s, %s)",
            (
                *(tenant.tenant_id, decision.event_id, tenant.site_id, tenant.camera_id, at, at),
                *(at + timedelta(seconds=4), match_pb2.MatchDecision.Verdict.Name(decision.verdict)[8:]),
                decision.customer_id,
            ),
        )
        connection.execute(
            "SELECT set_config('app.tenant_id', %s, false)",
            (str(tenant.tenant_id),),
        )
        connection.execute(
            "SELECT fold_visits(%s, %s, %s, %s, %s)",
            (tenant.tenant_id, decision.customer_id, tenant.site_id, at, at + timedelta(seconds=4)),
        )


async def visited(
    identity: RunningIdentity, tenant: SeededTenant, person: int, *times: datetime, name: str | None = None
) -> str:
    """A customer with a visit at each of these times."""
    customer = ""
    for number, at in enumerate(times):
        (decision,) = await see(identity, tenant, query(tenant, shot(person, 0.9, seed=number), at=at))
        customer = decision.customer_id
        commit_sighting(identity, tenant, decision, at)
    await until(lambda: state_of(identity, customer) == "ACTIVE")
    if name is not None:
        with identity.database.superuser() as connection:
            connection.execute("UPDATE customers SET display_name = %s WHERE id = %s", (name, customer))
    return customer


def state_of(identity: RunningIdentity, customer: str) -> str | None:
    rows = identity.rows("SELECT state FROM customers WHERE id = %s", UUID(customer))
    return rows[0][0] if rows else None


async def test_a_customer_is_provisional_until_a_sighting_commits(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    (decision,) = await see(identity, tenant, query(tenant, person_vector(1)))
    async with identity.customers(tenant) as stub:
        assert not (await stub.ListCustomers(customer_pb2.ListCustomersRequest())).customers
        asked = await stub.ListCustomers(customer_pb2.ListCustomersRequest(states=[PROVISIONAL]))
        assert [customer.id for customer in asked.customers] == [decision.customer_id]
        commit_sighting(identity, tenant, decision, NOON)
        await until(lambda: state_of(identity, decision.customer_id) == "ACTIVE")
        (customer,) = (await stub.ListCustomers(customer_pb2.ListCustomersRequest())).customers
    assert (customer.state, customer.visit_count, customer.embedding_count) == (ACTIVE, 1, 1)
    assert customer.first_visit_time.ToDatetime(UTC) == customer.last_visit_time.ToDatetime(UTC) == NOON
    assert customer.last_site_id == str(tenant.site_id)
    assert customer.expire_time.ToDatetime(UTC) == NOON + timedelta(days=365, seconds=4)


async def test_a_customers_times_follow_later_and_late_sightings(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    late, later = NOON - timedelta(days=3), NOON + timedelta(days=2)
    customer = await visited(identity, tenant, 1, NOON, later, late)
    expected = [(late, later + timedelta(seconds=4))]
    query_ = "SELECT first_sighting_time, last_sighting_time FROM customers"
    await until(lambda: identity.rows(query_) == expected)
    async with identity.customers(tenant) as stub:
        found = (await stub.GetCustomer(customer_pb2.GetCustomerRequest(id=customer))).customer
    assert (found.visit_count, found.first_visit_time.ToDatetime(UTC)) == (3, late)
    assert found.last_visit_time.ToDatetime(UTC) == later


async def test_whoever_was_never_seen_is_removed_with_every_trace(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path
) -> None:
    tenant = seed_tenant(database)
    async with running_identity(database, peers, tmp_path) as identity:
        lost, seen = query(tenant, person_vector(1)), query(tenant, person_vector(2))
        first, second = await see(identity, tenant, lost, seen)
        commit_sighting(identity, tenant, second, NOON)

        async def indexed() -> bool:
            return await identity.index.count(SPACE, TenantId(tenant.tenant_id)) == 2

        await until(indexed)
        with database.superuser() as connection:  # an hour later
            connection.execute(
                "UPDATE customers SET create_time = create_time - interval '2 h',"
                " update_time = update_time - interval '2 h'"
            )
        await until(lambda: state_of(identity, first.customer_id) is None)

        async def left_the_index() -> bool:
            return await identity.index.count(SPACE, TenantId(tenant.tenant_id)) == 1

        await until(left_the_index)
        assert identity.rows("SELECT id::text FROM customers") == [(second.customer_id,)]
        assert identity.rows("SELECT event_id::text FROM match_decisions") == [(seen.event_id,)]
        # Should the event come after all, it is decided anew.
        (anew,) = await see(identity, tenant, lost)
        assert anew.verdict == match_pb2.MatchDecision.VERDICT_ENROLLED
        assert anew.customer_id != first.customer_id


async def test_whoever_is_asked_about_again_is_waited_for_anew(identity: RunningIdentity, tenant: SeededTenant) -> None:
    face = query(tenant, person_vector(1))
    (first,) = await see(identity, tenant, face)
    with identity.database.superuser() as connection:
        connection.execute("UPDATE customers SET create_time = create_time - interval '2 h'")
        (before,) = connection.execute("SELECT update_time FROM customers").fetchone() or (None,)
    (again,) = await see(identity, tenant, face)
    assert again == first
    ((after,),) = identity.rows("SELECT update_time FROM customers")
    assert after > before


async def test_customers_are_listed_in_order_page_by_page_and_by_filter(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    day = timedelta(days=1)
    ann = await visited(identity, tenant, 1, NOON, NOON + day, NOON + 2 * day, name="Ann_")
    bob = await visited(identity, tenant, 2, NOON + 3 * day, name="annika")
    cleo = await visited(identity, tenant, 3, NOON + 4 * day, NOON + 5 * day)
    async with identity.customers(tenant) as stub:

        async def listed(**asked: Any) -> list[str]:
            found: list[str] = []
            request = customer_pb2.ListCustomersRequest(page_size=2, **asked)
            while True:
                page = await stub.ListCustomers(request)
                found += [customer.id for customer in page.customers]
                if not page.next_page_token:
                    return found
                request.page_token = page.next_page_token

        assert await listed() == [cleo, bob, ann]
        assert await listed(order_by="last_visit_time") == [ann, bob, cleo]
        assert await listed(order_by="visit_count desc") == [ann, cleo, bob]
        assert await listed(order_by="create_time") == [ann, bob, cleo]
        assert await listed(min_visit_count=2) == [cleo, ann]
        assert await listed(display_name_prefix="ANN") == [bob, ann]
        assert await listed(display_name_prefix="ann_") == [ann]
        bounded = customer_pb2.ListCustomersRequest()
        bounded.start_time.FromDatetime(NOON + 3 * day)
        bounded.end_time.FromDatetime(NOON + 5 * day)
        assert [one.id for one in (await stub.ListCustomers(bounded)).customers] == [bob]


async def test_a_site_manager_sees_whom_its_sites_have_seen(identity: RunningIdentity, tenant: SeededTenant) -> None:
    other = seed_site(identity.database, tenant)
    mine = await visited(identity, tenant, 1, NOON)
    theirs = await visited(identity, other, 2, NOON)
    both = await visited(identity, tenant, 3, NOON)
    assert both == await visited(identity, other, 3, NOON + timedelta(days=1))
    async with identity.customers(tenant, Role.SITE_MANAGER, site_ids=[tenant.site_id]) as stub:
        listed = (await stub.ListCustomers(customer_pb2.ListCustomersRequest())).customers
        assert {customer.id for customer in listed} == {mine, both}
        assert {customer.visit_count for customer in listed} == {1}
        with pytest.raises(grpc.aio.AioRpcError) as hidden:
            await stub.GetCustomer(customer_pb2.GetCustomerRequest(id=theirs))
        assert reason(hidden.value) == "NOT_FOUND"
        with pytest.raises(grpc.aio.AioRpcError) as beyond:
            await stub.ListCustomers(customer_pb2.ListCustomersRequest(site_ids=[str(other.site_id)]))
        assert reason(beyond.value) == "SITE_NOT_ALLOWED"
    async with identity.customers(tenant) as stub:
        at_other = await stub.ListCustomers(customer_pb2.ListCustomersRequest(site_ids=[str(other.site_id)]))
        assert {customer.id for customer in at_other.customers} == {theirs, both}


async def test_a_recognition_test_names_nobody_whom_a_site_manager_may_not_see(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    other = seed_site(identity.database, tenant)
    mine, theirs = await visited(identity, tenant, 1, NOON), await visited(identity, other, 2, NOON)
    async with identity.staff(tenant) as stub:
        made = await stub.CreateStaff(
            staff_pb2.CreateStaffRequest(staff=staff_pb2.Staff(display_name="Ann", site_ids=[str(tenant.site_id)]))
        )
        near = staff_face_pb2.TestRecognitionRequest(id=made.staff.id, embedding=embedding(shot(2, 0.9)))
        everybody = await stub.TestRecognition(near)
    async with identity.staff(tenant, Role.SITE_MANAGER, site_ids=[tenant.site_id]) as stub:
        seen = await stub.TestRecognition(near)
    assert {one.customer_id for one in everybody.candidates} == {mine, theirs}
    assert {one.customer_id for one in seen.candidates} == {mine}


async def test_another_tenants_customers_do_not_exist(identity: RunningIdentity, tenant: SeededTenant) -> None:
    customer = await visited(identity, tenant, 1, NOON)
    stranger = seed_tenant(identity.database, name="Other")
    async with identity.customers(stranger) as stub:
        assert not (await stub.ListCustomers(customer_pb2.ListCustomersRequest())).customers
        for id_ in (customer, str(uuid4())):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.GetCustomer(customer_pb2.GetCustomerRequest(id=id_))
            assert reason(refused.value) == "NOT_FOUND"


async def test_viewers_see_no_person_and_corrections_are_not_built_yet(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    async with identity.customers(tenant, Role.VIEWER) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListCustomers(customer_pb2.ListCustomersRequest())
        assert reason(refused.value) == "ROLE_NOT_ALLOWED"
    async with identity.customers(tenant) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as later:
            await stub.EraseCustomer(erasure_pb2.EraseCustomerRequest(id=str(IDS.uuid7())))
        assert reason(later.value) == "NOT_BUILT_YET"
