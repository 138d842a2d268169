"""Makes a database ready for the mesh: roles, database, migrations, this season's partitions. Safe to repeat.

A superuser is needed once, or a role with CREATEROLE and CREATEDB. Later upgrades need footfall_owner only
(`alembic upgrade head`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from alembic import command
from psycopg import sql

from schema import migrating
from schema.common import INGEST, SERVICES
from schema.roles import OWNER, SIGN_IN

DATABASE: Final = "footfall"
MINIMUM_VERSION: Final = 150000
MONTHS_AHEAD: Final = 3

# Bounds on what a stuck service can hold on to; a report that takes longer is a bug.
_SERVICE_SETTINGS: Final[Mapping[str, str]] = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}


@dataclass(frozen=True)
class Urls:
    """Where each role connects to."""

    owner: str
    services: Mapping[str, str]


def login_roles() -> tuple[str, ...]:
    """Every role that needs a password."""
    return (OWNER, *SERVICES)


def bootstrap(superuser_url: str, passwords: Mapping[str, str], *, database: str = DATABASE) -> Urls:
    """Makes or upgrades the database `database` on the server of `superuser_url` (postgresql://…).

    `passwords` holds one for each of `login_roles()`; a changed one takes effect. Raises KeyError when one is missing,
    RuntimeError on a server older than PostgreSQL 15, psycopg.Error when the server refuses.
    """
    missing = sorted(set(login_roles()) - set(passwords))
    if missing:
        raise KeyError(f"no password for {', '.join(missing)}")
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        if connection.info.server_version < MINIMUM_VERSION:
            raise RuntimeError(f"PostgreSQL 15 or newer is needed, this is {connection.info.server_version // 10000}")
        _make_roles(connection, passwords)
        _make_database(connection, database)
    with psycopg.connect(_same_server(superuser_url, database)) as connection:
        # Owning the database would do, were the owner not NOINHERIT.
        connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(OWNER)))
    urls = Urls(
        owner=role_url(superuser_url, OWNER, passwords[OWNER], database),
        services={role: role_url(superuser_url, role, passwords[role], database) for role in SERVICES},
    )
    command.upgrade(migrating.config(urls.owner), "head")
    with psycopg.connect(urls.services[INGEST]) as connection:
        connection.execute("SELECT ensure_face_event_partitions(%s)", (MONTHS_AHEAD,))
    return urls


def role_url(url: str, role: str, password: str, database: str) -> str:
    """`url` with another user and database; host, port and query stay."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    netloc = f"{quote(role, safe='')}:{quote(password, safe='')}@{address}"
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{quote(database, safe='')}"))


def _same_server(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(database, safe='')}"))


def _make_roles(connection: psycopg.Connection, passwords: Mapping[str, str]) -> None:
    for role in (*login_roles(), SIGN_IN):
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    for role in login_roles():
        # The verifier is made here, so that the password itself reaches no server log.
        verifier = connection.pgconn.encrypt_password(passwords[role].encode(), role.encode(), b"scram-sha-256")
        # NOINHERIT: the owner may act as footfall_signin to hand functions over, and does not see with its eyes.
        connection.execute(
            sql.SQL("ALTER ROLE {} LOGIN NOINHERIT PASSWORD {}").format(
                sql.Identifier(role), sql.Literal(verifier.decode())
            )
        )
    connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(SIGN_IN), sql.Identifier(OWNER)))
    for role in SERVICES:
        for name, value in _SERVICE_SETTINGS.items():
            connection.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(
                    sql.Identifier(role), sql.Identifier(name), sql.Literal(value)
                )
            )


def _make_database(connection: psycopg.Connection, database: str) -> None:
    name = sql.Identifier(database)
    if connection.execute("SELECT FROM pg_database WHERE datname = %s", (database,)).fetchone() is None:
        owner = sql.Identifier(OWNER)
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'").format(name, owner)
        )
    restrict_database(connection, database)


def restrict_database(connection: psycopg.Connection, database: str) -> None:
    """Lets the services in, and nobody else; not even they make temporary tables."""
    name = sql.Identifier(database)
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    services = sql.SQL(", ").join(sql.Identifier(role) for role in SERVICES)
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, services))
