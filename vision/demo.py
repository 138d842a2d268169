"""Demo vision: it reads the badges of the people that Footfall's own demo films show, and recognises nobody else.

It stands in for real weights where none can be had, so that the whole mesh can be shown. It is no face recognition:
every drawn person wears a printed code (ArUco, Garrido-Jurado et al. 2014), and every drawn frame carries a mark in
its lower right corner. A frame without that mark is refused, so demo vision can never pretend on a real camera.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.align import align, similarity
from vision.detect import Box, Detection, Image, Landmarks, check_image
from vision.embed import DIMENSION, Embedding, UselessEmbedding, unit
from vision.manifest import Models

SPACE: Final = "demo@1"
MATCH_THRESHOLD: Final = 0.5
"""Two shots of one badge are at about 0.92, of two badges at 0 ± 0.1."""

FRAME_MARK: Final = 49
"""The code that says "this frame was drawn by the demo"; no person wears it."""
PEOPLE: Final = FRAME_MARK
"""Codes 0 … PEOPLE − 1 are people's."""

FRAME_MARK_SIDE: Final = 0.08
"""Side of the frame mark, as a share of the frame's height."""
FRAME_MARK_INSET: Final = 0.075
"""Distance of its centre from the frame's right and bottom edges, as a share of the frame's height."""
_INSET_SLACK: Final = 0.02

BADGE_SIDE: Final = 0.26
"""Side of a person's code, in head heights."""
BADGE_CENTRE: Final = (0.0, 1.17)
"""Its centre, in head heights from the middle of the eyes."""
FACE_POINTS: Final[Landmarks] = np.array(
    [[-0.14, 0.0], [0.14, 0.0], [0.0, 0.165], [-0.115, 0.315], [0.115, 0.315]], np.float32
)
"""The five landmarks of a drawn face, in head heights from the middle of the eyes: what the demo's artist keeps to."""
FACE_BOX: Final = Box(-0.34, -0.32, 0.68, 0.84)
"""What a face detector would frame of a drawn head, in the same unit: brow to chin, temple to temple."""

_CODES: Final = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_50)
_CROP_SIDE: Final = 112
_CROP_BADGE: Final = 70
"""Pixels of a code in the embedder's crop: ten for each of its seven modules."""
_NOISE: Final = 0.3
"""Length of the part of an embedding that differs from shot to shot."""


