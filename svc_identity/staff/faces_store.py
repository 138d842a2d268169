"""Faces of staff in PostgreSQL, their embeddings, and the revisions by which workers follow them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, insert, not_, null, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from mesh.database import Tx, notify
from mesh.ids import EmbeddingId, ImageId, StaffId, TenantId
from schema.identity import embeddings, gallery_revisions, staff, staff_faces
from svc_identity.staff.domain import NewFace, Quality, Reach, Roll, StaffFace

#: Hints that a gallery has changed.
CHANNEL: Final = "gallery"
CONTENT_TYPE: Final = "image/png"

_ROLL: Final = text(
    """
    SELECT e.staff_id, array_agg(e.id) AS faces
      FROM embeddings e JOIN staff s ON s.tenant_id = e.tenant_id AND s.id = e.staff_id
     WHERE e.space = :space AND s.delete_time IS NULL AND NOT s.suspended
       AND (:everywhere OR s.site_ids = '{}' OR s.site_ids && CAST(:sites AS uuid[]))
     GROUP BY e.staff_id
    """
)


@dataclass(frozen=True, slots=True)
class SealedFace:
    """The embedding of a face, sealed, and whose it is."""

    id: EmbeddingId
    staff_id: StaffId
    sealed_vector: bytes


async def list_faces(
    tx: Tx, staff_id: StaffId, after: tuple[bool, datetime, UUID] | None, limit: int
) -> list[StaffFace]:
    """Their faces: the primary one first, then the oldest. `after`: (is not primary, create time, id)."""
    key = (not_(staff_faces.c.is_primary), staff_faces.c.create_time, staff_faces.c.id)
    query = select(staff_faces).where(staff_faces.c.staff_id == staff_id)
    if after is not None:
        query = query.where(tuple_(*key) > after)
    return [_face(row) for row in await tx.execute(query.order_by(*key).limit(limit))]


async def get_face(tx: Tx, staff_id: StaffId, face_id: EmbeddingId) -> StaffFace | None:
    """One face of theirs."""
    query = select(staff_faces).where(staff_faces.c.staff_id == staff_id, staff_faces.c.id == face_id)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _face(row)


async def same_picture(tx: Tx, staff_id: StaffId, aligned: bytes) -> StaffFace | None:
    """The face of theirs that was made of the very same pixels."""
    digest = hashlib.sha256(aligned).digest()
    query = select(staff_faces).where(staff_faces.c.staff_id == staff_id, staff_faces.c.sha256 == digest)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _face(row)


async def insert_face(tx: Tx, tenant_id: TenantId, face: StaffFace, new: NewFace, sealed_vector: bytes) -> None:
    """Adds a face and its embedding, which the index does not hold yet."""
    picture: dict[str, object] = {}
    if new.aligned is not None:
        picture = {
            "sha256": hashlib.sha256(new.aligned).digest(),
            "bytes": len(new.aligned),
            "width": new.side,
            "height": new.side,
            "content_type": CONTENT_TYPE,
        }
    await tx.execute(
        insert(staff_faces).values(
            tenant_id=tenant_id,
            id=face.id,
            staff_id=face.staff_id,
            space=face.space,
            image_id=face.image_id,
            object_key=face.object_key,
            quality=null() if face.quality is None else asdict(face.quality),
            is_primary=face.primary,
            create_time=face.create_time,
            **picture,
        )
    )
    await tx.execute(
        insert(embeddings).values(
            tenant_id=tenant_id,
            id=face.id,
            staff_id=face.staff_id,
            staff_face_id=face.id,
            space=face.space,
            vector=sealed_vector,
            quality=new.overall,
        )
    )


async def set_primary(tx: Tx, staff_id: StaffId, face_id: EmbeddingId) -> None:
    """Lets a face stand for them, and no other."""
    theirs = staff_faces.c.staff_id == staff_id
    await tx.execute(update(staff_faces).where(theirs, staff_faces.c.is_primary).values(is_primary=False))
    await tx.execute(update(staff_faces).where(theirs, staff_faces.c.id == face_id).values(is_primary=True))


async def oldest_face(tx: Tx, staff_id: StaffId) -> EmbeddingId | None:
    """Their oldest face."""
    query = select(staff_faces.c.id).where(staff_faces.c.staff_id == staff_id)
    found = await tx.scalar(query.order_by(staff_faces.c.create_time, staff_faces.c.id).limit(1))
    return None if found is None else EmbeddingId(found)


async def delete_face(tx: Tx, face_id: EmbeddingId) -> None:
    """Removes a face; its embedding goes with it."""
    await tx.execute(delete(staff_faces).where(staff_faces.c.id == face_id))


async def delete_faces(tx: Tx, staff_id: StaffId) -> list[StaffFace]:
    """Removes all of theirs, and tells which they were."""
    rows = await tx.execute(delete(staff_faces).where(staff_faces.c.staff_id == staff_id).returning(staff_faces))
    return [_face(row) for row in rows]


async def spaces_of(tx: Tx, staff_id: StaffId) -> set[str]:
    """The spaces that they have embeddings in."""
    return set(await tx.scalars(select(embeddings.c.space).where(embeddings.c.staff_id == staff_id).distinct()))


async def sealed_faces(tx: Tx, space: str) -> list[SealedFace]:
    """The embeddings of all staff of the tenant, suspended ones too."""
    query = (
        select(embeddings.c.id, embeddings.c.staff_id, embeddings.c.vector)
        .join(staff, (staff.c.tenant_id == embeddings.c.tenant_id) & (staff.c.id == embeddings.c.staff_id))
        .where(embeddings.c.space == space, staff.c.delete_time.is_(None))
    )
    return [SealedFace(EmbeddingId(row.id), StaffId(row.staff_id), row.vector) for row in await tx.execute(query)]


async def known_keys(tx: Tx, keys: Iterable[str]) -> set[str]:
    """Those of the objects that a face names."""
    return set(await tx.scalars(select(staff_faces.c.object_key).where(staff_faces.c.object_key.in_(list(keys)))))


async def bump_gallery(tx: Tx, tenant_id: TenantId, spaces: Iterable[str]) -> None:
    """Says, with the commit, that the staff gallery of these spaces has changed."""
    rows = [{"tenant_id": tenant_id, "space": space, "revision": 1} for space in sorted(set(spaces))]
    if not rows:
        return
    statement = upsert(gallery_revisions).values(rows)
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "space"],
            set_={"revision": gallery_revisions.c.revision + 1, "update_time": func.now()},
        )
    )
    await notify(tx, CHANNEL)


async def revision(tx: Tx, space: str) -> int:
    """How often the gallery of a space has changed."""
    found = await tx.scalar(select(gallery_revisions.c.revision).where(gallery_revisions.c.space == space))
    return int(found or 0)


async def roll(tx: Tx, space: str, reach: Reach) -> Roll:
    """The faces of everybody who works at these sites now."""
    parameters = {"space": space, "everywhere": reach is None, "sites": sorted(reach or ())}
    rows = await tx.execute(_ROLL, parameters)
    return {StaffId(row.staff_id): frozenset(EmbeddingId(id_) for id_ in row.faces) for row in rows}


def _face(row: Any) -> StaffFace:
    return StaffFace(
        id=EmbeddingId(row.id),
        staff_id=StaffId(row.staff_id),
        space=row.space,
        quality=None if row.quality is None else Quality(**row.quality),
        image_id=ImageId(row.image_id) if row.image_id else None,
        object_key=row.object_key,
        primary=row.is_primary,
        create_time=row.create_time,
    )
