"""One camera's looking: frames in, described passages out. Runs in the inference thread, and knows no network."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.sources.port import Frame, Image
from edge_agent.tracking.domain import Passage, Rules, Shot, Step, Track, finish, step
from mesh.ids import CameraId, EventId
from vision.detect import Box, Landmarks
from vision.embed import Embedding, UselessEmbedding, cosine
from vision.pipeline import Face, FaceAnalyser
from vision.quality import FaceQuality

CROP_MARGIN: Final = 0.4
"""Around a face in its snapshot, as a share of the box's longer side."""
CROP_SIDE: Final = 320
"""Pixels of a snapshot's longer side at most."""
SNAPSHOT_BYTES: Final = 256 * 1024
"""The contract's limit."""

MOTION_SIZE: Final = (96, 54)
"""Pixels of the small grey picture in which movement is looked for."""
MOTION_STEP: Final = 12
"""Grey levels by which a pixel of it must change: above a sensor's noise, which averaging has almost removed."""
MOTION_PIXELS: Final = 6
"""Of it that must change: about a tenth of a percent of the frame, less than a face of 30 pixels in 1280."""

Polygon = Sequence[tuple[float, float]]
"""Corners (x, y) as fractions of the frame."""


@dataclass(frozen=True, slots=True)
class EyeSettings:
    """How to look."""

    min_face_pixels: int = 40
    """Smaller faces are counted as seen, and not described."""
    motion_gate: bool = True
    """While nobody is tracked, frames in which nothing moves are not analysed."""
    snapshots: bool = True
    anonymous: bool = False
    """Count passages; make no embedding of any face."""
    masks: tuple[Polygon, ...] = ()
    """Where not to look."""
    sample_every: int = 10
    """Every so many passages a second embedding goes along, for calibration; 0 = never."""


@dataclass(eq=False, slots=True)
class Look:
    """What is kept of one face in one frame. The frame itself is let go."""

    face: Face
    crop: Image
    frame_width: int
    frame_height: int
    embedding: Embedding | None = None
    useless: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A passage, described: all that an event says of it. Times are server time."""

    capture_time: datetime
    start: datetime
    end: datetime
    recorded: bool
    quality: FaceQuality
    box: Box
    """Fractions of the frame, inside it."""
    landmarks: Landmarks
    """5 × 2 fractions of the frame."""
    embedding: Embedding = field(repr=False)
    sample: Embedding | None = field(repr=False)
    snapshot: bytes | None = field(repr=False)
    """JPEG."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one frame brought."""

    passed: tuple[datetime, ...] = ()
    """Best-shot times of the passages that ended and are no event."""
    sightings: tuple[Sighting, ...] = ()
    """The passages that ended and are events."""
    faces: int = 0
    """In this frame."""
    oldest: datetime | None = None
    """Start of the oldest track that goes on."""


