"""How much a picture of a face can be trusted, as one figure from 0 (useless) to 1 (a passport photo).

Four measures, each 0…1, are joined by a weighted geometric mean: a face that fails one of them wholly cannot be
rescued by the others, as no arithmetic mean would ensure. The figure ranks the shots of one track against each other
and gates enrolment; it does not predict the error rate of a model.
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from vision.align import ARCFACE_SIDE, align
from vision.detect import Box, Detection, Image, Landmarks

SMALLEST_USEFUL: Final = 20.0
"""Pixels of the box's shorter side below which nothing is recognised."""
LARGE_ENOUGH: Final = 112.0
"""Pixels: the embedders' own input size; more adds nothing."""

BLURRED: Final = 10.0
"""Variance of the Laplacian of an aligned 112 × 112 face that shows no detail."""
SHARP: Final = 300.0
"""The same of a well-focused one."""

DARK, DIM, BRIGHT, GLARING = 20.0, 70.0, 190.0, 250.0
"""Mean luma 0…255 of the face: useless below DARK and above GLARING, best from DIM to BRIGHT."""

PROFILE_DEGREES: Final = 60.0
"""Yaw at which the pose measure reaches its floor: the far eye is hidden beyond it."""

NOSE_DEPTH: Final = 0.62
"""How far the nose tip stands out before the eyes, in eye distances: anthropometric mean (about 40 mm of 64 mm)."""

WEIGHTS: Final = {"size": 0.25, "sharpness": 0.25, "pose": 0.35, "brightness": 0.15}
"""Exponents of the geometric mean; pose leads, because a turned head costs an embedder most."""

CROP_MARGIN: Final = 0.2
"""An aligned crop is wider than a detector's box by this share of it on either side. What lies beyond the frame is
black in the crop, and two people who leave the picture at the same edge grow alike."""

FLOOR: Final = 0.01
"""No measure falls lower, so that two poor faces can still be ranked."""


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """What was measured about one face."""

    detection_score: float
    """The detector's confidence, 0…1."""
    overall: float
    """0…1, see above."""
    face_pixels: int
    """The shorter side of the box, pixels of the source frame."""
    yaw_degrees: float
    """Head turned towards the picture's left (negative) or right. An estimate from five points, good to about 10°."""
    size: float
    sharpness: float
    pose: float
    brightness: float
    whole: float
    """The share of the face's crop that lies inside the frame; it multiplies the mean of the four others."""


def assess(image: Image, detection: Detection) -> FaceQuality:
    """Measures one face in its frame. Raises `DegenerateLandmarks`."""
    face = np.asarray(cv2.cvtColor(align(image, detection.landmarks), cv2.COLOR_BGR2GRAY), np.uint8)
    yaw = yaw_degrees(detection.landmarks)
    height, width = image.shape[:2]
    measures = {
        "size": size_measure(detection.box.short_side),
        "sharpness": sharpness_measure(face),
        "pose": pose_measure(yaw, pitch_offset(detection.landmarks)),
        "brightness": brightness_measure(float(_inner(face).mean())),
    }
    overall = math.exp(sum(weight * math.log(max(measures[name], FLOOR)) for name, weight in WEIGHTS.items()))
    # A face at the frame's edge is another face to an embedder, however sharp it is.
    whole = visible_share(detection.box, width, height)
    return FaceQuality(
        detection_score=detection.score,
        overall=min(1.0, overall) * whole,
        face_pixels=round(detection.box.short_side),
        yaw_degrees=yaw,
        whole=whole,
        **measures,
    )


def size_measure(short_side: float) -> float:
    """0 at 20 px, 1 at 112 px and above, logarithmic between: each doubling is worth the same."""
    return _ramp(math.log(max(short_side, 1.0)), math.log(SMALLEST_USEFUL), math.log(LARGE_ENOUGH))


def visible_share(box: Box, width: int, height: int) -> float:
    """How much of what an embedder wants to see of a face lies inside a frame of `width` × `height` pixels, 0…1."""
    side = CROP_MARGIN * box.width
    wanted = Box(box.left - side, box.top, box.width + 2 * side, box.height)
    inside = wanted.clipped(width, height)
    return min(1.0, inside.width * inside.height / max(wanted.width * wanted.height, 1e-6))


def sharpness_measure(face: Image) -> float:
    """From the variance of the Laplacian (Pech-Pacheco et al. 2000) of the inner, aligned grey face, on a log scale.

    Aligned first, so that the same blur in the world measures the same at every distance; an upscaled small face
    measures as blurred, which it is. Divided by the contrast, so that dim light is not taken for blur.
    """
    inner = _inner(face)
    contrast = float(inner.std())
    if contrast < 1.0:
        return 0.0
    variance = float(cv2.Laplacian(inner, cv2.CV_64F).var()) * (40.0 / max(contrast, 10.0)) ** 2
    return _ramp(math.log(max(variance, 1e-3)), math.log(BLURRED), math.log(SHARP))


def pose_measure(yaw: float, pitch: float) -> float:
    """1 for a face that looks at the camera; falls with the cosine of the yaw and with the pitch offset."""
    sideways = _ramp(math.cos(math.radians(min(abs(yaw), 90.0))), math.cos(math.radians(PROFILE_DEGREES)), 1.0)
    return sideways * (1.0 - _ramp(abs(pitch), 0.12, 0.45))


def brightness_measure(luma: float) -> float:
    """1 between DIM and BRIGHT, linear down to 0 at DARK and GLARING."""
    return min(_ramp(luma, DARK, DIM), 1.0 - _ramp(luma, BRIGHT, GLARING))


def yaw_degrees(landmarks: Landmarks) -> float:
    """From how far the nose tip lies off the middle of the eyes, along the line of the eyes; 0 for a frontal face.

    The nose tip stands NOSE_DEPTH eye distances before the eyes: turned by θ it moves sideways by depth · sin θ, while
    the eye distance shrinks to cos θ; hence tan θ = offset ÷ (distance · depth).
    """
    right, left, nose = (landmarks[index].astype(np.float64) for index in range(3))
    across = left - right
    distance = float(np.linalg.norm(across))
    if distance < 1e-3:
        return 90.0
    offset = float(np.dot(nose - (right + left) / 2, across / distance))
    return math.degrees(math.atan2(offset, distance * NOSE_DEPTH))


def pitch_offset(landmarks: Landmarks) -> float:
    """How far the nose lies from its usual place between eyes (0) and mouth (1): 0 when level, positive downwards."""
    eyes, mouth = landmarks[:2].astype(np.float64).mean(axis=0), landmarks[3:].astype(np.float64).mean(axis=0)
    down = mouth - eyes
    height = float(np.dot(down, down))
    if height < 1e-6:
        return 1.0
    return float(np.dot(landmarks[2] - eyes, down)) / height - 0.5


def _inner(face: Image) -> Image:
    """The aligned face without hair and background."""
    margin = ARCFACE_SIDE // 5
    return face[margin : ARCFACE_SIDE - margin // 2, margin : ARCFACE_SIDE - margin]


def _ramp(value: float, low: float, high: float) -> float:
    """0 at `low` and below, 1 at `high` and above, linear between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))
