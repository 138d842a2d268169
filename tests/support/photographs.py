"""Films of real photographs: who walks in when, chosen so that both embedders can tell them apart, and the truth of it.

Choosing is choosing material, not measuring: `make bench-vision` measures how often photographs are mistaken. What is
tested with these films is that nothing is lost or invented between a camera and a report.
"""

from __future__ import annotations

import csv
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision import manifest
from vision.embed import Embedding, cosine
from vision.pipeline import FaceAnalyser

Image = NDArray[np.uint8]

EMBEDDERS: Final = ("mobilefacenet-ms1m", "w600k-mbf-dequantised")
WIDTH, HEIGHT, SIDE = 640, 480, 320
"""Pixels: of the film, and of a photograph in it. A face fills about two fifths of the photograph's side."""
RATE: Final = 12
"""Frames a second."""
PASSAGE_SECONDS, PAUSE_SECONDS, LEAD_SECONDS = 2.2, 1.4, 4.0
"""How long somebody is seen; how long nobody is, between two; how long nobody is, at first."""
SWAY: Final = 36
"""Pixels by which a photograph moves while it is seen."""
LEAST_FACE: Final = 96
"""Pixels of a face's shorter side."""
LEAST_QUALITY: Final = 0.5
ALIKE_BY, UNLIKE_BY = 0.06, 0.08
"""How far above the model's threshold two photographs of one person must lie, and below it those of two: a codec, a
decoder and another frame than ours lie between."""


@dataclass(frozen=True)
class Part:
    """A role in the films.

    Attributes:
        photos: how many different photographs it takes.
    """

    name: str
    photos: int
    is_staff: bool = False


@dataclass(frozen=True)
class Take:
    """Somebody walks in."""

    part: str
    photo: int
    """Which of the part's photographs, from 0."""


REGULAR_A, REGULAR_B, REGULAR_C = "regular A", "regular B", "regular C"
YESTERDAY_ONLY = "only yesterday"
TWICE, SHORTLY = "comes twice", "goes out for a moment"
ONCE_A, ONCE_B, ONCE_C = "comes once A", "comes once B", "comes once C"
STAFF_A, STAFF_B = "staff A", "staff B"

PARTS: Final = (
    Part(STAFF_A, 3, is_staff=True),
    Part(STAFF_B, 3, is_staff=True),
    Part(REGULAR_A, 2),
    Part(REGULAR_B, 2),
    Part(REGULAR_C, 3),
    Part(TWICE, 2),
    Part(SHORTLY, 2),
    Part(ONCE_A, 1),
    Part(ONCE_B, 1),
    Part(ONCE_C, 1),
    Part(YESTERDAY_ONLY, 1),
)
"""The first photograph of staff is their portrait, and is not filmed."""

YESTERDAY: Final = (
    Take(REGULAR_A, 0),
    Take(STAFF_A, 1),
    Take(REGULAR_B, 0),
    Take(YESTERDAY_ONLY, 0),
    Take(REGULAR_C, 0),
)

TODAY: Final = (
    Take(TWICE, 0),
    Take(STAFF_A, 2),
    Take(SHORTLY, 0),
    Take(REGULAR_A, 1),
    Take(ONCE_A, 0),
    Take(REGULAR_C, 1),
    Take(SHORTLY, 1),
    Take(STAFF_B, 1),
    Take(REGULAR_B, 1),
    Take(ONCE_B, 0),
    Take(STAFF_B, 2),
    Take(TWICE, 1),
    Take(ONCE_C, 0),
    Take(REGULAR_C, 2),
)


@dataclass(frozen=True)
class Counts:
    """A day, as reports count it."""

    visits: int
    unique: int
    new: int
    returning: int


@dataclass(frozen=True)
class Passage:
    """A take in its film."""

    take: Take
    start: float
    """Seconds from the film's beginning."""

    @property
    def end(self) -> float:
        return self.start + PASSAGE_SECONDS


def passages(takes: Sequence[Take]) -> list[Passage]:
    """When each take is seen."""
    step = PASSAGE_SECONDS + PAUSE_SECONDS
    return [Passage(take, LEAD_SECONDS + number * step) for number, take in enumerate(takes)]


def truth(takes: Sequence[Take], gap_seconds: float, known: Sequence[str] = ()) -> Counts:
    """What must be counted of a film.

    Args:
        gap_seconds: a longer absence begins another visit.
        known: parts that were there on an earlier day.
    """
    staff = {part.name for part in PARTS if part.is_staff}
    seen: dict[str, list[Passage]] = defaultdict(list)
    for passage in passages(takes):
        if passage.take.part not in staff:
            seen[passage.take.part].append(passage)
    visits = sum(
        1 + sum(after.start - before.end > gap_seconds for before, after in pairwise(of)) for of in seen.values()
    )
    new = len(seen.keys() - set(known))
    return Counts(visits=visits, unique=len(seen), new=new, returning=len(seen) - new)


# -- choosing ---------------------------------------------------------------------------------------------------------


@dataclass
class Photo:
    """One photograph, and how each embedder sees it in a film."""

    file: Path
    picture: Image = field(repr=False)
    embeddings: Mapping[str, Embedding] = field(repr=False)


