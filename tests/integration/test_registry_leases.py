"""One fenced lease per camera, over real gRPC and mTLS with a real PostgreSQL; leases live for 0.8 s."""

from __future__ import annotations

from collections.abc import Callable

from footfall.registry.v1 import (
    camera_pb2,
    camera_pb2_grpc,
    coverage_pb2,
    fleet_pb2_grpc,
    lease_pb2,
    lease_record_pb2,
    worker_pb2,
    worker_pb2_grpc,
    worker_session_pb2,
)
from footfall.type.v1 import problem_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.tls import Tls
from tests.support.database import TestDatabase
from tests.support.fleet import PATIENT, brisk_registry, epochs, fleet, worker_state
from tests.support.waiting import until
from tests.support.worker import worker

Peers = Callable[[str], Tls]


async def test_a_silent_workers_failover_camera_goes_to_another_after_the_ttl_under_the_next_epoch(
    database: TestDatabase, peers: Peers
) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        second_id, second_token = await shop.another_worker()
        camera = await shop.camera()
        async with worker(registry, shop.token) as first:
            await until(lambda: first.watches(camera.id))
            assert first.leases[camera.id].outage_policy == camera_pb2.OUTAGE_POLICY_FAILOVER
            async with worker(registry, second_token) as second:
                await until(lambda: second.acknowledged)
                first.silent = True
                await until(lambda: second.watches(camera.id))
                assert second.leases[camera.id].epoch == 2
            await until(lambda: worker_state(database, shop.worker_id) == "LOST")
        first_epoch, second_epoch = epochs(database, camera.id)[:2]
        assert first_epoch == (1, shop.worker_id, True, "EXPIRED")
        assert second_epoch[:2] == (2, second_id)
    with database.superuser() as connection:
        apart = connection.execute(
            "SELECT b.grant_time >= a.expire_time, a.end_time = a.expire_time FROM lease_epochs a"
            " JOIN lease_epochs b ON b.camera_id = a.camera_id AND b.epoch = 2 WHERE a.epoch = 1"
        ).fetchone()
    assert apart == (True, True)


async def test_the_only_worker_of_a_site_holds_its_camera_pinned_and_no_silence_ends_that(
    database: TestDatabase, peers: Peers
) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        camera = await shop.camera()
        async with worker(registry, shop.token) as mac:
            await until(lambda: mac.watches(camera.id))
            assert mac.leases[camera.id].outage_policy == camera_pb2.OUTAGE_POLICY_PINNED
            mac.silent = True
            await until(lambda: worker_state(database, shop.worker_id) == "LOST")
        assert epochs(database, camera.id) == [(1, shop.worker_id, False, None)]
        async with worker(registry, shop.token, boot_id=mac.boot_id, held=[(camera.id, 1)]) as back:
            await until(lambda: back.watches(camera.id))
            assert back.leases[camera.id].epoch == 1


async def test_a_lease_that_expired_cannot_be_renewed(database: TestDatabase, peers: Peers) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        camera = await shop.camera(outage_policy=camera_pb2.OUTAGE_POLICY_FAILOVER)
        async with worker(registry, shop.token, beating=False) as mac:
            await mac.heartbeat()
            await until(lambda: camera.id in mac.leases)
            while not epochs(database, camera.id)[0][2]:  # its session lives, and the lease is not named
                seen = mac.acknowledged
                await mac.heartbeat([])
                await until(lambda seen=seen: mac.acknowledged > seen)  # type: ignore[misc]
            seq = await mac.heartbeat([(camera.id, 1)])
            await until(lambda: mac.acknowledged >= seq)
            assert mac.renewed == []


async def test_two_replicas_never_grant_a_camera_twice(database: TestDatabase, peers: Peers) -> None:
    async with brisk_registry(database, peers) as one, brisk_registry(database, peers) as other:
        shop = await fleet(one)
        _, second_token = await shop.another_worker()
        cameras = [await shop.camera(f"Camera {number}") for number in range(6)]
        async with worker(one, shop.token) as first, worker(other, second_token) as second:
            await until(lambda: all(first.watches(one.id) or second.watches(one.id) for one in cameras))
            assert not set(first.leases) & set(second.leases)
        assert all(epochs(database, camera.id)[0][0] == 1 for camera in cameras)
    with database.superuser() as connection:
        running = connection.execute(
            "SELECT camera_id FROM lease_epochs WHERE end_time IS NULL GROUP BY camera_id HAVING count(*) > 1"
        ).fetchall()
    assert running == []


async def test_a_disabled_camera_is_let_go_and_an_enabled_one_begins_a_new_epoch(
    database: TestDatabase, peers: Peers
) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        camera = await shop.camera()
        stub = camera_pb2_grpc.CameraServiceStub(registry.channel(shop.shop.token))

        async def set_disabled(disabled: bool) -> None:
            await stub.UpdateCamera(
                camera_pb2.UpdateCameraRequest(
                    camera=camera_pb2.Camera(id=camera.id, disabled=disabled),
                    update_mask=FieldMask(paths=["disabled"]),
                )
            )

        async with worker(registry, shop.token) as mac:
            await until(lambda: mac.watches(camera.id))
            await set_disabled(True)
            await until(lambda: camera.id not in mac.leases)
            await until(lambda: epochs(database, camera.id)[0][2:] == (True, "CAMERA_DISABLED"))
            await set_disabled(False)
            await until(lambda: mac.watches(camera.id))
            assert mac.leases[camera.id].epoch == 2


