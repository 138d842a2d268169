"""From a photograph to one face: judged by its header, decoded small, detected, aligned and embedded off the loop."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
import structlog
from footfall.type.v1 import problem_pb2
from PIL import Image as Pictures
from PIL import ImageOps

from mesh import images
from mesh.errors import FieldViolation, MeshError, Unavailable
from svc_identity.staff.domain import NewFace, Quality
from vision.demo import NotADemoFilm
from vision.detect import Image
from vision.embed import UselessEmbedding
from vision.manifest import ModelProblem, Models
from vision.pipeline import FaceAnalyser, NoFace, SeveralFaces

if TYPE_CHECKING:
    from mesh.errors import Reason

MOST_BYTES: Final = 8 * 1024 * 1024
FORMATS: Final = ("JPEG", "PNG")
#: Pixels of the longer side after decoding: a face of a phone's photograph needs no more, and memory stays bounded.
LONGEST_SIDE: Final = 1920

_log = structlog.get_logger(__name__)


class Portraits:
    """Looks at photographs, one at a time on a thread of its own, where the models live.

    Args:
        load: opens the models; called on that thread when the first photograph comes.
        max_pixels: of a photograph, by its header.
        queue: photographs that may wait; the next one is told to come back.
    """

    def __init__(self, load: Callable[[], Models], *, max_pixels: int, queue: int) -> None:
        self._load = load
        self._max_pixels = max_pixels
        self._queue = queue
        self._waiting = 0
        self._analyser: FaceAnalyser | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vision")

    async def face(self, data: bytes, field: str = "image") -> NewFace:
        """The one face of a photograph, however poor.

        Args:
            data: JPEG or PNG.
            field: of the request, named by refusals.

        Raises:
            MeshError: IMAGE_INVALID, IMAGE_TOO_LARGE, IMAGE_WITHOUT_FACE, IMAGE_SEVERAL_FACES, IMAGE_QUALITY_LOW,
                MODEL_MISSING, naming the field; OVERLOADED when too many wait.
        """
        images.inspect(data, field=field, max_bytes=MOST_BYTES, max_pixels=self._max_pixels, formats=FORMATS)
        if self._waiting >= self._queue:
            raise Unavailable(
                "too many photographs at once",
                reason=problem_pb2.ERROR_REASON_OVERLOADED,
                retry_after=timedelta(seconds=2),
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._look, data, field)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Ends the thread after what it is doing."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _look(self, data: bytes, field: str) -> NewFace:
        analyser = self._opened(field)
        try:
            picture = _decoded(data)
        except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises on bytes that a header promised better
            raise _refusal(problem_pb2.ERROR_REASON_IMAGE_INVALID, field, "cannot be decoded") from error
        try:
            face = analyser.single_face(picture)
            vector = analyser.embed(face)
        except NoFace as error:
            raise _refusal(problem_pb2.ERROR_REASON_IMAGE_WITHOUT_FACE, field, "shows no face") from error
        except SeveralFaces as error:
            several = f"shows {error.count} faces; one is wanted"
            raise _refusal(problem_pb2.ERROR_REASON_IMAGE_SEVERAL_FACES, field, several) from error
        except UselessEmbedding as error:
            raise _refusal(problem_pb2.ERROR_REASON_IMAGE_QUALITY_LOW, field, "shows too little of the face") from error
        except NotADemoFilm as error:
            missing = "needs real models: without weights only the demo's own pictures are understood"
            raise _refusal(problem_pb2.ERROR_REASON_MODEL_MISSING, field, missing) from error
        quality = Quality(
            detection_score=_share(face.quality.detection_score),
            overall=_share(face.quality.overall),
            face_pixels=max(8, min(8192, face.quality.face_pixels)),
            yaw_degrees=float(face.quality.yaw_degrees),
        )
        return NewFace(analyser.space, vector, quality, _png(face.aligned), face.aligned.shape[0])

    def _opened(self, field: str) -> FaceAnalyser:
        if self._analyser is None:
            try:
                models = self._load()
            except ModelProblem as error:
                _log.error("models_missing", problem=str(error))
                missing = "cannot be looked at: this machine lacks a model"
                raise _refusal(problem_pb2.ERROR_REASON_MODEL_MISSING, field, missing) from error
            self._analyser = FaceAnalyser(models.detector, models.embedder)
        return self._analyser


def poor(field: str, quality: float, least: float) -> MeshError:
    """The refusal of a face that nobody could be recognised by."""
    return _refusal(
        problem_pb2.ERROR_REASON_IMAGE_QUALITY_LOW,
        field,
        f"shows a face of quality {quality:.2f}; {least:.2f} is needed: larger, sharper, looking at the camera",
    )


def _refusal(reason: Reason, field: str, description: str) -> MeshError:
    return MeshError(reason, f"{field}: {description}", violations=[FieldViolation(field, description)])


def _decoded(data: bytes) -> Image:
    """H × W × 3 BGR, upright as EXIF says, at most :data:`LONGEST_SIDE` long."""
    with Pictures.open(io.BytesIO(data), formats=FORMATS) as opened:
        opened.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))  # a large JPEG is scaled while it is decoded
        upright = ImageOps.exif_transpose(opened).convert("RGB")
        upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return np.ascontiguousarray(np.asarray(upright, np.uint8)[:, :, ::-1])


def _png(aligned: Image) -> bytes:
    """Without loss: it is embedded again when the model changes."""
    encoded, body = cv2.imencode(".png", aligned)
    if not encoded:
        msg = "an aligned face cannot be encoded"
        raise ValueError(msg)
    return body.tobytes()


def _share(value: float) -> float:
    return max(0.0, min(1.0, float(value)))
