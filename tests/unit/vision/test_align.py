"""Alignment puts five points where the models expect them."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.align import ARCFACE_TEMPLATE, DegenerateLandmarks, align, similarity


def _moved(angle: float, scale: float, dx: float, dy: float) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(ARCFACE_TEMPLATE @ turn.T * scale + np.array([dx, dy]), np.float32)


@given(st.floats(-3.0, 3.0), st.floats(0.3, 8.0), st.floats(-500.0, 500.0), st.floats(-500.0, 500.0))
def test_a_turned_scaled_and_shifted_face_is_carried_back_exactly(
    angle: float, scale: float, dx: float, dy: float
) -> None:
    source = _moved(angle, scale, dx, dy)
    matrix = similarity(source, ARCFACE_TEMPLATE)
    carried = source @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(carried - ARCFACE_TEMPLATE).max() < 0.05


def test_the_transform_never_mirrors_a_face() -> None:
    mirrored = ARCFACE_TEMPLATE * np.array([-1, 1], np.float32)
    matrix = similarity(mirrored, ARCFACE_TEMPLATE)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_no_similarity_lies_nearer_than_the_one_found() -> None:
    chance = np.random.default_rng(5)
    source = (ARCFACE_TEMPLATE + chance.normal(0, 4, (5, 2))).astype(np.float32)
    best = similarity(source, ARCFACE_TEMPLATE)

    def error(matrix: np.ndarray) -> float:
        return float(np.sum((source @ matrix[:, :2].T + matrix[:, 2] - ARCFACE_TEMPLATE) ** 2))

    for _ in range(200):
        a, b = chance.normal(0, 0.02, 2)
        other = best + np.array([[a, -b, chance.normal(0, 0.5)], [b, a, chance.normal(0, 0.5)]])
        assert error(best) <= error(other) + 1e-6


def test_the_aligned_picture_shows_the_landmarks_at_the_template() -> None:
    picture = np.zeros((400, 500, 3), np.uint8)
    points = _moved(0.4, 2.5, 200, 60)
    for x, y in points:
        cv2.circle(picture, (round(float(x)), round(float(y))), 4, (255, 255, 255), -1)
    aligned = align(picture, points)
    assert aligned.shape == (112, 112, 3)
    for x, y in ARCFACE_TEMPLATE:
        assert aligned[round(float(y)), round(float(x))].min() > 200


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.full((5, 2), np.inf)])
def test_landmarks_that_tell_no_direction_are_refused(points: np.ndarray) -> None:
    with pytest.raises(DegenerateLandmarks):
        similarity(points.astype(np.float32), ARCFACE_TEMPLATE)
