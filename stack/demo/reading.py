"""What users see through the gateway: how far the films have been watched, the numbers, and nobody else's."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import grpc
from footfall.identity.v1 import staff_pb2
from footfall.registry.v1 import camera_pb2, site_pb2, worker_pb2
from footfall.reports.v1 import report_pb2, visit_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from stack.client import Gateway, Session, reason
from stack.demo.compare import Scope, Seen
from stack.demo.truth import Counts, Truth
from stack.health import http

_PAGE: Final = 500
_EVENTS: Final = "footfall_events_total"


@dataclass(frozen=True, slots=True)
class Watched:
    """How far the agents are."""

    cameras: int
    finished: int
    """Cameras whose films were read to their end."""
    spooled: int
    """Events that wait in the agents' spools."""
    visits: int
    problems: tuple[str, ...] = ()
    """Of cameras that fail."""

    @property
    def done(self) -> bool:
        """Everything was watched, and everything that was seen has arrived."""
        return self.finished == self.cameras and self.spooled == 0


@dataclass(frozen=True, slots=True)
class Range:
    """Local days of one time zone, from the first one's midnight to the midnight after the last."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, truth: Truth, time_zone: str) -> Range:
        """Every day on which anything was filmed."""
        zone = ZoneInfo(time_zone)
        dates = sorted({datetime.fromisoformat(day.date).date() for day in truth.days})
        last = dates[-1] + timedelta(days=1)
        return cls(datetime.combine(dates[0], time(), zone), datetime.combine(last, time(), zone))

    def stamps(self) -> tuple[Timestamp, Timestamp]:
        """For a request."""
        start, end = Timestamp(), Timestamp()
        start.FromDatetime(self.start.astimezone(UTC))
        end.FromDatetime(self.end.astimezone(UTC))
        return start, end


@dataclass(frozen=True, slots=True)
class Reader:
    """One user at the gateway. Methods raise grpc.aio.AioRpcError."""

    gateway: Gateway
    session: Session

    async def watched(self) -> Watched:
        """Asked again and again until it is done."""
        cameras = await self.session.ask(
            self.gateway.cameras.ListCameras, camera_pb2.ListCamerasRequest(page_size=_PAGE)
        )
        workers = await self.session.ask(
            self.gateway.workers.ListWorkers, worker_pb2.ListWorkersRequest(page_size=_PAGE)
        )
        finished = [each for each in cameras.cameras if each.state == camera_pb2.CAMERA_STATE_FINISHED]
        return Watched(
            cameras=len(cameras.cameras),
            finished=len(finished),
            spooled=sum(worker.spool_events for worker in workers.workers),
            visits=(await self.visits())[0],
            problems=tuple(
                f"{camera.display_name}: {camera.problem.message}"
                for camera in cameras.cameras
                if camera.HasField("problem")
            ),
        )

    async def visits(self) -> tuple[int, int]:
        """How many visits there are, and the sightings in them."""
        visits = sightings = 0
        token = ""
        while True:
            page = await self.session.ask(
                self.gateway.visits.ListVisits, visit_pb2.ListVisitsRequest(page_size=_PAGE, page_token=token)
            )
            visits += len(page.visits)
            sightings += sum(visit.sighting_count for visit in page.visits)
            token = page.next_page_token
            if not token:
                return visits, sightings

    async def seen(self, sites: Mapping[str, str], days: Range, metrics_port: int) -> Seen:
        """The numbers to hold against the truth. `sites`: ids by key."""
        total, tenant_days = await self.series(days, ())
        per_site = {key: await self.series(days, (site_id,)) for key, site_id in sites.items()}
        buckets: dict[Scope, Counts | None] = {(date, None): counts for date, counts in tenant_days.items()}
        for key, (_, site_days) in per_site.items():
            buckets |= {(date, key): counts for date, counts in site_days.items()}
        visits, sightings = await self.visits()
        return Seen(
            total=total,
            sites={key: counts for key, (counts, _) in per_site.items()},
            days=buckets,
            listed_visits=visits,
            listed_sightings=sightings,
            by_site=await self._by_site(days, sites),
            events=await accepted_events(metrics_port),
        )

    async def series(self, days: Range, site_ids: Sequence[str]) -> tuple[Counts | None, dict[str, Counts | None]]:
        """The whole range, and each of its days."""
        start, end = days.stamps()
        answer = await self.session.ask(
            self.gateway.reports.GetVisitorSeries,
            report_pb2.GetVisitorSeriesRequest(
                start_time=start, end_time=end, grain=report_pb2.GRAIN_DAY, site_ids=site_ids
            ),
        )
        return _counts(answer.total), {bucket.local_start[:10]: _counts(bucket) for bucket in answer.buckets}

    async def _by_site(self, days: Range, sites: Mapping[str, str]) -> dict[str, int]:
        start, end = days.stamps()
        answer = await self.session.ask(
            self.gateway.reports.GetDistribution,
            report_pb2.GetDistributionRequest(
                start_time=start, end_time=end, dimension=report_pb2.DIMENSION_SITE, site_ids=()
            ),
        )
        keys = {site_id: key for key, site_id in sites.items()}
        return {keys.get(bin_.key, bin_.key): bin_.visits for bin_ in answer.bins}


def _counts(bucket: report_pb2.VisitorBucket) -> Counts | None:
    if not bucket.HasField("visits"):
        return None
    return Counts(bucket.visits, bucket.unique_visitors, bucket.new_visitors, bucket.returning_visitors)


async def accepted_events(metrics_port: int) -> int | None:
    """By svc_ingest since it started, staff's among them; None when it does not say."""
    body = await http(metrics_port, "/metrics")
    if body is None:
        return None
    lines = [line for line in body.decode().splitlines() if line.startswith(_EVENTS)]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if 'status="ACCEPTED"' in line)


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody of another tenant, trying."""

    gateway: Gateway
    session: Session

    async def finds(self, days: Range, foreign_site: str, foreign_staff: str) -> list[str]:
        """What a user who must see nothing sees all the same; empty when the walls hold."""
        found = []
        visits = await Reader(self.gateway, self.session).visits()
        if visits != (0, 0):
            found.append(f"{visits[0]} visits")
        found += await self._lists()
        total, buckets = await Reader(self.gateway, self.session).series(days, ())
        if any(counts and counts.visits for counts in (total, *buckets.values())):
            found.append("numbers in the visitor series")
        attempts = {
            "a foreign site": self.session.ask(self.gateway.sites.GetSite, site_pb2.GetSiteRequest(id=foreign_site)),
            "a foreign staff member": self.session.ask(
                self.gateway.staff.GetStaff, staff_pb2.GetStaffRequest(id=foreign_staff)
            ),
        }
        for what, attempt in attempts.items():
            answer = await _refusal(attempt)
            if answer != "NOT_FOUND":
                found.append(f"{what} ({answer or 'shown'})")
        return found

    async def _lists(self) -> list[str]:
        sites = await self.session.ask(self.gateway.sites.ListSites, site_pb2.ListSitesRequest())
        cameras = await self.session.ask(self.gateway.cameras.ListCameras, camera_pb2.ListCamerasRequest())
        staff = await self.session.ask(self.gateway.staff.ListStaff, staff_pb2.ListStaffRequest())
        counted = {"sites": len(sites.sites), "cameras": len(cameras.cameras), "staff": len(staff.staff)}
        return [f"{count} {what}" for what, count in counted.items() if count]


async def _refusal(call: Awaitable[object]) -> str | None:
    """The reason for which a call was refused; None when it was not."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reason(error)
    return None
