"""PostgreSQL, one tenant per transaction.

Every transaction names its tenant (and a site_manager's sites) in settings that the row level security policies read,
local to the transaction: whatever a pooled connection did before, a transaction without a tenant sees no tenant's row.

    async with database.as_caller(caller) as tx:                  # one try; driver errors become mesh errors
        await store.insert_camera(tx, camera)

    visits = await database.run(tenant_id, lambda tx: store.fold(tx, batch))   # serialization failures are retried

No network call inside a transaction. A lost server is `Unavailable`, and heals by itself: a transaction that finds its
pooled connection dead begins once more on a fresh one.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias, TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import structlog
from footfall.type.v1 import problem_pb2
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from mesh import telemetry
from mesh.errors import Conflict, MeshError, Unavailable
from mesh.hints import HINTS, Hints
from mesh.ids import SiteId, TenantId

if TYPE_CHECKING:
    from mesh.auth import Caller

Tx: TypeAlias = AsyncConnection
Isolation: TypeAlias = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
T = TypeVar("T")

RETRIES: Final = 6  # of a transaction that PostgreSQL asked to repeat
FIRST_BACKOFF: Final = 0.01  # seconds, doubled, with full jitter
CONNECT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 30.0  # the server cancels what runs longer
LOCK_SECONDS: Final = 10.0  # … and what waits longer for a lock
IDLE_SECONDS: Final = 60.0  # … and ends a transaction that was forgotten open
POOL_WAIT_SECONDS: Final = 5.0  # for a free connection, before OVERLOADED

_REPEATABLE: Final = frozenset({"40001", "40P01"})
_TIMED_OUT: Final = frozenset({"55P03", "57014"})
# Classes of "the server is away, going, coming or full": connection exceptions, operator intervention, too many
# clients.
_AWAY: Final = ("08", "57P", "53300")

_SCOPE: Final = text("SELECT set_config('app.tenant_id', :tenant, true), set_config('app.site_ids', :sites, true)")
_log = structlog.get_logger(__name__)
_retries = telemetry.counter("database_retries", "Transactions repeated because PostgreSQL asked for it", ["sqlstate"])


class Database:
    """A pool of connections under one role. Build it in wiring.py with `connect`, and `close` it there.

    Args:
        engine: SQLAlchemy's, on asyncpg.
        url: postgresql://…, for connections outside of the pool (hints).
    """

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        self._engine = engine
        self._url = url
        self._hints = Hints(engine)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str,
        *,
        pool_size: int = 8,
        application_name: str = "footfall",
        statement_seconds: float = STATEMENT_SECONDS,
    ) -> AsyncIterator[Self]:
        """A database for the length of the block. Nothing is connected before the first transaction.

        Args:
            url: postgresql://role:password@host:port/database.
            pool_size: connections at most.
            application_name: seen in pg_stat_activity.
            statement_seconds: statements that run longer are cancelled.
        """
        engine = create_async_engine(
            urlunsplit(urlsplit(url)._replace(scheme="postgresql+asyncpg")),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            pool_use_lifo=True,
            connect_args={
                "timeout": CONNECT_SECONDS,
                "prepared_statement_cache_size": 500,
                "server_settings": {
                    "application_name": application_name,
                    "jit": "off",  # compiling costs more than these short statements run
                    "statement_timeout": f"{int(statement_seconds * 1000)}",
                    "lock_timeout": f"{int(LOCK_SECONDS * 1000)}",
                    "idle_in_transaction_session_timeout": f"{int(IDLE_SECONDS * 1000)}",
                    "timezone": "UTC",
                },
            },
        )
        database = cls(engine, url)
        try:
            yield database
        finally:
            await database.close()

    async def close(self) -> None:
        """Sends what hints are left and closes every connection."""
        await self._hints.close()
        await self._engine.dispose()

    @property
    def url(self) -> str:
        """postgresql://…, with the password."""
        return self._url

    @asynccontextmanager
    async def transaction(
        self,
        tenant_id: TenantId | None,
        *,
        site_ids: Iterable[SiteId] | None = None,
        read_only: bool = False,
        isolation: Isolation | None = None,
    ) -> AsyncIterator[Tx]:
        """One transaction in one tenant: committed when the block ends, rolled back when it raises.

        Args:
            tenant_id: whose rows it sees; None: no tenant's, only what no tenant owns.
            site_ids: the sites that it is held to; None = every site of the tenant.
            read_only: PostgreSQL refuses writes.
            isolation: READ COMMITTED by default; REPEATABLE READ for reports that read twice.

        Raises:
            Unavailable: the server is away, or no connection became free (OVERLOADED).
            Conflict: PostgreSQL asks to repeat the transaction (`run` does so by itself).
            MeshError: what the block raised; other driver errors come through as they are, and are bugs.
        """
        try:
            async with AsyncExitStack() as stack:
                tx = await self._begin(stack, tenant_id, site_ids, read_only=read_only, isolation=isolation)
                yield tx
                hints: set[str] = tx.info.get(HINTS, set())
        except (exc.SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            if (known := translate(error)) is None:
                raise
            raise known from error
        self._hints.send(hints)

    @asynccontextmanager
    async def as_caller(
        self, caller: Caller, *, read_only: bool = False, isolation: Isolation | None = None
    ) -> AsyncIterator[Tx]:
        """A transaction in the caller's tenant, held to a site_manager's sites. Raises as `transaction`."""
        async with self.transaction(
            caller.acting_tenant, site_ids=caller.visible_sites, read_only=read_only, isolation=isolation
        ) as tx:
            yield tx

    async def run(
        self,
        tenant_id: TenantId | None,
        work: Callable[[Tx], Awaitable[T]],
        *,
        site_ids: Iterable[SiteId] | None = None,
        read_only: bool = False,
        isolation: Isolation | None = None,
    ) -> T:
        """Runs `work` in a transaction, again when PostgreSQL asks for it (serialization failure, deadlock).

        Args:
            tenant_id, site_ids, read_only, isolation: as for `transaction`.
            work: may run several times; it must have no effect outside of its transaction.

        Raises:
            Conflict: still not possible after `RETRIES` times.
            Unavailable, MeshError: as for `transaction`.
        """
        backoff = FIRST_BACKOFF
        for attempt in range(RETRIES):
            try:
                async with self.transaction(
                    tenant_id, site_ids=site_ids, read_only=read_only, isolation=isolation
                ) as tx:
                    return await work(tx)
            except Conflict as error:
                state = sqlstate(error.__cause__)
                if state not in _REPEATABLE or attempt == RETRIES - 1:
                    raise
                _retries.labels(state).inc()
            await asyncio.sleep(random.uniform(0, backoff))  # noqa: S311 (jitter, no secret)
            backoff *= 2
        raise AssertionError  # the last attempt returned or raised

    async def run_as_caller(
        self,
        caller: Caller,
        work: Callable[[Tx], Awaitable[T]],
        *,
        read_only: bool = False,
        isolation: Isolation | None = None,
    ) -> T:
        """`run` in the caller's tenant, held to a site_manager's sites."""
        return await self.run(
            caller.acting_tenant, work, site_ids=caller.visible_sites, read_only=read_only, isolation=isolation
        )

    async def check(self) -> None:
        """A readiness check: one round trip.

        Raises:
            Unavailable: the server is away.
        """
        async with self.transaction(None, read_only=True) as tx:
            await tx.execute(text("SELECT 1"))

    async def _begin(
        self,
        stack: AsyncExitStack,
        tenant_id: TenantId | None,
        site_ids: Iterable[SiteId] | None,
        *,
        read_only: bool,
        isolation: Isolation | None,
    ) -> Tx:
        scope = {
            "tenant": str(tenant_id) if tenant_id else "",
            "sites": "" if site_ids is None else "{" + ",".join(sorted(map(str, site_ids))) + "}",
        }
        options: dict[str, object] = {"postgresql_readonly": True} if read_only else {}
        if isolation is not None:
            options["isolation_level"] = isolation
        try:
            return await self._enter(stack, options, scope)
        except (exc.DBAPIError, OSError) as error:
            if not isinstance(error, exc.DBAPIError) or not error.connection_invalidated:
                raise
        # The pooled connection was dead (the server restarted): nothing has run yet, so begin on a fresh one.
        return await self._enter(stack, options, scope)

    async def _enter(self, stack: AsyncExitStack, options: dict[str, object], scope: dict[str, str]) -> Tx:
        async with AsyncExitStack() as attempt:
            tx = await attempt.enter_async_context(self._engine.connect())
            if options:
                await tx.execution_options(**options)
            await attempt.enter_async_context(tx.begin())
            await tx.execute(_SCOPE, scope)
            tx.info[HINTS] = set()
            await stack.enter_async_context(attempt.pop_all())
            return tx


async def lock(tx: Tx, *keys: tuple[object, ...] | str | UUID) -> None:
    """Takes advisory locks until the transaction ends, always in one order, so that two callers cannot deadlock.

    Args:
        tx: a transaction.
        keys: what is locked, e.g. ("visits", tenant_id, customer_id, site_id). Equal keys are one lock; unequal ones
            are two, but for a hash collision in 2^64, which only makes them wait for one another.
    """
    if not keys:
        return
    numbers = sorted({_lock_number(key) for key in keys})
    # A subquery keeps the order: the planner may evaluate a bare SELECT over unnest in any.
    await tx.execute(
        text("SELECT pg_advisory_xact_lock(k) FROM (SELECT k FROM unnest(CAST(:keys AS bigint[])) k ORDER BY k) s"),
        {"keys": numbers},
    )


async def notify(tx: Tx, channel: str) -> None:
    """Hints on `channel` that something has changed, after the commit and without data. Many hints become one."""
    hints: set[str] = tx.info[HINTS]
    hints.add(channel)


def sqlstate(error: BaseException | None) -> str:
    """PostgreSQL's five-letter code of a driver error, SQLAlchemy's wrapping or not; "" when there is none."""
    while error is not None:
        state = getattr(error, "sqlstate", None)
        if isinstance(state, str):
            return state
        error = getattr(error, "orig", None) or error.__cause__
    return ""


def translate(error: BaseException) -> MeshError | None:
    """What a driver error means to a caller; None when it is a bug of ours. Driver text stays here."""
    if isinstance(error, exc.TimeoutError):
        return Unavailable(
            "too many transactions at once",
            reason=problem_pb2.ERROR_REASON_OVERLOADED,
            retry_after=timedelta(seconds=1),
        )
    state = sqlstate(error)
    if state in _REPEATABLE:
        return Conflict("somebody else changed it at the same moment")
    if state in _TIMED_OUT:
        return Unavailable(
            "the database did not finish in time",
            reason=problem_pb2.ERROR_REASON_OVERLOADED,
            retry_after=timedelta(seconds=1),
        )
    dead = isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.PostgresConnectionError) or (
        isinstance(error, exc.DBAPIError) and (error.connection_invalidated or isinstance(error, exc.InterfaceError))
    )
    if dead or state.startswith(_AWAY):
        return Unavailable("the database is not available", retry_after=timedelta(seconds=1))
    return None


def _lock_number(key: object) -> int:
    parts = key if isinstance(key, tuple) else (key,)
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
