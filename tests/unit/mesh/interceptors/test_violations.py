import pytest
from footfall.identity.v1 import staff_pb2
from footfall.ingest.v1 import event_pb2, ingest_pb2
from footfall.registry.v1 import auth_pb2, site_pb2
from google.protobuf.message import Message

from mesh.interceptors.validation import violations


def test_a_good_message_has_none() -> None:
    assert violations(auth_pb2.GetJwksRequest()) == []


def test_each_field_at_fault_is_named_by_its_path() -> None:
    request = auth_pb2.IssueTokenRequest(password=auth_pb2.PasswordGrant())
    assert [v.field for v in violations(request)] == ["password.email", "password.password"]


def test_an_item_is_named_by_its_place_in_the_batch() -> None:
    found = violations(event_pb2.FaceDetected(id="x"), root="events[3]")
    assert "events[3].id" in [violation.field for violation in found]


def test_a_batch_does_not_fail_for_its_items() -> None:
    batch = ingest_pb2.StreamFacesRequest(batch=1, events=[event_pb2.FaceDetected(id="x")])
    assert violations(batch) == []


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (site_pb2.CreateSiteRequest(site=site_pb2.Site(display_name="a\0b")), "site.display_name"),
        (site_pb2.ListSitesRequest(page_token="\0"), "page_token"),
        (staff_pb2.ListStaffRequest(site_ids=["a", "\0"]), "site_ids[1]"),
    ],
)
def test_a_text_that_no_store_keeps_is_refused_by_field(message: Message, field: str) -> None:
    assert (field, "must not contain U+0000") in [(v.field, v.description) for v in violations(message)]


def test_nul_in_one_event_does_not_fail_its_neighbours() -> None:
    event = event_pb2.FaceDetected(camera_id="\0")

    assert violations(ingest_pb2.StreamFacesRequest(batch=1, events=[event])) == []
    assert "must not contain U+0000" in [violation.description for violation in violations(event)]


def test_bytes_are_no_text() -> None:
    found = violations(event_pb2.FaceDetected(snapshot=b"\0"))

    assert "must not contain U+0000" not in [violation.description for violation in found]
