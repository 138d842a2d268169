"""Changes credentials for tokens, and ends sessions."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NoReturn
from uuid import UUID

from footfall.type.v1 import problem_pb2

from mesh import telemetry
from mesh.access import ADMINS, Role
from mesh.audit import Audit
from mesh.auth import CLOCK_SKEW, Caller
from mesh.clock import Clock
from mesh.database import Database, Tx
from mesh.errors import MeshError, PermissionDenied, ResourceExhausted, Unauthenticated
from mesh.ids import SYSTEM_TENANT_ID, Ids, TenantId
from svc_registry.access.passwords import Passwords
from svc_registry.access.signing.service import SigningKeys
from svc_registry.access.tokens import store
from svc_registry.access.tokens.domain import (
    REFRESH_PREFIX,
    SECRET_BYTES,
    Principal,
    RefreshVerdict,
    SubjectKind,
    TokenPolicy,
    api_key_parts,
    claims,
    digest,
    judge,
)
from svc_registry.access.tokens.limits import SignInLimits
from svc_registry.directory.tenants.store import list_tenant_ids

# A worker asks for a token every quarter of an hour: the audit has its first, and one after each silence.
QUIET: Final = timedelta(hours=1)

_sign_ins = telemetry.counter("sign_ins", "Credentials that were shown for a token", ["grant", "outcome"])


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, and what stands in it; no refresh token for an API key."""

    access_token: str
    life: timedelta
    refresh_token: str
    principal: Principal


