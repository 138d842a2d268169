"""Who may touch what: the roles, their grants and the policies, as data. A test compares all of it with the catalogue.

- `footfall_owner` owns everything and runs migrations; under FORCE it sees no tenant's rows either.
- One LOGIN role per service. It owns nothing and bypasses nothing; it writes its own tables and reads what
  FOREIGN_READS names, column by column wherever a table also holds secrets.
- `footfall_signin` (NOLOGIN) owns the sign-in functions: at sign-in the tenant is not known yet, so these functions,
  and nothing else, see the credential columns of all tenants.

Policies: `tenant` on every tenant table (rows of `app.tenant_id`, none when it is unset) and, restrictive, `site` on
those with a site column (rows of `app.site_ids`, all when it is empty). A site_manager's transaction sets both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Table

from schema import identity, ingest, registry, reports  # noqa: F401 - the tables must be known before they are walked
from schema.common import IDENTITY, INGEST, REGISTRY, REPORTS, SERVICES, SYSTEM_TENANT_ID, metadata

OWNER: Final = "footfall_owner"
SIGN_IN: Final = "footfall_signin"

# One row of a tenant, or none: a pooled connection holds '' afterwards, and a bare cast of that would be an error.
CURRENT_TENANT: Final = "nullif(current_setting('app.tenant_id', true), '')::uuid"
CURRENT_SITES: Final = "(SELECT nullif(current_setting('app.site_ids', true), '')::uuid[])"


@dataclass(frozen=True)
class Grant:
    """`privilege` on a whole table (no columns), or on these columns of it."""

    role: str
    table: str
    privilege: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """A row level security policy. No `roles` means everybody."""

    name: str
    condition: str
    restrictive: bool = False
    command: str = "ALL"
    roles: tuple[str, ...] = ()


_EVERYTHING: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")

# What a service reads of tables that another one writes: the whole table, or only these columns of it.
FOREIGN_READS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    REGISTRY: {
        "visits": ("tenant_id", "id", "site_id"),  # a site that has visits keeps its time zone
        "ingest_applied_acts": (),
        "identity_applied_acts": (),
        "reports_applied_acts": (),
    },
    INGEST: {
        "tenant_ids": (),
        "token_revocations": (),
        "tenants": (),
        "sites": (),
        "site_rules": (),
        "cameras": ("tenant_id", "id", "site_id", "role", "source_uri", "enabled", "create_time", "delete_time"),
        "workers": ("tenant_id", "id", "site_id", "any_site", "state", "delete_time"),
        "lease_epochs": (),
        # For the images of staff, which the same RPC serves as those of visitors.
        "staff_faces": ("tenant_id", "id", "staff_id", "image_id", "object_key", "content_type", "create_time"),
        "identity_acts": (),
        "registry_acts": (),
    },
    IDENTITY: {
        "tenant_ids": (),
        "token_revocations": (),
        "tenants": (),
        "sites": (),
        "face_events": (),  # Rematch compares every sighting's own embedding
        "visits": ("tenant_id", "id", "customer_id", "site_id", "start_time", "best_event_id", "state"),
        "face_images": ("tenant_id", "id", "event_id", "site_id", "state"),
        "ingest_applied_acts": (),
        "reports_applied_acts": (),
        "registry_acts": (),
    },
    REPORTS: {
        "tenant_ids": (),
        "token_revocations": (),
        "tenants": (),
        "sites": (),
        "site_rules": (),
        "cameras": ("tenant_id", "id", "site_id", "display_name", "role", "enabled", "create_time", "delete_time"),
        "camera_reports": (),
        "workers": ("tenant_id", "id", "site_id", "display_name", "state", "heartbeat_time", "spool_oldest_time"),
        "coverage_slices": (),
        "lease_epochs": (),
        "face_events": (
            *("tenant_id", "id", "site_id", "camera_id", "worker_id", "lease_epoch", "capture_time"),
            *("track_start_time", "track_end_time", "quality", "detection_score", "face_pixels", "gender", "space"),
            *("verdict", "matched_customer_id", "customer_id", "staff_id", "embedding_id", "similarity", "threshold"),
            *("counts", "visit_id", "receive_time", "clock_uncertainty_ms"),
        ),
        "quarantined_events": ("tenant_id", "id", "site_id", "camera_id", "reason", "state", "receive_time"),
        "visits": (),
        "visit_feed": (),
        "dirty_days": (),
        "face_images": (),
        "customers": (),
        "staff": ("tenant_id", "id", "display_name", "effective_time", "suspended", "delete_time"),
        "match_decisions": (),
        "merges": (),
        "sighting_moves": (),
        "identity_acts": (),
        "registry_acts": (),
    },
}

# Where the rule "its own service writes it, all of it" does not hold.
_AUDIT_SEAL: Final = ("seq", "previous_hash", "hash", "seal_time")
_AUDIT_BODY: Final = tuple(c.name for c in metadata.tables["audit_entries"].columns if c.name not in _AUDIT_SEAL)
_SPECIAL: Final[Mapping[str, tuple[Grant, ...]]] = {
    # Written in the transaction of the act, whoever acts; sealed by svc_reports; changed and removed by nobody.
    "audit_entries": (
        *(Grant(service, "audit_entries", "INSERT", _AUDIT_BODY) for service in SERVICES),
        Grant(REPORTS, "audit_entries", "SELECT"),
        Grant(REPORTS, "audit_entries", "UPDATE", _AUDIT_SEAL),
    ),
    # svc_ingest marks, svc_reports counts and removes the marks.
    "dirty_days": (Grant(INGEST, "dirty_days", "INSERT"), Grant(REPORTS, "dirty_days", "DELETE")),
}

# What the sign-in functions see, of every tenant.
SIGN_IN_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "users": ("tenant_id", "id", "email", "password_hash"),
    "api_keys": ("tenant_id", "id", "key_hash"),
    "refresh_tokens": ("tenant_id", "token_hash", "family_id"),
}

QUEUE_TABLES: Final = (
    "procrastinate_jobs",
    "procrastinate_events",
    "procrastinate_periodic_defers",
    "procrastinate_workers",
)
QUEUE_SEQUENCES: Final = (
    "procrastinate_jobs_id_seq",
    "procrastinate_events_id_seq",
    "procrastinate_periodic_defers_id_seq",
    "procrastinate_workers_id_seq",
)

# Our own functions: nobody may call them but these.
EXECUTE: Final[Mapping[str, tuple[str, ...]]] = {
    "sign_in_users(text)": (REGISTRY,),
    "sign_in_api_key(uuid)": (REGISTRY,),
    "sign_in_refresh_token(bytea)": (REGISTRY,),
    "ensure_face_event_partitions(integer)": (INGEST,),
    "business_day(uuid, uuid, timestamp with time zone)": (INGEST, REPORTS),
    "business_day_start(uuid, uuid, date)": (INGEST, REPORTS),
    "uuid_v7(timestamp with time zone)": (INGEST,),
    "fold_visits(uuid, uuid, uuid, timestamp with time zone, timestamp with time zone)": (INGEST,),
    "fold_visits_batch(uuid, uuid[], uuid[], timestamp with time zone[], timestamp with time zone[])": (INGEST,),
}
SIGN_IN_FUNCTIONS: Final = ("sign_in_users(text)", "sign_in_api_key(uuid)", "sign_in_refresh_token(bytea)")


def grants() -> Iterator[Grant]:
    """Every grant on our tables. The queue's tables are granted whole to the four services, see `schema.queue`."""
    for table in metadata.sorted_tables:
        if table.name in _SPECIAL:
            yield from _SPECIAL[table.name]
        else:
            yield from (Grant(table.info["service"], table.name, privilege) for privilege in _EVERYTHING)
    for role, tables in FOREIGN_READS.items():
        yield from (Grant(role, table, "SELECT", columns) for table, columns in tables.items())
    for table_name, columns in SIGN_IN_COLUMNS.items():
        yield Grant(SIGN_IN, table_name, "SELECT", columns)


