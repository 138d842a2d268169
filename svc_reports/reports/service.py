"""The use cases of counting: one snapshot, the caller's sites, the calendar's buckets, the counts, and how far to trust
them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
    complete_to,
    coverage,
    is_lit,
    open_in_buckets,
    seconds_of,
    tells_people_apart,
)
from svc_reports.reports.store import Count


@dataclass(frozen=True)
class BucketCount:
    """A bucket with what was counted in it. ``count`` is None when nothing was watched and nothing was seen, or
    nothing was open."""

    bucket: Bucket
    count: Count | None
    coverage: Coverage
    closed: bool
    #: Tracks at anonymous sites; None when the scope has no such site, or as ``count``.
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
            return await scope.series(spans)

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
                return Distribution(distribution.unknown(dimension), None, scope.now)
            series = await scope.series(days)
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

    async def series(self, spans: Sequence[Bucket]) -> Series:
        measured = [place for place in self.places if tells_people_apart(place, spans)]
        found, total = await store.counts(self._tx, self._tenant_id, spans, measured)
        passed = await self._passages(spans)
        opened = [(number, place.id, span) for place in self.places for number, span in open_in_buckets(place, spans)]
        watched = await store.watched(self._tx, self._tenant_id, opened)
        covered = await self._coverage(spans, opened, watched)
        open_in = {number for number, _, _ in opened}
        measured_ids = {place.id for place in measured}
        counted = [
            BucketCount(
                bucket,
                _known(number in open_in, found.get(number, Count()), watched.get(number, ()), measured_ids),
                covered[number],
                closed=number not in open_in,
                passages=_passages_known(
                    number in open_in, passed.get(number, 0), watched.get(number, ()), self._anonymous()
                ),
            )
            for number, bucket in enumerate(spans)
        ]
        everything = list(chain.from_iterable(watched.values()))
        whole = BucketCount(
            Bucket(spans[0].key, Span(spans[0].span.start, spans[-1].span.end), {}, None),
            _known(bool(open_in), total, everything, measured_ids),
            sum(covered[1:], start=covered[0]),
            closed=not open_in,
            passages=_passages_known(bool(open_in), sum(passed.values()), everything, self._anonymous()),
        )
        return Series(counted, whole, [place.id for place in self.places if place.id not in measured_ids], self.now)

    def _anonymous(self) -> set[SiteId]:
        return {place.id for place in self.places if place.privacy_mode == "ANONYMOUS"}

    async def _passages(self, spans: Sequence[Bucket]) -> Mapping[int, int]:
        anonymous = self._anonymous()
        where = [(number, id_, span.local[id_]) for number, span in enumerate(spans) for id_ in anonymous]
        return await store.passages(self._tx, self._tenant_id, where)

    async def _coverage(
        self,
        spans: Sequence[Bucket],
        opened: Sequence[tuple[int, SiteId, Span]],
        watched: Mapping[int, Sequence[Watched]],
    ) -> list[Coverage]:
        """The coverage of each bucket; opening time that is still to come is not expected yet."""
        cameras = await store.site_cameras(self._tx, self.places)
        complete = complete_to(cameras)
        expected: list[dict[SiteId, float]] = [{} for _ in spans]
        for number, site_id, span in opened:
            held = expected[number].get(site_id, 0.0)
            expected[number][site_id] = held + seconds_of([span], self.now)
        return [
            replace(coverage(bucket, expected[n], cameras, watched.get(n, ())), complete_to_time=complete)
            for n, bucket in enumerate(spans)
        ]


def _known(is_open: bool, count: Count, watched: Sequence[Watched], measured: Collection[SiteId]) -> Count | None:
    """A count, or None where it is unknown: closed, or nobody seen and no measured site watched."""
    return count if is_open and (count.visits or is_lit(watched, measured)) else None


def _passages_known(
    is_open: bool, passages: int, watched: Sequence[Watched], anonymous: Collection[SiteId]
) -> int | None:
    return passages if is_open and (passages or is_lit(watched, anonymous)) else None
