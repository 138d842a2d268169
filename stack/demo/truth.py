"""What must be counted, worked out from who walks by when: plain Python, independent of the product's own SQL.

A sighting is one passage. A visit is one person's sightings at one site with gaps (end to next start) of at most the
site's visit gap, cut where the site's business day begins. It counts in the bucket of its start. New in a bucket is who
had no visit at any site of the tenant before it; everybody else is returning. Staff are not counted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Passage:
    """One person before one camera, once."""

    person: str
    start: float
    """Seconds after the film's start at which the whole head is in the picture."""
    end: float


@dataclass(frozen=True, slots=True)
class Film:
    """One recording of one camera."""

    camera: str
    site: str
    start_time: datetime
    """Aware."""
    seconds: float
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class SiteRules:
    """What shapes a site's visits and days."""

    time_zone: str
    visit_gap: timedelta = timedelta(minutes=30)
    business_day_starts: timedelta = timedelta(hours=4)
    """After local midnight."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One person's stay at one site."""

    person: str
    site: str
    start_time: datetime
    end_time: datetime
    sightings: int


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of one bucket and scope."""

    visits: int
    unique: int
    new: int
    returning: int


@dataclass(frozen=True, slots=True)
class Day:
    """One site's numbers of one of its local days; the whole tenant's where `site` is None."""

    date: str
    site: str | None
    counts: Counts


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything that the films contain, counted."""

    visits: tuple[Visit, ...]
    """Customers' visits, by start."""
    sightings: int
    """Customers' passages."""
    staff_sightings: int
    total: Counts
    """The tenant, over all films."""
    sites: dict[str, Counts]
    """Each site, over all films."""
    days: tuple[Day, ...]
    """Each local day on which anything was filmed, per site and for the tenant."""


def truth(films: Iterable[Film], rules: Mapping[str, SiteRules], staff: frozenset[str] = frozenset()) -> Truth:
    """Counts the films. `rules`: by site. Raises KeyError for a film of a site without rules."""
    films = tuple(films)
    sightings = sorted(
        (
            film.start_time + timedelta(seconds=passage.start),
            film.start_time + timedelta(seconds=passage.end),
            film.site,
            passage.person,
        )
        for film in films
        for passage in film.passages
    )
    customers = [sighting for sighting in sightings if sighting[3] not in staff]
    visits = fold(customers, rules)
    first = first_visits(visits)
    filmed = {(_local_date(film.start_time, rules[film.site]), film.site) for film in films}
    days: list[Day] = []
    for date in sorted({date for date, _ in filmed}):
        on_day = [visit for visit in visits if _local_date(visit.start_time, rules[visit.site]) == date]
        # A person is new on a day if the first visit of all is on it, at whichever site.
        newcomers = {person for person, visit in first.items() if visit in on_day}
        scopes: list[str | None] = [None, *sorted(site for filmed_date, site in filmed if filmed_date == date)]
        for site in scopes:
            days.append(Day(date, site, _count([v for v in on_day if site in (None, v.site)], newcomers)))
    everybody = set(first)
    return Truth(
        visits=visits,
        sightings=len(customers),
        staff_sightings=len(sightings) - len(customers),
        total=_count(visits, everybody),
        sites={site: _count([v for v in visits if v.site == site], everybody) for site in sorted(rules)},
        days=tuple(days),
    )


def fold(sightings: Iterable[tuple[datetime, datetime, str, str]], rules: Mapping[str, SiteRules]) -> tuple[Visit, ...]:
    """Sightings (start, end, site, person), in any order, into visits by start."""
    visits: list[Visit] = []
    open_visits: dict[tuple[str, str], Visit] = {}
    for start, end, site, person in sorted(sightings):
        rule, key = rules[site], (person, site)
        last = open_visits.get(key)
        if (
            last is not None
            and start - last.end_time <= rule.visit_gap
            and _business_day(start, rule) == _business_day(last.start_time, rule)
        ):
            open_visits[key] = Visit(person, site, last.start_time, max(last.end_time, end), last.sightings + 1)
            continue
        if last is not None:
            visits.append(last)
        open_visits[key] = Visit(person, site, start, end, 1)
    return tuple(sorted([*visits, *open_visits.values()], key=lambda visit: (visit.start_time, visit.person)))


def first_visits(visits: Iterable[Visit]) -> dict[str, Visit]:
    """Each person's first visit at any site."""
    first: dict[str, Visit] = {}
    for visit in sorted(visits, key=lambda visit: visit.start_time):
        first.setdefault(visit.person, visit)
    return first


def _count(visits: Iterable[Visit], newcomers: set[str]) -> Counts:
    visits = tuple(visits)
    persons = {visit.person for visit in visits}
    new = len(persons & newcomers)
    return Counts(visits=len(visits), unique=len(persons), new=new, returning=len(persons) - new)


def _local_date(moment: datetime, rule: SiteRules) -> str:
    return moment.astimezone(ZoneInfo(rule.time_zone)).date().isoformat()


def _business_day(moment: datetime, rule: SiteRules) -> str:
    # On the wall clock: where daylight saving shifts the hour, 04:00 is still 04:00.
    wall = moment.astimezone(ZoneInfo(rule.time_zone)).replace(tzinfo=None)
    return (wall - rule.business_day_starts).date().isoformat()
