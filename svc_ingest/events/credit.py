"""How many events each stream may have unanswered: one window for the process, shared by tenants, then by streams.

A credit is a power of two, so that it changes a few times, not at each of thousands of streams that come or go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mesh.ids import TenantId


def share(window: int, tenants: int, streams: int, *, least: int, most: int) -> int:
    """One stream's part of the window.

    Args:
        window: events of all streams together.
        tenants: that have a stream open.
        streams: of the tenant at hand.
        least, most: of one stream.
    """
    part = window // max(1, tenants) // max(1, streams)
    power: int = 1 << max(0, part.bit_length() - 1)
    return max(least, min(most, power))


@dataclass(eq=False, slots=True)
class OpenCredit:
    """One stream's credit.

    Attributes:
        events: that may be unanswered from now on.
        changed: called when it is another one than before.
    """

    tenant_id: TenantId
    events: int
    changed: Callable[[], None]


class Credits:
    """The credits of all open streams.

    Args:
        window: events of all streams together.
        least, most: of one stream.
    """

    def __init__(self, window: int, *, least: int, most: int) -> None:
        self._window = window
        self._least = least
        self._most = most
        self._open: dict[TenantId, set[OpenCredit]] = {}

    @contextmanager
    def open(self, tenant_id: TenantId, changed: Callable[[], None]) -> Iterator[OpenCredit]:
        """A stream's credit for the length of the block; `changed` is not called for its first value."""
        credit = OpenCredit(tenant_id, 0, changed)
        self._open.setdefault(tenant_id, set()).add(credit)
        credit.events = self._share(tenant_id)
        self._spread()
        try:
            yield credit
        finally:
            self._open[tenant_id].discard(credit)
            if not self._open[tenant_id]:
                del self._open[tenant_id]
            self._spread()

    def _share(self, tenant_id: TenantId) -> int:
        return share(self._window, len(self._open), len(self._open[tenant_id]), least=self._least, most=self._most)

    def _spread(self) -> None:
        for tenant_id, credits_ in self._open.items():
            events = self._share(tenant_id)
            for credit in credits_:
                if credit.events != events:
                    credit.events = events
                    credit.changed()
