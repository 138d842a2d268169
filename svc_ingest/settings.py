"""What svc_ingest can be told. Each setting is FOOTFALL_<NAME>; each limit has its unit in its description."""

from __future__ import annotations

from pydantic import Field, SecretStr

from mesh.settings import ServiceSettings


class IngestSettings(ServiceSettings):
    """Settings of svc_ingest."""

    registry_target: str = Field(description="gRPC target of svc_registry: the keys of tokens")
    identity_target: str = Field(description="gRPC target of svc_identity: who is this?")
    images: SecretStr = Field(description="folder:///path, or s3://access:secret@host:port/bucket")

    future_seconds: float = Field(default=60, ge=0, le=3600, description="captured so much later than now is believed")
    lease_skew_seconds: float = Field(default=5, ge=0, le=60, description="slack around the two ends of an epoch")
    clock_uncertainty_seconds: float = Field(
        default=60, ge=1, le=86400, description="an agent less sure of its clock than this is quarantined"
    )

    batches: int = Field(default=16, ge=1, le=1000, description="batches under way at once, of all streams")
    stream_batches: int = Field(default=4, ge=1, le=64, description="batches under way at once, of one stream")
    batch_attempts: int = Field(
        default=10, ge=1, le=100, description="tries of a batch while a store or identity is away: about 10 s in all"
    )
    credit_window: int = Field(default=16384, ge=64, description="events unanswered at once, of all streams")
    stream_credit: int = Field(default=256, ge=64, le=4096, description="events unanswered at once, of one stream")
    least_credit: int = Field(default=16, ge=1, le=64, description="… and never less than this")

    snapshot_bytes: int = Field(default=262_144, ge=1024, le=262_144, description="of one snapshot, at most")
    snapshot_pixels: int = Field(default=4_000_000, ge=4096, description="of one snapshot, by its header, at most")
    image_url_seconds: int = Field(default=300, ge=30, le=3600, description="how long an image's address works")

    feed_days: int = Field(default=7, ge=1, le=30, description="how far back a cursor of the feed may lie")
    watchers: int = Field(default=64, ge=1, le=10_000, description="open feeds of one tenant, at most")
    sweep_seconds: float = Field(default=300, ge=1, description="between two looks for what has expired")
