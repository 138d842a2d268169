"""The image store at one desk: a folder. One file per object, its few facts in front of its bytes.

A file is written beside its place, flushed to the disk and renamed into it, and the rename is flushed too: a reader
never meets half an object, and an answered `put` survives a power cut.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import tempfile
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from mesh.errors import Unavailable
from mesh.objects.port import ObjectInfo, ObjectNotFound, StoredObject, check_key, check_prefix

THREADS: Final = 8  # disk operations at once
_MAGIC: Final = b"FFO1"
_TEMPORARY: Final = ".tmp-"
_ABANDONED_SECONDS: Final = 3600.0  # a temporary file so old belongs to a process that died

T = TypeVar("T")


class FolderStore:
    """An `ObjectStore` in a folder. Several processes may share it.

    Args:
        root: made when it is missing, mode 0700.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._turns = asyncio.Semaphore(THREADS)

    async def put(self, key: str, data: bytes, content_type: str, expire_time: datetime | None = None) -> None:
        check_key(key)
        await self._do(lambda: self._put(key, data, content_type, expire_time))

    async def get(self, key: str) -> StoredObject:
        check_key(key)
        return await self._do(lambda: self._get(key))

    async def stat(self, key: str) -> ObjectInfo | None:
        check_key(key)
        return await self._do(lambda: self._stat(key))

    async def delete(self, key: str) -> None:
        check_key(key)
        await self._do(lambda: self._path(key).unlink(missing_ok=True))

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        check_prefix(prefix)
        for key in await self._do(lambda: sorted(self._walk(prefix))):
            yield key

    async def sweep(self, now: datetime) -> int:
        return await self._do(lambda: self._sweep(now))

    async def check(self) -> None:
        await self._do(lambda: self._root.mkdir(mode=0o700, parents=True, exist_ok=True))
        if not os.access(self._root, os.R_OK | os.W_OK | os.X_OK):
            raise Unavailable("the image folder cannot be written")

    async def _do(self, work: Callable[[], T]) -> T:
        async with self._turns:
            try:
                return await asyncio.to_thread(work)
            except OSError as error:
                raise Unavailable("the image folder cannot be used") from error

    def _path(self, key: str) -> Path:
        return self._root / key

    def _put(self, key: str, data: bytes, content_type: str, expire_time: datetime | None) -> None:
        path = self._path(key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = {"content_type": content_type, "expire_time": int(expire_time.timestamp()) if expire_time else None}
        header = json.dumps(facts).encode()
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_MAGIC + struct.pack(">I", len(header)) + header + data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)

    def _get(self, key: str) -> StoredObject:
        try:
            with self._path(key).open("rb") as file:
                info = _info(key, file)
                return StoredObject(info, file.read())
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise ObjectNotFound(key) from None

    def _stat(self, key: str) -> ObjectInfo | None:
        try:
            with self._path(key).open("rb") as file:
                return _info(key, file)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def _walk(self, prefix: str) -> list[str]:
        # Only the deepest folder that the prefix names is walked.
        start = self._root / prefix.rpartition("/")[0]
        keys = []
        for folder, _, files in os.walk(start):
            inside = Path(folder).relative_to(self._root).as_posix()
            keys += [name if inside == "." else f"{inside}/{name}" for name in files if not name.startswith(_TEMPORARY)]
        return [key for key in keys if key.startswith(prefix)]

    def _sweep(self, now: datetime) -> int:
        removed = 0
        for key in self._walk(""):
            info = self._stat(key)
            if info is not None and info.expire_time is not None and info.expire_time <= now:
                self._path(key).unlink(missing_ok=True)
                removed += 1
        self._sweep_abandoned()
        return removed

    def _sweep_abandoned(self) -> None:
        newest = datetime.now(UTC).timestamp() - _ABANDONED_SECONDS  # file times are the machine's own
        for path in self._root.rglob(f"{_TEMPORARY}*"):
            if path.stat().st_mtime < newest:
                path.unlink(missing_ok=True)


def _info(key: str, file: BinaryIO) -> ObjectInfo:
    """Reads the facts; the file stands at the object's first byte afterwards."""
    start = file.read(8)
    if len(start) < 8 or start[:4] != _MAGIC:
        msg = f"not an object: {key}"
        raise OSError(msg)
    length = struct.unpack(">I", start[4:])[0]
    facts = json.loads(file.read(length))
    size = os.fstat(file.fileno()).st_size - 8 - length
    expire = facts["expire_time"]
    return ObjectInfo(
        key, size, facts["content_type"], datetime.fromtimestamp(expire, UTC) if expire is not None else None
    )


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
