"""Draws the demo's films and keeps them: `python -m stack.demo.films --out DIR` writes all and prints their truth.

Drawing is deterministic, and a film's picture knows no date; so each is drawn once and kept under a hash of everything
that shapes it, and the demo of tomorrow only links it under tomorrow's name.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np

import vision.demo
from stack.demo import attire, canvas, cast, hair, looks, person, scenes, walks
from stack.demo.canvas import Sprite, lay
from stack.demo.cast import CAST
from stack.demo.looks import Pose
from stack.demo.person import draw
from stack.demo.scenario import Recording, Scenario, scenario
from stack.demo.scenes import HEIGHT, WIDTH, Overlay, Scene, scene
from stack.demo.walks import FRAMES_PER_SECOND, Place

SPRITE_HEAD: Final = 200.0
"""Pixels of the head in a drawn figure: the largest that a film shows."""

PORTRAIT: Final = (480, 620)
"""Width and height of a staff portrait, pixels."""
PORTRAIT_HEAD: Final = 224.0

CODEC: Final = "mp4v"
"""MPEG-4 Part 2: the one that OpenCV's wheel both writes and reads on every machine (its H.264 only reads)."""

Progress = Callable[[int, int], None]
"""Called with the recordings done and their number."""


class CannotWriteFilm(RuntimeError):  # noqa: N818
    """OpenCV could not open the file for writing."""


def write_films(story: Scenario, folder: Path, *, progress: Progress | None = None) -> tuple[Path, ...]:
    """Lays every recording at `folder`/cameras/CAMERA/START.mp4, drawing those that are not in `folder`/cache yet.

    A camera's folder holds nothing else afterwards. Raises OSError, `CannotWriteFilm`.
    """
    drawn, placed = folder / "cache", []
    drawn.mkdir(parents=True, exist_ok=True)
    for done, recording in enumerate(story.recordings):
        if progress:
            progress(done, len(story.recordings))
        kept = drawn / f"{fingerprint(recording)}.mp4"
        if not kept.is_file():
            _encode(recording, kept)
        target = folder / "cameras" / recording.camera.key / recording.file_name
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(kept, target)
        placed.append(target)
    for other in set((folder / "cameras").glob("*/*.mp4")) - set(placed):
        other.unlink()
    if progress:
        progress(len(story.recordings), len(story.recordings))
    return tuple(placed)


def fingerprint(recording: Recording) -> str:
    """A hash of everything that shapes the film's pictures: the walks, the scene, and the code that draws them."""
    digest = hashlib.sha256(_code_fingerprint())
    digest.update(repr((recording.title, recording.camera.scene, recording.walks)).encode())
    return digest.hexdigest()[:24]


def frame(recording: Recording, moment: float) -> Scene:
    """The picture `moment` seconds after the film's start, HEIGHT × WIDTH × 3 BGR."""
    picture = scene(recording.camera.scene).copy()
    present = [(walk, place) for walk in recording.walks if (place := walk.place(moment)) is not None]
    # The nearer stand before the farther.
    for walk, place in sorted(present, key=lambda pair: pair[1].head):
        _stand(picture, _figure(walk.person, place.turn, walk.blinks(moment)), place)
    _overlay(recording.title).stamp(picture)
    return picture


def staff_photos(name: str) -> tuple[bytes, ...]:
    """JPEG portraits of one of the cast, for enrolment as staff. Raises KeyError for anybody else."""
    width, height = PORTRAIT
    # Taken in the shop, before the shelves.
    wall = scene("entrance")[:, : round(HEIGHT * width / height)]
    photos = []
    for turn in (0.0, 8.0, -8.0):
        picture = np.asarray(cv2.resize(wall, PORTRAIT, interpolation=cv2.INTER_CUBIC), np.uint8)
        lay(picture, _figure(name, turn, False), (width / 2, height * 0.35), PORTRAIT_HEAD)
        Overlay(CAST[name].name, width, height).stamp(picture)
        ok, body = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
        if not ok:
            raise CannotWriteFilm(f"cannot encode the portrait of {name}")
        photos.append(body.tobytes())
    return tuple(photos)


def truth_json(story: Scenario) -> str:
    """The truth and the recordings, for scripts."""
    recordings = [
        {
            "camera": recording.camera.key,
            "site": recording.site.key,
            "file": f"cameras/{recording.camera.key}/{recording.file_name}",
            "start_time": recording.film.start_time.isoformat(),
            "seconds": round(recording.film.seconds, 1),
            "passages": [dataclasses.asdict(passage) for passage in recording.film.passages],
        }
        for recording in story.recordings
    ]
    counted = dataclasses.asdict(story.truth)
    return json.dumps({"recordings": recordings, "truth": counted}, default=str, indent=2)


def _stand(picture: Scene, figure: Sprite, place: Place) -> None:
    if place.presence >= 1.0:
        lay(picture, figure, (place.x, place.y), place.head)
        return
    with_figure = picture.copy()
    lay(with_figure, figure, (place.x, place.y), place.head)
    picture[:] = cv2.addWeighted(with_figure, place.presence, picture, 1.0 - place.presence, 0.0)


@cache
def _figure(name: str, turn: float, shut: bool) -> Sprite:
    member = CAST[name]
    return draw(member.looks, member.code, Pose(turn, blink=1.0 if shut else 0.0), SPRITE_HEAD)


@cache
def _overlay(title: str) -> Overlay:
    return Overlay(title)


@cache
def _code_fingerprint() -> bytes:
    digest = hashlib.sha256(f"{cv2.__version__} {np.__version__} {CODEC}".encode())
    for module in (attire, canvas, cast, hair, looks, person, scenes, walks, vision.demo, sys.modules[__name__]):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.digest()


def _encode(recording: Recording, target: Path) -> None:
    """Draws a film next to its target, then renames it: a demo that was interrupted leaves no half film behind."""
    part = target.with_name(f".{target.stem}.part.mp4")
    writer = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*CODEC), FRAMES_PER_SECOND, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise CannotWriteFilm(f"OpenCV cannot write {CODEC} into {part}")
    try:
        for index in range(round(recording.film.seconds * FRAMES_PER_SECOND)):
            writer.write(frame(recording, index / FRAMES_PER_SECOND))
    finally:
        writer.release()
    part.replace(target)


def _link(kept: Path, target: Path) -> None:
    """A hard link where the file system has them, else a copy."""
    if target.exists() and target.samefile(kept):
        return
    target.unlink(missing_ok=True)
    try:
        os.link(kept, target)
    except OSError:
        shutil.copyfile(kept, target)


def main(arguments: list[str] | None = None) -> int:
    """The command line; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stack.demo.films", description="Draws the demo's films.")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write into")
    parser.add_argument("--now", type=datetime.fromisoformat, help="pretend that it is this moment (ISO 8601, aware)")
    options = parser.parse_args(arguments)
    story = scenario(options.now or datetime.now(UTC))
    write_films(story, options.out)
    for name in cast.STAFF:
        for index, photo in enumerate(staff_photos(name)):
            path = options.out / "staff" / f"{name}-{index + 1}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photo)
    print(truth_json(story))
    return 0


if __name__ == "__main__":
    sys.exit(main())
