"""Turns a face upright and to a fixed size, as the embedders saw faces when they were trained."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.detect import Image, Landmarks

ARCFACE_SIDE: Final = 112
"""Width and height of an aligned face, pixels."""

ARCFACE_TEMPLATE: Final[Landmarks] = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
"""Where ArcFace-type models expect the five points in 112 × 112 (Deng et al. 2019, from the insightface project)."""


class DegenerateLandmarks(ValueError):  # noqa: N818
    """The five points coincide or are not finite: no transform follows from them."""


def similarity(source: Landmarks, target: Landmarks) -> NDArray[np.float64]:
    """The 2×3 matrix of the rotation, uniform scale and shift that carry `source` nearest to `target`.

    Least squares over all points, without reflection (Umeyama 1991). In the plane a similarity is z ↦ a·z + b over the
    complex numbers, so it is one line of linear regression. Not `cv2.estimateAffinePartial2D`: its RANSAC or LMedS may
    discard some of only five points, and the models were trained on the plain least-squares fit.
    Raises `DegenerateLandmarks`.
    """
    if not np.isfinite(source).all():
        raise DegenerateLandmarks("the landmarks are not finite")
    p = source[:, 0].astype(np.float64) + 1j * source[:, 1]
    q = target[:, 0].astype(np.float64) + 1j * target[:, 1]
    spread = p - p.mean()
    energy = float(np.sum(np.abs(spread) ** 2))
    if energy < 1e-6:
        raise DegenerateLandmarks("the landmarks coincide")
    a = complex(np.sum(np.conj(spread) * (q - q.mean())) / energy)
    b = complex(q.mean() - a * p.mean())
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]], np.float64)


def align(
    image: Image, landmarks: Landmarks, template: Landmarks = ARCFACE_TEMPLATE, side: int = ARCFACE_SIDE
) -> Image:
    """The face as `side` × `side` × 3 BGR with its landmarks at `template`; black where it leaves the frame.

    Raises `DegenerateLandmarks`.
    """
    matrix = similarity(landmarks, template)
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR), np.uint8)
