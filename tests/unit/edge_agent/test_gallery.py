"""The gallery: staff that the agent may hint at."""

from types import MappingProxyType
from uuid import UUID

import numpy as np

from edge_agent.gallery import Gallery
from mesh.ids import StaffId
from vision.embed import Embedding, unit

ANN, BOB = StaffId(UUID(int=1)), StaffId(UUID(int=2))


def face(*numbers: float) -> Embedding:
    return unit(numbers)


GALLERY = Gallery(MappingProxyType({ANN: (face(1, 0), face(1, 0.2)), BOB: (face(0, 1),)}), threshold=0.6, revision=4)


def test_the_most_similar_staff_member_is_recognised() -> None:
    assert GALLERY.recognise(face(0.9, 0.3)) == ANN
    assert GALLERY.recognise(face(0.2, 1)) == BOB


def test_nobody_is_recognised_below_the_threshold() -> None:
    assert GALLERY.recognise(face(1, 0, 2)) is None


def test_an_empty_gallery_recognises_nobody() -> None:
    assert Gallery().recognise(face(1)) is None


def test_a_gallery_shows_no_faces() -> None:
    assert "array" not in repr(GALLERY)
    assert str(np.float32(0.2))[:3] not in repr(GALLERY)