class Eye:
    """Follows the faces before one camera. One thread at a time."""

    def __init__(self, analyser: FaceAnalyser, settings: EyeSettings, rules: Rules, same_face: float) -> None:
        """`analyser`: shared by all eyes of the inference thread. `same_face`: cosine from which on two shots a moment
        apart show one person; below the model's threshold for strangers, since only few are compared here."""
        self._analyser, self._settings, self._rules, self._same_face = analyser, settings, rules, same_face
        self._tracks: tuple[Track[Look], ...] = ()
        self._recorded = False
        self._background: NDArray[np.uint8] | None = None
        self._passages = 0

    def look(self, frame: Frame, offset: timedelta) -> Seen:
        """Analyses one frame. `offset`: server time − the agent's clock, for live frames.

        Raises what the analyser raises: `NotADemoFilm` with demo vision on a real camera.
        """
        time = frame.capture_time if frame.recorded else frame.capture_time + offset
        if self._tracks:
            # The offset may have been corrected backwards between two frames; tracks go forward.
            time = max([time, *(track.last.time for track in self._tracks)])
        self._recorded = frame.recorded
        image = self._masked(frame.image)
        if not self._tracks and self._settings.motion_gate and not self._moves(image):
            return Seen()
        height, width = image.shape[:2]
        shots = [
            Shot(time, face.box, face.quality.overall, Look(face, _crop(image, face.box), width, height))
            for face in self._analyser.analyse(image)
        ]
        return self._seen(step(self._tracks, shots, time, self._rules, self._same), len(shots))

    def finish(self) -> Seen:
        """Ends every track: the camera, the film or the lease has ended."""
        return self._seen(finish(self._tracks, self._rules), 0)

    def _seen(self, done: Step[Look], faces: int) -> Seen:
        self._tracks = done.tracks
        described = [(passage, self._described(passage)) for passage in done.passages]
        return Seen(
            tuple(passage.best.time for passage, sighting in described if sighting is None),
            tuple(sighting for _, sighting in described if sighting is not None),
            faces,
            min((track.start for track in done.tracks), default=None),
        )

    def _described(self, passage: Passage[Look]) -> Sighting | None:
        look, best = passage.best.payload, passage.best
        if self._settings.anonymous or look.face.quality.face_pixels < self._settings.min_face_pixels:
            return None
        embedding = self._embedding(look)
        if embedding is None:
            return None
        self._passages += 1
        sampled = self._settings.sample_every and self._passages % self._settings.sample_every == 0
        scale = np.array([look.frame_width, look.frame_height], np.float32)
        return Sighting(
            capture_time=best.time,
            start=passage.start,
            end=passage.end,
            recorded=self._recorded,
            quality=look.face.quality,
            box=_fractions(look),
            landmarks=np.clip(look.face.landmarks / scale, -0.5, 1.5).astype(np.float32),
            embedding=embedding,
            sample=self._embedding(passage.second.payload) if sampled and passage.second else None,
            snapshot=_jpeg(look.crop) if self._settings.snapshots else None,
        )

    def _same(self, one: Shot[Look], other: Shot[Look]) -> bool:
        if self._settings.anonymous:
            # Without embeddings a doubt is decided by the place: whoever is near enough to be asked about goes on.
            return one.box.overlap(other.box) > 0
        first, second = self._embedding(one.payload), self._embedding(other.payload)
        return first is not None and second is not None and cosine(first, second) >= self._same_face

    def _embedding(self, look: Look) -> Embedding | None:
        """Made once per shot, and only when somebody asks; None when the model has nothing to say."""
        if look.embedding is None and not look.useless:
            try:
                look.embedding = self._analyser.embed(look.face)
            except UselessEmbedding:
                look.useless = True
        return look.embedding

    def _masked(self, image: Image) -> Image:
        if not self._settings.masks:
            return image
        height, width = image.shape[:2]
        masked = image.copy()
        corners = [np.array([(x * width, y * height) for x, y in mask], np.int32) for mask in self._settings.masks]
        cv2.fillPoly(masked, corners, (0, 0, 0))
        return masked

    def _moves(self, image: Image) -> bool:
        """Whether something changed since the last frame in which something did."""
        grey = cv2.cvtColor(cv2.resize(image, MOTION_SIZE, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
        small = np.asarray(grey, np.uint8)
        before = self._background
        if before is not None and int(np.count_nonzero(cv2.absdiff(small, before) >= MOTION_STEP)) < MOTION_PIXELS:
            return False
        # Compared with the last picture that moved, not with the last one: who creeps is seen, too.
        self._background = small
        return True


def recorded_event_id(camera_id: CameraId, capture_time: datetime, box: Box) -> EventId:
    """The id of a sighting in a recording: UUIDv7 of its capture time, the rest told by what was seen and where.

    A film that is played again, after a restart say, so gives the same ids, and its events are duplicates of the first.
    """
    place = f"{camera_id}|{capture_time.isoformat()}|{box.left:.3f}|{box.top:.3f}"
    digest = int.from_bytes(hashlib.sha256(place.encode()).digest()[:10], "big")
    stamp = (capture_time - datetime.fromtimestamp(0, capture_time.tzinfo)) // timedelta(milliseconds=1)
    bits = (stamp << 80) | digest
    versioned = (bits & ~(0xF << 76) & ~(0x3 << 62)) | (0x7 << 76) | (0b10 << 62)
    return EventId(UUID(int=versioned))


def _fractions(look: Look) -> Box:
    """The box in fractions of the frame, cut to it; never empty."""
    box = look.face.box.clipped(look.frame_width, look.frame_height)
    left, top = min(box.left / look.frame_width, 0.999), min(box.top / look.frame_height, 0.999)
    width = min(max(box.width / look.frame_width, 1e-4), 1 - left)
    height = min(max(box.height / look.frame_height, 1e-4), 1 - top)
    return Box(left, top, width, height)


def _crop(image: Image, box: Box) -> Image:
    """The face with some margin, at most `CROP_SIDE` long: a copy, so that the frame can go."""
    height, width = image.shape[:2]
    margin = CROP_MARGIN * max(box.width, box.height)
    area = Box(box.left - margin, box.top - margin, box.width + 2 * margin, box.height + 2 * margin)
    area = area.clipped(width, height)
    left, top = int(area.left), int(area.top)
    crop = image[top : max(top + 1, round(area.bottom)), left : max(left + 1, round(area.right))]
    scale = CROP_SIDE / max(crop.shape[:2])
    if scale < 1:
        size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
        return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
    return crop.copy()


def _jpeg(picture: Image) -> bytes | None:
    for quality in (88, 75, 60, 40):
        encoded, body = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if encoded and body.size <= SNAPSHOT_BYTES:
            return body.tobytes()
    return None
