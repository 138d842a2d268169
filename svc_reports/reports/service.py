"""The use cases of counting: one snapshot, the caller's sites, the calendar's buckets, the counts, and how far to trust
them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain

from mesh.auth import Caller
from mesh.database import Database, Tx
from mesh.errors import NotFound
from mesh.ids import SiteId
from svc_reports.reports import distribution, store
from svc_reports.reports.domain import (
    Bucket,
    Coverage,
    Grain,
    Place,
    Span,
    Watched,
    buckets,
    coverage,
    open_spans,
    over_all_buckets,
    seconds_of,
    tells_people_apart,
)
from svc_reports.reports.store import Count


@dataclass(frozen=True)
class BucketCount:
    """A bucket with what was counted in it. ``count`` is None when nothing was watched and nothing was seen."""

    bucket: Bucket
    count: Count | None
    coverage: Coverage
    closed: bool
    #: Tracks at anonymous sites; None when the scope has no such site.
    passages: int | None


@dataclass(frozen=True)
class Series:
    """A time series, and the whole range as one bucket."""

    buckets: Sequence[BucketCount]
    total: BucketCount | None
    unmeasured: Sequence[SiteId]
    as_of_time: datetime


@dataclass(frozen=True)
class Distribution:
    """How visits are spread."""

    bins: Sequence[distribution.Bin]
    whole: BucketCount | None
    as_of_time: datetime


class Reports:
    """Counts for callers, each from one snapshot of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def series(
        self, caller: Caller, grain: Grain, start: datetime, end: datetime, site_ids: Sequence[SiteId]
    ) -> Series:
        """The series of [start, end), widened to whole buckets; no ``site_ids``: every site that the caller sees.

        Raises ``NotFound`` for a site that the caller does not see, ``RangeTooLargeError`` and ``MixedTimeZonesError``.
        """
        async with self._database.as_caller(caller, read_only=True, isolation="REPEATABLE READ") as tx:
            scope = await _Scope.open(tx, caller, site_ids)
            spans = buckets(grain, start, end, scope.places, scope.week_start)
            if not spans:
                return Series((), None, (), scope.now)
            return await scope.series(grain, spans)

    async def distribution(
        self,
        caller: Caller,
        dimension: distribution.Dimension,
        start: datetime,
        end: datetime,
        site_ids: Sequence[SiteId],
    ) -> Distribution:
        """How the visits of [start, end), widened to whole business days, are spread. Raises as :meth:`series`."""
        async with self._database.as_caller(caller, read_only=True, isolation="REPEATABLE READ") as tx:
            scope = await _Scope.open(tx, caller, site_ids)
            days = buckets(Grain.DAY, start, end, scope.places)
            if not days:
                return Distribution((), None, scope.now)
            series = await scope.series(Grain.DAY, days)
            measured = [place for place in scope.places if tells_people_apart(place, days)]
            bins = await distribution.bins(tx, caller.tenant, dimension, measured, days)
            return Distribution(bins, series.total, scope.now)


class _Scope:
    """One report's snapshot: its transaction, its sites and its present."""

    def __init__(self, tx: Tx, caller: Caller, places: Sequence[Place], week_start: int, now: datetime) -> None:
        self._tx = tx
        self._tenant_id = caller.tenant
        self.places = places
        self.week_start = week_start
        self.now = now

    @classmethod
    async def open(cls, tx: Tx, caller: Caller, site_ids: Sequence[SiteId]) -> _Scope:
        places = await store.places(tx, site_ids)
        seen = {place.id for place in places}
        for site_id in site_ids:
            if site_id not in seen:
                raise NotFound("site", site_id)
        week_start = await store.week_start_day(tx, caller.tenant)
        await store.lift_site_policy(tx)
        return cls(tx, caller, places, week_start, await store.snapshot_time(tx))

    async def series(self, grain: Grain, spans: Sequence[Bucket]) -> Series:
        measured = [place for place in self.places if tells_people_apart(place, spans)]
        found, total = await store.counts(
            self._tx, self._tenant_id, grain, buckets=spans, places=measured, week_start=self.week_start
        )
        trust = await self._trust(spans)
        passed = await self._passages(spans)
        counted = [
            self._count(bucket, found.get(bucket.key, Count()), one, None if passed is None else passed[number])
            for number, (bucket, one) in enumerate(zip(spans, trust.buckets, strict=True))
        ]
        hull = Bucket(spans[0].key, Span(spans[0].span.start, spans[-1].span.end), {}, None)
        whole = self._count(hull, total, trust.whole, None if passed is None else sum(passed.values()))
        unmeasured = [place.id for place in self.places if place not in measured]
        return Series(counted, whole, unmeasured, self.now)

    def _count(self, bucket: Bucket, count: Count, trust: _Trusted, passages: int | None) -> BucketCount:
        dark = count.visits == 0 and not trust.coverage.lit
        return BucketCount(bucket, None if dark else count, trust.coverage, trust.closed, passages)

    async def _passages(self, spans: Sequence[Bucket]) -> Counter[int] | None:
        anonymous = [place for place in self.places if place.privacy_mode == "ANONYMOUS"]
        if not anonymous:
            return None
        where = [(number, place.id, span.local[place.id]) for number, span in enumerate(spans) for place in anonymous]
        return Counter(await store.passages(self._tx, self._tenant_id, where))

    async def _trust(self, spans: Sequence[Bucket]) -> _Trust:
        cameras = await store.site_cameras(self._tx, self.places)
        entrances = Counter(camera.site_id for camera in cameras if camera.entrance)
        opened = [
            (number, place.id, span)
            for number, bucket in enumerate(spans)
            for place in self.places
            for span in open_spans(place, bucket.local[place.id])
        ]
        watched = await store.watched(
            self._tx, self._tenant_id, opened, {camera.id for camera in cameras if camera.entrance}
        )
        reported = [camera.complete_to_time for camera in cameras if camera.complete_to_time is not None]
        complete = min(reported) if reported else None
        expected: list[dict[SiteId, float]] = [{} for _ in spans]
        open_in = {number for number, _, _ in opened}
        for number, site_id, span in opened:
            held = expected[number].get(site_id, 0.0)
            expected[number][site_id] = held + seconds_of([span], self.now)
        each = [
            _Trusted(self._covered(expected[n], entrances, watched.get(n, ()), complete), n not in open_in)
            for n in range(len(spans))
        ]
        together: dict[SiteId, float] = {}
        for site_id, seconds in chain.from_iterable(by_site.items() for by_site in expected):
            together[site_id] = together.get(site_id, 0.0) + seconds
        whole = self._covered(together, entrances, over_all_buckets(watched.values()), complete)
        return _Trust(each, _Trusted(whole, not open_in))

    @staticmethod
    def _covered(
        expected: Mapping[SiteId, float],
        entrances: Mapping[SiteId, int],
        watched: Sequence[Watched],
        complete: datetime | None,
    ) -> Coverage:
        return replace(coverage(expected, entrances, watched), complete_to_time=complete)


@dataclass(frozen=True)
class _Trusted:
    coverage: Coverage
    closed: bool


@dataclass(frozen=True)
class _Trust:
    buckets: Sequence[_Trusted]
    whole: _Trusted
