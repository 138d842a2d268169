"""A mutation that is repeated under its request id happens once and gets the first answer; and is audited once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import NoReturn
from uuid import UUID, uuid4

import pytest
from footfall.registry.v1 import site_pb2
from sqlalchemy import text

from mesh.access import Role
from mesh.audit import Audit
from mesh.auth import Caller
from mesh.database import Database
from mesh.errors import Conflict, InvalidField, MeshError
from mesh.idempotency import once
from mesh.ids import SYSTEM_TENANT_ID, SystemIds, TenantId
from schema.common import metadata
from schema.reports import audit_entries
from tests.support.database import TestDatabase
from tests.support.seed import seed_tenant

REQUESTS = metadata.tables["registry_requests"]


@pytest.fixture
async def db(database: TestDatabase) -> AsyncIterator[Database]:
    async with Database.connect(database.url("svc_registry"), pool_size=6) as connected:
        yield connected


@pytest.fixture
def caller(database: TestDatabase) -> Caller:
    tenant = TenantId(seed_tenant(database).tenant_id)
    return Caller(peer="gateway", role=Role.TENANT_ADMIN, tenant_id=tenant, subject_id=uuid4(), subject_kind="USER")


class Act:
    """Answers with how often it acted."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> site_pb2.CreateSiteResponse:
        self.times += 1
        return site_pb2.CreateSiteResponse(site=site_pb2.Site(display_name=f"answer {self.times}"))


def _request(request_id: UUID | None = None, name: str = "Shop") -> site_pb2.CreateSiteRequest:
    return site_pb2.CreateSiteRequest(site=site_pb2.Site(display_name=name), request_id=str(request_id or uuid4()))


async def _ask(
    db: Database,
    caller: Caller,
    request: site_pb2.CreateSiteRequest,
    act: Callable[[], Awaitable[site_pb2.CreateSiteResponse]],
) -> site_pb2.CreateSiteResponse:
    async with db.as_caller(caller) as tx:
        return await once(tx, REQUESTS, caller, request, act, response_type=site_pb2.CreateSiteResponse)


async def test_a_repeat_gets_the_first_answer_and_does_nothing(db: Database, caller: Caller) -> None:
    act, request = Act(), _request()
    first = await _ask(db, caller, request, act)
    assert await _ask(db, caller, request, act) == first
    assert act.times == 1


async def test_another_body_under_the_same_id_is_refused(db: Database, caller: Caller) -> None:
    act, request_id = Act(), uuid4()
    await _ask(db, caller, _request(request_id), act)
    with pytest.raises(MeshError) as refused:
        await _ask(db, caller, _request(request_id, "Another"), act)
    assert refused.value.reason_name == "REQUEST_ID_REUSED"
    assert act.times == 1


async def test_an_id_is_its_principals_own(db: Database, caller: Caller, database: TestDatabase) -> None:
    act, request = Act(), _request()
    await _ask(db, caller, request, act)
    other = Caller(peer="gateway", role=Role.TENANT_ADMIN, tenant_id=caller.tenant_id, subject_id=uuid4())
    await _ask(db, other, request, act)
    elsewhere = Caller(
        peer="gateway",
        role=Role.TENANT_ADMIN,
        tenant_id=TenantId(seed_tenant(database).tenant_id),
        subject_id=caller.subject_id,
    )
    await _ask(db, elsewhere, request, act)
    assert act.times == 3


async def test_an_act_that_failed_is_done_by_the_retry(db: Database, caller: Caller) -> None:
    request, act = _request(), Act()

    async def fails() -> NoReturn:
        raise Conflict("x")

    with pytest.raises(Conflict):
        await _ask(db, caller, request, fails)
    await _ask(db, caller, request, act)
    assert act.times == 1


async def test_two_at_once_act_once(db: Database, caller: Caller) -> None:
    act, request, entered = Act(), _request(), asyncio.Event()

    async def slow() -> site_pb2.CreateSiteResponse:
        entered.set()
        await asyncio.sleep(0.05)
        return await act()

    first = asyncio.create_task(_ask(db, caller, request, slow))
    await entered.wait()
    second = asyncio.create_task(_ask(db, caller, request, act))
    answers = await asyncio.gather(first, second)
    assert answers[0] == answers[1]
    assert act.times == 1


