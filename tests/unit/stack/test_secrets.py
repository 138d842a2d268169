"""Secrets are made once, kept to ourselves, and never shown."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from schema.bootstrap import login_roles
from stack import secrets
from stack.home import Home
from stack.secrets import Secrets, UnsafeSecretsError


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path)
    made.make()
    return made


def test_they_are_made_once(home: Home) -> None:
    assert secrets.load(home) is None
    first = secrets.load_or_make(home)
    assert secrets.load_or_make(home) == first == secrets.load(home)


def test_two_homes_share_none(tmp_path: Path) -> None:
    one, other = Secrets.make(), Secrets.make()
    assert one.master_keys != other.master_keys
    assert not set(one.roles.values()) & set(other.roles.values())


def test_nobody_else_may_read_the_file(home: Home) -> None:
    secrets.load_or_make(home)
    assert stat.S_IMODE(home.secrets.stat().st_mode) == 0o600


def test_a_file_that_others_can_read_is_refused_with_the_command_that_mends_it(home: Home) -> None:
    secrets.load_or_make(home)
    home.secrets.chmod(0o644)
    with pytest.raises(UnsafeSecretsError, match=rf"mode 0644.*chmod 600 {home.secrets}"):
        secrets.load(home)


def test_a_damaged_file_is_never_replaced_by_new_secrets(home: Home) -> None:
    secrets.load_or_make(home)
    home.secrets.write_text('{"master_keys": "k1:')
    with pytest.raises(UnsafeSecretsError, match="damaged"):
        secrets.load_or_make(home)
    assert home.secrets.read_text() == '{"master_keys": "k1:'


def test_a_file_that_lacks_a_role_is_damaged(home: Home) -> None:
    secrets.load_or_make(home)
    content = json.loads(home.secrets.read_text())
    del content["roles"]["svc_ingest"]
    home.secrets.write_text(json.dumps(content))
    with pytest.raises(UnsafeSecretsError, match="svc_ingest"):
        secrets.load(home)


def test_printing_them_shows_none() -> None:
    made = Secrets.make()
    shown = f"{made!r} {made}"
    assert made.superuser not in shown
    assert made.master_keys not in shown
    assert not any(password in shown for password in made.roles.values())


def test_the_master_key_is_256_bits_with_an_id() -> None:
    name, _, key = Secrets.make().master_keys.partition(":")
    assert name
    assert len(base64.b64decode(key, validate=True)) == 32


def test_every_role_that_logs_in_has_a_password() -> None:
    assert set(secrets.ROLES) == set(login_roles())
