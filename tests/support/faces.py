"""Faces for tests that need no pixels: people as directions on the unit sphere, and shots of them a little aside."""

from __future__ import annotations

import numpy as np

from svc_identity.vectors.port import Vector


def person_vector(seed: int) -> Vector:
    """A person (512,): two different seeds have a cosine near 0."""
    drawn = np.random.default_rng(seed).normal(size=512)
    return np.asarray(drawn / np.linalg.norm(drawn), dtype=np.float32)


def shot(person: int, similarity: float, seed: int = 0) -> Vector:
    """A shot (512,) of a person whose cosine with :func:`person_vector` is ``similarity``."""
    towards = person_vector(person).astype(np.float64)
    aside = np.random.default_rng([person, seed, 1]).normal(size=512)
    aside -= (aside @ towards) * towards
    aside /= np.linalg.norm(aside)
    return np.asarray(similarity * towards + np.sqrt(1 - similarity**2) * aside, dtype=np.float32)
