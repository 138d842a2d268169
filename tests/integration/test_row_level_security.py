"""No row of another tenant is seen, counted, changed, removed, added or pointed at: by raw SQL, as every service.

The walk covers whatever tables and grants there are: a new table is proved by being there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg_pool import ConnectionPool
from sqlalchemy import Table

from schema.common import SERVICES, metadata
from schema.roles import grants as granted
from schema.roles import is_tenant_table
from stack.postgres import Postgres
from tests.support.database import TestDatabase, fresh_database
from tests.support.rows import World, build_world, insert, make_row, references

TENANT_TABLES = [table for table in metadata.sorted_tables if is_tenant_table(table)]
SITE_TABLES = [table for table in TENANT_TABLES if table.info["site_column"]]


@dataclass(frozen=True)
class Inhabited:
    """A database with a row in every table: for us (two sites), and for them."""

    database: TestDatabase
    ours: World
    our_other_site: World
    theirs: World


@pytest.fixture(scope="module")
def inhabited(postgres_server: Postgres) -> Iterator[Inhabited]:
    with fresh_database(postgres_server, f"rls_{uuid4().hex}") as database:
        # As the owner: under FORCE it, too, must name the tenant whose rows it writes.
        with psycopg.connect(database.owner_url, autocommit=True) as owner:
            ours = build_world(owner, uuid4())
            our_other_site = build_world(owner, ours.tenant_id, beside=ours)
            theirs = build_world(owner, uuid4())
        yield Inhabited(database, ours, our_other_site, theirs)


@pytest.fixture(scope="module", params=SERVICES)
def pool(request: pytest.FixtureRequest, inhabited: Inhabited) -> Iterator[ConnectionPool]:
    """One service with a single connection, so that whoever asks next gets the one that was used before."""
    with ConnectionPool(inhabited.database.url(request.param), min_size=1, max_size=1, open=True) as opened:
        yield opened


@contextmanager
def transaction(pool: ConnectionPool, tenant: UUID | None, sites: str = "") -> Iterator[psycopg.Connection]:
    """As mesh/database.py opens one; rolled back at the end. None leaves the settings as they are."""
    with pool.connection() as connection, connection.transaction(force_rollback=True):
        if tenant is not None:
            connection.execute(
                "SELECT set_config('app.tenant_id', %s, true), set_config('app.site_ids', %s, true)",
                (str(tenant), sites),
            )
        yield connection


def leave_traces_of_them(pool: ConnectionPool, inhabited: Inhabited) -> None:
    """Uses the pooled connection for the other tenant, so that the next user inherits it."""
    with transaction(pool, inhabited.theirs.tenant_id) as connection:
        assert count(connection, metadata.tables["tenants"], "true", ()) in {0, 1}


def role_of(pool: ConnectionPool) -> str:
    with pool.connection() as connection:
        return connection.info.user


def columns_with(role: str, table: Table, privilege: str) -> tuple[str, ...] | None:
    """Columns that the role may use so; None where it may not at all."""
    for grant in granted():
        if (grant.role, grant.table, grant.privilege) == (role, table.name, privilege):
            return grant.columns or tuple(column.name for column in table.columns)
    return None


def readable(role: str, tables: list[Table]) -> list[Table]:
    return [table for table in tables if columns_with(role, table, "SELECT")]


def count(connection: psycopg.Connection, table: Table, condition: str, parameters: tuple[object, ...]) -> int:
    if columns_with(connection.info.user, table, "SELECT") is None:
        return 0
    query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(sql.Identifier(table.name), sql.SQL(condition))
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    result: int = row[0]
    return result


def touched(connection: psycopg.Connection, table: Table, verb: str, condition: str = "true") -> int:
    """How many rows an UPDATE or DELETE reaches; 0 where the role may not use the verb on the table."""
    columns = columns_with(connection.info.user, table, verb)
    if columns is None:
        return 0
    name = sql.Identifier(table.name)
    if verb == "DELETE":
        statement = sql.SQL("DELETE FROM {} WHERE {}").format(name, sql.SQL(condition))
    else:
        plain = [column for column in columns if table.columns[column].computed is None]
        changed = sql.Identifier(next(column for column in plain if column != "id"))
        statement = sql.SQL("UPDATE {} SET {} = {} WHERE {}").format(name, changed, changed, sql.SQL(condition))
    try:
        with connection.transaction(force_rollback=True):
            return connection.execute(statement).rowcount
    except psycopg.errors.IntegrityError:
        return 1  # a reference held the row back: it was reached all the same


# -- seeing -------------------------------------------------------------------------------------------------------


def test_every_service_sees_its_own_tenants_rows_or_the_proof_would_be_empty(
    pool: ConnectionPool, inhabited: Inhabited
) -> None:
    tables = readable(role_of(pool), TENANT_TABLES)
    assert tables
    with transaction(pool, inhabited.ours.tenant_id) as connection:
        assert [table.name for table in tables if count(connection, table, "true", ()) == 0] == []


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
def test_rows_of_another_tenant_are_neither_selected_nor_counted(
    pool: ConnectionPool, inhabited: Inhabited, reused: bool
) -> None:
    if reused:
        leave_traces_of_them(pool, inhabited)
    with transaction(pool, inhabited.ours.tenant_id) as connection:
        for table in readable(connection.info.user, TENANT_TABLES):
            tenant = table.info["tenant_column"]
            assert count(connection, table, f"{tenant} = %s", (inhabited.theirs.tenant_id,)) == 0, table.name
            assert count(connection, table, f"{tenant} <> %s", (inhabited.ours.tenant_id,)) == 0, table.name


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
def test_without_a_tenant_there_are_no_rows_and_no_errors(
    inhabited: Inhabited, pool: ConnectionPool, reused: bool
) -> None:
    with ConnectionPool(inhabited.database.url(role_of(pool)), min_size=1, max_size=1, open=True) as own:
        if reused:
            leave_traces_of_them(own, inhabited)
        with transaction(own, None) as connection:
            setting = connection.execute("SELECT current_setting('app.tenant_id', true)").fetchone()
            assert setting == ("" if reused else None,)
            for table in TENANT_TABLES:
                assert count(connection, table, "true", ()) == 0, table.name
                assert touched(connection, table, "UPDATE") == 0, table.name
                assert touched(connection, table, "DELETE") == 0, table.name


def test_a_partition_is_closed_to_every_service(pool: ConnectionPool, inhabited: Inhabited) -> None:
    with inhabited.database.superuser() as superuser:
        rows = superuser.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'face_events'::regclass"
        )
        partitions = [row[0] for row in rows]
    for partition in partitions:
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            transaction(pool, inhabited.theirs.tenant_id) as connection,
        ):
            connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(partition)))


# -- changing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["UPDATE", "DELETE"])
def test_rows_of_another_tenant_are_neither_changed_nor_removed(
    pool: ConnectionPool, inhabited: Inhabited, verb: str
) -> None:
    leave_traces_of_them(pool, inhabited)
    with transaction(pool, inhabited.ours.tenant_id) as connection:
        for table in TENANT_TABLES:
            if columns_with(connection.info.user, table, verb) is None:
                continue
            tenant = table.info["tenant_column"]
            assert touched(connection, table, verb, f"{tenant} = '{inhabited.theirs.tenant_id}'") == 0, table.name


def test_a_statement_without_a_condition_reaches_our_own_rows_only(pool: ConnectionPool, inhabited: Inhabited) -> None:
    with transaction(pool, inhabited.ours.tenant_id) as connection:
        for table in readable(connection.info.user, TENANT_TABLES):
            if columns_with(connection.info.user, table, "UPDATE"):
                assert touched(connection, table, "UPDATE") == count(connection, table, "true", ()), table.name


# -- adding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
@pytest.mark.parametrize("with_tenant", [True, False], ids=["our-tenant", "no-tenant"])
def test_nobody_inserts_a_row_for_another_tenant(
    pool: ConnectionPool, inhabited: Inhabited, with_tenant: bool, reused: bool
) -> None:
    with ConnectionPool(inhabited.database.url(role_of(pool)), min_size=1, max_size=1, open=True) as own:
        if reused:
            leave_traces_of_them(own, inhabited)
        for table in TENANT_TABLES:
            if columns_with(role_of(own), table, "INSERT") is None:
                continue
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
                transaction(own, inhabited.ours.tenant_id if with_tenant else None) as connection,
            ):
                insert(connection, table, make_row(table, inhabited.theirs))


def test_nobody_hands_a_row_over_to_another_tenant(pool: ConnectionPool, inhabited: Inhabited) -> None:
    for table in TENANT_TABLES:
        tenant = table.info["tenant_column"]
        if tenant not in (columns_with(role_of(pool), table, "UPDATE") or ()):
            continue
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
            transaction(pool, inhabited.ours.tenant_id) as connection,
        ):
            connection.execute(
                sql.SQL("UPDATE {} SET {} = %s").format(sql.Identifier(table.name), sql.Identifier(tenant)),
                (inhabited.theirs.tenant_id,),
            )


# What a CHECK wants changed along with a reference.
ALONG = {
    ("customers", "merged_into"): ", state = 'MERGED'",
    ("embeddings", "staff_id"): ", customer_id = NULL",
}


def test_no_row_points_at_a_row_of_another_tenant(pool: ConnectionPool, inhabited: Inhabited) -> None:
    for table in TENANT_TABLES:
        updatable = columns_with(role_of(pool), table, "UPDATE") or ()
        for column, referred in references(table):
            # A pair of candidates is kept in order of its ids, so one side cannot be changed at will; the catalogue's
            # walk sees its keys.
            if column not in updatable or table.name == "merge_candidates":
                continue
            along = sql.SQL(ALONG.get((table.name, column), ""))
            with (
                pytest.raises(psycopg.errors.ForeignKeyViolation),
                transaction(pool, inhabited.ours.tenant_id) as connection,
            ):
                connection.execute(
                    sql.SQL("UPDATE {0} SET {1} = %s{2} WHERE ctid = (SELECT ctid FROM {0} LIMIT 1)").format(
                        sql.Identifier(table.name), sql.Identifier(column), along
                    ),
                    (inhabited.theirs.rows[referred]["id"],),
                )


# -- sites ------------------------------------------------------------------------------------------------------------


def test_a_site_manager_neither_sees_nor_reaches_rows_of_other_sites(
    pool: ConnectionPool, inhabited: Inhabited
) -> None:
    ours, other = inhabited.ours, inhabited.our_other_site
    with transaction(pool, ours.tenant_id, f"{{{ours.site_id}}}") as connection:
        for table in SITE_TABLES:
            site = table.info["site_column"]
            assert count(connection, table, f"{site} IS DISTINCT FROM %s", (ours.site_id,)) == 0, table.name
            for verb in ("UPDATE", "DELETE"):
                assert touched(connection, table, verb, f"{site} = '{other.site_id}'") == 0, table.name


def test_a_site_manager_adds_nothing_to_other_sites(pool: ConnectionPool, inhabited: Inhabited) -> None:
    ours = inhabited.ours
    for table in SITE_TABLES:
        if columns_with(role_of(pool), table, "INSERT") is None:
            continue
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
            transaction(pool, ours.tenant_id, f"{{{ours.site_id}}}") as connection,
        ):
            insert(connection, table, make_row(table, inhabited.our_other_site))


def test_without_sites_the_whole_tenant_is_seen(pool: ConnectionPool, inhabited: Inhabited) -> None:
    with transaction(pool, inhabited.ours.tenant_id) as connection:
        for table in readable(connection.info.user, SITE_TABLES):
            site = table.info["site_column"]
            assert count(connection, table, f"{site} = %s", (inhabited.our_other_site.site_id,)) == 1, table.name


# -- signing in -------------------------------------------------------------------------------------------------------


def test_the_registry_finds_credentials_before_it_knows_the_tenant(inhabited: Inhabited) -> None:
    world = inhabited.theirs
    email = world.rows["users"]["email"]
    with psycopg.connect(inhabited.database.url("svc_registry")) as registry:
        user = registry.execute("SELECT tenant_id, user_id FROM sign_in_users(%s)", (email.upper(),)).fetchall()
        key = registry.execute("SELECT * FROM sign_in_api_key(%s)", (world.rows["api_keys"]["id"],)).fetchall()
        token = registry.execute(
            "SELECT * FROM sign_in_refresh_token(%s)", (world.rows["refresh_tokens"]["token_hash"],)
        ).fetchall()
        assert registry.execute("SELECT count(*) FROM users").fetchone() == (0,)
    assert user == [(world.tenant_id, world.rows["users"]["id"])]
    assert key == [(world.tenant_id, world.rows["api_keys"]["key_hash"])]
    assert token == [(world.tenant_id, world.rows["token_families"]["id"])]


def test_a_system_admins_listing_shows_tenants_and_nothing_of_theirs(inhabited: Inhabited) -> None:
    with psycopg.connect(inhabited.database.url("svc_registry"), autocommit=True) as registry:
        registry.execute("SELECT set_config('app.tenant_id', %s, false)", (str(UUID(int=0)),))
        assert registry.execute("SELECT count(*) FROM tenants").fetchone() == (3,)
        for table in readable("svc_registry", TENANT_TABLES):
            if table.name != "tenants":
                assert count(registry, table, "true", ()) == 0, table.name
        assert touched(registry, metadata.tables["tenants"], "UPDATE") == 1
        assert touched(registry, metadata.tables["tenants"], "DELETE", f"id = '{inhabited.theirs.tenant_id}'") == 0
