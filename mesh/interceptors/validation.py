"""Last: each request message obeys its contract's rules (protovalidate) before the handler sees it.

Of a request stream each message is checked as it comes, and a bad one ends the stream; where items of a batch must not
fail their neighbours, the contract says IGNORE_ALWAYS, and the servicer checks them one by one with `violations`.
"""

from __future__ import annotations

import json
from typing import Any

import protovalidate
from google.protobuf.message import Message

from mesh.errors import FieldViolation, InvalidFields
from mesh.interceptors.base import Interceptor, Rpc
from mesh.interceptors.texts import with_nul


class Validation(Interceptor):
    """Refuses with INVALID_FIELD, naming every field at fault."""

    name = "validation"

    def receive(self, rpc: Rpc, message: Any) -> None:  # noqa: ARG002
        if isinstance(message, Message) and (found := violations(message)):
            raise InvalidFields(found)


def violations(message: Message, root: str = "") -> list[FieldViolation]:
    """What is wrong with a message by its contract's rules, and what no store would keep; [] when nothing is.

    Args:
        message: any message with protovalidate rules.
        root: put before each field's path, e.g. "events[3]".
    """
    found: list[tuple[str, str]] = []
    try:
        protovalidate.validate(message)
    except protovalidate.ValidationError as error:
        found += ((_path(violation), _message(violation)) for violation in error.violations)
    found += ((path, "must not contain U+0000") for path in with_nul(message))
    return [FieldViolation(".".join(part for part in (root, path) if part), words) for path, words in found]


def _path(violation: protovalidate.Violation) -> str:
    """The field's path in proto names: "events[3].embedding.vector", "labels[\"de\"].text"."""
    parts = []
    path = violation.proto.field
    for element in path.elements if path is not None else ():
        subscript = element.subscript
        index = "" if subscript is None else f"[{json.dumps(subscript.value)}]"
        parts.append(f"{element.field_name}{index}")
    return ".".join(parts)


def _message(violation: protovalidate.Violation) -> str:
    return violation.proto.message or violation.proto.rule_id
