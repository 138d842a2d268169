"""What every servicer of the reports needs between protobuf and the domain."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import InvalidField
from mesh.ids import SiteId


def timestamp(at: datetime) -> Timestamp:
    """An aware time as protobuf has it."""
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def moment(field: str, stamp: Timestamp) -> datetime:
    """A time of a request, aware; ``InvalidField`` when it lies outside of the years that a calendar has."""
    try:
        at = stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidField(field, "must lie between the years 1970 and 9998") from None
    # Room for a zone's offset and a bucket's end on either side.
    if not 1970 <= at.year <= 9998:
        raise InvalidField(field, "must lie between the years 1970 and 9998")
    return at


def site_ids(values: Iterable[str]) -> list[SiteId]:
    """Validated site ids, in the order given."""
    return [SiteId(UUID(value)) for value in values]
