"""The use cases of users. Each runs in the transaction that it is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from footfall.type.v1 import problem_pb2

from mesh.access import ADMINS
from mesh.audit import Audit
from mesh.auth import USER, Caller
from mesh.database import Tx, lock
from mesh.errors import AlreadyExists, FailedPrecondition, InvalidField, NotFound, PermissionDenied, Unauthenticated
from mesh.ids import SYSTEM_TENANT_ID, Ids, TenantId, UserId
from schema.registry import users
from svc_registry.access.domain import administrator_of
from svc_registry.access.passwords import Passwords
from svc_registry.access.store import check_principal, check_sites_exist
from svc_registry.access.tokens.limits import SignInLimits
from svc_registry.access.tokens.service import Sessions
from svc_registry.access.users import store
from svc_registry.access.users.domain import User, UserChange, UserDraft, administers, changed, changes_rights
from svc_registry.room import Room, check_room

_KIND: Final = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """
    Attributes:
        passwords: checks a user's own.
        sessions: ends those of whose rights have changed.
        limits: on guesses at a user's own password.
        audit, ids: given.
        room: for how many.
    """

    passwords: Passwords
    sessions: Sessions
    limits: SignInLimits
    audit: Audit
    ids: Ids
    room: Room = field(default_factory=Room)

    async def get(self, tx: Tx, user_id: UserId, *, locked: bool = False) -> User:
        """One user.

        Raises:
            NotFound: not in this tenant.
        """
        user = await store.get_user(tx, user_id, lock=locked)
        if user is None:
            raise NotFound(_KIND, user_id)
        return user

    async def create(self, tx: Tx, caller: Caller, draft: UserDraft) -> User:
        """Makes a user.

        Raises:
            InvalidField: a role or sites that do not belong together.
            NotFound: a site that is not the tenant's.
            AlreadyExists: somebody in the installation has the address.
            FailedPrecondition: LIMIT_REACHED.
        """
        tenant_id = _tenant(caller)
        check_principal(_KIND, draft.role, tenant_id, draft.site_ids)
        await check_sites_exist(tx, draft.site_ids)
        await check_room(tx, users, self.room.users_per_tenant)
        user_id = UserId(self.ids.uuid7())
        await _claim_address(tx, user_id, draft.email)
        await store.insert_user(tx, tenant_id, user_id, draft)
        await self.audit.record(
            tx, caller, "user.create", target_kind=_KIND, target_id=user_id, details={"role": draft.role.value}
        )
        return await self.get(tx, user_id)

    async def update(self, tx: Tx, caller: Caller, user_id: UserId, change: UserChange) -> User:
        """Changes a user; whoever loses or gains rights signs in anew.

        Raises:
            InvalidField, NotFound, AlreadyExists: as `create`.
            FailedPrecondition: LAST_ADMIN.
        """
        tenant_id = _tenant(caller)
        await _lock_administrators(tx, tenant_id)
        before = await self.get(tx, user_id, locked=True)
        after = changed(before, change)
        check_principal(_KIND, after.role, tenant_id, after.site_ids)
        await check_sites_exist(tx, after.site_ids - before.site_ids)
        if after.email.lower() != before.email.lower():
            await _claim_address(tx, user_id, after.email)
        if not administers(after, administrator_of(tenant_id)):
            await _check_not_last(tx, tenant_id, before)
        await store.update_user(tx, tenant_id, after)
        ended = 0
        if changes_rights(before, after):
            ended = len(await self.sessions.end(tx, "rights changed", subject_id=user_id))
        details = {"role": after.role.value, "disabled": after.disabled, "sessions_ended": ended}
        await self.audit.record(tx, caller, "user.update", target_kind=_KIND, target_id=user_id, details=details)
        return await self.get(tx, user_id)

    async def delete(self, tx: Tx, caller: Caller, user_id: UserId) -> None:
        """Forgets a user, and ends their sessions.

        Raises:
            NotFound: not in this tenant.
            FailedPrecondition: LAST_ADMIN.
        """
        tenant_id = _tenant(caller)
        await _lock_administrators(tx, tenant_id)
        user = await self.get(tx, user_id, locked=True)
        await _check_not_last(tx, tenant_id, user)
        await self.sessions.end(tx, "user deleted", subject_id=user_id)
        await store.delete_user(tx, user_id)
        await self.audit.record(tx, caller, "user.delete", target_kind=_KIND, target_id=user_id)

    async def set_password(
        self, tx: Tx, caller: Caller, user_id: UserId, password_hash: str, current_password: str
    ) -> None:
        """Sets a password, and ends the user's other sessions.

        Args:
            password_hash: of the new one.
            current_password: looked at when users change their own.

        Raises:
            PermissionDenied: neither an administrator nor the user.
            NotFound: not in this tenant.
            Unauthenticated: CREDENTIALS_INVALID, the current password is another.
            ResourceExhausted: RATE_LIMITED, too many wrong ones.
        """
        own = caller.subject_kind == USER and caller.subject_id == user_id
        if not own and caller.role not in ADMINS:
            raise PermissionDenied("only an administrator sets the password of somebody else")
        await self.get(tx, user_id, locked=True)
        if own:
            await self._check_current(tx, user_id, current_password)
        await store.set_password(tx, user_id, password_hash)
        spare = UUID(caller.family) if own else None
        await self.sessions.end(tx, "password set", subject_id=user_id, spare=spare)
        await self.audit.record(tx, caller, "user.set_password", target_kind=_KIND, target_id=user_id)

    async def _check_current(self, tx: Tx, user_id: UserId, current_password: str) -> None:
        if not current_password:
            raise InvalidField("current_password", "required of users who change their own")
        keys = [("user", f"current password of {user_id}")]
        self.limits.attempt(keys)
        # Inside the transaction, because a repeat of a request that succeeded must not be judged by the new password.
        if not await self.passwords.verify(await store.get_password_hash(tx, user_id), current_password):
            raise Unauthenticated(
                "the current password is another", reason=problem_pb2.ERROR_REASON_CREDENTIALS_INVALID
            )
        self.limits.succeeded(keys)


def _tenant(caller: Caller) -> TenantId:
    return caller.acting_tenant or caller.tenant


async def _claim_address(tx: Tx, user_id: UserId, email: str) -> None:
    """Keeps the address for this user.

    An index per tenant cannot see the other tenants' users; whoever wants the address takes this lock, so two cannot
    have it.
    """
    await lock(tx, ("user-address", email.lower()))
    if await store.find_by_email(tx, email) not in (None, user_id):
        raise AlreadyExists("user.email")


async def _lock_administrators(tx: Tx, tenant_id: TenantId) -> None:
    """Two administrators who remove each other at the same moment must see one another."""
    await lock(tx, ("administrators", tenant_id))


async def _check_not_last(tx: Tx, tenant_id: TenantId, user: User) -> None:
    administrator = administrator_of(tenant_id)
    if administers(user, administrator) and await store.count_administrators(tx, administrator, user.id) == 0:
        whom = "installation" if tenant_id == SYSTEM_TENANT_ID else "tenant"
        raise FailedPrecondition(
            f"it would leave the {whom} without an administrator", reason=problem_pb2.ERROR_REASON_LAST_ADMIN
        )
