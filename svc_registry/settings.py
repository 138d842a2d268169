"""The registry's settings; every limit with its unit and its default."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from mesh.auth import CLOCK_SKEW
from mesh.settings import ServiceSettings
from svc_registry.access.signing.domain import RotationPolicy
from svc_registry.access.tokens.domain import TokenPolicy
from svc_registry.access.tokens.limits import Limit


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

    @property
    def rotation(self) -> RotationPolicy:
        """How long signing keys live."""
        return RotationPolicy(
            period=timedelta(days=self.signing_key_days),
            lead=timedelta(minutes=self.signing_key_lead_minutes),
            overlap=timedelta(minutes=self.token_minutes) + CLOCK_SKEW,
        )

    @property
    def sign_in_limits(self) -> dict[str, Limit]:
        """How often somebody may fail to sign in, by kind of key."""
        forgiven = timedelta(seconds=self.sign_in_forgiven_seconds)
        return {
            "user": Limit(self.sign_in_failures_per_user, forgiven),
            "address": Limit(self.sign_in_failures_per_address, forgiven / 6),
        }
