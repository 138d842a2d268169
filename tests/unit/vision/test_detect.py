"""Detectors decode their graphs as published, at any size of picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.pictures import photo
from vision.detect import Box, NotAnImageArray, Scrfd, YuNet


class _YuNetGraph:
    """Answers one face in one cell of stride 16, whatever it is shown; remembers the input's shape."""

    input_name = "input"

    def __init__(self, row: int, column: int) -> None:
        self.row, self.column = row, column
        self.shapes: list[tuple[int, ...]] = []

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        tensor = inputs["input"]
        self.shapes.append(tensor.shape)
        height, width = tensor.shape[2:]
        answer = {}
        for stride in (8, 16, 32):
            cells = (height // stride) * (width // stride)
            for part, size in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
                answer[f"{part}_{stride}"] = np.zeros((1, cells, size), np.float32)
        cell = self.row * (width // 16) + self.column
        answer["cls_16"][0, cell], answer["obj_16"][0, cell] = 0.81, 1.0
        answer["bbox_16"][0, cell] = [0.5, 0.25, np.log(4.0), np.log(5.0)]
        answer["kps_16"][0, cell] = np.arange(10) / 10
        return [answer[name] for name in outputs]


def _yunet(monkeypatch: pytest.MonkeyPatch, graph: _YuNetGraph, **settings: float) -> YuNet:
    monkeypatch.setattr("vision.detect.open_session", lambda *_: graph)
    return YuNet(b"", **settings)  # type: ignore[arg-type]


def test_yunet_is_decoded_as_its_authors_decode_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = _yunet(monkeypatch, _YuNetGraph(row=3, column=5)).detect(np.zeros((240, 320, 3), np.uint8))
    assert found.score == pytest.approx(0.9)
    # Centre (5 + 0.5, 3 + 0.25) · 16, size (4, 5) · 16.
    assert found.box.centre == pytest.approx((88.0, 52.0), abs=1e-3)
    assert (found.box.width, found.box.height) == pytest.approx((64.0, 80.0), abs=1e-3)
    assert found.landmarks[0] == pytest.approx([(5 + 0.0) * 16, (3 + 0.1) * 16])
    assert found.landmarks[4] == pytest.approx([(5 + 0.8) * 16, (3 + 0.9) * 16])


def test_a_picture_is_padded_to_multiples_of_32_and_not_stretched(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = _YuNetGraph(1, 1)
    _yunet(monkeypatch, graph).detect(np.zeros((250, 251, 3), np.uint8))
    assert graph.shapes == [(1, 3, 256, 256)]


def test_a_large_picture_is_scaled_down_and_its_boxes_back_up(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = _YuNetGraph(row=3, column=5)
    (found,) = _yunet(monkeypatch, graph, long_side=640).detect(np.zeros((1440, 2560, 3), np.uint8))
    assert graph.shapes == [(1, 3, 384, 640)]
    assert found.box.centre == pytest.approx((88.0 * 4, 52.0 * 4), abs=1e-2)
    assert found.box.width == pytest.approx(64.0 * 4, abs=1e-2)


def test_a_score_below_the_threshold_is_no_face(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.zeros((240, 320, 3), np.uint8)
    assert _yunet(monkeypatch, _YuNetGraph(3, 5), score=0.91).detect(picture) == []


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((0, 10, 3), np.uint8),
        np.zeros((9, 9, 3)),
    ],
    ids=["grey", "with alpha", "empty", "float"],
)
def test_what_is_no_picture_is_refused(monkeypatch: pytest.MonkeyPatch, array: np.ndarray) -> None:
    with pytest.raises(NotAnImageArray):
        _yunet(monkeypatch, _YuNetGraph(1, 1)).detect(array)


def test_boxes_overlap_by_their_shared_area() -> None:
    box = Box(0, 0, 10, 10)
    assert box.overlap(Box(0, 0, 10, 10)) == 1.0
    assert box.overlap(Box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert box.overlap(Box(10, 0, 10, 10)) == 0.0


def test_a_box_is_clipped_to_its_frame() -> None:
    assert Box(-5, -5, 20, 20).clipped(10, 8) == Box(0, 0, 10, 8)
    assert Box(50, 50, 20, 20).clipped(10, 10).short_side == 0.0


def test_yunet_on_onnxruntime_finds_what_opencv_finds(models_folder: Path, faces_folder: Path) -> None:
    fixed = models_folder / "face_detection_yunet_2023mar.onnx"
    if not fixed.is_file():
        pytest.skip("needs face_detection_yunet_2023mar.onnx, the same weights in OpenCV's fixed graph")
    ours = YuNet(models_folder / "yunet_s_dynamic.onnx", long_side=4000)
    compared = 0
    for path in sorted((faces_folder / "groups").glob("*.jpg"))[3:9]:
        picture = photo(path)
        # OpenCV pads to 32 as we do, so any size may be compared.
        theirs = cv2.FaceDetectorYN.create(str(fixed), "", (picture.shape[1], picture.shape[0]), 0.6, 0.3)
        _, rows = theirs.detect(picture)
        expected = sorted(np.asarray(rows, np.float64).reshape(-1, 15).tolist(), key=lambda row: -row[14])
        found = ours.detect(picture)
        assert len(found) == len(expected)
        for mine, row in zip(found, expected, strict=True):
            assert mine.score == pytest.approx(row[14], abs=1e-3)
            box = (mine.box.left, mine.box.top, mine.box.width, mine.box.height)
            assert box == pytest.approx(row[:4], abs=0.05)
            assert mine.landmarks.reshape(-1) == pytest.approx(row[4:14], abs=0.05)
            compared += 1
    assert compared >= 10


def test_two_detectors_agree_about_where_a_portrait_s_face_is(models_folder: Path, faces_folder: Path) -> None:
    weights = models_folder / "det_500m.onnx"
    if not weights.is_file():
        pytest.skip("needs det_500m.onnx (SCRFD)")
    yunet, scrfd = YuNet(models_folder / "yunet_s_dynamic.onnx"), Scrfd(weights)
    for path in sorted((faces_folder / "images").glob("*/*_0001.jpg"))[:10]:
        picture = photo(path)
        one, other = yunet.detect(picture)[0], scrfd.detect(picture)[0]
        assert one.box.overlap(other.box) > 0.55
        assert np.abs(one.landmarks - other.landmarks).max() < 0.15 * one.box.width
