"""The agent as its operator runs it: a process of its own, TLS to the gateway, signals, and sudden death."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from footfall_messages.footfall.registry import v1 as registry

from stack.certificates import Authority, issue, make_ca
from stack.demo.films import write_films
from stack.demo.scenario import Scenario, scenario
from tests.support.ports import free_port
from tests.support.scripted_mesh import API_KEY, ScriptedMesh, lease, watched
from tests.support.waiting import until

STORY = scenario(datetime(2026, 11, 18, 20, tzinfo=UTC))
RECORDING = STORY.recordings[0]
PASSAGES = len(RECORDING.film.passages)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (film,) = write_films(Scenario((RECORDING,), STORY.truth), tmp_path_factory.mktemp("films"))
    return film.parent


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture
async def mesh(authority: Authority) -> AsyncIterator[ScriptedMesh]:
    issued = issue(authority, "gateway")
    async with ScriptedMesh().serving(tls=(issued.key.read_bytes(), issued.cert.read_bytes())) as serving:
        yield serving


@contextmanager
def agent(
    mesh: ScriptedMesh, authority: Authority, films: Path, folder: Path, **more: str
) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {
        "PATH": os.environ["PATH"],
        "FOOTFALL_GATEWAY": f"localhost:{mesh.port}",
        "FOOTFALL_TLS_CA": str(authority.file),
        "FOOTFALL_API_KEY": API_KEY,
        "FOOTFALL_ALLOW_FILES": str(films),
        "FOOTFALL_SPOOL": str(folder / "spool"),
        "FOOTFALL_RECORDED_SPEED": "0",
        **more,
    }
    with (folder / "agent.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "edge_agent"], env=environment, stderr=log, stdout=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


async def test_an_agent_that_was_killed_sends_after_its_restart_what_it_had_spooled(
    mesh: ScriptedMesh, authority: Authority, films: Path, tmp_path: Path
) -> None:
    mesh.intake.credit = 0
    mesh.fleet.leases = [lease(films.as_uri().replace("file:", "folder:"))]
    with agent(mesh, authority, films, tmp_path) as process:
        await until(lambda: any(beat.spool_events == PASSAGES for beat in mesh.fleet.said("heartbeat")))
        process.send_signal(signal.SIGKILL)
    assert mesh.intake.first == {}

    mesh.intake.credit, mesh.fleet.leases = 64, []
    with agent(mesh, authority, films, tmp_path):
        await until(lambda: len(mesh.intake.first) == PASSAGES)
    first, second = mesh.fleet.said("hello")[:2]
    assert first.boot_id != second.boot_id


async def test_an_agent_that_is_asked_to_stop_gives_back_its_leases_and_says_goodbye_with_0(
    mesh: ScriptedMesh, authority: Authority, films: Path, tmp_path: Path
) -> None:
    mesh.fleet.leases = [lease(films.as_uri().replace("file:", "folder:"))]
    with agent(mesh, authority, films, tmp_path) as process:
        await until(lambda: len(mesh.intake.first) == PASSAGES)
        process.terminate()
        assert await asyncio.to_thread(process.wait, 30) == 0
    assert len(mesh.fleet.said("lease_released")) == 1


async def test_a_dismissed_agent_says_so_by_its_exit_code(
    mesh: ScriptedMesh, authority: Authority, films: Path, tmp_path: Path
) -> None:
    with agent(mesh, authority, films, tmp_path) as process:
        await until(lambda: mesh.fleet.said("heartbeat"))
        mesh.fleet.tell(registry.ConnectResponse(go_away=registry.GoAway(reason=registry.GoAwayReason.REMOVED)))
        assert await asyncio.to_thread(process.wait, 30) == 78


async def test_a_second_agent_on_the_same_spool_does_not_start(
    mesh: ScriptedMesh, authority: Authority, films: Path, tmp_path: Path
) -> None:
    with agent(mesh, authority, films, tmp_path):
        await until(lambda: mesh.fleet.said("heartbeat"))
        with agent(mesh, authority, films, tmp_path) as second:
            assert await asyncio.to_thread(second.wait, 30) == 2
    assert b"another agent is using this spool folder" in (tmp_path / "agent.log").read_bytes()


async def test_health_and_metrics_tell_what_the_spool_and_the_session_know_and_logs_hold_no_secret(
    mesh: ScriptedMesh, authority: Authority, films: Path, tmp_path: Path
) -> None:
    camera = lease("http://127.0.0.1:9/video.mjpg")
    assert camera.source
    camera.source.username, camera.source.password = "eye", "never-in-a-log"
    mesh.fleet.leases = [camera, lease(films.as_uri().replace("file:", "folder:"))]
    port = free_port()
    with agent(mesh, authority, films, tmp_path, FOOTFALL_HEALTH_LISTEN=f"127.0.0.1:{port}"):
        await until(lambda: len(mesh.intake.first) == PASSAGES)
        await until(lambda: registry.CameraActivity.FAILING in [one.activity for one in watched(mesh)])
        await until(lambda: f'events_total{{outcome="accepted"}} {PASSAGES}.0' in _get(port, "/metrics"))
        assert _get(port, "/healthz") == "ok\n"
        metrics = _get(port, "/metrics")
    assert "footfall_agent_spool_events 0.0" in metrics
    said = (tmp_path / "agent.log").read_text()
    assert all(json.loads(line)["service"] == "edge_agent" for line in said.splitlines() if line.startswith("{"))
    assert "never-in-a-log" not in said + metrics
    assert API_KEY not in said + metrics


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return str(answer.read().decode())
