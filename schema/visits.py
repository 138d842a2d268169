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
LANGUAGE plpgsql STABLE  -- not sql: that would be planned at every call
AS $$
DECLARE
  v_zone text;
  v_midnight timestamptz;
  v_minutes integer;
BEGIN
  SELECT s.time_zone INTO v_zone FROM sites s WHERE s.tenant_id = p_tenant AND s.id = p_site;
  v_midnight := p_day::timestamp AT TIME ZONE v_zone;
  -- By the rule in force at that day's midnight: the latest by then, or the earliest of all.
  SELECT r.day_boundary_minutes INTO v_minutes FROM site_rules r WHERE r.tenant_id = p_tenant AND r.site_id = p_site
    ORDER BY r.effective_time > v_midnight, abs(extract(epoch FROM r.effective_time - v_midnight)) LIMIT 1;
  RETURN (p_day + make_interval(mins => coalesce(v_minutes, 240))) AT TIME ZONE v_zone;
END
$$;

CREATE FUNCTION business_day(p_tenant uuid, p_site uuid, p_at timestamptz) RETURNS date
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  v_day date;
BEGIN
  -- The last day that had begun by then: the local date, or the one before.
  SELECT (p_at AT TIME ZONE s.time_zone)::date INTO v_day FROM sites s WHERE s.tenant_id = p_tenant AND s.id = p_site;
  RETURN CASE WHEN business_day_start(p_tenant, p_site, v_day) <= p_at THEN v_day ELSE v_day - 1 END;
END
$$;
"""

_FOLD: Final = """
CREATE FUNCTION fold_visits(p_tenant uuid, p_customer uuid, p_site uuid, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (visit_id uuid, kind text, start_time timestamptz, end_time timestamptz, local_date date)
-- Planning anew for each customer would cost four times what running does. So plans are kept, and must be good from the
-- first, empty day on: few rows, found by index and joined one by one.
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off
AS $$
#variable_conflict use_column
DECLARE
  -- A customer's first visit may be at a site that the caller is not for.
  v_sites text := current_setting('app.site_ids', true);
  v_first_day date;
  v_cuts timestamptz[];  -- starts of the business days, one after the last included
  v_first_before record;
  v_first_after record;
  v_run record;
  v_id uuid;
  v_kept uuid[] := '{}';
  v_heirless uuid;
  v_dead record;
BEGIN
  PERFORM set_config('app.site_ids', '', true);
  v_first_day := business_day(p_tenant, p_site, p_from);
  IF v_first_day IS NULL THEN
    RAISE EXCEPTION 'no such site' USING ERRCODE = 'no_data_found';
  END IF;
  v_cuts := ARRAY[business_day_start(p_tenant, p_site, v_first_day)];
  LOOP
    v_cuts := v_cuts || business_day_start(p_tenant, p_site, v_first_day + cardinality(v_cuts));
    EXIT WHEN v_cuts[cardinality(v_cuts)] > p_to;
  END LOOP;
  SELECT v.start_time, v.local_date INTO v_first_before FROM visits v
    WHERE v.tenant_id = p_tenant AND v.customer_id = p_customer AND v.state = 'LIVE' ORDER BY v.start_time LIMIT 1;

  FOR v_run IN
    WITH days AS (
      SELECT v_first_day + i - 1 AS day, v_cuts[i] AS starts, v_cuts[i + 1] AS ends
      FROM generate_series(1, cardinality(v_cuts) - 1) AS i
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
        AND e.track_start_time >= v_cuts[1] AND e.track_start_time < v_cuts[cardinality(v_cuts)]
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
        array_agg(id ORDER BY from_time, id) AS event_ids, array_agg(visit_id ORDER BY from_time, id) AS visit_ids
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
    FOR i IN 1 .. v_run.sightings LOOP  -- one by one: most are in place, and an id tells its partition
      IF v_run.visit_ids[i] IS DISTINCT FROM v_id THEN
        UPDATE face_events e SET visit_id = v_id WHERE e.tenant_id = p_tenant AND e.id = v_run.event_ids[i];
      END IF;
    END LOOP;
    IF kind IS NOT NULL THEN
      INSERT INTO visit_feed (tenant_id, visit_id, site_id, kind) VALUES (p_tenant, v_id, p_site, kind);
      INSERT INTO dirty_days (tenant_id, site_id, local_date) VALUES (p_tenant, p_site, v_run.local_date);
      visit_id := v_id;
      start_time := v_run.from_time;
      end_time := v_run.to_time;
      local_date := v_run.local_date;
      RETURN NEXT;
    END IF;

    FOREACH v_heirless IN ARRAY coalesce(v_run.own[2:], '{}') || coalesce(v_run.taken, '{}') LOOP
      UPDATE visits v SET state = 'SUPERSEDED', superseded_by = v_id, update_time = now()
      WHERE v.tenant_id = p_tenant AND v.id = v_heirless
      RETURNING v.id, v.site_id, v.start_time, v.end_time, v.local_date INTO v_dead;
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
      AND tstzrange(v_cuts[1], v_cuts[cardinality(v_cuts)]) @> v.start_time AND v.id <> ALL (v_kept)
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
