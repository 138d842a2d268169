"""The queue's tables (jobs, webhooks, outbox): procrastinate's own schema, as the installed package ships it.

Its rows hold ids only and are worked on without a tenant, so they have no row level security; the four services share
them. The package is pinned: raising the pin comes with a migration that applies the package's own in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from procrastinate.schema import SchemaManager

from schema.common import SERVICES
from schema.roles import QUEUE_SEQUENCES, QUEUE_TABLES

# What migration 0002 laid down; `tests/integration/test_migrations.py` fails when the pin moves away from it.
VERSION: Final = "3.10.0"


def statements() -> Iterator[str]:
    """The queue's DDL and its grants. Run by footfall_owner."""
    yield SchemaManager.get_schema()
    services = ", ".join(SERVICES)
    for table in QUEUE_TABLES:
        yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {services}"
    for sequence in QUEUE_SEQUENCES:
        yield f"GRANT USAGE ON SEQUENCE {sequence} TO {services}"
