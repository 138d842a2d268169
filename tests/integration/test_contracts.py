"""The contracts keep the rules of the house, and break nothing that was promised."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from footfall.ingest.v1 import event_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.contract import MESH_ONLY_SERVICES, PACKAGES, PUBLIC_RPCS, services_of
from scripts.proto_image import FIELD_BEHAVIOR, FIELD_RULES, Image

ROOT = Path(__file__).resolve().parents[2]
BUF = ROOT / "node_modules" / ".bin" / "buf"
IMAGE = Image.read(ROOT / "gen" / "footfall.binpb")
METHODS = [method for service in IMAGE.services() for method in service.methods]
READS = re.compile(r"(List|Get|Watch|Explain|Export|Verify)[A-Z]")
OUTPUT_ONLY = 3

WITHOUT_REQUEST_ID = {
    "IssueToken": "an answer that is kept would be a secret that is kept; signing in again does no harm",
    "RevokeToken": "revoking what is revoked changes nothing",
    "IngestFace": "the event's id is the key",
    "StreamFaces": "each event's id is the key",
    "Connect": "commands and leases are numbered",
    "PushPreview": "pictures that are shown and forgotten",
    "UnwrapSpoolKey": "reads",
    "MatchFaces": "each event's id is the key",
    "RelayPreview": "reads",
}
WITHOUT_ROUTE = {
    "WatchGallery": "embeddings, for workers",
    "StreamFaces": "both sides stream",
    "Connect": "both sides stream",
    "PushPreview": "a worker streams up",
    "UnwrapSpoolKey": "a worker's key, over gRPC only",
}
TIMES_BY_ANOTHER_NAME = {
    "footfall.registry.v1.Command.deadline": "gRPC's word",
    "footfall.registry.v1.CameraLease.release_deadline": "gRPC's word",
}
LARGER_PAGES = {"ListCoverage": 5000}  # rows of a few numbers
WIDE_NUMBERS = re.compile(r"(epoch|seq|revision|generation|batch|bytes|expire)$")
WITHOUT_RULES = {
    # Sent by agents inside of reports, shown to people, never parsed; the message's size is their limit.
    "footfall.type.v1.Problem.reason",
    "footfall.type.v1.Problem.message",
    "footfall.type.v1.Problem.violations",
    "footfall.type.v1.FieldViolation.field",
    "footfall.type.v1.FieldViolation.description",
}


def buf(*arguments: str) -> None:
    """Run buf in the repository; its findings are the failure's text."""
    if not BUF.exists():
        pytest.skip("buf is not installed: npm ci")
    result = subprocess.run([BUF, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.fail(result.stdout + result.stderr)


def test_buf_finds_nothing_to_criticise() -> None:
    buf("lint", "proto")


def test_the_files_are_formatted() -> None:
    buf("format", "proto", "--diff", "--exit-code")


def test_nothing_breaks_against_the_baseline() -> None:
    buf("breaking", "proto", "--against", "proto/baseline.binpb")


@pytest.mark.parametrize("method", [m for m in METHODS if m.name.startswith("List")], ids=lambda m: m.name)
def test_a_list_pages(method: MethodDescriptor) -> None:
    asked, answered = method.input_type.fields_by_name, method.output_type.fields_by_name

    size = IMAGE.extension(asked["page_size"], FIELD_RULES)

    assert size is not None
    assert (size.int32.gte, size.int32.lte) == (0, LARGER_PAGES.get(method.name, 500))
    assert asked["page_token"].type == FieldDescriptor.TYPE_STRING
    assert answered["next_page_token"].type == FieldDescriptor.TYPE_STRING


def test_a_mutation_bears_a_request_id() -> None:
    without = {
        method.name
        for method in METHODS
        if not READS.match(method.name) and "request_id" not in method.input_type.fields_by_name
    }

    assert without == set(WITHOUT_REQUEST_ID)


def test_a_request_id_is_a_uuid() -> None:
    for method in METHODS:
        field = method.input_type.fields_by_name.get("request_id")
        if field is not None:
            rules = IMAGE.extension(field, FIELD_RULES)
            assert rules is not None, field.full_name
            assert rules.string.uuid, field.full_name


def test_all_but_what_is_for_the_mesh_has_an_http_route() -> None:
    without = {
        method.name
        for service in IMAGE.services()
        for method in service.methods
        if service.full_name not in MESH_ONLY_SERVICES and not IMAGE.bindings(method)
    }

    assert without == set(WITHOUT_ROUTE)


def test_what_is_for_the_mesh_has_none() -> None:
    for service in IMAGE.services():
        if service.full_name in MESH_ONLY_SERVICES:
            assert [binding for method in service.methods for binding in IMAGE.bindings(method)] == []


def test_no_two_rpcs_share_a_route() -> None:
    routes = [
        (binding.verb, re.sub(r"\{[^}]*\}", "{}", binding.path))
        for method in METHODS
        for binding in IMAGE.bindings(method)
    ]

    assert sorted(set(routes)) == sorted(routes)


def test_the_gateway_knows_rpcs_that_exist() -> None:
    names = {method.full_name for method in METHODS}
    services = {service.full_name for service in IMAGE.services()}
    routed = services_of((ROOT / "gen" / "footfall.binpb").read_bytes())

    assert names >= PUBLIC_RPCS
    assert services >= MESH_ONLY_SERVICES
    assert {service.full_name for service in routed} == services - MESH_ONLY_SERVICES
    assert {service.package for service in routed} == set(PACKAGES)


def in_requests() -> Iterator[FieldDescriptor]:
    """Every field that a caller can set."""
    seen: set[str] = set()

    def below(message: Descriptor) -> Iterator[FieldDescriptor]:
        if message.full_name in seen or not message.full_name.startswith("footfall."):
            return
        seen.add(message.full_name)
        for field in message.fields:
            if OUTPUT_ONLY in (IMAGE.extension(field, FIELD_BEHAVIOR) or []):
                continue
            yield field
            if field.message_type is not None:
                yield from below(field.message_type)

    for method in METHODS:
        yield from below(method.input_type)


def test_every_field_of_a_request_has_rules() -> None:
    def needs_none(field: FieldDescriptor) -> bool:
        """A bool has no wrong value, a message has the rules of its own fields, and a list of either needs a limit."""
        return not field.is_repeated and (field.type in (FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_MESSAGE))

    without = {
        field.full_name
        for field in in_requests()
        if IMAGE.extension(field, FIELD_RULES) is None and not needs_none(field)
    }

    assert without == WITHOUT_RULES


def test_lists_in_requests_are_limited() -> None:
    unlimited = {
        field.full_name
        for field in in_requests()
        if field.is_repeated and field.full_name not in WITHOUT_RULES and not _limit(field)
    }

    assert unlimited == set()


def _limit(field: FieldDescriptor) -> int:
    rules: Any = IMAGE.extension(field, FIELD_RULES)
    return int(rules.repeated.max_items or rules.map.max_pairs) if rules is not None else 0


def test_no_tenant_comes_from_a_message() -> None:
    assert [field.full_name for field in in_requests() if field.name == "tenant_id"] == []


def test_times_end_in_time() -> None:
    times = {
        field.full_name
        for message in IMAGE.messages()
        for field in message.fields
        if field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp"
    }
    others = {
        field.full_name
        for message in IMAGE.messages()
        for field in message.fields
        if field.name.endswith("_time") and field.full_name not in times
    }

    assert {name for name in times if not name.endswith("_time")} == set(TIMES_BY_ANOTHER_NAME)
    assert others == set()


WIDE = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64, FieldDescriptor.CPPTYPE_UINT32)


def test_counts_are_int32_and_only_what_outgrows_it_is_wider() -> None:
    whole = {
        field.full_name: field.cpp_type
        for message in IMAGE.messages()
        for field in message.fields
        if field.cpp_type
        in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64, FieldDescriptor.CPPTYPE_UINT32)
    }
    counts = {
        field.full_name: field.cpp_type
        for message in IMAGE.messages()
        for field in message.fields
        if field.name.endswith("_count")
    }

    assert [name for name in whole if not WIDE_NUMBERS.search(name)] == []
    assert set(counts.values()) == {FieldDescriptor.CPPTYPE_INT32}


