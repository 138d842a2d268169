"""Customers in PostgreSQL, with the numbers of their visits.

Row level security hides the visits at sites that a transaction is not held to: a site_manager's numbers are those of
its own sites.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ARRAY, DateTime, Select, Text, Uuid, and_, bindparam, func, literal, select, text, tuple_
from sqlalchemy.dialects.postgresql import aggregate_order_by

from mesh.database import Tx
from mesh.ids import CustomerId, EmbeddingId, ImageId, SiteId
from schema.identity import customers, embeddings
from schema.ingest import face_images, visits
from svc_identity.customers.domain import LONG_AGO, Customer, CustomerState, Filter, OrderBy, Position

_NUMBERS: Final = (
    select(
        visits.c.tenant_id,
        visits.c.customer_id,
        func.count().label("visit_count"),
        func.min(visits.c.start_time).label("first_visit_time"),
        func.max(visits.c.start_time).label("last_visit_time"),
        func.array_agg(aggregate_order_by(visits.c.site_id, visits.c.start_time.desc()), type_=ARRAY(Uuid))[1].label(
            "last_site_id"
        ),
    )
    .where(visits.c.state == "LIVE")
    .group_by(visits.c.tenant_id, visits.c.customer_id)
    .subquery("numbers")
)
_EMBEDDINGS: Final = (
    select(func.count(embeddings.c.id))
    .where(embeddings.c.tenant_id == customers.c.tenant_id, embeddings.c.customer_id == customers.c.id)
    .correlate(customers)
    .scalar_subquery()
)
#: The best shot of the latest visit whose picture is still there.
_IMAGE: Final = (
    select(face_images.c.id)
    .join(visits, and_(visits.c.tenant_id == face_images.c.tenant_id, visits.c.best_event_id == face_images.c.event_id))
    .where(
        visits.c.tenant_id == customers.c.tenant_id,
        visits.c.customer_id == customers.c.id,
        visits.c.state == "LIVE",
        face_images.c.state == "STORED",
    )
    .correlate(customers)
    .order_by(visits.c.start_time.desc())
    .limit(1)
    .scalar_subquery()
)
_VISIT_COUNT: Final = func.coalesce(_NUMBERS.c.visit_count, 0)
_LAST_VISIT: Final = func.coalesce(_NUMBERS.c.last_visit_time, literal(LONG_AGO, DateTime(timezone=True)))
_KEYS: Final = {
    OrderBy.LAST_VISIT_TIME: _LAST_VISIT,
    OrderBy.VISIT_COUNT: _VISIT_COUNT,
    OrderBy.CREATE_TIME: customers.c.create_time,
}
_CUSTOMERS: Final = select(
    customers,
    _NUMBERS.c.visit_count,
    _NUMBERS.c.first_visit_time,
    _NUMBERS.c.last_visit_time,
    _NUMBERS.c.last_site_id,
    _EMBEDDINGS.label("embedding_count"),
    _IMAGE.label("image_id"),
).select_from(
    customers.outerjoin(
        _NUMBERS,
        and_(_NUMBERS.c.tenant_id == customers.c.tenant_id, _NUMBERS.c.customer_id == customers.c.id),
    )
)

# Brings a customer's state and times to what its sightings say. An embedding's life moves with the last of them.
_FOLLOW: Final = text(
    """
    UPDATE customers c
       SET state = CASE c.state WHEN 'PROVISIONAL' THEN 'ACTIVE' ELSE c.state END,
           first_sighting_time = seen.first_time,
           last_sighting_time = seen.last_time,
           expire_time = seen.last_time + make_interval(days => (SELECT embedding_retention_days FROM tenants))
      FROM (SELECT asked.id, min(e.track_start_time) AS first_time, max(e.track_end_time) AS last_time
              FROM unnest(:ids) AS asked (id)
              JOIN face_events e ON e.customer_id = asked.id
             GROUP BY asked.id) AS seen
     WHERE c.id = seen.id
       AND (c.state = 'PROVISIONAL' OR (c.first_sighting_time, c.last_sighting_time)
                                       IS DISTINCT FROM (seen.first_time, seen.last_time))
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))

_LEFT_OVER: Final = text(
    """
    SELECT c.id FROM customers c
     WHERE c.state = 'PROVISIONAL' AND c.create_time < now() - CAST(:age AS interval)
       AND c.update_time < now() - CAST(:age AS interval)
       AND NOT EXISTS (SELECT FROM face_events e WHERE e.customer_id = c.id)
     ORDER BY c.create_time LIMIT :limit FOR UPDATE SKIP LOCKED
    """
)
_UNDECIDE: Final = text("DELETE FROM match_decisions WHERE customer_id = ANY (:ids)").bindparams(
    bindparam("ids", type_=ARRAY(Uuid))
)
_PROVISIONAL: Final = text(
    "SELECT id FROM customers WHERE state = 'PROVISIONAL' AND id > :after ORDER BY id LIMIT :limit"
)
_EVERYBODY: Final = text(
    "SELECT id FROM customers WHERE state IN ('PROVISIONAL', 'ACTIVE') AND id > :after ORDER BY id LIMIT :limit"
)


