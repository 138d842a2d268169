"""What was watched: totals per quarter of an hour that only grow, so that a cut, a repeat or a loss does no harm."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from edge_agent.spool.records import Slice, SliceKey
from mesh.ids import CameraId, LeaseEpoch

QUARTER: Final = timedelta(minutes=15)
"""Every time zone's offset is a multiple of it: hours of UTC would not add up to Kathmandu's."""

LONGEST_LOOK: Final = timedelta(seconds=2)
"""Between two analysed frames at least; a longer pause was not watched, whatever the frame rate."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def quarter_of(time: datetime) -> datetime:
    """Start of the quarter of an hour that holds `time` (aware)."""
    return _EPOCH + (time - _EPOCH) // QUARTER * QUARTER


@dataclass(frozen=True, slots=True)
class Tally:
    """What happened in one quarter."""

    watched: timedelta = timedelta()
    frames: int = 0
    faces_seen: int = 0
    faces_usable: int = 0


def looks(before: datetime | None, now: datetime, frame_rate: float) -> list[tuple[datetime, timedelta]]:
    """Time watched by the frame at `now`, as (quarter, duration); split where it crosses from one quarter to the next.

    `before`: of the frame before, None for the first, which watches nothing yet.
    """
    longest = max(LONGEST_LOOK, timedelta(seconds=2 / frame_rate))
    if before is None or not timedelta() < now - before <= longest:
        return []
    parts: list[tuple[datetime, timedelta]] = []
    start = before
    while start < now:
        end = min(quarter_of(start) + QUARTER, now)
        parts.append((quarter_of(start), end - start))
        start = end
    return parts


class CoverageBook:
    """The totals of one camera under one epoch since this boot. Not safe to share between threads."""

    def __init__(self, boot_id: UUID, camera_id: CameraId, epoch: LeaseEpoch, frame_rate: float) -> None:
        """`frame_rate`: that frames are analysed at, at most."""
        self._boot, self._camera, self._epoch, self._rate = boot_id, camera_id, epoch, frame_rate
        self._tallies: dict[datetime, Tally] = {}
        self._changed: set[datetime] = set()
        self._last: datetime | None = None

    def frame(self, time: datetime) -> None:
        """A frame captured at `time` (server time) was analysed."""
        for quarter, duration in looks(self._last, time, self._rate):
            tally = self._tallies.get(quarter, Tally())
            self._write(quarter, replace(tally, watched=min(QUARTER, tally.watched + duration)))
        quarter = quarter_of(time)
        tally = self._tallies.get(quarter, Tally())
        self._write(quarter, replace(tally, frames=tally.frames + 1))
        self._last = time

    def interrupted(self) -> None:
        """The time until the next frame was not watched."""
        self._last = None

    def passage(self, time: datetime, *, usable: bool) -> None:
        """A face passed, with its best shot at `time`; `usable`: it became an event."""
        quarter = quarter_of(time)
        tally = self._tallies.get(quarter, Tally())
        self._write(
            quarter,
            replace(tally, faces_seen=tally.faces_seen + 1, faces_usable=tally.faces_usable + usable),
        )

    def take_changes(self) -> Sequence[Slice]:
        """What changed since the last call, as totals."""
        changed, self._changed = sorted(self._changed), set()
        return [self._slice(quarter) for quarter in changed]

    def _slice(self, quarter: datetime) -> Slice:
        tally = self._tallies[quarter]
        key = SliceKey(self._boot, self._camera, self._epoch, quarter)
        return Slice(key, tally.watched, tally.frames, tally.faces_seen, tally.faces_usable)

    def _write(self, quarter: datetime, tally: Tally) -> None:
        self._tallies[quarter] = tally
        self._changed.add(quarter)
