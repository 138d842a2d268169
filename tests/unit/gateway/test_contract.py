"""Routes follow from the contracts."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.contract import Method, services_of, with_error_details


def contracts() -> bytes:
    """A service that is routed, one that is for the mesh, and a file that is not ours."""
    files = FileDescriptorSet()
    feed = files.file.add(name="footfall/ingest/v1/feed.proto", package="footfall.ingest.v1")
    service = feed.service.add(name="FeedService")
    service.method.add(name="GetImage", input_type=".a.B", output_type=".google.api.HttpBody")
    service.method.add(name="WatchVisits", input_type=".a.B", output_type=".a.C", server_streaming=True)
    service.method.add(name="Export", input_type=".a.B", output_type=".google.api.HttpBody", server_streaming=True)
    service.method.add(name="Send", input_type=".a.B", output_type=".a.C", client_streaming=True)
    match = files.file.add(name="footfall/identity/v1/match.proto", package="footfall.identity.v1")
    match.service.add(name="MatchService")
    other = files.file.add(name="google/longrunning/operations.proto", package="google.longrunning")
    other.service.add(name="Operations")
    return files.SerializeToString()


def test_only_our_services_that_are_not_for_the_mesh_are_routed() -> None:
    (service,) = services_of(contracts())

    assert (service.full_name, service.package) == ("footfall.ingest.v1.FeedService", "ingest")


def test_a_stream_that_ends_is_told_from_one_that_stays() -> None:
    (service,) = services_of(contracts())

    assert service.methods == (
        Method("GetImage", is_stream=False, is_download=False),
        Method("WatchVisits", is_stream=True, is_download=False),
        Method("Export", is_stream=True, is_download=True),
        Method("Send", is_stream=True, is_download=False),
    )


def test_error_details_are_added_once() -> None:
    once = with_error_details(contracts())

    names = [file.name for file in FileDescriptorSet.FromString(once).file]

    assert "google/rpc/error_details.proto" in names
    assert len(set(names)) == len(names)
    assert with_error_details(once) == once
