"""What reports count, straight from the rows.

Counts go over every visit of the sites asked for; who is *new* is decided by the customer's first visit at any site of
the tenant, also one that the caller may not see. So a caller's sites are read first, under the policy that holds them
to those, and the policy is lifted for the counting, whose sites are then named in every query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import func, select, text

from mesh.database import Tx
from mesh.ids import CameraId, SiteId, TenantId
from schema.registry import camera_reports, cameras, site_rules, sites, tenants
from svc_reports.reports.domain import Bucket, Camera, OpeningSpan, Place, Rules, Span, Watched

_WEEKDAYS: Final = tuple(
    f"WEEKDAY_{day}" for day in ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
)

# The number of a visit's bucket: hours by their instant, for the wall clock shows one of them twice; days, weeks and
# months by the business day of the visit.
_BY_INSTANT: Final = "width_bucket({v}.start_time, CAST(:starts AS timestamptz[])) - 1"
_BY_DAY: Final = "width_bucket({v}.local_date, CAST(:starts AS date[])) - 1"

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
       ORDER BY v.start_time, v.id LIMIT 1
    ) f
)
SELECT s.bucket, count(*) AS visits, count(DISTINCT s.customer_id) AS people,
       count(DISTINCT s.customer_id) FILTER (WHERE f.within AND f.bucket = s.bucket) AS new_in_bucket,
       count(DISTINCT s.customer_id) FILTER (WHERE f.within) AS new_in_range,
       count(s.dwell_seconds) AS known_dwells,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY s.dwell_seconds) AS median_dwell
  FROM scoped s JOIN firsts f USING (customer_id)
 GROUP BY GROUPING SETS ((s.bucket), ())
"""

# Boots and epochs of one quarter of an hour add up, to no more than the quarter; of a quarter that is half open, no
# more than that half counts, and its tracks count once however often the site opened in it.
_WATCHED: Final = text(
    """
    WITH open AS (
      SELECT * FROM unnest(CAST(:buckets AS integer[]), CAST(:sites AS uuid[]), CAST(:starts AS timestamptz[]),
                           CAST(:ends AS timestamptz[])) WITH ORDINALITY AS o (bucket, site_id, starts, ends, span)
    ),
    pieces AS (
      SELECT o.bucket, s.site_id, s.camera_id, s.start_time, sum(s.watched_ms) AS watched_ms,
             sum(s.faces_seen) AS seen, sum(s.faces_usable) AS usable,
             extract(epoch FROM least(o.ends, s.start_time + interval '15 minutes')
                                - greatest(o.starts, s.start_time)) AS open_seconds
        FROM open o CROSS JOIN LATERAL (
          SELECT * FROM coverage_slices c WHERE c.tenant_id = :tenant AND c.site_id = o.site_id
             AND c.start_time > o.starts - interval '15 minutes' AND c.start_time < o.ends
          OFFSET 0  -- span by span, by the index: joined as a whole, every span would meet every quarter
        ) s
       GROUP BY o.bucket, o.span, o.starts, o.ends, s.site_id, s.camera_id, s.start_time
    ),
    quarters AS (
      SELECT bucket, site_id, camera_id, least(max(watched_ms) / 1000.0, sum(open_seconds)) AS seconds,
             max(seen) AS seen, max(usable) AS usable
        FROM pieces GROUP BY bucket, site_id, camera_id, start_time
    )
    SELECT bucket, site_id, camera_id, sum(seconds) AS seconds, sum(seen) AS seen, sum(usable) AS usable
      FROM quarters GROUP BY bucket, site_id, camera_id
    """
)

