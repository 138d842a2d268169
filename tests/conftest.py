"""Fixtures that every kind of test may use."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import cache
from uuid import uuid4

import pytest
import structlog

from mesh.tls import Tls
from stack.certificates import issue, make_ca
from stack.postgres import Postgres
from tests.support.database import TestDatabase, fresh_database, running_server
from tests.support.stack import Mesh, running_mesh


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """What a test does to the process's logging ends with it: its stream is closed, and later tests log too."""
    root, configuration = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configuration)


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


@pytest.fixture(scope="session")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tls]:
    """The key material of any peer of the mesh by its name, all of one authority."""
    authority = make_ca(tmp_path_factory.mktemp("certificates"))
    return cache(lambda peer: issue(authority, peer))


@pytest.fixture(scope="session")
def real_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """The whole mesh in processes of its own; each test makes its own tenants on it."""
    with running_mesh(tmp_path_factory.mktemp("mesh")) as mesh:
        yield mesh
