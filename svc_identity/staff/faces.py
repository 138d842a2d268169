"""The use cases of staff's faces: added by photograph or embedding, chosen, removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from footfall.type.v1 import problem_pb2

from mesh.audit import Audit
from mesh.auth import Caller
from mesh.clock import Clock
from mesh.database import Database, Tx, lock
from mesh.errors import FailedPrecondition, InvalidField, MeshError, NotFound
from mesh.ids import EmbeddingId, Ids, ImageId, StaffId, TenantId
from mesh.objects import ObjectStore
from svc_identity import outbox
from svc_identity.matching.domain import Policy
from svc_identity.matching.service import Matching
from svc_identity.staff import faces_store, store
from svc_identity.staff.domain import MOST_FACES, NewFace, StaffFace
from svc_identity.staff.portraits import Portraits, poor
from svc_identity.staff.roster import Roster
from svc_identity.vectors.vault import VectorVault

_KIND: Final = "staff_face"


@dataclass(frozen=True, slots=True)
class Kept:
    """A face that is to be added: the id that it will have, and where its picture lies already (None: it has none)."""

    face_id: EmbeddingId
    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffFaces:
    """
    Attributes:
        matching: whose policies decide which faces are one person's, and which are good enough.
        grown: told of a tenant whose gallery has a new embedding, after the commit.
    """

    audit: Audit
    clock: Clock
    ids: Ids
    database: Database
    images: ObjectStore
    portraits: Portraits
    vault: VectorVault
    matching: Matching
    roster: Roster
    grown: Callable[[TenantId], None]

    async def look(self, caller: Caller, staff_id: StaffId, source: bytes | NewFace, *, any_quality: bool) -> NewFace:
        """The face that a request brings, judged before anything is written.

        Args:
            source: a photograph, or the face as it was given.
            any_quality: a poor face will do.

        Raises:
            NotFound, PermissionDenied: no such staff member, or not the caller's to change.
            MeshError: as `Portraits.face`; IMAGE_QUALITY_LOW; EMBEDDING_SPACE_UNKNOWN.
        """
        async with self.database.as_caller(caller, read_only=True) as tx:
            await self.roster.get(tx, caller, staff_id)
            policies = await self.matching.policies(tx, caller.tenant)
        new = await self.portraits.face(source) if isinstance(source, bytes) else source
        policy = _policy(policies, new.space)
        if not any_quality and new.overall < policy.founding_quality:
            raise poor("image", new.overall, policy.founding_quality)
        return new

    async def keep(self, caller: Caller, staff_id: StaffId, new: NewFace) -> Kept:
        """Gives the face an id and stores its picture, before the row that will name it."""
        face_id = EmbeddingId(self.ids.uuid7(self.clock.now()))
        if new.aligned is None:
            return Kept(face_id, None)
        key = f"{picture_prefix(caller.tenant)}{staff_id}/{face_id}.png"
        await self.images.put(key, new.aligned, faces_store.CONTENT_TYPE)
        return Kept(face_id, key)

    async def drop(self, kept: Kept) -> None:
        """Removes a picture that no row came to name. (Should that fail, the sweep of orphans finds it.)"""
        if kept.key is not None:
            await self.images.delete(kept.key)

    async def add(
        self, tx: Tx, caller: Caller, staff_id: StaffId, new: NewFace, kept: Kept, *, primary: bool
    ) -> StaffFace:
        """Gives a staff member a face; the very same pixels are one face, however often they come.

        Raises:
            NotFound, PermissionDenied: as `look`.
            MeshError: FACE_ALREADY_KNOWN, with metadata staff_id; LIMIT_REACHED.
        """
        member = await self.roster.to_change(tx, caller, staff_id)
        # The lock of whoever founds customers: a face is not taken for a stranger's while it becomes staff's.
        await lock(tx, ("enrol", caller.tenant))
        known = None if new.aligned is None else await faces_store.same_picture(tx, staff_id, new.aligned)
        if known is not None:
            return await self._choose(tx, staff_id, known) if primary else known
        if member.face_count >= MOST_FACES:
            raise FailedPrecondition(
                f"a staff member has at most {MOST_FACES} faces", reason=problem_pb2.ERROR_REASON_LIMIT_REACHED
            )
        policies = await self.matching.policies(tx, caller.tenant)
        await self._check_unknown(tx, staff_id, new, _policy(policies, new.space))
        now = self.clock.now()
        image_id = None if kept.key is None else ImageId(kept.face_id)
        first = member.face_count == 0
        face = StaffFace(kept.face_id, staff_id, new.space, new.quality, image_id, kept.key, first, now)
        await faces_store.insert_face(tx, caller.tenant, face, new, self.vault.seal(face.id, new.vector))
        if primary and not first:
            face = await self._choose(tx, staff_id, face)
        await self._changed(tx, caller, face, "staff.add_face")
        return face

    async def remove(self, tx: Tx, caller: Caller, staff_id: StaffId, face_id: EmbeddingId) -> None:
        """Removes a face; its image and its vector follow the commit. The oldest one left stands for them then.

        Raises:
            NotFound: no such staff member, or no such face of theirs.
            PermissionDenied: not the caller's to change.
        """
        await self.roster.to_change(tx, caller, staff_id)
        face = await self._get(tx, staff_id, face_id)
        await faces_store.delete_face(tx, face_id)
        if face.primary and (oldest := await faces_store.oldest_face(tx, staff_id)) is not None:
            await faces_store.set_primary(tx, staff_id, oldest)
        await outbox.forget_vectors(tx, caller.tenant, [(face.space, face_id)])
        if face.object_key is not None:
            await outbox.remove_image(tx, face.object_key)
        await self._changed(tx, caller, face, "staff.delete_face")

    async def make_primary(self, tx: Tx, caller: Caller, staff_id: StaffId, face_id: EmbeddingId) -> StaffFace:
        """Lets a face stand for them on screens.

        Raises:
            NotFound, PermissionDenied: as `remove`.
        """
        await self.roster.to_change(tx, caller, staff_id)
        face = await self._choose(tx, staff_id, await self._get(tx, staff_id, face_id))
        await store.touch_staff(tx, staff_id, self.clock.now())
        details = {"staff_id": str(staff_id)}
        await self.audit.record(
            tx, caller, "staff.set_primary_face", target_kind=_KIND, target_id=face_id, details=details
        )
        return face

    async def _get(self, tx: Tx, staff_id: StaffId, face_id: EmbeddingId) -> StaffFace:
        face = await faces_store.get_face(tx, staff_id, face_id)
        if face is None:
            raise NotFound(_KIND, face_id)
        return face

    async def _choose(self, tx: Tx, staff_id: StaffId, face: StaffFace) -> StaffFace:
        await faces_store.set_primary(tx, staff_id, face.id)
        return await self._get(tx, staff_id, face.id)

    async def _changed(self, tx: Tx, caller: Caller, face: StaffFace, action: str) -> None:
        await store.touch_staff(tx, face.staff_id, self.clock.now())
        await faces_store.bump_gallery(tx, caller.tenant, [face.space])
        details = {"staff_id": str(face.staff_id), "space": face.space}
        await self.audit.record(tx, caller, action, target_kind=_KIND, target_id=face.id, details=details)

    async def _check_unknown(self, tx: Tx, staff_id: StaffId, new: NewFace, policy: Policy) -> None:
        """Compares exactly with every other staff member's faces: there are some thousands of them at most."""
        others = [face for face in await faces_store.sealed_faces(tx, new.space) if face.staff_id != staff_id]
        if not others:
            return
        known = np.stack([self.vault.open(face.id, face.sealed_vector) for face in others])
        similarities = known @ new.vector
        best = int(np.argmax(similarities))
        if float(similarities[best]) >= policy.threshold:
            raise MeshError(
                problem_pb2.ERROR_REASON_FACE_ALREADY_KNOWN,
                "the face is another staff member's",
                metadata={"staff_id": str(others[best].staff_id)},
            )


def picture_prefix(tenant_id: TenantId) -> str:
    """Where the pictures of a tenant's staff lie."""
    return f"t/{tenant_id}/staff/"


def _policy(policies: Mapping[str, Policy], space: str) -> Policy:
    if space not in policies:
        raise InvalidField(
            "embedding.space", "is not used here", reason=problem_pb2.ERROR_REASON_EMBEDDING_SPACE_UNKNOWN
        )
    return policies[space]
