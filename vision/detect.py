"""Where the faces are: two detectors behind one Protocol.

Both run on onnxruntime with a dynamic input size, because a camera's frame is seldom 640×640 and onnxruntime is three
times as fast as OpenCV's own DNN module on the same weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.inference import ModelSource, Session, open_session

Image = NDArray[np.uint8]
"""Height × width × 3, BGR, 0…255: what OpenCV decodes."""

Landmarks = NDArray[np.float32]
"""5 × 2 pixels (x, y): right eye, left eye, nose tip, right mouth corner, left mouth corner.

"Right" is the person's right, which is on the left of the picture.
"""

DEFAULT_SCORE: Final = 0.6
"""Detector confidence that a face must reach. YuNet finds 96 % of faces of 32 px at 0.6–0.7 and loses most at 0.9."""

DEFAULT_OVERLAP: Final = 0.3
"""Two boxes whose intersection over union is above this are one face."""

DEFAULT_LONG_SIDE: Final = 1280
"""Pixels. A larger frame is scaled down for detection: the cost grows with the area, and a face of 32 px in 1280 is
already too small to recognise."""

MAX_CANDIDATES: Final = 2000
"""Boxes that go into non-maximum suppression: a bound on its quadratic cost for an adversarial picture."""


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle in pixels of the frame; it may reach beyond the frame's edges."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Right edge, pixels."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Bottom edge, pixels."""
        return self.top + self.height

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y), pixels."""
        return self.left + self.width / 2, self.top + self.height / 2

    @property
    def short_side(self) -> float:
        """The smaller of width and height, pixels."""
        return min(self.width, self.height)

    def overlap(self, other: "Box") -> float:
        """Intersection over union with another box, 0…1."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        return shared / (self.width * self.height + other.width * other.height - shared)

    def clipped(self, width: int, height: int) -> "Box":
        """This box cut to a frame of `width` × `height` pixels; of zero size when it lies outside."""
        left, top = min(max(self.left, 0.0), width), min(max(self.top, 0.0), height)
        right, bottom = min(max(self.right, left), width), min(max(self.bottom, top), height)
        return Box(left, top, right - left, bottom - top)


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One face that a detector found, in pixels of the frame it was given."""

    box: Box
    score: float
    """The detector's confidence, 0…1."""
    landmarks: Landmarks


class Detector(Protocol):
    """Finds faces. Safe to call from one thread at a time; give each thread its own."""

    def detect(self, image: Image) -> list[Detection]:
        """The faces of one picture, best score first. Raises `NotAnImageArray` for anything but H×W×3 uint8."""
        ...


class NotAnImageArray(ValueError):  # noqa: N818  what it is reads better than "Error"
    """The array handed in is not a BGR picture."""


