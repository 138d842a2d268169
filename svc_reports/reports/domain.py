"""The calendar of reports, pure: business days, buckets, opening times.

A business day begins some hours after local midnight (04:00 unless the site's rules say otherwise), so that a bar's
night is one day. Days, weeks and months are made of business days; each site follows its own clock. Hours are hours of
the wall clock, and the two hours of an autumn change stay apart.

``business_day`` here and in the database (schema/visits.py) are one rule: that one cuts visits when they are folded,
this one cuts ranges when they are asked for. A test compares them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
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
        span = Span(instant, next_hour(zone, instant))
        key = instant.astimezone(zone).isoformat(timespec="seconds")
        hours.append(Bucket(key, span, {place.id: span for place in places}, None))
        instant = span.end
    return hours


def hour_start(zone: ZoneInfo, instant: datetime) -> datetime:
    """The start of the hour of the wall clock that holds ``instant``.

    Where clocks move by half an hour, the change itself begins an hour that is half an hour long.
    """
    whole = instant.astimezone(UTC) - _past_the_hour(zone, instant)
    return _change_of_clocks(zone, whole, instant) or whole


def next_hour(zone: ZoneInfo, instant: datetime) -> datetime:
    """The start of the hour of the wall clock after the one that holds ``instant``."""
    whole = instant.astimezone(UTC) - _past_the_hour(zone, instant) + HOUR
    return _change_of_clocks(zone, instant, whole) or whole


def _past_the_hour(zone: ZoneInfo, instant: datetime) -> timedelta:
    local = instant.astimezone(zone)
    return timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)


def _change_of_clocks(zone: ZoneInfo, after: datetime, until: datetime) -> datetime | None:
    """The second in (after, until] at which the offset becomes that of ``until``; None when it is the same at both."""
    offset = until.astimezone(zone).utcoffset()
    if after.astimezone(zone).utcoffset() == offset:
        return None
    low, high = int(after.timestamp()), int(until.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return datetime.fromtimestamp(high, UTC)


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
    for span in spans[1:]:
        if span.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def open_in_buckets(place: Place, buckets: Sequence[Bucket]) -> Iterator[tuple[int, Span]]:
    """When a site is open, cut at the buckets, with the number of the bucket."""
    spans = open_spans(place, Span(buckets[0].local[place.id].start, buckets[-1].local[place.id].end))
    first = 0
    for number, bucket in enumerate(buckets):
        within = bucket.local[place.id]
        while first < len(spans) and spans[first].end <= within.start:
            first += 1
        at = first
        while at < len(spans) and spans[at].start < within.end:
            yield number, Span(max(spans[at].start, within.start), min(spans[at].end, within.end))
            at += 1


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
class Camera:
    """A camera as coverage sees it."""

    id: CameraId
    site_id: SiteId
    entrance: bool
    enabled: bool
    create_time: datetime
    delete_time: datetime | None = None
    #: Its events captured before then have arrived; None when no worker has reported.
    complete_to_time: datetime | None = None

    def hangs_in(self, span: Span) -> bool:
        """Whether it should have watched in a span. One that is switched off is remembered by what it reported."""
        gone = self.delete_time is not None and self.delete_time <= span.start
        return self.enabled and self.create_time < span.end and not gone


@dataclass(frozen=True)
class Watched:
    """What one camera watched of a bucket's opening time, as its workers reported."""

    camera_id: CameraId
    site_id: SiteId
    seconds: float
    seen_tracks: int
    usable_tracks: int


@dataclass(frozen=True)
class Coverage:
    """As footfall.reports.v1.Coverage; seconds."""

    expected: float
    watched: float
    seen_tracks: int
    usable_tracks: int
    complete_to_time: datetime | None = None

    @property
    def ratio(self) -> float | None:
        """Watched ÷ expected; None when nothing was expected."""
        return None if self.expected <= 0 else min(1.0, self.watched / self.expected)

    @property
    def yielded(self) -> float | None:
        """Usable ÷ seen tracks; None when nothing was seen."""
        return None if self.seen_tracks == 0 else min(1.0, self.usable_tracks / self.seen_tracks)

    def __add__(self, other: Coverage) -> Coverage:
        """Two buckets as one: what the worst camera of each watched, together."""
        return Coverage(
            expected=self.expected + other.expected,
            watched=self.watched + other.watched,
            seen_tracks=self.seen_tracks + other.seen_tracks,
            usable_tracks=self.usable_tracks + other.usable_tracks,
            complete_to_time=self.complete_to_time,
        )


def coverage(
    bucket: Bucket, expected: Mapping[SiteId, float], cameras: Sequence[Camera], watched: Sequence[Watched]
) -> Coverage:
    """The coverage of one bucket: at each site the worst of its entrance cameras, sites added up.

    ``expected``: open seconds by site. A site without an entrance camera expects nothing. An entrance camera that hung
    there and reported nothing watched nothing; one that reported did hang there, whenever it was entered (recordings
    are older than their camera).
    """
    seconds = {one.camera_id: one.seconds for one in watched}
    entrances: dict[SiteId, list[float]] = {}
    for camera in cameras:
        if camera.entrance and (camera.id in seconds or camera.hangs_in(bucket.local[camera.site_id])):
            entrances.setdefault(camera.site_id, []).append(seconds.get(camera.id, 0.0))
    return Coverage(
        expected=sum(expected[site] for site in expected if site in entrances),
        watched=sum(min(*entrances[site], expected[site]) for site in expected if site in entrances),
        seen_tracks=sum(camera.seen_tracks for camera in watched),
        usable_tracks=sum(camera.usable_tracks for camera in watched),
    )


def complete_to(cameras: Iterable[Camera]) -> datetime | None:
    """Before when every event has arrived: the oldest of the watermarks that are known."""
    return min((one.complete_to_time for one in cameras if one.complete_to_time is not None), default=None)


def is_lit(watched: Iterable[Watched], sites: Collection[SiteId]) -> bool:
    """Whether any camera of these sites watched at all, entrance or not: then nobody seen means nobody there."""
    return any(one.seconds > 0 and one.site_id in sites for one in watched)
