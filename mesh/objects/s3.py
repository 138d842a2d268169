"""The image store in production: MinIO, or any S3, by MinIO's client, in threads, plain S3 only.

The bucket's lifecycle removes what is older than the longest retention, where the server has one; `sweep` does not rely
on it.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import structlog
import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule

from mesh.errors import Unavailable
from mesh.objects.port import ObjectInfo, ObjectNotFound, StoredObject, check_key, check_prefix

THREADS: Final = 16  # requests at once
SECONDS: Final = 10.0  # of one request
PAGE: Final = 500  # keys that are listed or removed at a time
EXPIRE_META: Final = "expire-time"  # seconds since 1970, as x-amz-meta-expire-time

T = TypeVar("T")
_log = structlog.get_logger(__name__)
_REFUSALS: Final = (S3Error, InvalidResponseError)
_MISSING: Final = ("NoSuchKey", "NoSuchObject", "ResourceNotFound")


class S3Store:
    """An `ObjectStore` in one bucket.

    Args:
        endpoint: host:port.
        bucket: made by `prepare` when it is missing.
        access_key, secret_key: SigV4 credentials.
        secure: https.
        region: that signatures name.
        prefix: of all keys, e.g. "footfall/".
        ca_certs: a PEM file, for a server of one's own authority.
    """

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        access_key: str,
        secret_key: str,
        *,
        secure: bool = True,
        region: str = "us-east-1",
        prefix: str = "",
        ca_certs: str | None = None,
    ) -> None:
        self._pool = urllib3.PoolManager(
            maxsize=THREADS,
            timeout=urllib3.Timeout(connect=3, read=SECONDS),
            retries=urllib3.Retry(total=2, backoff_factor=0.1, status_forcelist=[500, 502, 503, 504]),
            ca_certs=ca_certs,
        )
        self._client = Minio(
            endpoint,
            access_key=access_key,
            secret_key=secret_key,
            secure=secure,
            region=region,
            http_client=self._pool,
        )
        self._bucket = bucket
        self._prefix = prefix
        self._turns = asyncio.Semaphore(THREADS)

    async def prepare(self, lifecycle_days: int | None = None) -> None:
        """Makes the bucket when it is missing, and asks the server to remove what is older than `lifecycle_days`.

        A server without lifecycles is taken as it is: `sweep` does the work.
        """
        await self._do(lambda: self._prepare(lifecycle_days))

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.to_thread(self._pool.clear)

    async def put(self, key: str, data: bytes, content_type: str, expire_time: datetime | None = None) -> None:
        name = self._prefix + check_key(key)
        metadata: Any = {EXPIRE_META: str(int(expire_time.timestamp()))} if expire_time else None
        await self._do(
            lambda: self._client.put_object(
                self._bucket, name, io.BytesIO(data), len(data), content_type, metadata=metadata
            )
        )

    async def get(self, key: str) -> StoredObject:
        check_key(key)
        found = await self._do(lambda: self._get(key))
        if found is None:
            raise ObjectNotFound(key)
        return found

    async def stat(self, key: str) -> ObjectInfo | None:
        check_key(key)
        return await self._do(lambda: self._stat(key))

    async def delete(self, key: str) -> None:
        name = self._prefix + check_key(key)
        await self._do(lambda: self._remove(name))

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        check_prefix(prefix)
        after: str | None = None
        while True:
            page = await self._do(lambda after=after: self._page(prefix, after))  # type: ignore[misc]  # a default argument
            for key in page:
                yield key
            if len(page) < PAGE:
                return
            after = self._prefix + page[-1]

    async def sweep(self, now: datetime) -> int:
        removed = 0
        async for key in self.keys():
            info = await self.stat(key)
            if info is not None and info.expire_time is not None and info.expire_time <= now:
                await self.delete(key)
                removed += 1
        return removed

    async def check(self) -> None:
        if not await self._do(lambda: self._client.bucket_exists(self._bucket)):
            raise Unavailable("the image bucket does not exist")

    async def _do(self, work: Callable[[], T]) -> T:
        async with self._turns:
            try:
                return await asyncio.to_thread(work)
            except (MinioException, ServerError, InvalidResponseError, urllib3.exceptions.HTTPError, OSError) as error:
                _log.warning("image_store_failed", error=type(error).__name__)
                raise Unavailable("the image store is not available") from error

    def _prepare(self, lifecycle_days: int | None) -> None:
        if not self._client.bucket_exists(self._bucket):
            try:
                self._client.make_bucket(self._bucket)
            except _REFUSALS as error:
                if _code(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):  # another replica was first
                    raise
        if lifecycle_days is None:
            return
        rule = Rule(
            ENABLED,
            rule_filter=Filter(prefix=self._prefix),
            rule_id="footfall-retention",
            expiration=Expiration(days=lifecycle_days),
        )
        try:
            self._client.set_bucket_lifecycle(self._bucket, LifecycleConfig([rule]))
        except _REFUSALS as error:
            _log.warning("image_store_without_lifecycle", code=_code(error))

    def _get(self, key: str) -> StoredObject | None:
        try:
            response = self._client.get_object(self._bucket, self._prefix + key)
        except _REFUSALS as error:
            if _code(error) in _MISSING:
                return None
            raise
        try:
            data = response.read()
            return StoredObject(_info(key, len(data), response.headers), data)
        finally:
            response.close()
            response.release_conn()

    def _stat(self, key: str) -> ObjectInfo | None:
        try:
            found = self._client.stat_object(self._bucket, self._prefix + key)
        except _REFUSALS as error:
            if _code(error) in _MISSING:
                return None
            raise
        return _info(key, found.size or 0, {**(found.metadata or {}), "content-type": found.content_type or ""})

    def _remove(self, name: str) -> None:
        try:
            self._client.remove_object(self._bucket, name)
        except _REFUSALS as error:
            if _code(error) not in _MISSING:
                raise

    def _page(self, prefix: str, after: str | None) -> list[str]:
        found = self._client.list_objects(self._bucket, prefix=self._prefix + prefix, recursive=True, start_after=after)
        keys = []
        for item in found:
            keys.append((item.object_name or "").removeprefix(self._prefix))
            if len(keys) == PAGE:
                break
        return keys


def _code(error: S3Error | InvalidResponseError) -> str:
    """S3's word for the refusal. Some servers send it as text/xml, which the client does not read."""
    if isinstance(error, S3Error):
        return error.code or ""
    found = re.search(r"<Code>(\w+)</Code>", str(error))
    return found.group(1) if found else ""


def _info(key: str, size: int, headers: Any) -> ObjectInfo:
    lower = {str(name).lower(): value for name, value in dict(headers).items()}
    expire = lower.get(f"x-amz-meta-{EXPIRE_META}")
    return ObjectInfo(
        key,
        size,
        str(lower.get("content-type") or "application/octet-stream"),
        datetime.fromtimestamp(int(expire), UTC) if expire else None,
    )
