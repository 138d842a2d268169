"""Demo vision knows the demo's own people, at any distance and after compression, and refuses everything else."""

import itertools

import numpy as np
import pytest

from stack.demo.canvas import lay
from stack.demo.cast import CAST
from stack.demo.films import staff_photos
from stack.demo.looks import Pose
from stack.demo.person import draw
from stack.demo.scenes import Overlay, scene
from tests.support.pictures import as_jpeg, decoded, scaled
from vision import demo
from vision.demo import FRAME_MARK, NotADemoFilm, picture_of_code
from vision.detect import Image
from vision.embed import UselessEmbedding, cosine
from vision.pipeline import FaceAnalyser, NoFace


@pytest.fixture(scope="module")
def analyser() -> FaceAnalyser:
    """Demo vision, as the agent holds it."""
    models = demo.load()
    return FaceAnalyser(models.detector, models.embedder)


def _film_frame(*people: tuple[str, float, float], marked: bool = True, quality: int = 70) -> Image:
    """A frame with people (name, x of the eyes, head in pixels), as it comes out of a lossy codec."""
    frame = scene("aisle").copy()
    for name, x, head in people:
        lay(frame, draw(CAST[name].looks, CAST[name].code, Pose(), 200), (x, 180), head)
    if marked:
        Overlay("Aisle").stamp(frame)
    return as_jpeg(frame, quality)


NAMES = list(CAST)


@pytest.mark.parametrize("head", [110, 150, 200])
@pytest.mark.parametrize("quality", [25, 90])
def test_a_person_is_found_near_and_far_through_compression(analyser: FaceAnalyser, head: float, quality: int) -> None:
    (face,) = analyser.analyse(_film_frame((NAMES[0], 430, head), quality=quality))
    eyes = face.landmarks[:2].mean(axis=0)
    assert eyes == pytest.approx([430, 180], abs=0.04 * head)
    assert face.box.width == pytest.approx(0.68 * head, rel=0.06)


def test_everybody_is_recognised_again_and_taken_for_nobody_else(analyser: FaceAnalyser) -> None:
    shots = {}
    for name, head in itertools.product(NAMES, (120, 190)):
        (face,) = analyser.analyse(_film_frame((name, 470, head)))
        shots[name, head] = analyser.embed(face)
    for (a, one), (b, other) in itertools.combinations(shots.items(), 2):
        if a[0] == b[0]:
            assert 0.8 < cosine(one, other) < 0.9999
        else:
            assert abs(cosine(one, other)) < 0.2


def test_two_people_in_one_frame_are_two_faces(analyser: FaceAnalyser) -> None:
    faces = analyser.analyse(_film_frame((NAMES[0], 250, 160), (NAMES[1], 620, 160)))
    assert len(faces) == 2
    assert cosine(*(analyser.embed(face) for face in faces)) < 0.2


def test_an_empty_demo_frame_shows_nobody(analyser: FaceAnalyser) -> None:
    assert analyser.analyse(_film_frame()) == []
    with pytest.raises(NoFace):
        analyser.single_face(_film_frame())


def test_one_shot_is_embedded_the_same_every_time(analyser: FaceAnalyser) -> None:
    (face,) = analyser.analyse(_film_frame((NAMES[2], 400, 150)))
    assert (analyser.embed(face) == analyser.embed(face)).all()


@pytest.mark.parametrize("side", [0.5, 2.0])
def test_a_demo_film_is_known_at_another_size(analyser: FaceAnalyser, side: float) -> None:
    frame = scaled(_film_frame((NAMES[0], 430, 190)), side)
    assert len(analyser.analyse(frame)) == 1


def test_another_camera_is_refused_even_when_it_shows_a_badge(analyser: FaceAnalyser) -> None:
    with pytest.raises(NotADemoFilm, match="make models"):
        analyser.analyse(_film_frame((NAMES[0], 430, 170), marked=False))
    noise = np.random.default_rng(1).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    with pytest.raises(NotADemoFilm):
        analyser.analyse(noise)


def test_the_mark_counts_only_in_its_corner(analyser: FaceAnalyser) -> None:
    frame = np.full((540, 960, 3), 250, np.uint8)
    frame[200:243, 300:343] = picture_of_code(FRAME_MARK, 43)[:, :, np.newaxis]
    with pytest.raises(NotADemoFilm):
        analyser.analyse(frame)


def test_staff_portraits_are_of_the_people_in_the_films(analyser: FaceAnalyser) -> None:
    for name, member in CAST.items():
        if not member.staff:
            continue
        (seen,) = analyser.analyse(_film_frame((name, 470, 160)))
        for photo in staff_photos(name):
            assert cosine(analyser.embed(analyser.single_face(decoded(photo))), analyser.embed(seen)) > 0.8


def test_a_crop_without_a_badge_has_no_embedding() -> None:
    with pytest.raises(UselessEmbedding):
        demo.load().embedder.embed(np.full((112, 112, 3), 200, np.uint8))


def test_there_is_no_code_beyond_the_frame_s_own() -> None:
    with pytest.raises(ValueError, match="50"):
        picture_of_code(FRAME_MARK + 1, 70)
