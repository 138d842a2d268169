from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from mesh.settings import MeshSettings, ServiceSettings, SettingsError, as_environment, describe, load

URL = "postgresql://svc_registry:hunter2@127.0.0.1:5432/footfall"


class RegistrySettings(ServiceSettings):
    lease_seconds: int = Field(default=20, ge=1)
    files_allowed: bool = False


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for variable in ("CA", "CERT", "KEY"):
        file = tmp_path / f"{variable.lower()}.pem"
        file.write_text("pem")
        monkeypatch.setenv(f"FOOTFALL_TLS_{variable}", str(file))
    monkeypatch.setenv("FOOTFALL_LISTEN", "127.0.0.1:8401")
    monkeypatch.setenv("FOOTFALL_METRICS_LISTEN", "[::1]:8411")
    monkeypatch.setenv("FOOTFALL_DATABASE_URL", URL)
    monkeypatch.setenv("FOOTFALL_MASTER_KEYS", "a:c2VjcmV0")
    return monkeypatch


def test_settings_come_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    settings = load(RegistrySettings)
    assert settings.listen == "127.0.0.1:8401"
    assert settings.lease_seconds == 20
    assert settings.database_url.get_secret_value() == URL


def test_every_missing_variable_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("FOOTFALL_LISTEN")
    environment.delenv("FOOTFALL_TLS_CA")
    with pytest.raises(SettingsError) as refused:
        load(RegistrySettings)
    assert refused.value.problems == {"FOOTFALL_LISTEN": "is missing", "FOOTFALL_TLS_CA": "is missing"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LISTEN", "8401"),
        ("LISTEN", "host:port"),
        ("LISTEN", "host:70000"),
        ("DATABASE_URL", "mysql://u:hunter2@h/db"),
        ("DATABASE_URL", "postgresql://u:hunter2@h"),
        ("TLS_CERT", "/nowhere/hunter2"),
        ("LEASE_SECONDS", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("DATABASE_POOL_SIZE", "hunter2"),
    ],
)
def test_a_wrong_value_is_refused_by_its_variable_and_never_repeated(
    environment: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    environment.setenv(f"FOOTFALL_{variable}", value)
    with pytest.raises(SettingsError) as refused:
        load(RegistrySettings)
    assert list(refused.value.problems) == [f"FOOTFALL_{variable}"]
    assert "hunter2" not in str(refused.value)


def test_an_empty_variable_is_no_value(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FOOTFALL_LEASE_SECONDS", "")
    assert load(RegistrySettings).lease_seconds == 20


def test_settings_are_printed_without_their_secrets(environment: pytest.MonkeyPatch) -> None:
    text = describe(load(RegistrySettings))
    assert "FOOTFALL_LISTEN=127.0.0.1:8401" in text
    assert "FOOTFALL_LEASE_SECONDS=20" in text
    assert "hunter2" not in text
    assert "c2VjcmV0" not in text


def test_settings_do_not_change(environment: pytest.MonkeyPatch) -> None:
    settings = load(RegistrySettings)
    with pytest.raises(ValidationError, match="frozen"):
        settings.lease_seconds = 5


def test_other_variables_of_the_mesh_do_no_harm(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FOOTFALL_OF_ANOTHER_SERVICE", "x")
    load(RegistrySettings)


def test_a_test_may_set_what_it_likes(environment: pytest.MonkeyPatch) -> None:
    assert load(RegistrySettings, lease_seconds=1).lease_seconds == 1


def test_the_agents_settings_need_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTFALL_LOG_LEVEL", "DEBUG")
    assert load(MeshSettings).log_level == "DEBUG"


def test_what_one_process_hands_to_another_is_read_back(environment: pytest.MonkeyPatch) -> None:
    settings = load(RegistrySettings, files_allowed=True)
    handed = as_environment({**settings.__dict__, "unset": None})
    assert handed["FOOTFALL_DATABASE_URL"] == URL
    assert handed["FOOTFALL_FILES_ALLOWED"] == "true"
    assert Path(handed["FOOTFALL_TLS_CA"]).is_absolute()
    assert "FOOTFALL_UNSET" not in handed
    for name, value in handed.items():
        environment.setenv(name, value)
    assert load(RegistrySettings) == settings
