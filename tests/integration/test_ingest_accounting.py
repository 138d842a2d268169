"""Nothing is lost and nothing counts twice: replays, races, outages, kills, and an independent ledger."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import grpc
import pytest
from footfall.ingest.v1 import event_pb2, ingest_pb2_grpc

from mesh.access import Role
from mesh.settings import as_environment
from mesh.tls import Tls
from svc_ingest.events.matching import FakeMatcher
from svc_ingest.wiring import NAME
from tests.support import fold_oracle
from tests.support.database import TestDatabase
from tests.support.folding import Place, live_visits
from tests.support.ingest import MASTER_KEYS, FaceSender, RunningIngest, face, jpeg, now, running_ingest
from tests.support.ingest_peers import running_keys, running_matcher
from tests.support.mesh import TokenIssuer, connect, reason
from tests.support.ports import free_port
from tests.support.seed import SeededTenant, seed_tenant
from tests.support.waiting import until

Outcome = event_pb2.FaceOutcome
ZONE = ZoneInfo("Europe/Vienna")


@pytest.fixture
def tenant(database: TestDatabase) -> SeededTenant:
    return seed_tenant(database)


@pytest.fixture
async def ingest(database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path) -> AsyncIterator[RunningIngest]:
    async with running_ingest(database, peers, tmp_path) as running:
        yield running


@dataclass
class Ledger:
    """What the sender knows: each event once, with its last answer. Knows nothing of the service."""

    sent: dict[str, event_pb2.FaceDetected] = field(default_factory=dict)
    answers: dict[str, event_pb2.FaceOutcome] = field(default_factory=dict)

    def send(self, *events: event_pb2.FaceDetected) -> None:
        self.sent.update({event.id: event for event in events})

    def hear(self, outcomes: list[event_pb2.FaceOutcome]) -> None:
        self.answers.update({outcome.event_id: outcome for outcome in outcomes})

    def count(self) -> Counter[str]:
        """How many were accepted, rejected, quarantined, by their first answer; how many wait for one."""
        tally = Counter(waiting=len(self.sent) - len(self.answers))
        for outcome in self.answers.values():
            status = outcome.first_status if outcome.status == Outcome.STATUS_DUPLICATE else outcome.status
            tally[Outcome.Status.Name(status).removeprefix("STATUS_").lower()] += 1
        return tally


def _chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 (the same in every run)


def _mixture(tenant: SeededTenant, chance: random.Random, at: datetime, number: int) -> event_pb2.FaceDetected:
    """Mostly good events; some that are rejected, and some that are held back."""
    event = face(
        tenant,
        at=at - timedelta(seconds=chance.randrange(7200)),
        person=chance.randrange(12),
        quality=chance.choice([0.9, 0.9, 0.9, 0.1]),
        seconds=chance.randrange(20),
        snapshot=jpeg() if chance.random() < 0.2 else None,
    )
    if number % 11 == 0:
        event.lease_epoch = 5  # never granted: held back
    if number % 13 == 0:
        event.embedding.vector = bytes(2048)  # rejected
    return event


async def test_sent_is_accepted_and_rejected_and_quarantined_whatever_is_sent_twice(
    ingest: RunningIngest, tenant: SeededTenant
) -> None:
    chance, ledger, at = _chance(7), Ledger(), now()
    events = [_mixture(tenant, chance, at, number) for number in range(1, 301)]
    async with ingest.stream(tenant) as one, ingest.stream(tenant) as other:

        async def run(stream: FaceSender, mine: list[event_pb2.FaceDetected]) -> None:
            for start in range(0, len(mine), 16):
                batch = mine[start : start + 16]
                ledger.send(*batch)
                ledger.hear(await stream.send(*batch))

        again = chance.sample(events, 120)
        await asyncio.gather(run(one, events + again[:60]), run(other, again + events[:60]))
    tally = ledger.count()
    assert tally["waiting"] == 0
    assert sum(tally.values()) == len(events) == len(ledger.sent)
    ((accepted,),) = ingest.rows("SELECT count(*) FROM face_events")
    ((held,),) = ingest.rows("SELECT count(*) FROM quarantined_events")
    assert (tally["accepted"], tally["quarantined"]) == (accepted, held)
    assert tally["rejected"] == sum(1 for event in events if event.embedding.vector == bytes(2048))
    _agrees_with_the_oracle(ingest, tenant)


def _agrees_with_the_oracle(ingest: RunningIngest, tenant: SeededTenant) -> None:
    """The visits are those that a plain fold makes of the sightings, and each sighting names its own."""
    rows = ingest.rows(
        "SELECT customer_id, id, track_start_time, track_end_time, quality FROM face_events"
        " WHERE customer_id IS NOT NULL"
    )
    seen: dict[UUID, list[fold_oracle.Sighting]] = {}
    for customer_id, *sighting in rows:
        seen.setdefault(customer_id, []).append(fold_oracle.Sighting(*sighting))
    place = Place(tenant.tenant_id, tenant.site_id, tenant.camera_id)
    rules = [fold_oracle.Rule(datetime(2020, 1, 1, tzinfo=ZONE))]
    with ingest.database.superuser() as connection:
        for customer_id, sightings in seen.items():
            assert list(live_visits(connection, place, customer_id).values()) == fold_oracle.fold(
                sightings, ZONE, rules
            )


async def test_two_streams_that_write_the_same_customer_fold_as_one(
    ingest: RunningIngest, tenant: SeededTenant
) -> None:
    at = now() - timedelta(hours=3)
    moments = [at + timedelta(minutes=number) for number in range(0, 120, 2)]
    _chance(3).shuffle(moments)
    events = [face(tenant, at=moment, person="anna", seconds=5) for moment in moments]
    async with ingest.stream(tenant) as one, ingest.stream(tenant) as other:

        async def run(stream: FaceSender, mine: list[event_pb2.FaceDetected]) -> None:
            numbers = [await stream.push(*mine[start : start + 5]) for start in range(0, len(mine), 5)]
            for number in numbers:
                await stream.answer(number)

        await asyncio.gather(run(one, events[::2]), run(other, events[1::2]))
    _agrees_with_the_oracle(ingest, tenant)
    assert len(set(ingest.rows("SELECT customer_id FROM visits"))) == 1
    assert ingest.rows("SELECT count(*), sum(sighting_count) FROM visits WHERE state = 'LIVE'")[0][1] == len(events)


async def test_the_same_events_on_two_streams_at_once_are_written_once(
    ingest: RunningIngest, tenant: SeededTenant
) -> None:
    events = [face(tenant, at=now(), person=number, quality=0.1 if number % 2 else 0.9) for number in range(32)]
    async with ingest.stream(tenant) as one, ingest.stream(tenant) as other:
        first, second = await asyncio.gather(one.send(*events), other.send(*reversed(events)))
    for outcome, twin in zip(first, reversed(second), strict=True):
        assert {outcome.status, twin.status} <= {Outcome.STATUS_ACCEPTED, Outcome.STATUS_DUPLICATE}
        assert (outcome.person_id, outcome.visit_id) == (twin.person_id, twin.visit_id)
        assert Counter([outcome.status, twin.status])[Outcome.STATUS_ACCEPTED] == 1
    assert ingest.rows("SELECT count(*) FROM face_events") == [(32,)]


async def test_what_was_committed_and_not_acknowledged_gets_the_same_answer_again(
    ingest: RunningIngest, tenant: SeededTenant
) -> None:
    event = face(tenant, at=now(), person="anna")
    async with ingest.stream(tenant) as stream:
        await stream.push(event)
        await until(lambda: ingest.rows("SELECT count(*) FROM face_events") == [(1,)])
    ((visit_id, customer_id),) = ingest.rows("SELECT id, customer_id FROM visits")
    async with ingest.stream(tenant) as stream:
        (again,) = await stream.send(event)
    assert (again.status, again.first_status) == (Outcome.STATUS_DUPLICATE, Outcome.STATUS_ACCEPTED)
    assert (again.visit_id, again.person_id) == (str(visit_id), str(customer_id))
    assert again.match == event_pb2.MATCH_NEW


async def test_while_identity_is_away_a_batch_waits_and_then_goes_on(
    ingest: RunningIngest, tenant: SeededTenant
) -> None:
    assert isinstance(ingest.matcher, FakeMatcher)
    ingest.matcher.go_away(2)
    async with ingest.stream(tenant) as stream:
        (outcome,) = await stream.send(face(tenant, at=now()))
    assert outcome.status == Outcome.STATUS_ACCEPTED
    assert ingest.matcher.calls == 3


async def test_when_identity_stays_away_nothing_is_answered_or_written_and_the_sender_is_told(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path, tenant: SeededTenant
) -> None:
    matcher = FakeMatcher()
    matcher.go_away(10**6)
    async with running_ingest(database, peers, tmp_path, matcher=matcher, batch_attempts=3) as ingest:
        async with ingest.stream(tenant) as stream:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stream.send(face(tenant, at=now()))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert reason(refused.value) == "DEPENDENCY_UNAVAILABLE"
        assert matcher.calls == 3
        assert ingest.rows("SELECT count(*) FROM face_events") == [(0,)]


async def test_a_database_that_comes_back_loses_nothing(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant
) -> None:
    ledger, at = Ledger(), now() - timedelta(minutes=5)
    stop = asyncio.Event()

    async def disturb() -> None:
        with database.superuser() as connection:
            while not stop.is_set():
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = 'svc_ingest' AND datname = current_database()"
                )
                await asyncio.sleep(0.2)

    disturbing = asyncio.create_task(disturb())
    waiting = [
        (face(tenant, at=at, person=number), face(tenant, at=at + timedelta(seconds=number), person="anna"))
        for number in range(30)
    ]
    while waiting:  # as an agent does: what is not answered is sent again on the next stream
        with suppress(grpc.aio.AioRpcError):
            async with ingest.stream(tenant) as stream:
                while waiting:
                    ledger.send(*waiting[0])
                    ledger.hear(await stream.send(*waiting[0]))
                    waiting.pop(0)
    stop.set()
    await disturbing
    assert ledger.count()["accepted"] == 60
    assert ingest.rows("SELECT count(*) FROM face_events") == [(60,)]
    _agrees_with_the_oracle(ingest, tenant)


async def test_a_service_killed_again_and_again_counts_each_event_once(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path, tenant: SeededTenant
) -> None:
    """The whole program, `python -m svc_ingest`, with kill -9 in the middle of batches."""
    issuer, ledger, chance = TokenIssuer(), Ledger(), _chance(11)
    events = [
        face(tenant, at=now() - timedelta(seconds=chance.randrange(7200)), person=number % 9, snapshot=jpeg())
        for number in range(160)
    ]
    port = free_port()
    token = issuer.token(Role.WORKER, tenant_id=tenant.tenant_id, worker_id=tenant.worker_id, site_ids=[tenant.site_id])
    async with running_keys(peers, issuer) as keys, running_matcher(peers, issuer, FakeMatcher()) as identity:
        environment = _environment(database, peers(NAME), tmp_path, (port, keys.port, identity.port))
        waiting = {event.id: event for event in events}
        lives = 0
        while waiting:
            lives += 1
            assert lives < 20
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "svc_ingest", env=environment, stderr=asyncio.subprocess.DEVNULL
            )
            try:
                # Each life answers a few batches and is killed while more are under way; the last one may finish.
                channel = connect(f"127.0.0.1:{port}", NAME, peers("gateway"), token=token)
                await _live(channel, waiting, ledger, batches=3 if lives < 4 else 1000)
            finally:
                process.send_signal(signal.SIGKILL)
                await process.wait()
    assert lives >= 4
    assert ledger.count()["accepted"] == len(events)
    assert ingest_rows(database, "SELECT count(*) FROM face_events") == len(events)
    assert ingest_rows(database, "SELECT count(*) FROM face_images") == len(events)
    assert ingest_rows(database, "SELECT sum(sighting_count) FROM visits WHERE state = 'LIVE'") == len(events)
    assert ingest_rows(database, "SELECT count(DISTINCT customer_id) FROM visits WHERE state = 'LIVE'") == 9


async def _live(
    channel: grpc.aio.Channel, waiting: dict[str, event_pb2.FaceDetected], ledger: Ledger, batches: int
) -> None:
    """Sends what waits, several batches ahead, until so many are answered."""
    async with channel:
        stream = FaceSender(ingest_pb2_grpc.IngestServiceStub(channel).StreamFaces(wait_for_ready=True))
        await stream.open()
        pushed = []
        events = list(waiting.values())
        for start in range(0, min(len(events), (batches + 3) * 8), 8):
            batch = events[start : start + 8]
            ledger.send(*batch)
            pushed.append(await stream.push(*batch))
        for number in pushed[:batches]:
            outcomes = list((await stream.answer(number)).outcomes)
            ledger.hear(outcomes)
            for outcome in outcomes:
                waiting.pop(outcome.event_id, None)


def _environment(database: TestDatabase, tls: Tls, folder: Path, ports: tuple[int, int, int]) -> dict[str, str]:
    listen, registry, identity = ports
    return as_environment(
        {
            "listen": f"127.0.0.1:{listen}",
            "metrics_listen": f"127.0.0.1:{free_port()}",
            "database_url": database.url("svc_ingest"),
            "tls_ca": tls.ca,
            "tls_cert": tls.cert,
            "tls_key": tls.key,
            "master_keys": MASTER_KEYS,
            "registry_target": f"127.0.0.1:{registry}",
            "identity_target": f"127.0.0.1:{identity}",
            "images": f"folder://{folder / 'images'}",
        }
    ) | {"PATH": "/usr/bin:/bin"}


def ingest_rows(database: TestDatabase, sql: str) -> object:
    with database.superuser() as connection:
        row = connection.execute(sql).fetchone()
    assert row is not None
    return row[0]
