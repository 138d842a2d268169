"""Runs migrations as footfall_owner, on the database that `sqlalchemy.url` or FOOTFALL_OWNER_URL names."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import create_engine, pool

import schema
from schema.migrating import LOCK, compare_only_ours, driver_url


def _url() -> str:
    url = context.config.get_main_option("sqlalchemy.url") or os.environ.get("FOOTFALL_OWNER_URL")
    if not url:
        raise SystemExit("name the database: FOOTFALL_OWNER_URL=postgresql://footfall_owner:…@host/footfall")
    return url


def _configure(**options: object) -> None:
    context.configure(
        target_metadata=schema.metadata,
        include_object=compare_only_ours,
        compare_type=True,
        **options,  # type: ignore[arg-type]
    )


if context.is_offline_mode():
    _configure(url=driver_url(_url()), literal_binds=True, dialect_opts={"paramstyle": "named"})
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(driver_url(_url()), poolclass=pool.NullPool)
    with engine.connect() as connection:
        _configure(connection=connection)
        with context.begin_transaction():
            # Several replicas of an installer may start at once.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
            context.run_migrations()
    engine.dispose()
