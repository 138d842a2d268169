"""The demo's story: one bookshop with two houses and three cameras over three days, and a bakery that sees nothing.

Who walks in when is written down once, here; the films are drawn from it and the truth is counted from it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from stack.demo.cast import STAFF
from stack.demo.truth import Film, SiteRules, Truth, truth
from stack.demo.walks import Walk, seconds_of, walks_of

TIME_ZONE: Final = "Europe/Amsterdam"

Role = Literal["ENTRANCE", "INTERIOR"]


@dataclass(frozen=True, slots=True)
class DemoCamera:
    """One camera of the demo."""

    key: str
    """Also the name of the folder that its recordings lie in."""
    name: str
    role: Role
    scene: str


@dataclass(frozen=True, slots=True)
class DemoSite:
    """One shop of the demo."""

    key: str
    name: str
    rules: SiteRules
    cameras: tuple[DemoCamera, ...]


@dataclass(frozen=True, slots=True)
class DemoTenant:
    """One customer of Footfall in the demo."""

    key: str
    name: str
    sites: tuple[DemoSite, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """One film and how to draw it."""

    film: Film
    camera: DemoCamera
    site: DemoSite
    walks: tuple[Walk, ...]

    @property
    def title(self) -> str:
        """What the picture's caption says."""
        return f"{self.site.name} · {self.camera.name}"

    @property
    def file_name(self) -> str:
        """As a recorder exports it: the start in UTC."""
        return self.film.start_time.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%SZ.mp4")


@dataclass(frozen=True, slots=True)
class Scenario:
    """All recordings up to one moment, and what must be counted in them."""

    recordings: tuple[Recording, ...]
    truth: Truth


_RULES: Final = SiteRules(TIME_ZONE)
HARBOUR: Final = DemoSite(
    "harbour-street",
    "Harbour Street",
    _RULES,
    (
        DemoCamera("harbour-entrance", "Entrance", "ENTRANCE", "entrance"),
        DemoCamera("harbour-aisle", "Aisle", "INTERIOR", "aisle"),
    ),
)
STATION: Final = DemoSite(
    "station-square",
    "Station Square",
    _RULES,
    (DemoCamera("station-entrance", "Entrance", "ENTRANCE", "station"),),
)
BOOKSHOP: Final = DemoTenant("lighthouse-books", "Lighthouse Books", (HARBOUR, STATION))
BAKERY: Final = DemoTenant("corner-bakery", "Corner Bakery", ())
TENANTS: Final = (BOOKSHOP, BAKERY)

_MORNING, _AFTERNOON = time(9, 0), time(13, 30)

_STORY: Final[dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]]] = {
    # Per camera: for each of the three days, who is seen in the morning and in the afternoon, in this order.
    "harbour-entrance": (
        (("ruben", "mara", "tomas", "amina", "mara"), ("mara", "kofi", "ruben")),
        (("ruben", "tomas", "edith"), ("jonas", "lin")),
        (("ruben", "nia", "amina", "walter"), ("priya", "tomas")),
    ),
    "harbour-aisle": (
        (("mara", "amina"), ("kofi",)),
        (("edith", "tomas"), ("jonas",)),
        (("nia", "walter"), ("priya",)),
    ),
    "station-entrance": (
        (("ines", "walter", "oskar"), ("sofia", "walter")),
        (("ines", "lin", "mara"), ("oskar", "edith")),
        (("ines", "sofia", "priya"), ("kofi", "jonas")),
    ),
}
_DELAY: Final = {"harbour-entrance": 0, "harbour-aisle": 60, "station-entrance": 120}
"""Seconds by which a camera's recording starts after the hour: nobody is in two places at once."""

_TODAY_BEFORE_NOW: Final = (timedelta(minutes=100), timedelta(minutes=50))
"""Where today's recordings lie while the afternoon's would still be to come: over a visit gap apart, and over."""
_FINISHED: Final = timedelta(minutes=5)


def scenario(now: datetime) -> Scenario:
    """The demo as it stands at `now` (aware): the last of its three days is today, and all of it is past.

    Raises ValueError for a naive time.
    """
    if now.tzinfo is None:
        raise ValueError("now must be an aware datetime")
    recordings = []
    for site in BOOKSHOP.sites:
        for camera in site.cameras:
            for day, slots in enumerate(_STORY[camera.key]):
                for slot, people in enumerate(slots):
                    start = _start(now, days_ago=2 - day, slot=slot) + timedelta(seconds=_DELAY[camera.key])
                    walks = walks_of(people, mirrored=(day + slot) % 2 == 1, scene=camera.scene)
                    film = Film(
                        camera=camera.key,
                        site=site.key,
                        start_time=start,
                        seconds=seconds_of(walks),
                        passages=tuple(walk.passage() for walk in walks),
                    )
                    recordings.append(Recording(film, camera, site, walks))
    rules = {site.key: site.rules for site in BOOKSHOP.sites}
    counted = truth((recording.film for recording in recordings), rules, frozenset(STAFF))
    return Scenario(tuple(recordings), counted)


def _start(now: datetime, days_ago: int, slot: int) -> datetime:
    local = now.astimezone(ZoneInfo(TIME_ZONE))
    if days_ago == 0 and local.time() < time(_AFTERNOON.hour, _AFTERNOON.minute + int(_FINISHED.total_seconds()) // 60):
        return (now - _TODAY_BEFORE_NOW[slot]).astimezone(UTC).replace(second=0, microsecond=0)
    date = local.date() - timedelta(days=days_ago)
    return datetime.combine(date, (_MORNING, _AFTERNOON)[slot], local.tzinfo).astimezone(UTC)
