"""Positions in the feed, and visits as it shows them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from mesh.ids import CameraId, CustomerId, ImageId, SiteId, VisitId


class Position(NamedTuple):
    """A place in the feed's order, which is the order of (xid, seq).

    A reader stops below the oldest transaction that is still running (its snapshot's xmin): what commits later has a
    greater xid than everything it has read. So there is no gap and no repeat.
    """

    xid: int
    seq: int


class ChangeKind(StrEnum):
    """What happened to a visit: the contract's words, and visit_feed's."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    REMOVED = "REMOVED"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the feed."""

    position: Position
    visit_id: VisitId
    kind: ChangeKind


class VisitState(StrEnum):
    """A visit's life, in the contract's words."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    SUPERSEDED = "SUPERSEDED"
    RETRACTED = "RETRACTED"


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit as it is now.

    Attributes:
        gap: of its site at its end.
        dwell: None: unknown.
        similarity: None when its only sighting founded the customer.
        gender: the contract's word without its prefix; None when nobody knows.
    """

    visit_id: VisitId
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
        """Where it is in its life: whether it is still open only the clock knows."""
        if self.row_state != "LIVE":
            return VisitState(self.row_state)
        return VisitState.OPEN if now <= self.end_time + self.gap else VisitState.CLOSED
