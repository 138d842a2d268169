"""What protovalidate's rules on a field mean in JSON Schema.

A rule that JSON Schema cannot say (a CEL expression, a bound on an int64, which is a string in JSON) is left to the
server; nothing here ever refuses what the server would take.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

Json = dict[str, Any]

IGNORE_IF_ZERO_VALUE = 1
IGNORE_ALWAYS = 3

_WIDE = frozenset({"int64", "uint64", "sint64", "fixed64", "sfixed64"})
_NUMBERS = frozenset({"int32", "uint32", "sint32", "fixed32", "sfixed32", "float", "double"})
_FORMATS = {
    "email": {"format": "email"},
    "hostname": {"format": "hostname"},
    "ipv4": {"format": "ipv4"},
    "ipv6": {"format": "ipv6"},
    "uri": {"format": "uri"},
    "uri_ref": {"format": "uri-reference"},
    # A pattern beside the format, because validators treat formats as annotations.
    "uuid": {
        "format": "uuid",
        "pattern": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
    },
    "tuuid": {"pattern": "^[0-9a-fA-F]{32}$"},
}


def constraints(rules: Any | None) -> Json:
    """JSON Schema keywords of a ``buf.validate.FieldRules``, to be added to the field's own schema.

    For a repeated field they are the array's keywords; those of its items stand in ``rules.repeated.items``.
    """
    if rules is None or rules.ignore == IGNORE_ALWAYS:
        return {}
    kind = rules.WhichOneof("type")
    if kind is None:
        return {}
    typed = getattr(rules, kind)
    if kind in _NUMBERS:
        return _number(typed, kind)
    if kind in _WIDE:
        return _wide(typed)
    by_kind = {"string": _string, "bytes": _bytes, "enum": _enum, "repeated": _repeated, "map": _map, "bool": _bool}
    return by_kind[kind](typed) if kind in by_kind else {}


def refuses_zero(field: FieldDescriptor, rules: Any | None) -> bool:
    """Whether leaving the field out breaks a rule, so that JSON Schema must call it required."""
    if rules is None or rules.ignore == IGNORE_ALWAYS:
        return False
    if rules.required:
        return True
    if field.has_presence or rules.ignore == IGNORE_IF_ZERO_VALUE:
        return False
    kind = rules.WhichOneof("type")
    return kind is not None and _zero_is_out(kind, getattr(rules, kind))


def _zero_is_out(kind: str, typed: Any) -> bool:
    if kind in _NUMBERS or kind in _WIDE:
        bound = typed.WhichOneof("greater_than")
        return (bound == "gte" and typed.gte > 0) or (bound == "gt" and typed.gt >= 0) or 0 in typed.not_in
    if kind == "string":
        keywords = _string(typed)
        pattern = keywords.get("pattern")
        return keywords.get("minLength", 0) > 0 or (pattern is not None and re.search(pattern, "") is None)
    if kind == "bytes":
        return bool(_bytes(typed).get("minLength"))
    if kind == "enum":
        allowed = getattr(typed, "in")
        return 0 in typed.not_in or (len(allowed) > 0 and 0 not in allowed)
    return bool(kind == "repeated" and typed.min_items) or bool(kind == "map" and typed.min_pairs)


def _set(typed: Any, **keywords: str) -> Json:
    """``keyword=rule``: the rules that are set, as keywords."""
    return {keyword: getattr(typed, rule) for keyword, rule in keywords.items() if typed.HasField(rule)}


def _number(typed: Any, kind: str) -> Json:
    result = _set(typed, const="const", minimum="gte", exclusiveMinimum="gt", maximum="lte", exclusiveMaximum="lt")
    if allowed := list(getattr(typed, "in")):
        result["enum"] = allowed
    if kind in ("float", "double"):
        # 0.1 as a float32 is 0.10000000149011612: say what the contract says.
        result = {key: float(f"{value:.7g}") if isinstance(value, float) else value for key, value in result.items()}
        result = {
            key: int(value) if isinstance(value, float) and value.is_integer() else value
            for key, value in result.items()
        }
    return result


def _wide(typed: Any) -> Json:
    """An int64 is a string of digits in JSON: of its bounds only its sign, and "not zero", can be said."""
    bound = typed.WhichOneof("greater_than")
    if (bound == "gte" and typed.gte >= 1) or (bound == "gt" and typed.gt >= 0):
        return {"pattern": "^[1-9][0-9]*$"}
    return {"pattern": "^[0-9]+$"} if bound == "gte" and typed.gte == 0 else {}


def _string(typed: Any) -> Json:
    result = _set(typed, const="const", minLength="min_len", maxLength="max_len")
    if typed.HasField("len"):
        result.update(minLength=typed.len, maxLength=typed.len)
    if typed.HasField("max_bytes") and "maxLength" not in result:
        result["maxLength"] = typed.max_bytes  # a character has at least one byte
    if typed.HasField("min_bytes") and typed.min_bytes and "minLength" not in result:
        result["minLength"] = 1
    if typed.HasField("prefix"):
        result["pattern"] = f"^{re.escape(typed.prefix)}"
    if typed.HasField("pattern"):
        result["pattern"] = typed.pattern
    if allowed := list(getattr(typed, "in")):
        result["enum"] = allowed
    well_known = typed.WhichOneof("well_known")
    if well_known and getattr(typed, well_known) is not False:
        result = {**_FORMATS.get(well_known, {}), **result}
    return result


def _bytes(typed: Any) -> Json:
    """Base64 writes 4 characters for 3 bytes; its padding may be left out."""
    least = typed.len if typed.HasField("len") else typed.min_len
    most = typed.len if typed.HasField("len") else typed.max_len
    result: Json = {}
    if least:
        result["minLength"] = -(-least * 4 // 3)
    if most:
        result["maxLength"] = -(-most // 3) * 4
    return result


def _enum(typed: Any) -> Json:
    """By number, under a private key: the caller knows the names (see ``Schemas``)."""
    result: Json = {}
    if typed.not_in:
        result["x-not-in"] = list(typed.not_in)
    if allowed := list(getattr(typed, "in")):
        result["x-in"] = allowed
    return result


def _repeated(typed: Any) -> Json:
    result = _set(typed, minItems="min_items", maxItems="max_items")
    if typed.unique:
        result["uniqueItems"] = True
    return result


def _map(typed: Any) -> Json:
    return _set(typed, minProperties="min_pairs", maxProperties="max_pairs")


def _bool(typed: Any) -> Json:
    return _set(typed, const="const")
