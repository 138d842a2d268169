"""Protobuf messages as JSON Schema 2020-12, by the ProtoJSON mapping: what json_format and Envoy's transcoder print.

int64 is a string, bytes are base64, enums are their full names, Timestamps RFC 3339; a field that is unset may be left
out. Rules of protovalidate become keywords (see ``json_constraints``), comments become descriptions.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from scripts.json_constraints import IGNORE_ALWAYS, IGNORE_IF_ZERO_VALUE, Json, constraints, refuses_zero
from scripts.proto_image import FIELD_BEHAVIOR, FIELD_RULES, MESSAGE_RULES, ONEOF_RULES, Image, is_synthetic

REQUIRED, OUTPUT_ONLY, INPUT_ONLY = 2, 3, 4  # google.api.FieldBehavior

WELL_KNOWN: dict[str, Json] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$",
        "examples": ["1.5s"],
    },
    "google.protobuf.FieldMask": {"type": "string", "examples": ["displayName,settings.frameRate"]},
    "google.protobuf.Empty": {"type": "object", "maxProperties": 0},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Any": {"type": "object", "properties": {"@type": {"type": "string"}}, "required": ["@type"]},
    "google.protobuf.BoolValue": {"type": ["boolean", "null"]},
    "google.protobuf.StringValue": {"type": ["string", "null"]},
    "google.protobuf.BytesValue": {"type": ["string", "null"], "contentEncoding": "base64"},
    "google.protobuf.Int32Value": {"type": ["integer", "null"], "format": "int32"},
    "google.protobuf.UInt32Value": {"type": ["integer", "null"], "minimum": 0},
    "google.protobuf.Int64Value": {"type": ["string", "null"], "format": "int64"},
    "google.protobuf.UInt64Value": {"type": ["string", "null"], "format": "uint64"},
    "google.protobuf.FloatValue": {"type": ["number", "null"], "format": "float"},
    "google.protobuf.DoubleValue": {"type": ["number", "null"], "format": "double"},
}

_INT32: Json = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
_UINT32: Json = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
_INT64: Json = {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}
_UINT64: Json = {"type": "string", "format": "uint64", "pattern": "^[0-9]+$"}
_SCALARS: dict[int, Json] = {
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_SINT32: _INT32,
    FieldDescriptor.TYPE_SFIXED32: _INT32,
    FieldDescriptor.TYPE_UINT32: _UINT32,
    FieldDescriptor.TYPE_FIXED32: _UINT32,
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_SINT64: _INT64,
    FieldDescriptor.TYPE_SFIXED64: _INT64,
    FieldDescriptor.TYPE_UINT64: _UINT64,
    FieldDescriptor.TYPE_FIXED64: _UINT64,
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}
_ZERO: dict[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False}


class Schemas:
    """Schemas of an image's messages and enums, collected under ``definitions`` as they are referred to.

    Args:
        image: where the descriptors come from.
        prefix: of a reference: ``#/$defs/`` in a JSON Schema, ``#/components/schemas/`` in OpenAPI.
    """

    def __init__(self, image: Image, prefix: str) -> None:
        self._image = image
        self._prefix = prefix
        self._definitions: dict[str, Json] = {}

    @property
    def definitions(self) -> dict[str, Json]:
        """Everything referred to so far, by key, sorted."""
        return dict(sorted(self._definitions.items()))

    def reference(self, described: Descriptor | EnumDescriptor) -> Json:
        """A ``$ref`` to the schema of a message or enum (or the schema itself of a well-known type)."""
        if described.full_name in WELL_KNOWN:
            return dict(WELL_KNOWN[described.full_name])
        key = described.full_name
        if key not in self._definitions:
            self._definitions[key] = {}  # holds the place: messages may contain themselves
            if isinstance(described, EnumDescriptor):
                self._definitions[key] = self.enum(described)
            else:
                self._definitions[key] = self.message(described)
        return {"$ref": f"{self._prefix}{key}"}

    def message(self, message: Descriptor, without: frozenset[str] = frozenset()) -> Json:
        """The schema of a message as an object, less the fields that ``without`` names."""
        fields = [field for field in message.fields if field.name not in without]
        schema: Json = {"type": "object", "title": message.name}
        description = [self._image.comment(message), *self._messages_of_rules(message)]
        _put(schema, "description", "\n\n".join(part for part in description if part))
        _put(schema, "deprecated", message.GetOptions().deprecated)
        _put(schema, "properties", {field.json_name: self.field(field) for field in fields})
        _put(schema, "required", [field.json_name for field in fields if self.is_required(field)])
        alternatives = [self._oneof(oneof, without) for oneof in message.oneofs if not is_synthetic(oneof)]
        alternatives = [one for one in alternatives if one]
        if len(alternatives) == 1:
            schema.update(alternatives[0])
        else:
            _put(schema, "allOf", alternatives)
        return schema

    def enum(self, enum: EnumDescriptor) -> Json:
        """The schema of an enum: its values' names, with their comments as a list in the description."""
        schema: Json = {"type": "string", "title": enum.name}
        lines = [self._image.comment(enum), ""]
        for value in enum.values:
            comment = self._image.value_comment(enum, value.name)
            lines.append(f"- `{value.name}`: {comment}" if comment else f"- `{value.name}`")
        schema["description"] = "\n".join(lines).strip()
        schema["enum"] = [value.name for value in enum.values]
        return schema

    def field(self, field: FieldDescriptor) -> Json:
        """The schema of a field, rules and comment included."""
        rules = self._image.extension(field, FIELD_RULES)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            values = rules.map.values if rules is not None and rules.WhichOneof("type") == "map" else None
            value = self._one(field.message_type.fields_by_name["value"], values)
            schema: Json = {"type": "object", "additionalProperties": value, **constraints(rules)}
        elif field.is_repeated:
            items = rules.repeated.items if rules is not None and rules.WhichOneof("type") == "repeated" else None
            schema = {"type": "array", "items": self._one(field, items), **constraints(rules)}
        else:
            schema = self._one(field, rules)
        _put(schema, "description", self._image.comment(field))
        _put(schema, "deprecated", field.GetOptions().deprecated)
        behaviors = self._image.extension(field, FIELD_BEHAVIOR) or []
        _put(schema, "readOnly", OUTPUT_ONLY in behaviors)
        _put(schema, "writeOnly", INPUT_ONLY in behaviors)
        return schema

    def is_required(self, field: FieldDescriptor) -> bool:
        """Whether the field must be there: by its rules, or because the contract calls it REQUIRED."""
        if REQUIRED in (self._image.extension(field, FIELD_BEHAVIOR) or []):
            return True
        return refuses_zero(field, self._image.extension(field, FIELD_RULES))

    def _one(self, field: FieldDescriptor, rules: Any | None) -> Json:
        """One value of the field's type under ``rules``."""
        if field.enum_type is not None:
            return self._enum_value(field.enum_type, rules)
        if field.message_type is not None:
            return self.reference(field.message_type)
        schema = {**_SCALARS[field.type], **constraints(rules)}
        if rules is not None and rules.required and schema["type"] == "string":
            schema.setdefault("minLength", 1)
        if "exclusiveMinimum" in schema:
            schema.pop("minimum", None)
        if "exclusiveMaximum" in schema:
            schema.pop("maximum", None)
        if rules is not None and rules.ignore == IGNORE_IF_ZERO_VALUE and schema != _SCALARS[field.type]:
            return {"anyOf": [{"const": _ZERO[schema["type"]]}, schema]}
        return schema

    def _enum_value(self, enum: EnumDescriptor, rules: Any | None) -> Json:
        """A reference to the enum, and the names that a rule leaves of it."""
        schema = self.reference(enum)
        limits = constraints(rules)
        refused = set(limits.get("x-not-in", []))
        if rules is not None and rules.required:
            refused.add(0)
        allowed = limits.get("x-in") or [value.number for value in enum.values]
        names = [value.name for value in enum.values if value.number in allowed and value.number not in refused]
        return {**schema, "enum": names} if len(names) < len(enum.values) else schema

    def _oneof(self, oneof: Any, without: frozenset[str]) -> Json:
        """At most one member, or exactly one when a rule requires it."""
        names = [field.json_name for field in oneof.fields if field.name not in without]
        if not names:
            return {}
        choices: list[Json] = [{"required": [name]} for name in names]
        rules = self._image.extension(oneof, ONEOF_RULES)
        if rules is None or not rules.required:
            choices.append({"not": {"anyOf": [{"required": [name]} for name in names]}})
        return {"oneOf": choices}

    def _messages_of_rules(self, message: Descriptor) -> list[str]:
        """What the message's CEL rules tell whoever breaks them."""
        rules = self._image.extension(message, MESSAGE_RULES)
        if rules is None or getattr(rules, "ignore", 0) == IGNORE_ALWAYS:
            return []
        return [f"Rule: {rule.message}." for rule in rules.cel if rule.message]


def _put(schema: Json, keyword: str, value: Any) -> None:
    """Set a keyword unless its value is empty."""
    if value:
        schema[keyword] = value
