"""Times between protobuf and the domain, whose datetimes are aware."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import overload

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import InvalidField


@overload
def timestamp(at: datetime) -> Timestamp: ...
@overload
def timestamp(at: None) -> None: ...
@overload
def timestamp(at: datetime | None) -> Timestamp | None: ...
def timestamp(at: datetime | None) -> Timestamp | None:
    """An aware time as protobuf has it; None stays absent."""
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def moment(field: str, stamp: Timestamp) -> datetime:
    """A time of a request, aware, to the microsecond.

    Args:
        field: its path in the request, for the violation.

    Raises:
        InvalidField: it lies outside of the years 1 to 9999.
    """
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidField(field, "must lie between the years 1 and 9999") from None


def duration(span: timedelta) -> Duration:
    """A span of time as protobuf has it."""
    message = Duration()
    message.FromTimedelta(span)
    return message
