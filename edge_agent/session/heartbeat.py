"""What a heartbeat says about coverage, and what its answer settles."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from edge_agent.coverage import QUARTER
from edge_agent.spool.coverage import UnansweredSlice
from edge_agent.spool.records import SliceKey

MOST_SLICES: Final = 1024
"""In one heartbeat."""
OPEN_EVERY: Final = 60.0
"""Seconds between two tellings of a quarter that is not over."""
REPEAT_AFTER: Final = 15.0
"""Seconds after which an unanswered telling is repeated."""


@dataclass(slots=True)
class CoverageTelling:
    """Which slices were told when, in one session. Seconds are of a steady clock."""

    _told: dict[SliceKey, tuple[int, float]] = field(default_factory=dict)
    """Version and time of the last telling."""
    _by_heartbeat: dict[int, Sequence[UnansweredSlice]] = field(default_factory=dict)

    def choose(
        self, heartbeat: int, unanswered: Sequence[UnansweredSlice], server_now: datetime, now: float
    ) -> Sequence[UnansweredSlice]:
        """Those of `unanswered` to tell in this heartbeat, and remembers that they were."""
        chosen = [one for one in unanswered if self._is_due(one, server_now, now)][:MOST_SLICES]
        for one in chosen:
            self._told[one.slice.key] = (one.version, now)
        if chosen:
            self._by_heartbeat[heartbeat] = chosen
        return chosen

    def answered(self, heartbeat: int) -> Sequence[UnansweredSlice]:
        """What that heartbeat told: the registry has it now."""
        return self._by_heartbeat.pop(heartbeat, ())

    def _is_due(self, one: UnansweredSlice, server_now: datetime, now: float) -> bool:
        version, told_at = self._told.get(one.slice.key, (0, float("-inf")))
        is_open = one.slice.key.start_time <= server_now < one.slice.key.start_time + QUARTER
        if is_open:
            return now - told_at >= OPEN_EVERY
        return one.version > version or now - told_at >= REPEAT_AFTER
