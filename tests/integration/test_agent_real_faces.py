"""The agent with real weights before films of real photographs: one event per person who walks by, of whom they are.

FOOTFALL_MODELS names a folder of weights, FOOTFALL_FACES one of photographs (images/NAME/*.jpg); neither ships.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from footfall_messages.footfall.ingest import v1 as ingest
from footfall_messages.footfall.registry import v1 as registry
from numpy.typing import NDArray

from edge_agent.settings import AgentSettings
from edge_agent.wiring import build_agent
from mesh.settings import load
from tests.support.scripted_mesh import API_KEY, ScriptedMesh, lease, watched
from tests.support.waiting import until
from vision import manifest

START = datetime(2026, 11, 18, 9, tzinfo=UTC)
RATE = 10
WIDTH, HEIGHT, SIDE = 800, 480, 200

MODELS, FACES = os.environ.get("FOOTFALL_MODELS"), os.environ.get("FOOTFALL_FACES")
pytestmark = [
    pytest.mark.skipif(not MODELS, reason="FOOTFALL_MODELS names no folder of weights"),
    pytest.mark.skipif(not FACES, reason="FOOTFALL_FACES names no folder of photographs"),
]


@dataclass(frozen=True)
class Passage:
    """One photograph that crosses the picture."""

    photo: NDArray[np.uint8]
    begins: float
    seconds: float
    y: int
    to_the_right: bool = True

    def draw(self, picture: NDArray[np.uint8], at: float) -> None:
        share = (at - self.begins) / self.seconds
        if 0 <= share <= 1:
            x = round((share if self.to_the_right else 1 - share) * (WIDTH - SIDE))
            picture[self.y : self.y + SIDE, x : x + SIDE] = self.photo


def photos(person: Path) -> list[NDArray[np.uint8]]:
    found = [cv2.imread(str(path)) for path in sorted(person.glob("*.jpg"))]
    return [np.asarray(cv2.resize(one, (SIDE, SIDE)), np.uint8) for one in found if one is not None]


def film(folder: Path, passages: list[Passage]) -> Path:
    path = folder / "2026-11-18T09-00-00Z.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (WIDTH, HEIGHT))
    for number in range(round((max(one.begins + one.seconds for one in passages) + 1) * RATE)):
        picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        for passage in passages:
            passage.draw(picture, number / RATE)
        writer.write(picture)
    writer.release()
    return path


@pytest.fixture
async def mesh() -> AsyncIterator[ScriptedMesh]:
    async with ScriptedMesh().serving() as serving:
        yield serving


async def events_of(mesh: ScriptedMesh, film: Path, folder: Path) -> list[ingest.FaceDetected]:
    mesh.fleet.leases = [lease(film.as_uri(), motion_gate=True)]
    settings = load(
        AgentSettings,
        gateway="nowhere:1",
        api_key=API_KEY,
        spool=folder / "spool",
        allow_files=film.parent,
        models=MODELS,
        recorded_speed=0,
    )
    agent = await build_agent(settings, connect=mesh.connect)
    stop = asyncio.Event()
    running = asyncio.create_task(agent.run(stop))
    try:
        await until(lambda: [one.activity for one in watched(mesh)] == [registry.CameraActivity.FINISHED], within=100)
    finally:
        stop.set()
        await running
    found = [one for one in mesh.intake.events.values() if one.capture_time]
    return sorted(found, key=lambda one: one.capture_time or START)


def similarity(one: ingest.FaceDetected, other: ingest.FaceDetected) -> float:
    assert one.embedding
    assert other.embedding
    return float(np.frombuffer(one.embedding.vector, "<f4") @ np.frombuffer(other.embedding.vector, "<f4"))


def people() -> list[Path]:
    return sorted(path for path in (Path(FACES or "") / "images").iterdir() if len(list(path.glob("*.jpg"))) >= 2)


async def test_people_one_after_the_other_are_one_event_each_and_are_told_apart(
    mesh: ScriptedMesh, tmp_path: Path
) -> None:
    cast = people()[:8]
    passages = [Passage(photos(person)[0], number * 3.5, 3.0, 140) for number, person in enumerate(cast)]
    events = await events_of(mesh, film(tmp_path, passages), tmp_path)

    assert len(events) == len(passages)
    for event, passage in zip(events, passages, strict=True):
        assert event.track_start_time
        assert event.track_start_time - START == pytest.approx(
            timedelta(seconds=passage.begins), abs=timedelta(seconds=0.5)
        )
    threshold = manifest.read().threshold(events[0].embedding.space if events[0].embedding else "")
    assert threshold
    fused = [(a, b) for a in range(len(events)) for b in range(a) if similarity(events[a], events[b]) >= threshold]
    assert fused == []


async def test_two_people_who_cross_are_two_events_and_neither_is_mixed_with_the_other(
    mesh: ScriptedMesh, tmp_path: Path
) -> None:
    ann, bob = people()[0], people()[3]
    alone = [Passage(photos(ann)[0], 0, 3, 20), Passage(photos(bob)[0], 6, 3, 240)]
    crossing = [Passage(photos(ann)[0], 12, 4, 20), Passage(photos(bob)[0], 12, 4, 240, to_the_right=False)]
    events = await events_of(mesh, film(tmp_path, [*alone, *crossing]), tmp_path)

    assert len(events) == 4
    first_ann, first_bob, *crossed = events
    as_ann = [similarity(first_ann, one) > similarity(first_bob, one) for one in crossed]
    assert sorted(as_ann) == [False, True]
