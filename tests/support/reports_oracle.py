"""What reports must say, in plain Python from the sightings: slow, obvious, and without a line of svc_reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import median
from uuid import UUID
from zoneinfo import ZoneInfo

from tests.support.fold_oracle import Rule, fold
from tests.support.reports import Shop

RULES = (Rule(datetime(2020, 1, 1, tzinfo=UTC)),)


@dataclass(frozen=True)
class Stay:
    """One visit of one customer at one shop."""

    customer_id: UUID
    site_id: UUID
    zone: ZoneInfo
    start: datetime
    local_date: date
    dwell: timedelta | None

    @property
    def local_start(self) -> datetime:
        return self.start.astimezone(self.zone)


@dataclass(frozen=True)
class Counted:
    """As a VisitorBucket."""

    visits: int
    unique: int
    new: int
    returning: int
    median_dwell: float | None


def stays(shops: Collection[Shop]) -> list[Stay]:
    """Every visit of every customer, by its start."""
    found = []
    for shop in shops:
        zone = ZoneInfo(shop.time_zone)
        for customer in {customer for customer, _ in shop.sightings}:
            for visit in fold([look for who, look in shop.sightings if who == customer], zone, RULES):
                found.append(Stay(customer, shop.id, zone, visit.start, visit.local_date, visit.dwell))
    return sorted(found, key=lambda stay: stay.start)


def day(stay: Stay) -> date:
    return stay.local_date


def month(stay: Stay) -> date:
    return stay.local_date.replace(day=1)


def week(first: int) -> Callable[[Stay], date]:
    """Weeks from an ISO weekday on."""

    def of(stay: Stay) -> date:
        candidates = (stay.local_date - timedelta(days=back) for back in range(7))
        return next(one for one in candidates if one.isoweekday() == first)

    return of


def hour(stay: Stay) -> str:
    return stay.local_start.replace(minute=0, second=0, microsecond=0).isoformat()


def count(
    everything: Sequence[Stay], sites: Collection[UUID], bucket: Callable[[Stay], Hashable]
) -> dict[Hashable, Counted]:
    """Each bucket that has a visit at the sites; everything is every visit of the tenant."""
    first = {stay.customer_id: bucket(stay) for stay in reversed(everything)}
    held: dict[Hashable, list[Stay]] = defaultdict(list)
    for stay in everything:
        if stay.site_id in sites:
            held[bucket(stay)].append(stay)
    return {key: _counted(theirs, {who for who in first if first[who] == key}) for key, theirs in held.items()}


def total(everything: Sequence[Stay], sites: Collection[UUID], first: date, last: date) -> Counted:
    """The business days from first to before last as one bucket."""
    counted = count(everything, sites, lambda stay: first <= stay.local_date < last)
    return counted.get(True, Counted(0, 0, 0, 0, None))


def _counted(theirs: Sequence[Stay], newcomers: Collection[UUID]) -> Counted:
    people = {stay.customer_id for stay in theirs}
    new = len(people.intersection(newcomers))
    dwells = [stay.dwell.total_seconds() for stay in theirs if stay.dwell is not None]
    return Counted(len(theirs), len(people), new, len(people) - new, median(dwells) if dwells else None)
