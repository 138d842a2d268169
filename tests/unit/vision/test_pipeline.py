"""Finding and describing are separate; a portrait has exactly one face."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.support.pictures import scaled
from vision.align import ARCFACE_TEMPLATE, align
from vision.detect import Box, Detection, Image, Landmarks, NotAnImageArray
from vision.embed import Embedding, unit
from vision.pipeline import FaceAnalyser, NoFace, SeveralFaces

FRAME = np.random.default_rng(3).integers(40, 220, (600, 800, 3), dtype=np.uint8)


@dataclass
class _Detector:
    """Answers given faces, for pictures at most `up_to` pixels long: as one whose largest anchor is limited."""

    faces: list[Detection]
    up_to: int = 10_000
    asked: list[tuple[int, ...]] = field(default_factory=list)

    def detect(self, image: Image) -> list[Detection]:
        self.asked.append(image.shape)
        return self.faces if max(image.shape) <= self.up_to else []


@dataclass
class _Embedder:
    space: str = "test@1"
    calls: int = 0

    def align(self, image: Image, landmarks: Landmarks) -> Image:
        return align(image, landmarks)

    def embed(self, aligned: Image) -> Embedding:
        self.calls += 1
        return unit(aligned.reshape(-1)[:512].astype(np.float64) + 1)


def _face(left: float, top: float, width: float = 100) -> Detection:
    points = ARCFACE_TEMPLATE * np.float32(width / 112) + np.array([left, top], np.float32)
    return Detection(Box(left, top, width, width * 1.2), 0.9, points.astype(np.float32))


def test_analysing_describes_nobody_yet() -> None:
    embedder = _Embedder()
    analyser = FaceAnalyser(_Detector([_face(100, 100), _face(400, 200)]), embedder)
    one, _ = analyser.analyse(FRAME)
    assert embedder.calls == 0
    assert np.linalg.norm(analyser.embed(one)) == pytest.approx(1.0, abs=1e-6)
    assert embedder.calls == 1
    assert analyser.space == "test@1"


def test_a_face_outlives_its_frame() -> None:
    frame = FRAME.copy()
    analyser = FaceAnalyser(_Detector([_face(100, 100)]), _Embedder())
    (face,) = analyser.analyse(frame)
    before = analyser.embed(face)
    frame[:] = 0
    assert (analyser.embed(face) == before).all()


def test_a_detection_without_a_shape_is_no_face() -> None:
    collapsed = Detection(Box(0, 0, 50, 50), 0.7, np.full((5, 2), 30, np.float32))
    analyser = FaceAnalyser(_Detector([collapsed, _face(100, 100)]), _Embedder())
    assert len(analyser.analyse(FRAME)) == 1


def test_a_portrait_without_a_face_is_refused() -> None:
    with pytest.raises(NoFace):
        FaceAnalyser(_Detector([]), _Embedder()).single_face(FRAME)


def test_a_portrait_of_two_is_refused_with_their_number() -> None:
    analyser = FaceAnalyser(_Detector([_face(100, 100), _face(400, 200, 80)]), _Embedder())
    with pytest.raises(SeveralFaces) as refusal:
        analyser.single_face(FRAME)
    assert refusal.value.count == 2


def test_a_small_bystander_does_not_spoil_a_portrait() -> None:
    analyser = FaceAnalyser(_Detector([_face(10, 10, 20), _face(300, 200, 200)]), _Embedder())
    assert analyser.single_face(FRAME).box.width == 200


def test_a_face_too_large_to_find_is_found_in_a_smaller_copy() -> None:
    detector = _Detector([_face(100, 80, 120)], up_to=640)
    picture = scaled(FRAME, 4.0)
    face = FaceAnalyser(detector, _Embedder()).single_face(picture)
    assert [max(shape) for shape in detector.asked] == [3200, 1280, 640]
    # Its place is told in the pixels of the portrait as it came.
    assert (face.box.left, face.box.top, face.box.width) == (500, 400, 600)
    assert face.quality.face_pixels == 600


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(NotAnImageArray):
        FaceAnalyser(_Detector([]), _Embedder()).single_face(np.zeros((10, 10), np.uint8))
