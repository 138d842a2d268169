"""Descriptors, comments, options and routes are read out of an image alone."""

from __future__ import annotations

import pytest

from scripts.proto_image import FIELD_RULES, Binding, Image
from tests.unit.scripts.tiny_image import tiny_image


@pytest.fixture
def image() -> Image:
    return Image(tiny_image())


def test_comments_are_joined_to_one_line_a_paragraph(image: Image) -> None:
    shop = image.message("footfall.shop.v1.Shop")

    assert image.comment(shop) == "Where things are sold: everything."
    assert image.comment(shop.fields_by_name["visit_count"]) == "People who came in."
    assert image.comment(shop.fields_by_name["id"]) == ""
    assert image.value_comment(image.enum("footfall.shop.v1.Kind"), "KIND_BAKERY") == "Bread."


def test_only_our_services_and_messages_are_listed(image: Image) -> None:
    assert [service.name for service in image.services()] == ["ShopService"]
    assert [message.name for message in image.messages()] == ["Shop", "Place", "GetShopRequest", "UpdateShopRequest"]


def test_a_route_and_its_additional_bindings_are_read_in_order(image: Image) -> None:
    (service,) = image.services()

    assert image.bindings(service.methods_by_name["GetShop"]) == [
        Binding("GET", "/v1/shops/{id}", ""),
        Binding("GET", "/v1/shops/{id}:again", ""),
    ]
    assert image.bindings(service.methods_by_name["MatchShop"]) == []


def test_rules_are_read_with_the_extension_that_the_image_itself_defines(image: Image) -> None:
    shop = image.message("footfall.shop.v1.Shop")

    rules = image.extension(shop.fields_by_name["id"], FIELD_RULES)

    assert rules is not None
    assert rules.string.uuid is True
    assert image.extension(shop.fields_by_name["visit_count"], FIELD_RULES) is None
    assert image.extension(shop.fields_by_name["id"], "nobody.knows.this") is None
