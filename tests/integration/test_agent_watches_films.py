"""The whole agent before a film: what walks by comes out as one event each, and the registry is told how it goes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import cv2
import numpy as np
import pytest
from footfall_messages.footfall.identity import v1 as identity
from footfall_messages.footfall.ingest import v1 as ingest
from footfall_messages.footfall.registry import v1 as registry
from footfall_messages.footfall.type import v1 as types

from edge_agent.settings import AgentSettings
from edge_agent.wiring import Agent, build_agent
from footfall_client.backoff import FullJitter
from mesh.ids import uuid7_time
from mesh.settings import load
from stack.demo.films import write_films
from stack.demo.scenario import Recording, Scenario, scenario
from tests.support.cameras import MjpegCamera
from tests.support.scripted_mesh import API_KEY, ScriptedMesh, lease, watched
from tests.support.waiting import until

NOW = datetime(2026, 11, 18, 20, tzinfo=UTC)
STORY = scenario(NOW)
RECORDING = STORY.recordings[0]


@pytest.fixture(autouse=True)
def _demo_vision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever models this machine has: these films are the demo's."""
    monkeypatch.delenv("FOOTFALL_MODELS", raising=False)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one film of the demo."""
    folder = tmp_path_factory.mktemp("films")
    (film,) = write_films(Scenario((RECORDING,), STORY.truth), folder)
    return film.parent


@pytest.fixture
async def mesh() -> AsyncIterator[ScriptedMesh]:
    async with ScriptedMesh().serving() as serving:
        yield serving


@contextlib.asynccontextmanager
async def working(mesh: ScriptedMesh, folder: Path, **settings: object) -> AsyncIterator[tuple[Agent, asyncio.Event]]:
    """An agent at work; set the event to have it stop in order."""
    chosen = {"gateway": "nowhere:1", "api_key": API_KEY, "spool": folder / "spool", "recorded_speed": 0} | settings
    agent = await build_agent(
        load(AgentSettings, **chosen), connect=mesh.connect, backoff=lambda: FullJitter(base=0.02, cap=0.1)
    )
    stop = asyncio.Event()
    running = asyncio.create_task(agent.run(stop))
    try:
        yield agent, stop
    finally:
        stop.set()
        await running


def passages(recording: Recording) -> int:
    return len(recording.film.passages)


async def test_everybody_who_walks_by_is_one_event_with_all_that_the_contract_asks(
    mesh: ScriptedMesh, films: Path, tmp_path: Path
) -> None:
    camera = lease(films.as_uri().replace("file:", "folder:"), epoch=7)
    mesh.fleet.leases = [camera]
    async with working(mesh, tmp_path, allow_files=films):
        await until(lambda: [one.activity for one in watched(mesh)] == [registry.CameraActivity.FINISHED])
        await until(lambda: len(mesh.intake.first) == passages(RECORDING))

    begins, ends = RECORDING.film.start_time, RECORDING.film.start_time + timedelta(seconds=RECORDING.film.seconds)
    for event in mesh.intake.events.values():
        assert (event.camera_id, event.lease_epoch) == (camera.camera_id, 7)
        assert event.capture_time
        assert event.track_start_time
        assert event.track_end_time
        assert begins <= event.track_start_time <= event.capture_time <= event.track_end_time <= ends
        assert abs(uuid7_time(UUID(event.id)) - event.capture_time) < timedelta(milliseconds=1)
        assert event.embedding
        assert event.embedding.space == "demo@1"
        assert abs(float(np.linalg.norm(np.frombuffer(event.embedding.vector, "<f4"))) - 1) < 1e-3
        assert event.box
        assert event.box.left >= 0
        assert event.box.left + event.box.width <= 1.001
        assert event.quality
        assert event.quality.face_pixels >= 16
        assert (event.clock_offset_ms, event.clock_uncertainty_ms) == (0, 0)
        picture = cv2.imdecode(np.frombuffer(event.snapshot or b"", np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert max(picture.shape) <= 320


async def test_coverage_tells_what_was_watched_and_how_many_passed(
    mesh: ScriptedMesh, films: Path, tmp_path: Path
) -> None:
    mesh.fleet.leases = [lease(films.as_uri().replace("file:", "folder:"))]
    async with working(mesh, tmp_path, allow_files=films):
        await until(lambda: len(mesh.intake.first) == passages(RECORDING))
        await until(lambda: sum(one.faces_usable for one in latest_coverage(mesh)) == passages(RECORDING))

    told = latest_coverage(mesh)
    watched_for = sum((one.watched or timedelta() for one in told), timedelta())
    assert sum(one.faces_seen for one in told) == passages(RECORDING)
    assert watched_for == pytest.approx(timedelta(seconds=RECORDING.film.seconds), abs=timedelta(seconds=0.5))


def latest_coverage(mesh: ScriptedMesh) -> list[registry.CoverageSlice]:
    """The last telling of each quarter."""
    slices = [one for beat in mesh.fleet.said("heartbeat") for one in beat.coverage]
    return list({(one.lease.camera_id, one.start_time): one for one in slices if one.lease}.values())


async def test_the_same_film_seen_again_gives_the_same_events(mesh: ScriptedMesh, films: Path, tmp_path: Path) -> None:
    mesh.fleet.leases = [lease(films.as_uri().replace("file:", "folder:"))]
    for boot in ("one", "two"):
        async with working(mesh, tmp_path / boot, allow_files=films):
            await until(lambda: [one.activity for one in watched(mesh)] == [registry.CameraActivity.FINISHED])
            await until(lambda: len(mesh.intake.first) == passages(RECORDING))
        mesh.fleet.heard.clear()
    assert len(mesh.intake.first) == passages(RECORDING)


async def test_staff_are_hinted_at_from_the_gallery(mesh: ScriptedMesh, films: Path, tmp_path: Path) -> None:
    mesh.fleet.leases = [lease(films.as_uri().replace("file:", "folder:"))]
    async with working(mesh, tmp_path / "first", allow_files=films):
        await until(lambda: len(mesh.intake.first) == passages(RECORDING))
    known = next(iter(mesh.intake.events.values()))
    staff = "019a9000-0000-7000-8000-00000000abcd"
    assert known.embedding
    mesh.gallery.append(
        identity.WatchGalleryResponse(entry=identity.GalleryEntry(staff_id=staff, embeddings=[known.embedding]))
    )
    mesh.intake.first.clear()
    mesh.intake.events.clear()
    mesh.fleet.leases = []

    async with working(mesh, tmp_path / "second", allow_files=films) as (agent, _):
        await until(lambda: agent.gallery._revision == 1)
        mesh.fleet.want(lease(films.as_uri().replace("file:", "folder:"), epoch=2))
        await until(lambda: len(mesh.intake.first) == passages(RECORDING))

    hinted = [one.staff_hint_id for one in mesh.intake.events.values()]
    same = [one for one in mesh.intake.events.values() if cosine(one, known) > 0.5]
    assert [one.staff_hint_id for one in same] == [staff] * len(same)
    assert hinted.count(staff) == len(same) < len(hinted)


def cosine(one: ingest.FaceDetected, other: ingest.FaceDetected) -> float:
    assert one.embedding
    assert other.embedding
    return float(np.frombuffer(one.embedding.vector, "<f4") @ np.frombuffer(other.embedding.vector, "<f4"))


async def test_a_source_that_the_agent_may_not_open_is_given_back_without_its_address(
    mesh: ScriptedMesh, films: Path, tmp_path: Path
) -> None:
    mesh.fleet.leases = [lease(films.as_uri().replace("file:", "folder:"))]
    async with working(mesh, tmp_path):
        await until(lambda: mesh.fleet.said("lease_released"))
    (released,) = mesh.fleet.said("lease_released")
    assert released.problem.reason == types.ErrorReason.SOURCE_NOT_ALLOWED
    assert str(films) not in released.problem.message


async def test_demo_vision_refuses_a_real_camera_and_says_why(mesh: ScriptedMesh, tmp_path: Path) -> None:
    camera = MjpegCamera()
    mesh.fleet.leases = [lease(camera.url)]
    try:
        async with working(mesh, tmp_path):
            await until(
                lambda: (
                    [one.problem.reason for one in watched(mesh) if one.problem] == [types.ErrorReason.MODEL_MISSING]
                )
            )
    finally:
        await asyncio.to_thread(camera.close)
    assert mesh.intake.first == {}


async def test_a_camera_that_is_away_is_failing_without_its_address(mesh: ScriptedMesh, tmp_path: Path) -> None:
    mesh.fleet.leases = [lease("http://127.0.0.1:9/video.mjpg")]
    async with working(mesh, tmp_path):
        await until(lambda: [one.activity for one in watched(mesh)] == [registry.CameraActivity.FAILING])
    (report,) = watched(mesh)
    assert report.problem
    assert report.problem.reason == types.ErrorReason.SOURCE_UNREACHABLE
    assert "127.0.0.1" not in report.problem.message


async def test_an_agent_that_stops_gives_its_leases_back_after_its_events_are_safe(
    mesh: ScriptedMesh, films: Path, tmp_path: Path
) -> None:
    mesh.fleet.leases = [lease(films.as_uri().replace("file:", "folder:"), epoch=3)]
    async with working(mesh, tmp_path, allow_files=films):
        await until(lambda: len(mesh.intake.first) == passages(RECORDING))
    (released,) = mesh.fleet.said("lease_released")
    assert (released.epoch, released.problem) == (3, None)
    assert released.last_event_id in mesh.intake.first
    assert released.end_time
