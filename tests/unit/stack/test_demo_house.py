"""The demo empties its own folder, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack.demo import house
from stack.demo.house import NotADemoError
from stack.home import Home


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("precious")
    with pytest.raises(NotADemoError, match="would be emptied"):
        house.clear(Home.at(tmp_path))
    assert (tmp_path / "secrets.json").read_text() == "precious"


def test_a_second_demo_begins_anew_and_keeps_the_films(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "demo")
    house.clear(home)
    home.make()
    (home.secrets).write_text("old")
    film = house.films_of(home) / "cache" / "one.mp4"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"drawn")
    house.clear(home)
    assert not home.secrets.exists()
    assert not home.logs.exists()
    assert film.read_bytes() == b"drawn"


def test_a_cluster_that_lies_elsewhere_is_removed_with_it(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "demo")
    house.clear(home)
    shelter = tmp_path / "shelter"
    (shelter / "data").mkdir(parents=True)
    home.postgres.mkdir()
    (home.postgres / "elsewhere").symlink_to(shelter)
    house.clear(home)
    assert not shelter.exists()
