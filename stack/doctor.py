"""What could keep the mesh from running, in plain words, with a remedy for each.

`python -m stack doctor` runs every check; `up` runs the cheap ones first and refuses with the same words.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from stack import loopback, secrets, state
from stack import ports as port_rules
from stack.home import Home
from stack.ports import Ports

PYTHON_WANTED = (3, 11)
NODE_WANTED = 20
LITTLE_DISK_BYTES = 1024**3
SCARCE_DISK_BYTES = 5 * 1024**3
RENEW_BEFORE = timedelta(days=14)
# Any clock that shows less is wrong: this code did not exist.
NOT_BEFORE = datetime(2026, 11, 1, tzinfo=UTC)

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_COMMAND_SECONDS = 10.0


class Level(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    """The mesh runs; something is worse than it should be."""
    FAIL = "fail"
    """The mesh cannot run like this."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    check: str
    level: Level
    words: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined."""

    home: Home
    ports: Ports
    database_url: str | None = None
    models: Path | None = None
    """FOOTFALL_MODELS; None means demo vision."""


Check = Callable[[Subject], Iterable[Finding]]


def python_version(subject: Subject) -> Iterable[Finding]:  # noqa: ARG001 - checks have one shape
    """This interpreter."""
    found = sys.version_info[:2]
    words = f"Python {sys.version.split()[0]}"
    if found < PYTHON_WANTED:
        wanted = ".".join(map(str, PYTHON_WANTED))
        yield Finding("python", Level.FAIL, words, f"install Python {wanted} or newer and make the environment with it")
    else:
        yield Finding("python", Level.OK, words)


def node_version(subject: Subject) -> Iterable[Finding]:  # noqa: ARG001
    """Only for building the UI and generating code."""
    node = shutil.which("node")
    words = _first_line([node, "--version"]) if node else None
    if words is None:
        yield Finding("node", Level.WARN, "no Node.js", f"install Node.js {NODE_WANTED} or newer to build the UI")
    elif int(words.removeprefix("v").split(".")[0]) < NODE_WANTED:
        yield Finding("node", Level.WARN, f"Node.js {words}", f"install Node.js {NODE_WANTED} or newer to build the UI")
    else:
        yield Finding("node", Level.OK, f"Node.js {words}")


def ports(subject: Subject) -> Iterable[Finding]:
    """Every port is free, or held by the mesh of this very home."""
    running = state.living(subject.home)
    if running is not None and running.port_base == subject.ports.base:
        yield Finding("ports", Level.OK, f"held by this mesh (pid {running.pid})")
        return
    wanted = subject.ports.all(embedded_database=subject.database_url is None)
    taken = {what: port for what, port in wanted.items() if not port_rules.is_free(port)}
    for what, port in taken.items():
        words = f"port {port} ({what}) is taken by {port_rules.holder(port)}"
        yield Finding("ports", Level.FAIL, words, "stop that process, or move the mesh with --port-base")
    if not taken:
        lowest, highest = min(wanted.values()), max(wanted.values())
        yield Finding("ports", Level.OK, f"{len(wanted)} ports between {lowest} and {highest} are free")


def loopback_interface(subject: Subject) -> Iterable[Finding]:  # noqa: ARG001
    """The children talk over it. `up` switches it on where it may."""
    if loopback.is_up():
        yield Finding("loopback", Level.OK, f"{loopback.NAME} is up")
    else:
        yield Finding("loopback", Level.FAIL, f"{loopback.NAME} is down", loopback.REMEDY)


def disk(subject: Subject) -> Iterable[Finding]:
    """Room where the state folder is or will be, and the right to write there."""
    place = next(path for path in (subject.home.root, *subject.home.root.parents) if path.exists())
    if not os.access(place, os.W_OK):
        yield Finding("disk", Level.FAIL, f"{place} cannot be written to", "choose another folder with --home")
        return
    free = shutil.disk_usage(place).free
    words = f"{free / 1024**3:.1f} GiB free for {subject.home.root}"
    remedy = "make room, or choose another disk with --home"
    if free < LITTLE_DISK_BYTES:
        yield Finding("disk", Level.FAIL, words, remedy)
    elif free < SCARCE_DISK_BYTES:
        yield Finding("disk", Level.WARN, words, remedy)
    else:
        yield Finding("disk", Level.OK, words)


def models(subject: Subject) -> Iterable[Finding]:
    """The default models lie in FOOTFALL_MODELS, byte for byte those of the manifest."""
    if subject.models is None:
        words = "FOOTFALL_MODELS is not set: only the demo's drawn people can be recognised"
        yield Finding("models", Level.WARN, words, "`make models`, then set FOOTFALL_MODELS to the folder")
        return
    from vision import manifest  # noqa: PLC0415 - brings onnxruntime, which nothing else here needs

    for entry in manifest.read().defaults():
        try:
            manifest.verified(subject.models, entry)
        except manifest.ModelProblem as problem:
            yield Finding("models", Level.FAIL, str(problem), f"fetch {entry.name} again with `make models`")
        else:
            yield Finding("models", Level.OK, f"{entry.name} ({entry.licence})")


def envoy(subject: Subject) -> Iterable[Finding]:  # noqa: ARG001
    """The gateway's program runs here."""
    from gateway import render  # noqa: PLC0415 - brings the contracts along

    try:
        program = str(render.envoy())
    except FileNotFoundError:
        program = ""
    words = _first_line([program, "--version"])
    if words is None:
        yield Finding("envoy", Level.FAIL, "no envoy that runs", "install the dependencies again: `make install`")
    else:
        version = re.search(r"\d+\.\d+\.\d+", words)
        yield Finding("envoy", Level.OK, f"Envoy {version[0] if version else words}")


