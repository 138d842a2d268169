"""Credentials, sessions ("families" of tokens) and revocations.

Who shows a credential has no tenant yet: the sign-in functions of schema/functions.py find it. Everything else runs in
the tenant that they named.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, insert, literal, select, text, update
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.dialects.postgresql import insert as upsert

from mesh.access import Role
from mesh.database import Tx
from mesh.ids import CameraId, SiteId, TenantId, WorkerId
from schema.registry import (
    api_keys,
    refresh_tokens,
    registry_requests,
    tenants,
    token_families,
    token_revocations,
    user_sites,
    users,
)
from svc_registry.access.tokens.domain import Principal, RefreshToken, SubjectKind

# -- before the tenant is known ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UserCredential:
    """Where a user is, and what to check the password with; no hash before a password was set."""

    tenant_id: TenantId
    user_id: UUID
    password_hash: str | None


async def find_user(tx: Tx, email: str) -> UserCredential | None:
    """The user with this address in any tenant; upper and lower case are one."""
    found = await tx.execute(text("SELECT * FROM sign_in_users(:email)"), {"email": email})
    row = found.first()
    return UserCredential(TenantId(row.tenant_id), row.user_id, row.password_hash) if row else None


async def find_api_key(tx: Tx, key_id: UUID) -> tuple[TenantId, bytes] | None:
    """The tenant and the digest of a key."""
    row = (await tx.execute(text("SELECT * FROM sign_in_api_key(:id)"), {"id": key_id})).first()
    return (TenantId(row.tenant_id), bytes(row.key_hash)) if row else None


async def find_refresh_token(tx: Tx, token_hash: bytes) -> tuple[TenantId, UUID] | None:
    """The tenant and the family of a refresh token."""
    row = (await tx.execute(text("SELECT * FROM sign_in_refresh_token(:hash)"), {"hash": token_hash})).first()
    return (TenantId(row.tenant_id), row.family_id) if row else None


# -- who it is --------------------------------------------------------------------------------------------------------


async def tenant_is_deleted(tx: Tx, tenant_id: TenantId) -> bool:
    """Whether the tenant was deleted (or does not exist)."""
    live = await tx.scalar(select(tenants.c.id).where(tenants.c.id == tenant_id, tenants.c.delete_time.is_(None)))
    return live is None


async def load_user(tx: Tx, tenant_id: TenantId, user_id: UUID) -> tuple[Principal, str | None] | None:
    """A user who may sign in, and the password's hash; None when there is none, or a disabled one.

    The row is locked: who disables a user, or sets a password, does so before this sign-in or after it.
    """
    chosen = select(users.c.role, users.c.password_hash, users.c.disable_time).where(users.c.id == user_id)
    row = (await tx.execute(chosen.with_for_update())).first()
    if row is None or row.disable_time is not None:
        return None
    sites = await tx.scalars(select(user_sites.c.site_id).where(user_sites.c.user_id == user_id))
    held = frozenset(SiteId(site_id) for site_id in sites)
    # A site_manager without a site left sees none; for the others no site means every site.
    site_ids = held if held or row.role == Role.SITE_MANAGER else None
    return Principal(tenant_id, user_id, SubjectKind.USER, row.role, site_ids), row.password_hash


async def load_api_key(
    tx: Tx, tenant_id: TenantId, key_id: UUID, now: datetime
) -> tuple[Principal, datetime | None] | None:
    """A key that is good now, and when it was last used; None when there is none. The row is locked."""
    row = (await tx.execute(select(api_keys).where(api_keys.c.id == key_id).with_for_update())).first()
    if row is None or row.revoke_time is not None or (row.expire_time is not None and row.expire_time <= now):
        return None
    principal = Principal(
        tenant_id,
        key_id,
        SubjectKind.API_KEY,
        row.role,
        frozenset(SiteId(site_id) for site_id in row.site_ids) if row.site_ids else None,
        WorkerId(row.worker_id) if row.worker_id else None,
        frozenset(CameraId(camera_id) for camera_id in row.camera_ids) if row.camera_ids else None,
    )
    return principal, row.use_time


async def note_user_sign_in(tx: Tx, user_id: UUID, now: datetime, new_hash: str | None) -> None:
    """When a user last signed in; with today's costs in the password's hash, when it had other ones."""
    values: dict[str, object] = {"sign_in_time": now}
    if new_hash is not None:
        values["password_hash"] = new_hash
    await tx.execute(update(users).where(users.c.id == user_id).values(values))


async def note_api_key_use(tx: Tx, key_id: UUID, now: datetime) -> None:
    """When a key was last changed for a token."""
    await tx.execute(update(api_keys).where(api_keys.c.id == key_id).values(use_time=now))


# -- sessions ---------------------------------------------------------------------------------------------------------


async def insert_family(tx: Tx, principal: Principal, family_id: UUID, now: datetime, expire_time: datetime) -> None:
    """A session begins."""
    await tx.execute(
        insert(token_families).values(
            tenant_id=principal.tenant_id,
            id=family_id,
            subject_id=principal.subject_id,
            subject_kind=principal.kind.value,
            create_time=now,
            expire_time=expire_time,
        )
    )


async def insert_refresh_token(
    tx: Tx, tenant_id: TenantId, family_id: UUID, token_hash: bytes, *, create_time: datetime, expire_time: datetime
) -> None:
    """The session's next refresh token."""
    await tx.execute(
        insert(refresh_tokens).values(
            tenant_id=tenant_id,
            token_hash=token_hash,
            family_id=family_id,
            create_time=create_time,
            expire_time=expire_time,
        )
    )