def test_the_document_of_the_json_api_is_valid_and_complete() -> None:
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())

    OpenAPIV31SpecValidator(document).validate()

    documented = sum(len(operations) for operations in document["paths"].values())
    assert documented == sum(len(IMAGE.bindings(method)) for method in METHODS)


EVENT = {
    "id": "0197a1c2-0000-7000-8000-000000000001",
    "cameraId": "0197a1c2-0000-7000-8000-000000000002",
    "leaseEpoch": "3",
    "captureTime": "2026-03-01T09:00:00Z",
    "embedding": {"space": "mobilefacenet-ms1m@1", "vector": "A" * 2731 + "="},
    "quality": {"detectionScore": 0.5, "overall": 0.75, "facePixels": 64},
    "box": {"left": 0.25, "top": 0.25, "width": 0.5, "height": 0.5},
}


def schema_errors(name: str, instance: Any) -> list[str]:
    schema = json.loads((ROOT / "docs" / "schemas" / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return [error.json_path for error in jsonschema.Draft202012Validator(schema).iter_errors(instance)]


@pytest.mark.parametrize("name", ["FaceDetected", "VisitRecord", "CustomerProfile"])
def test_the_published_schemas_are_schemas(name: str) -> None:
    assert schema_errors(name, []) == ["$"]


def test_what_protobuf_prints_of_an_event_fits_its_schema() -> None:
    event = json_format.ParseDict(EVENT, event_pb2.FaceDetected())

    assert schema_errors("FaceDetected", json_format.MessageToDict(event)) == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"cameraId": "entrance"}, "$.cameraId"),
        ({"leaseEpoch": 3}, "$.leaseEpoch"),
        ({"embedding": {"space": "mobilefacenet-ms1m@1", "vector": "AAAA"}}, "$.embedding.vector"),
        ({"embedding": {"space": "Unversioned", "vector": EVENT["embedding"]["vector"]}}, "$.embedding.space"),  # type: ignore[index]
        ({"quality": {"detectionScore": 2, "overall": 0.75, "facePixels": 64}}, "$.quality.detectionScore"),
        ({"box": {"left": 0.25, "top": 0.25, "width": 0}}, "$.box"),
    ],
)
def test_a_malformed_event_does_not_fit_and_the_place_is_named(change: dict[str, Any], path: str) -> None:
    assert any(found.startswith(path) for found in schema_errors("FaceDetected", {**EVENT, **change}))
