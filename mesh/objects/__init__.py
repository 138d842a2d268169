"""Images: the port, its two stores, and who may fetch by a signed path.

async with open_store(settings.images) as images:      # "folder:///var/lib/footfall/images", "s3://key:secret@host/bucket"
    await images.put(key, jpeg, "image/jpeg", expire_time)
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from mesh.objects.folder import FolderStore
from mesh.objects.port import InvalidKey, ObjectInfo, ObjectNotFound, ObjectStore, StoredObject
from mesh.objects.s3 import S3Store
from mesh.objects.signing import ImageSigner, SignedPath

__all__ = [
    "FolderStore",
    "ImageSigner",
    "InvalidKey",
    "ObjectInfo",
    "ObjectNotFound",
    "ObjectStore",
    "S3Store",
    "SignedPath",
    "StoredObject",
    "open_store",
]


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[ObjectStore]:
    """The store that a setting names. Nothing is contacted yet: the store's `check` tells whether it is there.

    Args:
        url: folder:///absolute/path, or s3://access:secret@host:port/bucket[/prefix][?secure=false&region=…].

    Raises:
        ValueError: neither; the message does not repeat it, for it may hold a secret.
    """
    parts = urlsplit(url)
    if parts.scheme == "folder" and parts.path.startswith("/"):
        yield FolderStore(Path(unquote(parts.path)))
        return
    bucket, _, prefix = parts.path.strip("/").partition("/")
    if parts.scheme != "s3" or not parts.hostname or not bucket or not parts.username or not parts.password:
        msg = "images are at folder:///path or s3://access:secret@host:port/bucket"
        raise ValueError(msg)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    store = S3Store(
        parts.netloc.rpartition("@")[2],
        bucket,
        unquote(parts.username),
        unquote(parts.password),
        secure=query.get("secure", "true") != "false",
        region=query.get("region", "us-east-1"),
        prefix=f"{prefix}/" if prefix else "",
    )
    try:
        yield store
    finally:
        await store.close()
