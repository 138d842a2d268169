"""The agent's session: it watches what it may, as long as it may, and comes back from everything."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from footfall_messages.footfall.registry import v1 as registry
from footfall_messages.footfall.type import v1 as types

from edge_agent.session.session import WorkerDismissed
from edge_agent.settings import AgentSettings
from edge_agent.wiring import Agent, build_agent
from footfall_client.backoff import FullJitter
from mesh.ids import CameraId
from mesh.settings import load
from stack.demo.films import frame
from stack.demo.scenario import scenario
from tests.support.cameras import MjpegCamera
from tests.support.scripted_mesh import API_KEY, ScriptedMesh, lease, watched
from tests.support.waiting import until

RECORDING = scenario(datetime(2026, 11, 18, 20, tzinfo=UTC)).recordings[0]
FILM = [frame(RECORDING, number / 10) for number in range(0, round(RECORDING.film.seconds * 10), 2)]
"""Five pictures a second; shown at 25, so that people pass quickly."""

CAMERA = "019a9000-0000-7000-8000-000000000011"
ACTIVE, PENDING = registry.LeaseState.ACTIVE, registry.LeaseState.PENDING
FAILOVER, PINNED = registry.OutagePolicy.FAILOVER, registry.OutagePolicy.PINNED
WATCHING = registry.CameraActivity.WATCHING


class LeasesClock:
    """Real time, and a machine that can sleep for as long as a test wants."""

    def __init__(self) -> None:
        self.slept = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.slept


@pytest.fixture
async def mesh() -> AsyncIterator[ScriptedMesh]:
    async with ScriptedMesh().serving() as serving:
        yield serving


@pytest.fixture
def camera() -> Iterator[MjpegCamera]:
    showing = MjpegCamera(rate=25, shows=lambda number: FILM[number % len(FILM)])
    yield showing
    showing.close()


@contextlib.asynccontextmanager
async def working(
    mesh: ScriptedMesh, folder: Path, clock: Callable[[], float] | None = None
) -> AsyncIterator[tuple[Agent, "asyncio.Task[None]"]]:
    settings = load(AgentSettings, gateway="nowhere:1", api_key=API_KEY, spool=folder / "spool")
    agent = await build_agent(
        settings,
        connect=mesh.connect,
        leases_clock=clock or LeasesClock(),
        backoff=lambda: FullJitter(base=0.02, cap=0.1),
    )
    stop = asyncio.Event()
    running = asyncio.create_task(agent.run(stop))
    try:
        yield agent, running
    finally:
        stop.set()
        with contextlib.suppress(WorkerDismissed):
            await running


def activities(mesh: ScriptedMesh) -> list[registry.CameraActivity]:
    return [one.activity for one in watched(mesh)]


async def test_nothing_is_watched_before_the_lease_is_renewed(
    mesh: ScriptedMesh, camera: MjpegCamera, tmp_path: Path
) -> None:
    mesh.fleet.renews = lambda _: False
    mesh.fleet.leases = [lease(camera.url, camera_id=CAMERA)]
    async with working(mesh, tmp_path):
        await until(lambda: len(mesh.fleet.said("heartbeat")) >= 3)
        assert activities(mesh) == [registry.CameraActivity.OPENING]
        assert camera.viewers == 0
        mesh.fleet.renews = lambda _: True
        await until(lambda: activities(mesh) == [WATCHING])


@pytest.mark.parametrize(("policy", "goes_on"), [(FAILOVER, False), (PINNED, True)])
async def test_when_the_registry_falls_silent_failover_stops_and_pinned_goes_on(
    mesh: ScriptedMesh, camera: MjpegCamera, tmp_path: Path, policy: registry.OutagePolicy, goes_on: bool
) -> None:
    clock = LeasesClock()
    mesh.fleet.leases = [lease(camera.url, camera_id=CAMERA, policy=policy)]
    async with working(mesh, tmp_path, clock) as (agent, _):
        await until(lambda: activities(mesh) == [WATCHING])
        mesh.fleet.silent = True
        said = len(mesh.fleet.said("heartbeat"))
        await until(lambda: len(mesh.fleet.said("heartbeat")) > said + 1)
        clock.slept += 14.0
        assert agent.session.is_alive(CameraId(UUID(CAMERA)), 1) is True  # type: ignore[arg-type]
        clock.slept += 10.0
        assert agent.session.is_alive(CameraId(UUID(CAMERA)), 1) is goes_on  # type: ignore[arg-type]
        if not goes_on:
            await until(lambda: agent.cameras.reports() == {})
        # It was not given back: the registry may renew it yet.
        assert mesh.fleet.said("lease_released") == []
        mesh.fleet.silent = False
        await until(lambda: activities(mesh) == [WATCHING])


async def test_a_pending_camera_is_opened_and_announced_and_emits_nothing_until_its_epoch_comes(
    mesh: ScriptedMesh, camera: MjpegCamera, tmp_path: Path
) -> None:
    mesh.fleet.want(lease(camera.url, camera_id=CAMERA, state=PENDING, epoch=0))
    async with working(mesh, tmp_path) as (agent, _):
        await until(lambda: mesh.fleet.said("lease_ready"))
        ready = mesh.fleet.said("lease_ready")[0]
        assert (ready.camera_id, ready.revision) == (CAMERA, 1)
        assert (await agent.spool.ledger()).stored == 0

        mesh.fleet.want(lease(camera.url, camera_id=CAMERA, state=ACTIVE, epoch=4))
        await until(lambda: mesh.intake.first)
    assert {one.lease_epoch for one in mesh.intake.events.values()} == {4}
    assert camera.viewers == 1, "the source stayed open through the hand-over"


async def test_a_camera_that_is_no_longer_desired_is_given_back(
    mesh: ScriptedMesh, camera: MjpegCamera, tmp_path: Path
) -> None:
    mesh.fleet.want(lease(camera.url, camera_id=CAMERA, epoch=9))
    async with working(mesh, tmp_path) as (agent, _):
        await until(lambda: activities(mesh) == [WATCHING])
        mesh.fleet.want()
        await until(lambda: mesh.fleet.said("lease_released"))
        (released,) = mesh.fleet.said("lease_released")
        assert (released.camera_id, released.epoch, released.problem) == (CAMERA, 9, None)
        assert agent.cameras.reports() == {}


async def test_an_older_telling_is_ignored(mesh: ScriptedMesh, camera: MjpegCamera, tmp_path: Path) -> None:
    mesh.fleet.want(lease(camera.url, camera_id=CAMERA))
    mesh.fleet.revision = 5
    async with working(mesh, tmp_path):
        await until(lambda: activities(mesh) == [WATCHING])
        mesh.fleet.tell(registry.ConnectResponse(desired=registry.Desired(revision=4)))
        said = len(mesh.fleet.said("heartbeat"))
        await until(lambda: len(mesh.fleet.said("heartbeat")) > said + 2)
        assert activities(mesh) == [WATCHING]


async def test_a_paused_camera_stays_open_and_is_not_analysed(
    mesh: ScriptedMesh, camera: MjpegCamera, tmp_path: Path
) -> None:
    paused = lease(camera.url, camera_id=CAMERA)
    paused.paused = True
    mesh.fleet.want(paused)
    async with working(mesh, tmp_path):
        await until(lambda: activities(mesh) == [registry.CameraActivity.PAUSED])
        assert mesh.intake.first == {}
        mesh.fleet.want(lease(camera.url, camera_id=CAMERA))
        await until(lambda: activities(mesh) == [WATCHING])
    assert camera.viewers == 1


async def test_after_a_shutdown_of_the_registry_the_worker_comes_back_with_what_it_holds(
    mesh: ScriptedMesh, camera: MjpegCamera, tmp_path: Path
) -> None:
    mesh.fleet.want(lease(camera.url, camera_id=CAMERA, epoch=2))
    async with working(mesh, tmp_path):
        await until(lambda: activities(mesh) == [WATCHING])
        away = registry.GoAway(reason=registry.GoAwayReason.SHUTDOWN, retry_after=timedelta(milliseconds=50))
        mesh.fleet.tell(registry.ConnectResponse(go_away=away))
        await until(lambda: len(mesh.fleet.said("hello")) == 2)
        await until(lambda: mesh.fleet.sessions == 2 and activities(mesh) == [WATCHING])
    first, second = mesh.fleet.said("hello")
    assert first.boot_id == second.boot_id
    assert [(one.lease.camera_id, one.lease.epoch) for one in second.held] == [(CAMERA, 2)]
    assert camera.viewers == 1, "the camera was watched all the time"


async def test_what_the_registry_does_not_keep_is_stopped(
    mesh: ScriptedMesh, camera: MjpegCamera, tmp_path: Path
) -> None:
    mesh.fleet.want(lease(camera.url, camera_id=CAMERA, epoch=2))
    async with working(mesh, tmp_path) as (agent, _):
        await until(lambda: activities(mesh) == [WATCHING])
        mesh.fleet.keep, mesh.fleet.leases = False, []
        mesh.fleet.tell(registry.ConnectResponse(go_away=registry.GoAway()))
        await until(lambda: mesh.fleet.sessions == 2 and agent.cameras.reports() == {})


@pytest.mark.parametrize("reason", ["SUPERSEDED", "QUARANTINED", "REMOVED", "VERSION_UNSUPPORTED"])
async def test_a_worker_that_is_not_wanted_back_stops_and_stays_away(
    mesh: ScriptedMesh, camera: MjpegCamera, tmp_path: Path, reason: str
) -> None:
    mesh.fleet.want(lease(camera.url, camera_id=CAMERA))
    async with working(mesh, tmp_path) as (_, running):
        await until(lambda: activities(mesh) == [WATCHING])
        mesh.fleet.tell(registry.ConnectResponse(go_away=registry.GoAway(reason=registry.GoAwayReason[reason])))
        with pytest.raises(WorkerDismissed, match=reason):
            await running
    assert mesh.fleet.sessions == 1


async def test_a_session_gets_a_new_token_before_the_old_one_expires(mesh: ScriptedMesh, tmp_path: Path) -> None:
    mesh.token_seconds = 1.5
    async with working(mesh, tmp_path):
        await until(lambda: mesh.fleet.said("reauth"))
    assert mesh.fleet.tokens == ["Bearer token-1"]
    assert mesh.fleet.said("reauth")[0].token != "token-1"


async def test_capture_times_are_the_servers_whatever_the_agents_clock_says(
    mesh: ScriptedMesh, camera: MjpegCamera, tmp_path: Path
) -> None:
    ahead = mesh.fleet.clock_ahead = timedelta(hours=1)
    mesh.fleet.want(lease(camera.url, camera_id=CAMERA))
    began = datetime.now(UTC) + ahead
    async with working(mesh, tmp_path):
        await until(lambda: mesh.intake.first)
    ended = datetime.now(UTC) + ahead
    slack = timedelta(seconds=1)
    for event in mesh.intake.events.values():
        assert event.capture_time
        assert began - slack <= event.capture_time <= ended + slack
        assert abs(event.clock_offset_ms - 3_600_000) <= event.clock_uncertainty_ms < 1000


async def test_what_an_earlier_start_spooled_is_unwrapped_and_sent(
    mesh: ScriptedMesh, camera: MjpegCamera, tmp_path: Path
) -> None:
    mesh.intake.credit = 0
    mesh.fleet.want(lease(camera.url, camera_id=CAMERA))

    async def stored(agent: Agent) -> bool:
        return (await agent.spool.ledger()).stored >= 2

    async with working(mesh, tmp_path) as (agent, _):
        await until(lambda: stored(agent))
        mesh.fleet.want()
        await until(lambda: agent.cameras.reports() == {})
        spooled = {str(one.id) for one in await agent.spool.after(0, 1000)}
    assert mesh.intake.first == {}

    mesh.intake.credit = 64
    async with working(mesh, tmp_path):
        await until(lambda: set(mesh.intake.first) >= spooled)
    assert spooled


async def test_a_registry_that_is_down_is_tried_until_it_is_back(mesh: ScriptedMesh, tmp_path: Path) -> None:
    mesh.fleet.down = True
    async with working(mesh, tmp_path) as (agent, _):
        await until(lambda: agent.session._out.backoff.failures >= 3)
        assert not agent.session.connected
        mesh.fleet.down = False
        await until(lambda: agent.session.connected)


async def test_commands_are_acknowledged_done_once_and_answered_again(
    mesh: ScriptedMesh, camera: MjpegCamera, tmp_path: Path
) -> None:
    test = registry.Command(
        seq=1,
        id="019a9000-0000-7000-8000-0000000000c1",
        generation=1,
        deadline=datetime.now(UTC) + timedelta(minutes=1),
        test_source=registry.TestSource(source=registry.LeaseSource(uri=camera.url)),
    )
    foreign = registry.Command(seq=2, id="019a9000-0000-7000-8000-0000000000c2", generation=99)
    preview = registry.Command(
        seq=3, id="019a9000-0000-7000-8000-0000000000c3", generation=1, start_preview=registry.StartPreview()
    )
    async with working(mesh, tmp_path):
        await until(lambda: mesh.fleet.said("heartbeat"))
        for command in (test, foreign, preview):
            mesh.fleet.tell(registry.ConnectResponse(command=command))
        await until(lambda: len(mesh.fleet.said("command_result")) == 2)
        mesh.fleet.tell(registry.ConnectResponse(command=test))
        await until(lambda: len(mesh.fleet.said("command_result")) == 3)

    results = {one.command_id: one for one in mesh.fleet.said("command_result")[:2]}
    picture = results[test.id].picture
    assert results[test.id].outcome == registry.CommandResultOutcome.SUCCEEDED
    assert picture
    assert picture.jpeg.startswith(b"\xff\xd8")
    assert (picture.frame_height, picture.frame_width) == FILM[0].shape[:2]
    assert results[preview.id].outcome == registry.CommandResultOutcome.UNSUPPORTED
    again = mesh.fleet.said("command_result")[2]
    assert (again.command_id, again.outcome, again.picture) == (test.id, results[test.id].outcome, None)
    assert [one.seq for one in mesh.fleet.said("command_ack")] == [1, 3, 1]


async def test_a_test_of_a_source_that_is_away_says_so_without_its_address(mesh: ScriptedMesh, tmp_path: Path) -> None:
    test = registry.Command(
        seq=1,
        id="019a9000-0000-7000-8000-0000000000c1",
        generation=1,
        deadline=datetime.now(UTC) + timedelta(minutes=1),
        test_source=registry.TestSource(source=registry.LeaseSource(uri="rtsp://127.0.0.1:9/x", password="hidden")),
    )
    async with working(mesh, tmp_path):
        await until(lambda: mesh.fleet.said("heartbeat"))
        mesh.fleet.tell(registry.ConnectResponse(command=test))
        await until(lambda: mesh.fleet.said("command_result"))
    (result,) = mesh.fleet.said("command_result")
    assert result.problem.reason == types.ErrorReason.SOURCE_UNREACHABLE
    assert "127.0.0.1" not in result.problem.message
