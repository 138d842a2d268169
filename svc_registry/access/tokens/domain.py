"""What stands in a token, how credentials look, and when a refresh token is good."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Any, Final
from uuid import UUID

from mesh.ids import SYSTEM_TENANT_ID, CameraId, SiteId, TenantId, WorkerId

SECRET_BYTES: Final = 32  # 256 random bits: a plain sha256 of it needs no salt and no slowness
KEY_PREFIX: Final = "ffk_"  # told apart at a glance, and found by scanners of leaked secrets
REFRESH_PREFIX: Final = "ffr_"
SHOWN_CHARACTERS: Final = 20  # of a key: its prefix and half of its id, nothing of the secret


class SubjectKind(StrEnum):
    """Who a token is about; as the claim `kind` and the audit have it."""

    USER = "USER"
    API_KEY = "API_KEY"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a token is about, and what it may see.

    Attributes:
        tenant_id: the system's own for a system_admin.
        role: a word of mesh.access.Role.
        site_ids: the only sites; None = every site.
        worker_id: of the worker that the API key enrolled.
        camera_ids: the cameras that an integration sends for; None = not held to any.
    """

    tenant_id: TenantId
    subject_id: UUID
    kind: SubjectKind
    role: str
    site_ids: frozenset[SiteId] | None = None
    worker_id: WorkerId | None = None
    camera_ids: frozenset[CameraId] | None = None


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """What tokens say, and how long they and sessions live.

    Attributes:
        access: an access token, from its issue.
        idle: a refresh token, from its issue: a session ends when it is not used for so long.
        session: a session, from the sign-in, however busy.
    """

    issuer: str
    audience: str
    access: timedelta = timedelta(minutes=15)
    idle: timedelta = timedelta(days=14)
    session: timedelta = timedelta(days=90)


def claims(principal: Principal, policy: TokenPolicy, family_id: UUID, token_id: UUID, now: datetime) -> dict[str, Any]:
    """The claims of an access token (RFC 7519), ours beside the registered ones.

    What is absent does not restrict: no `site_ids` means every site of the tenant, no `tenant_id` a system_admin.
    """
    said: dict[str, Any] = {
        "iss": policy.issuer,
        "aud": policy.audience,
        "sub": str(principal.subject_id),
        "kind": principal.kind.value,
        "role": principal.role.lower(),
        "fam": str(family_id),
        "jti": str(token_id),
        "iat": int(now.timestamp()),
        "exp": int((now + policy.access).timestamp()),
    }
    if principal.tenant_id != SYSTEM_TENANT_ID:
        said["tenant_id"] = str(principal.tenant_id)
    if principal.site_ids is not None:
        said["site_ids"] = sorted(map(str, principal.site_ids))
    if principal.worker_id is not None:
        said["worker_id"] = str(principal.worker_id)
    if principal.camera_ids is not None:
        said["camera_ids"] = sorted(map(str, principal.camera_ids))
    return said


# -- credentials ------------------------------------------------------------------------------------------------------


def digest(secret: str) -> bytes:
    """What is stored of a secret that has 256 random bits of its own."""
    return hashlib.sha256(secret.encode()).digest()


def api_key_text(key_id: UUID, secret: str) -> str:
    """An API key as its owner sees it: the id, by which it is found, then the secret."""
    return f"{KEY_PREFIX}{key_id.hex}_{secret}"


def api_key_parts(text: str) -> tuple[UUID, str] | None:
    """The id and the secret; None when it is no API key of ours."""
    head, _, secret = text.removeprefix(KEY_PREFIX).partition("_")
    if not text.startswith(KEY_PREFIX) or not secret or len(head) != 32:
        return None
    try:
        return UUID(hex=head), secret
    except ValueError:
        return None


def shown_prefix(key_id: UUID) -> str:
    """A key's first characters: enough to tell keys apart, and no part of the secret."""
    return api_key_text(key_id, "")[:SHOWN_CHARACTERS]


# -- refreshing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A stored refresh token with its family's end."""

    family_id: UUID
    subject_id: UUID
    expire_time: datetime
    use_time: datetime | None
    family_expire_time: datetime
    family_revoke_time: datetime | None


class RefreshVerdict(Enum):
    """What is to be done with a refresh token that somebody shows."""

    GOOD = "good"
    REUSED = "reused"  # somebody copied it: the family ends for both
    DEAD = "dead"  # expired or revoked


def judge(token: RefreshToken, now: datetime) -> RefreshVerdict:
    """Whether a refresh token is good. One that was used is REUSED however old it is, unless its family has ended."""
    if token.family_revoke_time is not None or token.family_expire_time <= now:
        return RefreshVerdict.DEAD
    if token.use_time is not None:
        return RefreshVerdict.REUSED
    return RefreshVerdict.DEAD if token.expire_time <= now else RefreshVerdict.GOOD
