"""WatchGallery: a worker holds the staff of its sites, whole at first, then as they change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import numpy as np
import pytest
from footfall.identity.v1 import gallery_pb2, staff_face_pb2, staff_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from mesh.access import Role
from mesh.clock import SystemClock
from mesh.tls import Tls
from svc_identity.staff.gallery import SILENCE_SECONDS
from tests.support.database import TestDatabase
from tests.support.faces import person_vector, shot
from tests.support.identity import SPACE, RunningIdentity, embedding, running_identity
from tests.support.mesh import reason
from tests.support.seed import SeededTenant, seed_site, seed_tenant


@pytest.fixture
async def identity(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path
) -> AsyncIterator[RunningIdentity]:
    async with running_identity(database, peers, tmp_path) as running:
        yield running


@pytest.fixture
def tenant(identity: RunningIdentity) -> SeededTenant:
    return seed_tenant(identity.database)


@dataclass
class Worker:
    """An open WatchGallery, applied as an agent does."""

    call: Any
    gallery: dict[str, list[bytes]] = field(default_factory=dict)
    resets: int = 0

    async def checkpoint(self, within: float = 20.0) -> gallery_pb2.GalleryCheckpoint:
        """Applies messages up to the next checkpoint."""
        async with asyncio.timeout(within):
            while True:
                message = await self.call.read()
                if message is grpc.aio.EOF:
                    await self.call  # raises the status
                match message.WhichOneof("message"):
                    case "reset":
                        self.gallery, self.resets = {}, self.resets + 1
                    case "entry":
                        self._replace(message.entry)
                    case "checkpoint":
                        assert message.checkpoint.staff_count == len(self.gallery)
                        checkpoint: gallery_pb2.GalleryCheckpoint = message.checkpoint
                        return checkpoint

    def _replace(self, entry: gallery_pb2.GalleryEntry) -> None:
        if entry.embeddings:
            self.gallery[entry.staff_id] = [one.vector for one in entry.embeddings]
        else:
            del self.gallery[entry.staff_id]


@asynccontextmanager
async def watching(
    identity: RunningIdentity, tenant: SeededTenant, *, site: UUID | None = None, revision: int = 0, space: str = SPACE
) -> AsyncIterator[Worker]:
    claims: Mapping[str, Any] = {"worker_id": tenant.worker_id, "site_ids": [site or tenant.site_id]}
    async with identity.staff(tenant, Role.WORKER, **claims) as stub:
        worker = Worker(stub.WatchGallery(gallery_pb2.WatchGalleryRequest(space=space, revision=revision)))
        try:
            yield worker
        finally:
            worker.call.cancel()


async def hire(stub: Any, person: int, **entered: Any) -> str:
    staff = staff_pb2.Staff(display_name=f"Person {person}", **entered)
    made = await stub.CreateStaff(staff_pb2.CreateStaffRequest(staff=staff))
    await add_face(stub, made.staff.id, person)
    return str(made.staff.id)


async def add_face(stub: Any, staff_id: str, person: int, similarity: float = 1.0) -> str:
    vector = person_vector(person) if similarity == 1.0 else shot(person, similarity)
    added = await stub.AddStaffFace(staff_face_pb2.AddStaffFaceRequest(staff_id=staff_id, embedding=embedding(vector)))
    return str(added.face.id)


async def test_the_gallery_comes_whole_and_follows_every_change(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    async with identity.staff(tenant) as stub, watching(identity, tenant) as worker:
        empty = await worker.checkpoint()
        assert (worker.resets, worker.gallery, empty.revision) == (1, {}, 0)
        assert empty.hint_threshold == pytest.approx(0.6)
        ann = await hire(stub, 1)
        first = await worker.checkpoint()
        assert np.frombuffer(worker.gallery[ann][0], "<f4") == pytest.approx(person_vector(1))
        face = await add_face(stub, ann, 1, 0.8)
        second = await worker.checkpoint()
        assert len(worker.gallery[ann]) == 2
        await stub.DeleteStaffFace(staff_face_pb2.DeleteStaffFaceRequest(staff_id=ann, id=face))
        third = await worker.checkpoint()
        assert len(worker.gallery[ann]) == 1
        await stub.DeleteStaff(staff_pb2.DeleteStaffRequest(id=ann))
        last = await worker.checkpoint()
        assert worker.gallery == {}
        revisions = [at.revision for at in (empty, first, second, third, last)]
        assert revisions == sorted(set(revisions))
        assert worker.resets == 1


async def test_whoever_is_suspended_leaves_the_gallery_and_comes_back(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    async with identity.staff(tenant) as stub:
        ann = await hire(stub, 1)
        async with watching(identity, tenant) as worker:
            await worker.checkpoint()
            for suspended, held in ((True, set()), (False, {ann})):
                change = staff_pb2.Staff(id=ann, suspended=suspended)
                mask = FieldMask(paths=["suspended"])
                await stub.UpdateStaff(staff_pb2.UpdateStaffRequest(staff=change, update_mask=mask))
                await worker.checkpoint()
                assert set(worker.gallery) == held


async def test_a_worker_gets_the_staff_of_its_own_sites_and_of_all_sites(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    other = seed_site(identity.database, tenant)
    async with identity.staff(tenant) as stub:
        here = await hire(stub, 1, site_ids=[str(tenant.site_id)])
        there = await hire(stub, 2, site_ids=[str(other.site_id)])
        everywhere = await hire(stub, 3)
    foreign = seed_tenant(identity.database, name="Other")
    async with identity.staff(foreign) as stub:
        await hire(stub, 4)
    async with watching(identity, tenant) as worker:
        await worker.checkpoint()
        assert set(worker.gallery) == {here, everywhere}
    async with watching(identity, tenant, site=other.site_id) as worker:
        await worker.checkpoint()
        assert set(worker.gallery) == {there, everywhere}


async def test_a_worker_that_comes_back_up_to_date_is_told_so_alone(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    async with identity.staff(tenant) as stub:
        ann = await hire(stub, 1)
        async with watching(identity, tenant) as worker:
            held = await worker.checkpoint()
        async with watching(identity, tenant, revision=held.revision) as again:
            again.gallery = dict(worker.gallery)
            assert (await again.checkpoint()).revision == held.revision
            assert again.resets == 0
            bob = await hire(stub, 2)
            await again.checkpoint()
            assert set(again.gallery) == {ann, bob}
        async with watching(identity, tenant, revision=held.revision) as behind:
            await behind.checkpoint()
            assert (behind.resets, set(behind.gallery)) == (1, {ann, bob})


class LeapingClock(SystemClock):
    """The system's clock, but for seconds that a test has skipped."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.skipped


