"""Over what visits can be spread: each dimension's keys, and the query that finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import text

from mesh.database import Tx
from mesh.ids import TenantId
from svc_reports.reports.domain import DEFAULT_BOUNDARY_MINUTES, Bucket, Place


class Dimension(StrEnum):
    """As footfall.reports.v1.Dimension."""

    HOUR_OF_DAY = "HOUR_OF_DAY"
    WEEKDAY = "WEEKDAY"
    WEEKDAY_HOUR = "WEEKDAY_HOUR"
    SITE = "SITE"
    CAMERA = "CAMERA"
    DWELL = "DWELL"
    FREQUENCY = "FREQUENCY"
    NOVELTY = "NOVELTY"
    GENDER = "GENDER"


@dataclass(frozen=True)
class Bin:
    """One bar. ``visits`` and ``people`` are None when it was never watched and nothing was seen."""

    key: str
    visits: int | None
    people: int | None


_HOURS: Final = tuple(f"{hour:02}" for hour in range(24))
_WEEKDAYS: Final = tuple(str(day) for day in range(1, 8))

#: Every key of a dimension in its order; sites and cameras come from the rows.
KEYS: Final[Mapping[Dimension, tuple[str, ...]]] = {
    Dimension.HOUR_OF_DAY: _HOURS,
    Dimension.WEEKDAY: _WEEKDAYS,
    Dimension.WEEKDAY_HOUR: tuple(f"{day}T{hour}" for day in _WEEKDAYS for hour in _HOURS),
    Dimension.DWELL: ("0", "1", "5", "15", "30", "60", "120", "unknown"),
    Dimension.FREQUENCY: ("1", "2", "3", "4", "5", "10"),
    Dimension.NOVELTY: ("new", "returning"),
    Dimension.GENDER: ("female", "male", "other", "unknown"),
}

_KEY_OF: Final[Mapping[Dimension, str]] = {
    Dimension.HOUR_OF_DAY: "to_char(v.start_time AT TIME ZONE p.zone, 'HH24')",
    Dimension.WEEKDAY: "extract(isodow FROM v.local_date)::text",
    Dimension.WEEKDAY_HOUR: (
        "extract(isodow FROM v.local_date)::text || to_char(v.start_time AT TIME ZONE p.zone, '\"T\"HH24')"
    ),
    Dimension.SITE: "v.site_id::text",
    Dimension.CAMERA: "v.first_camera_id::text",
    Dimension.DWELL: """CASE WHEN v.dwell_seconds IS NULL THEN 'unknown' WHEN v.dwell_seconds < 60 THEN '0'
        WHEN v.dwell_seconds < 300 THEN '1' WHEN v.dwell_seconds < 900 THEN '5' WHEN v.dwell_seconds < 1800 THEN '15'
        WHEN v.dwell_seconds < 3600 THEN '30' WHEN v.dwell_seconds < 7200 THEN '60' ELSE '120' END""",
    Dimension.FREQUENCY: """CASE WHEN v.in_range >= 10 THEN '10' WHEN v.in_range >= 5 THEN '5'
        ELSE v.in_range::text END""",
    Dimension.NOVELTY: "CASE WHEN v.id = first.id THEN 'new' ELSE 'returning' END",
    Dimension.GENDER: "lower(coalesce(c.gender, looks.gender, 'unknown'))",
}

# What a key is made of beyond the visit.
_JOINS: Final[Mapping[Dimension, str]] = {
    # The first visit at any site of the tenant, looked up once per customer.
    Dimension.NOVELTY: """
      JOIN (
        SELECT known.customer_id, f.id FROM (SELECT DISTINCT customer_id FROM v) AS known CROSS JOIN LATERAL (
          SELECT w.id FROM visits w
           WHERE w.tenant_id = :tenant AND w.customer_id = known.customer_id AND w.state = 'LIVE'
           ORDER BY w.start_time, w.id LIMIT 1
        ) AS f
      ) AS first USING (customer_id)""",
    # What staff entered, else what most sightings of the visit say.
    Dimension.GENDER: """
      LEFT JOIN customers c ON c.tenant_id = :tenant AND c.id = v.customer_id
      LEFT JOIN (
        SELECT e.visit_id, mode() WITHIN GROUP (ORDER BY e.gender) AS gender FROM face_events e
         WHERE e.tenant_id = :tenant AND e.gender IS NOT NULL AND e.visit_id IN (SELECT id FROM v)
         GROUP BY e.visit_id
      ) AS looks ON looks.visit_id = v.id""",
}

_BINS: Final = """
WITH p AS (
  SELECT * FROM unnest(CAST(:sites AS uuid[]), CAST(:zones AS text[])) AS p (site_id, zone)
),
v AS (
  SELECT v.*, count(*) OVER (PARTITION BY v.customer_id) AS in_range FROM visits v
   WHERE v.tenant_id = :tenant AND v.state = 'LIVE' AND v.site_id = ANY (:sites)
     AND v.local_date >= :first AND v.local_date < :last
)
SELECT {key} AS key, count(*) AS visits, count(DISTINCT v.customer_id) AS people
  FROM v JOIN p USING (site_id) {join} GROUP BY 1
