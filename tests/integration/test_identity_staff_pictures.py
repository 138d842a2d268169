"""Faces of staff by photograph: what is kept, and every way in which a picture is refused, with its field named."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import cv2
import grpc
import numpy as np
import pytest
from footfall.identity.v1 import match_pb2, staff_face_pb2, staff_pb2
from PIL import Image

from mesh.ids import TenantId
from mesh.tls import Tls
from stack.demo.canvas import lay
from stack.demo.cast import CAST, STAFF
from stack.demo.films import staff_photos
from stack.demo.looks import Pose
from stack.demo.person import draw
from stack.demo.scenes import Overlay, scene
from tests.support.database import TestDatabase
from tests.support.faces import person_vector
from tests.support.identity import SPACE, RunningIdentity, query, running_identity
from tests.support.mesh import fields, reason
from tests.support.seed import SeededTenant, seed_tenant
from tests.support.waiting import until
from vision import demo
from vision.pipeline import FaceAnalyser

ANN, BOB = list(STAFF)[:2]


@pytest.fixture
async def identity(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path
) -> AsyncIterator[RunningIdentity]:
    async with running_identity(database, peers, tmp_path) as running:
        yield running


@pytest.fixture
def tenant(identity: RunningIdentity) -> SeededTenant:
    return seed_tenant(identity.database)


async def hire(stub: Any, name: str = "Ann") -> str:
    made = await stub.CreateStaff(staff_pb2.CreateStaffRequest(staff=staff_pb2.Staff(display_name=name)))
    return str(made.staff.id)


def picture_of(staff_id: str, image: bytes, **given: Any) -> staff_face_pb2.AddStaffFaceRequest:
    return staff_face_pb2.AddStaffFaceRequest(staff_id=staff_id, image=image, **given)


def aisle(*people: str) -> bytes:
    """A drawn frame with these people side by side."""
    frame = scene("aisle").copy()
    for place, name in enumerate(people):
        lay(frame, draw(CAST[name].looks, CAST[name].code, Pose(), 200), (300 + 330 * place, 180), 170)
    Overlay("Aisle").stamp(frame)
    return bytes(cv2.imencode(".jpg", frame)[1])


def jpeg(side: int = 64) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (90, 120, 150)).save(out, "JPEG")
    return out.getvalue()


def png_bomb(side: int) -> bytes:
    """A few bytes that claim to be `side` x `side` pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1024)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


async def test_the_aligned_face_is_kept_and_the_picture_is_not(identity: RunningIdentity, tenant: SeededTenant) -> None:
    photo = staff_photos(ANN)[0]
    async with identity.staff(tenant) as stub:
        ann = await hire(stub)
        face = (await stub.AddStaffFace(picture_of(ann, photo))).face
        assert face.primary
        assert face.quality.overall > 0.5
        member = (await stub.GetStaff(staff_pb2.GetStaffRequest(id=ann))).staff
        assert (member.face_count, member.image_id, member.primary_face_id) == (1, face.image_id, face.id)
    ((key, kind, side),) = identity.rows("SELECT object_key, content_type, width FROM staff_faces")
    kept = await identity.images.get(key)
    assert (kept.info.content_type, kind, side) == ("image/png", "image/png", 112)
    with Image.open(io.BytesIO(kept.data)) as aligned:
        assert aligned.size == (112, 112)
    assert kept.info.expire_time is None


