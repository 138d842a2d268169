"""What every servicer of the reports needs between protobuf and the domain."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from mesh import wire
from mesh.errors import InvalidField
from mesh.ids import SiteId


def moment(field: str, stamp: Timestamp) -> datetime:
    """A time of a request, aware, with room for a zone's offset and a bucket's end on either side.

    Raises:
        InvalidField: it lies outside of the years 1970 to 9998.
    """
    at = wire.moment(field, stamp)
    if not 1970 <= at.year <= 9998:
        raise InvalidField(field, "must lie between the years 1970 and 9998")
    return at


def site_ids(values: Iterable[str]) -> list[SiteId]:
    """Validated site ids, in the order given."""
    return [SiteId(UUID(value)) for value in values]