async def test_an_answer_is_kept_for_a_day_and_no_longer(db: Database, caller: Caller, database: TestDatabase) -> None:
    act, request_id = Act(), uuid4()
    await _ask(db, caller, _request(request_id), act)
    with database.superuser() as connection:
        kept = connection.execute("SELECT expire_time - create_time FROM registry_requests").fetchone()
        assert kept == (timedelta(hours=24),)
        connection.execute("UPDATE registry_requests SET expire_time = now()")
    await _ask(db, caller, _request(request_id, "Another"), act)
    assert act.times == 2


async def test_without_an_id_every_call_acts(db: Database, caller: Caller) -> None:
    act, request = Act(), site_pb2.CreateSiteRequest()
    await _ask(db, caller, request, act)
    await _ask(db, caller, request, act)
    assert act.times == 2


async def test_an_id_that_is_no_uuid_is_refused(db: Database, caller: Caller) -> None:
    with pytest.raises(InvalidField, match="request_id"):
        await _ask(db, caller, site_pb2.CreateSiteRequest(request_id="x"), Act())


async def test_a_service_and_a_system_admin_have_ids_of_their_own(db: Database, caller: Caller) -> None:
    act, request = Act(), _request()
    service = Caller(peer="svc-ingest", tenant_id=caller.tenant_id)
    admin = Caller(peer="gateway", role=Role.SYSTEM_ADMIN, subject_id=uuid4())
    for one in (service, admin, service, admin):
        await _ask(db, one, request, act)
    assert act.times == 2


async def test_an_audit_entry_exists_exactly_when_its_act_does(
    db: Database, caller: Caller, database: TestDatabase
) -> None:
    audit = Audit(audit_entries, "svc_registry", SystemIds())
    request_id, site = str(uuid4()), uuid4()
    known = Caller(
        peer="gateway",
        role=Role.TENANT_ADMIN,
        tenant_id=caller.tenant_id,
        subject_id=caller.subject_id,
        subject_kind="USER",
        request_id=request_id,
    )
    async with db.as_caller(known) as tx:
        await audit.record(tx, known, "site.create", target_kind="site", target_id=site, details={"mode": "FULL"})
    with pytest.raises(ValueError, match="x"):  # noqa: PT012 (the whole block is what raises)
        async with db.as_caller(known) as tx:
            await audit.record(tx, known, "site.delete", target_kind="site", target_id=site)
            raise ValueError("x")
    with database.superuser() as connection:
        rows = connection.execute(
            "SELECT tenant_id, service, actor_kind, actor_id, actor_role, action, target_id, request_id::text, details"
            " FROM audit_entries"
        ).fetchall()
    assert rows == [
        (
            known.tenant_id,
            "svc_registry",
            "USER",
            known.subject_id,
            "TENANT_ADMIN",
            "site.create",
            site,
            request_id,
            {"mode": "FULL"},
        )
    ]


@pytest.mark.parametrize(
    ("caller_of", "kind"),
    [
        (Caller(peer="svc-ingest", role=None), "SERVICE"),
        (Caller(peer="operator", role=None), "OPERATOR"),
        (Caller(peer="gateway", role=Role.SYSTEM_ADMIN, subject_id=uuid4(), subject_kind="USER"), "USER"),
    ],
)
async def test_every_kind_of_actor_is_told(db: Database, database: TestDatabase, caller_of: Caller, kind: str) -> None:
    audit = Audit(audit_entries, "svc_registry", SystemIds())
    caller = Caller(
        peer=caller_of.peer,
        role=caller_of.role,
        tenant_id=SYSTEM_TENANT_ID,
        subject_id=caller_of.subject_id,
        subject_kind=caller_of.subject_kind,
        request_id="a callers own word",
    )
    async with db.as_caller(caller) as tx:
        await audit.record(tx, caller, "session.look")
        assert (await tx.execute(text("SELECT 1"))).scalar() == 1
    with database.superuser() as connection:
        assert connection.execute("SELECT actor_kind, request_id FROM audit_entries").fetchall() == [(kind, None)]
