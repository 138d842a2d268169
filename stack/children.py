"""What the supervisor runs: children that live as long as it does, and steps that are done once per start."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from stack import tether

Probe: TypeAlias = Callable[[int], Awaitable[bool]]
"""Whether the child with this pid is ready now. Asked again and again: quick, bounded in time, and without a raise."""

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 30.0


class ChildState(StrEnum):
    """Where a child is in its life."""

    WAITING = "WAITING"
    """For what it comes after."""
    STARTING = "STARTING"
    """Runs, and was not ready yet."""
    SERVING = "SERVING"
    """Runs and is ready."""
    NOT_SERVING = "NOT_SERVING"
    """Runs, was ready, and is not now."""
    BACKOFF = "BACKOFF"
    """Has ended by itself; will be started again in a moment."""
    STOPPED = "STOPPED"
    """Was told to stop, or never ran."""


@dataclass(frozen=True, slots=True)
class Child:
    """One process to keep alive. Make `argv` by `tethered`, or nothing ends it when the supervisor is killed."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    ready: Probe = field(repr=False)
    cwd: Path
    after: tuple[str, ...] = ()
    """Names of children and steps that must have been ready once before its first start. Restarts wait for nobody."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 20.0
    """How long it may take to leave; then it is killed."""
    before_stop: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)
    """Asked before the signal, e.g. to drain. Bounded by `stop_seconds` with it."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do once per start, e.g. migrations. An exception ends the start with its message."""

    name: str
    run: Callable[[], Awaitable[None]] = field(repr=False)
    after: tuple[str, ...] = ()


Node: TypeAlias = Child | Step


def tethered(argv: Sequence[str]) -> tuple[str, ...]:
    """`argv` tied to the life of this process: when it dies, however it dies, the kernel kills the child."""
    return tether.command(argv, stop=signal.SIGKILL)


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The command for a module of ours, tethered, under this interpreter; -P keeps the working folder off the path."""
    return tethered([sys.executable, "-P", "-m", module, *arguments])


def backoff_seconds(failures: int, rng: random.Random) -> float:
    """How long to wait after `failures` ends in a row (≥ 1): full jitter below a bound that doubles up to 30 s.

    AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
    """
    bound = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(failures - 1, 16))
    return rng.uniform(0.0, bound)


def in_order(nodes: Sequence[Node]) -> list[list[str]]:
    """The names in waves: each comes after what it names. Raises ValueError for an unknown name or a circle."""
    waiting = {node.name: set(node.after) for node in nodes}
    if len(waiting) != len(nodes):
        raise ValueError("two nodes have the same name")
    unknown = {name for after in waiting.values() for name in after} - waiting.keys()
    if unknown:
        raise ValueError(f"nothing is called {', '.join(sorted(unknown))}")
    waves: list[list[str]] = []
    while waiting:
        wave = sorted(name for name, after in waiting.items() if not after)
        if not wave:
            raise ValueError(f"these wait for one another: {', '.join(sorted(waiting))}")
        waves.append(wave)
        waiting = {name: after.difference(wave) for name, after in waiting.items() if name not in wave}
    return waves
