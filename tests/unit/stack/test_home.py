"""The state folder."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from stack.home import Home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_ours_alone_can_be_entered_by_us_alone(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "deep" / "home")
    home.make()
    for folder in (home.gateway, home.images, home.vectors, home.agents, home.logs, home.run):
        assert mode(folder) == 0o700, folder


@pytest.mark.parametrize(("uid", "expected"), [(0, 0o711), (1000, 0o700)])
def test_only_root_lets_the_database_user_pass_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, expected: int
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: uid)
    home = Home.at(tmp_path / "home")
    home.make()
    assert mode(home.root) == expected


def test_making_it_again_changes_nothing(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.make()
    (home.logs / "svc-ingest.log").write_text("kept")
    home.make()
    assert (home.logs / "svc-ingest.log").read_text() == "kept"


def test_a_relative_path_does_not_move_with_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Home.at("here").root == tmp_path / "here"
