"""The staff that the agent recognises by itself: a hint for the mesh, which decides. In memory only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mesh.ids import StaffId
from vision.embed import DIMENSION, Embedding

_NOBODY: Final[NDArray[np.float32]] = np.zeros((0, DIMENSION), np.float32)


@dataclass(frozen=True, slots=True)
class Gallery:
    """Staff members and their embeddings, as of one checkpoint; replaced whole, so that any thread may read it."""

    faces: Mapping[StaffId, tuple[Embedding, ...]] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    threshold: float = 1.0
    """Cosine from which on a hint is set."""
    revision: int = 0
    """Of the checkpoint; 0 = none yet."""
    _people: tuple[StaffId, ...] = field(init=False, repr=False)
    _matrix: NDArray[np.float32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Lays the embeddings out for one product."""
        rows = [(person, face) for person, faces in self.faces.items() for face in faces]
        object.__setattr__(self, "_people", tuple(person for person, _ in rows))
        object.__setattr__(self, "_matrix", np.stack([face for _, face in rows]) if rows else _NOBODY)

    def recognise(self, embedding: Embedding) -> StaffId | None:
        """The staff member whom an embedding resembles most, if it does enough."""
        if not self._people:
            return None
        similarities = self._matrix @ embedding
        best = int(np.argmax(similarities))
        return self._people[best] if float(similarities[best]) >= self.threshold else None
