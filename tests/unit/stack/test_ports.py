"""Every port has a place, and several meshes fit on one machine."""

from __future__ import annotations

import pytest

from stack.ports import HIGHEST_BASE, Ports


def test_the_documented_ports() -> None:
    ports = Ports()
    assert ports.all() == {
        "svc-registry": 8401,
        "svc-ingest": 8402,
        "svc-identity": 8403,
        "svc-reports": 8404,
        "svc-registry metrics": 8411,
        "svc-ingest metrics": 8412,
        "svc-identity metrics": 8413,
        "svc-reports metrics": 8414,
        "gateway": 8443,
        "gateway admin": 8409,
        "gateway keys": 8408,
        "postgres": 8432,
    }


def test_an_operators_database_needs_no_port_here() -> None:
    assert "postgres" not in Ports().all(embedded_database=False)


def test_another_base_shifts_them_all() -> None:
    assert {port - 9500 for port in Ports(9500).all().values()} == {port - 8400 for port in Ports().all().values()}


@pytest.mark.parametrize("base", [0, 80, 1023, HIGHEST_BASE + 1, 70_000])
def test_a_base_without_room_is_refused(base: int) -> None:
    with pytest.raises(ValueError, match="--port-base must lie between"):
        Ports(base)


def test_the_highest_base_still_has_every_port() -> None:
    assert max(Ports(HIGHEST_BASE).all().values()) == 65535
