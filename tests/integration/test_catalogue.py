"""Walks PostgreSQL's catalogue: what schema/ says about tenants, roles and grants is what the database holds."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

import schema
from schema.common import SERVICES
from schema.roles import EXECUTE, OWNER, QUEUE_TABLES, SIGN_IN, SIGN_IN_COLUMNS, SIGN_IN_FUNCTIONS, is_tenant_table
from schema.roles import grants as granted
from stack.postgres import Postgres
from tests.support import catalogue
from tests.support.catalogue import Held
from tests.support.database import fresh_database

ROLES = (OWNER, *SERVICES, SIGN_IN)

# Tables without row level security, and why each may be: nothing in them tells one tenant about another but ids.
WITHOUT_RLS = {
    "tenant_ids",
    "token_revocations",
    "signing_keys",
    "spool_keys",
    "replicas",
    "fleet_brakes",
    "alembic_version",
    *QUEUE_TABLES,
}


@pytest.fixture(scope="module")
def connection(postgres_server: Postgres) -> Iterator[psycopg.Connection]:
    with fresh_database(postgres_server, f"catalogue_{uuid4().hex}") as made, made.superuser() as superuser:
        yield superuser


def names(connection: psycopg.Connection, query: str, *parameters: object) -> set[str]:
    return {row[0] for row in connection.execute(query, parameters)}


def test_row_level_security_is_forced_on_every_table_but_the_listed_ones(connection: psycopg.Connection) -> None:
    tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    without = names(connection, f"{tables} AND NOT (relrowsecurity AND relforcerowsecurity)")
    assert without == WITHOUT_RLS
    assert names(connection, tables) - without >= {
        table.name for table in schema.metadata.tables.values() if is_tenant_table(table)
    }


def test_every_partition_is_as_guarded_as_its_parent_and_granted_to_nobody(connection: psycopg.Connection) -> None:
    partitions = names(
        connection, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'face_events'::regclass"
    )
    assert len(partitions) >= 5  # the default one, last month's, this month's and the next three
    of_parent = policies(connection, "face_events")
    for partition in partitions:
        assert policies(connection, partition) == of_parent
    assert not [held for held in catalogue.grants(connection) if held.table in partitions]


def policies(connection: psycopg.Connection, table: str) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT policyname, permissive, roles::text, cmd, qual, with_check FROM pg_policies WHERE tablename = %s"
        " ORDER BY 1",
        (table,),
    ).fetchall()


def test_every_tenant_table_has_one_permissive_policy_and_site_tables_a_restrictive_one(
    connection: psycopg.Connection,
) -> None:
    for table in schema.metadata.tables.values():
        kinds = {row[0]: row[1] for row in policies(connection, table.name)}
        expected = {}
        if is_tenant_table(table):
            expected["tenant"] = "PERMISSIVE"
        if table.info["site_column"]:
            expected["site"] = "RESTRICTIVE"
        if table.name in SIGN_IN_COLUMNS:
            expected["sign_in"] = "PERMISSIVE"
        if table.name == "tenants":
            expected["directory"] = "PERMISSIVE"  # for system_admins, see schema/roles.py
        assert kinds == expected, table.name


def test_no_service_owns_anything_or_stands_above_the_policies(connection: psycopg.Connection) -> None:
    rows = connection.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)"
        " AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)",
        (list(ROLES),),
    ).fetchall()
    assert rows == []
    owners = names(
        connection,
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    )
    assert owners == {OWNER}


def test_no_service_is_a_member_of_another_role_and_none_can_create_objects(connection: psycopg.Connection) -> None:
    members = connection.execute(
        "SELECT pg_get_userbyid(member), pg_get_userbyid(roleid) FROM pg_auth_members"
        " WHERE pg_get_userbyid(member) = ANY (%s)",
        (list(ROLES),),
    ).fetchall()
    assert members == [(OWNER, SIGN_IN)]
    for role in (*SERVICES, SIGN_IN):
        may = connection.execute(
            "SELECT has_schema_privilege(%s, 'public', 'CREATE'),"
            " has_database_privilege(%s, current_database(), 'CREATE'),"
            " has_database_privilege(%s, current_database(), 'TEMP')",
            (role, role, role),
        ).fetchone()
        assert may == (False, False, False), role


def test_the_owner_does_not_see_with_the_eyes_of_sign_in(connection: psycopg.Connection) -> None:
    # Membership lets it hand functions over; inheriting would let it read every tenant's credentials.
    assert connection.execute("SELECT pg_has_role(%s, %s, 'USAGE')", (OWNER, SIGN_IN)).fetchone() == (False,)


def test_grants_are_those_of_the_list_and_no_others(connection: psycopg.Connection) -> None:
    listed = {Held(each.role, each.table, each.privilege, tuple(sorted(each.columns))) for each in granted()}
    for table in QUEUE_TABLES:
        listed |= {Held(role, table, verb) for role in SERVICES for verb in ("SELECT", "INSERT", "UPDATE", "DELETE")}
    assert catalogue.grants(connection) == listed


def test_only_one_service_writes_each_table(connection: psycopg.Connection) -> None:
    shared = {
        "audit_entries": set(SERVICES),  # in the act's own transaction
        "dirty_days": {"svc_ingest", "svc_reports"},  # one marks, the other removes the marks
    }
    writers: dict[str, set[str]] = {}
    for held in catalogue.grants(connection):
        if held.privilege != "SELECT" and held.table not in QUEUE_TABLES:
            writers.setdefault(held.table, set()).add(held.role)
    for table in schema.metadata.tables.values():
        assert writers[table.name] == shared.get(table.name, {table.info["service"]})


def test_secrets_are_readable_by_the_service_that_keeps_them_alone(connection: psycopg.Connection) -> None:
    secrets = [
        ("cameras", "credentials"),
        ("users", "password_hash"),
        ("api_keys", "key_hash"),
        ("refresh_tokens", "token_hash"),
        ("signing_keys", "private_key"),
        ("spool_keys", "private_key"),
        ("embeddings", "vector"),
        ("webhooks", "secret"),
        ("quarantined_events", "payload"),
    ]
    for table, column in secrets:
        readers = {
            role
            for role in SERVICES
            if connection.execute("SELECT has_column_privilege(%s, %s, %s, 'SELECT')", (role, table, column)).fetchone()
            == (True,)
        }
        assert readers == {schema.metadata.tables[table].info["service"]}, (table, column)


def test_functions_are_callable_by_those_listed_and_definers_have_a_fixed_path(connection: psycopg.Connection) -> None:
    rows = connection.execute(
        "SELECT p.oid::regprocedure::text, p.prosecdef, coalesce(p.proconfig, '{}'), pg_get_userbyid(p.proowner)"
        " FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proname NOT LIKE 'procrastinate%'"
    ).fetchall()
    assert {signature.replace(",", ", ") for signature, *_ in rows} == set(EXECUTE)
    for signature, definer, configured, owner in rows:
        may = {
            role
            for role in SERVICES
            if connection.execute("SELECT has_function_privilege(%s, %s, 'EXECUTE')", (role, signature)).fetchone()
            == (True,)
        }
        assert may == set(EXECUTE[signature.replace(",", ", ")]), signature
        if definer:
            assert any(setting.startswith("search_path=pg_catalog") for setting in configured), signature
            assert owner == (SIGN_IN if signature in SIGN_IN_FUNCTIONS else OWNER)


def test_every_unique_and_foreign_key_of_a_tenant_table_holds_the_tenant(connection: psycopg.Connection) -> None:
    rows = connection.execute(
        """
        SELECT k.conrelid::regclass::text, k.conname,
          ARRAY(SELECT a.attname::text FROM unnest(k.conkey) AS c(n) JOIN pg_attribute a
                ON a.attrelid = k.conrelid AND a.attnum = c.n)
        FROM pg_constraint k WHERE k.connamespace = 'public'::regnamespace AND k.contype IN ('p', 'u', 'f')
        UNION ALL
        SELECT i.indrelid::regclass::text, i.indexrelid::regclass::text,
          ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) AS c(n) JOIN pg_attribute a
                ON a.attrelid = i.indrelid AND a.attnum = c.n)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE c.relnamespace = 'public'::regnamespace AND i.indisunique"""
    ).fetchall()
    tenant_tables = {table.name: table for table in schema.metadata.tables.values() if is_tenant_table(table)}
    for name, key, columns in rows:
        if name in tenant_tables:
            assert tenant_tables[name].info["tenant_column"] in columns, f"{name}: {key}"


def test_every_foreign_key_has_an_index_to_find_the_rows_that_refer(connection: psycopg.Connection) -> None:
    # Without one, removing a camera or a customer reads whole tables. Tables of few rows may do without.
    small = {"cameras", "api_keys", "leases", "lease_epochs", "commands", "alerts", "count_checks", "user_sites"}
    small |= {"tenant_thresholds", "quarantined_events", "staff_faces", "face_images"}
    rows = connection.execute(
        """
        SELECT k.conrelid::regclass::text, k.conname FROM pg_constraint k
        WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace AND k.conparentid = 0
          AND NOT EXISTS (
            SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indpred IS NULL
              AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)"""
    ).fetchall()
    unindexed = {key for table, key in rows if table not in small and not table.startswith("procrastinate")}
    # Partial indexes find those who were merged, and a camera's events; converted staff are few and their faces are
    # found by staff_id.
    assert unindexed == {
        "face_events_tenant_id_camera_id_fkey",
        "customers_tenant_id_merged_into_fkey",
        "customers_tenant_id_staff_id_fkey",
        "embeddings_tenant_id_staff_face_id_fkey",
    }


def test_every_table_and_sealed_column_says_what_it_is_for(connection: psycopg.Connection) -> None:
    for table in schema.metadata.tables.values():
        assert table.comment
        for column in table.columns:
            if column.name in {"credentials", "vector", "embedding", "second_embedding", "secret"}:
                assert column.comment is not None
                assert "Encrypted by the application" in column.comment