async def load_refresh_token(tx: Tx, token_hash: bytes) -> RefreshToken | None:
    """A refresh token and its family, both locked: of two uses at once the second sees the first."""
    chosen = (
        select(
            refresh_tokens.c.family_id,
            refresh_tokens.c.expire_time,
            refresh_tokens.c.use_time,
            token_families.c.subject_id,
            token_families.c.expire_time.label("family_expire_time"),
            token_families.c.revoke_time.label("family_revoke_time"),
        )
        .join(token_families, token_families.c.id == refresh_tokens.c.family_id)
        .where(refresh_tokens.c.token_hash == token_hash)
        .with_for_update()
    )
    row = (await tx.execute(chosen)).first()
    if row is None:
        return None
    return RefreshToken(
        row.family_id, row.subject_id, row.expire_time, row.use_time, row.family_expire_time, row.family_revoke_time
    )


async def use_refresh_token(tx: Tx, token_hash: bytes, now: datetime) -> None:
    """A refresh token has had its one use."""
    await tx.execute(update(refresh_tokens).where(refresh_tokens.c.token_hash == token_hash).values(use_time=now))


# -- their end --------------------------------------------------------------------------------------------------------


async def revoke_families(
    tx: Tx,
    reason: str,
    now: datetime,
    forget_time: datetime,
    *,
    family_id: UUID | None = None,
    subject_id: UUID | None = None,
    spare: UUID | None = None,
) -> list[UUID]:
    """Ends sessions of the tenant at hand, and tells every service.

    Args:
        tx: in the tenant.
        reason: kept with each.
        now: the time of the end.
        forget_time: when the last access token of them has run out for sure.
        family_id: this one; None: any.
        subject_id: those of this user or key; None: anybody's.
        spare: all but this one.

    Returns:
        The ids of those that ended now, sorted.
    """
    ended = update(token_families).where(token_families.c.revoke_time.is_(None), token_families.c.expire_time > now)
    if family_id is not None:
        ended = ended.where(token_families.c.id == family_id)
    if subject_id is not None:
        ended = ended.where(token_families.c.subject_id == subject_id)
    if spare is not None:
        ended = ended.where(token_families.c.id != spare)
    gone = ended.values(revoke_time=now, revoke_reason=reason).returning(token_families.c.id).cte("gone")
    told = upsert(token_revocations).from_select(
        ["family_id", "revoke_time", "expire_time"],
        select(gone.c.id, literal(now, TIMESTAMP(timezone=True)), literal(forget_time, TIMESTAMP(timezone=True))),
    )
    return sorted(await tx.scalars(told.on_conflict_do_nothing().returning(token_revocations.c.family_id)))


# -- what may be forgotten --------------------------------------------------------------------------------------------


async def forget_revocations(tx: Tx, now: datetime) -> None:
    """Revocations whose last token has run out."""
    await tx.execute(delete(token_revocations).where(token_revocations.c.expire_time <= now))


async def forget_sessions(tx: Tx, now: datetime) -> None:
    """Sessions that are over, with their refresh tokens, and answers that were kept for a day."""
    await tx.execute(delete(token_families).where(token_families.c.expire_time <= now))
    await tx.execute(delete(refresh_tokens).where(refresh_tokens.c.expire_time <= now))
    await tx.execute(delete(registry_requests).where(registry_requests.c.expire_time <= func.now()))
