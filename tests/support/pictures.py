"""Pictures for tests of what sees: typed reading and changing, and where weights and photographs lie."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from vision.detect import Image


def _folder(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"needs {what}: set {variable} to their folder")
    return Path(value)


@pytest.fixture(scope="session")
def models_folder() -> Path:
    """A folder with the default models' weights."""
    return _folder("FOOTFALL_MODELS", "model weights")


@pytest.fixture(scope="session")
def faces_folder() -> Path:
    """A folder with images/, groups/, labels.csv and pairs.csv."""
    return _folder("FOOTFALL_FACES", "labelled photographs")


def photo(path: Path) -> Image:
    """A file's picture, H × W × 3 BGR."""
    return decoded(path.read_bytes())


def decoded(body: bytes) -> Image:
    """The picture of encoded bytes, H × W × 3 BGR."""
    picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None, "no picture"
    return np.asarray(picture, np.uint8)


def as_jpeg(picture: Image, quality: int) -> Image:
    """The picture as it comes out of a JPEG of the given quality (0…100)."""
    ok, body = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return decoded(body.tobytes())


def scaled(picture: Image, factor: float) -> Image:
    """The picture `factor` times as large."""
    return np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)


def blurred(picture: Image, sigma: float) -> Image:
    """The picture under a Gaussian blur of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


def frames_of(film: Path) -> list[Image]:
    """Every frame of a film."""
    capture = cv2.VideoCapture(str(film))
    frames: list[Image] = []
    try:
        while True:
            ok, picture = capture.read()
            if not ok:
                return frames
            frames.append(np.asarray(picture, np.uint8))
    finally:
        capture.release()
