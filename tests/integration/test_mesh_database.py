"""One tenant per transaction, on fresh and on reused connections; retries; locks; and a server that goes and comes."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from mesh.access import Role
from mesh.auth import Caller
from mesh.database import Database, Tx, lock, notify, sqlstate
from mesh.errors import Conflict, NotFound, Unavailable
from mesh.hints import Listener
from mesh.ids import SYSTEM_TENANT_ID, SiteId
from mesh.server import running
from stack.postgres import Postgres
from tests.support.database import TestDatabase, chosen_binaries
from tests.support.mesh import Peers, TokenIssuer
from tests.support.mesh_service import service
from tests.support.ports import free_port
from tests.support.seed import seed_site, seed_tenant
from tests.support.waiting import until


@pytest.fixture
async def db(database: TestDatabase) -> AsyncIterator[Database]:
    async with Database.connect(database.url("svc_registry"), pool_size=4) as connected:
        yield connected


async def _sites(tx: Tx) -> set[UUID]:
    return {row.id for row in await tx.execute(text("SELECT id FROM sites"))}


async def test_a_transaction_sees_its_own_tenant_alone(db: Database, database: TestDatabase) -> None:
    ours, theirs = seed_tenant(database), seed_tenant(database)
    async with db.transaction(ours.tenant_id) as tx:
        assert await _sites(tx) == {ours.site_id}
    async with db.transaction(theirs.tenant_id) as tx:
        assert await _sites(tx) == {theirs.site_id}


async def test_a_transaction_without_a_tenant_sees_none_also_on_a_reused_connection(database: TestDatabase) -> None:
    ours = seed_tenant(database)
    async with Database.connect(database.url("svc_registry"), pool_size=1) as db:
        async with db.transaction(None) as tx:
            assert await _sites(tx) == set()
        async with db.transaction(ours.tenant_id) as tx:
            assert await _sites(tx) == {ours.site_id}
        async with db.transaction(None) as tx:
            assert await _sites(tx) == set()


async def test_a_site_manager_is_held_to_its_sites(db: Database, database: TestDatabase) -> None:
    seeded = seed_tenant(database)
    second = seed_site(database, seeded)
    held = frozenset({SiteId(second.site_id)})
    caller = Caller(peer="gateway", role=Role.SITE_MANAGER, tenant_id=seeded.tenant_id, site_ids=held)
    async with db.as_caller(caller) as tx:
        assert await _sites(tx) == {second.site_id}
    nowhere = Caller(peer="gateway", role=Role.SITE_MANAGER, tenant_id=seeded.tenant_id, site_ids=frozenset())
    async with db.as_caller(nowhere) as tx:
        assert await _sites(tx) == set()
    admin = Caller(peer="gateway", role=Role.TENANT_ADMIN, tenant_id=seeded.tenant_id)
    assert await db.run_as_caller(admin, _sites) == {seeded.site_id, second.site_id}


async def test_a_system_admin_without_a_tenant_acts_in_the_systems_own(db: Database) -> None:
    async with db.as_caller(Caller(peer="gateway", role=Role.SYSTEM_ADMIN)) as tx:
        assert (await tx.execute(text("SELECT current_setting('app.tenant_id')"))).scalar() == str(SYSTEM_TENANT_ID)


async def test_what_a_block_raises_undoes_it_and_comes_through(db: Database, database: TestDatabase) -> None:
    seeded = seed_tenant(database)
    with pytest.raises(NotFound):  # noqa: PT012 (the whole block is what raises)
        async with db.transaction(seeded.tenant_id) as tx:
            await tx.execute(text("UPDATE sites SET display_name = 'changed'"))
            raise NotFound("site", "x")
    async with db.transaction(seeded.tenant_id) as tx:
        assert (await tx.execute(text("SELECT display_name FROM sites"))).scalar() == "Shop"


async def test_a_reader_cannot_write(db: Database, database: TestDatabase) -> None:
    seeded = seed_tenant(database)
    with pytest.raises(DBAPIError) as refused:  # a bug of ours, so it stays as the driver says it
        async with db.transaction(seeded.tenant_id, read_only=True) as tx:
            await tx.execute(text("UPDATE sites SET display_name = 'changed'"))
    assert sqlstate(refused.value) == "25006"
    async with db.transaction(seeded.tenant_id) as tx:  # the connection is not left read-only
        await tx.execute(text("UPDATE sites SET display_name = 'changed'"))


async def test_a_repeatable_read_sees_one_moment(db: Database, database: TestDatabase) -> None:
    seeded = seed_tenant(database)
    async with db.transaction(seeded.tenant_id, isolation="REPEATABLE READ", read_only=True) as reader:
        before = (await reader.execute(text("SELECT display_name FROM sites"))).scalar()
        async with db.transaction(seeded.tenant_id) as writer:
            await writer.execute(text("UPDATE sites SET display_name = 'changed'"))
        assert (await reader.execute(text("SELECT display_name FROM sites"))).scalar() == before
    async with db.transaction(seeded.tenant_id) as tx:
        assert (await tx.execute(text("SHOW transaction_isolation"))).scalar() == "read committed"


async def test_a_serialization_failure_is_tried_again(db: Database, database: TestDatabase) -> None:
    seeded = seed_tenant(database)
    tries: list[str] = []

    async def work(tx: Tx) -> str:
        name: str = (await tx.execute(text("SELECT display_name FROM sites"))).scalar_one()
        tries.append(name)
        if len(tries) == 1:
            async with db.transaction(seeded.tenant_id) as other:
                await other.execute(text("UPDATE sites SET display_name = 'by another'"))
        await tx.execute(text("UPDATE sites SET display_name = :name"), {"name": f"{name}!"})
        return name

    assert await db.run(seeded.tenant_id, work, isolation="REPEATABLE READ") == "by another"
    assert tries == ["Shop", "by another"]


async def test_what_always_conflicts_ends_as_a_conflict(db: Database, database: TestDatabase) -> None:
    seeded = seed_tenant(database)
    tries: list[int] = []

    async def work(tx: Tx) -> None:
        tries.append(1)
        await tx.execute(text("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"))

    with pytest.raises(Conflict):
        await db.run(seeded.tenant_id, work)
    assert len(tries) == 6


async def test_a_refusal_is_not_tried_again(db: Database, database: TestDatabase) -> None:
    tries: list[int] = []

    async def work(tx: Tx) -> None:
        tries.append(1)
        raise Conflict("ours, not PostgreSQL's")

    with pytest.raises(Conflict):
        await db.run(None, work)
    assert len(tries) == 1


async def test_locks_are_taken_in_one_order_so_nobody_deadlocks(db: Database) -> None:
    keys = [("visits", n) for n in range(20)]

    async def take(chosen: list[tuple[str, int]]) -> None:
        async with db.transaction(None) as tx:
            await lock(tx, *chosen)

    async with asyncio.timeout(20):
        await asyncio.gather(*(take(keys if n % 2 else keys[::-1]) for n in range(40)))


async def test_a_lock_is_held_until_the_transaction_ends(db: Database) -> None:
    order: list[str] = []

    async def second() -> None:
        async with db.transaction(None) as tx:
            await lock(tx, ("visits", "a"))
            order.append("second")

    async with db.transaction(None) as tx:
        await lock(tx, ("visits", "a"))
        waiting = asyncio.create_task(second())
        async with db.transaction(None) as other:  # another key does not wait
            await lock(other, ("visits", "b"), "c", uuid4())
        await _until_waiting(db)
        order.append("first")
    await waiting
    assert order == ["first", "second"]


async def _until_waiting(db: Database) -> None:
    """Returns once somebody waits for an advisory lock."""
    async with asyncio.timeout(20), db.transaction(None) as tx:
        while not (await tx.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))).scalar():  # noqa: ASYNC110 (PostgreSQL's state)
            await asyncio.sleep(0.005)


async def test_no_lock_is_asked_for_without_a_key(db: Database) -> None:
    async with db.transaction(None) as tx:
        await lock(tx)


async def test_when_every_connection_is_busy_the_caller_is_told(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.database.POOL_WAIT_SECONDS", 0.05)
    async with Database.connect(database.url("svc_registry"), pool_size=1) as db, db.transaction(None):
        with pytest.raises(Unavailable) as refused:
            async with db.transaction(None):
                pass
    assert refused.value.reason_name == "OVERLOADED"


async def test_a_statement_that_takes_too_long_is_cancelled(database: TestDatabase) -> None:
    async with Database.connect(database.url("svc_registry"), statement_seconds=0.05) as db:
        with pytest.raises(Unavailable) as refused:
            async with db.transaction(None) as tx:
                await tx.execute(text("SELECT pg_sleep(30)"))
    assert refused.value.reason_name == "OVERLOADED"


async def test_a_server_that_is_away_is_unavailable() -> None:
    async with Database.connect("postgresql://nobody:x@127.0.0.1:1/nowhere") as db:
        with pytest.raises(Unavailable):
            await db.check()


async def test_connections_that_died_are_replaced_unseen(db: Database, database: TestDatabase) -> None:
    """As after a restart of the server: all pooled connections are dead, and the next transaction gets a new one."""
    seeded = seed_tenant(database)

    async def hold() -> None:
        async with db.transaction(seeded.tenant_id) as tx:
            await _sites(tx)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(hold() for _ in range(4)))
    with database.superuser() as connection:
        killed = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE usename = 'svc_registry' AND datname = %s",
            (database.name,),
        ).fetchone()
    assert killed == (4,)
    for _ in range(4):
        async with db.transaction(seeded.tenant_id) as tx:
            assert await _sites(tx) == {seeded.site_id}


async def test_a_connection_that_dies_in_the_middle_is_unavailable_and_not_a_bug(
    db: Database, database: TestDatabase
) -> None:
    seeded = seed_tenant(database)
    with pytest.raises(Unavailable):  # noqa: PT012 (the whole block is what raises)
        async with db.transaction(seeded.tenant_id) as tx:
            pid = (await tx.execute(text("SELECT pg_backend_pid()"))).scalar()
            with database.superuser() as connection:
                connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
            await _sites(tx)
    async with db.transaction(seeded.tenant_id) as tx:
        assert await _sites(tx) == {seeded.site_id}


async def test_a_hint_arrives_after_the_commit_and_many_become_few(db: Database, database: TestDatabase) -> None:
    listener = Listener(database.url("svc_ingest"), ["visits"], poll_seconds=30)
    task = asyncio.create_task(listener.run())
    await until(lambda: listener.seen("visits") == 1)  # it listens
    before = listener.seen("visits")
    async with db.transaction(None) as tx:
        await notify(tx, "visits")
        await asyncio.sleep(0)
        assert listener.seen("visits") == before
    await listener.wait("visits", before)
    assert listener.seen("visits") == before + 1
    for _ in range(50):
        async with db.transaction(None) as tx:
            await notify(tx, "visits")
    await until(lambda: listener.seen("visits") > before + 1)
    await db._hints.close()
    assert listener.seen("visits") < before + 50
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_transaction_that_was_undone_hints_at_nothing(db: Database) -> None:
    with pytest.raises(ValueError, match="x"):  # noqa: PT012 (the whole block is what raises)
        async with db.transaction(None) as tx:
            await notify(tx, "visits")
            raise ValueError("x")
    assert db._hints._sender is None


async def test_a_reader_polls_when_no_hint_comes(database: TestDatabase) -> None:
    listener = Listener(database.url("svc_ingest"), ["visits"], poll_seconds=0.01)
    await listener.wait("visits", listener.seen("visits"))


async def test_a_hint_that_came_while_reading_is_not_missed(database: TestDatabase) -> None:
    listener = Listener(database.url("svc_ingest"), ["visits"], poll_seconds=30)
    seen = listener.seen("visits")
    listener._wake("visits")
    await listener.wait("visits", seen)


async def test_a_listener_that_loses_its_connection_says_so(database: TestDatabase) -> None:
    listener = Listener(database.url("svc_ingest"), ["visits"])
    task = asyncio.create_task(listener.run())
    await until(lambda: listener.seen("visits") == 1)
    with database.superuser() as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'svc_ingest'")
    with pytest.raises(ConnectionError):
        await task


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    """A server that this test may kill."""
    home = Path(tempfile.mkdtemp(prefix="footfall-mesh-"))
    home.chmod(0o711)
    with Postgres(home / "postgres", free_port(), "s3cret", binaries=chosen_binaries()) as server:
        yield server
    shutil.rmtree(server.root, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


async def test_a_server_that_was_killed_is_unavailable_and_health_says_so_until_it_is_back(
    own_server: Postgres, peers: Peers
) -> None:
    async with Database.connect(own_server.url()) as db:
        made = service(TokenIssuer(), checks={"database": db.check})
        async with running(made, tls=peers("svc-registry"), grace=0) as server:
            await asyncio.to_thread(own_server.kill)
            with pytest.raises(Unavailable):
                await db.check()
            await until(lambda: not server.is_ready)
            await asyncio.to_thread(own_server.start)
            await server.ready()
            await db.check()
