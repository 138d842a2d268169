"""The visit fold: one customer's sightings at one site → visits. A function in the database, their only writer.

    fold_visits(p_tenant, p_customer, p_site, p_from, p_to) → the visits that changed

A visit is a run of sightings of one business day in which every gap (latest end so far → next start) is at most the
site's `visit_gap_seconds` in force at that next start. A business day begins `day_boundary_minutes` (04:00) after the
midnight of the site's own clock, by the rule in force at that midnight. No visit reaches over such a cut, so it is
enough to rebuild, whole, the business days that [p_from, p_to] touches: the outcome depends on which sightings there
are, never on the order in which they came.

Which id a visit has is the one thing that remembers: a rebuilt visit is the heir of every former visit whose first
sighting it holds. It keeps the id of the oldest of these (first made); the others become SUPERSEDED and name it. A
former visit with no sighting left is RETRACTED; one whose sightings all went to another customer (a merge) is
SUPERSEDED by the visit that took them. Every change writes a row of visit_feed, and marks each day whose numbers it
alters in dirty_days: the visits' own days, and, when the customer's first visit moved, the days around its old and new
place, since there the customer turns from new to returning or back, at every site and in every bucket up to a month.

Callers hold the advisory locks of (tenant, customer, site), taken before reading, in READ COMMITTED; for a merge, of
both customers, and fold both. p_from and p_to are the first and last `track_start_time` among the sightings that
changed. Sightings count when they have a customer and `counts`; whoever takes a sighting out of the counts (conversion
to staff, `counts = false`) clears its `visit_id` and folds the customer that it left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_HELPERS: Final = """
CREATE FUNCTION uuid_v7(p_at timestamptz) RETURNS uuid
LANGUAGE sql VOLATILE
AS $$
  -- The server's own uuidv7() came with PostgreSQL 18. Version 4 is 0100 in bits 52 to 55: two more make it 7.
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send((extract(epoch FROM p_at) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
    52, 1), 53, 1), 'hex')::uuid
$$;

CREATE FUNCTION business_day_start(p_tenant uuid, p_site uuid, p_day date) RETURNS timestamptz
LANGUAGE sql STABLE
AS $$
  -- By the rule in force at that day's midnight: the latest by then, or the earliest of all.
  SELECT (p_day + make_interval(mins => coalesce((
    SELECT r.day_boundary_minutes FROM site_rules r WHERE r.tenant_id = p_tenant AND r.site_id = p_site
    ORDER BY r.effective_time > midnight, abs(extract(epoch FROM r.effective_time - midnight)) LIMIT 1
  ), 240))) AT TIME ZONE s.time_zone
  FROM sites s, LATERAL (SELECT p_day::timestamp AT TIME ZONE s.time_zone AS midnight) AS m
  WHERE s.tenant_id = p_tenant AND s.id = p_site
$$;

CREATE FUNCTION business_day(p_tenant uuid, p_site uuid, p_at timestamptz) RETURNS date
LANGUAGE sql STABLE
AS $$
  -- The last day that had begun by then: today's local date, or the one before.
  SELECT CASE WHEN business_day_start(p_tenant, p_site, local_date) <= p_at THEN local_date ELSE local_date - 1 END
  FROM (SELECT (p_at AT TIME ZONE s.time_zone)::date AS local_date
        FROM sites s WHERE s.tenant_id = p_tenant AND s.id = p_site) AS here
