"""WatchVisits: every change of every visit, in order, without gap or repeat, to those who may see it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import psycopg
import pytest
from footfall.ingest.v1 import feed_pb2, visit_pb2

from mesh.access import Role
from mesh.tls import Tls
from tests.support.database import TestDatabase
from tests.support.ingest import RunningIngest, collect, face, jpeg, now, running_ingest, vector
from tests.support.mesh import reason
from tests.support.seed import SeededTenant, seed_site, seed_tenant
from tests.support.waiting import until

Watch = feed_pb2.WatchVisitsRequest
Kind = feed_pb2.VisitChange


@pytest.fixture
def tenant(database: TestDatabase) -> SeededTenant:
    return seed_tenant(database)


@pytest.fixture
async def ingest(database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path) -> AsyncIterator[RunningIngest]:
    async with running_ingest(database, peers, tmp_path) as running:
        yield running


async def opened(call: Any) -> str:
    """The cursor of the first message, which is a keepalive."""
    first = await call.read()
    if first is grpc.aio.EOF:
        await call
    assert first.WhichOneof("message") == "keepalive"
    return str(first.cursor)


def changes(messages: list[feed_pb2.WatchVisitsResponse]) -> list[feed_pb2.VisitChange]:
    return [message.change for message in messages if message.HasField("change")]


async def test_a_visit_appears_as_it_happens_and_changes_with_each_sighting(
    ingest: RunningIngest, tenant: SeededTenant
) -> None:
    at = now() - timedelta(minutes=10)
    async with ingest.feed(tenant) as feed, ingest.stream(tenant) as stream:
        call = feed.WatchVisits(Watch())
        await opened(call)
        (outcome,) = await stream.send(face(tenant, at=at, person="anna", quality=0.7, snapshot=jpeg()))
        (message,) = await collect(call, lambda messages: len(messages) == 1)
        visit = message.change.visit
        assert message.change.kind == Kind.KIND_CREATED
        assert (visit.id, visit.customer_id) == (outcome.visit_id, outcome.person_id)
        assert visit.site_id == str(tenant.site_id)
        assert visit.first_camera_id == visit.last_camera_id == str(tenant.camera_id)
        assert visit.start_time.ToMilliseconds() == visit.end_time.ToMilliseconds() == int(at.timestamp() * 1000)
        assert visit.state == visit_pb2.VISIT_STATE_OPEN
        assert visit.is_new
        assert visit.image_id
        assert not visit.HasField("dwell")  # one frame tells no stay
        assert not visit.HasField("similarity")  # the sighting that founded the customer resembles only itself
        assert visit.quality == pytest.approx(0.7)
        await stream.send(face(tenant, at=at + timedelta(minutes=2), person="anna", quality=0.9))
        (message,) = await collect(call, lambda messages: len(messages) == 1)
        visit = message.change.visit
        assert message.change.kind == Kind.KIND_UPDATED
        assert (visit.sighting_count, visit.dwell.seconds) == (2, 120)
        assert visit.similarity == pytest.approx(1, abs=1e-4)
        assert not visit.HasField("image_id")  # the better sighting came without a picture


async def test_the_feed_resumes_at_a_cursor_without_gap_or_repeat(ingest: RunningIngest, tenant: SeededTenant) -> None:
    async with ingest.feed(tenant) as feed, ingest.stream(tenant) as stream:
        call = feed.WatchVisits(Watch())
        await opened(call)
        await stream.send(*(face(tenant, at=now(), person=number) for number in range(10)))
        messages = await collect(call, lambda messages: len(messages) == 10)
        call.cancel()
        cursor = messages[3].cursor
        await stream.send(face(tenant, at=now(), person="later"))
        again = feed.WatchVisits(Watch(cursor=cursor))
        assert await opened(again) != ""
        rest = await collect(again, lambda messages: len(messages) == 7)
        again.cancel()
    seen = [change.visit.id for change in changes(messages[:4] + rest)]
    assert len(seen) == len(set(seen)) == 11


async def test_two_visits_joined_by_a_late_sighting_are_one_created_and_one_removed(
    ingest: RunningIngest, tenant: SeededTenant
) -> None:
    at = now() - timedelta(hours=3)
    async with ingest.feed(tenant) as feed, ingest.stream(tenant) as stream:
        call = feed.WatchVisits(Watch())
        await opened(call)
        for minutes in (0, 50, 25):
            await stream.send(face(tenant, at=at + timedelta(minutes=minutes), person="anna"))
        messages = changes(await collect(call, lambda messages: len(messages) == 4))
    first, second = messages[0].visit.id, messages[1].visit.id
    assert [message.kind for message in messages[:2]] == [Kind.KIND_CREATED] * 2
    by_visit = {message.visit.id: message for message in messages[2:]}
    assert by_visit[first].kind == Kind.KIND_UPDATED
    assert by_visit[first].visit.sighting_count == 3
    assert by_visit[second].kind == Kind.KIND_REMOVED
    assert by_visit[second].visit.state == visit_pb2.VISIT_STATE_SUPERSEDED
    assert by_visit[second].visit.superseded_by == first


async def test_under_concurrent_writers_that_commit_in_any_order_nothing_is_missed_or_told_twice(
    ingest: RunningIngest, tenant: SeededTenant
) -> None:
    """Rows whose transactions commit late, in random order, while a reader comes and goes with its cursor."""
    chance = random.Random(5)  # noqa: S311 (the same in every run)
    written: list[UUID] = []

    async def write(count: int) -> None:
        url = ingest.database.superuser_url
        for _ in range(count):
            async with await psycopg.AsyncConnection.connect(url) as connection:
                for _ in range(chance.randrange(1, 4)):
                    visit_id = uuid4()
                    await connection.execute(
                        _VISIT,
                        (
                            tenant.tenant_id,
                            visit_id,
                            uuid4(),
                            tenant.site_id,
                            uuid4(),
                            uuid4(),
                            tenant.camera_id,
                            tenant.camera_id,
                        ),
                    )
                    await connection.execute(
                        "INSERT INTO visit_feed (tenant_id, visit_id, site_id, kind) VALUES (%s, %s, %s, 'CREATED')",
                        (tenant.tenant_id, visit_id, tenant.site_id),
                    )
                    await asyncio.sleep(chance.random() * 0.03)  # others commit in between
                    written.append(visit_id)

    seen: list[str] = []
    async with ingest.feed(tenant) as feed:
        first = feed.WatchVisits(Watch())
        cursor = await opened(first)
        first.cancel()
        writers = asyncio.gather(*(write(12) for _ in range(6)))
        while not writers.done() or len(seen) < len(written):
            call = feed.WatchVisits(Watch(cursor=cursor))
            await opened(call)
            for _ in range(chance.randrange(1, 30)):
                if writers.done() and len(seen) >= len(written):
                    break
                message = await asyncio.wait_for(call.read(), 20)
                cursor = message.cursor
                seen += [change.visit.id for change in changes([message])]
            call.cancel()
        await writers
    assert len(seen) == len(set(seen))
    assert set(seen) == {str(visit_id) for visit_id in written}


_VISIT = """
INSERT INTO visits (tenant_id, id, customer_id, site_id, local_date, start_time, end_time, sighting_count,
  first_event_id, best_event_id, first_camera_id, last_camera_id)
