"""A real PostgreSQL for tests: one server per session, one database per test, copied from a migrated template.

The wheel's server by default; `FOOTFALL_TEST_POSTGRES_BIN=/usr/lib/postgresql/15/bin` runs the same tests on another.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from schema.bootstrap import bootstrap, login_roles, restrict_database, role_url
from schema.roles import OWNER
from stack.postgres import Postgres
from tests.support.ports import free_port

TEMPLATE = "footfall_template"
PASSWORD = "password-of-a-test"


@dataclass(frozen=True)
class TestDatabase:
    """One database. URLs are postgresql://…, without a driver's name."""

    __test__ = False

    name: str
    superuser_url: str

    def url(self, role: str) -> str:
        """Where this role (svc_registry, svc_ingest, svc_identity, svc_reports, footfall_owner) connects to."""
        return role_url(self.superuser_url, role, PASSWORD, self.name)

    @property
    def owner_url(self) -> str:
        return self.url(OWNER)

    def superuser(self) -> psycopg.Connection:
        """A connection that no policy holds back: to lay out a test, and to look at what it left."""
        return psycopg.connect(self.superuser_url, autocommit=True)


def chosen_binaries() -> Path | None:
    """The folder that FOOTFALL_TEST_POSTGRES_BIN names; None means the wheel's."""
    chosen = os.environ.get("FOOTFALL_TEST_POSTGRES_BIN")
    return Path(chosen) if chosen else None


@contextmanager
def running_server() -> Iterator[Postgres]:
    """A fresh server without durability, with the roles and the migrated template; gone afterwards."""
    # Not tmp_path: pytest's folders are private to the user who runs the tests, and as root the server is another.
    home = Path(tempfile.mkdtemp(prefix="footfall-postgres-"))
    home.chmod(0o711)
    server = Postgres(home / "postgres", free_port(), PASSWORD, binaries=chosen_binaries(), durable=False)
    try:
        with server:
            bootstrap(server.url(), dict.fromkeys(login_roles(), PASSWORD), database=TEMPLATE)
            yield server
    finally:
        shutil.rmtree(server.root, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def fresh_database(server: Postgres, name: str, *, template: str = TEMPLATE) -> Iterator[TestDatabase]:
    """A copy of the template (0.05 s); dropped afterwards, whoever is still connected."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(template)
            )
        )
        restrict_database(connection, name)  # a copy has the template's tables, and not its database's grants
        try:
            yield TestDatabase(name, server.url(database=name))
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
