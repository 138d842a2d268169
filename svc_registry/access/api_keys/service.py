"""The use cases of API keys. Each runs in the transaction that it is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mesh.audit import Audit
from mesh.auth import Caller
from mesh.clock import Clock
from mesh.database import Tx, notify
from mesh.errors import InvalidField, NotFound
from mesh.ids import ApiKeyId, Ids, WorkerId
from schema.registry import api_keys
from svc_registry.access.api_keys import store
from svc_registry.access.api_keys.domain import ApiKey, ApiKeyDraft, enrols_worker
from svc_registry.access.store import check_cameras_exist, check_principal, check_sites_exist
from svc_registry.access.tokens.domain import SECRET_BYTES, api_key_text, digest
from svc_registry.access.tokens.service import Sessions
from svc_registry.hints import DESIRED
from svc_registry.room import Room, check_room

_KIND: Final = "api_key"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeys:
    """
    Attributes:
        sessions: ends those of a revoked key.
        audit, clock, ids: given.
        room: for how many.
    """

    sessions: Sessions
    audit: Audit
    clock: Clock
    ids: Ids
    room: Room = field(default_factory=Room)

    async def create(self, tx: Tx, caller: Caller, draft: ApiKeyDraft) -> tuple[ApiKey, str]:
        """Makes a key, and enrols its worker when it is an edge agent's.

        Returns:
            The key, and its text with the secret, which nobody will see again.

        Raises:
            InvalidField: a role or sites that do not belong together, or an end that is past.
            NotFound: a site or a camera that is not there.
            FailedPrecondition: LIMIT_REACHED.
        """
        tenant_id = caller.acting_tenant or caller.tenant
        check_principal(_KIND, draft.role, tenant_id, draft.site_ids)
        if draft.expire_time is not None and draft.expire_time <= self.clock.now():
            raise InvalidField(f"{_KIND}.expire_time", "must lie in the future")
        await check_sites_exist(tx, draft.site_ids)
        await check_cameras_exist(tx, draft.camera_ids, draft.site_ids)
        await check_room(tx, api_keys, self.room.api_keys_per_tenant, api_keys.c.revoke_time.is_(None))
        worker_id = None
        if enrols_worker(draft):
            worker_id = WorkerId(self.ids.uuid7())
            (site_id,) = draft.site_ids
            await store.insert_worker(tx, tenant_id, worker_id, site_id, draft.display_name)
            await notify(tx, DESIRED)
        key_id, secret = ApiKeyId(self.ids.uuid7()), self.ids.secret(SECRET_BYTES)
        await store.insert_api_key(tx, tenant_id, key_id, draft, key_hash=digest(secret), worker_id=worker_id)
        details = {"role": draft.role.value, "worker_id": str(worker_id) if worker_id else None}
        await self.audit.record(tx, caller, "api_key.create", target_kind=_KIND, target_id=key_id, details=details)
        return await self._get(tx, key_id), api_key_text(key_id, secret)

    async def revoke(self, tx: Tx, caller: Caller, key_id: ApiKeyId) -> ApiKey:
        """Ends a key and its sessions.

        Raises:
            NotFound: not in this tenant.
        """
        key = await self._get(tx, key_id, locked=True)
        if key.revoke_time is not None:
            return key
        await store.revoke_api_key(tx, key_id)
        await self.sessions.end(tx, "key revoked", subject_id=key_id)
        await self.audit.record(tx, caller, "api_key.revoke", target_kind=_KIND, target_id=key_id)
        await notify(tx, DESIRED)
        return await self._get(tx, key_id)

    async def _get(self, tx: Tx, key_id: ApiKeyId, *, locked: bool = False) -> ApiKey:
        key = await store.get_api_key(tx, key_id, lock=locked)
        if key is None:
            raise NotFound(_KIND, key_id)
        return key
