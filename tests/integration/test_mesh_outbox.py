"""An act and its message commit together; messages of one lock are applied in order, again until they succeed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import pytest

from mesh import outbox, telemetry
from mesh.database import Database
from mesh.outbox import Worker, publish
from schema import queue
from tests.support.database import TestDatabase
from tests.support.waiting import until

QUEUE = "svc-ingest"


@pytest.fixture
async def db(database: TestDatabase) -> AsyncIterator[Database]:
    async with Database.connect(database.url("svc_identity")) as connected:
        yield connected


@asynccontextmanager
async def _working(database: TestDatabase, handlers: Mapping[str, outbox.Handler]) -> AsyncIterator[asyncio.Task[None]]:
    worker = Worker(database.url("svc_ingest"), QUEUE, handlers)
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Handler:
    """Remembers what it was given; fails as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.got: list[int] = []
        self.failures = failures
        self.request_ids: list[str] = []

    async def __call__(self, payload: Mapping[str, Any]) -> None:
        self.request_ids.append(telemetry.request_id())
        if self.failures:
            self.failures -= 1
            raise ValueError
        self.got.append(payload["n"])


async def _publish(db: Database, *numbers: int, lock: str | None = None, task: str = "merge", **options: Any) -> None:
    for n in numbers:
        async with db.transaction(None) as tx:
            await publish(tx, QUEUE, task, {"n": n}, lock=lock, **options)


def test_the_pins_agree() -> None:
    assert version("procrastinate") == outbox.PROCRASTINATE == queue.VERSION


async def test_a_message_exists_exactly_when_its_act_does(db: Database, database: TestDatabase) -> None:
    handler = Handler()
    with pytest.raises(ValueError, match="undone"):  # noqa: PT012 (the whole block is what raises)
        async with db.transaction(None) as tx:
            await publish(tx, QUEUE, "merge", {"n": 1})
            raise ValueError("undone")
    await _publish(db, 2)
    async with _working(database, {"merge": handler}):
        await until(lambda: handler.got)
    assert handler.got == [2]


async def test_messages_of_one_lock_are_applied_in_order_and_one_at_a_time(
    db: Database, database: TestDatabase
) -> None:
    running = 0
    together: list[int] = []
    got: list[int] = []

    async def handle(payload: Mapping[str, Any]) -> None:
        nonlocal running
        running += 1
        together.append(running)
        await asyncio.sleep(0.001)
        got.append(payload["n"])
        running -= 1

    await _publish(db, *range(12), lock="tenant:1")
    async with _working(database, {"merge": handle}), _working(database, {"merge": handle}):  # two replicas
        await until(lambda: len(got) == 12)
    assert got == list(range(12))
    assert set(together) == {1}


async def test_a_failure_is_tried_again_and_those_behind_it_wait(
    db: Database, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "FIRST_WAIT_SECONDS", 0)
    handler = Handler(failures=2)
    await _publish(db, 1, 2, lock="tenant:1")
    async with _working(database, {"merge": handler}):
        await until(lambda: len(handler.got) == 2)
    assert handler.got == [1, 2]


async def test_the_request_that_caused_it_is_named_in_the_log_of_the_act(db: Database, database: TestDatabase) -> None:
    handler = Handler()
    with telemetry.request_scope("order-4711"):
        await _publish(db, 1)
    async with _working(database, {"merge": handler}):
        await until(lambda: handler.got)
    assert handler.request_ids == ["order-4711"]


async def test_a_message_for_later_waits(db: Database, database: TestDatabase) -> None:
    handler = Handler()
    await _publish(db, 1, at=datetime.now(UTC) + timedelta(hours=1))
    await _publish(db, 2)
    async with _working(database, {"merge": handler}):
        await until(lambda: handler.got)
    assert handler.got == [2]


async def test_what_a_killed_worker_had_begun_is_done_by_another(
    db: Database, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RESCUE_SECONDS", 0.05)
    monkeypatch.setattr(outbox, "STALLED_SECONDS", 0.5)
    await _publish(db, 1, lock="tenant:1")
    with database.superuser() as connection:  # as kill -9 leaves it: doing, by a worker whose heart has stopped
        connection.execute("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 minute')")
        connection.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT max(id) FROM procrastinate_workers)"
        )
    handler = Handler()
    async with _working(database, {"merge": handler}):
        await until(lambda: handler.got)
    assert handler.got == [1]


async def test_done_messages_do_not_pile_up(db: Database, database: TestDatabase) -> None:
    handler = Handler()
    await _publish(db, 1, 2, 3)
    async with _working(database, {"merge": handler}):
        await until(lambda: len(handler.got) == 3)
        with database.superuser() as connection:
            await until(lambda: connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (0,))
