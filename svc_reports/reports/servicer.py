"""ReportService on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from footfall.reports.v1 import report_pb2, report_pb2_grpc
from footfall.type.v1 import problem_pb2
from google.api import httpbody_pb2

from mesh.audit import Audit
from mesh.auth import Caller, current_caller
from mesh.database import Database
from mesh.errors import InvalidField, NotFound
from mesh.ids import SiteId, VisitId
from mesh.wire import timestamp
from svc_reports.reports import csv
from svc_reports.reports.distribution import Dimension
from svc_reports.reports.domain import Coverage, Grain, MixedTimeZonesError, RangeTooLargeError
from svc_reports.reports.service import BucketCount, Distribution, Reports, Series
from svc_reports.reports.store import Count, lift_site_policy, places
from svc_reports.visits import store as visit_store
from svc_reports.visits.domain import Visit
from svc_reports.wire import moment, site_ids

#: As ExportVisitsRequest.end_time.
LONGEST_EXPORT: Final = timedelta(days=366)
EXPORT_PAGE: Final = 1_000
SERIES_HEADER: Final = (
    *("local_start", "start_time", "end_time", "visits", "unique_visitors", "new_visitors", "returning_visitors"),
    *("median_dwell_seconds", "dwell_known_ratio", "passages", "closed", "coverage_ratio", "yield"),
    *("complete_to_time", "as_of_time"),
)
VISITS_HEADER: Final = (
    *("id", "customer_id", "site_id", "start_time", "end_time", "local_date", "sighting_count", "dwell_seconds"),
    *("is_new", "first_camera_id", "last_camera_id", "quality", "similarity"),
)


class ReportServicer(report_pb2_grpc.ReportServiceServicer):
    """Turns questions into counts, and counts into messages and CSV."""

    def __init__(self, reports: Reports, database: Database, audit: Audit) -> None:
        self._reports = reports
        self._database = database
        self._audit = audit

    async def GetVisitorSeries(
        self, request: report_pb2.GetVisitorSeriesRequest, context: Any
    ) -> report_pb2.GetVisitorSeriesResponse:
        series = await self._series(request)
        return report_pb2.GetVisitorSeriesResponse(
            buckets=[_bucket(one, series.as_of_time) for one in series.buckets],
            total=None if series.total is None else _bucket(series.total, series.as_of_time),
            unmeasured_site_ids=[str(site_id) for site_id in series.unmeasured],
        )

    async def GetDistribution(
        self, request: report_pb2.GetDistributionRequest, context: Any
    ) -> report_pb2.GetDistributionResponse:
        dimension = Dimension(report_pb2.Dimension.Name(request.dimension).removeprefix("DIMENSION_"))
        with _range_errors():
            found = await self._reports.distribution(
                current_caller(),
                dimension,
                moment("start_time", request.start_time),
                moment("end_time", request.end_time),
                site_ids(request.site_ids),
            )
        return _distribution(found)

    async def ExportVisitorSeries(
        self, request: report_pb2.ExportVisitorSeriesRequest, context: Any
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        series = await self._series(request)
        await self._audit_export("report.export_series", request.site_ids)
        rows = _each(_series_row(one, series.as_of_time) for one in series.buckets)
        async for chunk in csv.chunks(SERIES_HEADER, rows):
            yield httpbody_pb2.HttpBody(content_type=csv.CONTENT_TYPE, data=chunk)

    async def ExportVisits(
        self, request: report_pb2.ExportVisitsRequest, context: Any
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        start, end = moment("start_time", request.start_time), moment("end_time", request.end_time)
        if end - start > LONGEST_EXPORT:
            raise InvalidField(
                "end_time", "at most 366 days after start_time", reason=problem_pb2.ERROR_REASON_RANGE_TOO_LARGE
            )
        caller = current_caller()
        wanted = visit_store.Filter(
            site_ids=await self._visible(caller, site_ids(request.site_ids)),
            start_time=start,
            end_time=end,
            is_new=request.is_new if request.HasField("is_new") else None,
            ascending=True,
        )
        await self._audit_export("report.export_visits", request.site_ids)
        rows = self._visit_rows(caller, wanted)
        async for chunk in csv.chunks(VISITS_HEADER, rows):
            yield httpbody_pb2.HttpBody(content_type=csv.CONTENT_TYPE, data=chunk)

    async def _series(
        self, request: report_pb2.GetVisitorSeriesRequest | report_pb2.ExportVisitorSeriesRequest
    ) -> Series:
        grain = Grain(report_pb2.Grain.Name(request.grain).removeprefix("GRAIN_"))
        with _range_errors():
            return await self._reports.series(
                current_caller(),
                grain,
                moment("start_time", request.start_time),
                moment("end_time", request.end_time),
                site_ids(request.site_ids),
            )

    async def _visible(self, caller: Caller, asked: Sequence[SiteId]) -> list[SiteId]:
        async with self._database.as_caller(caller, read_only=True) as tx:
            seen = [place.id for place in await places(tx, asked)]
        for site_id in asked:
            if site_id not in seen:
                raise NotFound("site", site_id)
        return seen

    async def _visit_rows(self, caller: Caller, wanted: visit_store.Filter) -> AsyncIterator[Iterable[csv.Cell]]:
        """Page after page: a year of visits is never in memory, nor a transaction open while it is sent."""
        after: tuple[datetime, VisitId] | None = None
        while True:
            async with self._database.as_caller(caller, read_only=True) as tx:
                await lift_site_policy(tx)
                visits = await visit_store.list_visits(tx, caller.tenant, wanted, after, EXPORT_PAGE)
            for visit in visits:
                yield _visit_row(visit)
            if len(visits) < EXPORT_PAGE:
                return
            after = (visits[-1].start_time, visits[-1].id)

    async def _audit_export(self, action: str, sites: Sequence[str]) -> None:
        caller = current_caller()
        async with self._database.as_caller(caller) as tx:
            await self._audit.record(tx, caller, action, details={"site_ids": list(sites)})


@contextmanager
def _range_errors() -> Any:
    """The calendar's refusals, in the contract's words."""
    try:
        yield
    except RangeTooLargeError:
        raise InvalidField(
            "end_time", "more than 5,000 buckets", reason=problem_pb2.ERROR_REASON_RANGE_TOO_LARGE
        ) from None
    except MixedTimeZonesError:
        raise InvalidField(
            "site_ids", "hours over several time zones", reason=problem_pb2.ERROR_REASON_MIXED_TIME_ZONES
        ) from None


async def _each(rows: Iterable[Iterable[csv.Cell]]) -> AsyncIterator[Iterable[csv.Cell]]:
    for row in rows:
        yield row


def _bucket(one: BucketCount, as_of: datetime) -> report_pb2.VisitorBucket:
    message = report_pb2.VisitorBucket(
        local_start=one.bucket.key,
        start_time=timestamp(one.bucket.span.start),
        end_time=timestamp(one.bucket.span.end),
        coverage=_coverage(one.coverage),
        as_of_time=timestamp(as_of),
        passages=one.passages,
        closed=one.closed,
    )
    if one.count is not None:
        message.visits = one.count.visits
        message.unique_visitors = one.count.people
        message.new_visitors = one.count.new_people
        message.returning_visitors = one.count.people - one.count.new_people
        ratio = _dwell_known(one.count)
        if ratio is not None:
            message.dwell_known_ratio = ratio
        if one.count.median_dwell is not None:
            message.median_dwell.FromTimedelta(timedelta(seconds=one.count.median_dwell))
    return message


def _dwell_known(count: Count) -> float | None:
    return count.known_dwells / count.visits if count.visits else None


def _coverage(found: Coverage) -> report_pb2.Coverage:
    message = report_pb2.Coverage(
        ratio=found.ratio,
        seen_track_count=found.seen_tracks,
        usable_track_count=found.usable_tracks,
        complete_to_time=None if found.complete_to_time is None else timestamp(found.complete_to_time),
    )
    if found.yielded is not None:
        setattr(message, "yield", found.yielded)  # a keyword here, a field there
    message.expected.FromTimedelta(timedelta(seconds=found.expected))
    message.watched.FromTimedelta(timedelta(seconds=found.watched))
    return message


def _distribution(found: Distribution) -> report_pb2.GetDistributionResponse:
    message = report_pb2.GetDistributionResponse(as_of_time=timestamp(found.as_of_time))
    total = None if found.whole is None else found.whole.count
    for one in found.bins:
        bar = message.bins.add(key=one.key, visits=one.visits, unique_visitors=one.people)
        if total is not None and total.visits and one.visits is not None:
            bar.share = one.visits / total.visits
    if found.whole is not None:
        message.coverage.CopyFrom(_coverage(found.whole.coverage))
    if total is not None:
        message.visits, message.unique_visitors = total.visits, total.people
    return message


def _series_row(one: BucketCount, as_of: datetime) -> Iterable[csv.Cell]:
    count, trust = one.count, one.coverage
    counted: tuple[csv.Cell, ...] = (None,) * 6
    if count is not None:
        returning = count.people - count.new_people
        counted = (count.visits, count.people, count.new_people, returning, count.median_dwell, _dwell_known(count))
    return (
        one.bucket.key,
        one.bucket.span.start.isoformat(),
        one.bucket.span.end.isoformat(),
        *counted,
        one.passages,
        str(one.closed).lower(),
        trust.ratio,
        trust.yielded,
        None if trust.complete_to_time is None else trust.complete_to_time.isoformat(),
        as_of.isoformat(),
    )


def _visit_row(visit: Visit) -> Iterable[csv.Cell]:
    return (
        str(visit.id),
        str(visit.customer_id),
        str(visit.site_id),
        visit.start_time.isoformat(),
        visit.end_time.isoformat(),
        visit.local_date.isoformat(),
        visit.sighting_count,
        None if visit.dwell is None else int(visit.dwell.total_seconds()),
        str(visit.is_new).lower(),
        str(visit.first_camera_id),
        str(visit.last_camera_id),
        round(visit.quality, 4),
        None if visit.similarity is None else round(visit.similarity, 4),
    )
