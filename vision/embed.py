"""Who a face is, as a point on the unit sphere: ArcFace-type embedders behind one Protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vision.align import ARCFACE_SIDE, align
from vision.detect import Image, Landmarks
from vision.inference import ModelSource, Session, open_session

DIMENSION: Final = 512
"""Length of every embedding of the contract; a shorter one is padded with zeros, which leaves cosines as they are."""

Embedding = NDArray[np.float32]
"""512 float32 of L2 norm 1."""


class UselessEmbedding(ValueError):  # noqa: N818
    """The model answered zeros or something that is not finite: there is no direction to compare."""


class Embedder(Protocol):
    """Describes faces so that those of one person lie close. Safe to call from one thread at a time."""

    @property
    def space(self) -> str:
        """Model and version, e.g. "mobilefacenet-ms1m@1". Embeddings of different spaces are never compared."""
        ...

    def align(self, image: Image, landmarks: Landmarks) -> Image:
        """The crop that `embed` wants, cut from a frame. Raises `DegenerateLandmarks`."""
        ...

    def embed(self, aligned: Image) -> Embedding:
        """The embedding of one aligned face. Raises `UselessEmbedding`."""
        ...


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pixels become the numbers that a model was trained on: (x − mean) ÷ std per channel, x in 0…255."""

    channels: Literal["RGB", "BGR"]
    mean: tuple[float, float, float]
    """In the order of `channels`."""
    std: tuple[float, float, float]
    """In the order of `channels`."""

    def tensor(self, aligned: Image) -> NDArray[np.float32]:
        """1 × 3 × 112 × 112."""
        pixels = aligned[:, :, ::-1] if self.channels == "RGB" else aligned
        scaled = (pixels.astype(np.float32) - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis], np.float32)


class ArcFace:
    """Any model trained with the ArcFace recipe: 112×112 aligned on five points, 128 to 512 numbers out.

    One face per call: batching gains nothing on a CPU, and dynamically quantised models answer differently by batch.
    """

    def __init__(self, model: ModelSource, *, space: str, preprocessing: Preprocessing, provider: str = "cpu") -> None:
        """`model`: the ONNX file or its bytes. Raises as `open_session`, and ValueError when it is no such embedder."""
        self._session: Session = open_session(model, provider)
        if not 1 <= self._session.output_width <= DIMENSION:
            raise ValueError(f"{space}: the graph answers {self._session.output_width} numbers, not 1 to {DIMENSION}")
        self._input = self._session.input_name
        self._space, self._preprocessing = space, preprocessing

    @property
    def space(self) -> str:
        """See `Embedder.space`."""
        return self._space

    def align(self, image: Image, landmarks: Landmarks) -> Image:
        """See `Embedder.align`: 112 × 112 on the ArcFace template."""
        return align(image, landmarks)

    def embed(self, aligned: Image) -> Embedding:
        """See `Embedder.embed`. Raises ValueError for a crop that is not 112 × 112 × 3."""
        if aligned.shape != (ARCFACE_SIDE, ARCFACE_SIDE, 3):
            raise ValueError(f"expected an aligned face of 112 × 112 × 3, got {aligned.shape}")
        (answer, *_) = self._session.run(None, {self._input: self._preprocessing.tensor(aligned)})
        return unit(answer.reshape(-1))


def unit(vector: NDArray[np.floating] | Sequence[float]) -> Embedding:
    """The vector padded with zeros to 512 and scaled to norm 1. Raises `UselessEmbedding`."""
    padded = np.zeros(DIMENSION, np.float64)
    padded[: len(vector)] = vector
    norm = float(np.linalg.norm(padded))
    if not np.isfinite(norm) or norm < 1e-9:
        raise UselessEmbedding("the embedding is zero or not finite")
    return (padded / norm).astype(np.float32)


def cosine(one: Embedding, other: Embedding) -> float:
    """Similarity of two embeddings of the same space, −1…1."""
    return float(np.clip(np.dot(one, other), -1.0, 1.0))
