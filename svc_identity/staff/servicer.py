"""StaffService on the wire. ImportStaff and RecalculateStaffEmbeddings come with a later version."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from footfall.identity.v1 import customer_profile_pb2, gallery_pb2, staff_face_pb2, staff_pb2, staff_pb2_grpc
from footfall.type.v1 import problem_pb2

from mesh.auth import Caller, current_caller
from mesh.database import Tx
from mesh.errors import FieldViolation, MeshError, Unavailable, problem
from mesh.ids import EmbeddingId, SiteId, StaffId
from mesh.interceptors.base import Context
from mesh.interceptors.errors import understood
from mesh.paging import PageTokens, page_size
from svc_identity.staff import faces_store, store
from svc_identity.staff.domain import Field, StaffFace, StaffMember
from svc_identity.staff.faces import StaffFaces
from svc_identity.staff.gallery import Galleries
from svc_identity.staff.recognition import PhotoSearch, Recognition
from svc_identity.staff.roster import Roster
from svc_identity.staff.wire import (
    face_message,
    gallery_message,
    read_draft,
    read_source,
    recognition_message,
    staff_message,
)
from svc_identity.transactions import Transactions

_APPLIED: Final = customer_profile_pb2.APPLY_STATE_APPLIED


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffServicer(staff_pb2_grpc.StaffServiceServicer):
    """
    Attributes:
        roster, faces, search, galleries: the use cases.
        transactions: one per RPC.
        pages: reads and makes page tokens.
    """

    roster: Roster
    faces: StaffFaces
    search: PhotoSearch
    galleries: Galleries
    transactions: Transactions
    pages: PageTokens

    async def ListStaff(self, request: staff_pb2.ListStaffRequest, _context: Context) -> staff_pb2.ListStaffResponse:
        caller, size = current_caller(), page_size(request.page_size)
        site_ids = frozenset(SiteId(UUID(site)) for site in request.site_ids)
        for site_id in site_ids:
            caller.check_site(site_id)
        wanted = store.Filter(
            reach=caller.visible_sites,
            site_ids=site_ids,
            external_id=request.external_id,
            suspended=request.suspended if request.HasField("suspended") else None,
            without_face=request.without_face if request.HasField("without_face") else None,
        )
        column, _, direction = (request.order_by or "display_name").partition(" ")
        order = store.Order(column, bool(direction))
        after = _staff_position(self.pages.decode(request, caller.tenant), column)

        async def work(tx: Tx, _caller: Caller) -> list[StaffMember]:
            return await store.list_staff(tx, wanted, order, after, size + 1)

        found = await self.transactions.read(work)
        response = staff_pb2.ListStaffResponse(staff=[staff_message(member) for member in found[:size]])
        if len(found) > size:
            last = found[size - 1]
            value = last.create_time if column == "create_time" else last.entered.display_name
            response.next_page_token = self.pages.encode(request, caller.tenant, [value, last.id])
        return response

    async def GetStaff(self, request: staff_pb2.GetStaffRequest, _context: Context) -> staff_pb2.GetStaffResponse:
        async def work(tx: Tx, caller: Caller) -> StaffMember:
            return await self.roster.get(tx, caller, _staff_id(request.id))

        return staff_pb2.GetStaffResponse(staff=staff_message(await self.transactions.read(work)))

    async def CreateStaff(
        self, request: staff_pb2.CreateStaffRequest, _context: Context
    ) -> staff_pb2.CreateStaffResponse:
        if request.from_customer_id:
            raise MeshError(
                problem_pb2.ERROR_REASON_NOT_BUILT_YET,
                "making a customer staff is not built yet: leave from_customer_id empty",
                violations=[FieldViolation("from_customer_id", "is not built yet")],
            )

        async def work(tx: Tx, caller: Caller) -> staff_pb2.CreateStaffResponse:
            member = await self.roster.create(tx, caller, read_draft(request.staff))
            return staff_pb2.CreateStaffResponse(staff=staff_message(member), apply_state=_APPLIED)

        return await self.transactions.write(request, staff_pb2.CreateStaffResponse, work)

    async def UpdateStaff(
        self, request: staff_pb2.UpdateStaffRequest, _context: Context
    ) -> staff_pb2.UpdateStaffResponse:
        fields = {Field(path) for path in request.update_mask.paths}

        async def work(tx: Tx, caller: Caller) -> staff_pb2.UpdateStaffResponse:
            member = await self.roster.update(
                tx, caller, _staff_id(request.staff.id), read_draft(request.staff), fields
            )
            return staff_pb2.UpdateStaffResponse(staff=staff_message(member))

        return await self.transactions.write(request, staff_pb2.UpdateStaffResponse, work)

    async def DeleteStaff(
        self, request: staff_pb2.DeleteStaffRequest, _context: Context
    ) -> staff_pb2.DeleteStaffResponse:
        async def work(tx: Tx, caller: Caller) -> staff_pb2.DeleteStaffResponse:
            await self.roster.delete(tx, caller, _staff_id(request.id))
            return staff_pb2.DeleteStaffResponse()

        return await self.transactions.write(request, staff_pb2.DeleteStaffResponse, work)

    async def ListStaffFaces(
        self, request: staff_face_pb2.ListStaffFacesRequest, _context: Context
    ) -> staff_face_pb2.ListStaffFacesResponse:
        tenant_id, size = current_caller().tenant, page_size(request.page_size)
        position, staff_id = self.pages.decode(request, tenant_id), _staff_id(request.staff_id)
        after = None
        if position is not None:
            after = (bool(position[0]), datetime.fromisoformat(position[1]), UUID(position[2]))

        async def work(tx: Tx, caller: Caller) -> list[StaffFace]:
            await self.roster.get(tx, caller, staff_id)
            return await faces_store.list_faces(tx, staff_id, after, size + 1)

        found = await self.transactions.read(work)
        response = staff_face_pb2.ListStaffFacesResponse(faces=[face_message(face) for face in found[:size]])
        if len(found) > size:
            last = found[size - 1]
            place = [not last.primary, last.create_time, last.id]
            response.next_page_token = self.pages.encode(request, tenant_id, place)
        return response

    async def AddStaffFace(
        self, request: staff_face_pb2.AddStaffFaceRequest, _context: Context
    ) -> staff_face_pb2.AddStaffFaceResponse:
        caller, staff_id, answer = current_caller(), _staff_id(request.staff_id), staff_face_pb2.AddStaffFaceResponse
        if (first := await self.transactions.answered(request, answer)) is not None:
            return first
        new = await self.faces.look(caller, staff_id, read_source(request), any_quality=False)
        kept = await self.faces.keep(caller, staff_id, new)

        async def work(tx: Tx, caller: Caller) -> staff_face_pb2.AddStaffFaceResponse:
            face = await self.faces.add(tx, caller, staff_id, new, kept, primary=request.primary)
            return staff_face_pb2.AddStaffFaceResponse(face=face_message(face))

        try:
            response = await self.transactions.write(request, answer, work)
        except Unavailable:
            raise  # nobody knows whether the row is there: the picture stays, or is an orphan that the sweep removes
        except MeshError:
            await self.faces.drop(kept)
            raise
        if response.face.id != str(
            kept.face_id
        ):  # the same face was there already, or the same request came twice at once
            await self.faces.drop(kept)
        self.faces.grown(caller.tenant)
        return response

    async def DeleteStaffFace(
        self, request: staff_face_pb2.DeleteStaffFaceRequest, _context: Context
    ) -> staff_face_pb2.DeleteStaffFaceResponse:
        async def work(tx: Tx, caller: Caller) -> staff_face_pb2.DeleteStaffFaceResponse:
            await self.faces.remove(tx, caller, _staff_id(request.staff_id), _face_id(request.id))
            return staff_face_pb2.DeleteStaffFaceResponse()

        return await self.transactions.write(request, staff_face_pb2.DeleteStaffFaceResponse, work)

    async def SetPrimaryStaffFace(
        self, request: staff_face_pb2.SetPrimaryStaffFaceRequest, _context: Context
    ) -> staff_face_pb2.SetPrimaryStaffFaceResponse:
        async def work(tx: Tx, caller: Caller) -> staff_face_pb2.SetPrimaryStaffFaceResponse:
            face = await self.faces.make_primary(tx, caller, _staff_id(request.staff_id), _face_id(request.id))
            return staff_face_pb2.SetPrimaryStaffFaceResponse(face=face_message(face))

        return await self.transactions.write(request, staff_face_pb2.SetPrimaryStaffFaceResponse, work)

    async def TestRecognition(
        self, request: staff_face_pb2.TestRecognitionRequest, _context: Context
    ) -> staff_face_pb2.TestRecognitionResponse:
        caller, staff_id, answer = current_caller(), _staff_id(request.id), staff_face_pb2.TestRecognitionResponse
        if (first := await self.transactions.answered(request, answer)) is not None:
            return first
        face = await self.faces.look(caller, staff_id, read_source(request), any_quality=True)
        hits = await self.search.propose(caller, face)

        async def work(tx: Tx, caller: Caller) -> staff_face_pb2.TestRecognitionResponse:
            found: Recognition = await self.search.test(tx, caller, staff_id, face, hits)
            return recognition_message(found, face)

        return await self.transactions.write(request, answer, work)

    async def WatchGallery(
        self, request: gallery_pb2.WatchGalleryRequest, _context: Context
    ) -> AsyncIterator[gallery_pb2.WatchGalleryResponse]:
        begun = False
        try:
            async for message in self.galleries.watch(current_caller(), request.space, request.revision):
                begun = True
                yield gallery_message(message, request.space)
        except Exception as error:
            if begun:  # a status in the middle of a JSON stream is invisible; before it, it is the status of the call
                yield gallery_pb2.WatchGalleryResponse(problem=problem(understood(error)))
            raise


def _staff_id(value: str) -> StaffId:
    return StaffId(UUID(value))


def _face_id(value: str) -> EmbeddingId:
    return EmbeddingId(UUID(value))


def _staff_position(position: list[str] | None, column: str) -> tuple[str | datetime, UUID] | None:
    if position is None:
        return None
    value = datetime.fromisoformat(position[0]) if column == "create_time" else position[0]
    return value, UUID(position[1])