# A best shot lies within its track: captures around the range lead to its tracks, by the index of cameras.
_PASSAGES: Final = text(
    """
    SELECT b.bucket, count(*) AS passages
      FROM unnest(CAST(:buckets AS integer[]), CAST(:sites AS uuid[]), CAST(:starts AS timestamptz[]),
                  CAST(:ends AS timestamptz[])) AS b (bucket, site_id, starts, ends)
      JOIN cameras c ON c.tenant_id = :tenant AND c.site_id = b.site_id
      CROSS JOIN LATERAL (
        SELECT FROM face_events e WHERE e.tenant_id = :tenant AND e.camera_id = c.id AND e.verdict = 'ANONYMOUS'
           AND e.capture_time >= b.starts AND e.capture_time < b.ends + interval '1 day'
           AND e.track_start_time >= b.starts AND e.track_start_time < b.ends
        OFFSET 0
      ) e
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
    tx: Tx, tenant_id: TenantId, buckets: Sequence[Bucket], places: Sequence[Place]
) -> tuple[dict[int, Count], Count]:
    """Visits and people at ``places`` by bucket number, and of the whole range; empty buckets are left out."""
    if not places:
        return {}, Count()
    by_day = [bucket.days for bucket in buckets if bucket.days is not None]
    if by_day:
        bucket, column = _BY_DAY, "local_date"
        starts: list[Any] = [first for first, _ in by_day]
        last: Any = by_day[-1][1]
    else:
        bucket, column = _BY_INSTANT, "start_time"
        starts = [bucket.span.start for bucket in buckets]
        last = buckets[-1].span.end
    within = f"{{v}}.{column} >= :first AND {{v}}.{column} < :last"
    statement = text(
        _COUNTS.format(
            bucket=bucket.format(v="v"),
            within=within.format(v="v"),
            first_bucket=bucket.format(v="f"),
            first_within=f"({within.format(v='f')})",
        )
    )
    parameters = {"tenant": tenant_id, "sites": [place.id for place in places], "starts": starts}
    found: dict[int, Count] = {}
    total = Count()
    for row in await tx.execute(statement, parameters | {"first": starts[0], "last": last}):
        new = row.new_in_range if row.bucket is None else row.new_in_bucket
        count = Count(row.visits, row.people, new, row.known_dwells, row.median_dwell)
        if row.bucket is None:
            total = count
        else:
            found[row.bucket] = count
    return found, total


async def site_cameras(tx: Tx, places: Sequence[Place]) -> list[Camera]:
    """The cameras of the sites, deleted ones too, with how far their events have arrived."""
    rows = await tx.execute(
        select(
            *(cameras.c.id, cameras.c.site_id, cameras.c.role, cameras.c.enabled),
            *(cameras.c.create_time, cameras.c.delete_time, camera_reports.c.complete_to_time),
        )
        .outerjoin(
            camera_reports,
            (camera_reports.c.tenant_id == cameras.c.tenant_id) & (camera_reports.c.camera_id == cameras.c.id),
        )
        .where(cameras.c.site_id.in_([place.id for place in places]))
    )
    return [
        Camera(
            id=CameraId(row.id),
            site_id=SiteId(row.site_id),
            entrance=row.role == "ENTRANCE",
            enabled=row.enabled,
            create_time=row.create_time,
            delete_time=row.delete_time,
            # A camera that is gone sends nothing that could still be missing.
            complete_to_time=row.complete_to_time if row.delete_time is None else None,
        )
        for row in rows
    ]


async def watched(tx: Tx, tenant_id: TenantId, opened: Sequence[tuple[int, SiteId, Span]]) -> dict[int, list[Watched]]:
    """What each camera watched of the open spans, by bucket number."""
    found: dict[int, list[Watched]] = {}
    if not opened:
        return found
    for row in await tx.execute(_WATCHED, _spans(tenant_id, opened)):
        one = Watched(CameraId(row.camera_id), SiteId(row.site_id), float(row.seconds), int(row.seen), int(row.usable))
        found.setdefault(row.bucket, []).append(one)
    return found


async def passages(tx: Tx, tenant_id: TenantId, spans: Sequence[tuple[int, SiteId, Span]]) -> dict[int, int]:
    """Tracks at anonymous sites, by bucket number."""
    if not spans:
        return {}
    return {row.bucket: row.passages for row in await tx.execute(_PASSAGES, _spans(tenant_id, spans))}


def _spans(tenant_id: TenantId, spans: Sequence[tuple[int, SiteId, Span]]) -> dict[str, object]:
    return {
        "tenant": tenant_id,
        "buckets": [number for number, _, _ in spans],
        "sites": [site for _, site, _ in spans],
        "starts": [span.start for _, _, span in spans],
        "ends": [span.end for _, _, span in spans],
    }
