"""What a database really holds, read from PostgreSQL's own catalogue, so that two databases can be compared."""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg

# Objects of our own: in schema public, and neither the queue's nor Alembic's.
_OURS = r"n.nspname = 'public' AND \1 !~ '^(procrastinate|alembic)'"


@dataclass(frozen=True)
class Held:
    """One privilege that a role really holds. `columns` is empty for a whole table."""

    role: str
    table: str
    privilege: str
    columns: tuple[str, ...] = ()


def dump(connection: psycopg.Connection, *, without: str = "face_events_2") -> dict[str, list[tuple[object, ...]]]:
    """Everything that DDL can say, by kind; without tables whose name begins with `without` (partitions by month)."""
    queries = {
        "tables": """
            SELECT c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner),
              pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid), obj_description(c.oid, 'pg_class')
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE @OURS(c.relname) AND c.relkind IN ('r', 'p', 'S', 'v', 'm') ORDER BY 1""",
        "columns": """
            SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
              a.attgenerated, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
            WHERE @OURS(c.relname) AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
            ORDER BY c.relname, a.attnum""",
        "constraints": """
            SELECT c.relname, k.conname, k.contype, pg_get_constraintdef(k.oid)
            FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE @OURS(c.relname) ORDER BY 1, 2""",
        "indexes": """
            SELECT tablename, indexname, indexdef FROM pg_indexes n
            WHERE n.schemaname = 'public' AND tablename !~ '^(procrastinate|alembic)'
            ORDER BY 1, 2""",
        "policies": """
            SELECT tablename, policyname, permissive, roles::text, cmd, qual, with_check FROM pg_policies
            WHERE schemaname = 'public' ORDER BY 1, 2""",
        "functions": """
            SELECT p.proname, pg_get_function_identity_arguments(p.oid), pg_get_functiondef(p.oid),
              pg_get_userbyid(p.proowner), p.prosecdef, p.proacl::text
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE @OURS(p.proname) ORDER BY 1, 2""",
    }
    found = {
        kind: connection.execute(re.sub(r"@OURS\((.*?)\)", _OURS, query)).fetchall() for kind, query in queries.items()
    }
    found["grants"] = [
        (held.table, held.role, held.privilege, held.columns)
        for held in sorted(grants(connection), key=lambda held: (held.table, held.role, held.privilege, held.columns))
    ]
    return {kind: [row for row in rows if not str(row[0]).startswith(without)] for kind, rows in found.items()}


def grants(connection: psycopg.Connection) -> set[Held]:
    """Who holds what on tables and columns, owners aside. A column privilege that the table's implies is not listed."""
    tables = connection.execute(
        """
        SELECT coalesce(r.rolname, 'PUBLIC'), c.relname, acl.privilege_type
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL aclexplode(c.relacl) AS acl LEFT JOIN pg_roles r ON r.oid = acl.grantee
        WHERE n.nspname = 'public' AND acl.grantee <> c.relowner AND c.relkind IN ('r', 'p', 'v', 'm')"""
    ).fetchall()
    columns = connection.execute(
        """
        SELECT coalesce(r.rolname, 'PUBLIC'), c.relname, acl.privilege_type,
          array_agg(a.attname::text ORDER BY a.attname)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL aclexplode(a.attacl) AS acl LEFT JOIN pg_roles r ON r.oid = acl.grantee
        WHERE n.nspname = 'public' AND acl.grantee <> c.relowner GROUP BY 1, 2, 3"""
    ).fetchall()
    return {Held(role, table, privilege) for role, table, privilege in tables} | {
        Held(role, table, privilege, tuple(names)) for role, table, privilege, names in columns
    }
