"""What protobuf's json_format prints fits the schema; what the rules refuse does not."""

from __future__ import annotations

import base64
import copy
from typing import Any

import jsonschema
import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from scripts.json_schemas import json_schema
from scripts.proto_image import Image
from tests.unit.scripts.tiny_image import tiny_image

SHOP = {
    "id": "0197a1c2-0000-7000-8000-000000000001",
    "visitCount": "12345678901",
    "picture": base64.b64encode(b"sixbyt").decode(),
    "openTime": "2026-03-01T08:00:00Z",
    "kind": "KIND_BAKERY",
    "tags": ["warm", "crisp"],
    "place": {"latitude": 52.5},
    "labels": {"floor": 2},
    "branch": {"id": "0197a1c2-0000-7000-8000-000000000002", "kind": "KIND_BAKERY", "picture": "c2l4Ynl0"},
}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema(Image(tiny_image()), "Shop")


def errors(schema: dict[str, Any], instance: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(instance)]


def with_value(path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(SHOP)
    place: Any = changed
    *parents, last = path.split(".")
    for name in parents:
        place = place[name]
    place[last] = value
    return changed


def test_the_schema_is_itself_valid_and_refers_to_nothing_outside(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)

    assert set(schema["$defs"]) == {"footfall.shop.v1.Kind", "footfall.shop.v1.Place", "footfall.shop.v1.Shop"}


def test_what_json_format_prints_is_accepted(schema: dict[str, Any]) -> None:
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(tiny_image()).file:
        pool.Add(file)
    shop = message_factory.GetMessageClass(pool.FindMessageTypeByName("footfall.shop.v1.Shop"))()
    json_format.ParseDict(SHOP, shop)

    printed = json_format.MessageToDict(shop)

    assert printed == SHOP
    assert errors(schema, printed) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("id", "not-a-uuid"),
        ("visitCount", 5),
        ("picture", base64.b64encode(b"seven b").decode() + "AAAA"),
        ("kind", "KIND_UNSPECIFIED"),
        ("kind", "KIND_FISHMONGER"),
        ("tags", ["ok", "ok"]),
        ("tags", ["x"]),
        ("tags", ["aa", "bb", "cc", "dd"]),
        ("place.latitude", 91),
        ("labels.floor", "second"),
        ("street", "both members of a oneof"),
        ("branch.id", "rules hold below the first level too"),
    ],
)
def test_what_a_rule_refuses_the_schema_refuses(schema: dict[str, Any], path: str, value: Any) -> None:
    assert errors(schema, with_value(path, value))


def test_a_field_whose_zero_breaks_a_rule_is_required(schema: dict[str, Any]) -> None:
    assert schema["required"] == ["id", "picture", "kind"]


def test_a_oneof_may_be_unset(schema: dict[str, Any]) -> None:
    without = {name: value for name, value in SHOP.items() if name != "place"}

    assert errors(schema, without) == []


def test_a_name_that_is_missing_or_ambiguous_is_refused() -> None:
    with pytest.raises(LookupError, match="0 messages called Warehouse"):
        json_schema(Image(tiny_image()), "Warehouse")
