"""A caller at the gateway of this desk, with the generated stubs: what `stack camera` and the demo use.

async with Gateway(around) as gateway:
    admin = await gateway.sign_in(email, password)
    await gateway.sites(…).CreateSite(request, metadata=admin.metadata, timeout=CALL_SECONDS)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final, Self, TypeVar

import grpc
from footfall.identity.v1.staff_pb2_grpc import StaffServiceStub
from footfall.registry.v1 import auth_pb2
from footfall.registry.v1.auth_pb2_grpc import AuthServiceStub
from footfall.registry.v1.camera_pb2_grpc import CameraServiceStub
from footfall.registry.v1.site_pb2_grpc import SiteServiceStub
from footfall.registry.v1.tenant_pb2_grpc import TenantServiceStub
from footfall.registry.v1.worker_pb2_grpc import WorkerServiceStub
from footfall.reports.v1.report_pb2_grpc import ReportServiceStub
from footfall.reports.v1.visit_pb2_grpc import VisitServiceStub
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from stack.environment import Surroundings
from stack.ports import LOOPBACK

CALL_SECONDS: Final = 20.0
_MESSAGE_BYTES: Final = 24 * 1024 * 1024

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass(frozen=True, slots=True)
class Session:
    """Who calls, and for which tenant."""

    token: str = field(repr=False)
    tenant_id: str = ""
    """Sent only by a system_admin, who belongs to none."""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """For every call."""
        tenant = (("x-tenant-id", self.tenant_id),) if self.tenant_id else ()
        return (("authorization", f"Bearer {self.token}"), *tenant)

    async def ask(self, method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT], request: RequestT) -> ResponseT:
        """Calls as this principal. Raises grpc.aio.AioRpcError."""
        return await method(request, metadata=self.metadata, timeout=CALL_SECONDS)

    def acting_for(self, tenant_id: str) -> Session:
        """The same admin, looking at one tenant."""
        return replace(self, tenant_id=tenant_id)


class Gateway:
    """One TLS channel to the gateway, and the stubs on it."""

    def __init__(self, around: Surroundings) -> None:
        """Connects at the first call. Raises OSError when the certificates are not there."""
        credentials = grpc.ssl_channel_credentials(around.tls("gateway").ca.read_bytes())
        self._channel = grpc.aio.secure_channel(
            f"{LOOPBACK}:{around.ports.gateway}",
            credentials,
            [("grpc.max_send_message_length", _MESSAGE_BYTES), ("grpc.max_receive_message_length", _MESSAGE_BYTES)],
        )
        self.auth = AuthServiceStub(self._channel)
        self.tenants = TenantServiceStub(self._channel)
        self.sites = SiteServiceStub(self._channel)
        self.cameras = CameraServiceStub(self._channel)
        self.workers = WorkerServiceStub(self._channel)
        self.staff = StaffServiceStub(self._channel)
        self.reports = ReportServiceStub(self._channel)
        self.visits = VisitServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Closes the channel."""
        await self._channel.close()

    async def sign_in(self, email: str, password: str) -> Session:
        """For a quarter of an hour. Raises grpc.aio.AioRpcError."""
        grant = auth_pb2.PasswordGrant(email=email, password=password)
        answer = await self.auth.IssueToken(auth_pb2.IssueTokenRequest(password=grant), timeout=CALL_SECONDS)
        return Session(answer.access_token)


def reason(error: grpc.aio.AioRpcError) -> str:
    """The error's reason from the documented enum, e.g. NOT_FOUND; the status code's name when it carries none."""
    info = error_details_pb2.ErrorInfo()
    return info.reason if _detail(error, info) else error.code().name


def explain(error: grpc.aio.AioRpcError) -> str:
    """The error for a person: reason, message, and the fields at fault."""
    words = f"{reason(error)}: {error.details() or 'no message'}"
    bad = error_details_pb2.BadRequest()
    if _detail(error, bad):
        words += "".join(f"\n  {violation.field}: {violation.description}" for violation in bad.field_violations)
    return words


def _detail(error: grpc.aio.AioRpcError, into: Message) -> bool:
    """Fills `into` with the first detail of its type; False when there is none."""
    status = rpc_status.from_call(error)
    return status is not None and any(detail.Unpack(into) for detail in status.details)
