"""Migrations and models say the same, and an installation can be made, repeated and carried on."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import sql
from sqlalchemy import create_engine

import schema
from schema import migrating, queue, render
from schema.bootstrap import bootstrap, login_roles
from schema.roles import OWNER
from stack.postgres import Postgres
from tests.support import catalogue
from tests.support.database import PASSWORD, TestDatabase, fresh_database
from tests.support.seed import seed_tenant


@pytest.fixture
def empty(postgres_server: Postgres) -> Iterator[TestDatabase]:
    """A database with roles, and nothing in it."""
    with fresh_database(postgres_server, f"empty_{uuid4().hex}", template="template0") as made:
        with made.superuser() as connection:
            connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(OWNER)))
        yield made


def test_a_migrated_database_is_the_one_that_the_models_make(database: TestDatabase, empty: TestDatabase) -> None:
    with psycopg.connect(empty.owner_url) as owner:
        owner.execute(render.render().encode())
        owner.execute(";\n".join(queue.statements()).encode())
    with database.superuser() as migrated, empty.superuser() as modelled:
        migrated_dump, modelled_dump = catalogue.dump(migrated), catalogue.dump(modelled)
    for kind, rows in modelled_dump.items():
        assert migrated_dump[kind] == rows, f"{kind} differ: write a migration, or `python -m schema.render --write`"


def test_alembic_finds_nothing_to_migrate(database: TestDatabase) -> None:
    engine = create_engine(migrating.driver_url(database.owner_url))
    with engine.connect() as connection:
        options = {"include_object": migrating.compare_only_ours, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_bootstrap_may_be_repeated_and_a_changed_password_takes_effect(postgres_server: Postgres) -> None:
    name = f"again_{uuid4().hex}"
    passwords = dict.fromkeys(login_roles(), PASSWORD)
    try:
        first = bootstrap(postgres_server.url(), passwords, database=name)
        again = bootstrap(postgres_server.url(), {**passwords, "svc_reports": "another'one"}, database=name)
        with psycopg.connect(again.services["svc_reports"]) as connection:
            assert connection.execute("SELECT count(*) FROM tenant_ids").fetchone() == (0,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(first.services["svc_reports"])
    finally:
        bootstrap(postgres_server.url(), passwords, database=name)  # the roles are this session's
        with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_bootstrap_names_the_role_whose_password_is_missing(postgres_server: Postgres) -> None:
    with pytest.raises(KeyError, match="svc_ingest"):
        bootstrap(postgres_server.url(), {role: PASSWORD for role in login_roles() if role != "svc_ingest"})


def test_there_is_no_way_back_and_the_message_says_why(database: TestDatabase) -> None:
    with pytest.raises(NotImplementedError, match="expand, then contract"):
        command.downgrade(migrating.config(database.owner_url), "base")


def test_migrations_can_be_printed_for_an_operator_who_runs_sql_by_hand(empty: TestDatabase) -> None:
    printed = io.StringIO()
    configuration = migrating.config(empty.owner_url)
    configuration.output_buffer = printed
    command.upgrade(configuration, "head", sql=True)
    with psycopg.connect(empty.owner_url, autocommit=True) as owner:
        owner.execute(printed.getvalue().encode())
        assert owner.execute("SELECT count(*) FROM tenants").fetchone() == (0,)  # forced: the owner sees no tenant
        assert owner.execute("SELECT version_num FROM alembic_version").fetchone() == ("0002",)


def test_the_queue_is_the_one_that_the_migrations_laid_down() -> None:
    assert version("procrastinate") == queue.VERSION, "write a migration with procrastinate's own, then raise VERSION"


# -- months of face_events -----------------------------------------------------------------------------------------


def uuid7(at: datetime) -> UUID:
    return UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | uuid4().int % (1 << 62))


def insert_event(connection: psycopg.Connection, tenant: UUID, site: UUID, camera: UUID, at: datetime) -> UUID:
    event = uuid7(at)
    connection.execute(
        "INSERT INTO face_events (tenant_id, id, site_id, camera_id, lease_epoch, capture_time, track_start_time,"
        " track_end_time, quality, verdict) VALUES (%s, %s, %s, %s, 1, %s, %s, %s, 0.5, 'UNDECIDED')",
        (tenant, event, site, camera, at, at, at),
    )
    return event


def test_events_lie_in_the_month_of_their_id_and_recordings_of_long_ago_in_the_default(database: TestDatabase) -> None:
    seeded = seed_tenant(database)
    now, long_ago = datetime.now(UTC), datetime(2019, 5, 1, tzinfo=UTC)
    with database.superuser() as connection:
        for at in (now, long_ago):
            insert_event(connection, seeded.tenant_id, seeded.site_id, seeded.camera_id, at)
        rows = connection.execute("SELECT capture_time, tableoid::regclass::text FROM face_events").fetchall()
    assert dict(rows) == {now: f"face_events_{now:%Y_%m}", long_ago: "face_events_default"}


def test_a_month_that_was_missing_takes_over_its_strays(database: TestDatabase) -> None:
    seeded = seed_tenant(database)
    now = datetime.now(UTC)
    month = f"face_events_{now:%Y_%m}"
    with database.superuser() as connection:
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(month)))
        event = insert_event(connection, seeded.tenant_id, seeded.site_id, seeded.camera_id, now)
        assert connection.execute("SELECT tableoid::regclass::text FROM face_events").fetchone() == (
            "face_events_default",
        )
        with psycopg.connect(database.url("svc_ingest"), autocommit=True) as ingest:
            assert ingest.execute("SELECT ensure_face_event_partitions(3)").fetchone() == (1,)
            assert ingest.execute("SELECT ensure_face_event_partitions(3)").fetchone() == (0,)
        assert connection.execute("SELECT id, tableoid::regclass::text FROM face_events").fetchone() == (event, month)
        # It came in by another way than its siblings, and must not be told from them.
        shapes = connection.execute(
            "SELECT count(*) FROM pg_indexes WHERE tablename IN (%s, 'face_events_default') GROUP BY tablename",
            (month,),
        ).fetchall()
        assert shapes[0] == shapes[1]
        for table in (month, "face_events_default"):
            assert connection.execute(
                "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = %s", (table,)
            ).fetchone() == (True, True)
        assert connection.execute("SELECT count(*) FROM pg_policies WHERE tablename = %s", (month,)).fetchone() == (2,)


def test_only_ingest_makes_months_and_only_a_sane_number(database: TestDatabase) -> None:
    with (
        psycopg.connect(database.url("svc_reports")) as reports,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        reports.execute("SELECT ensure_face_event_partitions(3)")
    with (
        psycopg.connect(database.url("svc_ingest")) as ingest,
        pytest.raises(psycopg.errors.InvalidParameterValue, match="between 0 and 24"),
    ):
        ingest.execute("SELECT ensure_face_event_partitions(1000)")