VALUES (%s, %s, %s, %s, current_date, now(), now(), 1, %s, %s, %s, %s)
"""


async def test_filters_and_site_managers_see_their_sites_only_and_know_who_is_new_in_the_tenant(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant
) -> None:
    elsewhere = seed_site(database, tenant)
    at = now() - timedelta(minutes=5)
    async with (
        ingest.feed(tenant, Role.SITE_MANAGER, site_ids=[elsewhere.site_id]) as managers,
        ingest.feed(tenant) as admins,
        ingest.stream(tenant) as here,
        ingest.stream(elsewhere) as there,
    ):
        manager = managers.WatchVisits(Watch())
        filtered = admins.WatchVisits(Watch(site_ids=[str(tenant.site_id)]))
        await opened(manager)
        await opened(filtered)
        await here.send(face(tenant, at=at, person="anna"))
        await there.send(face(elsewhere, at=at + timedelta(minutes=1), person="anna"))
        (seen,) = changes(await collect(manager, lambda messages: len(messages) == 1))
        assert seen.visit.site_id == str(elsewhere.site_id)
        assert not seen.visit.is_new  # she was at the other site first
        (seen,) = changes(await collect(filtered, lambda messages: len(messages) == 1))
        assert seen.visit.site_id == str(tenant.site_id)
        assert seen.visit.is_new
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await opened(managers.WatchVisits(Watch(site_ids=[str(tenant.site_id)])))
    assert reason(refused.value) == "SITE_NOT_ALLOWED"


async def test_a_viewer_sees_visits_without_pictures_and_another_tenant_sees_nothing(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant
) -> None:
    other = seed_tenant(database, name="Other")
    async with (
        ingest.feed(tenant, Role.VIEWER) as viewers,
        ingest.feed(other) as others,
        ingest.stream(tenant) as stream,
        ingest.stream(other) as others_stream,
    ):
        viewer, stranger = viewers.WatchVisits(Watch()), others.WatchVisits(Watch())
        await opened(viewer)
        await opened(stranger)
        await stream.send(face(tenant, at=now(), snapshot=jpeg()))
        (seen,) = changes(await collect(viewer, lambda messages: len(messages) == 1))
        assert not seen.visit.HasField("image_id")
        await others_stream.send(face(other, at=now(), person="theirs"))
        (seen,) = changes(await collect(stranger, lambda messages: len(messages) == 1))
        assert seen.visit.site_id == str(other.site_id)


async def test_a_bad_cursor_is_refused_and_so_is_another_tenants(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant
) -> None:
    other = seed_tenant(database, name="Other")
    async with ingest.feed(tenant) as feed, ingest.feed(other) as others:
        call = feed.WatchVisits(Watch())
        cursor = await opened(call)
        for stub, bad in ((feed, "nonsense"), (others, cursor)):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await opened(stub.WatchVisits(Watch(cursor=bad)))
            assert refused.value.code() is grpc.StatusCode.OUT_OF_RANGE
            assert reason(refused.value) == "CURSOR_INVALID"


async def test_a_tenant_may_hold_so_many_feeds_and_no_more(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path, tenant: SeededTenant
) -> None:
    async with running_ingest(database, peers, tmp_path, watchers=2) as ingest, ingest.feed(tenant) as feed:
        calls = [feed.WatchVisits(Watch()) for _ in range(2)]
        for call in calls:
            await opened(call)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await opened(feed.WatchVisits(Watch()))
        assert reason(refused.value) == "STREAM_LIMIT"
        calls[0].cancel()

        await until(lambda: len(ingest.server.streams) == 1)
        await opened(feed.WatchVisits(Watch()))


async def test_a_feed_outlives_a_lost_connection_to_the_database(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant
) -> None:
    async with ingest.feed(tenant) as feed, ingest.stream(tenant) as stream:
        call = feed.WatchVisits(Watch())
        await opened(call)
        with database.superuser() as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'svc_ingest'")
        await stream.send(face(tenant, at=now(), person="after"))
        (seen,) = changes(await collect(call, lambda messages: len(messages) == 1))
    assert seen.kind == Kind.KIND_CREATED


async def test_staff_and_undecided_faces_are_no_visits(ingest: RunningIngest, tenant: SeededTenant) -> None:
    ingest.matcher.enrol_staff(tenant.tenant_id, uuid4(), vector("bob"))  # type: ignore[attr-defined]  # the fake
    async with ingest.feed(tenant) as feed, ingest.stream(tenant) as stream:
        call = feed.WatchVisits(Watch())
        await opened(call)
        await stream.send(
            face(tenant, at=now(), person="bob"),
            face(tenant, at=now(), person="poor", quality=0.05),
            face(tenant, at=now(), person="anna"),
        )
        (seen,) = changes(await collect(call, lambda messages: len(messages) == 1))
    assert seen.visit.is_new
    await until(lambda: ingest.rows("SELECT count(*) FROM visit_feed") == [(1,)])