class YuNet:
    """YuNet (Wu, Peng, Yu 2023), the variant with dynamic height and width.

    For each stride s of 8, 16, 32 the graph answers, per cell (column c, row r): `cls` and `obj` in 0…1, `bbox`
    (dx, dy, log w, log h) and five `kps` (dx, dy), all in units of s. The confidence is √(cls·obj).
    """

    _STRIDES: Final = (8, 16, 32)
    _MULTIPLE: Final = 32

    def __init__(
        self,
        model: ModelSource,
        *,
        score: float = DEFAULT_SCORE,
        overlap: float = DEFAULT_OVERLAP,
        long_side: int = DEFAULT_LONG_SIDE,
        provider: str = "cpu",
    ) -> None:
        """`model`: the ONNX file or its bytes. Raises what `open_session` raises."""
        self._session: Session = open_session(model, provider)
        self._outputs = [f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in self._STRIDES]
        self._score, self._overlap, self._long_side = score, overlap, long_side

    def detect(self, image: Image) -> list[Detection]:
        """See `Detector.detect`."""
        canvas, scale = _fit(image, self._long_side, self._MULTIPLE)
        tensor = canvas.transpose(2, 0, 1)[np.newaxis].astype(np.float32)
        raw = dict(zip(self._outputs, self._session.run(self._outputs, {"input": tensor}), strict=True))
        boxes, points, scores = [], [], []
        for stride in self._STRIDES:
            confidence = np.sqrt(
                np.clip(raw[f"cls_{stride}"][0, :, 0], 0, 1) * np.clip(raw[f"obj_{stride}"][0, :, 0], 0, 1)
            )
            (cells,) = np.nonzero(confidence >= self._score)
            if not cells.size:
                continue
            corner = _cells(cells, canvas.shape[1] // stride)
            offsets = raw[f"bbox_{stride}"][0, cells]
            size = np.exp(offsets[:, 2:4]) * stride
            centre = (corner + offsets[:, :2]) * stride
            boxes.append(np.hstack([centre - size / 2, size]))
            points.append((raw[f"kps_{stride}"][0, cells].reshape(-1, 5, 2) + corner[:, np.newaxis]) * stride)
            scores.append(confidence[cells])
        return _strongest(boxes, points, scores, self._overlap, scale)


class Scrfd:
    """SCRFD (Guo et al. 2021) with key points, as InsightFace exports it: nine outputs, two anchors per cell.

    For each stride the graph answers scores, distances from the anchor to the four sides and to the five points, in
    units of the stride; the outputs come as three scores, three boxes, three sets of points.
    """

    _STRIDES: Final = (8, 16, 32)
    _ANCHORS: Final = 2
    _MULTIPLE: Final = 32

    def __init__(
        self,
        model: ModelSource,
        *,
        score: float = 0.5,
        overlap: float = 0.4,
        long_side: int = DEFAULT_LONG_SIDE,
        provider: str = "cpu",
    ) -> None:
        """`model`: the ONNX file or its bytes. Raises what `open_session` raises."""
        self._session: Session = open_session(model, provider)
        self._input = self._session.input_name
        self._score, self._overlap, self._long_side = score, overlap, long_side

    def detect(self, image: Image) -> list[Detection]:
        """See `Detector.detect`."""
        canvas, scale = _fit(image, self._long_side, self._MULTIPLE)
        tensor = (canvas[:, :, ::-1].transpose(2, 0, 1)[np.newaxis].astype(np.float32) - 127.5) / 128.0
        raw = self._session.run(None, {self._input: np.ascontiguousarray(tensor)})
        boxes, points, scores = [], [], []
        for level, stride in enumerate(self._STRIDES):
            confidence = raw[level].reshape(-1)
            (anchors,) = np.nonzero(confidence >= self._score)
            if not anchors.size:
                continue
            anchor = _cells(anchors // self._ANCHORS, canvas.shape[1] // stride) * stride
            sides = raw[level + 3].reshape(-1, 4)[anchors] * stride
            boxes.append(np.hstack([anchor - sides[:, :2], sides[:, :2] + sides[:, 2:]]))
            points.append(raw[level + 6].reshape(-1, 5, 2)[anchors] * stride + anchor[:, np.newaxis])
            scores.append(confidence[anchors])
        return _strongest(boxes, points, scores, self._overlap, scale)


def check_image(image: Image) -> None:
    """Raises `NotAnImageArray` unless the array is a non-empty H×W×3 uint8."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise NotAnImageArray(f"expected height × width × 3 of uint8, got {image.shape} of {image.dtype}")


def _fit(image: Image, long_side: int, multiple: int) -> tuple[Image, float]:
    """The picture at most `long_side` long, padded right and below with black to a multiple; and its scale (≤ 1)."""
    check_image(image)
    height, width = image.shape[:2]
    scale = min(1.0, long_side / max(height, width))
    if scale < 1.0:
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    canvas = np.zeros((-(-height // multiple) * multiple, -(-width // multiple) * multiple, 3), np.uint8)
    canvas[:height, :width] = image
    return canvas, scale


def _cells(indices: NDArray[np.intp], columns: int) -> NDArray[np.float32]:
    """(column, row) of each cell index of a grid read row by row."""
    return np.stack([indices % columns, indices // columns], axis=1).astype(np.float32)


def _strongest(
    boxes: Sequence[NDArray[np.float32]],
    points: Sequence[NDArray[np.float32]],
    scores: Sequence[NDArray[np.float32]],
    overlap: float,
    scale: float,
) -> list[Detection]:
    """Non-maximum suppression over all strides, then back to the pixels of the frame; best score first."""
    if not boxes:
        return []
    all_boxes, all_points, all_scores = np.vstack(boxes), np.vstack(points), np.concatenate(scores)
    best = np.argsort(-all_scores, kind="stable")[:MAX_CANDIDATES]
    all_boxes, all_points, all_scores = all_boxes[best] / scale, all_points[best] / scale, all_scores[best]
    kept = cv2.dnn.NMSBoxes(all_boxes.astype(np.float64).tolist(), all_scores.tolist(), 0.0, overlap)
    return [
        Detection(
            box=Box(*(float(side) for side in all_boxes[index])),
            score=float(min(all_scores[index], 1.0)),
            landmarks=np.asarray(all_points[index], np.float32),
        )
        for index in np.asarray(kept, np.intp).reshape(-1)
    ]
