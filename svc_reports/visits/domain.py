"""A visit as reports show it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

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


# -- whose a sighting became ------------------------------------------------------------------------------------------


class CorrectionKind(StrEnum):
    """As footfall.reports.v1.Correction.Kind."""

    MERGED = "MERGED"
    UNMERGED = "UNMERGED"
    MOVED = "MOVED"


@dataclass(frozen=True, slots=True)
class Move:
    """Somebody said "not this person" of a sighting."""

    create_time: datetime
    from_customer_id: CustomerId
    to_customer_id: CustomerId
    subject_id: UUID | None


@dataclass(frozen=True, slots=True)
class Merge:
    """Two customers became one; taken back at ``undo_time``."""

    create_time: datetime
    undo_time: datetime | None
    winner_id: CustomerId
    loser_id: CustomerId
    subject_id: UUID | None


@dataclass(frozen=True, slots=True)
class Correction:
    """One change of whose a sighting is."""

    create_time: datetime
    kind: CorrectionKind
    from_customer_id: CustomerId
    to_customer_id: CustomerId
    subject_id: UUID | None


def history(
    customer_id: CustomerId, since: datetime, moves: Iterable[Move], merges: Iterable[Merge]
) -> list[Correction]:
    """What happened to a sighting that was given to a customer at ``since``, in order.

    A merge takes along the sightings of the loser, and undoing it brings exactly these back, unless they were moved in
    between.
    """
    acts: list[tuple[datetime, Move | Merge, bool]] = [(move.create_time, move, False) for move in moves]
    for merge in merges:
        acts.append((merge.create_time, merge, False))
        if merge.undo_time is not None:
            acts.append((merge.undo_time, merge, True))
    corrections: list[Correction] = []
    carried: list[Merge] = []  # merges that brought it to its present customer
    current = customer_id
    for at, act, undone in sorted(acts, key=lambda one: one[0]):
        if at < since:
            continue
        if isinstance(act, Move):
            kind, target, carried = CorrectionKind.MOVED, act.to_customer_id, []
        elif not undone and act.loser_id == current:
            kind, target = CorrectionKind.MERGED, act.winner_id
            carried.append(act)
        elif undone and act in carried:
            kind, target = CorrectionKind.UNMERGED, act.loser_id
            del carried[carried.index(act) :]
        else:
            continue
        corrections.append(Correction(at, kind, current, target, act.subject_id))
        current = target
    return corrections
