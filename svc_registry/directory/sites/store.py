"""The tables of sites and of their rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, exists, func, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from mesh.database import Tx
from mesh.ids import SiteId, TenantId
from schema.ingest import visits
from schema.registry import cameras, site_rules, sites, workers
from svc_registry.directory.sites.domain import (
    PrivacyMode,
    Site,
    SiteRules,
    in_force,
    opening_document,
    opening_hours_of,
    upcoming,
)
from svc_registry.directory.store import by_display_name


async def list_sites(tx: Tx, now: datetime, after: str | None, limit: int, *, show_deleted: bool) -> list[Site]:
    """Sites by display name.

    Args:
        now: decides which rules are in force.
        after: id of the last site of the last page.
        show_deleted: also those that were closed.
    """
    chosen = select(sites).limit(limit)
    if not show_deleted:
        chosen = chosen.where(sites.c.delete_time.is_(None))
    rows = (await tx.execute(await by_display_name(tx, chosen, sites, after))).all()
    versions = await _versions(tx, site_rules.c.site_id.in_([row.id for row in rows])) if rows else {}
    return [_site(row, versions[row.id], now) for row in rows]


async def get_site(tx: Tx, site_id: SiteId, now: datetime, *, lock: bool = False) -> Site | None:
    """One site, closed or not; `lock` keeps others from changing it until the transaction ends."""
    chosen = select(sites).where(sites.c.id == site_id)
    row = (await tx.execute(chosen.with_for_update() if lock else chosen)).first()
    if row is None:
        return None
    return _site(row, (await _versions(tx, site_rules.c.site_id == site_id))[site_id], now)


async def list_versions(
    tx: Tx, site_id: SiteId, after: datetime | None, limit: int
) -> list[tuple[datetime, SiteRules]]:
    """A site's rules with the times that they are stored under, the latest first.

    Args:
        after: stored time of the last version of the last page.
    """
    first = select(func.min(site_rules.c.effective_time)).where(site_rules.c.site_id == site_id).scalar_subquery()
    chosen = (
        select(site_rules, (site_rules.c.effective_time == first).label("is_first"))
        .where(site_rules.c.site_id == site_id)
        .order_by(site_rules.c.effective_time.desc())
        .limit(limit)
    )
    if after is not None:
        chosen = chosen.where(site_rules.c.effective_time < after)
    return [(row.effective_time, _rules(row, first=row.is_first)) for row in await tx.execute(chosen)]


async def insert_site(tx: Tx, tenant_id: TenantId, site: Site) -> None:
    """Adds a site with the first version of its rules, stored under the time at which the site was made."""
    await tx.execute(
        insert(sites).values(
            tenant_id=tenant_id,
            id=site.id,
            display_name=site.display_name,
            time_zone=site.time_zone,
            privacy_mode=site.privacy_mode.name,
            lawful_basis=site.lawful_basis,
            signage_date=site.signage_date,
        )
    )
    await put_rules(tx, tenant_id, site.id, site.create_time, site.rules)


async def update_site(tx: Tx, site: Site) -> None:
    """Writes a site's new values, but for its rules."""
    await tx.execute(
        update(sites)
        .where(sites.c.id == site.id)
        .values(
            display_name=site.display_name,
            time_zone=site.time_zone,
            privacy_mode=site.privacy_mode.name,
            lawful_basis=site.lawful_basis,
            signage_date=site.signage_date,
            update_time=func.now(),
        )
    )


async def put_rules(tx: Tx, tenant_id: TenantId, site_id: SiteId, effective_time: datetime, rules: SiteRules) -> None:
    """Adds a version of a site's rules; one of the very same time is replaced."""
    values = {
        "visit_gap_seconds": int(rules.visit_gap.total_seconds()),
        "min_dwell_seconds": int(rules.minimum_dwell.total_seconds()),
        "day_boundary_minutes": rules.business_day_start_minute,
        "opening_hours": null() if rules.opening_hours is None else opening_document(rules.opening_hours),
    }
    added = insert(site_rules).values(tenant_id=tenant_id, site_id=site_id, effective_time=effective_time, **values)
    await tx.execute(
        added.on_conflict_do_update(index_elements=["tenant_id", "site_id", "effective_time"], set_=values)
    )


async def close_site(tx: Tx, site_id: SiteId) -> None:
    """Marks a site as closed."""
    await tx.execute(update(sites).where(sites.c.id == site_id).values(delete_time=func.now(), update_time=func.now()))


async def is_in_use(tx: Tx, site_id: SiteId) -> bool:
    """Whether the site has cameras or workers."""
    used = await tx.scalar(
        select(
            or_(
                exists().where(cameras.c.site_id == site_id, cameras.c.delete_time.is_(None)),
                exists().where(workers.c.site_id == site_id, workers.c.delete_time.is_(None)),
            )
        )
    )
    return bool(used)


async def has_visits(tx: Tx, site_id: SiteId) -> bool:
    """Whether anybody was ever counted there."""
    # Named, since nothing else of a visit is the registry's to read.
    return bool(await tx.scalar(select(exists(select(visits.c.id).where(visits.c.site_id == site_id)))))


async def _versions(tx: Tx, which: ColumnElement[bool]) -> Mapping[UUID, Sequence[SiteRules]]:
    """The versions of each site, by effective_time."""
    rows = await tx.execute(select(site_rules).where(which).order_by(site_rules.c.site_id, site_rules.c.effective_time))
    versions: dict[UUID, list[SiteRules]] = {}
    for row in rows:
        listed = versions.setdefault(row.site_id, [])
        listed.append(_rules(row, first=not listed))
    return versions


def _rules(row: Row[*tuple[Any, ...]], *, first: bool) -> SiteRules:
    return SiteRules(
        effective_time=None if first else row.effective_time,
        visit_gap=timedelta(seconds=row.visit_gap_seconds),
        minimum_dwell=timedelta(seconds=row.min_dwell_seconds),
        business_day_start_minute=row.day_boundary_minutes,
        opening_hours=None if row.opening_hours is None else opening_hours_of(row.opening_hours),
    )


def _site(row: Row[*tuple[Any, ...]], versions: Sequence[SiteRules], now: datetime) -> Site:
    return Site(
        id=SiteId(row.id),
        display_name=row.display_name,
        time_zone=row.time_zone,
        rules=in_force(versions, now),
        upcoming_rules=upcoming(versions, now),
        privacy_mode=PrivacyMode[row.privacy_mode],
        lawful_basis=row.lawful_basis or "",
        signage_date=row.signage_date,
        create_time=row.create_time,
        update_time=row.update_time,
        delete_time=row.delete_time,
    )
