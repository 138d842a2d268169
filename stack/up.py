"""The life of a mesh in this process: prepare, start, stay, stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from mesh.clock import Clock, SystemClock
from stack import doctor, loopback, state
from stack.children import Child, Node
from stack.home import Home
from stack.ports import LOOPBACK, Ports
from stack.state import MeshRecord, MeshState
from stack.supervisor import StartError, Supervisor

Progress = Callable[[str, float], None]
"""Called with a part's name and the seconds since the start, when it is ready for the first time."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    home: Home
    ports: Ports
    database_url: str | None = None
    listen: str = LOOPBACK
    """Where the gateway listens: 0.0.0.0 to be reached from other machines."""
    start_seconds: float = 120.0

    def subject(self) -> doctor.Subject:
        """For the doctor."""
        models = os.environ.get("FOOTFALL_MODELS")
        return doctor.Subject(self.home, self.ports, self.database_url, Path(models) if models else None)


class RefusedError(Exception):
    """The mesh cannot run like this; one finding per line, each with its remedy."""

    def __init__(self, findings: Sequence[doctor.Finding]) -> None:
        """`findings`: the failures."""
        super().__init__("\n".join(f"{found.check}: {found.words}\n  → {found.remedy}" for found in findings))


@dataclass(frozen=True, slots=True)
class Ensemble:
    """What a mesh is made of; stack/plan.py makes the real one, tests a small one."""

    nodes: Sequence[Node]
    late: Callable[[], Sequence[Child]] = tuple
    """Children that may be more at every call: the agents of this home."""
    gateway: str = ""
    """Its URL, for people."""
    closers: Sequence[Callable[[], Awaitable[None]]] = ()
    """Called when everything has stopped."""


Composer = Callable[[Options], Awaitable[Ensemble]]


class Mesh:
    """A mesh that this process supervises, from `start` to `stop`. Keeps the state file true."""

    def __init__(self, options: Options, ensemble: Ensemble, clock: Clock, progress: Progress) -> None:
        """Starts nothing."""
        self._options, self._ensemble, self._clock, self._progress = options, ensemble, clock, progress
        self._seen: set[str] = set()
        self._begin = clock.monotonic()
        self._record = MeshRecord(
            pid=os.getpid(),
            process_start=psutil.Process().create_time(),
            state=MeshState.STARTING,
            start_time=clock.now(),
            gateway=ensemble.gateway,
            port_base=options.ports.base,
        )
        rng = random.Random()  # noqa: S311 - jitter, not a secret
        self.supervisor = Supervisor(options.home.logs, clock=clock, rng=rng, on_change=self._changed)

    @property
    def record(self) -> MeshRecord:
        """What the state file says."""
        return self._record

    async def start(self) -> None:
        """Everything, agents of this home included. Raises StartError."""
        self._write()
        await self.supervisor.start(self._ensemble.nodes, seconds=self._options.start_seconds)
        await self.start_late()
        seconds = round(self._clock.monotonic() - self._begin, 2)
        self._record = replace(self._record, ready_seconds=seconds, state=MeshState.SERVING)
        self._write()

    async def start_late(self) -> list[str]:
        """Starts the late children that do not run yet; their names. Raises StartError."""
        known = {record.name for record in self.supervisor.records()}
        fresh = [child for child in self._ensemble.late() if child.name not in known]
        if fresh:
            await self.supervisor.start(fresh, seconds=self._options.start_seconds)
        return [child.name for child in fresh]

    async def stop(self, problem: str | None = None) -> None:
        """In reverse order. `problem`: why it failed, for `status` and for whoever waits for a detached start."""
        self._record = replace(self._record, state=MeshState.STOPPING, problem=problem)
        self._write()
        await self.supervisor.stop()
        if problem is not None:
            self._record = replace(self._record, state=MeshState.FAILED)
        self._write()

    def _changed(self, name: str) -> None:
        if self._record.state in {MeshState.SERVING, MeshState.DEGRADED}:
            now = MeshState.SERVING if self.supervisor.all_serving() else MeshState.DEGRADED
            self._record = replace(self._record, state=now)
        self._write()
        if name not in self._seen and self.supervisor.is_ready(name):
            self._seen.add(name)
            self._progress(name, self._clock.monotonic() - self._begin)

    def _write(self) -> None:
        self._record = replace(self._record, children=self.supervisor.records())
        # A full disk must not take the mesh down with the file that describes it.
        with contextlib.suppress(OSError):
            state.write(self._options.home, self._record)


@contextlib.asynccontextmanager
async def running(
    options: Options, compose: Composer, progress: Progress, clock: Clock | None = None
) -> AsyncIterator[Mesh]:
    """A mesh that is up inside the block, and gone after it.

    Raises RefusedError, AlreadyRunningError, StartError, and what `compose` raises.
    """
    options.home.make()
    with state.Lock(options.home):
        loopback.switch_on()
        failures = doctor.failures(doctor.examine(options.subject(), doctor.CHEAP))
        if failures:
            raise RefusedError(failures)
        ensemble = await compose(options)
        mesh = Mesh(options, ensemble, clock or SystemClock(), progress)
        problem = None
        try:
            await mesh.start()
            yield mesh
        except StartError as error:
            problem = str(error)
            raise
        finally:
            await mesh.stop(problem)
            for close in ensemble.closers:
                await close()


def interrupted() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM from now on; a second one ends this process and its children at once."""
    stop = asyncio.Event()

    def interrupt() -> None:
        if stop.is_set():
            os._exit(128 + signal.SIGINT)  # the kernel takes the children along (stack/tether.py)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    return stop


async def stay(
    options: Options, compose: Composer, progress: Progress, on_up: Callable[[Mesh], None] = lambda _: None
) -> None:
    """Starts, and stays until SIGINT or SIGTERM; a second one ends everything at once. SIGHUP starts new agents."""
    stop, reload = interrupted(), asyncio.Event()

    async def live() -> None:
        async with running(options, compose, progress) as mesh:
            on_up(mesh)
            while True:
                await reload.wait()
                reload.clear()
                with contextlib.suppress(StartError):  # `status` and the log show it; the others go on
                    await mesh.start_late()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
    life, stopping = asyncio.create_task(live()), asyncio.create_task(stop.wait())
    await asyncio.wait({life, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not life.done():
        life.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await life
