"""U+0000 in a text: protobuf lets it pass, PostgreSQL stores none, and so the caller's slip would be our failure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from buf.validate import validate_pb2 as rules
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_NUL: Final = "\0"


class _Look(NamedTuple):
    """A field in which there may be texts: its own, or of the messages that it holds."""

    name: str
    is_text: bool
    is_repeated: bool


def with_nul(message: Message) -> Iterator[str]:
    """The paths of a message's texts that hold a U+0000: "site.display_name", "rows[2].external_id".

    Like protovalidate, it leaves out the items of a batch that are IGNORE_ALWAYS: their servicer looks at each.
    """
    for name, is_text, is_repeated in _looks(message.DESCRIPTOR):
        value = getattr(message, name)
        # A message that is not set reads as one that is empty.
        items = ((f"{name}[{at}]", item) for at, item in enumerate(value)) if is_repeated else ((name, value),)
        for path, item in items:
            if not is_text:
                yield from (f"{path}.{below}" for below in with_nul(item))
            elif _NUL in item:
                yield path


@cache
def _looks(message: Descriptor) -> tuple[_Look, ...]:
    return tuple(
        _Look(field.name, field.type == FieldDescriptor.TYPE_STRING, field.is_repeated)
        for field in message.fields
        if field.type == FieldDescriptor.TYPE_STRING or _leads_to_text(field)
    )


def _leads_to_text(field: FieldDescriptor) -> bool:
    below = field.message_type
    if below is None or below.GetOptions().map_entry:  # no request has a map
        return False
    if field.GetOptions().Extensions[rules.field].repeated.items.ignore == rules.IGNORE_ALWAYS:
        return False
    return _has_text(below)


@cache
def _has_text(message: Descriptor) -> bool:
    """Whether there is a string in the message or in one that it may hold, however deep."""
    seen, waiting = {message.full_name}, [message]
    while waiting:
        for field in waiting.pop().fields:
            if field.type == FieldDescriptor.TYPE_STRING:
                return True
            if field.message_type is not None and field.message_type.full_name not in seen:
                seen.add(field.message_type.full_name)
                waiting.append(field.message_type)
    return False