class NotADemoFilm(RuntimeError):  # noqa: N818
    """Demo vision was shown something that the demo did not draw. Real cameras need real models."""

    def __init__(self) -> None:
        """Says what to do."""
        super().__init__(
            "demo vision recognises only the people that Footfall's own demo films show, and this is no such film: "
            "run `make models` and set FOOTFALL_MODELS to watch a real camera"
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Code:
    number: int
    corners: NDArray[np.float32]
    """4 × 2: upper left, upper right, lower right, lower left."""

    @property
    def centre(self) -> tuple[float, float]:
        x, y = self.corners.mean(axis=0)
        return float(x), float(y)


class DemoDetector:
    """Finds drawn people by their badges."""

    def __init__(self) -> None:
        """Needs no weights."""
        self._codes = _reader()

    def detect(self, image: Image) -> list[Detection]:
        """See `Detector.detect`. Raises `NotADemoFilm`."""
        check_image(image)
        found = _read(self._codes, image)
        height, width = image.shape[:2]
        if not any(code.number == FRAME_MARK and _in_its_corner(code, width, height) for code in found):
            raise NotADemoFilm
        return [self._person(code) for code in found if code.number < PEOPLE]

    @staticmethod
    def _person(code: _Code) -> Detection:
        to_frame = similarity(_badge_corners(), code.corners)
        head = float(np.hypot(to_frame[0, 0], to_frame[1, 0]))
        points = FACE_POINTS @ to_frame[:, :2].T + to_frame[:, 2]
        eyes = points[:2].mean(axis=0)
        box = Box(
            float(eyes[0] + FACE_BOX.left * head),
            float(eyes[1] + FACE_BOX.top * head),
            FACE_BOX.width * head,
            FACE_BOX.height * head,
        )
        return Detection(box, 0.99, points.astype(np.float32))


class DemoEmbedder:
    """Turns a badge into a point of its own on the unit sphere, a little different in every shot."""

    def __init__(self) -> None:
        """Needs no weights."""
        self._codes = _reader()

    @property
    def space(self) -> str:
        """See `Embedder.space`."""
        return SPACE

    def align(self, image: Image, landmarks: Landmarks) -> Image:
        """See `Embedder.align`: the badge below the face, 112 × 112, its code 70 pixels wide."""
        scale = _CROP_BADGE / BADGE_SIDE
        template = (FACE_POINTS - np.array(BADGE_CENTRE, np.float32)) * scale + _CROP_SIDE / 2
        return align(image, landmarks, template.astype(np.float32), _CROP_SIDE)

    def embed(self, aligned: Image) -> Embedding:
        """See `Embedder.embed`. Raises `UselessEmbedding` when no badge can be read."""
        numbers = [code.number for code in _read(self._codes, aligned) if code.number < PEOPLE]
        if len(numbers) != 1:
            raise UselessEmbedding(f"{len(numbers)} badges can be read, not one")
        digest = hashlib.sha256(np.ascontiguousarray(aligned).tobytes()).digest()
        noise = np.random.default_rng(int.from_bytes(digest[:8], "little")).standard_normal(DIMENSION)
        return unit(_direction(numbers[0]) + _NOISE * noise / np.linalg.norm(noise))


def load() -> Models:
    """The demo's detector and embedder, for wherever `manifest.load` would open real ones."""
    return Models(DemoDetector(), DemoEmbedder(), MATCH_THRESHOLD, ("demo",))


def picture_of_code(number: int, side: int) -> NDArray[np.uint8]:
    """A code as `side` × `side` grey pixels, 0 or 255. For the demo's artist, who sets it on white.

    Raises ValueError for a number that is no code's.
    """
    if not 0 <= number <= FRAME_MARK:
        raise ValueError(f"there is no code {number}")
    return np.asarray(cv2.aruco.generateImageMarker(_CODES, number, side), np.uint8)


def _reader() -> cv2.aruco.ArucoDetector:
    parameters = cv2.aruco.DetectorParameters()
    # A code's own outline and that of the white card around it are candidates a fifth of a side apart. OpenCV's default
    # takes the two for one and then may keep the card, which says nothing.
    parameters.minMarkerDistanceRate = 0.05
    return cv2.aruco.ArucoDetector(_CODES, parameters)


def _read(codes: cv2.aruco.ArucoDetector, image: Image) -> list[_Code]:
    corners, numbers, _ = codes.detectMarkers(image)
    # OpenCV answers None, not an empty array, when it reads no code.
    found = [int(number) for number in np.asarray(numbers).reshape(-1)] if corners else []
    # By number: nobody wears two codes, and one code may be found twice, by its outer and its inner edge.
    read = {
        number: _Code(number, np.asarray(quad, np.float32).reshape(4, 2))
        for number, quad in zip(found, corners, strict=True)
    }
    return list(read.values())


def _in_its_corner(code: _Code, width: int, height: int) -> bool:
    x, y = code.centre
    slack = _INSET_SLACK * height
    return (
        abs(width - x - FRAME_MARK_INSET * height) <= slack
        and abs(height - y - FRAME_MARK_INSET * height) <= slack
        and abs(float(np.ptp(code.corners[:, 1])) - FRAME_MARK_SIDE * height) <= slack
    )


def _badge_corners() -> NDArray[np.float32]:
    x, y = BADGE_CENTRE
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    return np.array([x, y], np.float32) + square * np.float32(BADGE_SIDE / 2)


def _direction(number: int) -> NDArray[np.float64]:
    """Row number + 1 of the Hadamard matrix of order 512, at norm 1: any two are orthogonal, on every machine."""
    row = number + 1
    length = float(DIMENSION) ** -0.5
    return np.array(
        [length if (row & column).bit_count() % 2 == 0 else -length for column in range(DIMENSION)], np.float64
    )
