"""The supervisor with real processes: it keeps them alive, and leaves none behind."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from mesh.clock import SystemClock
from stack.children import Child, ChildState, Step, python, tethered
from stack.logs import RotatingLog
from stack.supervisor import StartError, Supervisor

ENV = {"PATH": os.environ["PATH"]}


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Waits for a condition of another process, which has no event to wait for."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def child(name: str, folder: Path, body: str, *, after: tuple[str, ...] = (), stop_seconds: float = 5.0) -> Child:
    """A Python child that is ready when it has written a file with its pid in it."""
    mark = folder / f"{name}.ready"
    program = textwrap.dedent(body).replace("MARK", repr(str(mark)))

    async def ready(pid: int) -> bool:
        return mark.exists() and mark.read_text() == str(pid)

    argv = tethered([sys.executable, "-c", "import os, pathlib, signal, sys, time\n" + program])
    return Child(name, argv, ENV, ready, folder, after=after, stop_seconds=stop_seconds)


SERVE = "pathlib.Path(MARK).write_text(str(os.getpid())); print('here I am', flush=True); signal.pause()"


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    made = Supervisor(tmp_path, clock=SystemClock(), rng=random.Random(1))  # noqa: S311
    yield made
    await made.stop()


def sizes_of(folder: Path, pattern: str) -> list[int]:
    return [file.stat().st_size for file in folder.glob(pattern)]


def pid_of(supervisor: Supervisor, name: str) -> int:
    return next(record.pid for record in supervisor.records() if record.name == name and record.pid)


def state_of(supervisor: Supervisor, name: str) -> ChildState:
    return next(record.state for record in supervisor.records() if record.name == name)


async def test_start_returns_when_everything_is_ready_and_each_came_after_what_it_names(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    order: list[str] = []

    def step(name: str, *after: str) -> Step:
        async def run() -> None:
            order.append(name)

        return Step(name, run, after)

    first = child("first", tmp_path, SERVE)
    asserting = f"assert pathlib.Path(MARK.replace('second', 'first')).exists()\n{SERVE}"
    second = child("second", tmp_path, asserting, after=("between",))
    await supervisor.start([step("last", "second"), second, step("between", "first"), first])
    assert order == ["between", "last"]
    assert supervisor.all_serving()
    assert "here I am" in supervisor.log("second").read_text()


async def test_a_child_that_is_killed_comes_back_with_another_pid(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start([child("one", tmp_path, SERVE), child("two", tmp_path, SERVE)])
    one, two = pid_of(supervisor, "one"), pid_of(supervisor, "two")
    os.kill(one, signal.SIGKILL)
    await until(lambda: not alive(one))
    await until(supervisor.all_serving)
    assert pid_of(supervisor, "one") != one
    assert pid_of(supervisor, "two") == two
    record = supervisor.records()[0]
    assert (record.restarts, record.last_exit) == (1, "SIGKILL")


async def test_what_a_killed_child_had_started_is_gone_with_it(supervisor: Supervisor, tmp_path: Path) -> None:
    body = f"""
        import subprocess
        helper = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])
        pathlib.Path(MARK + '.helper').write_text(str(helper.pid))
        {SERVE}
    """
    await supervisor.start([child("one", tmp_path, body)])
    helper = int((tmp_path / "one.ready.helper").read_text())
    os.kill(pid_of(supervisor, "one"), signal.SIGKILL)
    await until(lambda: not alive(helper))


async def test_a_child_that_never_gets_ready_fails_the_start_with_its_last_words(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    bad = child("bad", tmp_path, "sys.exit('FOOTFALL_LISTEN is not set')")
    with pytest.raises(StartError, match=r"(?s)bad ended 5 times \(exit 1\).*FOOTFALL_LISTEN is not set"):
        await supervisor.start([bad])


async def test_a_step_that_fails_ends_the_start_with_its_message(supervisor: Supervisor, tmp_path: Path) -> None:
    async def migrate() -> None:
        raise RuntimeError("the database is newer than this code")

    with pytest.raises(StartError, match="migrations: the database is newer than this code"):
        await supervisor.start([Step("migrations", migrate), child("one", tmp_path, SERVE, after=("migrations",))])
    assert supervisor.records()[0].pid is None


async def test_a_start_that_takes_too_long_names_who_is_late(supervisor: Supervisor, tmp_path: Path) -> None:
    mute = child("mute", tmp_path, "signal.pause()")
    with pytest.raises(StartError, match="not ready after 1 s: mute"):
        await supervisor.start([mute], seconds=1.0)


async def test_stop_goes_backwards_and_lets_each_finish(supervisor: Supervisor, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    body = f"""
        def leave(*_):
            with open({str(ledger)!r}, 'a') as file: file.write(MARK + '\\n')
            sys.exit(0)
        signal.signal(signal.SIGTERM, leave)
        {SERVE}
    """
    await supervisor.start([child("base", tmp_path, body), child("top", tmp_path, body, after=("base",))])
    await supervisor.stop()
    assert [Path(line).stem for line in ledger.read_text().splitlines()] == ["top", "base"]
    assert {record.state for record in supervisor.records()} == {ChildState.STOPPED}


async def test_a_child_that_does_not_listen_is_killed_when_its_time_is_up(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    body = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pathlib.Path(MARK).write_text(str(os.getpid()))
        while True: time.sleep(1)
    """
    await supervisor.start([child("deaf", tmp_path, body, stop_seconds=0.3)])
    pid = pid_of(supervisor, "deaf")
    await supervisor.stop()
    assert not alive(pid)


