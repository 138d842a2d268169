"""Acts beyond one service: committed with an outbox row, applied by the others in order, at least once.

The rows are procrastinate's jobs. `publish` writes one inside the caller's own transaction, so that act and message
commit together or not at all; a `Worker` of the addressed service runs them, one after the other where they share a
`lock`, again until they succeed. Handlers are idempotent.

    await publish(tx, "svc-ingest", "customer.merge", {"tenant_id": …, "act_id": …}, lock=f"tenant:{tenant_id}")

    worker = Worker(database.url, "svc-ingest", {"customer.merge": apply_merge})
    Service(…, background=[Background("outbox", worker.run)])
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, TypeAlias

import procrastinate
import structlog
from procrastinate import App, PsycopgConnector
from procrastinate import worker as procrastinate_worker
from procrastinate.exceptions import ConnectorException
from sqlalchemy import text

from mesh import telemetry
from mesh.database import Tx

# The SQL function and type below are this version's; the pin in pyproject.toml and a test hold them together.
PROCRASTINATE: Final = "3.10.0"
POLL_SECONDS: Final = 1.0  # beside NOTIFY
STALLED_SECONDS = 30.0  # a worker without a heartbeat for so long is dead, and its jobs run again
RESCUE_SECONDS = 10.0
CONCURRENCY: Final = 4
FIRST_WAIT_SECONDS = 1  # before a failed handler runs again; doubled each time
MOST_WAIT_SECONDS: Final = 60

Handler: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[None]]

_log = structlog.get_logger(__name__)
_failures = telemetry.counter("outbox_failures", "Handlers that failed and will run again", ["task"])

_DEFER: Final = text(
    "SELECT procrastinate_defer_jobs_v1(ARRAY[ROW("
    "CAST(:queue AS varchar), CAST(:task AS varchar), CAST(:priority AS integer), CAST(:lock AS text), NULL,"
    " CAST(:args AS jsonb), CAST(:at AS timestamptz))::procrastinate_job_to_defer_v1])"
)


async def publish(
    tx: Tx,
    queue: str,
    task: str,
    payload: Mapping[str, object],
    *,
    lock: str | None = None,
    at: datetime | None = None,
) -> None:
    """Adds a message to the transaction.

    Args:
        tx: the act's own.
        queue: who applies it: a service's peer name.
        task: what it is; the worker's handlers have this name.
        payload: JSON, ids only.
        lock: messages of one lock are applied one at a time, in the order of their publication.
        at: not before this; aware. (A later one of the same lock waits for it.)
    """
    arguments = {"payload": dict(payload), "request_id": telemetry.request_id()}
    await tx.execute(
        _DEFER,
        {
            "queue": queue,
            "task": task,
            "priority": 0,
            "lock": lock,
            "args": json.dumps(arguments, default=str),
            "at": at,
        },
    )


class Worker:
    """Applies one queue's messages; any number of replicas may run.

    Args:
        url: postgresql://….
        queue: this service's.
        handlers: task name → what applies a payload; idempotent; raises to be run again with backoff.
        concurrency: messages at once (of different locks).
    """

    def __init__(
        self, url: str, queue: str, handlers: Mapping[str, Handler], *, concurrency: int = CONCURRENCY
    ) -> None:
        self._url = url
        self._queue = queue
        self._handlers = dict(handlers)
        self._concurrency = concurrency

    async def run(self) -> None:
        """Works until cancelled; raises when the database is away (the supervisor starts it again)."""
        connector = PsycopgConnector(conninfo=self._url, min_size=1, max_size=self._concurrency + 2)
        app = App(connector=connector)
        for name, handler in self._handlers.items():
            self._register(app, name, handler)
        async with app.open_async(), asyncio.TaskGroup() as group:
            rescue = group.create_task(self._rescue(app))
            try:
                await _EagerWorker(
                    app,
                    queues=[self._queue],
                    name=self._queue,
                    concurrency=self._concurrency,
                    install_signal_handlers=False,
                    fetch_job_polling_interval=POLL_SECONDS,
                    shutdown_graceful_timeout=5.0,
                    stalled_worker_timeout=STALLED_SECONDS,
                    delete_jobs="successful",
                ).run()  # type: ignore[no-untyped-call]  # the library's
            finally:
                rescue.cancel()

    def _register(self, app: App, name: str, handler: Handler) -> None:
        async def run(payload: Mapping[str, Any], request_id: str = "") -> None:
            with telemetry.request_scope(request_id or None):
                try:
                    await handler(payload)
                except Exception:
                    _failures.labels(name).inc()
                    _log.exception("outbox_failed", task=name)
                    raise  # procrastinate runs it again

        app.task(name=name, queue=self._queue, retry=_Patience())(run)

    async def _rescue(self, app: App) -> None:
        """Runs again what a killed worker had begun."""
        while True:
            await asyncio.sleep(RESCUE_SECONDS)
            with suppress(ConnectorException):
                jobs = await app.job_manager.get_stalled_jobs(
                    queue=self._queue, seconds_since_heartbeat=STALLED_SECONDS
                )
                for job in jobs:
                    _log.warning("outbox_rescued", task=job.task_name, job_id=job.id)
                    await app.job_manager.retry_job(job)


class _EagerWorker(procrastinate_worker.Worker):
    """Looks for more as soon as a message is done: the next one of its lock had to wait for just that. (The library's
    own worker would see it at the next poll: one message of a lock per second.)"""

    async def _process_job(self, context: procrastinate.JobContext) -> None:
        await super()._process_job(context)
        self._new_job_event.set()


class _Patience(procrastinate.BaseRetryStrategy):
    """Again for ever, after 1, 2, 4, … 60 s: an act that is committed must be applied."""

    def get_retry_decision(
        self,
        *,
        exception: BaseException,  # noqa: ARG002
        job: procrastinate.jobs.Job,
    ) -> procrastinate.RetryDecision:
        return procrastinate.RetryDecision(
            retry_in={"seconds": min(MOST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(job.attempts, 10))}
        )
