"""From a servicer to gRPC's handlers, by the contract's descriptor; what nobody wrote yet answers NOT_BUILT_YET."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from mesh.access import full_method
from mesh.errors import NotBuiltYet


@dataclass(frozen=True, slots=True)
class Mount:
    """One gRPC service that a server serves.

    Attributes:
        service: e.g. `auth_pb2.DESCRIPTOR.services_by_name["AuthService"]`.
        servicer: a subclass of the generated servicer; RPCs that it does not override answer NOT_BUILT_YET. None: the
            whole service is not built yet.
    """

    service: ServiceDescriptor
    servicer: object | None = None


def unbuilt(mounts: Iterable[Mount]) -> list[str]:
    """The RPCs that answer NOT_BUILT_YET, as "package.Service/Method", sorted."""
    return sorted(
        full_method(method).lstrip("/")
        for mount in mounts
        for method in mount.service.methods
        if _behaviour(mount.servicer, method.name) is None
    )


def generic_handler(mount: Mount) -> grpc.GenericRpcHandler:
    """All RPCs of a mount, as gRPC wants them.

    Raises:
        TypeError: the servicer has a public async method that is no RPC of the service (a misspelt one would otherwise
            answer NOT_BUILT_YET for ever).
    """
    names = {method.name for method in mount.service.methods}
    strangers = sorted(name for name in _public(mount.servicer) if name[0].isupper() and name not in names)
    if strangers:
        msg = f"{type(mount.servicer).__name__} has {', '.join(strangers)}, which {mount.service.full_name} has not"
        raise TypeError(msg)
    handlers = {method.name: _handler(mount, method) for method in mount.service.methods}
    return grpc.method_handlers_generic_handler(mount.service.full_name, handlers)


def _handler(mount: Mount, method: MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
    behaviour = _behaviour(mount.servicer, method.name) or _not_built_yet(method)
    make: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[method.client_streaming, method.server_streaming]
    handler: grpc.RpcMethodHandler[Any, Any] = make(
        behaviour,
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )
    return handler


def _behaviour(servicer: object | None, name: str) -> Callable[..., Any] | None:
    """The servicer's own method; None when it has but the generated one, which only raises."""
    for cls in type(servicer).__mro__:
        if name in vars(cls):
            return None if cls.__module__.endswith("_pb2_grpc") else getattr(servicer, name)
    return None


def _public(servicer: object | None) -> set[str]:
    return {
        name
        for cls in type(servicer).__mro__
        if not cls.__module__.endswith("_pb2_grpc") and cls is not object
        for name, value in vars(cls).items()
        if not name.startswith("_") and callable(value)
    }


def _not_built_yet(method: MethodDescriptor) -> Callable[[Any, Any], Any]:
    name = full_method(method).lstrip("/")

    async def single(_request: Any, _context: Any) -> Any:
        raise NotBuiltYet(name)

    async def stream(_request: Any, _context: Any) -> Any:
        raise NotBuiltYet(name)
        yield  # type: ignore[unreachable]  # makes it the generator that gRPC wants of a response stream

    return stream if method.server_streaming else single
