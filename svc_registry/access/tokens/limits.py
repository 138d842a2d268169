"""How often somebody may fail to sign in: a bucket per address and per user name, in the memory of this replica.

Unknown users have buckets as known ones do, so a limit tells nothing. Each replica counts for itself: several of them
let through several times as many guesses, which is still nothing against a password of twelve characters.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from cachetools import TTLCache

from mesh.clock import Clock
from mesh.errors import ResourceExhausted

MOST_BUCKETS: Final = 100_000  # remembered at once; the least recently made is forgotten first


@dataclass(frozen=True, slots=True)
class Limit:
    """Failures in a row, and how soon one of them is forgiven."""

    failures: int
    forgiven_after: timedelta


@dataclass(slots=True)
class _Bucket:
    tokens: float
    as_of: float


def network(address: str) -> str:
    """Whom an address stands for: itself, or its /64 in IPv6, of which every household has 2^64 addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address  # a socket's path, say: it is a name like any other
    return address if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))


class SignInLimits:
    """Counts failures. An attempt counts as failed until `succeeded` gives it back, so many at once do not slip by.

    Args:
        limits: by kind of key ("address", "user").
        clock: its monotonic time.
    """

    def __init__(self, limits: dict[str, Limit], clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        longest = max(limit.failures * limit.forgiven_after.total_seconds() for limit in limits.values())
        # A bucket untouched for as long as it takes to fill up is as good as a new one.
        self._buckets: TTLCache[tuple[str, str], _Bucket] = TTLCache(MOST_BUCKETS, longest, timer=clock.monotonic)

    def attempt(self, keys: Iterable[tuple[str, str]]) -> None:
        """Before a credential is looked at.

        Raises:
            ResourceExhausted: RATE_LIMITED; after `retry_after` one more attempt is free.
        """
        buckets = [(self._limits[kind], (kind, name), self._bucket(kind, name)) for kind, name in keys]
        for limit, _, bucket in buckets:
            if bucket.tokens < 1:
                wait = (1 - bucket.tokens) * limit.forgiven_after.total_seconds()
                raise ResourceExhausted("too many failed sign-ins: wait", retry_after=timedelta(seconds=wait))
        for _, key, bucket in buckets:
            bucket.tokens -= 1
            self._buckets[key] = bucket

    def succeeded(self, keys: Iterable[tuple[str, str]]) -> None:
        """The credential was right."""
        for kind, name in keys:
            bucket = self._bucket(kind, name)
            bucket.tokens = min(bucket.tokens + 1, self._limits[kind].failures)

    def _bucket(self, kind: str, name: str) -> _Bucket:
        limit, now = self._limits[kind], self._clock.monotonic()
        bucket = self._buckets.get((kind, name))
        if bucket is None:
            return _Bucket(limit.failures, now)
        earned = (now - bucket.as_of) / limit.forgiven_after.total_seconds()
        bucket.tokens, bucket.as_of = min(bucket.tokens + earned, limit.failures), now
        return bucket
