"""Access tokens: what they say, and how it is proved.

A token is an RS256 JWT of 15 minutes. Claims: iss, aud, sub, kind (USER or API_KEY), role (a `Role`), tenant_id (absent
for a system_admin), site_ids (site_manager, worker), worker_id (worker), camera_ids (integrator), fam (family, by which
it is revoked), jti, iat, exp; its header names the key (kid).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

import jwt
import structlog
from cachetools import TLRUCache
from footfall.type.v1 import problem_pb2

from mesh.access import Role
from mesh.clock import Clock
from mesh.errors import MeshError, Unauthenticated, Unavailable
from mesh.ids import CameraId, SiteId, TenantId, WorkerId

ALGORITHM: Final = "RS256"
CACHE_SECONDS: Final = 60.0  # a verified token is believed so long without verifying it again
CACHE_TOKENS: Final = 10_000
REFETCH_SECONDS: Final = 5.0  # an unknown kid makes us ask for the keys at most this often
KEYS_SECONDS: Final = 300.0  # keys are asked for anew after this, unknown kid or not
CLOCK_SKEW: Final = timedelta(seconds=60)  # of the issuer against us, for iat

USER: Final = "USER"  # kinds of subject, as the token's `kind` claim and the audit have them
API_KEY: Final = "API_KEY"

_log = structlog.get_logger(__name__)


# A JWK Set (RFC 7517), public parts: {"keys": [{"kty": "RSA", "kid": …, "n": …, "e": …}, …]}
JwkSet: TypeAlias = Mapping[str, Any]
JwksSource: TypeAlias = Callable[[], Awaitable[JwkSet]]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says."""

    subject_id: UUID
    subject_kind: str
    role: Role
    tenant_id: TenantId | None
    site_ids: frozenset[SiteId] | None
    worker_id: WorkerId | None
    camera_ids: frozenset[CameraId] | None
    family: str
    token_id: str
    issue_time: datetime
    expire_time: datetime


class TokenVerifier:
    """Verifies tokens, remembers for a minute which it has verified, and follows key rotation by kid.

    Args:
        jwks_source: brings the issuer's public keys.
        issuer, audience: what iss and aud must be.
        clock: expiry is judged on it.
    """

    def __init__(self, jwks_source: JwksSource, issuer: str, audience: str, clock: Clock) -> None:
        self._source = jwks_source
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._fetch_time: float | None = None
        self._fetching = asyncio.Lock()
        self._verified: TLRUCache[str, Claims] = TLRUCache(
            maxsize=CACHE_TOKENS,
            ttu=lambda _token, claims, now: min(now + CACHE_SECONDS, claims.expire_time.timestamp()),
            timer=lambda: clock.now().timestamp(),
        )

    async def verify(self, token: str) -> Claims:
        """What the token says, once it is proved.

        Raises:
            Unauthenticated: TOKEN_EXPIRED, or TOKEN_INVALID for anything else that is wrong with it.
            Unavailable: the keys cannot be had, and none are known.
        """
        if (known := self._verified.get(token)) is not None:
            return known
        key = await self._key(_kid(token))
        try:
            raw = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                options={
                    "require": ["iss", "aud", "sub", "role", "fam", "jti", "iat", "exp"],
                    # Times are judged below, on our own clock.
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            claims = _claims(raw)
        except (jwt.PyJWTError, KeyError, ValueError, TypeError) as error:
            raise Unauthenticated("the token is not valid") from error
        now = self._clock.now()
        if claims.expire_time <= now:
            raise Unauthenticated("the token has expired", reason=problem_pb2.ERROR_REASON_TOKEN_EXPIRED)
        if claims.issue_time > now + CLOCK_SKEW:
            raise Unauthenticated("the token is not valid yet")
        self._verified[token] = claims
        return claims

    async def refresh(self) -> None:
        """Asks for the keys now. A readiness check calls it, so that the first call need not."""
        await self._fetch(at_least=REFETCH_SECONDS)

    async def check(self) -> None:
        """A readiness check: some keys are known. Those stay good while their source is away.

        Raises:
            Unavailable: none are known, and none can be had.
        """
        if not self._keys:
            await self.refresh()

    async def _key(self, kid: str) -> Any:
        known = self._keys.get(kid)
        if known is None:
            await self._fetch(at_least=REFETCH_SECONDS)
        elif self._age() > KEYS_SECONDS:
            try:
                await self._fetch(at_least=KEYS_SECONDS)
            except MeshError as error:
                _log.warning("jwks_stale", reason=error.reason_name)  # known keys stay good while the source is away
        key = self._keys.get(kid)
        if key is None:
            raise Unauthenticated("the token is not valid")
        return key

    def _age(self) -> float:
        return float("inf") if self._fetch_time is None else self._clock.monotonic() - self._fetch_time

    async def _fetch(self, at_least: float) -> None:
        async with self._fetching:
            if self._age() < at_least:
                return
            answer = await self._source()
            try:
                key_set = jwt.PyJWKSet.from_dict(dict(answer))
            except jwt.PyJWTError as error:
                raise Unavailable("the keys that tokens are signed with are not available") from error
            self._keys = {key.key_id: key.key for key in key_set.keys if key.key_id}
            self._fetch_time = self._clock.monotonic()


def _kid(token: str) -> str:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise Unauthenticated("the token is not valid") from error
    kid = header.get("kid")
    if header.get("alg") != ALGORITHM or not isinstance(kid, str):
        raise Unauthenticated("the token is not valid")
    return kid


def _claims(raw: Mapping[str, Any]) -> Claims:
    role = Role(str(raw["role"]).upper())
    tenant = TenantId(UUID(raw["tenant_id"])) if raw.get("tenant_id") else None
    if (tenant is None) != (role is Role.SYSTEM_ADMIN):
        msg = "a system_admin belongs to no tenant, everybody else to one"
        raise ValueError(msg)
    sites, cameras = raw.get("site_ids"), raw.get("camera_ids")
    if sites is None and role is Role.SITE_MANAGER:
        msg = "a site_manager is held to sites"
        raise ValueError(msg)
    return Claims(
        subject_id=UUID(raw["sub"]),
        subject_kind=str(raw.get("kind") or (API_KEY if role is Role.WORKER else USER)),
        role=role,
        tenant_id=tenant,
        site_ids=None if sites is None else frozenset(SiteId(UUID(site)) for site in sites),
        worker_id=WorkerId(UUID(raw["worker_id"])) if raw.get("worker_id") else None,
        camera_ids=None if cameras is None else frozenset(CameraId(UUID(camera)) for camera in cameras),
        family=str(raw["fam"]),
        token_id=str(raw["jti"]),
        issue_time=datetime.fromtimestamp(raw["iat"], UTC),
        expire_time=datetime.fromtimestamp(raw["exp"], UTC),
    )
