"""Embeddings are unit vectors of 512 numbers, whatever the model answers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.pictures import photo
from vision import manifest
from vision.embed import ArcFace, Preprocessing, UselessEmbedding, cosine, unit
from vision.pipeline import FaceAnalyser

PLAIN = Preprocessing("RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class _Graph:
    input_name = "in"

    def __init__(self, answer: NDArray[np.float32]) -> None:
        self.answer, self.output_width = answer, answer.shape[-1]
        self.seen: list[NDArray[np.float32]] = []

    def run(self, _: None, inputs: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        self.seen.append(inputs["in"])
        return [self.answer]


def _arcface(monkeypatch: pytest.MonkeyPatch, graph: _Graph, preprocessing: Preprocessing = PLAIN) -> ArcFace:
    monkeypatch.setattr("vision.embed.open_session", lambda *_: graph)
    return ArcFace(b"", space="test@1", preprocessing=preprocessing)


def test_128_numbers_are_padded_with_zeros_and_keep_their_cosines() -> None:
    chance = np.random.default_rng(1)
    one, other = chance.normal(size=128), chance.normal(size=128)
    before = float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    a, b = unit(one), unit(other)
    assert a.shape == (512,)
    assert a.dtype == np.float32
    assert not a[128:].any()
    assert np.linalg.norm(a) == pytest.approx(1.0, abs=1e-6)
    assert cosine(a, b) == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize("vector", [np.zeros(512), np.full(512, np.nan), np.full(512, np.inf)])
def test_a_vector_without_a_direction_is_refused(vector: np.ndarray) -> None:
    with pytest.raises(UselessEmbedding):
        unit(vector)


def test_pixels_reach_the_graph_as_the_model_was_trained_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = _Graph(np.ones((1, 512), np.float32))
    recipe = Preprocessing("RGB", (100.0, 50.0, 0.0), (2.0, 5.0, 10.0))
    blue_green_red = np.full((112, 112, 3), (10, 60, 110), np.uint8)
    _arcface(monkeypatch, graph, recipe).embed(blue_green_red)
    (tensor,) = graph.seen
    assert tensor.shape == (1, 3, 112, 112)
    assert tensor.dtype == np.float32
    assert tensor[0, :, 0, 0].tolist() == [5.0, 2.0, 1.0]


def test_a_crop_of_another_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = _arcface(monkeypatch, _Graph(np.ones((1, 512), np.float32)))
    with pytest.raises(ValueError, match="112"):
        embedder.embed(np.zeros((96, 96, 3), np.uint8))


def test_a_graph_that_is_no_embedder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="1000"):
        _arcface(monkeypatch, _Graph(np.ones((1, 1000), np.float32)))


@pytest.mark.parametrize("name", ["mobilefacenet-ms1m", "w600k-mbf-dequantised"])
def test_at_its_threshold_a_model_tells_people_of_photographs_apart(
    models_folder: Path, faces_folder: Path, name: str
) -> None:
    models = manifest.load(models_folder, embedder=name)
    analyser = FaceAnalyser(models.detector, models.embedder)
    shots = {}
    for person in ("Ann_Veneman", "Binyamin_Ben-Eliezer", "David_Beckham", "Yoko_Ono"):
        for path in sorted((faces_folder / "images" / person).glob("*.jpg")):
            faces = analyser.analyse(photo(path))
            if len(faces) == 1:
                shots[person, path.name] = analyser.embed(faces[0])
    scores = [(a[0] == b[0], cosine(shots[a], shots[b])) for a in shots for b in shots if a < b]
    same, different = [s for is_same, s in scores if is_same], [s for is_same, s in scores if not is_same]
    assert max(different) < models.match_threshold
    assert np.mean(np.array(same) >= models.match_threshold) >= 0.9