$$;
"""

_FOLD: Final = """
CREATE FUNCTION fold_visits(p_tenant uuid, p_customer uuid, p_site uuid, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (visit_id uuid, kind text, start_time timestamptz, end_time timestamptz, local_date date)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
  -- A customer's first visit may be at a site that the caller is not for.
  v_sites text := current_setting('app.site_ids', true);
  v_first_day date;
  v_last_day date;
  v_first_before record;
  v_first_after record;
  v_run record;
  v_id uuid;
  v_kept uuid[] := '{}';
  v_dead record;
BEGIN
  PERFORM set_config('app.site_ids', '', true);
  v_first_day := business_day(p_tenant, p_site, p_from);
  v_last_day := business_day(p_tenant, p_site, p_to);
  IF v_first_day IS NULL THEN
    RAISE EXCEPTION 'no such site' USING ERRCODE = 'no_data_found';
  END IF;
  SELECT v.start_time, v.local_date INTO v_first_before FROM visits v
    WHERE v.tenant_id = p_tenant AND v.customer_id = p_customer AND v.state = 'LIVE' ORDER BY v.start_time LIMIT 1;

  FOR v_run IN
    WITH days AS MATERIALIZED (
      SELECT day, business_day_start(p_tenant, p_site, day) AS starts,
        business_day_start(p_tenant, p_site, day + 1) AS ends
      FROM (SELECT v_first_day + i AS day FROM generate_series(0, v_last_day - v_first_day) AS i) AS each
    ),
    seen AS (
      SELECT e.id, e.camera_id, e.track_start_time AS from_time, e.track_end_time AS to_time, e.quality, e.visit_id,
        days.day,
        coalesce(rule.visit_gap_seconds, 1800) AS gap_seconds,
        coalesce(rule.min_dwell_seconds, 10) AS min_dwell_seconds
      FROM days JOIN face_events e ON e.track_start_time >= days.starts AND e.track_start_time < days.ends
      LEFT JOIN LATERAL (
        -- In force at the sighting's start: the latest rule by then, or the earliest of all.
        SELECT r.visit_gap_seconds, r.min_dwell_seconds FROM site_rules r
        WHERE r.tenant_id = p_tenant AND r.site_id = p_site
        ORDER BY r.effective_time > e.track_start_time, abs(extract(epoch FROM r.effective_time - e.track_start_time))
        LIMIT 1
      ) AS rule ON true
      WHERE e.tenant_id = p_tenant AND e.customer_id = p_customer AND e.site_id = p_site AND e.counts
    ),
    numbered AS (
      SELECT parted.*, count(*) FILTER (WHERE parts) OVER (ORDER BY from_time, id) AS run
      FROM (
        SELECT seen.*, coalesce(
          from_time > max(to_time) OVER earlier + make_interval(secs => gap_seconds), true) AS parts
        FROM seen
        WINDOW earlier AS (
          PARTITION BY day ORDER BY from_time, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
      ) AS parted
    ),
    runs AS (
      SELECT run, min(day) AS local_date, min(from_time) AS from_time, max(to_time) AS to_time,
        count(*)::integer AS sightings,
        (array_agg(id ORDER BY from_time, id))[1] AS first_event_id,
        (array_agg(id ORDER BY quality DESC, from_time, id))[1] AS best_event_id,
        (array_agg(camera_id ORDER BY from_time, id))[1] AS first_camera_id,
        (array_agg(camera_id ORDER BY to_time DESC, from_time DESC, id DESC))[1] AS last_camera_id,
        (array_agg(min_dwell_seconds ORDER BY from_time, id))[1] AS min_dwell_seconds,
        array_agg(id) AS event_ids, array_agg(DISTINCT visit_id) AS visit_ids
      FROM numbered GROUP BY run
    ),
    -- A former visit belongs to the run that holds its first sighting.
    former AS (
      SELECT DISTINCT ON (visit_id) visit_id AS id, run FROM numbered
      WHERE visit_id IS NOT NULL ORDER BY visit_id, from_time, numbered.id
    ),
    heirlooms AS (
      SELECT f.run,
        array_agg(v.id ORDER BY v.create_time, v.start_time, v.id) FILTER (WHERE v.customer_id = p_customer) AS own,
        array_agg(v.id) FILTER (WHERE v.customer_id <> p_customer AND NOT EXISTS (
          SELECT FROM face_events e
          WHERE e.tenant_id = p_tenant AND e.visit_id = v.id AND e.customer_id = v.customer_id AND e.counts
        )) AS taken
      FROM former f JOIN visits v ON v.tenant_id = p_tenant AND v.id = f.id
      WHERE v.state = 'LIVE' OR (v.state = 'RETRACTED' AND v.customer_id <> p_customer)
      GROUP BY f.run
    )
    SELECT runs.*, heirlooms.own, heirlooms.taken,
      CASE WHEN sightings > 1 OR to_time - from_time > make_interval(secs => min_dwell_seconds)
        THEN extract(epoch FROM to_time - from_time)::integer END AS dwell_seconds
    FROM runs LEFT JOIN heirlooms USING (run) ORDER BY run
  LOOP
    IF v_run.own IS NULL THEN
      v_id := uuid_v7(clock_timestamp());
      INSERT INTO visits (tenant_id, id, customer_id, site_id, local_date, start_time, end_time, sighting_count,
        dwell_seconds, first_event_id, best_event_id, first_camera_id, last_camera_id)
      VALUES (p_tenant, v_id, p_customer, p_site, v_run.local_date, v_run.from_time, v_run.to_time, v_run.sightings,
        v_run.dwell_seconds, v_run.first_event_id, v_run.best_event_id, v_run.first_camera_id, v_run.last_camera_id);
      kind := 'CREATED';
    ELSE
      v_id := v_run.own[1];
      -- Its day may change with a rule: the former one is marked before it is forgotten.
      INSERT INTO dirty_days (tenant_id, site_id, local_date)
        SELECT p_tenant, p_site, v.local_date FROM visits v
        WHERE v.tenant_id = p_tenant AND v.id = v_id AND v.local_date <> v_run.local_date;
      UPDATE visits v SET (local_date, start_time, end_time, sighting_count, dwell_seconds, first_event_id,
          best_event_id, first_camera_id, last_camera_id, update_time)
        = (v_run.local_date, v_run.from_time, v_run.to_time, v_run.sightings, v_run.dwell_seconds,
          v_run.first_event_id, v_run.best_event_id, v_run.first_camera_id, v_run.last_camera_id, now())
      WHERE v.tenant_id = p_tenant AND v.id = v_id
        AND (v.local_date, v.start_time, v.end_time, v.sighting_count, v.dwell_seconds, v.first_event_id,
            v.best_event_id, v.last_camera_id)
          IS DISTINCT FROM (v_run.local_date, v_run.from_time, v_run.to_time, v_run.sightings, v_run.dwell_seconds,
            v_run.first_event_id, v_run.best_event_id, v_run.last_camera_id);
      kind := CASE WHEN FOUND THEN 'UPDATED' END;
    END IF;
    v_kept := v_kept || v_id;
    IF v_run.visit_ids IS DISTINCT FROM ARRAY[v_id] THEN
      UPDATE face_events e SET visit_id = v_id
      WHERE e.tenant_id = p_tenant AND e.id = ANY (v_run.event_ids) AND e.visit_id IS DISTINCT FROM v_id;
    END IF;
    IF kind IS NOT NULL THEN
      INSERT INTO visit_feed (tenant_id, visit_id, site_id, kind) VALUES (p_tenant, v_id, p_site, kind);
      INSERT INTO dirty_days (tenant_id, site_id, local_date) VALUES (p_tenant, p_site, v_run.local_date);
      visit_id := v_id;
      start_time := v_run.from_time;
      end_time := v_run.to_time;
      local_date := v_run.local_date;
      RETURN NEXT;
    END IF;

    FOR v_dead IN
      UPDATE visits v SET state = 'SUPERSEDED', superseded_by = v_id, update_time = now()
      WHERE v.tenant_id = p_tenant AND v.id = ANY (v_run.own[2:] || v_run.taken)
      RETURNING v.id, v.site_id, v.start_time, v.end_time, v.local_date
    LOOP
      kind := 'REMOVED';
      INSERT INTO visit_feed (tenant_id, visit_id, site_id, kind) VALUES (p_tenant, v_dead.id, v_dead.site_id, kind);
      INSERT INTO dirty_days (tenant_id, site_id, local_date) VALUES (p_tenant, v_dead.site_id, v_dead.local_date);
      visit_id := v_dead.id;
      start_time := v_dead.start_time;
      end_time := v_dead.end_time;
      local_date := v_dead.local_date;
      RETURN NEXT;
    END LOOP;
  END LOOP;

  FOR v_dead IN
    UPDATE visits v SET state = 'RETRACTED', update_time = now()
    WHERE v.tenant_id = p_tenant AND v.customer_id = p_customer AND v.site_id = p_site AND v.state = 'LIVE'
      AND v.start_time >= business_day_start(p_tenant, p_site, v_first_day)
      AND v.start_time < business_day_start(p_tenant, p_site, v_last_day + 1) AND v.id <> ALL (v_kept)
    RETURNING v.id, v.start_time, v.end_time, v.local_date
  LOOP
    kind := 'REMOVED';
    INSERT INTO visit_feed (tenant_id, visit_id, site_id, kind) VALUES (p_tenant, v_dead.id, p_site, kind);
    INSERT INTO dirty_days (tenant_id, site_id, local_date) VALUES (p_tenant, p_site, v_dead.local_date);
    visit_id := v_dead.id;
    start_time := v_dead.start_time;
    end_time := v_dead.end_time;
    local_date := v_dead.local_date;
    RETURN NEXT;
  END LOOP;

  SELECT v.start_time, v.local_date INTO v_first_after FROM visits v
    WHERE v.tenant_id = p_tenant AND v.customer_id = p_customer AND v.state = 'LIVE' ORDER BY v.start_time LIMIT 1;
  IF v_first_before.start_time <> v_first_after.start_time THEN
    -- 31 days: the week and the month around either place. Two dates around a midnight of two sites are within it too.
    INSERT INTO dirty_days (tenant_id, site_id, local_date)
      SELECT DISTINCT p_tenant, v.site_id, v.local_date FROM visits v
      WHERE v.tenant_id = p_tenant AND v.customer_id = p_customer AND v.state = 'LIVE'
        AND (abs(v.local_date - v_first_before.local_date) <= 31 OR abs(v.local_date - v_first_after.local_date) <= 31);
  END IF;
  PERFORM set_config('app.site_ids', coalesce(v_sites, ''), true);
END
$$;
"""


def statements() -> Iterator[str]:
    """The fold and its helpers."""
    yield _HELPERS.strip()
    yield _FOLD.strip()
