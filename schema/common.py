"""What every table is made with: the one MetaData, column shorthands, and the tenant table.

A tenant table has `tenant_id` first in its primary key, in every unique key and in every foreign key, so that no row
can point at, or collide with, another tenant's. Its `info` tells the rest of this package what to enforce:

- `service`: the one service that writes it (schema/roles.py may name exceptions);
- `tenant_column`: what the tenant policy compares with `app.tenant_id`; None for the few tables without RLS;
- `site_column`: what the second, restrictive policy compares with `app.site_ids`; None where rows belong to no site.

Times are `timestamptz` and end in `_time`; a `create_time` defaults to the database's clock. Kinds and states are text
with a CHECK: an enum type could not lose a value in a migration. Bytes that only a key ring can read say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.sql.schema import SchemaItem
from sqlalchemy.types import UserDefinedType

# The tenant of whoever stands above tenants: system_admins and their audit. It has a row in `tenants`, and none in
# `tenant_ids`, so no job works on it.
SYSTEM_TENANT_ID: Final = UUID(int=0)

REGISTRY: Final = "svc_registry"
INGEST: Final = "svc_ingest"
IDENTITY: Final = "svc_identity"
REPORTS: Final = "svc_reports"
SERVICES: Final = (REGISTRY, INGEST, IDENTITY, REPORTS)

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)


class Xid8(UserDefinedType[int]):
    """`xid8`, a transaction id that never wraps; an int in Python."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


def ident(name: str = "id", *, null: bool = False, comment: str | None = None) -> Column[UUID]:
    """A uuid."""
    return Column(name, Uuid, nullable=null, comment=comment)


def words(name: str, *, null: bool = False, default: str | None = None, comment: str | None = None) -> Column[str]:
    """A text."""
    literal = None if default is None else text(f"'{default}'")
    return Column(name, Text, nullable=null, server_default=literal, comment=comment)


def time(name: str, *, null: bool = True, comment: str | None = None) -> Column[Any]:
    """An instant; null until it has happened, unless said otherwise."""
    return Column(name, TIMESTAMP(timezone=True), nullable=null, comment=comment)


def create_time() -> Column[Any]:
    return Column("create_time", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()"))


def update_time() -> Column[Any]:
    return Column("update_time", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()"))


def whole(name: str, *, null: bool = False, default: int | None = None, comment: str | None = None) -> Column[int]:
    """An integer of 32 bits."""
    literal = None if default is None else text(str(default))
    return Column(name, Integer, nullable=null, server_default=literal, comment=comment)


def big(name: str, *, null: bool = False, default: int | None = None, comment: str | None = None) -> Column[int]:
    """An integer of 64 bits: epochs, generations, sequences."""
    literal = None if default is None else text(str(default))
    return Column(name, BigInteger, nullable=null, server_default=literal, comment=comment)


def flag(name: str, *, default: bool, comment: str | None = None) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text(str(default).lower()), comment=comment)


def raw(name: str, *, null: bool = False, comment: str | None = None) -> Column[bytes]:
    """Bytes."""
    return Column(name, LargeBinary, nullable=null, comment=comment)


def sealed(name: str, what: str, *, null: bool = False) -> Column[bytes]:
    """Bytes that only the mesh's key ring can read: AES-GCM, with the key's id in front (mesh/keyring.py)."""
    return raw(name, null=null, comment=f"Encrypted by the application (AES-GCM, key id in front): {what}")


def document(name: str, *, null: bool = False, default: str | None = "{}", comment: str | None = None) -> Column[Any]:
    """A jsonb."""
    literal = None if default is None or null else text(f"'{default}'::jsonb")
    return Column(name, JSONB, nullable=null, server_default=literal, comment=comment)


def one_of(column: str, *values: str) -> CheckConstraint:
    """The values that a kind or a state may have."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def reference(
    column: str, table: str, *, key: str = "id", on_delete: str | None = None, name: str | None = None
) -> ForeignKeyConstraint:
    """(tenant_id, column) → (tenant_id, key) of `table`: a foreign row of another tenant does not exist."""
    return ForeignKeyConstraint(
        ["tenant_id", column], [f"{table}.tenant_id", f"{table}.{key}"], ondelete=on_delete, name=name
    )


def of_tenant() -> ForeignKeyConstraint:
    """For tables that nothing else ties to the directory and that are not written by the second."""
    return ForeignKeyConstraint(["tenant_id"], ["tenants.id"])


def tenant_table(
    name: str,
    *items: SchemaItem,
    service: str,
    comment: str,
    key: Sequence[str] = ("id",),
    site_column: str | None = "site_id",
    **options: Any,
) -> Table:
    """A table of rows that belong to tenants: primary key (tenant_id, *key), row level security forced.

    A table with a `site_id` is held to a site_manager's sites, unless `site_column` is None or another one.
    """
    if site_column not in [item.name for item in items if isinstance(item, Column)]:
        site_column = None
    return Table(
        name,
        metadata,
        ident("tenant_id"),
        *items,
        PrimaryKeyConstraint("tenant_id", *key),
        comment=comment,
        info={"service": service, "tenant_column": "tenant_id", "site_column": site_column},
        **options,
    )


def open_table(name: str, *items: SchemaItem, service: str, comment: str) -> Table:
    """A table without row level security: it holds nothing that tells one tenant about another but ids."""
    info = {"service": service, "tenant_column": None, "site_column": None}
    return Table(name, metadata, *items, comment=comment, info=info)


def request_table(service: str) -> Table:
    """Answers by request id (AIP-155), kept for 24 h per principal and RPC: mesh/idempotency.py reads and writes it."""
    name = f"{service.removeprefix('svc_')}_requests"
    return tenant_table(
        name,
        ident("subject_id", comment="The user or API key that asked"),
        words("rpc", comment="Full method name"),
        ident("request_id"),
        raw("body_hash", comment="sha256 of the request: another body under the same id is refused"),
        raw("response", comment="The first answer, serialized"),
        create_time(),
        time("expire_time", null=False),
        Index(f"{name}_expiry_idx", "tenant_id", "expire_time"),
        service=service,
        key=("subject_id", "rpc", "request_id"),
        comment="First answers to mutations, by request id; a repeat gets the same answer for 24 h.",
    )


def act_table(service: str) -> Table:
    """Acts that reach beyond the tables of `service`: committed with an outbox row, applied by the others in order."""
    name = f"{service.removeprefix('svc_')}_acts"
    return tenant_table(
        name,
        ident(),
        words("kind", comment="MERGE, UNMERGE, MOVE_SIGHTING, CONVERT_TO_STAFF, ERASE, DELETE_TENANT, …"),
        document("payload", comment="Ids only"),
        Column("appliers", JSONB, nullable=False, comment="Services that must apply it before it is done"),
        create_time(),
        time("finish_time", comment="When the last of them had applied it"),
        Index(f"{name}_open_idx", "tenant_id", "create_time", postgresql_where=text("finish_time IS NULL")),
        service=service,
        comment="What was decided here and must be applied elsewhere too; unfinished ones answer APPLYING.",
    )


def applied_table(service: str) -> Table:
    """The acts of others that `service` has applied: what makes applying them twice harmless."""
    return tenant_table(
        f"{service.removeprefix('svc_')}_applied_acts",
        ident("act_id"),
        document("result", comment="Counts, for receipts"),
        Column("apply_time", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()")),
        service=service,
        key=("act_id",),
        comment="Acts of other services that this one has applied.",
    )
