"""The embedded PostgreSQL as a child of the supervisor, with the real migrations."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from mesh.clock import SystemClock
from stack import plan
from stack.environment import Surroundings
from stack.home import Home
from stack.ports import Ports
from stack.supervisor import StartError, Supervisor
from stack.up import Options
from tests.support.ports import free_port
from tests.support.waiting import until


@pytest.fixture
def options(tmp_path: Path) -> Options:
    home = Home.at(tmp_path)
    home.make()
    return Options(home, Ports(max(1024, free_port() - 43)))


@pytest.fixture
async def supervisor(options: Options) -> AsyncIterator[Supervisor]:
    made = Supervisor(options.home.logs, clock=SystemClock(), rng=random.Random(1))  # noqa: S311
    yield made
    await made.stop()


async def start(supervisor: Supervisor, options: Options) -> Surroundings:
    around, postgres = plan.surroundings(options)
    assert postgres is not None
    await supervisor.start([*plan.database(postgres), plan.migrations(around, after=(plan.POSTGRES,))])
    return around


def count_tenants(around: Surroundings) -> int:
    url = around.database.url("svc_registry", around.secrets.roles["svc_registry"])
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute("SELECT count(*) FROM tenants").fetchone()
    assert row is not None
    return int(row[0])


async def test_a_service_finds_its_tables_with_the_password_that_it_is_given(
    supervisor: Supervisor, options: Options
) -> None:
    around = await start(supervisor, options)
    assert count_tenants(around) == 0


async def test_a_killed_server_is_back_and_its_data_with_it(supervisor: Supervisor, options: Options) -> None:
    around = await start(supervisor, options)
    (record,) = supervisor.records()
    assert record.pid is not None
    with psycopg.connect(around.database.admin_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(record.pid, signal.SIGKILL)
    await until(lambda: supervisor.records()[0].pid not in {record.pid, None} and supervisor.all_serving())
    with psycopg.connect(around.database.admin_url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


async def test_a_second_start_keeps_secrets_and_data(supervisor: Supervisor, options: Options) -> None:
    first = await start(supervisor, options)
    await supervisor.stop()
    again = Supervisor(options.home.logs, clock=SystemClock(), rng=random.Random(2))  # noqa: S311
    try:
        second = await start(again, options)
        assert second.secrets == first.secrets
        assert count_tenants(second) == 0
    finally:
        await again.stop()


async def test_an_operators_server_that_does_not_answer_is_named(supervisor: Supervisor, options: Options) -> None:
    url = f"postgresql://boss:secret@127.0.0.1:{free_port()}/postgres"
    around, postgres = plan.surroundings(Options(options.home, options.ports, database_url=url))
    assert postgres is None
    with pytest.raises(StartError, match=r"migrations: .*onnection refused") as caught:
        await supervisor.start([plan.migrations(around, after=())])
    assert "secret" not in str(caught.value)