async def test_a_child_that_stops_being_ready_is_shown_so_and_is_left_alone(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stack.supervisor.CALM_PROBE_SECONDS", 0.02)
    await supervisor.start([child("moody", tmp_path, SERVE)])
    pid = pid_of(supervisor, "moody")
    mark = tmp_path / "moody.ready"
    mark.unlink()
    await until(lambda: state_of(supervisor, "moody") is ChildState.NOT_SERVING)
    mark.write_text(str(pid))
    await until(supervisor.all_serving)
    assert pid_of(supervisor, "moody") == pid


async def test_more_children_may_join_later(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start([child("one", tmp_path, SERVE)])
    await supervisor.start([child("two", tmp_path, SERVE, after=("one",))])
    assert [record.name for record in supervisor.records()] == ["one", "two"]
    assert supervisor.all_serving()


async def test_a_talkative_child_fills_no_disk(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RotatingLog.__init__.__kwdefaults__ or {}, "limit", 100_000)
    body = f"for _ in range(2000): print('x' * 999)\n{SERVE}"
    await supervisor.start([child("chatty", tmp_path, textwrap.dedent(body))])
    sizes = sizes_of(tmp_path, "chatty.log*")
    assert len(sizes) == 3
    assert sum(sizes) < 600_000


SUPERVISING = """
import asyncio, os, pathlib, random, sys
from mesh.clock import SystemClock
from stack.children import Child, tethered
from stack.logs import RotatingLog
from stack.supervisor import Supervisor

folder = pathlib.Path(sys.argv[1])

async def ready(pid):
    return True

async def main():
    supervisor = Supervisor(folder, clock=SystemClock(), rng=random.Random(1))
    argv = tethered([sys.executable, '-c', 'import signal; signal.pause()'])
    await supervisor.start([Child(f'c{n}', argv, dict(os.environ), ready, folder) for n in range(3)])
    partial = folder / 'partial'
    partial.write_text(' '.join(str(record.pid) for record in supervisor.records()))
    partial.rename(folder / 'pids')
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_killed_supervisor_leaves_nothing_running(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SUPERVISING, str(tmp_path)])
    try:
        asyncio.run(until((tmp_path / "pids").exists))
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(alive(pid) for pid in pids)
    finally:
        process.kill()
        process.wait()
    asyncio.run(until(lambda: not any(alive(pid) for pid in pids)))


def test_modules_of_ours_are_run_under_this_interpreter() -> None:
    argv = python("svc_registry", "--check-config")
    assert argv[argv.index("--") + 1 :] == (sys.executable, "-P", "-m", "svc_registry", "--check-config")