class Sessions:
    """How sessions end, for whoever ends them: inside the transaction of the act that asks for it.

    Args:
        policy: how long tokens live.
        clock: of the times.
    """

    def __init__(self, policy: TokenPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock

    async def end(
        self,
        tx: Tx,
        reason: str,
        *,
        family_id: UUID | None = None,
        subject_id: UUID | None = None,
        spare: UUID | None = None,
    ) -> list[UUID]:
        """Ends sessions of the tenant at hand; arguments and answer as `store.revoke_families`."""
        now = self._clock.now()
        forget = now + self._policy.access + CLOCK_SKEW
        return await store.revoke_families(
            tx, reason, now, forget, family_id=family_id, subject_id=subject_id, spare=spare
        )


class Tokens:
    """The use cases of AuthService's tokens.

    Args:
        database: as svc_registry.
        passwords: checks them.
        signing: signs.
        sessions: ends sessions.
        limits: counts failures.
        audit: has every sign-in.
        policy: what tokens say and how long they live.
        clock, ids: given.
    """

    def __init__(
        self,
        *,
        database: Database,
        passwords: Passwords,
        signing: SigningKeys,
        sessions: Sessions,
        limits: SignInLimits,
        audit: Audit,
        policy: TokenPolicy,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._signing = signing
        self._sessions = sessions
        self._limits = limits
        self._audit = audit
        self._policy = policy
        self._clock = clock
        self._ids = ids

    # -- credentials --------------------------------------------------------------------------------------------------

    async def by_password(self, caller: Caller, address: str, email: str, password: str) -> Issued:
        """A person signs in.

        Raises:
            Unauthenticated: CREDENTIALS_INVALID, whatever is wrong.
            ResourceExhausted: RATE_LIMITED.
            PermissionDenied: TENANT_DELETED; told to who knows the password alone.
        """
        keys = [("address", address), ("user", email.lower())]
        return await self._limited("password", keys, lambda: self._by_password(caller, email, password))

    async def by_api_key(self, caller: Caller, address: str, key: str) -> Issued:
        """A machine signs in. Raises as `by_password`."""
        return await self._limited("api_key", [("address", address)], lambda: self._by_api_key(caller, key))

    async def by_refresh_token(self, caller: Caller, address: str, token: str) -> Issued:
        """A session goes on. Raises as `by_password`, and TOKEN_REUSED after the session has been ended for it."""
        return await self._limited("refresh", [("address", address)], lambda: self._by_refresh_token(caller, token))

    async def _limited(
        self, grant: str, keys: Sequence[tuple[str, str]], sign_in: Callable[[], Awaitable[Issued]]
    ) -> Issued:
        try:
            self._limits.attempt(keys)
            issued = await sign_in()
        except MeshError as error:
            _sign_ins.labels(grant, error.reason_name).inc()
            if not isinstance(error, Unauthenticated | ResourceExhausted):
                self._limits.succeeded(keys)  # nothing was learnt about the credential
            raise
        _sign_ins.labels(grant, "ISSUED").inc()
        self._limits.succeeded(keys)
        return issued

    async def _by_password(self, caller: Caller, email: str, password: str) -> Issued:
        async with self._database.transaction(None, read_only=True) as tx:
            found = await store.find_user(tx, email)
        right = await self._passwords.verify(found.password_hash if found else None, password)
        if found is None or found.password_hash is None or not right:
            _refuse()
        outdated = self._passwords.is_outdated(found.password_hash)
        new_hash = await self._passwords.hash(password) if outdated else None

        async def begin(tx: Tx) -> Issued:
            known = await store.load_user(tx, found.tenant_id, found.user_id)
            if known is None or known[1] != found.password_hash:  # disabled, or the password was set meanwhile
                _refuse()
            await self._check_tenant(tx, found.tenant_id)
            await store.note_user_sign_in(tx, found.user_id, self._clock.now(), new_hash)
            return await self._begin(tx, caller, known[0], audited=True)

        return await self._database.run(found.tenant_id, begin)

    async def _by_api_key(self, caller: Caller, key: str) -> Issued:
        parts = api_key_parts(key)
        if parts is None:
            _refuse()
        key_id, secret = parts
        async with self._database.transaction(None, read_only=True) as tx:
            found = await store.find_api_key(tx, key_id)
        if found is None or not hmac.compare_digest(found[1], digest(secret)):
            _refuse()
        tenant_id = found[0]

        async def begin(tx: Tx) -> Issued:
            now = self._clock.now()
            known = await store.load_api_key(tx, tenant_id, key_id, now)
            if known is None:
                _refuse()
            await self._check_tenant(tx, tenant_id)
            principal, use_time = known
            await store.note_api_key_use(tx, key_id, now)
            return await self._begin(tx, caller, principal, audited=use_time is None or now - use_time > QUIET)

        return await self._database.run(tenant_id, begin)

    async def _by_refresh_token(self, caller: Caller, token: str) -> Issued:
        token_hash = digest(token)
        async with self._database.transaction(None, read_only=True) as tx:
            found = await store.find_refresh_token(tx, token_hash)
        if found is None:
            _refuse()
        tenant_id = found[0]

        async def go_on(tx: Tx) -> Issued | None:
            now = self._clock.now()
            kept = await store.load_refresh_token(tx, token_hash)
            verdict = RefreshVerdict.DEAD if kept is None else judge(kept, now)
            if kept is None or verdict is RefreshVerdict.DEAD:
                _refuse()
            if verdict is RefreshVerdict.REUSED:
                await self._sessions.end(tx, "token reused", family_id=kept.family_id)
                acting = replace(caller, tenant_id=tenant_id, subject_id=kept.subject_id, subject_kind=SubjectKind.USER)
                await self._audit.record(tx, acting, "session.reuse", target_kind="session", target_id=kept.family_id)
                return None  # committed: then the refusal
            known = await store.load_user(tx, tenant_id, kept.subject_id)
            if known is None:
                _refuse()
            await self._check_tenant(tx, tenant_id)
            await store.use_refresh_token(tx, token_hash, now)
            return await self._issue(
                tx, known[0], kept.family_id, min(now + self._policy.idle, kept.family_expire_time)
            )

        issued = await self._database.run(tenant_id, go_on)
        if issued is None:
            raise Unauthenticated(
                "this refresh token was used before: its session has been ended",
                reason=problem_pb2.ERROR_REASON_TOKEN_REUSED,
            )
        return issued

    async def _check_tenant(self, tx: Tx, tenant_id: TenantId) -> None:
        if await store.tenant_is_deleted(tx, tenant_id):
            raise PermissionDenied("the tenant has been deleted", reason=problem_pb2.ERROR_REASON_TENANT_DELETED)

    async def _begin(self, tx: Tx, caller: Caller, principal: Principal, *, audited: bool) -> Issued:
        now, family_id = self._clock.now(), self._ids.uuid7(self._clock.now())
        machine = principal.kind is SubjectKind.API_KEY
        # A machine's session is one access token long, and a little, so that it can be revoked to the end.
        expire = now + (self._policy.access + CLOCK_SKEW if machine else self._policy.session)
        await store.insert_family(tx, principal, family_id, now, expire)
        if audited:
            acting = replace(
                caller,
                tenant_id=principal.tenant_id,
                subject_id=principal.subject_id,
                subject_kind=principal.kind,
                role=Role(principal.role),
            )
            await self._audit.record(tx, acting, "session.sign_in", target_kind="session", target_id=family_id)
        return await self._issue(tx, principal, family_id, None if machine else min(now + self._policy.idle, expire))

    async def _issue(self, tx: Tx, principal: Principal, family_id: UUID, refresh_expire: datetime | None) -> Issued:
        now = self._clock.now()
        refresh_token = ""
        if refresh_expire is not None:
            refresh_token = REFRESH_PREFIX + self._ids.secret(SECRET_BYTES)
            await store.insert_refresh_token(
                tx, principal.tenant_id, family_id, digest(refresh_token), create_time=now, expire_time=refresh_expire
            )
        said = claims(principal, self._policy, family_id, self._ids.uuid7(now), now)
        return Issued(self._signing.sign(said), self._policy.access, refresh_token, principal)

    # -- the end of sessions ------------------------------------------------------------------------------------------

    async def revoke_own(self, caller: Caller) -> None:
        """Signs out of the session whose token the call carries."""
        await self._end(_home(caller), caller, family_id=UUID(caller.family))

    async def revoke_refresh_token(self, caller: Caller, token: str) -> None:
        """Ends the session of a refresh token: to hold it is to be allowed to."""
        async with self._database.transaction(None, read_only=True) as tx:
            found = await store.find_refresh_token(tx, digest(token))
        if found is not None:
            await self._end(found[0], caller, family_id=found[1])

    async def revoke_user(self, caller: Caller, user_id: UUID) -> None:
        """Ends every session of a user.

        Raises:
            PermissionDenied: neither an administrator nor the user.
        """
        own = user_id == caller.subject_id
        if not own and caller.role not in ADMINS:
            raise PermissionDenied("only an administrator ends the sessions of somebody else")
        tenant_id = _home(caller) if own else caller.acting_tenant
        await self._end(tenant_id, caller, subject_id=user_id)

    async def _end(
        self,
        tenant_id: TenantId | None,
        caller: Caller,
        *,
        family_id: UUID | None = None,
        subject_id: UUID | None = None,
    ) -> None:
        async def end(tx: Tx) -> None:
            acting = replace(caller, tenant_id=tenant_id)
            for ended in await self._sessions.end(tx, "signed out", family_id=family_id, subject_id=subject_id):
                await self._audit.record(tx, acting, "session.revoke", target_kind="session", target_id=ended)

        await self._database.run(tenant_id, end)

    # -- housekeeping -------------------------------------------------------------------------------------------------

    async def forget(self) -> None:
        """Removes what has run out. Runs every few minutes; several replicas do no harm."""
        now = self._clock.now()
        await self._database.run(None, lambda tx: store.forget_revocations(tx, now))
        tenant_ids = await self._database.run(None, list_tenant_ids, read_only=True)
        for tenant_id in (SYSTEM_TENANT_ID, *tenant_ids):
            await self._database.run(tenant_id, lambda tx: store.forget_sessions(tx, now))


def _home(caller: Caller) -> TenantId | None:
    """Where the caller's own sessions are: a system_admin's in the system tenant, whichever tenant it looks at."""
    return SYSTEM_TENANT_ID if caller.role is Role.SYSTEM_ADMIN else caller.tenant_id


def _refuse() -> NoReturn:
    raise Unauthenticated("the credential is not valid", reason=problem_pb2.ERROR_REASON_CREDENTIALS_INVALID)
