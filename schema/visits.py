"""The visit fold: customers' sightings at sites → visits. A function in the database, their only writer.

    fold_visits_batch(p_tenant, p_customers, p_sites, p_from, p_to) → the visits that changed
    fold_visits(p_tenant, p_customer, p_site, p_from, p_to): the same, for one

The four arrays have one place for each customer at each site; a pair that is named twice is folded once, over both
spans. The outcome is that of folding one by one, in any order, but a batch costs little more than one: business days
and rules are looked up once, and the visits are written together.

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

Callers hold the advisory locks of each (tenant, customer, site), taken before reading, in READ COMMITTED; for a merge,
of both customers, and fold both. p_from and p_to are the first and last `track_start_time` among the sightings that
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
CREATE FUNCTION fold_visits_batch(
  p_tenant uuid, p_customers uuid[], p_sites uuid[], p_from timestamptz[], p_to timestamptz[])
RETURNS TABLE (visit_id uuid, kind text, start_time timestamptz, end_time timestamptz, local_date date)
-- Planning anew for each batch would cost more than running does. So plans are kept, and must be good from the first,
-- empty day on, whatever is known of the tables. Each is read by LATERAL with OFFSET 0 or LIMIT, for one customer or by
-- one key at a time, and written by key; and no other index fits. Hence "NOT IN ('SUPERSEDED', 'RETRACTED')" where a
-- customer's visits are wanted: the indexes of LIVE ones begin with the tenant, and would seem to do as well.
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
  -- A customer's first visit may be at a site that the caller is not for.
  v_sites text := current_setting('app.site_ids', true);
  v_day_sites uuid[];  -- business days, one place each in these four
  v_days date[];
  v_day_starts timestamptz[];
  v_day_ends timestamptz[];
  v_span_customers uuid[];  -- what is rebuilt: whole days of one customer at one site, one place each in these four
  v_span_sites uuid[];
  v_span_starts timestamptz[];
  v_span_ends timestamptz[];
  v_customers uuid[];  -- and where their first visits were, one place each in these three
  v_first_times timestamptz[];
  v_first_dates date[];
  v_run record;
  v_kept uuid[] := '{}';
  v_over uuid;
  v_dead record;
BEGIN
  PERFORM set_config('app.site_ids', '', true);

  SELECT array_agg(site_id), array_agg(day), array_agg(starts), array_agg(ends)
  INTO v_day_sites, v_days, v_day_starts, v_day_ends
  FROM (
    SELECT site_id, day, starts, lead(starts) OVER later AS ends, lead(day) OVER later AS next_day
    FROM (
      SELECT site_id, day, business_day_start(p_tenant, site_id, day) AS starts
      FROM (
        -- The local dates of both ends, and one before and after: a business day begins within its date.
        SELECT DISTINCT asked.site_id, (asked.from_time AT TIME ZONE zone)::date + i AS day
        FROM unnest(p_sites, p_from, p_to) AS asked(site_id, from_time, to_time)
        LEFT JOIN LATERAL (
          SELECT s.time_zone FROM sites s WHERE s.tenant_id = p_tenant AND s.id = asked.site_id LIMIT 1
        ) AS place(zone) ON true
        LEFT JOIN LATERAL generate_series(
          -1, (asked.to_time AT TIME ZONE zone)::date - (asked.from_time AT TIME ZONE zone)::date + 1) AS i ON true
      ) AS dates
    ) AS begun
    WINDOW later AS (PARTITION BY site_id ORDER BY day)
  ) AS days
  WHERE next_day = day + 1 OR day IS NULL;
  IF array_position(v_days, NULL) IS NOT NULL THEN
    RAISE EXCEPTION 'no such site' USING ERRCODE = 'no_data_found';
  END IF;

  SELECT array_agg(customer_id), array_agg(site_id), array_agg(starts), array_agg(ends)
  INTO v_span_customers, v_span_sites, v_span_starts, v_span_ends
  FROM (
    SELECT asked.customer_id, asked.site_id, min(day.starts) AS starts, max(day.ends) AS ends
    FROM (
      SELECT customer_id, site_id, min(from_time) AS from_time, max(to_time) AS to_time
      FROM unnest(p_customers, p_sites, p_from, p_to) AS given(customer_id, site_id, from_time, to_time)
      GROUP BY customer_id, site_id
    ) AS asked
    JOIN unnest(v_day_sites, v_day_starts, v_day_ends) AS day(site_id, starts, ends)
      ON day.site_id = asked.site_id AND day.starts <= asked.to_time AND day.ends > asked.from_time
    GROUP BY asked.customer_id, asked.site_id
  ) AS spans;

  SELECT array_agg(customer_id), array_agg(v.start_time), array_agg(v.local_date)
  INTO v_customers, v_first_times, v_first_dates
  FROM (SELECT DISTINCT customer_id FROM unnest(p_customers) AS customer_id) AS customers
  LEFT JOIN LATERAL (
    SELECT v.start_time, v.local_date FROM visits v
    WHERE v.tenant_id = p_tenant AND v.customer_id = customers.customer_id
      AND v.state NOT IN ('SUPERSEDED', 'RETRACTED')
    ORDER BY v.start_time LIMIT 1
  ) AS v ON true;

  FOR v_run IN
    WITH spans AS (
      SELECT * FROM unnest(v_span_customers, v_span_sites, v_span_starts, v_span_ends)
        WITH ORDINALITY AS span(customer_id, site_id, starts, ends, span)
    ),
    seen AS (
      SELECT spans.span, spans.customer_id, spans.site_id, day.day, e.*,
        coalesce(rule.visit_gap_seconds, 1800) AS gap_seconds,
        coalesce(rule.min_dwell_seconds, 10) AS min_dwell_seconds
      FROM spans CROSS JOIN LATERAL (
        SELECT e.id, e.camera_id, e.track_start_time AS from_time, e.track_end_time AS to_time, e.quality, e.visit_id
        FROM face_events e
        WHERE e.tenant_id = p_tenant AND e.customer_id = spans.customer_id AND e.site_id = spans.site_id AND e.counts
          AND e.track_start_time >= spans.starts AND e.track_start_time < spans.ends
        OFFSET 0
      ) AS e
      JOIN unnest(v_day_sites, v_days, v_day_starts, v_day_ends) AS day(site_id, day, starts, ends)
        ON day.site_id = spans.site_id AND e.from_time >= day.starts AND e.from_time < day.ends
      LEFT JOIN LATERAL (
        -- In force at the sighting's start: the latest rule by then, or the earliest of all.
        SELECT r.visit_gap_seconds, r.min_dwell_seconds FROM site_rules r
        WHERE r.tenant_id = p_tenant AND r.site_id = spans.site_id
        ORDER BY r.effective_time > e.from_time, abs(extract(epoch FROM r.effective_time - e.from_time)) LIMIT 1
      ) AS rule ON true
    ),
    numbered AS (
      SELECT parted.*, count(*) FILTER (WHERE parts) OVER (PARTITION BY span ORDER BY from_time, id) AS run
      FROM (
        SELECT seen.*, coalesce(
          from_time > max(to_time) OVER earlier + make_interval(secs => gap_seconds), true) AS parts
        FROM seen
        WINDOW earlier AS (
          PARTITION BY span, day ORDER BY from_time, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
      ) AS parted
    ),
    runs AS (
      SELECT span, run, customer_id, site_id, min(day) AS local_date, min(from_time) AS from_time,
        max(to_time) AS to_time, count(*)::integer AS sightings,
        (array_agg(id ORDER BY from_time, id))[1] AS first_event_id,
        (array_agg(id ORDER BY quality DESC, from_time, id))[1] AS best_event_id,
        (array_agg(camera_id ORDER BY from_time, id))[1] AS first_camera_id,
        (array_agg(camera_id ORDER BY to_time DESC, from_time DESC, id DESC))[1] AS last_camera_id,
        CASE WHEN count(*) > 1
            OR max(to_time) - min(from_time)
              > make_interval(secs => (array_agg(min_dwell_seconds ORDER BY from_time, id))[1])
          THEN extract(epoch FROM max(to_time) - min(from_time))::integer END AS dwell_seconds,
        array_agg(id) AS event_ids, array_agg(visit_id) AS visit_ids
      FROM numbered GROUP BY span, run, customer_id, site_id
    ),
    -- A former visit belongs to the run that holds its first sighting.
    former AS (
      SELECT DISTINCT ON (span, visit_id) span, customer_id, visit_id AS id, run FROM numbered
      WHERE visit_id IS NOT NULL ORDER BY span, visit_id, from_time, numbered.id
    ),
    heirlooms AS (
      SELECT former.span, former.run,
        array_agg(v.visit ORDER BY (v.visit).create_time, (v.visit).start_time, (v.visit).id)
          FILTER (WHERE (v.visit).customer_id = former.customer_id) AS own,
        array_agg((v.visit).id) FILTER (WHERE (v.visit).customer_id <> former.customer_id AND NOT EXISTS (
          SELECT FROM face_events e
          WHERE e.tenant_id = p_tenant AND e.visit_id = (v.visit).id AND e.customer_id = (v.visit).customer_id
            AND e.counts
        )) AS taken
      FROM former CROSS JOIN LATERAL (
        SELECT v AS visit FROM visits v
        WHERE v.tenant_id = p_tenant AND v.id = former.id
          AND (v.state = 'LIVE' OR (v.state = 'RETRACTED' AND v.customer_id <> former.customer_id)) LIMIT 1
      ) AS v
      GROUP BY former.span, former.run
    ),
    heirs AS (
      SELECT runs.*, (own[1]).id AS former_id, (own[1]).local_date AS former_date, taken,
        ARRAY(SELECT (other).id FROM unnest(own[2:]) AS other) AS others,
        coalesce((own[1]).id, uuid_v7(clock_timestamp())) AS id,
        (runs.local_date, from_time, to_time, sightings, runs.dwell_seconds, runs.first_event_id, runs.best_event_id,
            runs.last_camera_id)
          IS DISTINCT FROM ((own[1]).local_date, (own[1]).start_time, (own[1]).end_time, (own[1]).sighting_count,
            (own[1]).dwell_seconds, (own[1]).first_event_id, (own[1]).best_event_id, (own[1]).last_camera_id)
          AS is_changed
      FROM runs LEFT JOIN heirlooms USING (span, run)
    ),
    changed AS (
      SELECT heirs.*, CASE WHEN former_id IS NULL THEN 'CREATED' ELSE 'UPDATED' END AS kind FROM heirs WHERE is_changed
    ),
    written AS (
      INSERT INTO visits (tenant_id, id, customer_id, site_id, local_date, start_time, end_time, sighting_count,
        dwell_seconds, first_event_id, best_event_id, first_camera_id, last_camera_id)
      SELECT p_tenant, id, customer_id, site_id, local_date, from_time, to_time, sightings,
        dwell_seconds, first_event_id, best_event_id, first_camera_id, last_camera_id
      FROM changed
      ON CONFLICT (tenant_id, id) DO UPDATE SET (local_date, start_time, end_time, sighting_count, dwell_seconds,
          first_event_id, best_event_id, first_camera_id, last_camera_id, update_time)
        = (excluded.local_date, excluded.start_time, excluded.end_time, excluded.sighting_count,
          excluded.dwell_seconds, excluded.first_event_id, excluded.best_event_id, excluded.first_camera_id,
          excluded.last_camera_id, now())
    ),
    told AS (
      INSERT INTO visit_feed (tenant_id, visit_id, site_id, kind)
      SELECT p_tenant, id, site_id, kind FROM changed ORDER BY span, run
    ),
    marked AS (
      -- Its day may change with a rule: then both are marked.
      INSERT INTO dirty_days (tenant_id, site_id, local_date)
      SELECT DISTINCT p_tenant, site_id, altered
      FROM changed, LATERAL (VALUES (local_date), (former_date)) AS day(altered) WHERE altered IS NOT NULL
    )
    SELECT heirs.*, CASE WHEN is_changed THEN CASE WHEN former_id IS NULL THEN 'CREATED' ELSE 'UPDATED' END END AS kind
    FROM heirs ORDER BY span, run
  LOOP
    v_kept := v_kept || v_run.id;
    FOR i IN 1 .. v_run.sightings LOOP  -- one by one: most are in place, and an id tells its partition
      IF v_run.visit_ids[i] IS DISTINCT FROM v_run.id THEN
        UPDATE face_events e SET visit_id = v_run.id WHERE e.tenant_id = p_tenant AND e.id = v_run.event_ids[i];
      END IF;
    END LOOP;
    IF v_run.kind IS NOT NULL THEN
      visit_id := v_run.id;
      kind := v_run.kind;
      start_time := v_run.from_time;
      end_time := v_run.to_time;
      local_date := v_run.local_date;
      RETURN NEXT;
    END IF;

    FOREACH v_over IN ARRAY v_run.others || coalesce(v_run.taken, '{}') LOOP
      -- Two customers of the batch may have taken the sightings of one visit: the first is its heir.
      UPDATE visits v SET state = 'SUPERSEDED', superseded_by = v_run.id, update_time = now()
      WHERE v.tenant_id = p_tenant AND v.id = v_over AND v.state <> 'SUPERSEDED'
      RETURNING v.id, v.site_id, v.start_time, v.end_time, v.local_date INTO v_dead;
      CONTINUE WHEN NOT FOUND;
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
    SELECT v.* FROM unnest(v_span_customers, v_span_sites, v_span_starts, v_span_ends)
      AS span(customer_id, site_id, starts, ends)
    CROSS JOIN LATERAL (
      SELECT v.id, v.site_id, v.start_time, v.end_time, v.local_date FROM visits v
      WHERE v.tenant_id = p_tenant AND v.customer_id = span.customer_id AND v.state NOT IN ('SUPERSEDED', 'RETRACTED')
        AND v.start_time >= span.starts AND v.start_time < span.ends
      OFFSET 0
    ) AS v
    WHERE v.site_id = span.site_id AND v.id <> ALL (v_kept)
  LOOP
    UPDATE visits v SET state = 'RETRACTED', update_time = now() WHERE v.tenant_id = p_tenant AND v.id = v_dead.id;
    kind := 'REMOVED';
    INSERT INTO visit_feed (tenant_id, visit_id, site_id, kind) VALUES (p_tenant, v_dead.id, v_dead.site_id, kind);
    INSERT INTO dirty_days (tenant_id, site_id, local_date) VALUES (p_tenant, v_dead.site_id, v_dead.local_date);
    visit_id := v_dead.id;
    start_time := v_dead.start_time;
    end_time := v_dead.end_time;
    local_date := v_dead.local_date;
    RETURN NEXT;
  END LOOP;

  -- 31 days: the week and the month around either place. Two dates around a midnight of two sites are within it too.
  INSERT INTO dirty_days (tenant_id, site_id, local_date)
    SELECT DISTINCT p_tenant, v.site_id, v.local_date
    FROM unnest(v_customers, v_first_times, v_first_dates) AS was(customer_id, start_time, local_date)
    CROSS JOIN LATERAL (
      SELECT v.start_time, v.local_date FROM visits v
      WHERE v.tenant_id = p_tenant AND v.customer_id = was.customer_id AND v.state NOT IN ('SUPERSEDED', 'RETRACTED')
      ORDER BY v.start_time LIMIT 1
    ) AS is_now
    CROSS JOIN LATERAL (
      SELECT v.site_id, v.local_date FROM visits v
      WHERE v.tenant_id = p_tenant AND v.customer_id = was.customer_id AND v.state NOT IN ('SUPERSEDED', 'RETRACTED')
        AND (abs(v.local_date - was.local_date) <= 31 OR abs(v.local_date - is_now.local_date) <= 31)
      OFFSET 0
    ) AS v
    WHERE was.start_time <> is_now.start_time;
  PERFORM set_config('app.site_ids', coalesce(v_sites, ''), true);
END
$$;

CREATE FUNCTION fold_visits(p_tenant uuid, p_customer uuid, p_site uuid, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (visit_id uuid, kind text, start_time timestamptz, end_time timestamptz, local_date date)
LANGUAGE sql
AS $$
  SELECT * FROM fold_visits_batch(p_tenant, ARRAY[p_customer], ARRAY[p_site], ARRAY[p_from], ARRAY[p_to])
$$;
"""


def statements() -> Iterator[str]:
    """The fold and its helpers."""
    yield _HELPERS.strip()
    yield _FOLD.strip()
