"""`up`, `status`, `down`, as processes: a small mesh of dummy children stands in for the real one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from mesh.clock import SystemClock
from stack import control, doctor, state
from stack.control import ControlError
from stack.doctor import Level, Subject
from stack.home import Home
from stack.ports import HIGHEST_BASE, Ports, holder, is_free
from stack.state import MeshRecord, MeshState

SMALL_MESH = """
import asyncio, os, sys
from pathlib import Path
from stack.children import Child, Step, tethered
from stack.home import Home
from stack.ports import Ports
from stack.up import Ensemble, Options, stay

home, base, trouble = Home.at(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""

async def ready(pid):
    return True

def child(name, after=()):
    argv = tethered([sys.executable, "-c", "import signal; signal.pause()"])
    return Child(name, argv, dict(os.environ), ready, home.root, after=after)

async def compose(options):
    async def prepare():
        if trouble:
            raise RuntimeError(trouble)
    late = lambda: [child(path.stem) for path in sorted(home.agents.glob("*.json"))]
    nodes = [Step("prepare", prepare), child("db"), child("web", ("db",))]
    return Ensemble(nodes, late, f"https://localhost:{base + 43}")

from stack.__main__ import EXPECTED
try:
    asyncio.run(stay(Options(home, Ports(base)), compose, lambda name, seconds: None))
except EXPECTED as error:
    sys.exit(str(error))
"""


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Waits for a condition of other processes."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@pytest.fixture
def base() -> int:
    """A base of which every port is free now."""
    for _ in range(200):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            found = int(probe.getsockname()[1])
        if found <= HIGHEST_BASE and all(is_free(port) for port in Ports(found).all().values()):
            return found
    raise AssertionError("no free range of ports")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home.at(tmp_path / "home")
    yield made
    with contextlib.suppress(ControlError):
        control.down(made, seconds=10)


def detach(home: Home, base: int, trouble: str = "") -> MeshRecord:
    argv = [sys.executable, "-c", SMALL_MESH, str(home.root), str(base), *([trouble] if trouble else [])]
    return control.detach(home, argv, {}, lambda _: None)


def stack(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "stack", *arguments], capture_output=True, text=True, check=False)


def family(home: Home) -> list[int]:
    record = state.living(home)
    assert record is not None
    return [record.pid, *(child.pid for child in record.children if child.pid)]


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def test_a_detached_start_returns_when_all_serves_and_down_stops_it(home: Home, base: int) -> None:
    record = detach(home, base)
    assert record.state is MeshState.SERVING
    pids = family(home)
    assert len(pids) == 3

    shown = stack("status", "--home", str(home.root))
    assert shown.returncode == 0
    assert "web" in shown.stdout
    found = json.loads(stack("status", "--home", str(home.root), "--json").stdout)
    assert [row["name"] for row in found["rows"]] == ["supervisor", "db", "web"]
    assert {row["state"] for row in found["rows"]} == {"SERVING"}
    assert found["memory_bytes"] > 1_000_000

    stopped = stack("down", "--home", str(home.root))
    assert (stopped.returncode, stopped.stdout) == (0, "stopped\n")
    until(lambda: gone(pids))
    assert stack("status", "--home", str(home.root)).returncode == 3
    assert stack("down", "--home", str(home.root)).stdout.startswith("nothing runs")


def test_a_second_start_in_the_same_home_is_refused(home: Home, base: int) -> None:
    record = detach(home, base)
    with pytest.raises(ControlError, match=rf"runs already \(pid {record.pid}\)"):
        detach(home, base)
    assert state.living(home) is not None


def test_a_start_that_fails_says_why_and_leaves_nothing(home: Home, base: int) -> None:
    with pytest.raises(ControlError, match="prepare: the moon is full"):
        detach(home, base, "the moon is full")
    assert state.living(home) is None
    shown = stack("status", "--home", str(home.root))
    assert shown.returncode == 3
    assert "the moon is full" in shown.stdout


def test_a_taken_port_is_named_with_its_holder_before_anything_starts(home: Home, base: int) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", base + 2))
        squatter.listen()
        with pytest.raises(ControlError, match=rf"port {base + 2} \(svc-ingest\) is taken by .*pid {os.getpid()}"):
            detach(home, base)
    assert state.read(home) is None


def test_the_doctor_knows_its_own_mesh_from_a_stranger(home: Home, base: int) -> None:
    (found,) = doctor.ports(Subject(home, Ports(base)))
    assert found.level is Level.OK
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", base + 43))
        squatter.listen()
        (found,) = doctor.ports(Subject(home, Ports(base)))
        assert found.level is Level.FAIL
        assert "--port-base" in found.remedy
        assert holder(base + 43).pid == os.getpid()
    detach(home, base)
    (found,) = doctor.ports(Subject(home, Ports(base)))
    assert found.words.startswith("held by this mesh")


def test_the_supervisors_death_is_everybodys(home: Home, base: int) -> None:
    detach(home, base)
    pids = family(home)
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: gone(pids))
    assert state.living(home) is None
    assert detach(home, base).state is MeshState.SERVING


def test_a_killed_child_is_back_and_the_mesh_says_so(home: Home, base: int) -> None:
    detach(home, base)
    _, _, web = family(home)
    os.kill(web, signal.SIGKILL)

    def recovered() -> bool:
        found = control.status(home, SystemClock())
        return found is not None and found.state is MeshState.SERVING and found.rows[2].restarts == 1

    until(recovered)
    found = control.status(home, SystemClock())
    assert found is not None
    assert found.rows[2].pid != web
    assert found.rows[2].last_exit == "SIGKILL"


def test_an_agent_that_is_added_while_it_runs_is_started(home: Home, base: int) -> None:
    detach(home, base)
    (home.agents / "till.json").write_text("{}")
    assert control.reload(home)

    def joined() -> bool:
        record = state.living(home)
        return record is not None and [child.name for child in record.children] == ["db", "web", "till"]

    until(joined)


def test_logs_of_an_unknown_child_name_those_that_there_are(home: Home, base: int) -> None:
    detach(home, base)
    asked = stack("logs", "nobody", "--home", str(home.root))
    assert asked.returncode == 1
    assert "db, supervisor, web" in asked.stderr
