"""The tables of users and of the sites that they are held to."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, insert, select, text, update

from mesh.access import Role
from mesh.database import Tx
from mesh.ids import SiteId, TenantId, UserId
from schema.registry import user_sites, users
from svc_registry.access.users.domain import User, UserDraft

_SITES = (
    select(func.array_agg(user_sites.c.site_id))
    .where(user_sites.c.tenant_id == users.c.tenant_id, user_sites.c.user_id == users.c.id)
    .scalar_subquery()
    .label("site_ids")
)
_USER = select(
    users.c.id,
    users.c.email,
    users.c.display_name,
    users.c.role,
    users.c.disable_time,
    users.c.create_time,
    users.c.update_time,
    users.c.sign_in_time,
    _SITES,
)


async def list_users(tx: Tx, roles: Collection[Role], after: str | None, limit: int) -> list[User]:
    """Users by e-mail address.

    Args:
        roles: only these; empty: any.
        after: the address (lower case) at which the last page ended.
        limit: at most.
    """
    address = func.lower(users.c.email)
    chosen = _USER.order_by(address).limit(limit)
    if roles:
        chosen = chosen.where(users.c.role.in_([role.value for role in roles]))
    if after is not None:
        chosen = chosen.where(address > after)
    return [_user(row) for row in await tx.execute(chosen)]


async def get_user(tx: Tx, user_id: UserId, *, lock: bool = False) -> User | None:
    """One user; `lock` keeps others from changing it until the transaction ends."""
    chosen = _USER.where(users.c.id == user_id)
    row = (await tx.execute(chosen.with_for_update(of=users) if lock else chosen)).first()
    return _user(row) if row else None


async def get_password_hash(tx: Tx, user_id: UserId) -> str | None:
    """The hash of a user's password; None without one."""
    found: str | None = await tx.scalar(select(users.c.password_hash).where(users.c.id == user_id).with_for_update())
    return found


async def find_by_email(tx: Tx, email: str) -> UUID | None:
    """Who in the installation has this address."""
    found: UUID | None = await tx.scalar(text("SELECT user_id FROM sign_in_users(:email)"), {"email": email})
    return found


async def insert_user(tx: Tx, tenant_id: TenantId, user_id: UserId, draft: UserDraft) -> None:
    """Adds a user."""
    await tx.execute(
        insert(users).values(
            tenant_id=tenant_id,
            id=user_id,
            email=draft.email,
            display_name=draft.display_name,
            role=draft.role.value,
            password_hash=draft.password_hash,
            disable_time=func.now() if draft.disabled else None,
        )
    )
    await _set_sites(tx, tenant_id, user_id, draft.site_ids)


async def update_user(tx: Tx, tenant_id: TenantId, user: User) -> None:
    """Writes a user's new values."""
    await tx.execute(
        update(users)
        .where(users.c.id == user.id)
        .values(
            email=user.email,
            display_name=user.display_name,
            role=user.role.value,
            disable_time=func.coalesce(users.c.disable_time, func.now()) if user.disabled else None,
            update_time=func.now(),
        )
    )
    await tx.execute(delete(user_sites).where(user_sites.c.user_id == user.id))
    await _set_sites(tx, tenant_id, user.id, user.site_ids)


async def set_password(tx: Tx, user_id: UserId, password_hash: str) -> None:
    """Replaces the hash of a user's password."""
    await tx.execute(
        update(users).where(users.c.id == user_id).values(password_hash=password_hash, update_time=func.now())
    )


async def delete_user(tx: Tx, user_id: UserId) -> None:
    """Forgets a user."""
    await tx.execute(delete(users).where(users.c.id == user_id))


async def count_administrators(tx: Tx, administrator: Role, besides: UserId) -> int:
    """How many others can run the tenant."""
    chosen = select(func.count()).select_from(users)
    found = await tx.scalar(
        chosen.where(users.c.role == administrator.value, users.c.disable_time.is_(None), users.c.id != besides)
    )
    return int(found or 0)


async def _set_sites(tx: Tx, tenant_id: TenantId, user_id: UserId, site_ids: Collection[SiteId]) -> None:
    if site_ids:
        rows = [{"tenant_id": tenant_id, "user_id": user_id, "site_id": site_id} for site_id in site_ids]
        await tx.execute(insert(user_sites), rows)


def _user(row: Row[*tuple[Any, ...]]) -> User:
    return User(
        id=UserId(row.id),
        email=row.email,
        display_name=row.display_name,
        role=Role(row.role),
        site_ids=frozenset(SiteId(site_id) for site_id in row.site_ids or ()),
        disabled=row.disable_time is not None,
        create_time=row.create_time,
        update_time=row.update_time,
        sign_in_time=row.sign_in_time,
    )
