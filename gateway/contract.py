"""What the gateway knows about the contracts: the routes that follow from them, who is kept out, who needs no token.

The document of the JSON API and the tests of the contracts read the lists too.
"""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2, status_pb2

PACKAGES = ("registry", "ingest", "identity", "reports")
"""``footfall.<package>.v1`` is served by the peer ``svc-<package>``."""

MESH_ONLY_SERVICES = frozenset({"footfall.identity.v1.MatchService", "footfall.registry.v1.PreviewRelayService"})
"""For mesh peers: never routed."""

PUBLIC_RPCS = frozenset(
    {
        "footfall.registry.v1.AuthService.IssueToken",
        "footfall.registry.v1.AuthService.GetJwks",
        "footfall.ingest.v1.FeedService.GetImage",
    }
)
"""Without a token: how one gets it, how it is verified, and pictures, whose address is signed."""

JWKS_SERVICE, JWKS_PATH = "footfall.registry.v1.AuthService", "/v1/auth/jwks"
HTTP_BODY = ".google.api.HttpBody"


@dataclass(frozen=True)
class Method:
    """One RPC, as far as routing cares."""

    name: str
    is_stream: bool
    """Either side streams."""
    is_download: bool
    """A stream of raw content: it ends, other than a watch."""


@dataclass(frozen=True)
class Service:
    """One service that the gateway routes."""

    full_name: str
    package: str
    """The room of PACKAGES."""
    methods: tuple[Method, ...]


def services_of(descriptors: bytes) -> tuple[Service, ...]:
    """The services of a descriptor set that have a way in through the gateway, sorted by name."""
    found = [
        Service(
            full_name=f"{file.package}.{service.name}",
            package=file.package.split(".")[1],
            methods=tuple(
                Method(
                    name=method.name,
                    is_stream=method.client_streaming or method.server_streaming,
                    is_download=method.server_streaming and method.output_type == HTTP_BODY,
                )
                for method in service.method
            ),
        )
        for file in FileDescriptorSet.FromString(descriptors).file
        if file.package.startswith("footfall.")
        for service in file.service
    ]
    routed = [service for service in found if service.full_name not in MESH_ONLY_SERVICES]
    return tuple(sorted(routed, key=lambda service: service.full_name))


def with_error_details(descriptors: bytes) -> bytes:
    """The descriptor set, and the details of rich errors: no contract imports them, yet the transcoder prints them."""
    files = FileDescriptorSet.FromString(descriptors)
    present = {file.name for file in files.file}
    for module in (status_pb2, error_details_pb2):
        for needed in (*module.DESCRIPTOR.dependencies, module.DESCRIPTOR):
            if needed.name not in present:
                present.add(needed.name)
                needed.CopyToProto(files.file.add())
    return files.SerializeToString(deterministic=True)
