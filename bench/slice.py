"""From StreamFaces to the ack, through the gateway, next to the floor of the same run. `make bench-slice`

The real mesh is started on a home of its own, a worker takes a lease, and batches of faces are sent through Envoy to
svc_ingest, matched by svc_identity, written and folded: first one batch at a time (what an ack takes), then several
under way (what a stream carries). The people are random points of the sphere, each face a little beside its person's.

The floor is what the same work costs without us: the same rows inserted again in the same batches, in as many durable
transactions; the same vectors searched and added in a Milvus Lite of its own; the same pictures written to the same
file system. No RPC, no token, no encryption, no row-level security, no fold.

The last line is one JSON object of figures.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

import numpy as np
import psycopg
from footfall.ingest.v1 import event_pb2, ingest_pb2_grpc
from footfall.type.v1 import embedding_pb2, face_pb2
from numpy.typing import NDArray

from mesh.ids import EmbeddingId, SystemIds, TenantId
from mesh.objects import FolderStore
from svc_identity.vectors.milvus import MilvusIndex
from svc_identity.vectors.port import IndexRow
from tests.support.ingest import FaceSender, jpeg
from tests.support.stack import Mesh, Tenant, running_mesh
from tests.support.waiting import until
from tests.support.worker import worker
from vision import demo

PEOPLE: Final = 500
NOISE: Final = 0.5
"""Length of what is added to a person's own vector: two faces of one person have a cosine of about 0.8."""
BATCH: Final = 32
UNDER_WAY: Final = 4
"""Batches of one stream at once: as many as svc_ingest works on."""
APART_SECONDS: Final = 5.0
"""Between two faces, on the film's clock: the shop is busy, and people come back within and after a visit's gap."""
WARM_BATCHES: Final = 4
ALONE_SECONDS, TOGETHER_SECONDS = 5.0, 12.0
FLOOR_ALONE_SECONDS, FLOOR_TOGETHER_SECONDS = 5.0, 10.0
PICTURE_BYTES: Final = 12_000
SEED: Final = 7

IDS: Final = SystemIds()
Vectors = NDArray[np.float32]

# What one batch leaves behind: first what svc_identity commits, then what svc_ingest does. Rows of the tables without
# an event's id are dealt out over the batches in the order in which they came to be.
BY_EVENT: Final = (("match_decisions", "event_id"), ("face_events", "id"), ("face_images", "event_id"))
DEALT: Final = (
    ("customers", "id"),
    ("embeddings", "id"),
    ("visits", "id"),
    ("visit_feed", "seq"),
    ("dirty_days", "ctid"),
)
FIRST: Final = frozenset({"match_decisions", "customers", "embeddings"})


@dataclass
class Sent:
    """One batch.

    Attributes:
        milliseconds: from the write to its answer.
        known, new: faces of people seen before, and not.
    """

    events: Sequence[event_pb2.FaceDetected]
    milliseconds: float = 0.0
    known: int = 0
    new: int = 0


