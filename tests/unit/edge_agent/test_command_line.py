"""The command line: what an operator sees before anything starts."""

import pytest

from edge_agent.__main__ import EXIT_CONFIGURATION, main


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FOOTFALL_GATEWAY", "FOOTFALL_API_KEY", "FOOTFALL_SPOOL", "FOOTFALL_MODELS"):
        monkeypatch.delenv(name, raising=False)


def test_what_is_missing_is_named_and_nothing_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == EXIT_CONFIGURATION
    said = capsys.readouterr().err
    for name in ("FOOTFALL_GATEWAY", "FOOTFALL_API_KEY", "FOOTFALL_SPOOL"):
        assert name in said


def test_the_check_shows_the_settings_and_hides_the_key(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    options = ["--gateway", "shop:8443", "--api-key", "not-to-be-seen-123", "--spool", str(tmp_path)]
    assert main([*options, "--check-config"]) == 0
    said = capsys.readouterr()
    assert "shop:8443" in said.out
    assert "demo@1" in said.out
    assert "not-to-be-seen" not in said.out + said.err


def test_a_folder_without_weights_is_named(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    options = ["--gateway", "shop:8443", "--api-key", "k", "--spool", str(tmp_path), "--models", str(tmp_path)]
    assert main([*options, "--check-config"]) == EXIT_CONFIGURATION
    assert "yunet" in capsys.readouterr().err
