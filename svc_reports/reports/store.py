"""What reports count, straight from the rows.

Counts go over every visit of the sites asked for; who is *new* is decided by the customer's first visit at any site of
the tenant, also one that the caller may not see. So a caller's sites are read first, under the policy that holds them
to those, and the policy is lifted for the counting, whose sites are then named in every query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import func, select, text

from mesh.database import Tx
from mesh.ids import CameraId, SiteId, TenantId
from schema.registry import camera_reports, cameras, site_rules, sites, tenants
from svc_reports.reports.domain import Bucket, Grain, OpeningSpan, Place, Rules, Span, Watched

_WEEKDAYS: Final = tuple(
    f"WEEKDAY_{day}" for day in ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
)

# The bucket of a visit: hours by the wall clock of the one zone, longer grains by the business day.
_BUCKET_OF: Final[Mapping[Grain, str]] = {
    Grain.HOUR: "to_char(date_trunc('hour', {v}.start_time, :zone) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS')",
    Grain.DAY: "{v}.local_date::text",
    Grain.WEEK: "({v}.local_date - ((extract(isodow FROM {v}.local_date)::integer - :week_start + 7) % 7))::text",
    Grain.MONTH: "date_trunc('month', {v}.local_date)::date::text",
}

_COUNTS: Final = """
WITH scoped AS (
  SELECT v.customer_id, v.start_time, v.dwell_seconds, {bucket} AS bucket
    FROM visits v
   WHERE v.tenant_id = :tenant AND v.state = 'LIVE' AND v.site_id = ANY (:sites) AND {within}
),
firsts AS (
  SELECT c.customer_id, {first_bucket} AS bucket, {first_within} AS within
    FROM (SELECT DISTINCT customer_id FROM scoped) c
    CROSS JOIN LATERAL (
      SELECT v.start_time, v.local_date FROM visits v
       WHERE v.tenant_id = :tenant AND v.customer_id = c.customer_id AND v.state = 'LIVE'
       ORDER BY v.start_time LIMIT 1
    ) f
)
SELECT s.bucket, count(*) AS visits, count(DISTINCT s.customer_id) AS people,
       count(DISTINCT s.customer_id) FILTER (WHERE f.bucket = s.bucket) AS new_in_bucket,
       count(DISTINCT s.customer_id) FILTER (WHERE f.within) AS new_in_range,
       count(s.dwell_seconds) AS known_dwells,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY s.dwell_seconds) AS median_dwell
  FROM scoped s JOIN firsts f USING (customer_id)
 GROUP BY GROUPING SETS ((s.bucket), ())
"""

# Boots and epochs of one quarter of an hour add up, to no more than the quarter; of a quarter that is half open, no
# more than that half counts.
_WATCHED: Final = text(
    """
    WITH open AS (
      SELECT * FROM unnest(CAST(:buckets AS integer[]), CAST(:sites AS uuid[]), CAST(:starts AS timestamptz[]),
                           CAST(:ends AS timestamptz[])) AS o (bucket, site_id, starts, ends)
    ),
    quarters AS (
      SELECT s.site_id, s.camera_id, s.start_time, least(sum(s.watched_ms), 900000) AS watched_ms,
             sum(s.faces_seen) AS seen, sum(s.faces_usable) AS usable
        FROM coverage_slices s
       WHERE s.tenant_id = :tenant AND s.site_id = ANY (:sites)
         AND s.start_time >= :first - interval '15 minutes' AND s.start_time < :last
       GROUP BY s.site_id, s.camera_id, s.start_time
    )
    SELECT o.bucket, q.site_id, q.camera_id,
           sum(least(q.watched_ms / 1000.0, extract(epoch FROM
             least(o.ends, q.start_time + interval '15 minutes') - greatest(o.starts, q.start_time)))) AS seconds,
           sum(q.seen) AS seen, sum(q.usable) AS usable
      FROM open o JOIN quarters q
        ON q.site_id = o.site_id AND q.start_time < o.ends AND q.start_time + interval '15 minutes' > o.starts
     GROUP BY o.bucket, q.site_id, q.camera_id
    """
)

_PASSAGES: Final = text(
    """
    SELECT b.bucket, count(*) AS passages
      FROM unnest(CAST(:buckets AS integer[]), CAST(:sites AS uuid[]), CAST(:starts AS timestamptz[]),
                  CAST(:ends AS timestamptz[])) AS b (bucket, site_id, starts, ends)
      JOIN face_events e ON e.tenant_id = :tenant AND e.site_id = b.site_id AND e.verdict = 'ANONYMOUS'
       AND e.track_start_time >= b.starts AND e.track_start_time < b.ends
     GROUP BY b.bucket
    """
)


@dataclass(frozen=True)
class Count:
    """What was counted in one bucket."""

    visits: int = 0
    people: int = 0
    new_people: int = 0
    known_dwells: int = 0
    #: Seconds; None when no dwell is known.
    median_dwell: float | None = None


@dataclass(frozen=True)
class Camera:
    """A camera as coverage sees it."""

    id: CameraId
    site_id: SiteId
    entrance: bool
    complete_to_time: datetime | None


async def places(tx: Tx, site_ids: Sequence[SiteId]) -> list[Place]:
    """The sites that the transaction sees, of those asked for (none: all), with their rules."""
    wanted = sites.c.delete_time.is_(None) if not site_ids else sites.c.id.in_(list(site_ids))
    rows = (await tx.execute(select(sites).where(wanted).order_by(sites.c.id))).all()
    ruled: dict[SiteId, list[Rules]] = {SiteId(row.id): [] for row in rows}
    found = await tx.execute(
        select(site_rules).where(site_rules.c.site_id.in_(list(ruled))).order_by(site_rules.c.effective_time)
    )
    for row in found:
        ruled[SiteId(row.site_id)].append(_rules(row))
    return [Place(SiteId(row.id), row.time_zone, tuple(ruled[SiteId(row.id)]), row.privacy_mode) for row in rows]


def _rules(row: Any) -> Rules:
    hours = row.opening_hours
    spans = None
    if hours is not None:
        spans = tuple(
            OpeningSpan(_WEEKDAYS.index(span["weekday"]) + 1, span.get("openMinute", 0), span["closeMinute"])
            for span in hours.get("spans", ())
        )
    closed = frozenset(date.fromisoformat(day) for day in (hours or {}).get("closedDates", ()))
    return Rules(row.effective_time, row.day_boundary_minutes, spans, closed)


async def week_start_day(tx: Tx, tenant_id: TenantId) -> int:
    """The tenant's first day of the week, ISO."""
    day = await tx.scalar(select(tenants.c.week_start_day).where(tenants.c.id == tenant_id))
    return int(day or 1)


