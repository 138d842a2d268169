"""People of real photographs walk in before an RTSP camera, real weights watch, and the counts are the truth.

FOOTFALL_MODELS names a folder of weights, FOOTFALL_FACES one of labelled photographs (images/, labels.csv); neither
ships. FOOTFALL_E2E_ARTEFACTS names a folder in which films, logs, counts and confusions are kept (scripts/e2e_demo.sh).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
import pytest

from stack import agents, control
from stack.agents import Agent
from tests.support import photographs
from tests.support.cameras import rtsp_camera, rtsp_reason
from tests.support.photographs import EMBEDDERS, PARTS, TODAY, YESTERDAY, Cast, Counts, Eyes, Take
from tests.support.stack import Mesh, Refused, Tenant, eventually, running_mesh

GAP_SECONDS: Final = 20
"""The site's visit gap: whoever is away for longer makes another visit."""
EMPTY_SECONDS: Final = 300.0
"""How long the shop stays empty after the last one left: the film must not begin anew before the counts are read."""
WATCH_SECONDS: Final = 240.0
"""Until when everything that was filmed must have arrived: the film lasts one minute of it."""

MODELS, FACES = os.environ.get("FOOTFALL_MODELS"), os.environ.get("FOOTFALL_FACES")
NO_RTSP = rtsp_reason()
pytestmark = [
    pytest.mark.skipif(not MODELS, reason="FOOTFALL_MODELS names no folder of weights"),
    pytest.mark.skipif(not FACES, reason="FOOTFALL_FACES names no folder of photographs"),
    pytest.mark.skipif(NO_RTSP is not None, reason=f"no RTSP camera can run here: {NO_RTSP}"),
    pytest.mark.timeout(900),
]

CASUALTIES: Final = ("svc-registry", "postgres", "svc-ingest", "svc-identity", "svc-reports")
"""In this order, each with kill -9, while people walk in."""


