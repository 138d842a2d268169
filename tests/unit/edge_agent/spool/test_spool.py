"""The spool: what it took it answers for, and nobody else can read it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edge_agent.spool.crypto import PublicKey, SpoolKey, SpoolKeyError
from edge_agent.spool.database import SpoolInUseError
from edge_agent.spool.records import Limits, NewEvent, Settlement, Slice, SliceKey, SnapshotVerdict, Verdict
from edge_agent.spool.spool import Spool, SpoolLockedError
from mesh.ids import CameraId, EventId, LeaseEpoch, SequentialIds

NOW = datetime(2026, 11, 18, 9, 7, tzinfo=UTC)
CAMERA = CameraId(UUID(int=1))
WORKER = "019a9000-0000-7000-8000-000000000001"
IDS = SequentialIds()
FACE = b"the face of somebody"
PICTURE = b"\xff\xd8 a picture of somebody"


@pytest.fixture(scope="module")
def mesh_key() -> RSAPrivateKey:
    return generate_private_key(65537, 3072)


@pytest.fixture(scope="module")
def public_key(mesh_key: RSAPrivateKey) -> PublicKey:
    der = mesh_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey("pair-1", der)


@pytest.fixture
async def spool(tmp_path: Path, public_key: PublicKey) -> AsyncIterator[Spool]:
    opened = await Spool.open(tmp_path / "spool", uuid4())
    await opened.wrap_key(public_key, WORKER)
    yield opened
    await opened.close()


def event(number: int = 0, *, snapshot: bytes | None = PICTURE, camera: CameraId = CAMERA) -> NewEvent:
    at = NOW + timedelta(seconds=number)
    return NewEvent(EventId(IDS.uuid7(at)), camera, LeaseEpoch(3), at, FACE, snapshot)


def unwrapped(key: RSAPrivateKey, wrapped: bytes) -> bytes:
    """What the registry does."""
    return key.decrypt(wrapped, OAEP(MGF1(SHA256()), SHA256(), WORKER.encode()))


async def test_events_come_out_as_they_went_in_the_oldest_first(spool: Spool) -> None:
    events = [event(number) for number in range(5)]
    for one in events:
        assert await spool.put(one)

    out = await spool.after(0, 3)
    assert [one.id for one in out] == [one.id for one in events[:3]]
    assert (out[0].body, out[0].snapshot) == (FACE, PICTURE)
    assert [one.id for one in await spool.after(out[-1].seq, 10)] == [one.id for one in events[3:]]


async def test_an_event_is_kept_once(spool: Spool) -> None:
    one = event()
    assert await spool.put(one)
    assert not await spool.put(one)
    assert (await spool.ledger()).stored == 1


async def test_nothing_is_stored_before_the_key_lies_wrapped_on_disk(tmp_path: Path) -> None:
    spool = await Spool.open(tmp_path, uuid4())
    with pytest.raises(SpoolLockedError):
        await spool.put(event())
    await spool.close()


async def test_a_public_key_that_is_too_small_or_none_is_refused(spool: Spool) -> None:
    small = generate_private_key(65537, 2048).public_key()
    der = small.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for bad in (PublicKey("small", der), PublicKey("none", b"nonsense")):
        with pytest.raises(SpoolKeyError):
            await spool.wrap_key(bad, WORKER)


async def test_a_disk_that_was_taken_shows_no_face(tmp_path: Path, spool: Spool) -> None:
    await spool.put(event())
    on_disk = b"".join(path.read_bytes() for path in (tmp_path / "spool").iterdir())
    assert FACE not in on_disk
    assert PICTURE not in on_disk


async def test_only_this_user_may_enter_the_folder(tmp_path: Path, spool: Spool) -> None:
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "spool").iterdir())


async def test_after_a_restart_events_are_sealed_until_the_registry_unwraps_their_key(
    tmp_path: Path, public_key: PublicKey, mesh_key: RSAPrivateKey
) -> None:
    first_boot = uuid4()
    before = await Spool.open(tmp_path, first_boot)
    await before.wrap_key(public_key, WORKER)
    old = event(0)
    await before.put(old)
    await before.close()

    spool = await Spool.open(tmp_path, uuid4())
    await spool.wrap_key(public_key, WORKER)
    new = event(1)
    await spool.put(new)
    assert [one.id for one in await spool.after(0, 10)] == [new.id]

    (sealed,) = await spool.sealed()
    assert (sealed.boot_id, sealed.key_id) == (first_boot, "pair-1")
    with pytest.raises(SpoolKeyError):
        await spool.unseal(first_boot, b"x" * 32)
    await spool.unseal(first_boot, unwrapped(mesh_key, sealed.wrapped))

    assert [(one.id, one.body) for one in await spool.after(0, 10)] == [(old.id, FACE), (new.id, FACE)]
    assert await spool.sealed() == []
    await spool.close()


async def test_another_worker_cannot_have_the_key_unwrapped(public_key: PublicKey, mesh_key: RSAPrivateKey) -> None:
    wrapped = SpoolKey().wrap(public_key, uuid4(), "019a9000-0000-7000-8000-0000000000ff").wrapped
    with pytest.raises(ValueError, match="failed"):
        unwrapped(mesh_key, wrapped)


async def test_rows_cannot_be_swapped_on_disk(tmp_path: Path, spool: Spool) -> None:
    first, second = event(0, snapshot=None), event(1, snapshot=None)
    await spool.put(first)
    await spool.put(second)
    with sqlite3.connect(tmp_path / "spool" / "spool.sqlite") as other:
        other.execute("UPDATE events SET body = (SELECT body FROM events WHERE seq = 2) WHERE seq = 1")
    other.close()
    with pytest.raises(SpoolKeyError):
        await spool.after(0, 10)


async def test_an_answered_event_goes_and_a_pending_snapshot_stays_until_its_own_answer(spool: Spool) -> None:
    stays, goes = event(0), event(1)
    await spool.put(stays)
    await spool.put(goes)

    await spool.settle(
        [
            Settlement(stays.id, Verdict.ACCEPTED, snapshot=SnapshotVerdict.SEND_AGAIN),
            Settlement(goes.id, Verdict.REJECTED, "INVALID_FIELD"),
        ]
    )

    assert await spool.after(0, 10) == []
    (snapshot,) = await spool.snapshots_after(0, 10)
    assert (snapshot.event_id, snapshot.jpeg) == (stays.id, PICTURE)
    assert await spool.reasons() == {"rejected:INVALID_FIELD": 1}
    await spool.settle_snapshots([stays.id])
    assert await spool.snapshots_after(0, 10) == []
    backlog = await spool.backlog()
    assert (backlog.events, backlog.bytes, backlog.oldest) == (0, 0, None)


async def test_an_answer_is_counted_once(spool: Spool) -> None:
    one = event()
    await spool.put(one)
    assert await spool.settle([Settlement(one.id, Verdict.ACCEPTED)]) == 1
    assert await spool.settle([Settlement(one.id, Verdict.ACCEPTED)]) == 0
    ledger = await spool.ledger()
    assert (ledger.accepted, ledger.balanced) == (1, True)


async def test_when_full_snapshots_go_before_events(tmp_path: Path, public_key: PublicKey) -> None:
    spool = await Spool.open(tmp_path, uuid4(), Limits(max_events=100, max_bytes=10_000))
    await spool.wrap_key(public_key, WORKER)
    for number in range(8):
        await spool.put(event(number, snapshot=b"p" * 2000))

    waiting = await spool.after(0, 100)
    assert [one.snapshot is None for one in waiting] == [True] * 4 + [False] * 4
    ledger = await spool.ledger()
    assert (ledger.evicted, ledger.snapshots_dropped, ledger.balanced) == (0, 4, True)
    await spool.close()


async def test_when_full_of_events_the_oldest_go_and_are_shown_as_a_gap(tmp_path: Path, public_key: PublicKey) -> None:
    boot = uuid4()
    spool = await Spool.open(tmp_path, boot, Limits(max_events=3))
    await spool.wrap_key(public_key, WORKER)
    events = [event(number) for number in range(5)]
    for one in events:
        await spool.put(one)

    assert [one.id for one in await spool.after(0, 10)] == [one.id for one in events[2:]]
    (gap,) = await spool.unanswered_coverage(10)
    quarter = datetime(2026, 11, 18, 9, tzinfo=UTC)
    assert gap.slice == Slice(SliceKey(boot, CAMERA, LeaseEpoch(3), quarter), evicted=2)
    assert (await spool.ledger()).balanced
    await spool.close()


async def test_what_is_in_flight_is_not_evicted(tmp_path: Path, public_key: PublicKey) -> None:
    spool = await Spool.open(tmp_path, uuid4(), Limits(max_events=2))
    await spool.wrap_key(public_key, WORKER)
    events = [event(number) for number in range(4)]
    for one in events[:2]:
        await spool.put(one)
    first = (await spool.after(0, 1))[0]
    spool.sent([first.seq])
    for one in events[2:]:
        await spool.put(one)
    assert [one.id for one in await spool.after(0, 10)] == [events[0].id, events[3].id]
    await spool.close()


async def test_the_backlog_tells_the_oldest_of_each_camera(spool: Spool) -> None:
    other = CameraId(UUID(int=2))
    await spool.put(event(5))
    await spool.put(event(9, camera=other))
    await spool.put(event(7, camera=other))
    backlog = await spool.backlog()
    assert {camera: (one.events, one.oldest) for camera, one in backlog.cameras.items()} == {
        CAMERA: (1, NOW + timedelta(seconds=5)),
        other: (2, NOW + timedelta(seconds=7)),
    }
    assert backlog.oldest == NOW + timedelta(seconds=5)


async def test_a_second_agent_cannot_use_the_same_folder(tmp_path: Path, spool: Spool) -> None:
    with pytest.raises(SpoolInUseError):
        await Spool.open(tmp_path / "spool", uuid4())


async def test_a_damaged_file_is_put_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite").write_bytes(b"this is no database at all" * 100)
    spool = await Spool.open(tmp_path, uuid4())
    assert (await spool.ledger()).stored == 0
    await spool.close()
    assert len(list(tmp_path.glob("damaged-*.sqlite"))) == 1


async def test_coverage_keeps_the_greatest_and_is_told_until_it_is_answered(spool: Spool) -> None:
    key = SliceKey(uuid4(), CAMERA, LeaseEpoch(1), datetime(2026, 11, 18, 9, tzinfo=UTC))
    now = NOW
    slice_ = Slice(key, timedelta(seconds=60), frames=300, faces_seen=2, faces_usable=1)
    await spool.put_coverage([slice_])
    told = await spool.unanswered_coverage(10)
    assert [one.slice for one in told] == [slice_]

    # It grew while the first telling was under way: that answer does not cover it.
    grown = replace(slice_, watched=timedelta(seconds=75), frames=380)
    await spool.put_coverage(
        [
            grown,
        ]
    )
    await spool.answer_coverage(told, now)
    again = await spool.unanswered_coverage(10)
    assert [one.slice for one in again] == [grown]
    await spool.answer_coverage(again, now)
    assert await spool.unanswered_coverage(10) == []

    await spool.put_coverage([replace(slice_, frames=1)])
    assert (await spool.unanswered_coverage(10))[0].slice == grown


async def test_a_replayed_command_gets_its_first_result(spool: Spool) -> None:
    assert await spool.last_command() == 0
    assert await spool.receive_command(1, "command-1") is None
    await spool.finish_command("command-1", b"done")
    await spool.finish_command("command-1", b"done otherwise")
    assert await spool.receive_command(1, "command-1") == b"done"
    assert await spool.last_command() == 1


async def test_arrivals_wake_whoever_waits_for_them(spool: Spool) -> None:
    assert await spool.after(0, 1) == []
    waiting = asyncio.create_task(spool.arrival())
    await asyncio.sleep(0)
    assert not waiting.done()
    await spool.put(event())
    await asyncio.wait_for(waiting, 5)
