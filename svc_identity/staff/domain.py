"""The rules of staff: who may see and change whom, and how a worker's gallery follows the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

from mesh.ids import CustomerId, EmbeddingId, ImageId, SiteId, StaffId
from svc_identity.vectors.port import Vector

#: Faces that one staff member may have.
MOST_FACES: Final = 20
#: A worker's hint is set this far above the tenant's threshold: it is made without knowledge of the customers.
HINT_MARGIN: Final = 0.10

#: The sites that a caller is held to; None: every one of the tenant.
Reach: TypeAlias = frozenset[SiteId] | None
#: The embeddings of each staff member: what a worker holds, or should hold.
Roll: TypeAlias = Mapping[StaffId, frozenset[EmbeddingId]]


class Field(StrEnum):
    """What UpdateStaff can change."""

    DISPLAY_NAME = "display_name"
    EXTERNAL_ID = "external_id"
    SITE_IDS = "site_ids"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Draft:
    """What people enter about a staff member."""

    display_name: str
    #: The shop's own key; "" for none.
    external_id: str = ""
    #: Where they work; empty: everywhere.
    site_ids: frozenset[SiteId] = frozenset()
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class StaffMember:
    """Someone who works here."""

    id: StaffId
    entered: Draft
    face_count: int
    primary_face_id: EmbeddingId | None
    image_id: ImageId | None
    converted_from: CustomerId | None
    effective_time: datetime
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured of a face in its picture: as footfall.type.v1.FaceQuality."""

    detection_score: float
    overall: float
    face_pixels: int
    yaw_degrees: float


@dataclass(frozen=True, slots=True)
class StaffFace:
    """One face by which a staff member is recognised; its id is its embedding's too."""

    id: EmbeddingId
    staff_id: StaffId
    space: str
    #: None for a face that was given as an embedding.
    quality: Quality | None
    image_id: ImageId | None
    object_key: str | None
    primary: bool
    create_time: datetime


@dataclass(frozen=True, slots=True, eq=False)
class NewFace:
    """A face that may join a staff member's: seen in a picture, or given as an embedding."""

    space: str
    vector: Vector
    quality: Quality | None = None
    #: The aligned face as PNG; the picture itself is not kept.
    aligned: bytes | None = None
    #: Pixels of its side.
    side: int = 0

    @property
    def overall(self) -> float:
        """Quality in [0, 1]; an embedding that was made elsewhere is taken for a good one."""
        return 1.0 if self.quality is None else self.quality.overall


def may_see(reach: Reach, site_ids: frozenset[SiteId]) -> bool:
    """Whether somebody held to these sites sees staff who work there: those of a site of theirs, and of all sites."""
    return reach is None or not site_ids or not reach.isdisjoint(site_ids)


def may_change(reach: Reach, site_ids: frozenset[SiteId]) -> bool:
    """Whether somebody held to these sites may change such staff: not where the change would reach other sites."""
    return reach is None or (bool(site_ids) and site_ids <= reach)


def hint_threshold(threshold: float) -> float:
    """The cosine from which on a worker sets a hint, in [-1, 1]."""
    return min(1.0, threshold + HINT_MARGIN)


def to_tell(held: Roll, current: Roll) -> list[StaffId]:
    """Whose entries a worker lacks that holds the one and should hold the other, in a stable order."""
    changed = [staff_id for staff_id, faces in current.items() if held.get(staff_id) != faces]
    gone = [staff_id for staff_id in held if staff_id not in current]
    return sorted(changed) + sorted(gone)