@dataclass
class Eyes:
    """Every embedder with its threshold, and one detector."""

    analysers: Mapping[str, FaceAnalyser]
    thresholds: Mapping[str, float]

    @classmethod
    def open(cls, models: Path) -> Eyes:
        loaded = {name: manifest.load(models, embedder=name) for name in EMBEDDERS}
        return cls(
            {name: FaceAnalyser(one.detector, one.embedder) for name, one in loaded.items()},
            {name: one.match_threshold for name, one in loaded.items()},
        )

    def look(self, file: Path) -> Photo | None:
        """The photograph as a film shows it; None when it is of no use: no face, several, a small or a poor one."""
        picture = cv2.imread(str(file))
        if picture is None:
            return None
        photo = np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)
        analysers = list(self.analysers.items())
        faces = analysers[0][1].analyse(drawn(photo, 0.5, left=True))
        if len(faces) != 1:
            return None
        quality = faces[0].quality
        if quality.face_pixels < LEAST_FACE or quality.overall < LEAST_QUALITY:
            return None
        return Photo(file, photo, {name: analyser.embed(faces[0]) for name, analyser in analysers})

    def alike(self, one: Photo, other: Photo) -> bool:
        """Whether both embedders take them for one person, with room to spare."""
        return all(
            cosine(one.embeddings[name], other.embeddings[name]) >= limit + ALIKE_BY
            for name, limit in self.thresholds.items()
        )

    def unlike(self, one: Photo, other: Photo) -> bool:
        """Whether both take them for two."""
        return all(
            cosine(one.embeddings[name], other.embeddings[name]) <= limit - UNLIKE_BY
            for name, limit in self.thresholds.items()
        )


Cast = dict[str, list[Photo]]
"""The photographs of each part."""


def choose(faces: Path, eyes: Eyes) -> Cast:
    """Gives each part a person, greedily in the order of labels.csv. AssertionError when the photographs run out."""
    people: dict[str, list[Path]] = defaultdict(list)
    with (faces / "labels.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            people[row["identity"]].append(faces / row["file"])
    candidates = iter(people.values())
    waiting = sorted(PARTS, key=lambda part: -part.photos)
    cast: Cast = {}
    while waiting:
        files = next(candidates, None)
        assert files is not None, f"too few photographs that both embedders tell apart: {len(cast)} of {len(PARTS)}"
        photos = [photo for file in files if (photo := eyes.look(file)) is not None]
        others = [photo for chosen in cast.values() for photo in chosen]
        apart = [photo for photo in photos if all(eyes.unlike(photo, other) for other in others)]
        together = _alike(apart, eyes)
        part = next((part for part in waiting if part.photos <= len(together)), None)
        if part is not None:
            waiting.remove(part)
            cast[part.name] = together[: part.photos]
    return cast


def _alike(photos: Sequence[Photo], eyes: Eyes) -> list[Photo]:
    """The largest set found that is alike throughout, begun at each photograph in turn."""
    best: list[Photo] = []
    for first in photos:
        found = [first]
        for photo in photos:
            if photo is not first and all(eyes.alike(photo, other) for other in found):
                found.append(photo)
        best = max(best, found, key=len)
    return best


def describe(cast: Cast, eyes: Eyes) -> Iterator[str]:
    """Who plays whom, and how near the choice lies to the thresholds."""
    for part, photos in sorted(cast.items()):
        yield f"{part:22} {photos[0].file.parent.name} ({len(photos)})"
    for name, threshold in eyes.thresholds.items():
        same: list[float] = []
        different: list[float] = []
        flat = [(part, photo.embeddings[name]) for part, photos in cast.items() for photo in photos]
        for number, (part, one) in enumerate(flat):
            for other_part, other in flat[:number]:
                (same if part == other_part else different).append(cosine(one, other))
        yield (
            f"{name}: threshold {threshold:.2f}; of one person {min(same):.2f} and above, "
            f"of two {max(different):.2f} and below"
        )


# -- filming ----------------------------------------------------------------------------------------------------------


def drawn(photo: Image, share: float, *, left: bool) -> Image:
    """One frame: the photograph before a plain wall, on its way from one side to the other (share 0…1)."""
    picture = scene()
    x = (40 if left else WIDTH - SIDE - 40 - SWAY) + round(share * SWAY)
    y = (HEIGHT - SIDE) // 2 + round(8 * share)
    picture[y : y + SIDE, x : x + SIDE] = photo
    return picture


def scene() -> Image:
    """An empty shop."""
    wall = np.linspace(96, 128, HEIGHT, dtype=np.float32)[:, None, None]
    return np.asarray(np.broadcast_to(wall, (HEIGHT, WIDTH, 3)), np.uint8).copy()


def film(path: Path, takes: Sequence[Take], cast: Cast, *, after_seconds: float = 3.0) -> Path:
    """An H.264 film of the takes, and then of an empty shop for `after_seconds`. Needs ffmpeg."""
    planned = passages(takes)
    seconds = planned[-1].end + 1
    arguments = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(RATE), "-i", "-"]
    encode = ["-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast", "-crf", "20", "-g", str(RATE)]
    # The last frame again and again: minutes of it cost seconds.
    longer = ["-vf", f"tpad=stop_mode=clone:stop_duration={after_seconds:g}"]
    command = ["ffmpeg", "-v", "error", "-y", *arguments, *longer, *encode, "-pix_fmt", "yuv420p", str(path)]
    empty = scene().tobytes()
    encoder: subprocess.Popen[Any] = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert encoder.stdin is not None
    for number in range(round(seconds * RATE)):
        at = number / RATE
        seen = next((index for index, one in enumerate(planned) if one.start <= at < one.end), None)
        if seen is None:
            encoder.stdin.write(empty)
            continue
        take = planned[seen].take
        share = (at - planned[seen].start) / PASSAGE_SECONDS
        picture = cast[take.part][take.photo].picture
        encoder.stdin.write(drawn(picture, share, left=seen % 2 == 0).tobytes())
    encoder.stdin.close()
    assert encoder.wait() == 0, "ffmpeg failed"
    return path
