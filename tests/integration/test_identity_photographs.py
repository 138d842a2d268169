"""Real weights, real photographs: staff enrolled by one are recognised by another, and nobody else is."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from footfall.identity.v1 import staff_face_pb2, staff_pb2

from mesh.tls import Tls
from tests.support.database import TestDatabase
from tests.support.identity import running_identity
from tests.support.mesh import fields, reason
from tests.support.pictures import faces_folder, models_folder  # noqa: F401  (fixtures)
from tests.support.seed import seed_tenant

PEOPLE = 8


def photographs(folder: Path) -> dict[str, list[bytes]]:
    """The first people's photographs, by person."""
    by_person: dict[str, list[bytes]] = {}
    with (folder / "labels.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            by_person.setdefault(row["identity"], []).append((folder / row["file"]).read_bytes())
    return dict(list(by_person.items())[:PEOPLE])


async def test_staff_enrolled_by_one_photograph_are_recognised_by_the_next_and_nobody_else_is(
    database: TestDatabase,
    peers: Callable[[str], Tls],
    tmp_path: Path,
    models_folder: Path,  # noqa: F811
    faces_folder: Path,  # noqa: F811
) -> None:
    tenant, people = seed_tenant(database), photographs(faces_folder)
    recognised, fused, tested = 0, 0, 0
    async with (
        running_identity(database, peers, tmp_path, models=models_folder) as identity,
        identity.staff(tenant) as stub,
    ):
        staff = {}
        for name, photos in people.items():
            made = await stub.CreateStaff(staff_pb2.CreateStaffRequest(staff=staff_pb2.Staff(display_name=name)))
            staff[name] = made.staff.id
            added = await stub.AddStaffFace(staff_face_pb2.AddStaffFaceRequest(staff_id=made.staff.id, image=photos[0]))
            assert added.face.space == "mobilefacenet-ms1m@1"
        for name, photos in people.items():
            for photo in photos[1:]:
                request = staff_face_pb2.TestRecognitionRequest(id=staff[name], image=photo)
                try:
                    answer = await stub.TestRecognition(request)
                except grpc.aio.AioRpcError as error:
                    if reason(error) == "IMAGE_SEVERAL_FACES":  # a bystander of similar size: whose is meant?
                        continue
                    raise
                tested += 1
                recognised += answer.recognised
                nearest = answer.candidates[0]
                fused += nearest.staff_id != staff[name] and nearest.similarity >= answer.threshold
        assert tested > PEOPLE
        assert fused == 0
        assert recognised >= 0.7 * tested
        group = next((faces_folder / "groups").glob("*.jpg")).read_bytes()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.AddStaffFace(staff_face_pb2.AddStaffFaceRequest(staff_id=staff[next(iter(staff))], image=group))
        assert (reason(refused.value), fields(refused.value)) == ("IMAGE_SEVERAL_FACES", ["image"])
