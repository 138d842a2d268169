"""A machine's way in, and which of them enrol a worker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mesh.ids import ApiKeyId, CameraId, SiteId, WorkerId
from mesh.roles import Role


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as stored; of its secret there is a digest, which never leaves the store."""

    id: ApiKeyId
    display_name: str
    role: Role
    secret_prefix: str
    site_ids: frozenset[SiteId]
    camera_ids: frozenset[CameraId]
    worker_id: WorkerId | None
    expire_time: datetime | None
    create_time: datetime
    use_time: datetime | None
    revoke_time: datetime | None


@dataclass(frozen=True, slots=True)
class ApiKeyDraft:
    """A key to be made."""

    display_name: str
    role: Role
    site_ids: frozenset[SiteId]
    camera_ids: frozenset[CameraId]
    expire_time: datetime | None


def enrols_worker(draft: ApiKeyDraft) -> bool:
    """An edge agent's key names no camera: its cameras come by lease. One that does is an integration's."""
    return draft.role is Role.WORKER and not draft.camera_ids
