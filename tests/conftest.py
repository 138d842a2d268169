"""Fixtures that every kind of test may use."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from stack.postgres import Postgres
from tests.support.database import TestDatabase, fresh_database, running_server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL of this session's own, with our roles and a migrated template database."""
    with running_server() as server:
        yield server


@pytest.fixture
def database(postgres_server: Postgres) -> Iterator[TestDatabase]:
    """A migrated database of this test's own, empty but for the system tenant."""
    with fresh_database(postgres_server, f"test_{uuid4().hex}") as made:
        yield made
