"""Pixels → faces, in two steps that cost differently: finding (every frame) and describing (only the best shots)."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from vision.align import DegenerateLandmarks
from vision.detect import Box, Detection, Detector, Image, Landmarks, check_image
from vision.embed import Embedder, Embedding
from vision.quality import FaceQuality, assess

SECOND_FACE_SHARE: Final = 0.35
"""A bystander whose box's side is below this share of the largest face's does not make a portrait ambiguous."""

PORTRAIT_SIDES: Final = (1280, 640, 320)
"""Pixels of the longer side at which a portrait is searched in turn: a face that fills a large photo is beyond a
detector's largest anchor, and shows only in a smaller one."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face of one frame, with the crop that an embedder wants: the frame itself may be let go."""

    detection: Detection
    quality: FaceQuality
    aligned: Image

    @property
    def box(self) -> Box:
        """In pixels of the frame."""
        return self.detection.box

    @property
    def landmarks(self) -> Landmarks:
        """In pixels of the frame."""
        return self.detection.landmarks


class NoFace(ValueError):  # noqa: N818
    """The picture shows no face."""


class SeveralFaces(ValueError):  # noqa: N818
    """The picture shows more than one face of similar size: whose is meant?"""

    def __init__(self, count: int) -> None:
        """`count`: the faces of similar size."""
        super().__init__(f"{count} faces of similar size; one was expected")
        self.count = count


class FaceAnalyser:
    """A detector and an embedder at work together. One per thread: neither is safe to share."""

    def __init__(self, detector: Detector, embedder: Embedder) -> None:
        """Takes what `vision.manifest.load` or `vision.demo.load` made."""
        self._detector = detector
        self._embedder = embedder

    @property
    def space(self) -> str:
        """The embedding space of what `embed` answers."""
        return self._embedder.space

    def analyse(self, frame: Image) -> list[Face]:
        """The faces of a frame (H×W×3 BGR), best score first, without their embeddings.

        Raises `NotAnImageArray`; with demo vision also `NotADemoFilm`.
        """
        return [face for detection in self._detector.detect(frame) if (face := self._face(frame, detection))]

    def embed(self, face: Face) -> Embedding:
        """The embedding of one face: 512 float32, norm 1. Raises `UselessEmbedding`."""
        return self._embedder.embed(face.aligned)

    def single_face(self, picture: Image) -> Face:
        """The one face of a portrait, in the portrait's own pixels.

        Raises `NoFace`, `SeveralFaces`, `NotAnImageArray`; with demo vision also `NotADemoFilm`. The picture comes
        decoded: whoever reads it from outside checks its size in bytes and pixels before decoding.
        """
        check_image(picture)
        largest = max(picture.shape[:2])
        for side in [largest, *(side for side in PORTRAIT_SIDES if side < largest)]:
            scale = side / largest
            faces = self.analyse(picture if scale == 1.0 else _scaled(picture, scale))
            if not faces:
                continue
            biggest = max(faces, key=lambda face: face.box.short_side)
            rivals = sum(face.box.short_side >= SECOND_FACE_SHARE * biggest.box.short_side for face in faces)
            if rivals > 1:
                raise SeveralFaces(rivals)
            return biggest if scale == 1.0 else self._full_size(picture, biggest, scale)
        raise NoFace("no face found in the picture")

    def _full_size(self, picture: Image, face: Face, scale: float) -> Face:
        box, points = face.box, face.landmarks / np.float32(scale)
        detection = Detection(
            Box(box.left / scale, box.top / scale, box.width / scale, box.height / scale),
            face.detection.score,
            points.astype(np.float32),
        )
        return self._face(picture, detection) or face

    def _face(self, frame: Image, detection: Detection) -> Face | None:
        try:
            return Face(detection, assess(frame, detection), self._embedder.align(frame, detection.landmarks))
        except DegenerateLandmarks:
            # A false positive on a texture now and then has all its points in one place; it is no face.
            return None


def _scaled(picture: Image, scale: float) -> Image:
    height, width = picture.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
