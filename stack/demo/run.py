"""`make demo`: the whole mesh on one machine, watching films whose truth is known.

It starts from nothing, makes two tenants through the public API, lets one agent per shop watch that shop's cameras,
waits until everything has been watched and has arrived, and lays what was counted beside what the films contain.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import grpc
from rich.console import Console
from rich.table import Table

from stack import admin, agents, oneshot, plan
from stack.agents import Agent
from stack.children import python
from stack.client import Gateway, Session, explain
from stack.demo import house
from stack.demo.cast import CAST, DRAWN_THRESHOLD, STAFF
from stack.demo.compare import Line, compare, wrong
from stack.demo.reading import Range, Reader, Stranger, Watched
from stack.demo.scenario import BAKERY, BOOKSHOP, TIME_ZONE, DemoTenant, Scenario, scenario
from stack.environment import Surroundings, base
from stack.onboard import Onboarding, Person, Source
from stack.up import Mesh, Options, Progress, interrupted, running

WATCH_SECONDS: Final = 420.0
"""Until when the films must have been watched. Two minutes of film; the rest is for a slow machine."""
_POLL_SECONDS: Final = 0.5
_OUTAGES: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN})

EXIT_INTERRUPTED: Final = 130
LAWFUL_BASIS: Final = "none needed: the people in these films are drawn"


class DemoError(Exception):
    """The demo could not be played to its end; the message says why."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What was made through the API."""

    sites: Mapping[str, str]
    """Ids by key of the scenario."""
    staff: Mapping[str, str]
    """Ids by name of the cast."""
    owner: Person = field(repr=False)
    stranger: Person = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out."""

    lines: tuple[Line, ...]
    leaks: tuple[str, ...]
    """What the second tenant's user saw."""
    seconds: float
    """From the agents' start to the last event."""

    @property
    def right(self) -> bool:
        """Whether everything was counted as it was filmed, and the second tenant saw nothing."""
        return not wrong(self.lines) and not self.leaks


