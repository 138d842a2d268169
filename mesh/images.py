"""Judges an image by its header, before anything is decoded: a small file can claim to be a very large picture."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from footfall.type.v1 import problem_pb2
from PIL import Image, UnidentifiedImageError

from mesh.errors import FieldViolation, MeshError

if TYPE_CHECKING:
    from mesh.errors import Reason

FORMATS: Final = ("JPEG", "PNG", "WEBP")
CONTENT_TYPES: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
MOST_BYTES: Final = 10 * 1024 * 1024
MOST_PIXELS: Final = 40_000_000
LEAST_SIDE: Final = 8  # pixels


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the header says.

    Attributes:
        format: "JPEG", "PNG" or "WEBP".
        width, height: pixels, before any rotation by EXIF.
    """

    format: str
    width: int
    height: int

    @property
    def content_type(self) -> str:
        """The media type, e.g. "image/jpeg"."""
        return CONTENT_TYPES[self.format]


def inspect(
    data: bytes,
    *,
    field: str = "image",
    max_bytes: int = MOST_BYTES,
    max_pixels: int = MOST_PIXELS,
    formats: tuple[str, ...] = FORMATS,
    invalid: Reason = problem_pb2.ERROR_REASON_IMAGE_INVALID,
    too_large: Reason = problem_pb2.ERROR_REASON_IMAGE_TOO_LARGE,
) -> ImageInfo:
    """What the image is; its pixels are not touched.

    Args:
        data: the file's bytes.
        field: the request's field, to be named when it is refused.
        max_bytes, max_pixels: the limits.
        formats: which are taken.
        invalid, too_large: the reasons to refuse with (an event's snapshot has one for both).

    Raises:
        MeshError: with the reason and the field.
    """

    def refusal(reason: Reason, description: str, **metadata: str) -> MeshError:
        return MeshError(
            reason, f"{field}: {description}", violations=[FieldViolation(field, description)], metadata=metadata
        )

    if len(data) > max_bytes:
        raise refusal(too_large, f"has {len(data)} bytes; at most {max_bytes} are taken", limit=str(max_bytes))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is ours
            with Image.open(io.BytesIO(data), formats=formats) as image:
                info = ImageInfo(image.format or "", image.width, image.height)
    except Image.DecompressionBombError:
        raise refusal(too_large, f"has more than {max_pixels} pixels", limit=str(max_pixels)) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, struct.error):
        raise refusal(invalid, f"is none of {', '.join(formats)}") from None
    if info.width * info.height > max_pixels:
        raise refusal(too_large, f"has more than {max_pixels} pixels", limit=str(max_pixels))
    if min(info.width, info.height) < LEAST_SIDE:
        raise refusal(invalid, f"is smaller than {LEAST_SIDE} pixels")
    if not _ends_well(info.format, data):
        raise refusal(invalid, "is cut short")
    return info


def _ends_well(kind: str, data: bytes) -> bool:
    """Whether the file has its end: JPEG's EOI marker, PNG's IEND chunk, WebP's length."""
    if kind == "JPEG":
        return data.rstrip(b"\0").endswith(b"\xff\xd9")
    if kind == "PNG":
        return b"IEND" in data[-16:]
    return len(data) >= 8 + int(struct.unpack("<I", data[4:8])[0])
