"""A company, its policies, and its life: in use, deleted, gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mesh.ids import TenantId

UNDELETE_WITHIN: Final = timedelta(days=30)

MONDAY: Final = 1  # ISO 8601
IMAGE_RETENTION_DAYS: Final = 30
EMBEDDING_RETENTION_DAYS: Final = 365


@dataclass(frozen=True, slots=True)
class MatchPolicy:
    """How sure matching must be in one embedding space; None: as calibrated, as in the manifest."""

    embedding_space: str
    threshold: float | None = None
    founding_quality: float | None = None


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """What a tenant decides for all of its sites.

    Attributes:
        first_day_of_week: ISO 8601, Monday = 1.
        embedding_spaces: the preferred one first; empty: those of the installation's manifest.
    """

    first_day_of_week: int = MONDAY
    image_retention_days: int = IMAGE_RETENTION_DAYS
    embedding_retention_days: int = EMBEDDING_RETENTION_DAYS
    allow_global_search: bool = False
    embedding_spaces: tuple[str, ...] = ()
    match_policies: tuple[MatchPolicy, ...] = ()


@dataclass(frozen=True, slots=True)
class Tenant:
    """A company."""

    id: TenantId
    display_name: str
    settings: TenantSettings
    create_time: datetime
    update_time: datetime
    delete_time: datetime | None = None
    purge_time: datetime | None = None


def is_gone(tenant: Tenant, now: datetime) -> bool:
    """Whether nothing brings it back any more."""
    return tenant.purge_time is not None and tenant.purge_time <= now
