"""A visit as the contracts show it (ingest.v1.VisitRecord): one query, for the feed and for the reports.

What a visit says beyond its row: whether it was its customer's first anywhere in the tenant, the quality, similarity
and snapshot of its best sighting, what most sightings say of gender, and the gap after which it is over. The
transaction must see every site of the tenant: a customer may have been new somewhere else.
"""

from __future__ import annotations

from typing import Final

#: Append WHERE, ORDER BY and LIMIT; `v` is the visit.
VISIT_RECORD: Final = """
SELECT v.*, best.quality,
  CASE WHEN v.sighting_count > 1 OR best.verdict <> 'ENROLLED' THEN best.similarity END AS similarity,
  i.id AS image_id, looks.gender, coalesce(rule.visit_gap_seconds, 1800) AS gap_seconds,
  NOT EXISTS (
    SELECT FROM visits o
    WHERE o.tenant_id = v.tenant_id AND o.customer_id = v.customer_id AND o.state = 'LIVE'
      AND (o.start_time, o.id) < (v.start_time, v.id)
  ) AS is_new
FROM visits v
LEFT JOIN face_events best ON best.tenant_id = v.tenant_id AND best.id = v.best_event_id
LEFT JOIN face_images i ON i.tenant_id = v.tenant_id AND i.event_id = v.best_event_id AND i.state = 'STORED'
LEFT JOIN LATERAL (
  SELECT mode() WITHIN GROUP (ORDER BY e.gender) AS gender FROM face_events e
  WHERE e.tenant_id = v.tenant_id AND e.visit_id = v.id AND e.gender IS NOT NULL
) AS looks ON true
LEFT JOIN LATERAL (
  -- In force at its end: the latest rule by then, or the earliest of all.
  SELECT r.visit_gap_seconds FROM site_rules r WHERE r.tenant_id = v.tenant_id AND r.site_id = v.site_id
  ORDER BY r.effective_time > v.end_time, abs(extract(epoch FROM r.effective_time - v.end_time)) LIMIT 1
) AS rule ON true
"""
