"""The registry's settings; every limit with its unit and its default."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from mesh.auth import CLOCK_SKEW
from mesh.settings import ServiceSettings
from svc_registry.access.signing.domain import RotationPolicy
from svc_registry.access.tokens.domain import TokenPolicy
from svc_registry.access.tokens.limits import Limit
from svc_registry.room import Room
from svc_registry.sessions.domain import Timing


class RegistrySettings(ServiceSettings):
    """What svc_registry takes from the environment."""

    token_minutes: int = Field(default=15, ge=1, le=60, description="life of an access token")
    session_idle_days: int = Field(default=14, ge=1, le=365, description="a session ends when unused for so long")
    session_days: int = Field(default=90, ge=1, le=365, description="a session ends, however busy")
    signing_key_days: int = Field(default=30, ge=2, le=365, description="a key signs for so long")
    signing_key_lead_minutes: int = Field(
        default=60, ge=5, le=1440, description="a key is published so long before its first use"
    )
    sign_in_failures_per_user: int = Field(default=10, ge=1, le=1000, description="failures, per user name")
    sign_in_failures_per_address: int = Field(default=60, ge=1, le=100_000, description="failures, per address")
    sign_in_forgiven_seconds: int = Field(default=30, ge=1, le=3600, description="one of them is forgiven")
    heartbeat_seconds: float = Field(
        default=5, ge=0.05, le=60, description="between a worker's heartbeats; 10 above 1,000 workers"
    )
    lease_stop_seconds: float = Field(
        default=15, ge=0.1, le=600, description="a camera stops, unless renewed by then; 45 above 1,000 workers"
    )
    lease_ttl_seconds: float = Field(
        default=20, ge=0.2, le=900, description="a camera goes to another worker; 60 above 1,000 workers"
    )
    renewal_batch_seconds: float = Field(default=1, ge=0.01, le=5, description="between two batches of renewals")
    most_worker_sessions: int = Field(default=5000, ge=1, le=9000, description="workers connected to one replica")
    most_sites: int = Field(default=2000, ge=1, description="open sites of a tenant")
    most_cameras: int = Field(default=256, ge=1, description="cameras of a site")
    most_users: int = Field(default=5000, ge=1, description="users of a tenant")
    most_api_keys: int = Field(default=10_000, ge=1, description="good API keys of a tenant")
    password_iterations: int = Field(default=3, ge=1, le=10, description="argon2id's time cost")
    password_memory_kib: int = Field(default=65536, ge=8192, le=1048576, description="argon2id's memory cost")

    @property
    def tokens(self) -> TokenPolicy:
        """What tokens say, and how long they and sessions live."""
        return TokenPolicy(
            self.token_issuer,
            self.token_audience,
            access=timedelta(minutes=self.token_minutes),
            idle=timedelta(days=self.session_idle_days),
            session=timedelta(days=self.session_days),
        )

    @model_validator(mode="after")
    def _leases_outlive_heartbeats(self) -> Self:
        self.timing  # noqa: B018 (raises)
        return self

    @property
    def timing(self) -> Timing:
        """What keeps sessions and leases alive."""
        return Timing(
            heartbeat=timedelta(seconds=self.heartbeat_seconds),
            stop_after=timedelta(seconds=self.lease_stop_seconds),
            ttl=timedelta(seconds=self.lease_ttl_seconds),
        )

    @property
    def rotation(self) -> RotationPolicy:
        """How long signing keys live."""
        return RotationPolicy(
            period=timedelta(days=self.signing_key_days),
            lead=timedelta(minutes=self.signing_key_lead_minutes),
            overlap=timedelta(minutes=self.token_minutes) + CLOCK_SKEW,
        )

    @property
    def room(self) -> Room:
        """How many of a thing a tenant may have."""
        return Room(self.most_sites, self.most_cameras, self.most_users, self.most_api_keys)

    @property
    def sign_in_limits(self) -> dict[str, Limit]:
        """How often somebody may fail to sign in, by kind of key."""
        forgiven = timedelta(seconds=self.sign_in_forgiven_seconds)
        return {
            "user": Limit(self.sign_in_failures_per_user, forgiven),
            "address": Limit(self.sign_in_failures_per_address, forgiven / 6),
        }