async def test_whoever_is_enrolled_by_photograph_is_recognised_on_film(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    models = demo.load()
    analyser = FaceAnalyser(models.detector, models.embedder)
    (seen,) = analyser.analyse(np.asarray(cv2.imdecode(np.frombuffer(aisle(ANN), np.uint8), cv2.IMREAD_COLOR)))
    async with identity.staff(tenant) as stub:
        ann, bob = await hire(stub), await hire(stub, "Bob")
        for staff_id, name in ((ann, ANN), (bob, BOB)):
            for photo in staff_photos(name):
                await stub.AddStaffFace(picture_of(staff_id, photo))
        tested = await stub.TestRecognition(staff_face_pb2.TestRecognitionRequest(id=ann, image=aisle(ANN)))
    assert tested.recognised
    assert tested.quality.overall > 0
    async with identity.matching(tenant) as matching:
        request = match_pb2.MatchFacesRequest(faces=[query(tenant, analyser.embed(seen))])
        (decision,) = (await matching.MatchFaces(request)).decisions
    assert decision.staff_id == ann


@pytest.mark.parametrize(
    ("image", "why"),
    [
        pytest.param(b"GIF89a, or so", "IMAGE_INVALID", id="another format"),
        pytest.param(jpeg()[:-20], "IMAGE_INVALID", id="cut short"),
        pytest.param(png_bomb(9000), "IMAGE_TOO_LARGE", id="81 million pixels in a kilobyte"),
        pytest.param(png_bomb(30000), "IMAGE_TOO_LARGE", id="900 million pixels in a kilobyte"),
        pytest.param(png_bomb(500), "IMAGE_INVALID", id="a header that promised more than there is"),
        pytest.param(b"\xff\xd8\xff" + bytes(9 * 1024 * 1024), "INVALID_FIELD", id="9 MiB"),
        pytest.param(aisle(), "IMAGE_WITHOUT_FACE", id="nobody"),
        pytest.param(aisle(ANN, BOB), "IMAGE_SEVERAL_FACES", id="two people"),
        pytest.param(jpeg(400), "MODEL_MISSING", id="a photograph, and no weights"),
    ],
)
async def test_a_picture_that_will_not_do_is_refused_by_name_and_leaves_nothing(
    identity: RunningIdentity, tenant: SeededTenant, image: bytes, why: str
) -> None:
    async with identity.staff(tenant) as stub:
        ann = await hire(stub)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.AddStaffFace(picture_of(ann, image))
    assert (reason(refused.value), fields(refused.value)) == (why, ["image"])
    assert await identity.pictures() == []
    assert identity.rows("SELECT count(*) FROM staff_faces") == [(0,)]


async def test_a_poor_face_enrols_nobody_but_may_be_tested(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path
) -> None:
    tenant = seed_tenant(database)
    async with (
        running_identity(database, peers, tmp_path, founding_quality=1.0) as identity,
        identity.staff(tenant) as stub,
    ):
        ann = await hire(stub)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.AddStaffFace(picture_of(ann, staff_photos(ANN)[0]))
        assert (reason(refused.value), fields(refused.value)) == ("IMAGE_QUALITY_LOW", ["image"])
        tested = await stub.TestRecognition(staff_face_pb2.TestRecognitionRequest(id=ann, image=staff_photos(ANN)[0]))
        assert not tested.recognised
        assert not tested.HasField("similarity")


async def test_a_repeat_gets_the_first_answer_and_leaves_one_picture(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    photo, subject = staff_photos(ANN)[0], uuid4()
    async with identity.staff(tenant, subject_id=subject) as stub:
        ann = await hire(stub)
        request = picture_of(ann, photo, request_id=str(uuid4()))
        first, at_once = await asyncio.gather(stub.AddStaffFace(request), stub.AddStaffFace(request))
        again = await stub.AddStaffFace(request)
        without_id = await stub.AddStaffFace(picture_of(ann, photo))
    assert first == at_once == again == without_id
    assert len(await identity.pictures()) == 1


async def test_a_face_of_somebody_else_leaves_no_picture(identity: RunningIdentity, tenant: SeededTenant) -> None:
    async with identity.staff(tenant) as stub:
        ann, bob = await hire(stub), await hire(stub, "Bob")
        await stub.AddStaffFace(picture_of(ann, staff_photos(ANN)[0]))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.AddStaffFace(picture_of(bob, staff_photos(ANN)[1]))
    assert reason(refused.value) == "FACE_ALREADY_KNOWN"
    assert len(await identity.pictures()) == 1


async def test_a_removed_face_takes_its_picture_and_its_vector_along(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    async with identity.staff(tenant) as stub:
        ann = await hire(stub)
        face = (await stub.AddStaffFace(picture_of(ann, staff_photos(ANN)[0]))).face
        await stub.DeleteStaffFace(staff_face_pb2.DeleteStaffFaceRequest(staff_id=ann, id=face.id))
    assert identity.rows("SELECT count(*) FROM embeddings") == [(0,)]

    async def gone() -> bool:
        left = await identity.pictures()
        return not left and await identity.index.count(SPACE, TenantId(tenant.tenant_id)) == 0

    await until(gone)


async def test_a_picture_that_no_row_names_is_swept_away(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path
) -> None:
    tenant = seed_tenant(database)
    orphan = f"t/{tenant.tenant_id}/staff/{uuid4()}/{UUID('01890a5d-ac96-774b-bcce-b302099a8057')}.png"
    elsewhere = f"t/{tenant.tenant_id}/faces/2026-01-01/{uuid4()}.jpg"
    async with running_identity(database, peers, tmp_path, orphan_seconds=1) as identity:
        await identity.images.put(orphan, b"png", "image/png")
        await identity.images.put(elsewhere, b"jpeg", "image/jpeg")
        async with identity.staff(tenant) as stub:
            await stub.AddStaffFace(picture_of(await hire(stub), staff_photos(ANN)[0]))

        async def swept() -> bool:
            return await identity.images.stat(orphan) is None

        await until(swept)
        assert await identity.images.stat(elsewhere) is not None
        ((kept,),) = identity.rows("SELECT object_key FROM staff_faces")
        assert await identity.images.stat(kept) is not None


async def test_an_embedding_made_elsewhere_has_no_picture(identity: RunningIdentity, tenant: SeededTenant) -> None:
    async with identity.staff(tenant) as stub:
        ann = await hire(stub)
        given = query(tenant, person_vector(1)).embedding
        face = (await stub.AddStaffFace(staff_face_pb2.AddStaffFaceRequest(staff_id=ann, embedding=given))).face
    assert not face.HasField("image_id")
    assert not face.HasField("quality")
