"""A visit as reports show it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from mesh.ids import CameraId, CustomerId, ImageId, SiteId, VisitId


class VisitState(StrEnum):
    """A visit's life, in the contract's words. OPEN and CLOSED are told apart by the clock alone."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    SUPERSEDED = "SUPERSEDED"
    RETRACTED = "RETRACTED"


#: What a list shows when it is not told otherwise: the states that count.
COUNTING = frozenset({VisitState.OPEN, VisitState.CLOSED})


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit as it is now. ``dwell``: None is unknown. ``gap``: of its site at its end."""

    id: VisitId
    customer_id: CustomerId
    site_id: SiteId
    start_time: datetime
    end_time: datetime
    local_date: date
    sighting_count: int
    dwell: timedelta | None
    row_state: str
    superseded_by: VisitId | None
    first_camera_id: CameraId
    last_camera_id: CameraId
    is_new: bool
    image_id: ImageId | None
    similarity: float | None
    quality: float
    gender: str | None
    gap: timedelta
    create_time: datetime
    update_time: datetime

    def state(self, now: datetime) -> VisitState:
        """Where it is in its life."""
        if self.row_state != "LIVE":
            return VisitState(self.row_state)
        return VisitState.OPEN if now <= self.end_time + self.gap else VisitState.CLOSED
