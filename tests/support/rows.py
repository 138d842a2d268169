"""A minimal valid row for any table of the schema, made from its columns, checks and foreign keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Float,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from schema.common import metadata

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)  # on a quarter of an hour, as coverage slices are

# What columns and foreign keys alone do not tell: values that a CHECK over several columns asks for.
_NEEDED: Mapping[str, Mapping[str, Any]] = {
    "face_images": {"object_key": "some/key"},
    "count_checks": {"end_time": NOON.replace(hour=13)},
    "audit_entries": {"actor_kind": "SERVICE"},
}


@dataclass
class World:
    """The rows of one tenant (and one site of it), by table: what a new row's foreign keys may point at."""

    tenant_id: UUID
    second_customer_id: UUID = field(default_factory=uuid4)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def site_id(self) -> UUID:
        site: UUID = self.rows["sites"]["id"]
        return site


def build_world(connection: psycopg.Connection, tenant_id: UUID, *, beside: World | None = None) -> World:
    """One row in every tenant table. With `beside`, a second site of that world's tenant and what belongs to it.

    The connection is one that may write everywhere; the tenant is set on it for its session.
    """
    world = World(tenant_id)
    connection.execute("SELECT set_config('app.tenant_id', %s, false)", (str(tenant_id),))
    for table in _in_order():
        if beside is not None and table.info["site_column"] is None:
            world.rows[table.name] = beside.rows[table.name]  # the tenant's, whatever the site
            continue
        row = make_row(table, world)
        insert(connection, table, row)
        world.rows[table.name] = row
        if table.name == "customers":
            insert(connection, table, {**make_row(table, world), "id": world.second_customer_id})
    return world


def _in_order() -> list[Table]:
    """What is referred to first; and sites before all that only names one."""
    first = [metadata.tables["tenants"], metadata.tables["sites"]]
    rest = [table for table in metadata.sorted_tables if table.info["tenant_column"] and table not in first]
    return first + rest


def make_row(table: Table, world: World) -> dict[str, Any]:
    """A row that could be inserted beside the world's own: new keys, and foreign keys to the world's rows."""
    row: dict[str, Any] = {}
    for column in table.columns:
        if _must_be_given(column) or column.name == table.info["site_column"]:
            row[column.name] = _value(table, column)
    row[table.info["tenant_column"]] = world.tenant_id
    for key in table.foreign_key_constraints:
        _point(row, key, world)
    if table.info["site_column"] == "site_id":
        row["site_id"] = world.site_id
    if table.info["site_column"] == "scope_id":
        row["scope_id"] = world.site_id
    if table.name == "embeddings":
        row["customer_id"] = world.rows["customers"]["id"]
    if table.name == "merges":
        row["loser_id"] = world.second_customer_id
    if table.name == "merge_candidates":
        row["first_id"], row["second_id"] = sorted((row["first_id"], world.second_customer_id))
    row.update(_NEEDED.get(table.name, {}))
    return row


def insert(connection: psycopg.Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Inserts it, as whoever the connection is."""
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table.name),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(sql.Placeholder() * len(row)),
        ),
        list(row.values()),
    )


def references(table: Table) -> list[tuple[str, str]]:
    """Columns that refer to another row of the tenant, with the table that they refer to."""
    found = []
    for key in table.foreign_key_constraints:
        column = key.column_keys[-1]
        if column != table.info["tenant_column"]:
            found.append((column, key.referred_table.name))
    return found


def _must_be_given(column: Column[Any]) -> bool:
    generated = column.server_default is not None or column.identity is not None or column.computed is not None
    return not column.nullable and not generated


def _point(row: dict[str, Any], key: ForeignKeyConstraint, world: World) -> None:
    column, referred = key.column_keys[-1], key.referred_table.name
    if column in row and column != "tenant_id" and referred in world.rows:
        row[column] = world.rows[referred]["id"]


def _value(table: Table, column: Column[Any]) -> Any:
    if isinstance(column.type, Text) and (allowed := _first_allowed(table, column.name)):
        return allowed
    for kind, value in (
        (Uuid, uuid4),
        (Text, lambda: f"{column.name} {uuid4()}"),
        (Boolean, lambda: False),
        (Integer, lambda: 1),
        (Float, lambda: 0.5),
        (Numeric, lambda: 0.5),
        (LargeBinary, lambda: uuid4().bytes),
        (TIMESTAMP, lambda: NOON),
        (Date, lambda: date(2026, 11, 20)),
        (JSONB, lambda: Jsonb({})),
        (ARRAY, list),
    ):
        if isinstance(column.type, kind):
            return value()
    raise TypeError(f"{table.name}.{column.name}: no value for {column.type}")


def _first_allowed(table: Table, column: str) -> str | None:
    for constraint in table.constraints:
        if isinstance(constraint, CheckConstraint):
            found = re.match(rf"{column} IN \('(\w+)'", str(constraint.sqltext))
            if found:
                return found[1]
    return None
