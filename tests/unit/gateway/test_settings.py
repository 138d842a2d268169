"""The gateway's settings are refused whole, and by name, when one of them makes no sense."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.settings import GatewaySettings


def test_replicas_come_from_the_environment_as_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTFALL_GATEWAY_INGEST", '["ingest-0.ingest:8402", "ingest-1.ingest:8402"]')

    assert GatewaySettings().targets("ingest") == ("ingest-0.ingest:8402", "ingest-1.ingest:8402")


@pytest.mark.parametrize("target", ["localhost", "localhost:", ":8401", "localhost:http", "localhost:70000", "h:0"])
def test_a_replica_is_host_and_port(target: str) -> None:
    with pytest.raises(ValidationError, match="is not host:port"):
        GatewaySettings(registry=(target,))


def test_a_key_is_not_kept_longer_than_the_registry_announces_its_successor() -> None:
    with pytest.raises(ValidationError, match="keys_cache_seconds"):
        GatewaySettings(keys_cache_seconds=61)


def test_they_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        GatewaySettings().port = 1