@dataclass
class Crowd:
    """Faces without end."""

    camera_id: str
    epoch: int
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))  # noqa: S311 (the same in every run)
    numbers: np.random.Generator = field(default_factory=lambda: np.random.default_rng(SEED))
    at: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(days=20))

    def __post_init__(self) -> None:
        self.people = _unit(self.numbers.standard_normal((PEOPLE, 512), dtype=np.float32))
        self.picture = jpeg(side=128)
        self.picture += bytes(max(0, PICTURE_BYTES - len(self.picture)))

    def batch(self) -> list[event_pb2.FaceDetected]:
        """The next ones."""
        return [self._face() for _ in range(BATCH)]

    def _face(self) -> event_pb2.FaceDetected:
        self.at += timedelta(seconds=APART_SECONDS)
        at = self.at.replace(microsecond=self.at.microsecond // 1000 * 1000)
        person = self.people[self.chance.randrange(PEOPLE)]
        noise = _unit(self.numbers.standard_normal((1, 512), dtype=np.float32))[0]
        made = event_pb2.FaceDetected(
            id=str(IDS.uuid7(at)),
            camera_id=self.camera_id,
            lease_epoch=self.epoch,
            embedding=embedding_pb2.Embedding(
                space=demo.SPACE, vector=_unit((person + NOISE * noise)[None])[0].astype("<f4").tobytes()
            ),
            quality=face_pb2.FaceQuality(detection_score=0.9, overall=0.8, face_pixels=120),
            box=face_pb2.BoundingBox(left=0.4, top=0.3, width=0.1, height=0.2),
            snapshot=self.picture,
        )
        made.capture_time.FromDatetime(at)
        return made


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


# -- the road ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def stream_of(mesh: Mesh, tenant: Tenant) -> Any:
    """A worker with a lease of a camera, and its stream of faces: (crowd, sender)."""
    site = tenant.site()
    # A recording: its faces may have been captured on any day, so that a run of seconds holds weeks of a shop.
    camera = tenant.camera(site, uri="folder:///recordings")
    token = mesh.exchange(tenant.worker_key(site)[0])["accessToken"]
    async with (
        mesh.grpc(token) as session,
        mesh.grpc(token) as road,
        worker(cast("Any", None), token, channel=session) as mac,
    ):
        await until(lambda: mac.watches(camera), within=60)
        sender = FaceSender(ingest_pb2_grpc.IngestServiceStub(road).StreamFaces())
        await sender.open()
        yield Crowd(camera, mac.epoch(camera)), sender
        sender.call.cancel()


async def drive(sender: FaceSender, crowd: Crowd, *, seconds: float, under_way: int, most: int = 10**6) -> list[Sent]:
    """Sends batches for a while, so many unanswered at once; every one is answered when this returns."""
    waiting: deque[tuple[int, float, Sent]] = deque()
    done: list[Sent] = []
    began = time.perf_counter()
    prepared = crowd.batch()
    while waiting or (len(done) < most and time.perf_counter() - began < seconds):
        while len(waiting) < under_way and len(done) + len(waiting) < most and time.perf_counter() - began < seconds:
            sent = Sent(prepared)
            waiting.append((await sender.push(*prepared), time.perf_counter(), sent))
            prepared = crowd.batch()
        if waiting:
            number, start, sent = waiting.popleft()
            answer = await sender.answer(number)
            sent.milliseconds = (time.perf_counter() - start) * 1000
            _judge(answer.outcomes, sent)
            done.append(sent)
    return done


def _judge(outcomes: Sequence[event_pb2.FaceOutcome], sent: Sent) -> None:
    wrong = [one for one in outcomes if one.status != event_pb2.FaceOutcome.STATUS_ACCEPTED]
    assert not wrong, f"{len(wrong)} of {len(outcomes)} were not accepted: {wrong[0]}"
    assert len(outcomes) == len(sent.events)
    sent.new = sum(one.match == event_pb2.MATCH_NEW for one in outcomes)
    sent.known = sum(one.match == event_pb2.MATCH_KNOWN for one in outcomes)


# -- the floor --------------------------------------------------------------------------------------------------------


class Floor:
    """The same writes, by themselves."""

    def __init__(self, url: str, folder: Path, tenant_id: str, sent: Sequence[Sent]) -> None:
        self._url = url
        self._images = FolderStore(folder / "images")
        self._index = MilvusIndex(str(folder / "vectors.db"))
        self._tenant_id = TenantId(UUID(tenant_id))
        self._sent = sent
        with psycopg.connect(url, autocommit=True) as connection:
            self._rows = deque(zip(self._collect(connection), sent, strict=True))
        self.parts: dict[str, list[float]] = {"search": [], "index": [], "pictures": [], "rows": []}
        """Milliseconds per batch of what it is made of."""

    def _collect(self, connection: psycopg.Connection[Any]) -> list[dict[str, list[str]]]:
        """The rows of each batch by table, as PostgreSQL writes rows."""
        batches: list[dict[str, list[str]]] = [{} for _ in self._sent]
        ask = connection.execute
        for table, key in BY_EVENT:
            for rows, sent in zip(batches, self._sent, strict=True):
                ids = [UUID(event.id) for event in sent.events]
                found = ask(f"SELECT t::text FROM {table} t WHERE {key} = ANY(%s)", [ids]).fetchall()  # noqa: S608
                rows[table] = [row for (row,) in found]
        counted = ask("SELECT count(*) FROM face_events WHERE tenant_id = %s", [self._tenant_id]).fetchone()
        share = len(self._sent) * BATCH / (counted[0] if counted else 1)
        for table, key in DEALT:
            query = f"SELECT t::text FROM {table} t WHERE tenant_id = %s ORDER BY {key} DESC"  # noqa: S608
            found = ask(query, [self._tenant_id]).fetchall()
            mine = [row for (row,) in found[: round(len(found) * share)]][::-1]
            for rows, part in zip(batches, _dealt(mine, len(batches)), strict=True):
                rows[table] = part
        ask("CREATE SCHEMA floor")
        for table, _ in (*BY_EVENT, *DEALT):
            ask(f"CREATE TABLE floor.{table} (LIKE {table} INCLUDING ALL EXCLUDING GENERATED EXCLUDING IDENTITY)")
        return batches

    async def run(self, seconds: float, *, under_way: int) -> list[float]:
        """Milliseconds of each batch, so many at once, for as many as the time allows. Goes on where it stopped."""
        spans: list[float] = []
        end = time.perf_counter() + seconds

        async def work() -> None:
            with psycopg.connect(self._url, autocommit=True) as connection:
                while self._rows and time.perf_counter() < end:
                    rows, sent = self._rows.popleft()
                    start = time.perf_counter()
                    await self._once(connection, rows, sent)
                    spans.append((time.perf_counter() - start) * 1000)

        await asyncio.gather(*(work() for _ in range(under_way)))
        return spans

    async def close(self) -> None:
        """Lets go of the index."""
        await self._index.close()

    async def _once(self, connection: psycopg.Connection[Any], rows: dict[str, list[str]], sent: Sent) -> None:
        vectors = np.stack([np.frombuffer(event.embedding.vector, "<f4") for event in sent.events])
        with self._timed("search"):
            await self._index.search(demo.SPACE, self._tenant_id, vectors, 5)
        added = [
            IndexRow(EmbeddingId(IDS.uuid7()), self._tenant_id, "CUSTOMER", "", int(time.time()), vector)
            for vector in vectors[: len(rows["embeddings"])]
        ]
        with self._timed("index"):
            await self._index.upsert(demo.SPACE, added)
        puts = [
            self._images.put(f"t/{self._tenant_id}/{event.id}.jpg", event.snapshot, "image/jpeg")
            for event in sent.events
        ]
        with self._timed("pictures"):
            await asyncio.gather(*puts)
        with self._timed("rows"):
            for first in (True, False):
                part = {table: found for table, found in rows.items() if (table in FIRST) is first}
                await asyncio.to_thread(_insert, connection, part)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.parts[part].append((time.perf_counter() - start) * 1000)


def _insert(connection: psycopg.Connection[Any], rows: dict[str, list[str]]) -> None:
    with connection.transaction():
        for table, found in rows.items():
            insert = f"INSERT INTO floor.{table} SELECT * FROM unnest(%s::{table}[])"  # noqa: S608
            connection.execute(insert, [found])


def _dealt(rows: Sequence[str], batches: int) -> Iterator[list[str]]:
    """Rows in their order over so many batches, as evenly as it goes."""
    for number in range(batches):
        yield list(rows[len(rows) * number // batches : len(rows) * (number + 1) // batches])


# -- figures ----------------------------------------------------------------------------------------------------------


async def measure(mesh: Mesh, folder: Path) -> dict[str, Any]:
    """All phases, and their figures."""
    tenant = await asyncio.to_thread(mesh.tenant, "bench")
    async with stream_of(mesh, tenant) as (crowd, sender):
        await drive(sender, crowd, seconds=60, under_way=1, most=WARM_BATCHES)
        alone = await drive(sender, crowd, seconds=ALONE_SECONDS, under_way=1)
        start = time.perf_counter()
        together = await drive(sender, crowd, seconds=TOGETHER_SECONDS, under_way=UNDER_WAY)
        took = time.perf_counter() - start
    memory = {row.name: row.memory_bytes >> 20 for row in mesh.status().rows if row.memory_bytes}
    again = Floor(mesh.database_url, folder, tenant.id, together)
    floor_alone = await again.run(FLOOR_ALONE_SECONDS, under_way=1)
    parts = {part: spans.copy() for part, spans in again.parts.items()}
    start = time.perf_counter()
    floor = await again.run(FLOOR_TOGETHER_SECONDS, under_way=UNDER_WAY)
    floor_took = time.perf_counter() - start
    await again.close()
    rate, floor_rate = len(together) * BATCH / took, len(floor) * BATCH / floor_took
    return {
        "batch": BATCH,
        "events_per_second": round(rate, 1),
        "floor_events_per_second": round(floor_rate, 1),
        "ratio": round(rate / floor_rate, 3),
        "under_way": UNDER_WAY,
        **_percentiles("ack_ms", [sent.milliseconds for sent in together]),
        **_percentiles("ack_ms_one_under_way", [sent.milliseconds for sent in alone]),
        **_percentiles("floor_ms", floor),
        **_percentiles("floor_ms_one_under_way", floor_alone),
        **{f"floor_ms_one_under_way_{part}_p50": round(float(np.median(spans)), 1) for part, spans in parts.items()},
        "events": (len(alone) + len(together)) * BATCH,
        "known": sum(sent.known for sent in (*alone, *together)),
        "new": sum(sent.new for sent in (*alone, *together)),
        "picture_bytes": len(crowd.picture),
        "memory_mib": sum(memory.values()),
    }


def _percentiles(name: str, milliseconds: Sequence[float]) -> dict[str, float]:
    return {f"{name}_p{share}": round(float(np.percentile(milliseconds, share)), 1) for share in (50, 95)}


def main() -> None:
    """Prints the figures plainly, then as JSON."""
    with tempfile.TemporaryDirectory(prefix="footfall-bench-") as folder:
        print("the mesh starts …", file=sys.stderr)
        with running_mesh(Path(folder) / "home") as mesh:
            started = mesh.status().ready_seconds
            figures = asyncio.run(measure(mesh, Path(folder)))
    figures["mesh_started_seconds"] = started
    for name, value in figures.items():
        print(f"{name:34} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