@dataclass(frozen=True)
class Material:
    """What is filmed, and who plays whom."""

    cast: Cast
    today: Path
    yesterday: Path
    began: datetime
    """When yesterday's recording began."""


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Both films."""
    folder = tmp_path_factory.mktemp("films")
    eyes = Eyes.open(Path(MODELS or ""))
    cast = photographs.choose(Path(FACES or ""), eyes)
    say("the cast, chosen so that both embedders tell it apart:", *photographs.describe(cast, eyes))
    began = (datetime.now(UTC) - timedelta(days=1)).replace(microsecond=0)
    recordings = folder / "recordings"
    recordings.mkdir()
    yesterday = recordings / f"{began:%Y-%m-%dT%H-%M-%SZ}.mp4"
    photographs.film(yesterday, YESTERDAY, cast)
    encoded = photographs.film(folder / "today.h264.mp4", TODAY, cast, after_seconds=EMPTY_SECONDS)
    keep(yesterday, encoded)
    return Material(cast, folder / "today.mp4", yesterday, began)


@pytest.mark.parametrize(
    ("embedder", "casualties"),
    [
        pytest.param(EMBEDDERS[0], (), id=EMBEDDERS[0]),
        pytest.param(EMBEDDERS[1], CASUALTIES, id=f"{EMBEDDERS[1]}, while everything is killed once"),
    ],
)
def test_the_counts_are_the_truth_of_the_films(
    material: Material, embedder: str, casualties: Sequence[str], tmp_path: Path
) -> None:
    with running_mesh(tmp_path / "home", FOOTFALL_MODELS=str(MODELS), FOOTFALL_EMBEDDER=embedder) as mesh:
        try:
            shop = Shop.open(mesh, material, embedder)
            with rtsp_camera(material.today, user="viewer", password="a secret") as address:
                shop.films_today(address)
                fell = [shop.survives(casualty) for casualty in casualties]
                shop.has_seen_everybody()
                said = shop.says()
        finally:
            keep(mesh.home.logs, name=f"logs-{embedder}")
    confusion = shop.confusion()
    say(f"{embedder}:", *confusion.lines(), *fell)
    keep_json(f"counts-{embedder}", {**said, "confusion": asdict(confusion), "killed": fell})

    regulars = [take.part for take in YESTERDAY]
    assert said["days"] == {
        "yesterday": asdict(photographs.truth(YESTERDAY, GAP_SECONDS)),
        "today": asdict(photographs.truth(TODAY, GAP_SECONDS, regulars)),
    }
    everybody = {take.part for take in (*YESTERDAY, *TODAY)} - _staff()
    assert said["customers"] == said["total"]["unique"] == len(everybody)
    assert said["visits"] == sum(day["visits"] for day in said["days"].values())
    assert said["sightings"] == len([take for take in (*YESTERDAY, *TODAY) if take.part not in _staff()])
    assert said["staff_listed"] == []
    assert (confusion.split, confusion.fused, confusion.missed, confusion.invented) == ({}, {}, [], 0)


# -- the shop ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sighting:
    """An event, as the database keeps it."""

    capture_time: datetime
    person: str
    """Id of the customer or of the staff member; "" for nobody."""


@dataclass
class Confusion:
    """Who was taken for whom.

    Attributes:
        split: parts that became several people, with the ids.
        fused: ids under which several parts were seen, with the parts.
        missed: takes without an event.
        invented: events without a take, or beyond its first.
    """

    split: dict[str, list[str]]
    fused: dict[str, list[str]]
    missed: list[str]
    invented: int

    def lines(self) -> list[str]:
        return [
            f"  people split: {len(self.split)} {self.split or ''}".rstrip(),
            f"  people fused: {len(self.fused)} {self.fused or ''}".rstrip(),
            f"  passages missed: {len(self.missed)} {self.missed or ''}".rstrip() + f", invented: {self.invented}",
        ]


@dataclass
class Shop:
    """A site whose cameras look at the films, and an agent of its own."""

    mesh: Mesh
    material: Material
    tenant: Tenant
    site_id: str
    staff: Mapping[str, str]
    """Ids by part."""
    yesterday_camera: str
    today_camera: str = ""
    seen: dict[str, list[Sighting]] = field(default_factory=dict)
    """By camera, as last read."""

    @classmethod
    def open(cls, mesh: Mesh, material: Material, embedder: str) -> Shop:
        """With its staff enrolled, and yesterday's recording watched."""
        tenant = mesh.tenant("photographs")
        zone = noon_zone(datetime.now(UTC))
        site = tenant.site(timeZone=zone, rules={"visitGap": f"{GAP_SECONDS}s"})
        staff = {part: _enrol(tenant, part, material.cast[part][0].file) for part in sorted(_staff())}
        recordings = material.yesterday.parent
        camera = tenant.camera(site, "Yesterday", uri=recordings.as_uri().replace("file://", "folder://"))
        key, _ = tenant.worker_key(site)
        watching = {
            "FOOTFALL_ALLOW_FILES": str(recordings),
            "FOOTFALL_RECORDED_SPEED": "0",
            "FOOTFALL_EMBEDDER": embedder,
        }
        agents.add(mesh.home, Agent("photographs", key, watching))
        control.reload(mesh.home)
        shop = cls(mesh, material, tenant, site, staff, camera)
        eventually(lambda: shop._state(camera) == "CAMERA_STATE_FINISHED", "yesterday is watched", within=WATCH_SECONDS)
        eventually(lambda: len(shop.sightings(camera)) >= len(YESTERDAY), "yesterday has arrived", within=60)
        return shop

    def films_today(self, address: str) -> None:
        """Hangs up the RTSP camera: from now on people walk in."""
        source = {"uri": address, "username": "viewer", "password": "a secret"}
        self.today_camera = self.tenant.camera(self.site_id, "Entrance", source=source)
        eventually(lambda: self.sightings(self.today_camera), "the first one has walked in", within=WATCH_SECONDS)

    def survives(self, casualty: str) -> str:
        """Kills a child, and waits until it has been replaced and somebody has been counted since; tells about it."""
        seen, pid = len(self.sightings(self.today_camera)), self.mesh.pid(casualty)
        assert pid, f"{casualty} does not run"
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: self.mesh.pid(casualty) not in {0, pid}, f"{casualty} was started again")
        eventually(
            lambda: self._serves(casualty) and len(self.sightings(self.today_camera)) > min(seen, len(TODAY) - 1),
            f"somebody is counted after {casualty} was killed",
            within=WATCH_SECONDS,
        )
        return f"  killed {casualty} after {seen} of {len(TODAY)} had been counted"

    def _serves(self, child: str) -> bool:
        return next(row.state for row in self.mesh.status().rows if row.name == child) == "SERVING"

    def has_seen_everybody(self) -> None:
        """Waits until the last one's passage has been counted, or nobody comes any more."""
        try:
            eventually(
                lambda: len(self.sightings(self.today_camera)) >= len(TODAY) and self._spooled() == 0,
                "everybody has been counted",
                within=WATCH_SECONDS,
            )
        except AssertionError as late:
            say(str(late))  # the counts and the confusion will tell who is missing

    def says(self) -> dict[str, Any]:
        """What the JSON API answers."""
        start = self.material.began - timedelta(hours=1)
        series = self._get(
            "/v1/reports/visitors", start_time=_iso(start), end_time=_iso(datetime.now(UTC)), grain="GRAIN_DAY"
        )
        days = [_counts(bucket) for bucket in series["buckets"]]
        visits = self._get("/v1/visits", page_size=500)["visits"]
        people = {visit["customerId"] for visit in visits}
        return {
            "days": {name: asdict(counts) for name, counts in zip(("yesterday", "today"), days, strict=True)},
            "total": asdict(_counts(series["total"])),
            "visits": len(visits),
            "sightings": sum(visit["sightingCount"] for visit in visits),
            "customers": len(people),
            "staff_listed": sorted(people & set(self.staff.values())),
        }

    def confusion(self) -> Confusion:
        """From the events, as they were matched: for people, and in no count."""
        return _confusion(self.seen, self.material, self.yesterday_camera, self.today_camera)

    # -- looking ------------------------------------------------------------------------------------------------------

    def sightings(self, camera_id: str) -> list[Sighting]:
        """A camera's events, the oldest first; as many as were known before while the database is away."""
        try:
            with self.mesh.database() as connection:
                rows = connection.execute(
                    "SELECT capture_time, coalesce(customer_id, staff_id)::text FROM face_events"
                    " WHERE camera_id = %s ORDER BY capture_time",
                    [camera_id],
                ).fetchall()
        except psycopg.OperationalError:
            return list(self.seen.get(camera_id, []))
        self.seen[camera_id] = [Sighting(at, person or "") for at, person in rows]
        return list(self.seen[camera_id])

    def _state(self, camera_id: str) -> str:
        return str(self._get(f"/v1/cameras/{camera_id}")["camera"]["state"])

    def _spooled(self) -> int:
        return sum(int(worker["spoolEvents"]) for worker in self._get("/v1/workers")["workers"])

    def _get(self, path: str, **params: Any) -> Any:
        """Asks again while a service is away."""

        def ask() -> Any:
            try:
                return self.tenant.get(path, **params)
            except httpx.HTTPError:
                return None
            except Refused as error:
                if error.status not in {502, 503, 504}:
                    raise
                return None

        return eventually(ask, f"{path} is answered")


