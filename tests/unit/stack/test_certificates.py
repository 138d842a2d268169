import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from stack.certificates import LIFE, Authority, issue, make_ca

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_ca(tmp_path / "certificates", NOW)


def _read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_peers_name_is_the_first_dns_name_of_its_certificate(authority: Authority) -> None:
    certificate = _read(issue(authority, "svc-ingest", now=NOW).cert)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["svc-ingest", "localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    certificate.verify_directly_issued_by(authority.certificate)


def test_what_was_made_is_kept(authority: Authority) -> None:
    before = issue(authority, "gateway", now=NOW).cert.read_bytes()
    again = make_ca(authority.folder, NOW)
    assert again.certificate == authority.certificate
    assert issue(again, "gateway", now=NOW).cert.read_bytes() == before


def test_a_certificate_is_renewed_when_a_month_is_left(authority: Authority) -> None:
    first = issue(authority, "gateway", now=NOW).cert.read_bytes()
    assert issue(authority, "gateway", now=NOW + LIFE - timedelta(days=30, seconds=1)).cert.read_bytes() == first
    assert issue(authority, "gateway", now=NOW + LIFE - timedelta(days=30)).cert.read_bytes() != first


def test_a_new_authority_signs_everything_anew(authority: Authority) -> None:
    first = issue(authority, "gateway", now=NOW).cert.read_bytes()
    newer = make_ca(authority.folder, NOW + timedelta(days=3650 - 364))
    assert newer.certificate != authority.certificate
    renewed = issue(newer, "gateway", now=NOW)
    assert renewed.cert.read_bytes() != first
    _read(renewed.cert).verify_directly_issued_by(newer.certificate)


def test_further_names_make_a_new_certificate(authority: Authority) -> None:
    first = issue(authority, "gateway", now=NOW).cert.read_bytes()
    second = issue(authority, "gateway", names=("shop.example", "192.0.2.7"), now=NOW)
    assert second.cert.read_bytes() != first
    names = _read(second.cert).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "shop.example" in names.get_values_for_type(x509.DNSName)


@pytest.mark.parametrize("damaged", ["gateway.key", "gateway.crt"])
def test_a_damaged_file_is_made_again(authority: Authority, damaged: str) -> None:
    issue(authority, "gateway", now=NOW)
    (authority.folder / damaged).write_text("half a")
    _read(issue(authority, "gateway", now=NOW).cert)


def test_keys_are_private(authority: Authority) -> None:
    tls = issue(authority, "gateway", now=NOW)
    assert stat.S_IMODE(tls.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700


def test_only_the_authority_signs(authority: Authority) -> None:
    certificate = _read(issue(authority, "gateway", now=NOW).cert)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
