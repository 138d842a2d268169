"""The whole mesh on one machine: `python -m stack up | down | status | logs | doctor | camera | demo`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mesh.clock import SystemClock
from stack import admin, control, doctor, logs, ports, state
from stack.control import ControlError, Status
from stack.demo import house
from stack.doctor import Level
from stack.home import DEFAULT, Home
from stack.oneshot import OneShotError
from stack.ports import Ports
from stack.postgres import PostgresError
from stack.secrets import UnsafeSecretsError
from stack.state import AlreadyRunningError, MeshRecord, MeshState
from stack.supervisor import StartError
from stack.up import Mesh, Options, RefusedError, stay

DATABASE_URL_VARIABLE = "FOOTFALL_STACK_DATABASE_URL"
EXIT_FAILED = 1
EXIT_NOT_RUNNING = 3  # as `systemctl status` says it

EXPECTED = (
    *(RefusedError, AlreadyRunningError, StartError, ControlError, OneShotError, PostgresError, UnsafeSecretsError),
    *(house.NotADemoError, ValueError, OSError),
)
"""What a person can do something about: told in a sentence, without a traceback."""

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}
_STATE_COLOURS = {"SERVING": "green", "STOPPED": "dim", "FAILED": "red", "BACKOFF": "red"}
_MEBIBYTE = 1024 * 1024


def parser() -> argparse.ArgumentParser:
    """Every command with its help."""
    top = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = _command(commands, "up", run_up, "start the mesh and stay; Ctrl-C stops it")
    _placed(up)
    _with_database(up)
    up.add_argument("--detach", action="store_true", help="return when everything serves; `down` stops it")
    up.add_argument(
        "--listen", default=ports.LOOPBACK, metavar="ADDRESS", help="where the gateway listens; 0.0.0.0 for the network"
    )
    up.add_argument("--start-seconds", type=float, default=120.0, help="give up after this long (%(default)s)")

    down = _command(commands, "down", run_down, "stop the mesh")
    _homed(down)

    status = _command(commands, "status", run_status, "what runs, since when, with how much memory; exit 3 if nothing")
    _homed(status)
    status.add_argument("--json", action="store_true", help="for programs")

    log = _command(commands, "logs", run_logs, "the last lines of one child's log, or of all")
    _homed(log)
    log.add_argument("name", nargs="?", help="as in `status`, e.g. svc-ingest; supervisor for a detached start")
    log.add_argument("-n", "--lines", type=int, default=20, help="how many (%(default)s)")
    log.add_argument("-f", "--follow", action="store_true", help="and what comes; needs a name")

    check = _command(commands, "doctor", run_doctor, "what could keep the mesh from running, and the remedy")
    _placed(check)
    _with_database(check)

    camera = _command(commands, "camera", run_camera, "let the running mesh watch a camera from this machine")
    _homed(camera)
    camera.add_argument("address", help="rtsp://USER@HOST/PATH (asks for the password), http://… (MJPEG) or usb:0")
    camera.add_argument("--name", default="Entrance", help="the camera's name (%(default)s)")
    camera.add_argument(
        "--role", default="entrance", choices=("entrance", "interior", "outside"), help="where it hangs (%(default)s)"
    )
    camera.add_argument("--site", default="My shop", help="the site's name (%(default)s); made if it is new")
    camera.add_argument("--time-zone", default="Europe/Berlin", help="of a new site (%(default)s)")

    demo = _command(commands, "demo", run_demo, "the whole mesh, watching films whose truth is known")
    _placed(demo, home=house.DEFAULT)
    demo.add_argument("--once", action="store_true", help="end after the table: exit 0 only if the counts are right")
    return top


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    words: str,
) -> argparse.ArgumentParser:
    made = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
    made.set_defaults(run=run)
    return made


def _homed(command: argparse.ArgumentParser, home: Path = DEFAULT) -> None:
    command.add_argument(
        "--home", type=Path, default=home, metavar="FOLDER", help="where the mesh keeps everything (%(default)s)"
    )


def _placed(command: argparse.ArgumentParser, home: Path = DEFAULT) -> None:
    _homed(command, home)
    command.add_argument(
        "--port-base",
        type=int,
        default=ports.DEFAULT_BASE,
        metavar="N",
        help="shifts every port; the gateway is N+43 (%(default)s)",
    )


def _with_database(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--database-url",
        metavar="URL",
        default=os.environ.get(DATABASE_URL_VARIABLE),
        help="a PostgreSQL (15 or newer) instead of the embedded one: postgresql://superuser:password@host/postgres; "
        f"better in {DATABASE_URL_VARIABLE}, where others do not see it",
    )


def options_of(arguments: argparse.Namespace) -> Options:
    """Raises ValueError for a base without ports."""
    return Options(
        home=Home.at(arguments.home),
        ports=Ports(getattr(arguments, "port_base", ports.DEFAULT_BASE)),
        database_url=getattr(arguments, "database_url", None),
        listen=getattr(arguments, "listen", ports.LOOPBACK),
        start_seconds=getattr(arguments, "start_seconds", 120.0),
    )


# -- commands -----------------------------------------------------------------------------------------------------


def run_up(arguments: argparse.Namespace) -> int:
    """In the foreground, or on its own."""
    from stack.plan import compose  # noqa: PLC0415 - the other commands need nothing of it

    options = options_of(arguments)
    known = admin.load(options.home)
    console = Console(highlight=False)
    if arguments.detach:
        record = _up_detached(options, arguments, console)
        _greet(console, options.home, record, first=known is None)
        return 0

    def progress(name: str, seconds: float) -> None:
        console.print(f"[green]✓[/] {name} [dim]{seconds:.1f} s[/]")

    def on_up(mesh: Mesh) -> None:
        _greet(console, options.home, mesh.record, first=known is None)
        console.print("[dim]Ctrl-C stops it.[/]")

    asyncio.run(stay(options, compose, progress, on_up))
    return 0


def _up_detached(options: Options, arguments: argparse.Namespace, console: Console) -> MeshRecord:
    if state.living(options.home) is not None:
        raise AlreadyRunningError(f"the mesh in {options.home.root} runs already; `python -m stack down` stops it")
    argv = [sys.executable, "-P", "-m", "stack", "up", "--home", str(options.home.root)]
    argv += ["--port-base", str(options.ports.base), "--listen", options.listen]
    argv += ["--start-seconds", str(options.start_seconds)]
    # Not as an argument: it holds a password, and arguments are seen by others.
    env = {DATABASE_URL_VARIABLE: arguments.database_url} if arguments.database_url else {}
    seen: set[str] = set()

    def on_change(record: MeshRecord) -> None:
        for child in record.children:
            if child.state == "SERVING" and child.name not in seen:
                seen.add(child.name)
                console.print(f"[green]✓[/] {child.name}")

    return control.detach(options.home, argv, env, on_change)


def _greet(console: Console, home: Home, record: MeshRecord, *, first: bool) -> None:
    console.print(f"[bold]Footfall serves at {record.gateway}[/] [dim](up in {record.ready_seconds:.1f} s)[/]")
    login = admin.load(home)
    if login is None:
        return
    if first:
        console.print(
            f"login [bold]{login.email}[/], password [bold]{login.password}[/] [dim](kept in {home.admin})[/]"
        )
    else:
        console.print(f"login {login.email}, password in {home.admin}")


def run_down(arguments: argparse.Namespace) -> int:
    """Gracefully."""
    home = Home.at(arguments.home)
    if control.down(home):
        print("stopped")
        return 0
    print(f"nothing runs in {home.root}")
    return 0


def run_status(arguments: argparse.Namespace) -> int:
    """A table, or JSON."""
    home = Home.at(arguments.home)
    found = control.status(home, SystemClock())
    if found is None:
        last = state.read(home)
        problem = last.problem if last and last.state is MeshState.FAILED else None
        if arguments.json:
            print(json.dumps({"state": "DOWN", "problem": problem}))
        else:
            print(f"nothing runs in {home.root}" + (f"; the last start failed:\n{problem}" if problem else ""))
        return EXIT_NOT_RUNNING
    if arguments.json:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        _show(found)
    return 0 if found.state is MeshState.SERVING else EXIT_FAILED


def _show(found: Status) -> None:
    table = Table(box=None, header_style="dim")
    for column in ("", "state", "pid", "restarts", "up", "memory", "last end"):
        table.add_column(column, justify="right" if column in {"pid", "restarts", "up", "memory"} else "left")
    for row in found.rows:
        table.add_row(
            row.name,
            f"[{_STATE_COLOURS.get(row.state, 'yellow')}]{row.state}[/]",
            str(row.pid or ""),
            str(row.restarts or ""),
            _duration(row.uptime_seconds),
            f"{row.memory_bytes / _MEBIBYTE:.0f} MiB" if row.memory_bytes else "",
            row.last_exit or "",
        )
    table.add_row("total", "", "", "", "", f"{found.memory_bytes / _MEBIBYTE:.0f} MiB", "", style="bold")
    console = Console(highlight=False)
    console.print(table)
    console.print(found.gateway)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def run_logs(arguments: argparse.Namespace) -> int:
    """Of one child or of all."""
    home = Home.at(arguments.home)
    known = sorted(path.stem for path in home.logs.glob("*.log"))
    if arguments.name is not None and arguments.name not in known:
        raise ValueError(f"no log of {arguments.name!r} in {home.logs}; there are: {', '.join(known) or 'none'}")
    if arguments.follow and arguments.name is None:
        raise ValueError("--follow needs the name of one child")
    for name in known if arguments.name is None else [arguments.name]:
        if arguments.name is None:
            print(f"== {name}")
        for line in logs.tail(home.logs / f"{name}.log", arguments.lines):
            print(line)
    if arguments.follow:
        for line in logs.follow(home.logs / f"{arguments.name}.log"):
            print(line, flush=True)
    return 0


def run_doctor(arguments: argparse.Namespace) -> int:
    """Every check; exit 1 when the mesh cannot run."""
    findings = doctor.examine(options_of(arguments).subject())
    console = Console(highlight=False, soft_wrap=True)
    for found in findings:
        console.print(f"[{_COLOURS[found.level]}]{found.level:4}[/] {found.check:12} {escape(found.words)}")
        if found.level is not Level.OK and found.remedy:
            console.print(f"                  [dim]→ {escape(found.remedy)}[/]")
    return EXIT_FAILED if doctor.failures(findings) else 0


def run_camera(arguments: argparse.Namespace) -> int:
    """Needs a mesh that runs."""
    import grpc  # noqa: PLC0415 - as for `up`

    from stack import camera, client, plan  # noqa: PLC0415

    options = options_of(arguments)
    running = state.living(options.home)
    if running is None:
        raise ControlError(f"nothing runs in {options.home.root}; `python -m stack up --detach` starts it")
    around, _ = plan.surroundings(replace(options, ports=Ports(running.port_base)))
    wanted = camera.Wanted(arguments.address, arguments.name, arguments.role, arguments.site, arguments.time_zone)
    try:
        desk = asyncio.run(camera.add(around, wanted))
    except grpc.aio.AioRpcError as error:
        raise ControlError(client.explain(error)) from error
    control.reload(options.home)
    print(f"{wanted.name} of {wanted.site} is being watched: {around.gateway_url}")
    print(f"login {desk.email}, password {desk.password} (kept in {options.home.desk})")
    print("State the lawful basis of the site in its settings, and put up the signs.")
    return 0


def run_demo(arguments: argparse.Namespace) -> int:
    """Exit 1 when the counts are not those of the films."""
    from stack.demo import run  # noqa: PLC0415 - as for `up`

    try:
        return asyncio.run(run.play(options_of(arguments), Console(highlight=False), once=arguments.once))
    except run.DemoError as error:
        raise ControlError(str(error)) from error


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status."""
    arguments = parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `… | head`
        return 0
    except EXPECTED as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