def _enrol(tenant: Tenant, name: str, portrait: Path) -> str:
    """A staff member with one photograph."""
    staff_id = str(tenant.post("/v1/staff", {"displayName": name})["staff"]["id"])
    tenant.post(f"/v1/staff/{staff_id}/faces", {"image": base64.b64encode(portrait.read_bytes()).decode()})
    return staff_id


def noon_zone(now: datetime) -> str:
    """A zone where it is between 12:00 and 13:00: no midnight and no start of a business day falls into the films."""
    ahead = 12 - now.hour
    return "Etc/GMT" if ahead == 0 else f"Etc/GMT{-ahead:+d}"  # POSIX's sign: GMT-2 lies two hours ahead


def _staff() -> set[str]:
    return {part.name for part in PARTS if part.is_staff}


def _counts(bucket: Mapping[str, Any]) -> Counts:
    return Counts(
        visits=bucket.get("visits", -1),
        unique=bucket.get("uniqueVisitors", -1),
        new=bucket.get("newVisitors", -1),
        returning=bucket.get("returningVisitors", -1),
    )


def _confusion(found: Mapping[str, list[Sighting]], material: Material, yesterday: str, today: str) -> Confusion:
    people: dict[str, set[str]] = defaultdict(set)
    parts: dict[str, set[str]] = defaultdict(set)
    missed: list[str] = []
    invented = 0
    for day, takes, camera in (("yesterday", YESTERDAY, yesterday), ("today", TODAY, today)):
        of_take: dict[int, list[Sighting]] = defaultdict(list)
        for sighting, take in _placed(found.get(camera, []), takes, material.began if day == "yesterday" else None):
            of_take[take].append(sighting)
        missed += [f"{takes[index].part} ({day})" for index in range(len(takes)) if index not in of_take]
        invented += sum(len(sightings) - 1 for sightings in of_take.values())
        for index, sightings in of_take.items():
            for sighting in sightings:
                people[takes[index].part].add(sighting.person)
                parts[sighting.person].add(takes[index].part)
    return Confusion(
        split={part: sorted(ids) for part, ids in people.items() if len(ids) > 1},
        fused={person: sorted(names) for person, names in parts.items() if len(names) > 1},
        missed=missed,
        invented=invented,
    )


def _placed(
    sightings: Sequence[Sighting], takes: Sequence[Take], began: datetime | None
) -> Iterator[tuple[Sighting, int]]:
    """Each sighting with the index of the take nearest in time. A live film began when its first one walked in."""
    planned = photographs.passages(takes)
    if not sightings:
        return
    middle = photographs.PASSAGE_SECONDS / 2
    start = began or sightings[0].capture_time - timedelta(seconds=planned[0].start + middle)
    for sighting in sightings:
        at = (sighting.capture_time - start).total_seconds()
        yield sighting, min(range(len(planned)), key=lambda index: abs(planned[index].start + middle - at))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


# -- what remains -----------------------------------------------------------------------------------------------------


def say(*lines: str) -> None:
    """To whoever watches the run (pytest -s), and to the folder of artefacts."""
    text = "\n".join(lines)
    print(f"\n{text}", flush=True)  # noqa: T201
    if folder := _artefacts():
        with (folder / "confusion.txt").open("a") as out:
            out.write(f"{text}\n\n")


def keep(*files: Path, name: str = "") -> None:
    """Copies into the folder of artefacts, when there is one."""
    if folder := _artefacts():
        for file in files:
            if file.is_dir():
                shutil.copytree(file, folder / (name or file.name), dirs_exist_ok=True)
            else:
                shutil.copy2(file, folder)


def keep_json(name: str, content: Mapping[str, Any]) -> None:
    if folder := _artefacts():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def _artefacts() -> Path | None:
    value = os.environ.get("FOOTFALL_E2E_ARTEFACTS")
    if not value:
        return None
    Path(value).mkdir(parents=True, exist_ok=True)
    return Path(value)
