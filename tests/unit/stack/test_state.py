"""What the supervisor writes down is believed only while it lives."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from stack import state
from stack.children import ChildState
from stack.home import Home
from stack.state import AlreadyRunningError, ChildRecord, Lock, MeshRecord, MeshState

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path)
    made.make()
    return made


@pytest.fixture
def record() -> MeshRecord:
    children = (
        ChildRecord("postgres", ChildState.SERVING, 42, 1, NOON, "SIGKILL"),
        ChildRecord("gateway", ChildState.WAITING),
    )
    return MeshRecord(
        pid=os.getpid(),
        process_start=psutil.Process().create_time(),
        state=MeshState.SERVING,
        start_time=NOON,
        ready_seconds=3.5,
        gateway="https://localhost:8443",
        port_base=8400,
        children=children,
    )


def test_what_is_read_is_what_was_written(home: Home, record: MeshRecord) -> None:
    state.write(home, record)
    assert state.read(home) == record


def test_a_supervisor_with_its_lock_is_alive(home: Home, record: MeshRecord) -> None:
    state.write(home, record)
    with Lock(home):
        assert state.living(home) == record


def test_a_record_without_the_lock_is_of_the_past(home: Home, record: MeshRecord) -> None:
    state.write(home, record)
    assert state.living(home) is None
    with Lock(home):
        """It was held, and let go of."""
    assert state.living(home) is None


def test_a_later_process_with_the_same_pid_is_another(home: Home, record: MeshRecord) -> None:
    state.write(home, replace(record, process_start=record.process_start - 60))
    with Lock(home):
        assert state.living(home) is None


def test_two_supervisors_cannot_have_one_home(home: Home, record: MeshRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "_LOCK_PATIENCE_SECONDS", 0.05)
    state.write(home, record)
    with Lock(home), pytest.raises(AlreadyRunningError, match=rf"runs already \(pid {os.getpid()}\)"), Lock(home):
        pytest.fail("the second one has it, too")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_file_that_makes_no_sense_says_nothing(home: Home, content: str) -> None:
    home.state.write_text(content)
    assert state.read(home) is None
