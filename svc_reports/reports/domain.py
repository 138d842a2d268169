"""The calendar of reports, pure: business days, buckets, opening times.

A business day begins some hours after local midnight (04:00 unless the site's rules say otherwise), so that a bar's
night is one day. Days, weeks and months are made of business days; each site follows its own clock. Hours are hours of
the wall clock, and the two hours of an autumn change stay apart.

``business_day`` here and in the database (schema/visits.py) are one rule: that one cuts visits when they are folded,
this one cuts ranges when they are asked for. A test compares them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from itertools import chain, pairwise
from zoneinfo import ZoneInfo

from mesh.ids import CameraId, SiteId

#: As GetVisitorSeriesRequest.grain: 208 days of hours, 13 years of days.
MOST_BUCKETS = 5_000
DEFAULT_BOUNDARY_MINUTES = 240
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


class Grain(StrEnum):
    """Size of a bucket."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


class RangeTooLargeError(ValueError):
    """The range has more than :data:`MOST_BUCKETS` buckets."""


class MixedTimeZonesError(ValueError):
    """Hours of several time zones have no common clock."""


@dataclass(frozen=True)
class OpeningSpan:
    """Minutes after the midnight of an ISO weekday (1 = Monday); may run into the next day."""

    weekday: int
    open_minute: int
    close_minute: int


@dataclass(frozen=True)
class Rules:
    """What a site counts by, from ``effective_time`` on."""

    effective_time: datetime
    day_boundary_minutes: int = DEFAULT_BOUNDARY_MINUTES
    #: None: always open.
    spans: tuple[OpeningSpan, ...] | None = None
    closed_dates: frozenset[date] = frozenset()


@dataclass(frozen=True)
class Place:
    """A site as the calendar sees it. ``rules`` by effective time; the earliest also holds for all time before it."""

    id: SiteId
    time_zone: str
    rules: tuple[Rules, ...] = ()
    privacy_mode: str = "FULL"

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone; ``ZoneInfo`` keeps them."""
        return ZoneInfo(self.time_zone)

    def rules_at(self, instant: datetime) -> Rules:
        """The rules in force: the latest by then, or the earliest of all."""
        if not self.rules:
            return Rules(datetime.min.replace(tzinfo=UTC))
        return next((r for r in reversed(self.rules) if r.effective_time <= instant), self.rules[0])


@dataclass(frozen=True)
class Span:
    """[start, end), aware."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Bucket:
    """One bucket of a report, over all its sites."""

    #: On the wall clock: "2026-10-25", or "2026-10-25T02:00:00+02:00" for hours.
    key: str
    #: The earliest start and the latest end among the sites.
    span: Span
    #: The bucket at each site.
    local: Mapping[SiteId, Span]
    #: First business day, and the first after; None for hours.
    days: tuple[date, date] | None


def on_the_wall(place: Place, day: date, minutes: int) -> datetime:
    """The instant when the site's clock shows ``minutes`` after the midnight of ``day``.

    As PostgreSQL reads a wall clock: a time that comes twice is the later one, one that is skipped moves forward.
    """
    wall = datetime(day.year, day.month, day.day, tzinfo=place.zone) + timedelta(minutes=minutes)
    later = wall.replace(fold=1)
    return (later if wall.utcoffset() > later.utcoffset() else wall).astimezone(UTC)  # type: ignore[operator]


def business_day_start(place: Place, day: date) -> datetime:
    """When a business day begins, by the rule in force at its midnight."""
    return on_the_wall(place, day, place.rules_at(on_the_wall(place, day, 0)).day_boundary_minutes)


def business_day(place: Place, instant: datetime) -> date:
    """The business day that an instant belongs to."""
    day = instant.astimezone(place.zone).date()
    return day if business_day_start(place, day) <= instant else day - DAY


def bucket_start(grain: Grain, day: date, week_start_day: int) -> date:
    """The first day of the bucket that holds ``day``. ``week_start_day``: ISO, 1 = Monday."""
    if grain is Grain.WEEK:
        return day - timedelta(days=(day.isoweekday() - week_start_day) % 7)
    return day.replace(day=1) if grain is Grain.MONTH else day


def next_bucket(grain: Grain, start: date) -> date:
    """The first day of the bucket after the one that begins with ``start``."""
    if grain is Grain.MONTH:
        return (start.replace(day=28) + timedelta(days=4)).replace(day=1)
    return start + (timedelta(days=7) if grain is Grain.WEEK else DAY)


def buckets(
    grain: Grain, start: datetime, end: datetime, places: Sequence[Place], week_start_day: int = 1
) -> list[Bucket]:
    """Every bucket of [start, end), widened to whole buckets, in order.

    With several sites a range of days is the widest among them. Raises :class:`RangeTooLargeError`, and
    :class:`MixedTimeZonesError` for hours over sites with different clocks.
    """
    if not places:
        return []
    if grain is Grain.HOUR:
        return _hours(start, end, places)
    first = min(bucket_start(grain, business_day(place, start), week_start_day) for place in places)
    last = max(business_day(place, end - timedelta.resolution) for place in places)
    return [_bucket_of_days(grain, day, places) for day in _bounded(_days(grain, first, last))]


def _days(grain: Grain, first: date, last: date) -> Iterator[date]:
    day = first
    while day <= last:
        yield day
        day = next_bucket(grain, day)


def _bounded(days: Iterator[date]) -> Iterator[date]:
    for number, day in enumerate(days):
        if number >= MOST_BUCKETS:
            raise RangeTooLargeError
        yield day


def _bucket_of_days(grain: Grain, day: date, places: Sequence[Place]) -> Bucket:
    following = next_bucket(grain, day)
    local = {place.id: Span(business_day_start(place, day), business_day_start(place, following)) for place in places}
    return Bucket(day.isoformat(), _hull(local.values()), local, (day, following))


