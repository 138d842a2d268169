"""The use cases of staff, the people. Each runs in the transaction that it is given."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from footfall.type.v1 import problem_pb2

from mesh.audit import Audit
from mesh.auth import Caller
from mesh.clock import Clock
from mesh.database import Tx, lock
from mesh.errors import AlreadyExists, InvalidField, NotFound, PermissionDenied
from mesh.ids import Ids, SiteId, StaffId
from svc_identity import outbox
from svc_identity.staff import faces_store, store
from svc_identity.staff.domain import Draft, Field, StaffMember, may_change, may_see

_KIND: Final = "staff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """
    Attributes:
        audit, clock, ids: given.
    """

    audit: Audit
    clock: Clock
    ids: Ids

    async def get(self, tx: Tx, caller: Caller, staff_id: StaffId, *, lock: bool = False) -> StaffMember:
        """One staff member.

        Raises:
            NotFound: not the caller's tenant's, none of the caller's sites', or removed.
        """
        member = await store.get_staff(tx, staff_id, lock=lock)
        if member is None or not may_see(caller.visible_sites, member.entered.site_ids):
            raise NotFound(_KIND, staff_id)
        return member

    async def to_change(self, tx: Tx, caller: Caller, staff_id: StaffId) -> StaffMember:
        """One staff member whom nobody else changes until the transaction ends.

        Raises:
            NotFound: as `get`.
            PermissionDenied: SITE_NOT_ALLOWED, they work beyond the caller's sites too.
        """
        member = await self.get(tx, caller, staff_id, lock=True)
        _check_reach(caller, member.entered.site_ids)
        return member

    async def create(self, tx: Tx, caller: Caller, draft: Draft) -> StaffMember:
        """Makes a staff member.

        Raises:
            InvalidField: a site that the tenant does not have.
            PermissionDenied: SITE_NOT_ALLOWED.
            AlreadyExists: the external id is another one's.
        """
        await self._check(tx, caller, draft)
        now = self.clock.now()
        staff_id = StaffId(self.ids.uuid7(now))
        await store.insert_staff(tx, caller.tenant, staff_id, draft, now)
        details = {"site_ids": sorted(map(str, draft.site_ids))}
        await self.audit.record(tx, caller, "staff.create", target_kind=_KIND, target_id=staff_id, details=details)
        return await self.get(tx, caller, staff_id)

    async def update(
        self, tx: Tx, caller: Caller, staff_id: StaffId, wanted: Draft, fields: Collection[Field]
    ) -> StaffMember:
        """Sets the fields that are named.

        Raises:
            NotFound, PermissionDenied: as `to_change`.
            InvalidField, AlreadyExists: as `create`.
        """
        member = await self.to_change(tx, caller, staff_id)
        after = replace(member.entered, **{field.value: getattr(wanted, field.value) for field in fields})
        await self._check(tx, caller, after, staff_id, sites_changed=Field.SITE_IDS in fields)
        await store.update_staff(tx, staff_id, after, self.clock.now())
        if (after.site_ids, after.suspended) != (member.entered.site_ids, member.entered.suspended):
            await faces_store.bump_gallery(tx, caller.tenant, await faces_store.spaces_of(tx, staff_id))
        details = {"fields": sorted(field.value for field in fields)}
        await self.audit.record(tx, caller, "staff.update", target_kind=_KIND, target_id=staff_id, details=details)
        return await self.get(tx, caller, staff_id)

    async def delete(self, tx: Tx, caller: Caller, staff_id: StaffId) -> None:
        """Removes a staff member with every face; images and vectors follow the commit.

        Raises:
            NotFound, PermissionDenied: as `to_change`.
        """
        await self.to_change(tx, caller, staff_id)
        gone = await faces_store.delete_faces(tx, staff_id)
        await store.blank_staff(tx, staff_id, self.clock.now())
        await outbox.forget_vectors(tx, caller.tenant, [(face.space, face.id) for face in gone])
        for face in gone:
            if face.object_key is not None:
                await outbox.remove_image(tx, face.object_key)
        await faces_store.bump_gallery(tx, caller.tenant, {face.space for face in gone})
        details = {"faces": len(gone)}
        await self.audit.record(tx, caller, "staff.delete", target_kind=_KIND, target_id=staff_id, details=details)

    async def _check(
        self, tx: Tx, caller: Caller, draft: Draft, staff_id: StaffId | None = None, *, sites_changed: bool = True
    ) -> None:
        if sites_changed:
            _check_reach(caller, draft.site_ids)
            await _check_sites(tx, draft.site_ids)
        if draft.external_id:
            await lock(tx, ("staff.external_id", caller.tenant, draft.external_id))
            if await store.external_id_taken(tx, draft.external_id, staff_id):
                raise AlreadyExists("staff.external_id")


def _check_reach(caller: Caller, site_ids: frozenset[SiteId]) -> None:
    if not may_change(caller.visible_sites, site_ids):
        raise PermissionDenied(
            "you are held to your own sites, and this staff member works beyond them",
            reason=problem_pb2.ERROR_REASON_SITE_NOT_ALLOWED,
        )


async def _check_sites(tx: Tx, site_ids: frozenset[SiteId]) -> None:
    if site_ids and site_ids - await store.open_sites(tx, site_ids):
        raise InvalidField("staff.site_ids", "names a site that there is not")