def policies(table: Table) -> Iterator[Policy]:
    """The policies of one table; none for the tables without row level security."""
    tenant_column, site_column = table.info["tenant_column"], table.info["site_column"]
    if tenant_column is None:
        return
    yield Policy("tenant", f"{tenant_column} = {CURRENT_TENANT}")
    if site_column is not None:
        # The sub-selects are evaluated once per query, not once per row.
        within = f"{site_column} = ANY ({CURRENT_SITES}::uuid[])"
        # Not for footfall_signin: a caller's left-over sites must not hide a credential.
        yield Policy("site", f"{CURRENT_SITES} IS NULL OR {within}", restrictive=True, roles=(OWNER, *SERVICES))
    if table.name == "tenants":
        # A system_admin who names no tenant lists them all; every other table of theirs stays shut.
        yield Policy("directory", f"{CURRENT_TENANT} = '{SYSTEM_TENANT_ID}'::uuid", command="SELECT", roles=(REGISTRY,))
    if table.name in SIGN_IN_COLUMNS:
        yield Policy("sign_in", "true", command="SELECT", roles=(SIGN_IN,))


def is_tenant_table(table: Table) -> bool:
    """Whether row level security is forced on it."""
    return table.info["tenant_column"] is not None


def policy_statements(table: Table, name: str | None = None) -> Iterator[str]:
    """What puts row level security on a table, or on a partition of it that is called `name`."""
    target = name or table.name
    if not is_tenant_table(table):
        return
    yield f"ALTER TABLE {target} ENABLE ROW LEVEL SECURITY"
    yield f"ALTER TABLE {target} FORCE ROW LEVEL SECURITY"
    for policy in policies(table):
        kind = " AS RESTRICTIVE" if policy.restrictive else ""
        to = f" TO {', '.join(policy.roles)}" if policy.roles else ""
        check = f" WITH CHECK ({policy.condition})" if policy.command == "ALL" else ""
        yield (
            f"CREATE POLICY {policy.name} ON {target}{kind} FOR {policy.command}{to} USING ({policy.condition}){check}"
        )


def grant_statements() -> Iterator[str]:
    """Every GRANT on our own tables and functions."""
    for grant in grants():
        columns = f" ({', '.join(grant.columns)})" if grant.columns else ""
        yield f"GRANT {grant.privilege}{columns} ON {grant.table} TO {grant.role}"
    for function, roles in EXECUTE.items():
        yield f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC"
        yield f"GRANT EXECUTE ON FUNCTION {function} TO {', '.join(roles)}"
