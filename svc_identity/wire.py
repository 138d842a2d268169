"""What every servicer of identity needs between protobuf and the domain."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import InvalidField
from svc_identity.matching.domain import Person, PersonKind


def timestamp(at: datetime | None) -> Timestamp | None:
    """An aware time as protobuf has it; None stays absent."""
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def moment(field: str, stamp: Timestamp) -> datetime:
    """A time of a request, aware.

    Raises:
        InvalidField: it lies outside of the years 1 to 9999.
    """
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidField(field, "must lie between the years 1 and 9999") from None


def person_field(person: Person | None) -> dict[str, Any]:
    """The one field of the oneof `person` that names somebody."""
    if person is None:
        return {}
    return {"staff_id" if person.kind is PersonKind.STAFF else "customer_id": str(person.id)}