async def list_customers(
    tx: Tx, wanted: Filter, order: OrderBy, after: Position | None, limit: int, *, descending: bool
) -> list[Customer]:
    """Customers in the order asked, after the position of the last one told."""
    key = (_KEYS[order], customers.c.id)
    query = _filtered(wanted)
    if after is not None:
        place = tuple_(literal(after[0], _KEYS[order].type), literal(after[1], Uuid))
        query = query.where(tuple_(*key) < place if descending else tuple_(*key) > place)
    query = query.order_by(*(column.desc() if descending else column.asc() for column in key)).limit(limit)
    return [_customer(row) for row in await tx.execute(query)]


async def get_customer(tx: Tx, customer_id: CustomerId, *, seen_only: bool) -> Customer | None:
    """One customer; with `seen_only` only one who was seen where the transaction may look."""
    query = _CUSTOMERS.where(customers.c.id == customer_id)
    if seen_only:
        query = query.where(_NUMBERS.c.visit_count.is_not(None))
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _customer(row)


def _filtered(wanted: Filter) -> Select[Any]:
    query = _CUSTOMERS.where(customers.c.state.in_(sorted(wanted.states)))
    if wanted.seen_only:
        query = query.where(_NUMBERS.c.visit_count.is_not(None))
    if wanted.site_ids:
        query = query.where(
            select(visits.c.id)
            .where(
                visits.c.tenant_id == customers.c.tenant_id,
                visits.c.customer_id == customers.c.id,
                visits.c.state == "LIVE",
                visits.c.site_id.in_(sorted(wanted.site_ids)),
            )
            .correlate(customers)
            .exists()
        )
    if wanted.external_id:
        query = query.where(customers.c.external_id == wanted.external_id)
    if wanted.display_name_prefix:
        prefix = wanted.display_name_prefix.lower()
        query = query.where(func.lower(customers.c.display_name, type_=Text).startswith(prefix, autoescape=True))
    if wanted.start_time is not None:
        query = query.where(_NUMBERS.c.last_visit_time >= wanted.start_time)
    if wanted.end_time is not None:
        query = query.where(_NUMBERS.c.last_visit_time < wanted.end_time)
    if wanted.min_visit_count:
        query = query.where(_NUMBERS.c.visit_count >= wanted.min_visit_count)
    return query


async def follow_sightings(tx: Tx, ids: Sequence[CustomerId]) -> int:
    """Brings customers to what their committed sightings say; returns how many changed."""
    return int((await tx.execute(_FOLLOW, {"ids": list(ids)})).rowcount) if ids else 0


async def provisional(tx: Tx, after: CustomerId, limit: int) -> list[CustomerId]:
    """Customers without a committed sighting yet, by id."""
    return [CustomerId(id_) for id_ in await tx.scalars(_PROVISIONAL, {"after": after, "limit": limit})]


async def everybody(tx: Tx, after: CustomerId, limit: int) -> list[CustomerId]:
    """Customers who may be seen again, by id."""
    return [CustomerId(id_) for id_ in await tx.scalars(_EVERYBODY, {"after": after, "limit": limit})]


async def remove_left_over(tx: Tx, age: timedelta, limit: int) -> tuple[int, list[tuple[str, EmbeddingId]]]:
    """Removes customers older than `age` of whom no sighting was ever committed, and the decisions that named them.

    Should such an event come after all, it is decided anew. Returns how many there were, and the (space, id) of their
    embeddings, which must leave the index too.
    """
    ids = list(await tx.scalars(_LEFT_OVER, {"age": age, "limit": limit}))
    if not ids:
        return 0, []
    theirs = embeddings.c.customer_id.in_(ids)
    rows = await tx.execute(embeddings.delete().where(theirs).returning(embeddings.c.space, embeddings.c.id))
    gone = [(row.space, EmbeddingId(row.id)) for row in rows]
    await tx.execute(_UNDECIDE, {"ids": ids})
    await tx.execute(customers.delete().where(customers.c.id.in_(ids)))
    return len(ids), gone


def _customer(row: Any) -> Customer:
    return Customer(
        id=CustomerId(row.id),
        state=CustomerState(row.state),
        display_name=row.display_name or "",
        external_id=row.external_id or "",
        note=row.note,
        gender=row.gender,
        merged_into=CustomerId(row.merged_into) if row.merged_into else None,
        image_id=ImageId(row.image_id) if row.image_id else None,
        embedding_count=row.embedding_count,
        visit_count=row.visit_count or 0,
        first_visit_time=row.first_visit_time,
        last_visit_time=row.last_visit_time,
        last_site_id=SiteId(row.last_site_id) if row.last_site_id else None,
        expire_time=row.expire_time if row.embedding_count else None,
        create_time=row.create_time,
        update_time=row.update_time,
    )
