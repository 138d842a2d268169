"""Pictures: addresses for those who may see faces, good for minutes, and for that picture alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import grpc
import pytest
from footfall.ingest.v1 import feed_pb2_grpc, image_pb2

from mesh.access import Role
from mesh.clock import FakeClock
from mesh.tls import Tls
from tests.support.database import TestDatabase
from tests.support.ingest import RunningIngest, face, jpeg, now, running_ingest
from tests.support.mesh import reason
from tests.support.seed import SeededTenant, seed_site, seed_tenant

Urls = image_pb2.GetImageUrlsRequest


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime.now(UTC))


@pytest.fixture
def tenant(database: TestDatabase) -> SeededTenant:
    return seed_tenant(database)


@pytest.fixture
async def ingest(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path, clock: FakeClock
) -> AsyncIterator[RunningIngest]:
    async with running_ingest(database, peers, tmp_path, clock=clock) as running:
        yield running


async def _pictured(ingest: RunningIngest, tenant: SeededTenant, picture: bytes) -> str:
    """The id of a picture that was just taken."""
    async with ingest.stream(tenant) as stream:
        await stream.send(face(tenant, at=now(), person=uuid4(), snapshot=picture))
    ((image_id,),) = ingest.rows("SELECT id FROM face_images WHERE site_id = %s", tenant.site_id)
    return str(image_id)


def _request(url: str) -> image_pb2.GetImageRequest:
    """The address as the gateway takes it apart."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return image_pb2.GetImageRequest(
        id=parts.path.removeprefix("/v1/images/"), sig=query["sig"], expire=int(query["expire"])
    )


async def test_an_address_shows_the_picture_to_whoever_has_it_for_a_few_minutes(
    ingest: RunningIngest, tenant: SeededTenant, clock: FakeClock
) -> None:
    picture = jpeg(200)
    image_id = await _pictured(ingest, tenant, picture)
    async with ingest.feed(tenant) as feed:
        (address,) = (await feed.GetImageUrls(Urls(ids=[image_id]))).images
    assert address.id == image_id
    async with ingest.channel(None) as nobody:  # no token: the signature is the credential
        stub = feed_pb2_grpc.FeedServiceStub(nobody)
        body = await stub.GetImage(_request(address.url))
        assert (body.content_type, body.data) == ("image/jpeg", picture)
        forged = _request(address.url)
        forged.sig = forged.sig[:-2] + ("AA" if not forged.sig.endswith("AA") else "BB")
        other = _request(address.url)
        other.id = str(uuid4())
        for bad in (forged, other):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.GetImage(bad)
            assert reason(refused.value) == "SIGNATURE_INVALID"
        clock.advance(301)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetImage(_request(address.url))
    assert reason(refused.value) == "SIGNATURE_INVALID"
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_picture_that_was_removed_in_the_meantime_has_expired(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant
) -> None:
    image_id = await _pictured(ingest, tenant, jpeg())
    async with ingest.feed(tenant) as feed:
        (address,) = (await feed.GetImageUrls(Urls(ids=[image_id]))).images
        with database.superuser() as connection:
            connection.execute("UPDATE face_images SET state = 'DELETED', object_key = NULL")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await feed.GetImage(_request(address.url))
        assert not (await feed.GetImageUrls(Urls(ids=[image_id]))).images
    assert reason(refused.value) == "IMAGE_EXPIRED"


async def test_foreign_and_unknown_pictures_are_left_out_alike_and_the_order_is_kept(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant
) -> None:
    other, elsewhere = seed_tenant(database, name="Other"), seed_site(database, tenant)
    mine, far, foreign = [await _pictured(ingest, one, jpeg()) for one in (tenant, elsewhere, other)]
    async with ingest.feed(tenant) as feed:
        answer = await feed.GetImageUrls(Urls(ids=[far, str(uuid4()), foreign, mine]))
    assert [image.id for image in answer.images] == [far, mine]
    async with ingest.feed(tenant, Role.SITE_MANAGER, site_ids=[tenant.site_id]) as feed:
        answer = await feed.GetImageUrls(Urls(ids=[far, mine]))
    assert [image.id for image in answer.images] == [mine]


async def test_viewers_and_workers_get_no_addresses(ingest: RunningIngest, tenant: SeededTenant) -> None:
    image_id = await _pictured(ingest, tenant, jpeg())
    for role in (Role.VIEWER, Role.WORKER, Role.PRIVACY_OFFICER):
        async with ingest.feed(tenant, role) as feed:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await feed.GetImageUrls(Urls(ids=[image_id]))
        assert reason(refused.value) == "ROLE_NOT_ALLOWED"


async def test_staff_pictures_have_addresses_too(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant
) -> None:
    picture, image_id, staff_id = jpeg(7), UUID(int=7), uuid4()
    await ingest.images.put("t/x/staff/7.jpg", picture, "image/jpeg")
    with database.superuser() as connection:
        connection.execute(
            "INSERT INTO staff (tenant_id, id, display_name, effective_time) VALUES (%s, %s, 'Bob', now())",
            (tenant.tenant_id, staff_id),
        )
        connection.execute(
            "INSERT INTO staff_faces (tenant_id, id, staff_id, space, image_id, object_key, sha256, content_type)"
            " VALUES (%s, %s, %s, 'test@1', %s, 't/x/staff/7.jpg', '', 'image/jpeg')",
            (tenant.tenant_id, uuid4(), staff_id, image_id),
        )
    async with ingest.feed(tenant) as feed:
        (address,) = (await feed.GetImageUrls(Urls(ids=[str(image_id)]))).images
        assert (await feed.GetImage(_request(address.url))).data == picture


async def test_a_picture_past_its_time_has_no_address_even_before_it_is_swept(
    ingest: RunningIngest, tenant: SeededTenant, clock: FakeClock
) -> None:
    image_id = await _pictured(ingest, tenant, jpeg())
    clock.advance(timedelta(days=31).total_seconds())
    async with ingest.feed(tenant) as feed:
        assert not (await feed.GetImageUrls(Urls(ids=[image_id]))).images


async def test_a_system_admins_look_into_a_tenant_is_audited(ingest: RunningIngest, tenant: SeededTenant) -> None:
    image_id = await _pictured(ingest, tenant, jpeg())
    token = ingest.issuer.token(Role.SYSTEM_ADMIN)
    async with ingest.channel(token, **{"x-tenant-id": str(tenant.tenant_id)}) as channel:
        answer = await feed_pb2_grpc.FeedServiceStub(channel).GetImageUrls(Urls(ids=[image_id]))
    assert len(answer.images) == 1
    assert ingest.rows("SELECT tenant_id, action, details ->> 'rpc' FROM audit_entries") == [
        (tenant.tenant_id, "tenant.look", "/footfall.ingest.v1.FeedService/GetImageUrls")
    ]