async def play(options: Options, console: Console, *, once: bool) -> int:
    """The exit status: 0 when the counts are right, 1 when they are not. Without `once`, stays until it is stopped."""
    house.clear(options.home)
    stop, played = interrupted(), asyncio.Event()
    show = asyncio.create_task(_show(options, console, None if once else stop, played))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({show, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not show.done() and not played.is_set():
        show.cancel()
    try:
        return await show
    except asyncio.CancelledError:
        return EXIT_INTERRUPTED


async def _show(options: Options, console: Console, until: asyncio.Event | None, played: asyncio.Event) -> int:
    """`until`: how long to stay after the table; None ends with it. Sets `played` once the table stands."""
    now = datetime.now(UTC)
    story = scenario(now)
    async with _drawn(options, now, console) as films, running(options, plan.compose, _teller(console)) as mesh:
        around, _ = plan.surroundings(options)
        _tell(console, "the mesh serves", mesh.record.ready_seconds)
        await films
        try:
            verdict, stage = await _perform(mesh, around, story, console)
        except grpc.aio.AioRpcError as error:
            raise DemoError(explain(error)) from error
        _report(console, verdict, stage, around)
        played.set()
        if until is not None:
            _lead_on(console, options)
            await until.wait()
    return 0 if verdict.right else 1


@contextlib.asynccontextmanager
async def _drawn(options: Options, now: datetime, console: Console) -> AsyncIterator[asyncio.Task[None]]:
    """Draws the films in a process of its own while the mesh starts; awaiting the task waits for the last of them."""
    folder = house.films_of(options.home)

    async def draw() -> None:
        began = asyncio.get_running_loop().time()
        await oneshot.run(
            python("stack.demo.films", "--out", str(folder), "--now", now.isoformat()),
            env=base(os.environ),
            cwd=options.home.root,
        )
        _tell(console, "the films are drawn", asyncio.get_running_loop().time() - began)

    task = asyncio.create_task(draw())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _perform(mesh: Mesh, around: Surroundings, story: Scenario, console: Console) -> tuple[Verdict, Stage]:
    async with Gateway(around) as gateway:
        stage = await _build(gateway, around)
        _tell(console, f"two tenants, {len(stage.sites)} shops, {len(stage.staff)} staff, one worker per shop")
        reader = Reader(gateway, await gateway.sign_in(stage.owner.email, stage.owner.password))
        began = asyncio.get_running_loop().time()
        await mesh.start_late()
        await _watch(reader, console)
        seconds = asyncio.get_running_loop().time() - began
        days = Range.of(story.truth, TIME_ZONE)
        seen = await reader.seen(stage.sites, days, around.ports.metrics("ingest"))
        stranger = Stranger(gateway, await gateway.sign_in(stage.stranger.email, stage.stranger.password))
        leaks = await stranger.finds(days, next(iter(stage.sites.values())), next(iter(stage.staff.values())))
    return Verdict(tuple(compare(story.truth, seen)), tuple(leaks), seconds), stage


# -- what an operator would do by hand ------------------------------------------------------------------------------


async def _build(gateway: Gateway, around: Surroundings) -> Stage:
    login = await admin.ensure(around)
    operator = await gateway.sign_in(login.email, login.password)
    owner, shop = await _tenant(gateway, operator, BOOKSHOP)
    stranger, _ = await _tenant(gateway, operator, BAKERY)
    sites = {}
    for site in BOOKSHOP.sites:
        sites[site.key] = await shop.site(site.name, time_zone=site.rules.time_zone, lawful_basis=LAWFUL_BASIS)
        for camera in site.cameras:
            folder = house.films_of(around.home) / "cameras" / camera.key
            source = Source(folder.as_uri().replace("file://", "folder://"))
            await shop.camera(sites[site.key], camera.name, source, camera.role.lower())
        key = await shop.worker_key(sites[site.key], f"agent at {site.name}")
        # Recordings only, from the demo's own folder, as fast as this machine can look at them.
        watching = {"FOOTFALL_ALLOW_FILES": str(house.films_of(around.home)), "FOOTFALL_RECORDED_SPEED": "0"}
        agents.add(around.home, Agent(site.key, key, watching))
    staff = {name: await shop.staff(CAST[name].name, _portraits(around, name)) for name in STAFF}
    return Stage(sites, staff, owner, stranger)


async def _tenant(gateway: Gateway, operator: Session, wanted: DemoTenant) -> tuple[Person, Onboarding]:
    """A tenant with its first user, and what this user may do."""
    tenant_id = await Onboarding(gateway, operator).tenant(wanted.name, _thresholds())
    person = Person(f"owner@{wanted.key}.example", secrets.token_urlsafe(12))
    await Onboarding(gateway, operator.acting_for(tenant_id)).user(person)
    return person, Onboarding(gateway, await gateway.sign_in(person.email, person.password))


def _thresholds() -> dict[str, float]:
    """Real models find drawn people more alike than real ones: as any tenant may, these set their own threshold."""
    from vision import manifest  # noqa: PLC0415 - brings onnxruntime, which nothing else here needs

    embedders = (entry.embedder for entry in manifest.read().entries)
    return {facts.space: DRAWN_THRESHOLD for facts in embedders if facts is not None}


def _portraits(around: Surroundings, name: str) -> list[bytes]:
    paths = sorted((house.films_of(around.home) / "staff").glob(f"{name}-*.jpg"))
    return [path.read_bytes() for path in paths]


async def _watch(reader: Reader, console: Console) -> None:
    """Until every film has been watched and every event has arrived. Raises DemoError when that takes too long."""
    watched: Watched | None = None
    try:
        async with asyncio.timeout(WATCH_SECONDS):
            with console.status("the agents watch …") as status:
                while True:
                    with _patience():
                        watched = await reader.watched()
                        status.update(_progress(watched))
                        if watched.done:
                            return
                    await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        so_far = _progress(watched) if watched else "no answer"
        problems = "".join(f"\n  {problem}" for problem in watched.problems) if watched else ""
        raise DemoError(f"the films were not watched within {WATCH_SECONDS:.0f} s: {so_far}{problems}") from None


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """A service that restarts in the middle is no reason to stop looking."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if error.code() not in _OUTAGES:
            raise


# -- what is shown --------------------------------------------------------------------------------------------------


def _progress(watched: Watched) -> str:
    words = f"the agents watch: {watched.finished} of {watched.cameras} cameras done, {watched.visits} visits so far"
    return words + (f", {watched.spooled} faces on their way" if watched.spooled else "")


def _teller(console: Console) -> Progress:
    return lambda name, seconds: _tell(console, name, seconds)


def _tell(console: Console, what: str, seconds: float | None = None) -> None:
    console.print(f"[green]✓[/] {what}" + (f" [dim]{seconds:.1f} s[/]" if seconds is not None else ""))


def _report(console: Console, verdict: Verdict, stage: Stage, around: Surroundings) -> None:
    table = Table(title=f"What was seen, {verdict.seconds:.0f} s after the agents began", title_justify="left")
    for column in ("", "in the films", "counted by Footfall", ""):
        table.add_column(column)
    for line in verdict.lines:
        table.add_row(line.what, line.filmed, line.seen, "[green]✓[/]" if line.right else "[red]✗[/]")
    nothing = "nothing" if not verdict.leaks else ", ".join(verdict.leaks)
    table.add_row(f"{BAKERY.name} sees of it", "nothing", nothing, "[red]✗[/]" if verdict.leaks else "[green]✓[/]")
    console.print(table)
    for line in wrong(verdict.lines):
        console.print(f"[red]{line.what}: filmed {line.filmed}, counted {line.seen}[/]")
    console.print(
        f"\nThe UI: [bold]{around.gateway_url}[/]  (certificate of this desk: {around.tls('gateway').ca})\n"
        f"  {BOOKSHOP.name}: [bold]{stage.owner.email}[/]  {stage.owner.password}\n"
        f"  {BAKERY.name}, which sees nothing: {stage.stranger.email}  {stage.stranger.password}",
        soft_wrap=True,  # lines to copy
    )


def _lead_on(console: Console, options: Options) -> None:
    console.print(
        "\nFrom here to your own camera, with models that recognise real people:\n"
        "  [bold]make models[/]\n"
        "  [bold]FOOTFALL_MODELS=$PWD/models .venv/bin/python -m stack up --detach[/]\n"
        "  [bold].venv/bin/python -m stack camera rtsp://USER@CAMERA/STREAM[/]\n"
        f"\n[dim]Ctrl-C ends the demo. Meanwhile: python -m stack status --home {options.home.root}[/]",
        soft_wrap=True,
    )
