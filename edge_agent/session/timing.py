"""Two clocks: the one that leases are counted on, and how far the wall clock is from the server's."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

DRIFT: Final = 100e-6
"""Seconds per second that a clock may be wrong by between two measurements: twice what quartz does at its worst."""

UNKNOWN_UNCERTAINTY: Final = timedelta(days=1)
"""Of a clock that was never compared with the server's: the contract's maximum."""


# On macOS CLOCK_MONOTONIC counts the time asleep, unlike time.monotonic(); on Linux only CLOCK_BOOTTIME does.
_COUNTS_SLEEP: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def running_asleep() -> float:
    """Seconds on a clock that goes on while the machine sleeps: a lease ends during a nap, too."""
    return time.clock_gettime(_COUNTS_SLEEP)


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """Server time − wall clock lies between `low` and `high`, as of `measured_at` (seconds of a steady clock).

    Each exchange proves two bounds, whatever the delays: the server's stamp was made after our sending and before our
    receiving. Measurements are intersected, widened by the drift since; so the estimate gets better than any one of
    them, although an answer may wait for a commit. An empty intersection means that a clock was set: begin anew.
    """

    low: timedelta
    high: timedelta
    measured_at: float

    @property
    def offset(self) -> timedelta:
        """To add to the wall clock to get server time."""
        return (self.low + self.high) / 2

    def uncertainty(self, now: float) -> timedelta:
        """How far the offset may be off either way, at `now` of the steady clock."""
        return (self.high - self.low) / 2 + timedelta(seconds=max(0.0, now - self.measured_at) * DRIFT)


def measured(
    before: ClockOffset | None, *, sent: datetime, received: datetime, server_time: datetime, now: float
) -> ClockOffset:
    """The offset after one more exchange; `sent` and `received` by the wall clock, `now` by the steady one."""
    # A wall clock that was set back between sending and receiving proves nothing twice over.
    low, high = sorted((server_time - received, server_time - sent))
    if before is None:
        return ClockOffset(low, high, now)
    drift = timedelta(seconds=max(0.0, now - before.measured_at) * DRIFT)
    both_low, both_high = max(low, before.low - drift), min(high, before.high + drift)
    if both_low > both_high:
        return ClockOffset(low, high, now)
    return ClockOffset(both_low, both_high, now)
