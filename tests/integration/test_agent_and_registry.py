"""The real agent and the real registry, over mTLS with a real PostgreSQL: the session as both sides mean it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import grpc
import pytest
from footfall.registry.v1 import camera_pb2, source_pb2, worker_pb2, worker_pb2_grpc

from edge_agent.settings import AgentSettings
from edge_agent.sources.capture import Activity
from edge_agent.wiring import Agent, build_agent
from footfall_client.backoff import FullJitter
from mesh.ids import CameraId
from mesh.settings import load
from mesh.tls import Tls
from stack.demo.films import write_films
from stack.demo.scenario import Scenario, scenario
from tests.support.database import TestDatabase
from tests.support.registry import PEER, Registry, Shop, running_registry
from tests.support.waiting import until

STORY = scenario(datetime(2026, 11, 18, 20, tzinfo=UTC))
RECORDING = STORY.recordings[0]
PASSAGES = len(RECORDING.film.passages)
BRISK = {"heartbeat_seconds": 0.2, "lease_stop_seconds": 3.0, "lease_ttl_seconds": 4.0, "renewal_batch_seconds": 0.05}


@pytest.fixture(autouse=True)
def _demo_vision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever models this machine has: these films are the demo's."""
    monkeypatch.delenv("FOOTFALL_MODELS", raising=False)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (film,) = write_films(Scenario((RECORDING,), STORY.truth), tmp_path_factory.mktemp("films"))
    return film.parent


@contextlib.asynccontextmanager
async def working(registry: Registry, api_key: str, films: Path | None, spool: Path) -> AsyncIterator[Agent]:
    def connect() -> grpc.aio.Channel:
        options = [("grpc.ssl_target_name_override", PEER), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.secure_channel(registry.target, registry.peers("gateway").channel_credentials(), options)

    settings = load(
        AgentSettings, gateway="nowhere:1", api_key=api_key, allow_files=films, spool=spool, recorded_speed=0
    )
    agent = await build_agent(settings, connect=connect, backoff=lambda: FullJitter(base=0.05, cap=0.2))
    stop = asyncio.Event()
    running = asyncio.create_task(agent.run(stop))
    try:
        yield agent
    finally:
        stop.set()
        await running


async def door(shop: Shop, site_id: str, films: Path) -> CameraId:
    source = source_pb2.CameraSource(uri=films.as_uri().replace("file:", "folder:"))
    return CameraId(UUID((await shop.camera(site_id, source=source)).id))


def activity(agent: Agent, camera: CameraId) -> Activity | None:
    report = agent.cameras.reports().get(camera)
    return report.activity if report else None


async def test_the_agent_is_given_its_sites_camera_watches_it_and_says_so(
    database: TestDatabase, peers: Callable[[str], Tls], films: Path, tmp_path: Path
) -> None:
    async with running_registry(database, peers, settings=BRISK) as registry:
        shop = await registry.tenant()
        site = await shop.site()
        camera = await door(shop, site.id, films)
        key = await shop.worker_key(site.id)
        async with working(registry, key.secret, films, tmp_path / "spool") as agent:
            await until(lambda: activity(agent, camera) is Activity.ENDED)
            ledger = await agent.spool.ledger()
            assert (ledger.stored, ledger.spooled) == (PASSAGES, PASSAGES), "nobody takes events here"

            async def told() -> bool:
                return await agent.spool.unanswered_coverage(10) == []

            await until(told)
            stub = worker_pb2_grpc.WorkerServiceStub(registry.channel(shop.token))
            answer = await stub.ListWorkers(worker_pb2.ListWorkersRequest())
        (seen,) = answer.workers
        assert seen.state == worker_pb2.WORKER_STATE_READY
        assert seen.camera_count == 1
        assert list(seen.embedding_spaces) == ["demo@1"]
        assert abs(seen.clock_offset_ms) < 5000


async def test_after_a_restart_the_registry_unwraps_the_spools_key(
    database: TestDatabase, peers: Callable[[str], Tls], films: Path, tmp_path: Path
) -> None:
    async with running_registry(database, peers, settings=BRISK) as registry:
        shop = await registry.tenant()
        site = await shop.site()
        camera = await door(shop, site.id, films)
        key = await shop.worker_key(site.id)
        async with working(registry, key.secret, films, tmp_path / "spool") as agent:
            await until(lambda: activity(agent, camera) is Activity.ENDED)
        async with working(registry, key.secret, films, tmp_path / "spool") as agent:
            await until(lambda: agent.spool.unsealed == 1)
            assert len(await agent.spool.after(0, 1000)) >= PASSAGES


async def test_an_agent_that_may_not_read_files_gives_the_camera_back(
    database: TestDatabase, peers: Callable[[str], Tls], films: Path, tmp_path: Path
) -> None:
    async with running_registry(database, peers, settings=BRISK) as registry:
        shop = await registry.tenant()
        site = await shop.site()
        camera = await door(shop, site.id, films)
        key = await shop.worker_key(site.id)
        async with working(registry, key.secret, None, tmp_path / "spool") as agent:
            await until(lambda: agent.session.connected)
            await until(lambda: agent.session._leases.revision >= 1)
            assert activity(agent, camera) is None


async def test_a_camera_that_is_turned_off_is_let_go(
    database: TestDatabase, peers: Callable[[str], Tls], films: Path, tmp_path: Path
) -> None:
    from footfall.registry.v1 import camera_pb2_grpc
    from google.protobuf.field_mask_pb2 import FieldMask

    async with running_registry(database, peers, settings=BRISK) as registry:
        shop = await registry.tenant()
        site = await shop.site()
        camera = await door(shop, site.id, films)
        key = await shop.worker_key(site.id)
        async with working(registry, key.secret, films, tmp_path / "spool") as agent:
            await until(lambda: activity(agent, camera) is Activity.ENDED)
            stub = camera_pb2_grpc.CameraServiceStub(registry.channel(shop.token))
            off = camera_pb2.Camera(id=str(camera), disabled=True)
            await stub.UpdateCamera(
                camera_pb2.UpdateCameraRequest(camera=off, update_mask=FieldMask(paths=["disabled"]))
            )
            await until(lambda: activity(agent, camera) is None)
