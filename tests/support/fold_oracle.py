"""The visit fold in plain Python: what schema/visits.py must agree with. Slow, obvious, no ids, no history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Sighting:
    """One track of one customer at one site. Times are aware."""

    id: UUID
    start: datetime
    end: datetime
    quality: float = 0.5


@dataclass(frozen=True)
class Rule:
    """What a site counts by from `effective` on. `boundary`: a business day begins so long after local midnight."""

    effective: datetime
    gap: timedelta = timedelta(minutes=30)
    min_dwell: timedelta = timedelta(seconds=10)
    boundary: timedelta = timedelta(hours=4)


@dataclass(frozen=True)
class Visit:
    """What the sightings add up to."""

    start: datetime
    end: datetime
    local_date: date
    dwell: timedelta | None
    first: UUID
    best: UUID
    sightings: frozenset[UUID]


def in_force(rules: Sequence[Rule], at: datetime) -> Rule:
    """The latest rule by then; the earliest also holds for all time before it."""
    by_time = sorted(rules, key=lambda rule: rule.effective)
    begun = [rule for rule in by_time if rule.effective <= at]
    return begun[-1] if begun else by_time[0]


def instant(day: date, since_midnight: timedelta, zone: ZoneInfo) -> datetime:
    """When a wall clock shows this: the later reading of a time that it shows twice, or never."""
    wall = datetime.combine(day, time()) + since_midnight
    return max(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))


def business_day(at: datetime, zone: ZoneInfo, rules: Sequence[Rule]) -> date:
    """The last business day that had begun by then, each by the rule in force at its midnight."""
    today = at.astimezone(zone).date()
    candidates = [today + timedelta(days=shift) for shift in (-2, -1, 0, 1)]
    return max(day for day in candidates if day_start(day, zone, rules) <= at)


def day_start(day: date, zone: ZoneInfo, rules: Sequence[Rule]) -> datetime:
    """The instant at which a business day begins."""
    return instant(day, in_force(rules, instant(day, timedelta(), zone)).boundary, zone)


def fold(sightings: Sequence[Sighting], zone: ZoneInfo, rules: Sequence[Rule]) -> list[Visit]:
    """The visits that these sightings of one customer at one site make, in order."""
    runs: list[list[Sighting]] = []
    for sighting in sorted(sightings, key=lambda each: (each.start, each.id.int)):
        if runs and _continues(runs[-1], sighting, zone, rules):
            runs[-1].append(sighting)
        else:
            runs.append([sighting])
    return [_visit(run, zone, rules) for run in runs]


def _continues(run: Sequence[Sighting], sighting: Sighting, zone: ZoneInfo, rules: Sequence[Rule]) -> bool:
    same_day = business_day(run[-1].start, zone, rules) == business_day(sighting.start, zone, rules)
    gap = sighting.start - max(each.end for each in run)
    return same_day and gap <= in_force(rules, sighting.start).gap


def _visit(run: Sequence[Sighting], zone: ZoneInfo, rules: Sequence[Rule]) -> Visit:
    start, end = run[0].start, max(each.end for each in run)
    known = len(run) > 1 or end - start > in_force(rules, start).min_dwell
    best = min(run, key=lambda each: (-each.quality, each.start, each.id.int))
    return Visit(
        start=start,
        end=end,
        local_date=business_day(start, zone, rules),
        dwell=end - start if known else None,
        first=run[0].id,
        best=best.id,
        sightings=frozenset(each.id for each in run),
    )
