"""Settings: read once from the environment, validated whole at start, frozen, printable with secrets hidden.

Every setting is `FOOTFALL_<NAME>`. pydantic only: the agent imports this too.

    class IngestSettings(ServiceSettings):
        batch_events: int = Field(default=64, ge=1, le=64, description="events per batch")

    settings = load(IngestSettings)      # SettingsError names each variable that is missing or wrong
    print(describe(settings))            # FOOTFALL_DATABASE_URL=********** …
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, FilePath, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX: Final = "FOOTFALL_"


class SettingsError(Exception):
    """The environment does not describe a service that can start; one line per variable, never a value of it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("\n".join(f"{name}: {what}" for name, what in self.problems.items()))


def _host_and_port(value: str) -> str:
    host, separator, port = value.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65535:
        msg = "must be host:port (port 0 lets the system choose)"
        raise ValueError(msg)
    return value


def _postgres_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.scheme != "postgresql" or not parts.hostname or not parts.path.strip("/"):
        msg = "must be postgresql://user:password@host:port/database"
        raise ValueError(msg)
    return value


HostPort = Annotated[str, AfterValidator(_host_and_port)]
PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]


class MeshSettings(BaseSettings):
    """What every process has. Subclass it (or `ServiceSettings`) and add fields; each is FOOTFALL_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        validate_default=True,
        hide_input_in_errors=True,
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (the signature is pydantic's)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the signature is pydantic's)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the signature is pydantic's)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments (tests) before the environment; no file is read behind the operator's back."""
        return init_settings, env_settings


class ServiceSettings(MeshSettings):
    """What every service of the mesh has."""

    listen: HostPort = Field(description="where gRPC is served")
    metrics_listen: HostPort = Field(description="where /metrics and /healthz are served, plain HTTP; keep it inside")
    database_url: PostgresUrl = Field(description="postgresql://role:password@host:port/database")
    database_pool_size: int = Field(default=8, ge=1, le=200, description="connections at most")
    tls_ca: FilePath = Field(description="PEM file: who signs the peers' certificates")
    tls_cert: FilePath = Field(description="PEM file: this service's certificate; its SAN is the peer's name")
    tls_key: FilePath = Field(description="PEM file: the certificate's private key")
    token_issuer: str = "footfall"  # noqa: S105 (no secret)
    token_audience: str = "footfall"  # noqa: S105 (no secret)
    master_keys: SecretStr = Field(description="id:base64,id:base64 (32 bytes each); the first one encrypts")


SettingsT = TypeVar("SettingsT", bound=MeshSettings)


def load(settings_type: type[SettingsT], /, **overrides: object) -> SettingsT:
    """Reads and validates all settings at once.

    Args:
        settings_type: which.
        overrides: values that stand above the environment, by field name (tests, command lines).

    Raises:
        SettingsError: naming each variable at fault and what it wants.
    """
    try:
        return settings_type(**overrides)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        problems = {
            variable(str(item["loc"][0]) if item["loc"] else "settings"): _explain(item["type"], item["msg"])
            for item in error.errors(include_input=False, include_url=False)
        }
        raise SettingsError(problems) from None


def describe(settings: MeshSettings) -> str:
    """The settings as lines of NAME=value, secrets as asterisks: fit for a log or a terminal."""
    return "\n".join(f"{variable(name)}={value}" for name, value in sorted(settings.__dict__.items()))


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def as_environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Field names and values as environment variables; secrets in the clear. For whoever starts a service."""
    return {variable(name): _plain(value) for name, value in settings.items() if value is not None}


def _plain(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if not isinstance(value, Path) else str(value.absolute())


def _explain(kind: str, message: str) -> str:
    return "is missing" if kind == "missing" else message.removeprefix("Value error, ")
