"""The eye: what a camera's frames become, with a detector and an embedder that see what the test says."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import cv2
import numpy as np
import pytest

from edge_agent.eye import Eye, EyeSettings, Seen, recorded_event_id
from edge_agent.sources.port import Frame, Image
from edge_agent.tracking.domain import Rules
from mesh.ids import CameraId, uuid7_time
from vision.detect import Box, Detection, Landmarks
from vision.embed import Embedding, UselessEmbedding, unit
from vision.pipeline import FaceAnalyser

START = datetime(2026, 11, 18, 9, tzinfo=UTC)
HEIGHT, WIDTH = 360, 640


class Blobs:
    """Finds every bright square as a face: detector and embedder in one; the colour is the person."""

    space = "blobs@1"

    def __init__(self) -> None:
        self.detected = 0
        self.embedded = 0

    def detect(self, image: Image) -> list[Detection]:
        self.detected += 1
        mask = (image.max(axis=2) > 150).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        return [self._face(Box(*(float(value) for value in stat[:4]))) for stat in stats[1:] if stat[4] > 100]

    def _face(self, box: Box) -> Detection:
        points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
        landmarks = np.array([(box.left + x * box.width, box.top + y * box.height) for x, y in points], np.float32)
        return Detection(box, 0.9, landmarks)

    def align(self, image: Image, landmarks: Landmarks) -> Image:
        x, y = landmarks[2].astype(int)
        return image[max(0, y - 5) : y + 5, max(0, x - 5) : x + 5]

    def embed(self, aligned: Image) -> Embedding:
        self.embedded += 1
        colour = aligned.reshape(-1, 3).mean(axis=0)
        if colour.max() < 1:
            raise UselessEmbedding("black")
        return unit(colour.tolist())


BLUE, GREEN, RED = (255, 20, 20), (20, 255, 20), (20, 20, 255)


def frame(number: int, *faces: tuple[tuple[int, int, int], int, int], side: int = 80, recorded: bool = True) -> Frame:
    image = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    for colour, x, y in faces:
        image[y : y + side, x : x + side] = colour
        # Eyes, so that the quality measure has something to measure.
        image[y + side // 3 : y + side // 2, x + side // 4 : x + side // 3] //= 4
    return Frame(image, START + timedelta(seconds=number / 10), number, recorded)


def eye(blobs: Blobs, **settings: object) -> Eye:
    chosen = {"motion_gate": False, "min_face_pixels": 40} | settings
    return Eye(FaceAnalyser(blobs, blobs), EyeSettings(**chosen), Rules(), same_face=0.8)  # type: ignore[arg-type]


def watch(looking: Eye, frames: Sequence[Frame], offset: timedelta = timedelta()) -> list[Seen]:
    return [*(looking.look(one, offset) for one in frames), looking.finish()]


def crossing(colour: tuple[int, int, int] = BLUE, count: int = 20, side: int = 80) -> list[Frame]:
    return [frame(number, (colour, 50 + number * 20, 100), side=side) for number in range(count)]


def test_a_passage_is_described_with_one_inference_for_its_face() -> None:
    blobs = Blobs()
    (sighting,) = watch(eye(blobs), crossing())[-1].sightings
    assert blobs.embedded == 1
    assert (sighting.start, sighting.end) == (START, START + timedelta(seconds=1.9))
    assert sighting.start <= sighting.capture_time <= sighting.end
    assert sighting.snapshot
    assert sighting.snapshot.startswith(b"\xff\xd8")
    assert 0 < sighting.box.left < sighting.box.right <= 1
    assert float(np.linalg.norm(sighting.embedding)) == pytest.approx(1, abs=1e-5)


def test_a_small_face_passes_and_is_no_event() -> None:
    seen = watch(eye(Blobs(), min_face_pixels=100), crossing())[-1]
    assert (len(seen.passed), len(seen.sightings)) == (1, 0)


def test_anonymous_counts_and_describes_nobody() -> None:
    blobs = Blobs()
    seen = watch(eye(blobs, anonymous=True), crossing())[-1]
    assert (len(seen.passed), len(seen.sightings), blobs.embedded) == (1, 0, 0)


def test_without_snapshots_there_is_none() -> None:
    (sighting,) = watch(eye(Blobs(), snapshots=False), crossing())[-1].sightings
    assert sighting.snapshot is None


def test_nothing_is_seen_behind_a_mask() -> None:
    upper_half = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.6), (0.0, 0.6))
    seen = watch(eye(Blobs(), masks=(upper_half,)), crossing())[-1]
    assert (seen.passed, seen.sightings) == ((), ())


def test_a_still_scene_is_not_analysed_and_who_enters_it_is() -> None:
    blobs = Blobs()
    looking = eye(blobs, motion_gate=True)
    watch(looking, [frame(number) for number in range(50)])
    assert blobs.detected == 1
    (sighting,) = watch(looking, crossing())[-1].sightings
    assert sighting.start <= START + timedelta(seconds=0.2)


def test_live_times_are_corrected_once_and_never_go_back() -> None:
    looking, ahead = eye(Blobs()), timedelta(hours=1)
    frames = [frame(number, (BLUE, 50 + number * 20, 100), recorded=False) for number in range(10)]
    for one in frames[:5]:
        looking.look(one, ahead)
    for one in frames[5:]:
        looking.look(one, ahead - timedelta(seconds=0.3))
    (sighting,) = looking.finish().sightings
    assert sighting.start == START + ahead
    assert sighting.start <= sighting.capture_time <= sighting.end


def test_every_tenth_passage_carries_a_second_embedding() -> None:
    looking = eye(Blobs(), sample_every=2)
    samples = [watch(looking, crossing())[-1].sightings[0].sample is not None for _ in range(4)]
    assert samples == [False, True, False, True]


def test_people_who_meet_are_told_apart_by_their_faces() -> None:
    frames = [
        frame(number, (BLUE, 40 + number * 20, 100), (RED, 480 - number * 20, 120), side=70) for number in range(22)
    ]
    seen = watch(eye(Blobs()), frames)
    sightings = [one for step in seen for one in step.sightings]
    strongest = sorted(int(np.argmax(one.embedding[:3])) for one in sightings)
    assert set(strongest) == {0, 2}


def test_a_recorded_sighting_has_the_same_id_whenever_it_is_seen_and_another_for_each_face() -> None:
    camera, box = CameraId(UUID(int=1)), Box(0.25, 0.5, 0.1, 0.1)
    event = recorded_event_id(camera, START, box)
    assert event == recorded_event_id(camera, START, box)
    assert uuid7_time(event) == START
    others = {
        recorded_event_id(CameraId(UUID(int=2)), START, box),
        recorded_event_id(camera, START + timedelta(milliseconds=1), box),
        recorded_event_id(camera, START, Box(0.75, 0.5, 0.1, 0.1)),
    }
    assert len(others | {event}) == 4
