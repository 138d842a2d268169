"""What an operator decides about an agent: FOOTFALL_* of the environment, and the same names as options."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from mesh.settings import HostPort, MeshSettings


class AgentSettings(MeshSettings):
    """One agent: one API key, one worker, one site."""

    gateway: HostPort = Field(description="the mesh's gateway, host:port")
    tls_ca: Path | None = Field(default=None, description="PEM file: who signed the gateway's certificate")
    gateway_name: str | None = Field(default=None, description="the name in that certificate, if it is not the host's")
    api_key: SecretStr = Field(description="the worker's API key")
    models: Path | None = Field(default=None, description="folder of weights; none: demo vision")
    detector: str | None = Field(default=None, description="name in the manifest; its default otherwise")
    embedder: str | None = Field(default=None, description="name in the manifest; its default otherwise")
    provider: Literal["cpu", "coreml", "cuda", "openvino"] = Field(default="cpu", description="where models run")
    demo_vision: bool = Field(default=False, description="recognise the demo's people alone, models or not")
    allow_files: Path | None = Field(default=None, description="folder of recordings that may be read")
    recorded_speed: float = Field(
        default=1.0, ge=0, le=1000, description="recordings: times as fast as filmed; 0 = as fast as the machine can"
    )
    spool: Path = Field(description="folder for what is not sent yet; private to this agent")
    spool_max_mib: int = Field(default=2048, ge=16, le=1_048_576, description="MiB that may wait")
    spool_max_events: int = Field(default=200_000, ge=100, le=10_000_000, description="events that may wait")
    max_cameras: int = Field(default=16, ge=1, le=256, description="cameras to watch at once, at most")
    health_listen: HostPort | None = Field(default=None, description="where /healthz and /metrics are served")
