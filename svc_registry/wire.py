"""What every servicer of the registry needs between protobuf and the domain."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, Final, TypeVar
from uuid import UUID

from footfall.registry.v1 import role_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from mesh.access import Role
from mesh.errors import InvalidField

MessageT = TypeVar("MessageT", bound=Message)

_PREFIX: Final = "ROLE_"


def role_to_proto(role: Role) -> role_pb2.Role.ValueType:
    """The contract's value of a role."""
    return role_pb2.Role.Value(_PREFIX + role.value)


def role_of(value: role_pb2.Role.ValueType) -> Role:
    """The role of a contract's value, which validation has proved to be a named one."""
    return Role(role_pb2.Role.Name(value).removeprefix(_PREFIX))


def ids_of(values: Iterable[str]) -> tuple[UUID, ...]:
    """Validated ids, in the order given."""
    return tuple(UUID(value) for value in values)


def merged(field: str, current: MessageT, wanted: MessageT, mask: FieldMask) -> MessageT:
    """`current` with the fields that the mask names taken from `wanted` (AIP-134); a field named whole is replaced.

    Args:
        field: name of `wanted` in the request, for the violation.
        mask: proto names with dots, e.g. "settings.image_retention_days".

    Raises:
        InvalidField: a path that does not exist.
    """
    descriptor: Any = current.DESCRIPTOR
    if not mask.IsValidForDescriptor(descriptor):
        raise InvalidField("update_mask", f"names a field that {field} does not have")
    after, source = type(current)(), type(current)()
    after.CopyFrom(current)
    source.CopyFrom(wanted)
    for path in mask.paths:  # a field named within an absent message is named all the same, and is absent
        parent: Any = source
        for name in path.split(".")[:-1]:
            parent = getattr(parent, name)
            parent.SetInParent()
    mask.MergeMessage(source, after, replace_message_field=True, replace_repeated_field=True)
    return after


def local_date(field: str, value: str) -> date | None:
    """A date of the calendar; None for "".

    Raises:
        InvalidField: the calendar has no such day.
    """
    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        raise InvalidField(field, "is not a day of the calendar") from None
