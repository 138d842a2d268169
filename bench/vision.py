"""How fast and how sure vision is: ms per face, and how well each embedder tells people apart.

Needs the weights (FOOTFALL_MODELS) and labelled photographs (FOOTFALL_FACES: images/, labels.csv).
Of each photograph the face nearest the centre is taken. All pairs are compared. TAR is the share of pairs of one person
at or above a threshold, FAR that of pairs of different people. The last line is one JSON object.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vision import manifest
from vision.detect import Box, Detector, Image, YuNet
from vision.embed import Embedder, Embedding
from vision.manifest import ModelProblem, verified
from vision.pipeline import Face, FaceAnalyser

ROUNDS = 40
FALSE_ACCEPT_RATES = (0.01, 0.001)


def main() -> int:
    """Prints a report; answers the exit code."""
    models, photographs = os.environ.get("FOOTFALL_MODELS"), os.environ.get("FOOTFALL_FACES")
    if not models or not photographs:
        print("needs FOOTFALL_MODELS (weights) and FOOTFALL_FACES (labelled photographs)", file=sys.stderr)
        return 2
    folder, faces = Path(models), Path(photographs)
    result: dict[str, Any] = {"bench": "vision", "detector": _detector(folder), "embedders": {}}
    for entry in manifest.read().entries:
        if entry.kind != "embedder" or not (folder / entry.file).is_file():
            continue
        try:
            loaded = manifest.load(folder, embedder=entry.name)
        except ModelProblem as problem:
            print(problem, file=sys.stderr)
            return 1
        result["embedders"][entry.name] = _embedder(loaded.detector, loaded.embedder, loaded.match_threshold, faces)
    for name, figures in result["embedders"].items():
        print(f"{name}: {json.dumps(figures)}")
    print(json.dumps(result))
    return 0


def _detector(folder: Path) -> dict[str, Any]:
    """Milliseconds for YuNet by size of picture, on one thread."""
    yunet = YuNet(verified(folder, manifest.read().defaults()[0]))
    chance = np.random.default_rng(1)
    figures = {}
    for width, height in ((640, 480), (960, 540), (1280, 720), (1920, 1080)):
        picture = chance.integers(0, 255, (height, width, 3), dtype=np.uint8)
        figures[f"{width}x{height}_ms"] = _milliseconds(lambda picture=picture: yunet.detect(picture))  # type: ignore[misc]
    return figures


def _embedder(detector: Detector, embedder: Embedder, threshold: float, faces: Path) -> dict[str, Any]:
    analyser = FaceAnalyser(detector, embedder)
    people, vectors, missed = [], [], 0
    for row in _rows(faces / "labels.csv"):
        face = _central(analyser, np.asarray(cv2.imread(str(faces / row["file"])), np.uint8))
        if face is None:
            missed += 1
            continue
        people.append(row["identity"])
        vectors.append(analyser.embed(face))
    same, different = _scores(people, vectors)
    crop = np.random.default_rng(2).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    figures: dict[str, Any] = {
        "space": embedder.space,
        "embed_ms": _milliseconds(lambda: embedder.embed(crop)),
        "photographs": len(people),
        "without_a_face": missed,
        "same_pairs": len(same),
        "different_pairs": len(different),
        "median_same": _round(np.median(same)),
        "median_different": _round(np.median(different)),
        "highest_different": _round(different.max()),
        "threshold": threshold,
        "tar_at_threshold": _round((same >= threshold).mean()),
        "false_at_threshold": int((different >= threshold).sum()),
        "tar_at_0.6": _round((same >= 0.6).mean()),
    }
    for rate in FALSE_ACCEPT_RATES:
        at = float(np.quantile(different, 1 - rate))
        figures[f"tar_at_far_{rate}"] = _round((same >= at).mean())
        figures[f"threshold_at_far_{rate}"] = _round(at)
    return figures


def _scores(people: list[str], vectors: list[Embedding]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines of all pairs of one person, and of all pairs of different people."""
    matrix = np.stack(vectors).astype(np.float64)
    upper = np.triu_indices(len(people), 1)
    names = np.array(people)
    alike = (names[:, np.newaxis] == names[np.newaxis])[upper]
    scores = (matrix @ matrix.T)[upper]
    return scores[alike], scores[~alike]


def _central(analyser: FaceAnalyser, picture: Image) -> Face | None:
    height, width = picture.shape[:2]

    def off_centre(box: Box) -> float:
        x, y = box.centre
        return float(np.hypot(x - width / 2, y - height / 2))

    return min(analyser.analyse(picture), key=lambda face: off_centre(face.box), default=None)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _milliseconds(work: Callable[[], object]) -> float:
    """The median of several rounds: a busy machine's outliers say nothing of the model."""
    work()
    spans = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        spans.append((time.perf_counter() - start) * 1000)
    return _round(np.median(spans))


def _round(value: float | np.floating[Any]) -> float:
    return round(float(value), 4)


if __name__ == "__main__":
    sys.exit(main())