async def test_a_silent_gallery_says_every_quarter_of_a_minute_that_it_is_there(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path
) -> None:
    tenant, clock = seed_tenant(database), LeapingClock()
    async with (
        running_identity(database, peers, tmp_path, clock=clock) as identity,
        watching(identity, tenant) as worker,
    ):
        first = await worker.checkpoint()
        clock.skipped += SILENCE_SECONDS
        assert await worker.checkpoint() == first
        assert worker.resets == 1


async def test_an_unknown_space_has_no_gallery(identity: RunningIdentity, tenant: SeededTenant) -> None:
    async with watching(identity, tenant, space="facenet@1") as worker:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await worker.checkpoint()
    assert reason(refused.value) == "EMBEDDING_SPACE_UNKNOWN"


async def test_people_do_not_get_embeddings(identity: RunningIdentity, tenant: SeededTenant) -> None:
    async with identity.staff(tenant, Role.TENANT_ADMIN) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.WatchGallery(gallery_pb2.WatchGalleryRequest(space=SPACE)).read()
    assert reason(refused.value) == "ROLE_NOT_ALLOWED"


async def test_a_tenant_has_so_many_streams_at_most(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path
) -> None:
    tenant = seed_tenant(database)
    async with (
        running_identity(database, peers, tmp_path, gallery_watchers=1) as identity,
        watching(identity, tenant) as worker,
    ):
        await worker.checkpoint()
        async with watching(identity, tenant) as second:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await second.checkpoint()
        assert reason(refused.value) == "STREAM_LIMIT"
