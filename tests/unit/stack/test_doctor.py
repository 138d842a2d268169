"""The doctor names what is wrong, and what to do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from stack import doctor, secrets
from stack.doctor import Finding, Level, Subject
from stack.home import Home
from stack.ports import Ports
from vision import manifest


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    home = Home.at(tmp_path / "home")
    home.make()
    return Subject(home, Ports(), models=None)


def only(findings: Iterable[Finding]) -> Finding:
    (found,) = findings
    return found


@pytest.mark.parametrize(("free_gibibytes", "level"), [(0.5, Level.FAIL), (3, Level.WARN), (50, Level.OK)])
def test_room_is_measured_where_the_state_will_be(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, free_gibibytes: float, level: Level
) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(0, 0, int(free_gibibytes * 1024**3))

    monkeypatch.setattr("shutil.disk_usage", usage)
    found = only(doctor.disk(Subject(Home.at(subject.home.root / "not" / "made"), Ports())))
    assert found.level is level
    assert asked == [subject.home.root]


def test_no_models_folder_is_a_warning_that_says_what_works_without(subject: Subject) -> None:
    found = only(doctor.models(subject))
    assert found.level is Level.WARN
    assert "demo" in found.words


def test_each_missing_model_is_named(subject: Subject, tmp_path: Path) -> None:
    findings = list(doctor.models(Subject(subject.home, Ports(), models=tmp_path)))
    assert [found.level for found in findings] == [Level.FAIL, Level.FAIL]
    for found, entry in zip(findings, manifest.read().defaults(), strict=True):
        assert entry.file in found.words
        assert "make models" in found.remedy


def test_a_wrong_model_is_named_with_both_sums(subject: Subject, tmp_path: Path) -> None:
    for entry in manifest.read().defaults():
        (tmp_path / entry.file).write_bytes(b"not a model")
    findings = list(doctor.models(Subject(subject.home, Ports(), models=tmp_path)))
    for found, entry in zip(findings, manifest.read().defaults(), strict=True):
        assert found.level is Level.FAIL
        assert entry.sha256 in found.words


def test_secrets_that_others_can_read_are_a_failure(subject: Subject) -> None:
    assert only(doctor.secret_files(subject)).level is Level.OK
    secrets.load_or_make(subject.home)
    assert only(doctor.secret_files(subject)).level is Level.OK
    subject.home.secrets.chmod(0o640)
    found = only(doctor.secret_files(subject))
    assert found.level is Level.FAIL
    assert found.remedy.startswith("run `chmod 600")


def certificate(path: Path, ends_in: timedelta) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path.stem)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + ends_in)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(Encoding.PEM))


@pytest.mark.parametrize(
    ("ends_in", "level", "words"),
    [
        (timedelta(days=-1), Level.WARN, "svc-ingest expired"),
        (timedelta(days=3), Level.WARN, "the first to expire is svc-ingest"),
        (timedelta(days=300), Level.OK, "the first to expire is svc-ingest"),
    ],
)
def test_the_certificate_that_ends_first_is_named(
    subject: Subject, ends_in: timedelta, level: Level, words: str
) -> None:
    subject.home.certificates.mkdir()
    certificate(subject.home.certificates / "ca.crt", timedelta(days=3000))
    certificate(subject.home.certificates / "svc-ingest.crt", ends_in)
    found = only(doctor.certificates(subject))
    assert found.level is level
    assert words in found.words


def test_envoy_of_the_wheel_is_found() -> None:
    found = only(doctor.envoy(Subject(Home.at("unused"), Ports())))
    assert (found.level, found.words) == (Level.OK, "Envoy 1.40.0")


@pytest.mark.parametrize(
    ("node", "level"), [(None, Level.WARN), ("v18.1.0", Level.WARN), ("v20.20.2", Level.OK), ("v22.0.0", Level.OK)]
)
def test_an_old_or_absent_node_is_no_failure(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, node: str | None, level: Level
) -> None:
    first_line: Callable[[object], str | None] = lambda _: node  # noqa: E731
    monkeypatch.setattr("shutil.which", lambda _: None if node is None else "/usr/bin/node")
    monkeypatch.setattr(doctor, "_first_line", first_line)
    assert only(doctor.node_version(subject)).level is level


def test_a_folder_that_cannot_be_written_to_is_a_failure(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = only(doctor.disk(subject))
    assert found.level is Level.FAIL
    assert "--home" in found.remedy