def secret_files(subject: Subject) -> Iterable[Finding]:
    """Nobody else reads the secrets."""
    complaint = secrets.exposure(subject.home)
    if complaint:
        words, _, remedy = complaint.partition(": ")
        yield Finding("secrets", Level.FAIL, words, remedy)
    else:
        made = "private" if subject.home.secrets.exists() else "made at the first start"
        yield Finding("secrets", Level.OK, made)


def certificates(subject: Subject) -> Iterable[Finding]:
    """None has expired or will soon."""
    files = sorted(subject.home.certificates.glob("*.crt"))
    if not files:
        yield Finding("certificates", Level.OK, "made at the first start")
        return
    now = datetime.now(UTC)
    ends = {file.stem: _not_after(file) for file in files}
    first = min(ends, key=lambda name: ends[name])
    words = f"{len(ends)}, the first to expire is {first} on {ends[first]:%Y-%m-%d}"
    if ends[first] <= now:
        words = f"the certificate of {first} expired on {ends[first]:%Y-%m-%d}"
        yield Finding("certificates", Level.WARN, words, "the next `python -m stack up` renews it")
    elif ends[first] - now < RENEW_BEFORE:
        yield Finding("certificates", Level.WARN, words, "the next `python -m stack up` renews it")
    else:
        yield Finding("certificates", Level.OK, words)


def clock(subject: Subject) -> Iterable[Finding]:  # noqa: ARG001
    """Times of visits come from it, and tokens are judged by it."""
    now = datetime.now(UTC)
    if now < NOT_BEFORE:
        yield Finding("clock", Level.FAIL, f"the clock shows {now:%Y-%m-%d %H:%M} UTC", "set the system's clock")
    elif _unsynchronised():
        words = f"{now:%Y-%m-%d %H:%M} UTC, and nothing keeps the clock right"
        yield Finding("clock", Level.WARN, words, "run a time service: systemd-timesyncd, chrony or ntpd")
    else:
        yield Finding("clock", Level.OK, f"{now:%Y-%m-%d %H:%M} UTC")


CHEAP: Sequence[Check] = (python_version, loopback_interface, disk, ports, secret_files, clock, models)
THOROUGH: Sequence[Check] = (
    python_version,
    node_version,
    envoy,
    loopback_interface,
    disk,
    ports,
    secret_files,
    certificates,
    clock,
    models,
)


def examine(subject: Subject, checks: Sequence[Check] = THOROUGH) -> list[Finding]:
    """Runs the checks in order."""
    return [finding for check in checks for finding in check(subject)]


def failures(findings: Iterable[Finding]) -> list[Finding]:
    """Those with which the mesh cannot run."""
    return [finding for finding in findings if finding.level is Level.FAIL]


def _first_line(argv: Sequence[str]) -> str | None:
    """Of a program's output; None when it does not run."""
    try:
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next((line.strip() for line in ran.stdout.splitlines() if line.strip()), None)


def _not_after(file: Path) -> datetime:
    """When a PEM certificate expires. Epoch's start for one that cannot be read, so that it stands out."""
    from cryptography import x509  # noqa: PLC0415 - half of what the commands that need none would load

    try:
        return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError, ssl.SSLError):
        return datetime.fromtimestamp(0, UTC)


def _unsynchronised() -> bool:
    """Whether the kernel says that no time service disciplines the clock. Linux only; elsewhere we do not know."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    # struct timex, with modes = 0: ask, change nothing. 256 bytes are more than any architecture's.
    buffer = ctypes.create_string_buffer(256)
    return bool(libc.adjtimex(buffer) == _TIME_ERROR)
