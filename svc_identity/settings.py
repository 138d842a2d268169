"""What svc_identity can be told. Each setting is FOOTFALL_<NAME>; each limit has its unit in its description."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from mesh.settings import ServiceSettings


class IdentitySettings(ServiceSettings):
    """Settings of svc_identity."""

    registry_target: str = Field(description="gRPC target of svc_registry: the keys of tokens")
    images: SecretStr = Field(description="folder:///path, or s3://access:secret@host:port/bucket")
    vectors: str = Field(description="a folder (Milvus Lite, one process), or http://host:19530")
    vectors_token: SecretStr = Field(default=SecretStr(""), description="user:password of a Milvus server")
    vectors_seconds: float = Field(default=10, gt=0, le=60, description="of one call to the vector index, at most")
    vectors_partitions: int = Field(default=100, ge=1, le=1000, description="tenants with a partition of their own")

    models: Path | None = Field(default=None, description="folder that holds the weights; none: demo vision")
    detector: str | None = Field(default=None, description="name in the manifest; its default otherwise")
    embedder: str | None = Field(default=None, description="name in the manifest; its default otherwise")
    provider: Literal["cpu", "coreml", "cuda", "openvino"] = Field(default="cpu", description="where models run")
    founding_quality: float = Field(
        default=0.35, ge=0, le=1, description="a poorer face founds no customer and enrols nobody; tenants may differ"
    )

    image_pixels: int = Field(default=50_000_000, ge=4096, le=80_000_000, description="of a photograph, at most")
    image_queue: int = Field(default=16, ge=1, le=1000, description="photographs that wait to be looked at, at most")

    orphan_seconds: float = Field(default=86400, ge=1, description="between two looks for pictures that no row names")

    gallery_watchers: int = Field(default=2000, ge=1, description="open gallery streams of one tenant, at most")
    housekeeping_seconds: float = Field(default=5, gt=0, description="between two turns of the housekeeping")
    provisional_seconds: float = Field(
        default=3600, ge=60, description="a customer without a committed sighting is removed after this"
    )

    @property
    def index_uri(self) -> str:
        """What the vector index is opened by; Milvus Lite knows its folder by the ending."""
        if "://" in self.vectors or self.vectors.endswith(".db"):
            return self.vectors
        return str(Path(self.vectors) / "faces.db")