def _hours(start: datetime, end: datetime, places: Sequence[Place]) -> list[Bucket]:
    if len({place.time_zone for place in places}) > 1:
        raise MixedTimeZonesError
    if (end - start) / HOUR > MOST_BUCKETS:
        raise RangeTooLargeError
    zone = places[0].zone
    hours = []
    instant = hour_start(zone, start)
    while instant < end:
        # Where clocks move by half an hour, an hour of the wall is half an hour long, or one and a half.
        following = hour_start(zone, instant + HOUR)
        following = following if following > instant else instant + HOUR
        span = Span(instant, following)
        key = instant.astimezone(zone).isoformat(timespec="seconds")
        hours.append(Bucket(key, span, {place.id: span for place in places}, None))
        instant = following
    return hours


def hour_start(zone: ZoneInfo, instant: datetime) -> datetime:
    """The start of the hour of the wall clock that holds ``instant``."""
    local = instant.astimezone(zone)
    past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return instant.astimezone(UTC) - past


def _hull(spans: Collection[Span]) -> Span:
    return Span(min(span.start for span in spans), max(span.end for span in spans))


def open_spans(place: Place, within: Span) -> list[Span]:
    """When a site is open within a span, in order, without overlaps.

    A closed date closes what begins on it.
    """
    first = within.start.astimezone(place.zone).date() - DAY
    last = within.end.astimezone(place.zone).date()
    found: list[Span] = []
    day = first
    while day <= last:
        rules = place.rules_at(on_the_wall(place, day, 0))
        if day not in rules.closed_dates:
            spans = (OpeningSpan(0, 0, 1440),) if rules.spans is None else rules.spans
            for span in spans:
                if rules.spans is None or span.weekday == day.isoweekday():
                    found.append(
                        Span(on_the_wall(place, day, span.open_minute), on_the_wall(place, day, span.close_minute))
                    )
        day += DAY
    clipped = [Span(max(span.start, within.start), min(span.end, within.end)) for span in found]
    return _joined(sorted((span for span in clipped if span.start < span.end), key=lambda span: span.start))


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Spans that touch or overlap, as one."""
    if not spans:
        return []
    joined = [spans[0]]
    for _, span in pairwise(spans):
        if span.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def seconds_of(spans: Sequence[Span], until: datetime) -> float:
    """How long the spans are together, up to ``until``."""
    return sum(max(0.0, (min(span.end, until) - span.start).total_seconds()) for span in spans)


def tells_people_apart(place: Place, buckets: Sequence[Bucket]) -> bool:
    """Whether unique visitors can be told at a site, over these buckets.

    An anonymous site never tells; one that forgets faces at the day's end tells within one business day.
    """
    if place.privacy_mode == "SAME_DAY":
        last_instant = buckets[-1].local[place.id].end - timedelta.resolution
        return business_day(place, buckets[0].local[place.id].start) == business_day(place, last_instant)
    return place.privacy_mode != "ANONYMOUS"


# -- how far to trust a count -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched:
    """What one camera watched of a bucket's opening time, as its workers reported."""

    camera_id: CameraId
    site_id: SiteId
    entrance: bool
    seconds: float
    seen_tracks: int
    usable_tracks: int

    def and_also(self, other: Watched) -> Watched:
        """The same camera's two together."""
        return replace(
            self,
            seconds=self.seconds + other.seconds,
            seen_tracks=self.seen_tracks + other.seen_tracks,
            usable_tracks=self.usable_tracks + other.usable_tracks,
        )


@dataclass(frozen=True)
class Coverage:
    """As footfall.reports.v1.Coverage; seconds."""

    expected: float
    watched: float
    seen_tracks: int
    usable_tracks: int
    #: Whether any camera watched at all, entrance or not.
    lit: bool
    complete_to_time: datetime | None = None

    @property
    def ratio(self) -> float | None:
        """Watched ÷ expected; None when nothing was expected."""
        return None if self.expected <= 0 else min(1.0, self.watched / self.expected)

    @property
    def yielded(self) -> float | None:
        """Usable ÷ seen tracks; None when nothing was seen."""
        return None if self.seen_tracks == 0 else min(1.0, self.usable_tracks / self.seen_tracks)


def over_all_buckets(buckets: Iterable[Iterable[Watched]]) -> list[Watched]:
    """What each camera watched of all buckets together."""
    together: dict[CameraId, Watched] = {}
    for camera in chain.from_iterable(buckets):
        known = together.get(camera.camera_id)
        together[camera.camera_id] = camera if known is None else known.and_also(camera)
    return list(together.values())


def coverage(expected: Mapping[SiteId, float], entrances: Mapping[SiteId, int], watched: Sequence[Watched]) -> Coverage:
    """The coverage of one bucket: at each site the worst of its entrance cameras, sites added up.

    ``expected``: open seconds by site. ``entrances``: how many entrance cameras a site has; a site without one expects
    nothing. An entrance camera that reported nothing watched nothing.
    """
    sites = [site for site in expected if entrances.get(site, 0) > 0]
    worst = 0.0
    for site in sites:
        theirs = [camera.seconds for camera in watched if camera.entrance and camera.site_id == site]
        if len(theirs) >= entrances[site]:
            worst += min(*theirs, expected[site])
    return Coverage(
        expected=sum(expected[site] for site in sites),
        watched=worst,
        seen_tracks=sum(camera.seen_tracks for camera in watched),
        usable_tracks=sum(camera.usable_tracks for camera in watched),
        lit=any(camera.seconds > 0 for camera in watched),
    )
