"""Keeps children alive: starts them in order, restarts what ends, stops them in reverse.

One asyncio task per child goes through its whole life. Spawning happens in the event loop's thread, which must be the
main one: the kernel ties a child's life to the thread that made it (stack/tether.py).

Ends are told apart by who wanted them: a child that ends by itself is started again after a backoff, for ever once the
mesh has been up; before that, a child that ends several times in a row without having been ready fails the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mesh.clock import Clock
from stack.children import Child, ChildState, Node, Step, backoff_seconds, in_order
from stack.logs import RotatingLog, tail
from stack.state import ChildRecord

ENDS_BEFORE_GIVING_UP = 5
STEADY_SECONDS = 10.0
"""A child that served this long has recovered: the next end counts as its first."""
EAGER_PROBE_SECONDS = 0.1
CALM_PROBE_SECONDS = 3.0

_READ_BYTES = 64 * 1024
_DRAIN_SECONDS = 1.0
_KILL_SECONDS = 5.0
_WORDS_OF_A_LOG = 12


class StartError(Exception):
    """The mesh could not start; the message names the part and quotes its last words."""


@dataclass
class _Kept:
    """What is known of one child now."""

    spec: Child
    state: ChildState = ChildState.STOPPED
    process: asyncio.subprocess.Process | None = None
    stopping: bool = False
    restarts: int = 0
    failures: int = 0
    start_time: datetime | None = None
    serving_since: float | None = None
    last_exit: str | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None


class Supervisor:
    """Runs nodes; `on_change(name)` is called after every change of a child or the end of a step."""

    def __init__(
        self,
        logs: Path,
        *,
        clock: Clock,
        rng: random.Random,
        on_change: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`logs`: an existing folder."""
        self._logs, self._clock, self._rng, self._on_change = logs, clock, rng, on_change
        self._nodes: list[Node] = []
        self._kept: dict[str, _Kept] = {}
        self._ready: dict[str, asyncio.Event] = {}
        self._steps: list[asyncio.Task[None]] = []
        self._trouble: asyncio.Future[str] | None = None
        self._stopping = False

    # -- what others ask ------------------------------------------------------------------------------------------

    def records(self) -> tuple[ChildRecord, ...]:
        """The children in the order in which they were named."""
        return tuple(
            ChildRecord(kept.spec.name, kept.state, kept.pid, kept.restarts, kept.start_time, kept.last_exit)
            for kept in self._kept.values()
        )

    def is_ready(self, name: str) -> bool:
        """Whether a child has been ready once, or a step is done."""
        return name in self._ready and self._ready[name].is_set()

    def all_serving(self) -> bool:
        """Whether every child runs and is ready."""
        return all(kept.state is ChildState.SERVING for kept in self._kept.values())

    def log(self, name: str) -> Path:
        """Where a child's output goes."""
        return self._logs / f"{name}.log"

    # -- start ----------------------------------------------------------------------------------------------------

    async def start(self, nodes: Sequence[Node], *, seconds: float = 120.0) -> None:
        """Starts what is new, each after what it names, and returns when all of it is ready.

        May be called again with more nodes. Raises StartError when a step fails, a child ends again and again, or time
        is up; what runs by then goes on: call `stop`.
        """
        in_order([*self._nodes, *nodes])
        trouble = self._trouble = asyncio.get_running_loop().create_future()
        self._nodes += nodes
        self._ready |= {node.name: asyncio.Event() for node in nodes}
        for node in nodes:
            if isinstance(node, Step):
                self._steps.append(asyncio.create_task(self._do(node), name=f"step {node.name}"))
            else:
                kept = self._kept[node.name] = _Kept(node, ready=self._ready[node.name])
                kept.task = asyncio.create_task(self._keep(kept), name=f"keep {node.name}")
        everything = asyncio.ensure_future(asyncio.gather(*(self._ready[node.name].wait() for node in nodes)))
        try:
            await asyncio.wait({everything, trouble}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if trouble.done():
                raise StartError(trouble.result())
            if not everything.done():
                raise StartError(self._too_slow(nodes, seconds))
        finally:
            self._trouble = None
            trouble.cancel()
            everything.cancel()
            await asyncio.gather(everything, return_exceptions=True)

    def _too_slow(self, nodes: Sequence[Node], seconds: float) -> str:
        late = [node for node in nodes if not self._ready[node.name].is_set()]
        names = ", ".join(node.name for node in late)
        # The first of them is what the others wait for.
        return f"not ready after {seconds:.0f} s: {names}\n{self._last_words(late[0].name)}"

    def _last_words(self, name: str) -> str:
        lines = tail(self.log(name), _WORDS_OF_A_LOG)
        return "\n".join([f"the last lines of {self.log(name)}:", *(f"  {line[:400]}" for line in lines)])

    async def _come_after(self, names: Sequence[str]) -> None:
        for name in names:
            await self._ready[name].wait()

    async def _do(self, step: Step) -> None:
        await self._come_after(step.after)
        try:
            await step.run()
        except Exception as error:  # noqa: BLE001 - whatever ended it, the person at the terminal must read it
            self._fail(f"{step.name}: {str(error) or type(error).__name__}")
            return
        self._ready[step.name].set()
        self._on_change(step.name)

    def _fail(self, words: str) -> None:
        if self._trouble is not None and not self._trouble.done():
            self._trouble.set_result(words)

    # -- a child's life -------------------------------------------------------------------------------------------

    async def _keep(self, kept: _Kept) -> None:
        self._set(kept, ChildState.WAITING)
        await self._come_after(kept.spec.after)
        while True:
            try:
                await self._live(kept)
            except OSError as error:  # no memory, no descriptors: may pass
                kept.last_exit = f"not started: {error}"
            if kept.stopping:
                return
            kept.failures += 1
            if not kept.ready.is_set() and kept.failures >= ENDS_BEFORE_GIVING_UP:
                words = f"{kept.spec.name} ended {kept.failures} times ({kept.last_exit}) before it was ready"
                self._fail(f"{words}\n{self._last_words(kept.spec.name)}")
            self._set(kept, ChildState.BACKOFF)
            await self._clock.sleep(backoff_seconds(kept.failures, self._rng))
            kept.restarts += 1

    async def _live(self, kept: _Kept) -> None:
        """From one spawn to the end of the process, and of whatever it left behind in its process group."""
        spec = kept.spec
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                env=dict(spec.env),
                cwd=spec.cwd,
                # A session of its own: Ctrl-C at the terminal reaches the supervisor alone, which then stops in order.
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        kept.process, kept.start_time = process, self._clock.now()
        self._set(kept, ChildState.STARTING)
        pump = asyncio.create_task(self._pump(reading, self.log(spec.name)), name=f"log {spec.name}")
        probe = asyncio.create_task(self._probe(kept, process.pid), name=f"probe {spec.name}")
        try:
            kept.last_exit = _describe(await process.wait())
        finally:
            probe.cancel()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            # A grandchild in a session of its own may hold the pipe for longer than we care to listen.
            await asyncio.wait({pump}, timeout=_DRAIN_SECONDS)
            pump.cancel()
            await asyncio.gather(probe, pump, return_exceptions=True)
        served = self._clock.monotonic() - kept.serving_since if kept.serving_since is not None else 0.0
        kept.serving_since = None
        if served >= STEADY_SECONDS:
            kept.failures = 0

    async def _pump(self, descriptor: int, path: Path) -> None:
        reader = asyncio.StreamReader()
        pipe = os.fdopen(descriptor, "rb", buffering=0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            with RotatingLog(path) as log:
                while data := await reader.read(_READ_BYTES):
                    # A full disk costs log lines, never the mesh.
                    with contextlib.suppress(OSError):
                        log.write(data)
        finally:
            transport.close()

    async def _probe(self, kept: _Kept, pid: int) -> None:
        while True:
            if await kept.spec.ready(pid):
                if kept.state is not ChildState.SERVING:
                    kept.serving_since = self._clock.monotonic()
                    kept.ready.set()
                    self._set(kept, ChildState.SERVING)
                await self._clock.sleep(CALM_PROBE_SECONDS)
            else:
                if kept.state is ChildState.SERVING:
                    self._set(kept, ChildState.NOT_SERVING)
                await self._clock.sleep(EAGER_PROBE_SECONDS)

    def _set(self, kept: _Kept, state: ChildState) -> None:
        kept.state = state
        self._on_change(kept.spec.name)

    # -- stop -----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Stops everything in the reverse of the order of starting, each within its own time, then by force."""
        self._stopping = True
        for step in self._steps:
            step.cancel()
        await asyncio.gather(*self._steps, return_exceptions=True)
        for wave in reversed(in_order(self._nodes)):
            await asyncio.gather(*(self._stop(self._kept[name]) for name in wave if name in self._kept))

    async def _stop(self, kept: _Kept) -> None:
        kept.stopping = True
        process = kept.process
        if process is not None and process.returncode is None:
            try:
                async with asyncio.timeout(kept.spec.stop_seconds):
                    if kept.spec.before_stop is not None:
                        with contextlib.suppress(OSError):  # TimeoutError among them: it had its chance
                            await kept.spec.before_stop()
                    with contextlib.suppress(ProcessLookupError):
                        process.send_signal(kept.spec.stop_signal)
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
            # `_live` goes to its own end; the time is for a process that even SIGKILL does not reach at once.
            if kept.task is not None:
                await asyncio.wait({kept.task}, timeout=_KILL_SECONDS)
        if kept.task is not None:
            kept.task.cancel()
            await asyncio.gather(kept.task, return_exceptions=True)
        self._set(kept, ChildState.STOPPED)


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
