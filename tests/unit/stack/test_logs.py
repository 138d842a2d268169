"""Logs are bounded, and their ends are quick to read."""

from __future__ import annotations

from pathlib import Path

from stack.logs import RotatingLog, follow, tail


def test_a_log_never_takes_more_than_its_files_may(tmp_path: Path) -> None:
    with RotatingLog(tmp_path / "x.log", limit=100, keep=2) as log:
        for number in range(100):
            log.write(f"line {number:04}\n".encode())
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) == 3
    assert max(sizes) <= 110


def test_the_youngest_lines_are_kept_in_order(tmp_path: Path) -> None:
    with RotatingLog(tmp_path / "x.log", limit=50, keep=1) as log:
        for number in range(20):
            log.write(f"line {number:04}\n".encode())
    lines = (tmp_path / "x.log.1").read_text() + (tmp_path / "x.log").read_text()
    assert lines.splitlines() == [f"line {number:04}" for number in range(15, 20)]


def test_a_restart_appends(tmp_path: Path) -> None:
    for word in (b"one\n", b"two\n"):
        with RotatingLog(tmp_path / "x.log") as log:
            log.write(word)
    assert tail(tmp_path / "x.log", 10) == ["one", "two"]


def test_the_tail_of_a_long_log_is_its_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("".join(f"{number} {'x' * 1000}\n" for number in range(500)))
    assert [line.split()[0] for line in tail(path, 3)] == ["497", "498", "499"]
    assert len(tail(path, 1000)) == 500


def test_no_log_has_no_tail(tmp_path: Path) -> None:
    assert tail(tmp_path / "none.log", 5) == []


def test_following_yields_whole_lines_and_a_rotation_loses_none(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    with RotatingLog(path, limit=30, keep=1) as log:
        log.write(b"before\n")
        script = iter([b"aaa\nbb", b"b\nccc" + b"-" * 30 + b"\n", b"ddd\n"])
        lines = follow(path, pause=lambda _: log.write(next(script)))
        assert [next(lines) for _ in range(4)] == ["aaa", "bbb", "ccc" + "-" * 30, "ddd"]
        lines.close()