async def lift_site_policy(tx: Tx) -> None:
    """Let the rest of the transaction see every site of the tenant; see the module's first words."""
    await tx.execute(select(func.set_config("app.site_ids", "", True)))


async def snapshot_time(tx: Tx) -> datetime:
    """The database's time of this transaction: what was committed before it is counted."""
    now: datetime = (await tx.execute(select(func.now()))).scalar_one()
    return now


async def counts(
    tx: Tx,
    tenant_id: TenantId,
    grain: Grain,
    *,
    buckets: Sequence[Bucket],
    places: Sequence[Place],
    week_start: int,
) -> tuple[dict[str, Count], Count]:
    """Visits and people by bucket key, and of the whole range; buckets without a visit are left out."""
    first, last = buckets[0], buckets[-1]
    parameters: dict[str, object] = {"tenant": tenant_id, "sites": [place.id for place in places]}
    if grain is Grain.HOUR:
        within = "{v}.start_time >= :first AND {v}.start_time < :last"
        parameters |= {"first": first.span.start, "last": last.span.end, "zone": places[0].time_zone}
    else:
        if first.days is None or last.days is None:
            raise AssertionError("a bucket of days has days")
        within = "{v}.local_date >= :first AND {v}.local_date < :last"
        parameters |= {"first": first.days[0], "last": last.days[1]}
        if grain is Grain.WEEK:
            parameters["week_start"] = week_start
    statement = text(
        _COUNTS.format(
            bucket=_BUCKET_OF[grain].format(v="v"),
            within=within.format(v="v"),
            first_bucket=_BUCKET_OF[grain].format(v="f"),
            first_within=f"({within.format(v='f')})",
        )
    )
    keys = {_counted_key(grain, bucket): bucket.key for bucket in buckets}
    found: dict[str, Count] = {}
    total = Count()
    for row in await tx.execute(statement, parameters):
        whole = row.bucket is None
        new_people = row.new_in_range if whole else row.new_in_bucket
        count = Count(row.visits, row.people, new_people, row.known_dwells, row.median_dwell)
        if whole:
            total = count
        else:
            found[keys[row.bucket]] = count
    return found, total


def _counted_key(grain: Grain, bucket: Bucket) -> str:
    """A bucket as the query names it: hours by their instant, for the wall clock shows one of them twice."""
    return bucket.span.start.strftime("%Y-%m-%dT%H:%M:%S") if grain is Grain.HOUR else bucket.key


async def site_cameras(tx: Tx, places: Sequence[Place]) -> list[Camera]:
    """The cameras of the sites, with how far their events have arrived."""
    rows = await tx.execute(
        select(cameras.c.id, cameras.c.site_id, cameras.c.role, camera_reports.c.complete_to_time)
        .outerjoin(
            camera_reports,
            (camera_reports.c.tenant_id == cameras.c.tenant_id) & (camera_reports.c.camera_id == cameras.c.id),
        )
        .where(
            cameras.c.site_id.in_([place.id for place in places]),
            cameras.c.delete_time.is_(None),
            cameras.c.enabled,
        )
    )
    return [Camera(CameraId(row.id), SiteId(row.site_id), row.role == "ENTRANCE", row.complete_to_time) for row in rows]


async def watched(
    tx: Tx, tenant_id: TenantId, opened: Sequence[tuple[int, SiteId, Span]], entrances: set[CameraId]
) -> dict[int, list[Watched]]:
    """What each camera watched of the open spans, by bucket number."""
    found: dict[int, list[Watched]] = {}
    if not opened:
        return found
    rows = await tx.execute(_WATCHED, _spans(tenant_id, opened))
    for row in rows:
        one = Watched(
            CameraId(row.camera_id),
            SiteId(row.site_id),
            CameraId(row.camera_id) in entrances,
            float(row.seconds),
            int(row.seen),
            int(row.usable),
        )
        found.setdefault(row.bucket, []).append(one)
    return found


async def passages(tx: Tx, tenant_id: TenantId, spans: Sequence[tuple[int, SiteId, Span]]) -> dict[int, int]:
    """Tracks at anonymous sites, by bucket number."""
    if not spans:
        return {}
    parameters = _spans(tenant_id, spans)
    del parameters["first"], parameters["last"]
    return {row.bucket: row.passages for row in await tx.execute(_PASSAGES, parameters)}


def _spans(tenant_id: TenantId, spans: Sequence[tuple[int, SiteId, Span]]) -> dict[str, object]:
    return {
        "tenant": tenant_id,
        "buckets": [number for number, _, _ in spans],
        "sites": [site for _, site, _ in spans],
        "starts": [span.start for _, _, span in spans],
        "ends": [span.end for _, _, span in spans],
        "first": min(span.start for _, _, span in spans),
        "last": max(span.end for _, _, span in spans),
    }
