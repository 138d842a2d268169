"""Where images lie: one small interface, a folder at one desk and S3 in production; one conformance suite for both.

Keys are relative paths of plain segments, e.g. "t/<tenant>/faces/<image>.jpg". Each object may carry the time after
which it must be gone: `sweep` removes what is due. It is the net below the retention job, which deletes by key and
verifies.
"""

# ruff: noqa: N818  (named by what they say)

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

MOST_KEY: Final = 512  # characters
_SEGMENT: Final = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_KEY: Final = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")
_PREFIX: Final = re.compile(rf"({_SEGMENT}/)*({_SEGMENT})?")


class ObjectNotFound(Exception):
    """There is no object with this key."""


class InvalidKey(ValueError):
    """Not a key: an escape from the store, or a name that some store cannot hold."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store knows of an object.

    Attributes:
        key: its name.
        size: bytes.
        content_type: media type.
        expire_time: when it must be gone; None = never.
    """

    key: str
    size: int
    content_type: str
    expire_time: datetime | None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object, whole.

    Attributes:
        info: see there.
        data: its bytes.
    """

    info: ObjectInfo
    data: bytes


class ObjectStore(Protocol):
    """A store of small objects (images: at most some MiB), each written whole.

    All methods raise `Unavailable` when the store is away, and `InvalidKey` for what is no key.
    """

    async def put(self, key: str, data: bytes, content_type: str, expire_time: datetime | None = None) -> None:
        """Writes durably, in place of what was there. `expire_time` is aware, to the second."""
        ...

    async def get(self, key: str) -> StoredObject:
        """Reads whole.

        Raises:
            ObjectNotFound: no such key.
        """
        ...

    async def stat(self, key: str) -> ObjectInfo | None:
        """What is known of it; None when there is none."""
        ...

    async def delete(self, key: str) -> None:
        """Removes it; nothing happens when there is none."""
        ...

    def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """The keys that begin with `prefix`, in order."""
        ...

    async def sweep(self, now: datetime) -> int:
        """Removes every object whose expire_time is not after `now`; tells how many."""
        ...

    async def check(self) -> None:
        """A readiness check: raises `Unavailable` when the store cannot be used."""
        ...


def check_key(key: str) -> str:
    """The key, when it is one.

    Raises:
        InvalidKey: empty, absolute, too long, a hidden or a parent segment, or other characters.
    """
    if len(key) > MOST_KEY or not _KEY.fullmatch(key):
        msg = "an object's key is made of segments of letters, digits, '-', '_' and '.'"
        raise InvalidKey(msg)
    return key


def check_prefix(prefix: str) -> str:
    """The prefix, when it is the beginning of keys.

    Raises:
        InvalidKey: it is not.
    """
    if len(prefix) > MOST_KEY or not _PREFIX.fullmatch(prefix):
        msg = "a prefix is the beginning of a key"
        raise InvalidKey(msg)
    return prefix