async def test_a_camera_that_is_given_up_three_times_is_parked(database: TestDatabase, peers: Peers) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        camera = await shop.camera()
        stub = camera_pb2_grpc.CameraServiceStub(registry.channel(shop.shop.token))
        async with worker(registry, shop.token, beating=False) as mac:
            await mac.heartbeat()
            for epoch in (1, 2, 3):
                await until(lambda epoch=epoch: mac.epoch(camera.id) == epoch)  # type: ignore[misc]
                refused = problem_pb2.Problem(
                    reason=problem_pb2.ERROR_REASON_SOURCE_UNSUPPORTED, message="no such scheme"
                )
                await mac.say(lease_released=lease_pb2.LeaseReleased(camera_id=camera.id, epoch=epoch, problem=refused))
                await mac.heartbeat([])
            await until(lambda: camera.id not in mac.leases)
        shown = (await stub.GetCamera(camera_pb2.GetCameraRequest(id=camera.id))).camera
        assert shown.state == camera_pb2.CAMERA_STATE_PARKED
        assert shown.problem.message == "no such scheme"


async def test_a_drained_worker_hands_its_camera_over_without_a_gap(database: TestDatabase, peers: Peers) -> None:
    async with brisk_registry(database, peers, **PATIENT) as registry:
        shop = await fleet(registry)
        second_id, second_token = await shop.another_worker()
        camera = await shop.camera()
        admin = worker_pb2_grpc.WorkerServiceStub(registry.channel(shop.shop.token))
        async with worker(registry, shop.token) as first:
            await until(lambda: first.watches(camera.id))
            async with worker(registry, second_token) as second:
                await until(lambda: second.acknowledged)
                await admin.DrainWorker(worker_pb2.DrainWorkerRequest(id=shop.worker_id))
                await until(lambda: camera.id in second.leases)
                assert second.leases[camera.id].state == lease_pb2.LEASE_STATE_PENDING
                assert first.watches(camera.id)  # until the other one is ready
                assert second.desired is not None
                await second.say(
                    lease_ready=lease_pb2.LeaseReady(camera_id=camera.id, revision=second.desired.revision)
                )
                await until(lambda: second.watches(camera.id))
                assert second.leases[camera.id].epoch == 2
                await until(lambda: worker_state(database, shop.worker_id) == "DRAINED")
                assert camera.id not in first.leases
        assert epochs(database, camera.id)[0] == (1, shop.worker_id, True, "FLIPPED")
        assert epochs(database, camera.id)[1][:2] == (2, second_id)


async def test_maintenance_takes_a_pinned_camera_at_once(database: TestDatabase, peers: Peers) -> None:
    async with brisk_registry(database, peers, **PATIENT) as registry:
        shop = await fleet(registry)
        camera = await shop.camera()
        admin = worker_pb2_grpc.WorkerServiceStub(registry.channel(shop.shop.token))
        async with worker(registry, shop.token) as mac:
            await until(lambda: mac.watches(camera.id))
            request = worker_pb2.SetWorkerMaintenanceRequest(id=shop.worker_id, maintenance=True, reason="new disk")
            shown = (await admin.SetWorkerMaintenance(request)).worker
            assert (shown.state, shown.state_reason) == (worker_pb2.WORKER_STATE_MAINTENANCE, "new disk")
            await until(lambda: camera.id not in mac.leases)
            back = worker_pb2.SetWorkerMaintenanceRequest(id=shop.worker_id, maintenance=False)
            await admin.SetWorkerMaintenance(back)
            await until(lambda: mac.watches(camera.id))
            assert mac.leases[camera.id].epoch == 2


async def test_who_watched_a_camera_and_why_no_longer_is_told_page_by_page(
    database: TestDatabase, peers: Peers
) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await fleet(registry)
        camera = await shop.camera()
        stub = fleet_pb2_grpc.FleetServiceStub(registry.channel(shop.shop.token))
        async with worker(registry, shop.token) as mac:
            await until(lambda: mac.watches(camera.id))
            mac.coverage = [
                worker_session_pb2.CoverageSlice(
                    lease=lease_pb2.LeaseRef(camera_id=camera.id, epoch=1),
                    start_time=Timestamp(seconds=900 * 2_000_000),
                    watched=Duration(seconds=60),
                    frames=480,
                )
            ]
            seq = await mac.heartbeat()
            await until(lambda: mac.acknowledged > seq)
            lease = (await stub.ListLeases(lease_record_pb2.ListLeasesRequest(camera_ids=[camera.id]))).leases[0]
            assert (lease.epoch, lease.state) == (1, lease_pb2.LEASE_STATE_ACTIVE)
            assert not lease.HasField("expire_time")  # PINNED
        async with worker(registry, shop.token) as mac:
            await until(lambda: mac.watches(camera.id))
            request = lease_record_pb2.ListLeaseHistoryRequest(page_size=1)
            first = await stub.ListLeaseHistory(request)
            request.page_token = first.next_page_token
            second = await stub.ListLeaseHistory(request)
            assert [one.epoch for one in (*first.leases, *second.leases)] == [2, 1]
            assert second.leases[0].state == lease_pb2.LEASE_STATE_RELEASED
            assert second.leases[0].HasField("end_time")
            assert second.leases[0].id == lease.id
        told = await stub.ListCoverage(
            coverage_pb2.ListCoverageRequest(
                start_time=Timestamp(seconds=900 * 2_000_000), end_time=Timestamp(seconds=900 * 2_000_001)
            )
        )
        assert [(one.camera_id, one.watched.seconds, one.frame_count) for one in told.coverage] == [
            (camera.id, 60, 480)
        ]
