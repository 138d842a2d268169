"""Quality falls with everything that makes a face hard to recognise."""

from dataclasses import replace

import numpy as np
import pytest

from stack.demo.cast import CAST
from stack.demo.films import staff_photos
from tests.support.pictures import blurred, decoded, scaled
from vision.align import ARCFACE_TEMPLATE
from vision.demo import DemoDetector
from vision.detect import Box, Detection, Image
from vision.quality import assess, brightness_measure, pitch_offset, pose_measure, size_measure, yaw_degrees


@pytest.fixture(scope="module")
def portrait() -> Image:
    """A drawn portrait, as sharp as they come."""
    name = next(name for name, member in CAST.items() if member.staff)
    return decoded(staff_photos(name)[0])


@pytest.fixture(scope="module")
def face(portrait: Image) -> Detection:
    """Where its face is."""
    (found,) = DemoDetector().detect(portrait)
    return found


def test_a_good_portrait_is_nearly_perfect(portrait: Image, face: Detection) -> None:
    quality = assess(portrait, face)
    assert quality.overall > 0.85
    assert quality.face_pixels == round(face.box.short_side)
    assert abs(quality.yaw_degrees) < 5


@pytest.mark.parametrize("sigma", [2.0, 4.0, 6.0])
def test_a_blurred_face_is_worth_less_than_a_sharp_one(portrait: Image, face: Detection, sigma: float) -> None:
    sharper = assess(blurred(portrait, sigma / 2), face)
    worse = assess(blurred(portrait, sigma), face)
    assert worse.sharpness < sharper.sharpness
    assert worse.overall < sharper.overall


def test_a_smaller_face_is_worth_less(portrait: Image, face: Detection) -> None:
    def at(scale: float) -> float:
        small = scaled(portrait, scale)
        box = face.box
        there = Detection(
            Box(box.left * scale, box.top * scale, box.width * scale, box.height * scale),
            face.score,
            face.landmarks * np.float32(scale),
        )
        return assess(small, there).overall

    assert at(1.0) > at(0.4) > at(0.2)


def test_a_dark_face_and_a_glaring_one_are_worth_less(portrait: Image, face: Detection) -> None:
    good = assess(portrait, face)
    dark = assess((portrait * 0.15).astype(np.uint8), face)
    glaring = assess(np.clip(portrait + 110.0, 0, 255).astype(np.uint8), face)
    assert dark.brightness < good.brightness
    assert dark.overall < good.overall
    assert glaring.brightness < good.brightness


def test_dim_light_is_not_taken_for_blur(portrait: Image, face: Detection) -> None:
    dim = assess((portrait * 0.5).astype(np.uint8), face)
    assert dim.sharpness > 0.9 * assess(portrait, face).sharpness


def test_a_face_without_contrast_has_no_sharpness(face: Detection) -> None:
    assert assess(np.full((620, 480, 3), 128, np.uint8), face).sharpness == 0.0


def test_a_face_at_the_edge_is_worth_what_is_left_of_its_crop(portrait: Image, face: Detection) -> None:
    box, whole = face.box, assess(portrait, face)
    assert whole.whole == pytest.approx(1.0)

    def at(left: float) -> float:
        return assess(portrait, replace(face, box=Box(left, box.top, box.width, box.height))).whole

    # The crop is 1.4 boxes wide: a fifth of a box on either side.
    assert at(0.2 * box.width) == pytest.approx(1.0)
    assert at(0.0) == pytest.approx(1.2 / 1.4)
    assert at(-0.5 * box.width) == pytest.approx(0.7 / 1.4)
    cut = assess(portrait, replace(face, box=Box(0.0, box.top, box.width, box.height)))
    assert cut.overall == pytest.approx(1.2 / 1.4 * whole.overall)


def test_a_turned_head_shows_in_yaw_and_pose() -> None:
    turned = ARCFACE_TEMPLATE.copy()
    turned[2, 0] += 12
    assert abs(yaw_degrees(ARCFACE_TEMPLATE)) < 2
    assert 20 < yaw_degrees(turned) < 40
    mirrored = turned * np.array([-1, 1], np.float32)
    mirrored = mirrored[[1, 0, 2, 4, 3]]
    assert yaw_degrees(mirrored) == pytest.approx(-yaw_degrees(turned), abs=1.0)
    assert pose_measure(yaw_degrees(turned), 0.0) < pose_measure(0.0, 0.0) == 1.0
    assert pose_measure(75.0, 0.0) == 0.0


def test_looking_down_moves_the_nose_towards_the_mouth() -> None:
    down = ARCFACE_TEMPLATE.copy()
    down[2, 1] += 8
    assert pitch_offset(down) > pitch_offset(ARCFACE_TEMPLATE)
    assert pose_measure(0.0, 0.4) < pose_measure(0.0, 0.0)


def test_each_doubling_of_the_size_is_worth_the_same() -> None:
    assert size_measure(20) == 0.0
    assert size_measure(112) == size_measure(500) == 1.0
    assert size_measure(80) - size_measure(40) == pytest.approx(size_measure(50) - size_measure(25))


@pytest.mark.parametrize(("luma", "expected"), [(10, 0.0), (45, 0.5), (70, 1.0), (130, 1.0), (220, 0.5), (255, 0.0)])
def test_brightness_is_best_in_the_middle(luma: float, expected: float) -> None:
    assert brightness_measure(luma) == pytest.approx(expected)
