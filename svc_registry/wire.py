"""What every servicer of the registry needs between protobuf and the domain."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from footfall.registry.v1 import role_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.access import Role
from mesh.errors import InvalidField

_PREFIX: Final = "ROLE_"


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


def role_to_proto(role: Role) -> role_pb2.Role.ValueType:
    """The contract's value of a role."""
    return role_pb2.Role.Value(_PREFIX + role.value)


def role_of(value: role_pb2.Role.ValueType) -> Role:
    """The role of a contract's value, which validation has proved to be a named one."""
    return Role(role_pb2.Role.Name(value).removeprefix(_PREFIX))


def ids_of(values: Iterable[str]) -> tuple[UUID, ...]:
    """Validated ids, in the order given."""
    return tuple(UUID(value) for value in values)
