"""What svc_reports can be told. Each setting is FOOTFALL_<NAME>."""

from __future__ import annotations

from pydantic import Field

from mesh.settings import ServiceSettings


class ReportsSettings(ServiceSettings):
    """Settings of svc_reports."""

    registry_target: str = Field(description="gRPC target of svc_registry: the keys of tokens")
    statement_seconds: float = Field(default=30, ge=1, le=600, description="a query that runs longer is cancelled")
