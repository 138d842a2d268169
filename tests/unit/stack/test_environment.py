"""What each child is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.settings import ServiceSettings, load
from stack import secrets
from stack.environment import ROLE_OF, Database, Surroundings
from stack.home import Home
from stack.ports import SERVICES, Ports
from stack.secrets import Secrets


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    home = Home.at(tmp_path)
    environ = {
        "PATH": "/bin",
        "FOOTFALL_LOG_LEVEL": "DEBUG",
        "AWS_SECRET_ACCESS_KEY": "x",
        "FOOTFALL_LISTEN": "stray:1",
    }
    return Surroundings(home, Ports(), Secrets.make(), Database.embedded("postgresql://unused", 8432), environ=environ)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_read_its_settings_from_it(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    around.home.certificates.mkdir()
    tls = around.tls(f"svc-{name}")
    for file in (tls.ca, tls.cert, tls.key):
        file.touch()
    for variable, value in around.service(name).items():
        monkeypatch.setenv(variable, value)
    settings = load(ServiceSettings)
    assert settings.listen == f"127.0.0.1:{Ports().service(name)}"
    assert settings.log_level == "DEBUG"
    url = settings.database_url.get_secret_value()
    assert url == f"postgresql://{ROLE_OF[name]}:{around.secrets.roles[ROLE_OF[name]]}@127.0.0.1:8432/footfall"


def test_a_service_has_no_other_services_password(around: Surroundings) -> None:
    values = "\n".join(around.service("ingest").values())
    others = [password for role, password in around.secrets.roles.items() if role != "svc_ingest"]
    assert not any(password in values for password in (*others, around.secrets.superuser))


def test_nothing_of_the_callers_environment_comes_along_unasked(around: Surroundings) -> None:
    environment = around.service("registry")
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    assert environment["FOOTFALL_LISTEN"] == "127.0.0.1:8401"


def test_the_operators_database_keeps_its_host_and_options() -> None:
    database = Database.named("postgresql://boss:s3cret@db.shop.example:6432/postgres?sslmode=require")
    url = database.url("svc_ingest", "p@ss/word")
    assert url == "postgresql://svc_ingest:p%40ss%2Fword@db.shop.example:6432/footfall?sslmode=require"


@pytest.mark.parametrize("url", ["mysql://x@y/z", "nonsense", "postgresql:///socket"])
def test_what_is_no_postgres_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="--database-url must be postgresql://"):
        Database.named(url)


def test_roles_have_the_names_of_the_passwords() -> None:
    assert set(ROLE_OF.values()) < set(secrets.ROLES)
    assert tuple(ROLE_OF) == SERVICES
