"""What was seen against what the films contain, line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stack.demo.truth import Counts, Truth

Scope = tuple[str, str | None]
"""A local date and a site's key; None is the whole tenant."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the API says. Counts that it withholds (a dark bucket) are absent."""

    total: Counts | None
    sites: Mapping[str, Counts | None]
    days: Mapping[Scope, Counts | None]
    listed_visits: int
    """From the list of visits, not from the report."""
    listed_sightings: int
    """The sum over those visits."""
    by_site: Mapping[str, int] = field(default_factory=dict)
    """Visits per site, from the distribution."""
    events: int | None = None
    """Accepted by ingest, staff's among them."""


@dataclass(frozen=True, slots=True)
class Line:
    """One number of the films and of the API."""

    what: str
    filmed: str
    seen: str

    @property
    def right(self) -> bool:
        """Whether they agree."""
        return self.filmed == self.seen


def compare(truth: Truth, seen: Seen) -> list[Line]:
    """Every line of the table, the tenant's total first."""
    lines = [Line("all films, both shops", say(truth.total), say(seen.total))]
    for site, counts in truth.sites.items():
        lines.append(Line(f"all films, {site}", say(counts), say(seen.sites.get(site))))
    for day in truth.days:
        scope = day.site or "both shops"
        lines.append(Line(f"{day.date}, {scope}", say(day.counts), say(seen.days.get((day.date, day.site)))))
    lines.append(Line("list of visits", str(len(truth.visits)), str(seen.listed_visits)))
    lines.append(Line("sightings in those visits", str(truth.sightings), str(seen.listed_sightings)))
    for site, counts in truth.sites.items():
        lines.append(Line(f"share of {site}", str(counts.visits), str(seen.by_site.get(site, 0))))
    if seen.events is not None:
        staff = seen.events - seen.listed_sightings
        lines.append(Line("passages of staff, not counted", str(truth.staff_sightings), str(staff)))
    return lines


def say(counts: Counts | None) -> str:
    """The four numbers of a bucket."""
    if counts is None:
        return "not measured"
    return f"{counts.visits} visits, {counts.unique} visitors ({counts.new} new, {counts.returning} returning)"


def wrong(lines: Sequence[Line]) -> list[Line]:
    """Those that do not agree."""
    return [line for line in lines if not line.right]
