"""The films show what the story says, can be read back, and are drawn once."""

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stack.demo.cast import CAST, DRAWN_THRESHOLD, STAFF
from stack.demo.films import fingerprint, frame, main, staff_photos, truth_json, write_films
from stack.demo.scenario import Recording, Scenario, scenario
from stack.demo.scenes import HEIGHT, WIDTH
from stack.demo.walks import FRAMES_PER_SECOND, Walk
from tests.support.pictures import decoded, frames_of
from vision import demo, manifest
from vision.embed import Embedding, cosine
from vision.pipeline import Face, FaceAnalyser

NOW = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)


def _short(count: int = 1) -> Scenario:
    story = scenario(NOW)
    shortest = sorted(story.recordings, key=lambda recording: recording.film.seconds)[:count]
    return Scenario(tuple(shortest), story.truth)


def _shown(face: Face, recording: Recording, moment: float) -> str | None:
    """Who of the story stands where this face was found, if the whole of them is in the picture."""
    for walk in recording.walks:
        place = walk.place(moment)
        if place and place.whole and abs(face.landmarks[:2].mean(axis=0)[0] - place.x) < 0.25 * place.head:
            return walk.person
    return None


def test_demo_vision_sees_each_passage_in_the_encoded_film_and_nobody_else(tmp_path: Path) -> None:
    models = demo.load()
    analyser = FaceAnalyser(models.detector, models.embedder)
    story = _short(2)
    for recording, path in zip(story.recordings, write_films(story, tmp_path), strict=True):
        pictures = frames_of(path)
        assert len(pictures) == round(recording.film.seconds * FRAMES_PER_SECOND)
        assert pictures[0].shape == (HEIGHT, WIDTH, 3)
        of_person: dict[str, list[Embedding]] = {}
        for index, picture in enumerate(pictures):
            moment = index / FRAMES_PER_SECOND
            faces = analyser.analyse(picture)
            for face in faces:
                if person := _shown(face, recording, moment):
                    of_person.setdefault(person, []).append(analyser.embed(face))
            whole = sum(1 for walk in recording.walks if (place := walk.place(moment)) and place.whole)
            assert len(faces) >= whole
        assert set(of_person) == {passage.person for passage in recording.film.passages}
        for (a, ones), (b, others) in itertools.product(of_person.items(), repeat=2):
            assert all((cosine(one, other) > demo.MATCH_THRESHOLD) == (a == b) for one in ones for other in others)


def test_a_film_is_drawn_once_and_only_linked_the_next_day(tmp_path: Path) -> None:
    story = _short()
    (first,) = write_films(story, tmp_path)
    drawn = first.stat().st_ino
    recording = story.recordings[0]
    later = replace(recording, film=replace(recording.film, start_time=recording.film.start_time + timedelta(days=1)))
    (second,) = write_films(Scenario((later,), story.truth), tmp_path)
    assert second.stat().st_ino == drawn
    assert not first.exists(), "yesterday's name is gone: a camera's folder holds this story and nothing else"
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_the_fingerprint_tells_films_apart_but_knows_no_date() -> None:
    recordings = scenario(NOW).recordings
    assert len({fingerprint(recording) for recording in recordings}) == len(recordings)
    tomorrow = scenario(NOW + timedelta(days=1)).recordings
    assert [fingerprint(r) for r in recordings] == [fingerprint(r) for r in tomorrow]


def test_drawing_is_deterministic() -> None:
    recording = scenario(NOW).recordings[0]
    assert (frame(recording, 2.5) == frame(recording, 2.5)).all()


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_films(_short(), tmp_path, progress=lambda done, of: told.append((done, of)))
    assert told == [(0, 1), (1, 1)]


def test_walks_begin_and_end_outside_the_picture_or_at_the_door() -> None:
    for path in ("cross", "approach"):
        walk = Walk("mara", 1.0, 3.6, path, 1, 170)
        first, last = walk.place(1.0), walk.place(4.6)
        assert first is not None
        assert last is not None
        assert not first.whole
        assert not last.whole
        assert walk.place(0.9) is None
        assert walk.place(4.7) is None
        passage = walk.passage()
        assert passage.end - passage.start > 1.5


def test_staff_portraits_are_jpegs_of_three_poses() -> None:
    for name in STAFF:
        photos = staff_photos(name)
        assert len(photos) == 3
        for photo in photos:
            assert photo[:3] == b"\xff\xd8\xff"
            assert decoded(photo).shape == (620, 480, 3)


def test_the_truth_is_told_in_json() -> None:
    told = json.loads(truth_json(scenario(NOW)))
    assert told["truth"]["total"]["unique"] == 12
    assert len(told["recordings"]) == 18
    assert told["recordings"][0]["file"].startswith("cameras/harbour-entrance/2026-11-18T")


def test_the_command_writes_films_and_portraits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stack.demo.films.scenario", lambda _: _short())
    assert main(["--out", str(tmp_path), "--now", NOW.isoformat()]) == 0
    assert len(json.loads(capsys.readouterr().out)["recordings"]) == 1
    assert len(list((tmp_path / "staff").glob("*.jpg"))) == 3 * len(STAFF)


@pytest.mark.parametrize("embedder", ["mobilefacenet-ms1m", "w600k-mbf-dequantised"])
def test_real_models_tell_the_drawn_people_apart_too(models_folder: Path, embedder: str) -> None:
    models = manifest.load(models_folder, embedder=embedder)
    analyser = FaceAnalyser(models.detector, models.embedder)
    shots: list[tuple[str, Embedding]] = []
    for recording in scenario(NOW).recordings:
        for walk in recording.walks:
            moment = walk.begin + 0.5 * walk.seconds
            found = {_shown(face, recording, moment): face for face in analyser.analyse(frame(recording, moment))}
            assert walk.person in found, f"{walk.person} is not found in {recording.title}"
            shots.append((walk.person, analyser.embed(found[walk.person])))
    for name in STAFF:
        shots += [(name, analyser.embed(analyser.single_face(decoded(body)))) for body in staff_photos(name)]
    for (a, one), (b, other) in itertools.combinations(shots, 2):
        assert (cosine(one, other) >= DRAWN_THRESHOLD) == (a == b), f"{a} and {b}"
    assert {person for person, _ in shots} == set(CAST)
