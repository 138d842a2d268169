"""Sightings into the database, as svc_ingest writes them, and the visits that the fold makes of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import psycopg

from tests.support.fold_oracle import Rule, Sighting, Visit


@dataclass(frozen=True)
class Place:
    """A site of a tenant, with a camera."""

    tenant_id: UUID
    site_id: UUID
    camera_id: UUID


def set_rules(connection: psycopg.Connection, place: Place, rules: Sequence[Rule]) -> None:
    """Replaces the site's rules. Needs a connection that may write them."""
    connection.execute("DELETE FROM site_rules WHERE site_id = %s", (place.site_id,))
    for rule in rules:
        connection.execute(
            "INSERT INTO site_rules (tenant_id, site_id, effective_time, visit_gap_seconds, min_dwell_seconds,"
            " day_boundary_minutes) VALUES (%s, %s, %s, %s, %s, %s)",
            (
                *(place.tenant_id, place.site_id, rule.effective, int(rule.gap.total_seconds())),
                *(int(rule.min_dwell.total_seconds()), int(rule.boundary.total_seconds()) // 60),
            ),
        )


def write(connection: psycopg.Connection, place: Place, customer_id: UUID, sightings: Collection[Sighting]) -> None:
    """Inserts the sightings and folds their span, in the caller's transaction."""
    insert(connection, place, customer_id, sightings)
    refold(connection, place, customer_id, sightings)


def insert(connection: psycopg.Connection, place: Place, customer_id: UUID, sightings: Collection[Sighting]) -> None:
    """Inserts the sightings, of which no visit knows yet."""
    for each in sightings:
        connection.execute(
            "INSERT INTO face_events (tenant_id, id, site_id, camera_id, lease_epoch, capture_time, track_start_time,"
            " track_end_time, quality, verdict, matched_customer_id, customer_id)"
            " VALUES (%s, %s, %s, %s, 1, %s, %s, %s, %s, 'MATCHED', %s, %s)",
            (
                *(place.tenant_id, each.id, place.site_id, place.camera_id),
                *(each.start, each.start, each.end, each.quality, customer_id, customer_id),
            ),
        )


def refold(
    connection: psycopg.Connection, place: Place, customer_id: UUID, sightings: Collection[Sighting]
) -> list[tuple[UUID, str]]:
    """Folds the span of the sightings; returns what it says has changed."""
    starts = [each.start for each in sightings]
    rows = connection.execute(
        "SELECT visit_id, kind FROM fold_visits(%s, %s, %s, %s, %s)",
        (place.tenant_id, customer_id, place.site_id, min(starts), max(starts)),
    )
    return rows.fetchall()


def refold_all(
    connection: psycopg.Connection, asked: Sequence[tuple[Place, UUID, Collection[Sighting]]]
) -> list[tuple[UUID, str]]:
    """Folds the spans of several customers, or at several sites of one tenant, as one batch."""
    starts = [[each.start for each in sightings] for _, _, sightings in asked]
    rows = connection.execute(
        "SELECT visit_id, kind FROM fold_visits_batch(%s, %s, %s, %s, %s)",
        (
            asked[0][0].tenant_id,
            [customer_id for _, customer_id, _ in asked],
            [place.site_id for place, _, _ in asked],
            [min(each) for each in starts],
            [max(each) for each in starts],
        ),
    )
    return rows.fetchall()


def live_visits(connection: psycopg.Connection, place: Place, customer_id: UUID) -> dict[UUID, Visit]:
    """What the database says, with the events that name each visit."""
    rows = connection.execute(
        "SELECT v.id, v.start_time, v.end_time, v.local_date, make_interval(secs => v.dwell_seconds),"
        " v.first_event_id, v.best_event_id,"
        " ARRAY(SELECT e.id FROM face_events e WHERE e.visit_id = v.id AND e.customer_id = v.customer_id),"
        " v.sighting_count"
        " FROM visits v WHERE v.customer_id = %s AND v.site_id = %s AND v.state = 'LIVE' ORDER BY v.start_time",
        (customer_id, place.site_id),
    )
    visits = {}
    for id_, start, end, local_date, dwell, first, best, events, count in rows:
        assert count == len(events)
        visits[id_] = Visit(start, end, local_date, dwell, first, best, frozenset(events))
    return visits


def dirty_days(connection: psycopg.Connection, place: Place) -> set[date]:
    """The days marked at the site so far."""
    rows = connection.execute("SELECT DISTINCT local_date FROM dirty_days WHERE site_id = %s", (place.site_id,))
    return {row[0] for row in rows}
