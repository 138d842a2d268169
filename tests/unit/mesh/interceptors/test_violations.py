from footfall.ingest.v1 import event_pb2, ingest_pb2
from footfall.registry.v1 import auth_pb2

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
