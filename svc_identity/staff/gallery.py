"""The gallery that workers hold: the staff of their sites, first whole, then every change, in consistent steps."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from footfall.type.v1 import problem_pb2

from mesh import telemetry
from mesh.auth import Caller
from mesh.clock import Clock
from mesh.database import Database, Tx
from mesh.errors import InvalidField, ResourceExhausted, Unavailable
from mesh.hints import Listener
from mesh.ids import EmbeddingId, StaffId, TenantId
from svc_identity.matching import store as matches
from svc_identity.matching.service import Matching
from svc_identity.staff import faces_store
from svc_identity.staff.domain import Reach, Roll, hint_threshold, to_tell
from svc_identity.vectors.port import Vector
from svc_identity.vectors.vault import VectorVault

SILENCE_SECONDS: Final = 15.0  # after which a checkpoint is sent all the same
PATIENCE_SECONDS: Final = 30.0  # how long a stream outlives the database's absence
FRESH_SECONDS: Final = 0.9  # how long one stream's look at the revision serves the others of its tenant

_open = telemetry.gauge("gallery_streams", "Open gallery streams")


@dataclass(frozen=True, slots=True)
class Reset:
    """Forget everything."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """The whole truth about one staff member; no vectors: forget them."""

    staff_id: StaffId
    vectors: tuple[Vector, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A consistent point."""

    revision: int
    staff_count: int
    hint_threshold: float


Message: TypeAlias = Reset | Entry | Checkpoint


@dataclass(frozen=True, slots=True)
class _Look:
    """One consistent look at the record."""

    checkpoint: Checkpoint
    roll: Roll
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """What a stream of this process has read of a revision lately."""

    revision: int
    hints: int
    time: float


class Galleries:
    """Tells workers of the staff of their sites.

    Args:
        database: as svc_identity.
        listener: hints of changes, on `faces_store.CHANNEL`.
        vault: opens embeddings.
        matching: whose policies say which spaces there are, and the threshold of each.
        clock: of silence.
        watchers: open streams of one tenant at most.
    """

    def __init__(
        self,
        database: Database,
        listener: Listener,
        vault: VectorVault,
        matching: Matching,
        clock: Clock,
        *,
        watchers: int,
    ) -> None:
        self._database = database
        self._listener = listener
        self._vault = vault
        self._matching = matching
        self._clock = clock
        self._watchers = watchers
        self._watching: Counter[TenantId] = Counter()
        self._known: dict[tuple[TenantId, str], _Known] = {}
        self._reading: dict[tuple[TenantId, str], asyncio.Lock] = {}

    async def watch(self, caller: Caller, space: str, revision: int) -> AsyncIterator[Message]:
        """Messages for ever.

        Args:
            caller: a worker, whose token names its sites.
            space: that it computes.
            revision: of the last checkpoint that it has applied; 0: it holds nothing.

        Raises:
            InvalidField: EMBEDDING_SPACE_UNKNOWN.
            ResourceExhausted: STREAM_LIMIT.
            Unavailable: the database stays away.
        """
        tenant_id, reach = caller.tenant, caller.site_ids
        with self._counted(tenant_id):
            hints = self._listener.seen(faces_store.CHANNEL)
            held: Roll = {}
            look = await self._look(tenant_id, space, reach, held)
            if look.checkpoint.revision != revision or revision == 0:
                yield Reset()
                for entry in look.entries:
                    yield entry
            yield look.checkpoint
            held, told = look.roll, look.checkpoint.revision
            spoken = heard = self._clock.monotonic()
            while True:
                await self._listener.wait(faces_store.CHANNEL, hints)
                hints = self._listener.seen(faces_store.CHANNEL)
                silent = self._clock.monotonic() - spoken >= SILENCE_SECONDS
                try:
                    if not silent and await self._revision(tenant_id, space, hints) == told:
                        heard = self._clock.monotonic()
                        continue
                    look = await self._look(tenant_id, space, reach, held)
                except Unavailable:
                    if self._clock.monotonic() - heard > PATIENCE_SECONDS:
                        raise
                    continue
                for entry in look.entries:
                    yield entry
                yield look.checkpoint
                held, told = look.roll, look.checkpoint.revision
                spoken = heard = self._clock.monotonic()

    @contextmanager
    def _counted(self, tenant_id: TenantId) -> Iterator[None]:
        if self._watching[tenant_id] >= self._watchers:
            raise ResourceExhausted(
                f"the tenant has {self._watchers} gallery streams open", reason=problem_pb2.ERROR_REASON_STREAM_LIMIT
            )
        self._watching[tenant_id] += 1
        _open.inc()
        try:
            yield
        finally:
            self._watching[tenant_id] -= 1
            if not self._watching[tenant_id]:
                del self._watching[tenant_id]
            _open.dec()

    async def _look(self, tenant_id: TenantId, space: str, reach: Reach, held: Roll) -> _Look:
        """The gallery now, and the entries that somebody lacks who holds `held`; all of one moment."""
        async with self._database.transaction(tenant_id, read_only=True, isolation="REPEATABLE READ") as tx:
            policies = await self._matching.policies(tx, tenant_id)
            if space not in policies:
                raise InvalidField("space", "is not used here", reason=problem_pb2.ERROR_REASON_EMBEDDING_SPACE_UNKNOWN)
            revision = await faces_store.revision(tx, space)
            roll = await faces_store.roll(tx, space, reach)
            lacking = to_tell(held, roll)
            vectors = await self._vectors(tx, {id_ for staff_id in lacking for id_ in roll.get(staff_id, ())})
        entries = tuple(
            Entry(staff_id, tuple(vectors[id_] for id_ in sorted(roll.get(staff_id, ())))) for staff_id in lacking
        )
        return _Look(Checkpoint(revision, len(roll), hint_threshold(policies[space].threshold)), roll, entries)

    async def _vectors(self, tx: Tx, ids: set[EmbeddingId]) -> dict[EmbeddingId, Vector]:
        sealed = await matches.sealed_vectors(tx, ids) if ids else {}
        return {id_: self._vault.open(id_, vector) for id_, vector in sealed.items()}

    async def _revision(self, tenant_id: TenantId, space: str, hints: int) -> int:
        """The gallery's revision; the streams of a tenant share one look a second."""
        key = (tenant_id, space)
        async with self._reading.setdefault(key, asyncio.Lock()):
            known = self._known.get(key)
            if known is not None and known.hints == hints and self._clock.monotonic() - known.time < FRESH_SECONDS:
                return known.revision
            time = self._clock.monotonic()
            async with self._database.transaction(tenant_id, read_only=True) as tx:
                revision = await faces_store.revision(tx, space)
            self._known[key] = _Known(revision, hints, time)
            return revision
