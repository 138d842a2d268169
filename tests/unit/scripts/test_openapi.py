"""The JSON API's document says what the transcoder does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from scripts.openapi import main, openapi
from scripts.proto_image import Image
from tests.unit.scripts.tiny_image import tiny_image


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi(Image(tiny_image()))


def parameters(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {parameter["name"]: parameter for parameter in operation["parameters"]}


def test_it_is_valid_openapi(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_every_binding_is_an_operation_and_an_rpc_without_a_route_is_none(document: dict[str, Any]) -> None:
    operations = {
        f"{verb.upper()} {path}": operation["operationId"]
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    }

    assert operations == {
        "GET /v1/shops/{id}": "ShopService_GetShop",
        "GET /v1/shops/{id}:again": "ShopService_GetShop_1",
        "PATCH /v1/shops/{id}": "ShopService_UpdateShop",
        "POST /v1/shops/{id}:open": "ShopService_OpenShop",
        "GET /v1/shops:watch": "ShopService_WatchShop",
        "GET /v1/shops/{id}:show": "ShopService_ShowShop",
    }


def test_a_query_is_flattened_as_the_transcoder_does(document: dict[str, Any]) -> None:
    found = parameters(document["paths"]["/v1/shops/{id}"]["get"])

    assert list(found) == ["id", "page_size", "place.latitude", "kinds"]
    assert found["id"]["in"] == "path"
    assert found["place.latitude"]["schema"]["maximum"] == 90
    assert found["kinds"]["explode"] is True
    assert "required" not in found["page_size"]


def test_a_body_holds_all_that_the_path_does_not(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/shops/{id}"]["patch"]

    schema = operation["requestBody"]["content"]["application/json"]["schema"]

    assert list(schema["properties"]) == ["shop", "updateMask"]
    assert schema["required"] == ["shop"]
    assert operation["deprecated"] is True


def test_a_body_of_one_field_leaves_the_others_to_the_query(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/shops/{id}:open"]["post"]

    assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("footfall.shop.v1.Shop")
    assert list(parameters(operation)) == ["id", "update_mask"]


def test_raw_content_and_streams_say_their_types(document: dict[str, Any]) -> None:
    show = document["paths"]["/v1/shops/{id}:show"]["get"]["responses"]["200"]["content"]
    watch = document["paths"]["/v1/shops:watch"]["get"]["responses"]["200"]["content"]

    assert show == {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    assert set(watch) == {"application/json", "text/event-stream"}


def test_comments_become_summaries_and_errors_list_the_reasons(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/shops/{id}"]["get"]

    assert operation["summary"] == "One shop"
    assert operation["description"] == "One shop. Never a foreign one."
    assert document["components"]["schemas"]["google.rpc.ErrorInfo"]["properties"]["reason"]["enum"] == ["NOT_FOUND"]


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    image = tmp_path / "image.binpb"
    image.write_bytes(tiny_image())
    first, second = tmp_path / "a.json", tmp_path / "b.json"

    assert main([str(image), str(first)]) == main([str(image), str(second)]) == 0

    assert first.read_bytes() == second.read_bytes()
    assert json.loads(first.read_text())["openapi"] == "3.1.0"
