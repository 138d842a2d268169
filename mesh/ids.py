"""Who is who: one distinct type per kind of id, and where new ids come from.

Ids are UUIDv7, so they sort by the time they carry; an event's id carries the time of its capture. Code that makes ids
takes an `Ids`, so that a test knows them beforehand. Standard library and uuid-utils only: the agent imports this too.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Final, NewType, Protocol
from uuid import UUID

from uuid_utils import compat

TenantId = NewType("TenantId", UUID)
SiteId = NewType("SiteId", UUID)
CameraId = NewType("CameraId", UUID)
WorkerId = NewType("WorkerId", UUID)
CustomerId = NewType("CustomerId", UUID)
StaffId = NewType("StaffId", UUID)
EventId = NewType("EventId", UUID)
VisitId = NewType("VisitId", UUID)
ImageId = NewType("ImageId", UUID)
UserId = NewType("UserId", UUID)
ApiKeyId = NewType("ApiKeyId", UUID)
EmbeddingId = NewType("EmbeddingId", UUID)
RequestId = NewType("RequestId", UUID)
LeaseEpoch = NewType("LeaseEpoch", int)

# Whoever stands above tenants acts here: system_admins, their request ids and their audit.
SYSTEM_TENANT_ID: Final = TenantId(UUID(int=0))

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Ids(Protocol):
    """Where new ids and secrets come from."""

    def uuid7(self, at: datetime | None = None) -> UUID:
        """A new UUIDv7 of the aware time `at` (milliseconds are kept), of now without one."""
        ...

    def secret(self, nbytes: int) -> str:
        """`nbytes` of randomness as URL-safe base64 without padding."""
        ...


class SystemIds:
    """The real source: the operating system's randomness."""

    def uuid7(self, at: datetime | None = None) -> UUID:
        if at is None:
            return compat.uuid7()
        return compat.uuid7(nanoseconds=_milliseconds(at) * 1_000_000)

    def secret(self, nbytes: int) -> str:
        return secrets.token_urlsafe(nbytes)


class SequentialIds:
    """The fake: 1, 2, 3, … in the random part, and secrets that tell their number.

    Args:
        start: the time of ids that are asked for without one; aware.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._count = 0

    def uuid7(self, at: datetime | None = None) -> UUID:
        self._count += 1
        stamp = _milliseconds(at or self._start)
        return UUID(int=(stamp << 80) | (0x7 << 76) | (0b10 << 62) | self._count)

    def secret(self, nbytes: int) -> str:
        self._count += 1
        return f"secret-{self._count}".ljust(nbytes, "x")


def uuid7_time(value: UUID) -> datetime:
    """The time that a UUIDv7 carries, to the millisecond (RFC 9562, 5.7).

    Raises:
        ValueError: `value` is not a version 7 UUID.
    """
    if value.version != 7:
        msg = f"not a UUIDv7: {value}"
        raise ValueError(msg)
    return _EPOCH + timedelta(milliseconds=value.int >> 80)


def _milliseconds(at: datetime) -> int:
    if at.tzinfo is None:
        msg = "a naive datetime has no place on the time line"
        raise ValueError(msg)
    return (at - _EPOCH) // timedelta(milliseconds=1)
