"""Embeddings at rest: sealed under the master keys and their own id; the youngest are remembered in the open."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from cachetools import LRUCache

from mesh.ids import EmbeddingId
from mesh.keyring import KeyRing
from svc_identity.vectors.port import DIMENSION, Vector

#: Vectors kept in memory: 2 KB each, so 32 MiB. Enough for what is too young for the index in a busy shop.
REMEMBERED: Final = 16_384


class VectorVault:
    """Seals and opens vectors. One per process; not shared between threads.

    ``keyring`` holds the master keys. A sealed vector opens only under the id that it was sealed for.
    """

    def __init__(self, keyring: KeyRing, remembered: int = REMEMBERED) -> None:
        self._keyring = keyring
        self._open: LRUCache[EmbeddingId, Vector] = LRUCache(remembered)

    def seal(self, id_: EmbeddingId, vector: Vector) -> bytes:
        """``vector`` (512,) as ciphertext; it is remembered, for it will be compared with soon."""
        self._open[id_] = vector
        return self._keyring.encrypt(vector.astype("<f4").tobytes(), _place(id_))

    def open(self, id_: EmbeddingId, sealed: bytes) -> Vector:
        """The vector (512,) float32. Raises ``mesh.keyring.DecryptionError`` if it was not sealed for ``id_``."""
        known = self._open.get(id_)
        if known is None:
            known = np.frombuffer(self._keyring.decrypt(sealed, _place(id_)), dtype="<f4").astype(np.float32)
            if known.shape != (DIMENSION,):
                raise ValueError(f"a sealed vector of {known.shape}")
            self._open[id_] = known
        return known

    def unknown(self, ids: Iterable[EmbeddingId]) -> list[EmbeddingId]:
        """Those of ``ids`` whose ciphertext must be fetched before :meth:`recall` can answer."""
        return [id_ for id_ in ids if id_ not in self._open]

    def recall(self, id_: EmbeddingId) -> Vector | None:
        """A remembered vector."""
        return self._open.get(id_)

    def forget(self, ids: Iterable[EmbeddingId]) -> None:
        """Remember these no more."""
        for id_ in ids:
            self._open.pop(id_, None)


def _place(id_: EmbeddingId) -> bytes:
    return b"embedding:" + id_.bytes
