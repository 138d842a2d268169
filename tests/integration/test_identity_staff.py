"""Staff from being made to being removed: who may, what is kept, what is refused by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from footfall.identity.v1 import match_pb2, staff_face_pb2, staff_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from mesh.access import Role
from mesh.ids import TenantId
from mesh.tls import Tls
from tests.support.database import TestDatabase
from tests.support.faces import person_vector, shot
from tests.support.identity import SPACE, RunningIdentity, embedding, query, running_identity
from tests.support.mesh import fields, reason
from tests.support.seed import SeededTenant, seed_site, seed_tenant
from tests.support.waiting import until


@pytest.fixture
async def identity(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path
) -> AsyncIterator[RunningIdentity]:
    async with running_identity(database, peers, tmp_path) as running:
        yield running


@pytest.fixture
def tenant(identity: RunningIdentity) -> SeededTenant:
    return seed_tenant(identity.database)


async def hire(stub: Any, name: str = "Ann", **entered: Any) -> staff_pb2.Staff:
    made: staff_pb2.CreateStaffResponse = await stub.CreateStaff(
        staff_pb2.CreateStaffRequest(staff=staff_pb2.Staff(display_name=name, **entered), request_id=str(uuid4()))
    )
    return made.staff


def face_of(person: int, staff_id: str, **given: Any) -> staff_face_pb2.AddStaffFaceRequest:
    return staff_face_pb2.AddStaffFaceRequest(staff_id=staff_id, embedding=embedding(person_vector(person)), **given)


async def test_a_staff_member_is_made_found_changed_and_removed(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    async with identity.staff(tenant) as stub:
        made = await hire(stub, external_id="7", site_ids=[str(tenant.site_id)])
        found = (await stub.GetStaff(staff_pb2.GetStaffRequest(id=made.id))).staff
        assert found == made
        assert (found.face_count, found.HasField("primary_face_id")) == (0, False)
        changed = await stub.UpdateStaff(
            staff_pb2.UpdateStaffRequest(
                staff=staff_pb2.Staff(id=made.id, display_name="Ann B.", suspended=True, external_id="8"),
                update_mask=FieldMask(paths=["display_name", "suspended"]),
            )
        )
        assert (changed.staff.display_name, changed.staff.suspended) == ("Ann B.", True)
        assert (changed.staff.external_id, list(changed.staff.site_ids)) == ("7", [str(tenant.site_id)])
        await stub.DeleteStaff(staff_pb2.DeleteStaffRequest(id=made.id))
        with pytest.raises(grpc.aio.AioRpcError) as gone:
            await stub.GetStaff(staff_pb2.GetStaffRequest(id=made.id))
        assert reason(gone.value) == "NOT_FOUND"
        assert not (await stub.ListStaff(staff_pb2.ListStaffRequest())).staff
    assert identity.rows("SELECT display_name, external_id FROM staff") == [("", None)]
    actions = identity.rows("SELECT action, target_id::text FROM audit_entries ORDER BY id")
    assert actions == [("staff.create", made.id), ("staff.update", made.id), ("staff.delete", made.id)]


async def test_a_repeated_request_makes_one_staff_member(identity: RunningIdentity, tenant: SeededTenant) -> None:
    request = staff_pb2.CreateStaffRequest(staff=staff_pb2.Staff(display_name="Ann"), request_id=str(uuid4()))
    subject = uuid4()
    async with identity.staff(tenant, subject_id=subject) as stub:
        first, second = await stub.CreateStaff(request), await stub.CreateStaff(request)
        assert first == second
        request.staff.display_name = "Bob"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.CreateStaff(request)
    assert reason(refused.value) == "REQUEST_ID_REUSED"
    assert identity.rows("SELECT count(*) FROM staff") == [(1,)]


async def test_an_external_id_is_ones_own(identity: RunningIdentity, tenant: SeededTenant) -> None:
    async with identity.staff(tenant) as stub:
        await hire(stub, external_id="7")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await hire(stub, "Bob", external_id="7")
    assert (reason(refused.value), fields(refused.value)) == ("ALREADY_EXISTS", ["staff.external_id"])


async def test_what_is_not_built_yet_is_named(identity: RunningIdentity, tenant: SeededTenant) -> None:
    async with identity.staff(tenant) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.CreateStaff(
                staff_pb2.CreateStaffRequest(staff=staff_pb2.Staff(display_name="Ann"), from_customer_id=str(uuid4()))
            )
        assert (reason(refused.value), fields(refused.value)) == ("NOT_BUILT_YET", ["from_customer_id"])
        with pytest.raises(grpc.aio.AioRpcError) as later:
            await stub.ImportStaff(staff_pb2.ImportStaffRequest(rows=[staff_pb2.StaffImport()]))
    assert reason(later.value) == "NOT_BUILT_YET"


async def test_a_site_that_there_is_not_is_refused(identity: RunningIdentity, tenant: SeededTenant) -> None:
    theirs = seed_tenant(identity.database, name="Other")
    async with identity.staff(tenant) as stub:
        for site in (uuid4(), theirs.site_id):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await hire(stub, site_ids=[str(site)])
            assert fields(refused.value) == ["staff.site_ids"]


async def test_staff_are_listed_by_name_page_by_page_and_by_filter(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    async with identity.staff(tenant) as stub:
        for name in ("Cleo", "Ann", "Bob"):
            await hire(stub, name, external_id=name.lower(), suspended=name == "Bob")
        names, request = [], staff_pb2.ListStaffRequest(page_size=2)
        while True:
            page = await stub.ListStaff(request)
            names.append([member.display_name for member in page.staff])
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert names == [["Ann", "Bob"], ["Cleo"]]
        latest = staff_pb2.ListStaffRequest(order_by="create_time desc", page_size=1)
        first = await stub.ListStaff(latest)
        latest.page_token = first.next_page_token
        second = await stub.ListStaff(latest)
        assert [page.staff[0].display_name for page in (first, second)] == ["Bob", "Ann"]
        suspended = await stub.ListStaff(staff_pb2.ListStaffRequest(suspended=True))
        assert [member.display_name for member in suspended.staff] == ["Bob"]
        by_key = await stub.ListStaff(staff_pb2.ListStaffRequest(external_id="ann", without_face=True))
        assert [member.display_name for member in by_key.staff] == ["Ann"]
        assert not (await stub.ListStaff(staff_pb2.ListStaffRequest(without_face=False))).staff


async def test_another_tenants_staff_do_not_exist(identity: RunningIdentity, tenant: SeededTenant) -> None:
    theirs = seed_tenant(identity.database, name="Other")
    async with identity.staff(theirs) as stub:
        hidden = await hire(stub)
        await stub.AddStaffFace(face_of(1, hidden.id))
    async with identity.staff(tenant) as stub:
        assert not (await stub.ListStaff(staff_pb2.ListStaffRequest())).staff
        for call, request in (
            (stub.GetStaff, staff_pb2.GetStaffRequest(id=hidden.id)),
            (stub.DeleteStaff, staff_pb2.DeleteStaffRequest(id=hidden.id)),
            (stub.ListStaffFaces, staff_face_pb2.ListStaffFacesRequest(staff_id=hidden.id)),
            (stub.AddStaffFace, face_of(2, hidden.id)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(request)
            assert reason(refused.value) == "NOT_FOUND"
        # The same face may work in two tenants.
        ours = await hire(stub)
        await stub.AddStaffFace(face_of(1, ours.id))


@pytest.mark.parametrize("role", [Role.VIEWER, Role.PRIVACY_OFFICER, Role.WORKER])
async def test_others_have_no_business_with_staff(identity: RunningIdentity, tenant: SeededTenant, role: Role) -> None:
    async with identity.staff(tenant, role) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListStaff(staff_pb2.ListStaffRequest())
    assert reason(refused.value) == "ROLE_NOT_ALLOWED"


async def test_a_site_manager_is_held_to_the_staff_of_its_sites(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    other = seed_site(identity.database, tenant)
    here, there = str(tenant.site_id), str(other.site_id)
    async with identity.staff(tenant) as admin:
        elsewhere = await hire(admin, "Elsewhere", site_ids=[there])
        everywhere = await hire(admin, "Everywhere")
        both = await hire(admin, "Both", site_ids=[here, there])
    async with identity.staff(tenant, Role.SITE_MANAGER, site_ids=[tenant.site_id]) as manager:
        mine = await hire(manager, "Mine", site_ids=[here])
        listed = await manager.ListStaff(staff_pb2.ListStaffRequest())
        assert [member.display_name for member in listed.staff] == ["Both", "Everywhere", "Mine"]
        with pytest.raises(grpc.aio.AioRpcError) as hidden:
            await manager.GetStaff(staff_pb2.GetStaffRequest(id=elsewhere.id))
        assert reason(hidden.value) == "NOT_FOUND"
        for beyond in (everywhere, both):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await manager.AddStaffFace(face_of(1, beyond.id))
            assert reason(refused.value) == "SITE_NOT_ALLOWED"
        for sites in ([], [there], [here, there]):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await hire(manager, site_ids=sites)
            assert reason(refused.value) == "SITE_NOT_ALLOWED"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await manager.ListStaff(staff_pb2.ListStaffRequest(site_ids=[there]))
        assert reason(refused.value) == "SITE_NOT_ALLOWED"
        await manager.AddStaffFace(face_of(1, mine.id))
        await manager.DeleteStaff(staff_pb2.DeleteStaffRequest(id=mine.id))


async def test_faces_are_added_chosen_and_removed(identity: RunningIdentity, tenant: SeededTenant) -> None:
    async with identity.staff(tenant) as stub:
        ann = await hire(stub)
        first = (await stub.AddStaffFace(face_of(1, ann.id))).face
        second = (
            await stub.AddStaffFace(
                staff_face_pb2.AddStaffFaceRequest(staff_id=ann.id, embedding=embedding(shot(1, 0.8)))
            )
        ).face
        assert (first.primary, second.primary, first.space) == (True, False, SPACE)
        assert not first.HasField("image_id")
        chosen = await stub.SetPrimaryStaffFace(
            staff_face_pb2.SetPrimaryStaffFaceRequest(staff_id=ann.id, id=second.id)
        )
        assert chosen.face.primary
        listed = (await stub.ListStaffFaces(staff_face_pb2.ListStaffFacesRequest(staff_id=ann.id))).faces
        assert [face.id for face in listed] == [second.id, first.id]
        await stub.DeleteStaffFace(staff_face_pb2.DeleteStaffFaceRequest(staff_id=ann.id, id=second.id))
        with pytest.raises(grpc.aio.AioRpcError) as gone:
            await stub.DeleteStaffFace(staff_face_pb2.DeleteStaffFaceRequest(staff_id=ann.id, id=second.id))
        assert reason(gone.value) == "NOT_FOUND"
        ann = (await stub.GetStaff(staff_pb2.GetStaffRequest(id=ann.id))).staff
        assert (ann.face_count, ann.primary_face_id) == (1, first.id)
    actions = [row[0] for row in identity.rows("SELECT action FROM audit_entries ORDER BY id")]
    assert actions[1:] == ["staff.add_face", "staff.add_face", "staff.set_primary_face", "staff.delete_face"]


async def test_a_face_is_one_staff_members_only(identity: RunningIdentity, tenant: SeededTenant) -> None:
    async with identity.staff(tenant) as stub:
        ann, bob = await hire(stub), await hire(stub, "Bob")
        await stub.AddStaffFace(face_of(1, ann.id))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.AddStaffFace(face_of(1, bob.id))
        assert reason(refused.value) == "FACE_ALREADY_KNOWN"


async def test_a_staff_member_has_twenty_faces_at_most(identity: RunningIdentity, tenant: SeededTenant) -> None:
    async with identity.staff(tenant) as stub:
        ann = await hire(stub)
        for person in range(20):
            await stub.AddStaffFace(face_of(person, ann.id))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.AddStaffFace(face_of(20, ann.id))
    assert reason(refused.value) == "LIMIT_REACHED"


async def test_a_space_that_is_not_used_here_enrols_nobody(identity: RunningIdentity, tenant: SeededTenant) -> None:
    async with identity.staff(tenant) as stub:
        ann = await hire(stub)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.AddStaffFace(
                staff_face_pb2.AddStaffFaceRequest(staff_id=ann.id, embedding=embedding(person_vector(1), "facenet@1"))
            )
        assert (reason(refused.value), fields(refused.value)) == ("EMBEDDING_SPACE_UNKNOWN", ["embedding.space"])
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.AddStaffFace(
                staff_face_pb2.AddStaffFaceRequest(staff_id=ann.id, embedding=embedding(person_vector(1) * 2))
            )
        assert (reason(refused.value), fields(refused.value)) == ("EMBEDDING_INVALID", ["embedding.vector"])


async def test_staff_are_recognised_as_soon_as_they_are_enrolled_even_in_what_was_filmed_before(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    async with identity.staff(tenant) as stub:
        ann = await hire(stub)
        await stub.AddStaffFace(face_of(1, ann.id))
    async with identity.matching(tenant) as matching:  # NOON lies months before
        answer = await matching.MatchFaces(match_pb2.MatchFacesRequest(faces=[query(tenant, shot(1, 0.7))]))
    assert answer.decisions[0].staff_id == ann.id


async def test_a_removed_staff_member_leaves_the_index_and_is_a_stranger(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    async with identity.staff(tenant) as stub:
        ann = await hire(stub)
        await stub.AddStaffFace(face_of(1, ann.id))
        await until_indexed(identity, tenant, 1)
        await stub.DeleteStaff(staff_pb2.DeleteStaffRequest(id=ann.id))
    await until_indexed(identity, tenant, 0)
    assert identity.rows("SELECT count(*) FROM embeddings") == [(0,)]
    async with identity.matching(tenant) as matching:
        answer = await matching.MatchFaces(match_pb2.MatchFacesRequest(faces=[query(tenant, shot(1, 0.9))]))
    assert answer.decisions[0].verdict == match_pb2.MatchDecision.VERDICT_ENROLLED


async def test_a_recognition_test_says_what_matching_would_and_keeps_nothing(
    identity: RunningIdentity, tenant: SeededTenant
) -> None:
    async with identity.staff(tenant) as stub:
        ann, bob = await hire(stub), await hire(stub, "Bob")
        await stub.AddStaffFace(face_of(1, ann.id))
        await stub.AddStaffFace(face_of(2, bob.id))

        async def tested(staff_id: str, similarity: float) -> staff_face_pb2.TestRecognitionResponse:
            request = staff_face_pb2.TestRecognitionRequest(id=staff_id, embedding=embedding(shot(1, similarity)))
            answer: staff_face_pb2.TestRecognitionResponse = await stub.TestRecognition(request)
            return answer

        yes, no, unsure = await tested(ann.id, 0.8), await tested(bob.id, 0.8), await tested(ann.id, 0.3)
    assert (yes.recognised, no.recognised, unsure.recognised) == (True, False, False)
    assert yes.similarity == pytest.approx(0.8, abs=1e-3)
    assert [candidate.staff_id for candidate in yes.candidates] == [ann.id, bob.id]
    assert identity.rows("SELECT count(*) FROM match_decisions") == [(0,)]
    assert identity.rows("SELECT count(*) FROM audit_entries WHERE action = 'staff.test_recognition'") == [(3,)]


async def until_indexed(identity: RunningIdentity, tenant: SeededTenant, count: int) -> None:
    async def there() -> bool:
        return await identity.index.count(SPACE, TenantId(tenant.tenant_id)) == count

    await until(there)
