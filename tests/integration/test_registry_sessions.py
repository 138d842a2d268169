"""A worker's session, over real gRPC and mTLS with a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from footfall.registry.v1 import (
    api_key_pb2,
    command_pb2,
    lease_pb2,
    source_pb2,
    worker_pb2,
    worker_pb2_grpc,
    worker_session_pb2,
)
from footfall.registry.v1.worker_session_pb2 import GoAway
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.tls import Tls
from tests.support.database import TestDatabase
from tests.support.fleet import brisk_registry, epochs, fleet, worker_state
from tests.support.mesh import connect
from tests.support.registry import PEER, refusal
from tests.support.waiting import until
from tests.support.worker import worker

Peers = Callable[[str], Tls]


async def test_a_worker_that_says_hello_is_welcomed_and_gets_its_sites_camera(
    database: TestDatabase, peers: Peers
) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        source = source_pb2.CameraSource(uri="rtsp://camera.invalid/1", username="root", password="orchid")
        camera = await shop.camera(source=source)
        async with worker(registry, shop.token) as mac:
            assert mac.welcome is not None
            assert mac.welcome.generation == 1
            assert mac.welcome.spool_public_key.der
            await until(lambda: mac.watches(camera.id))
            lease = mac.leases[camera.id]
            assert (lease.epoch, lease.state) == (1, lease_pb2.LEASE_STATE_ACTIVE)
            assert (lease.source.username, lease.source.password) == ("root", "orchid")
            assert lease.settings.embedding_space == "mobilefacenet@1"
            await until(lambda: worker_state(database, shop.worker_id) == "READY")


async def test_a_worker_that_comes_back_keeps_what_it_holds(database: TestDatabase, peers: Peers) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        camera = await shop.camera()
        async with worker(registry, shop.token) as mac:
            await until(lambda: mac.watches(camera.id))
        held = [(camera.id, 1), (str(uuid4()), 4)]
        async with worker(registry, shop.token, boot_id=mac.boot_id, held=held) as mac:
            assert mac.welcome is not None
            assert mac.welcome.generation == 2
            assert [(ref.camera_id, ref.epoch) for ref in mac.welcome.keep] == held[:1]
            assert [(ref.camera_id, ref.epoch) for ref in mac.welcome.drop] == held[1:]
            await until(lambda: mac.watches(camera.id))
        assert epochs(database, camera.id) == [(1, shop.worker_id, False, None)]


async def test_a_hello_without_a_lease_ends_it_even_if_it_is_pinned(database: TestDatabase, peers: Peers) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        camera = await shop.camera()
        async with worker(registry, shop.token) as mac:
            await until(lambda: mac.watches(camera.id))
        async with worker(registry, shop.token) as rebooted:
            await until(lambda: rebooted.watches(camera.id))
            assert rebooted.leases[camera.id].epoch == 2
        assert epochs(database, camera.id)[0] == (1, shop.worker_id, True, "NOT_HELD")


async def test_a_newer_boot_sends_the_older_one_away(database: TestDatabase, peers: Peers) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        async with worker(registry, shop.token) as old, worker(registry, shop.token) as new:
            await until(lambda: old.away)
            assert old.away is not None
            assert old.away.reason == GoAway.REASON_SUPERSEDED
            await until(lambda: new.acknowledged)


async def test_a_boot_that_was_superseded_and_comes_again_quarantines_the_worker(
    database: TestDatabase, peers: Peers
) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        camera = await shop.camera()
        async with worker(registry, shop.token) as first, worker(registry, shop.token) as second:
            await until(lambda: first.away)
            await until(lambda: second.watches(camera.id))
            async with worker(registry, shop.token, boot_id=first.boot_id) as again:
                assert again.away is not None
                assert again.away.reason == GoAway.REASON_QUARANTINED
            await until(lambda: second.away)
            assert second.away is not None
            assert second.away.reason == GoAway.REASON_QUARANTINED
        await until(lambda: epochs(database, camera.id)[-1][2:] == (True, "WORKER_OUT_OF_SERVICE"))


async def test_a_revoked_key_ends_the_session_and_its_leases(database: TestDatabase, peers: Peers) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        camera = await shop.camera()
        async with worker(registry, shop.token) as mac:
            await until(lambda: mac.watches(camera.id))
            await registry.auth(shop.shop.token).RevokeApiKey(api_key_pb2.RevokeApiKeyRequest(id=shop.key_id))
            await until(lambda: mac.closed)
            assert mac.away is not None
            assert mac.away.reason == GoAway.REASON_REMOVED
        await until(lambda: epochs(database, camera.id)[-1][2:] == (True, "WORKER_REMOVED"))


async def test_a_replica_that_stops_says_so_and_the_next_one_keeps_the_leases(
    database: TestDatabase, peers: Peers
) -> None:
    async with AsyncExitStack() as life:
        registry = await life.enter_async_context(brisk_registry(database, peers))
        shop = await fleet(registry)
        camera = await shop.camera()
        channel = connect(registry.target, PEER, peers("gateway"), token=shop.token)
        async with channel, worker(registry, shop.token, channel=channel) as mac:
            await until(lambda: mac.watches(camera.id))
            await life.aclose()
            await until(lambda: mac.closed)
            assert mac.away is not None
            assert mac.away.reason == GoAway.REASON_SHUTDOWN
    async with (
        brisk_registry(database, peers) as registry,
        worker(registry, shop.token, boot_id=mac.boot_id, held=[(camera.id, 1)]) as mac,
    ):
        await until(lambda: mac.watches(camera.id))
        assert mac.leases[camera.id].epoch == 1
    assert epochs(database, camera.id) == [(1, shop.worker_id, False, None)]


async def test_a_first_message_that_is_no_hello_breaks_the_protocol(database: TestDatabase, peers: Peers) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        call = worker_pb2_grpc.WorkerServiceStub(registry.channel(shop.token)).Connect()
        await call.write(worker_session_pb2.ConnectRequest(command_ack=command_pb2.CommandAck(seq=1)))
        answers = [answer async for answer in call]
        assert answers[0].go_away.reason == GoAway.REASON_PROTOCOL_VIOLATED


async def test_a_message_against_its_contract_ends_the_session_with_the_field_named(
    database: TestDatabase, peers: Peers
) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        async with worker(registry, shop.token, beating=False) as mac:
            await mac.say(heartbeat=worker_session_pb2.Heartbeat(seq=0))
            await until(lambda: mac.away)
            assert mac.away is not None
            assert mac.away.reason == GoAway.REASON_PROTOCOL_VIOLATED
            assert "seq" in mac.away.message


async def test_coverage_only_grows_and_only_for_what_was_ever_leased(database: TestDatabase, peers: Peers) -> None:
    def told(seconds: int, frames: int, camera_id: str, epoch: int = 1) -> worker_session_pb2.CoverageSlice:
        return worker_session_pb2.CoverageSlice(
            lease=lease_pb2.LeaseRef(camera_id=camera_id, epoch=epoch),
            start_time=Timestamp(seconds=900 * 2_000_000),
            watched=Duration(seconds=seconds),
            frames=frames,
            events_evicted=1,
        )

    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        camera = await shop.camera()
        async with worker(registry, shop.token, beating=False) as mac:
            await mac.heartbeat()
            await until(lambda: camera.id in mac.leases)
            mac.coverage = [told(60, 480, camera.id), told(50, 500, camera.id), told(60, 1, camera.id, epoch=9)]
            await until_acknowledged(mac)
            mac.coverage = [told(30, 100, camera.id)]
            await until_acknowledged(mac)
    with database.superuser() as connection:
        rows = connection.execute("SELECT epoch, watched_ms, frames, events_evicted FROM coverage_slices").fetchall()
    assert rows == [(1, 60_000, 500, 1)]


async def until_acknowledged(mac: object) -> None:
    seq = await mac.heartbeat()  # type: ignore[attr-defined]
    await until(lambda: mac.acknowledged >= seq)  # type: ignore[attr-defined]


def wrapped(welcome: worker_session_pb2.Welcome, key: bytes, label: str) -> bytes:
    public = serialization.load_der_public_key(welcome.spool_public_key.der)
    assert isinstance(public, rsa.RSAPublicKey)
    return public.encrypt(key, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label.encode()))


async def test_a_spool_key_is_unwrapped_for_its_own_worker_in_good_standing_alone(
    database: TestDatabase, peers: Peers
) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        other_id, other = await shop.another_worker()
        key = bytes(range(32))
        async with worker(registry, shop.token) as mac:
            assert mac.welcome is not None
            request = worker_pb2.UnwrapSpoolKeyRequest(
                key_id=mac.welcome.spool_public_key.key_id, wrapped_key=wrapped(mac.welcome, key, shop.worker_id)
            )
        stub = worker_pb2_grpc.WorkerServiceStub(registry.channel(shop.token))
        assert (await stub.UnwrapSpoolKey(request)).key == key

        stranger = worker_pb2_grpc.WorkerServiceStub(registry.channel(other))
        assert await refusal(stranger.UnwrapSpoolKey(request)) == "SPOOL_KEY_INVALID"
        unknown = worker_pb2.UnwrapSpoolKeyRequest(key_id=str(uuid4()), wrapped_key=request.wrapped_key)
        assert await refusal(stub.UnwrapSpoolKey(unknown)) == "SPOOL_KEY_INVALID"

        admin = worker_pb2_grpc.WorkerServiceStub(registry.channel(shop.shop.token))
        await admin.SetWorkerMaintenance(
            worker_pb2.SetWorkerMaintenanceRequest(id=shop.worker_id, maintenance=True, reason="cleaning")
        )
        assert await refusal(stub.UnwrapSpoolKey(request)) == "WORKER_QUARANTINED"
    with database.superuser() as connection:
        rows = connection.execute("SELECT count(*) FROM audit_entries WHERE action = 'spool_key.unwrap'").fetchone()
    assert rows == (4,)
    assert other_id != shop.worker_id


@pytest.mark.parametrize("order_by", ["", "display_name desc", "state", "heartbeat_time desc"])
async def test_workers_are_listed_page_by_page_in_any_order(
    database: TestDatabase, peers: Peers, order_by: str
) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        expected = {shop.worker_id, (await shop.another_worker("A"))[0], (await shop.another_worker("z"))[0]}
        admin = worker_pb2_grpc.WorkerServiceStub(registry.channel(shop.shop.token))
        request = worker_pb2.ListWorkersRequest(page_size=2, order_by=order_by)
        first = await admin.ListWorkers(request)
        request.page_token = first.next_page_token
        second = await admin.ListWorkers(request)
        assert (len(first.workers), len(second.workers), second.next_page_token) == (2, 1, "")
        assert {one.id for one in (*first.workers, *second.workers)} == expected
        got = await admin.GetWorker(worker_pb2.GetWorkerRequest(id=shop.worker_id))
        assert got.worker.state == worker_pb2.WORKER_STATE_CONNECTING
        assert got.worker.api_key_id == shop.key_id
