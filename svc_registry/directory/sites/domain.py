"""A shop and the rules that its visits are counted by: versions, each in force from its time on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final

from mesh.ids import SiteId

VISIT_GAP: Final = timedelta(minutes=30)
MINIMUM_DWELL: Final = timedelta(seconds=10)
BUSINESS_DAY_START_MINUTE: Final = 240
MOST_UPCOMING: Final = 10
MOST_SPANS_A_DAY: Final = 3
DAY_MINUTES: Final = 24 * 60
WEEK_MINUTES: Final = 7 * DAY_MINUTES
_WEEKDAYS: Final = tuple(
    f"WEEKDAY_{day}" for day in ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
)


class PrivacyMode(IntEnum):
    """What may be kept of a face, from much to little; the contract's numbers."""

    FULL = 1
    NO_SNAPSHOTS = 2
    SAME_DAY = 3
    ANONYMOUS = 4


@dataclass(frozen=True, slots=True)
class OpeningSpan:
    """Opening on one weekday (ISO 8601, Monday = 1), in minutes after its midnight; it may end on the next day."""

    weekday: int
    open_minute: int
    close_minute: int


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """A week; a weekday without a span is a closed day."""

    spans: tuple[OpeningSpan, ...] = ()
    closed_dates: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteRules:
    """One version.

    Attributes:
        effective_time: from when; None: the first version, which holds from the beginning of time.
        opening_hours: None: always open.
    """

    effective_time: datetime | None = None
    visit_gap: timedelta = VISIT_GAP
    minimum_dwell: timedelta = MINIMUM_DWELL
    business_day_start_minute: int = BUSINESS_DAY_START_MINUTE
    opening_hours: OpeningHours | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """A shop.

    Attributes:
        rules: in force now.
        upcoming_rules: in force later, the next first.
    """

    id: SiteId
    display_name: str
    time_zone: str
    rules: SiteRules
    upcoming_rules: tuple[SiteRules, ...]
    privacy_mode: PrivacyMode
    lawful_basis: str
    signage_date: date | None
    create_time: datetime
    update_time: datetime
    delete_time: datetime | None = None


def in_force(versions: Sequence[SiteRules], at: datetime) -> SiteRules:
    """The version that holds at a time.

    Args:
        versions: by effective_time; the first holds from the beginning of time.
    """
    return [rules for rules in versions if rules.effective_time is None or rules.effective_time <= at][-1]


def upcoming(versions: Sequence[SiteRules], at: datetime) -> tuple[SiteRules, ...]:
    """The versions that hold later, the next first."""
    return tuple(rules for rules in versions if rules.effective_time is not None and rules.effective_time > at)


def keeps_less(before: PrivacyMode, after: PrivacyMode) -> bool:
    """Whether a change of privacy mode goes towards less data, or nowhere: visitors were told of no more."""
    return after >= before


def opening_problem(hours: OpeningHours) -> str | None:
    """What is wrong with opening hours; None when nothing is."""
    by_day = [span.weekday for span in hours.spans]
    if any(by_day.count(day) > MOST_SPANS_A_DAY for day in set(by_day)):
        return f"at most {MOST_SPANS_A_DAY} spans a day"
    if _overlap(hours.spans):
        return "spans must not overlap"
    return None


def _overlap(spans: Iterable[OpeningSpan]) -> bool:
    """Whether two spans share a minute of the week, which is a circle: Sunday night runs into Monday."""
    starts = sorted(
        ((span.weekday - 1) * DAY_MINUTES + span.open_minute, span.close_minute - span.open_minute) for span in spans
    )
    if not starts:
        return False
    around = [*starts, (starts[0][0] + WEEK_MINUTES, 0)]
    return any(begin + length > following for (begin, length), (following, _) in pairwise(around))


def opening_document(hours: OpeningHours) -> dict[str, object]:
    """Opening hours as they are stored, and as others read them: the contract's OpeningHours as JSON."""
    return {
        "spans": [
            {"weekday": _WEEKDAYS[span.weekday - 1], "openMinute": span.open_minute, "closeMinute": span.close_minute}
            for span in hours.spans
        ],
        "closedDates": [day.isoformat() for day in hours.closed_dates],
    }


def opening_hours_of(document: Mapping[str, Sequence[Any]]) -> OpeningHours:
    """The inverse of `opening_document`."""
    return OpeningHours(
        tuple(
            OpeningSpan(_WEEKDAYS.index(span["weekday"]) + 1, span.get("openMinute", 0), span["closeMinute"])
            for span in document.get("spans", ())
        ),
        tuple(date.fromisoformat(day) for day in document.get("closedDates", ())),
    )


def first_version(rules: SiteRules) -> SiteRules:
    """The version that a site is made with: it holds from the beginning of time, whatever it says itself."""
    return replace(rules, effective_time=None)
