import io
import struct
import zlib
from typing import Any

import pytest
from footfall.type.v1 import problem_pb2
from PIL import Image

from mesh.errors import MeshError
from mesh.images import inspect


def _picture(kind: str, size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (90, 120, 150)).save(buffer, kind)
    return buffer.getvalue()


def _png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def _refused(data: bytes, **limits: Any) -> MeshError:
    with pytest.raises(MeshError) as refused:
        inspect(data, field="event.snapshot", **limits)
    assert [violation.field for violation in refused.value.violations] == ["event.snapshot"]
    return refused.value


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_header_tells_what_an_image_is(kind: str) -> None:
    info = inspect(_picture(kind))
    assert (info.format, info.width, info.height) == (kind, 64, 48)
    assert info.content_type == f"image/{kind.lower()}"


def test_too_many_bytes_are_refused_with_the_limit() -> None:
    refused = _refused(_picture("JPEG"), max_bytes=100)
    assert (refused.reason_name, refused.metadata) == ("IMAGE_TOO_LARGE", {"limit": "100"})


@pytest.mark.parametrize("side", [5_000, 20_000, 60_000])
def test_a_small_file_that_claims_to_be_huge_is_refused_before_decoding(side: int) -> None:
    data = _png_that_claims(side, side)
    assert len(data) < 200
    assert _refused(data, max_pixels=16_000_000).reason_name == "IMAGE_TOO_LARGE"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_image_cut_short_is_refused(kind: str) -> None:
    whole = _picture(kind)
    assert _refused(whole[:-20]).reason_name == "IMAGE_INVALID"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_beginning_of_an_image_is_refused_and_none_crashes(kind: str) -> None:
    whole = _picture(kind)
    for length in range(0, len(whole) - 1, 7):
        assert _refused(whole[:length]).reason_name == "IMAGE_INVALID"


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg/>", b"%PDF-1.4", b"\xff\xd8\xff", b"\0" * 1000])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    assert _refused(data).reason_name == "IMAGE_INVALID"


def test_a_format_that_is_not_wanted_is_refused() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "GIF")
    assert _refused(buffer.getvalue()).reason_name == "IMAGE_INVALID"
    assert _refused(_picture("PNG"), formats=("JPEG",)).reason_name == "IMAGE_INVALID"


def test_a_picture_of_a_few_pixels_is_refused() -> None:
    assert _refused(_picture("PNG", (4, 400))).reason_name == "IMAGE_INVALID"


def test_an_events_snapshot_has_a_reason_of_its_own() -> None:
    reasons = dict.fromkeys(("invalid", "too_large"), problem_pb2.ERROR_REASON_SNAPSHOT_INVALID)
    assert _refused(b"x", **reasons).reason_name == "SNAPSHOT_INVALID"
    assert _refused(_picture("PNG"), max_pixels=10, **reasons).reason_name == "SNAPSHOT_INVALID"


def test_jpegs_padded_by_a_camera_are_taken() -> None:
    inspect(_picture("JPEG") + b"\0\0\0")