"""

# Which keys were watched at all, where time or place is the key.
_LIT_KEY_OF: Final[Mapping[Dimension, str]] = {
    Dimension.HOUR_OF_DAY: "to_char(s.start_time AT TIME ZONE p.zone, 'HH24')",
    Dimension.WEEKDAY: "extract(isodow FROM s.start_time AT TIME ZONE p.zone - p.boundary)::text",
    Dimension.WEEKDAY_HOUR: (
        "extract(isodow FROM s.start_time AT TIME ZONE p.zone - p.boundary)::text"
        " || to_char(s.start_time AT TIME ZONE p.zone, '\"T\"HH24')"
    ),
    Dimension.SITE: "s.site_id::text",
    Dimension.CAMERA: "s.camera_id::text",
}
_LIT: Final = """
WITH p AS (
  SELECT site_id, zone, make_interval(mins => minutes) AS boundary, starts, ends
    FROM unnest(CAST(:sites AS uuid[]), CAST(:zones AS text[]), CAST(:boundaries AS integer[]),
                CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]))
      AS p (site_id, zone, minutes, starts, ends)
)
SELECT DISTINCT {key} AS key
  FROM p JOIN coverage_slices s ON s.tenant_id = :tenant AND s.site_id = p.site_id
   AND s.start_time >= p.starts AND s.start_time < p.ends AND s.watched_ms > 0
"""
_ANY_LIT: Final = "'any'"


def unknown(dimension: Dimension) -> list[Bin]:
    """The bins of a scope without a site."""
    return [Bin(key, None, None) for key in KEYS.get(dimension, ())]


async def bins(
    tx: Tx, tenant_id: TenantId, dimension: Dimension, places: Sequence[Place], days: Sequence[Bucket]
) -> list[Bin]:
    """The bins of a dimension over ``places`` and ``days``, in the dimension's order; sites and cameras most first."""
    first, last = days[0], days[-1]
    if first.days is None or last.days is None:
        raise AssertionError("distributions are made of days")
    parameters: dict[str, Any] = {
        "tenant": tenant_id,
        "sites": [place.id for place in places],
        "zones": [place.time_zone for place in places],
    }
    statement = _BINS.format(key=_KEY_OF[dimension], join=_JOINS.get(dimension, ""))
    rows = await tx.execute(text(statement), parameters | {"first": first.days[0], "last": last.days[1]})
    found = {row.key: (row.visits, row.people) for row in rows}
    lit = set(
        await tx.scalars(
            text(_LIT.format(key=_LIT_KEY_OF.get(dimension, _ANY_LIT))),
            parameters
            | {
                "boundaries": [
                    place.rules[-1].day_boundary_minutes if place.rules else DEFAULT_BOUNDARY_MINUTES
                    for place in places
                ],
                "starts": [first.local[place.id].start for place in places],
                "ends": [last.local[place.id].end for place in places],
            },
        )
    )
    return [_bin(key, found, lit=key in lit or "any" in lit) for key in _keys(dimension, places, found, lit)]


def _keys(
    dimension: Dimension, places: Sequence[Place], found: Mapping[str, tuple[int, int]], lit: set[str]
) -> Sequence[str]:
    if dimension in KEYS:
        return KEYS[dimension]
    known = {str(place.id) for place in places} if dimension is Dimension.SITE else lit
    return sorted(known | found.keys(), key=lambda key: (-found.get(key, (0, 0))[0], key))


def _bin(key: str, found: Mapping[str, tuple[int, int]], *, lit: bool) -> Bin:
    if key in found:
        return Bin(key, *found[key])
    return Bin(key, 0, 0) if lit else Bin(key, None, None)
