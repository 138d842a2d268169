"""Who is calling: the `Caller` of the RPC at hand, and what was revoked. (Tokens: mesh/tokens.py.)

In a handler:

    caller = current_caller()
    async with database.as_caller(caller) as tx: …
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

from footfall.type.v1 import problem_pb2
from sqlalchemy import Table, select

from mesh import telemetry
from mesh.access import Role
from mesh.database import Database
from mesh.errors import MeshError, PermissionDenied, Unauthenticated
from mesh.ids import SYSTEM_TENANT_ID, CameraId, SiteId, TenantId, WorkerId
from mesh.tokens import ALGORITHM, API_KEY, CLOCK_SKEW, USER, Claims, JwkSet, JwksSource, TokenVerifier

if TYPE_CHECKING:
    from mesh.streams import OpenStream

__all__ = [
    "ALGORITHM",
    "API_KEY",
    "CLOCK_SKEW",
    "POLL_SECONDS",
    "USER",
    "Caller",
    "CallerCell",
    "Claims",
    "JwkSet",
    "JwksSource",
    "RevocationSource",
    "Revocations",
    "TokenVerifier",
    "acting",
    "current_caller",
    "current_cell",
    "enter",
    "find_caller",
    "reauthenticate",
    "with_claims",
]

POLL_SECONDS: Final = 3.0  # of Revocations.refresh and of the look at open streams: together well below 10 s


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling the RPC at hand.

    Attributes:
        peer: the name in the certificate: "gateway", "operator", "svc-ingest", …
        role: of the token; None when a service calls for itself, or for a public RPC.
        tenant_id: in which the RPC acts; None only where its rule says TenantFrom.NONE.
        subject_id: the user or API key; None when a service calls for itself.
        subject_kind: which of the two; "" when a service calls for itself.
        site_ids: the sites that the token is held to; None = every site of the tenant.
        worker_id: of a worker's token.
        camera_ids: the cameras that an integrator's key names; None = not held to any.
        family: of the token, by which it is revoked; "" without a token.
        request_id: of the call.
        token: as received, to be passed on; None without one.
        expire_time: of the token; None without one.
    """

    peer: str
    role: Role | None = None
    tenant_id: TenantId | None = None
    subject_id: UUID | None = None
    subject_kind: str = ""
    site_ids: frozenset[SiteId] | None = None
    worker_id: WorkerId | None = None
    camera_ids: frozenset[CameraId] | None = None
    family: str = ""
    request_id: str = ""
    token: str | None = field(default=None, repr=False)
    expire_time: datetime | None = None

    @property
    def tenant(self) -> TenantId:
        """The tenant, where there must be one.

        Raises:
            MeshError: TENANT_REQUIRED.
        """
        if self.tenant_id is None:
            raise MeshError(
                problem_pb2.ERROR_REASON_TENANT_REQUIRED,
                "this acts in a tenant: name one in x-tenant-id, or use a token of one",
            )
        return self.tenant_id

    @property
    def acting_tenant(self) -> TenantId | None:
        """In which tenant its transactions run: a system_admin who has named none acts in the system's own."""
        if self.tenant_id is None and self.role is Role.SYSTEM_ADMIN:
            return SYSTEM_TENANT_ID
        return self.tenant_id

    @property
    def principal(self) -> str:
        """One word for who acts: request ids are kept and audits written under it."""
        return str(self.subject_id) if self.subject_id else self.peer

    @property
    def visible_sites(self) -> frozenset[SiteId] | None:
        """The sites that a person or an integration is held to by the database; None = every site of the tenant.

        A worker is not: which cameras it may watch is the business of its leases.
        """
        if self.role is Role.WORKER:
            return None
        return (self.site_ids or frozenset()) if self.role is Role.SITE_MANAGER else self.site_ids

    def check_site(self, site_id: SiteId) -> None:
        """Refuses a filter or a creation that names a site beyond the caller's own.

        Raises:
            PermissionDenied: SITE_NOT_ALLOWED.
        """
        if self.site_ids is not None and site_id not in self.site_ids:
            raise PermissionDenied("not one of your sites", reason=problem_pb2.ERROR_REASON_SITE_NOT_ALLOWED)

    def check_camera(self, camera_id: CameraId) -> None:
        """Refuses a camera that the caller's key does not name.

        Raises:
            PermissionDenied: CAMERA_NOT_ALLOWED.
        """
        if self.camera_ids is not None and camera_id not in self.camera_ids:
            raise PermissionDenied("not one of your cameras", reason=problem_pb2.ERROR_REASON_CAMERA_NOT_ALLOWED)


@dataclass(slots=True)
class CallerCell:
    """Where the RPC at hand keeps its caller: one box, so that a Reauth is seen by every task of the RPC."""

    caller: Caller
    stream: OpenStream | None = None
    reauthenticate: Callable[[str], Awaitable[Caller]] | None = None


_cell: ContextVar[CallerCell | None] = ContextVar("caller", default=None)


def current_caller() -> Caller:
    """The caller of the RPC at hand.

    Raises:
        RuntimeError: outside of an RPC and of `acting`.
    """
    return current_cell().caller


def current_cell() -> CallerCell:
    """The box of the RPC at hand, for the interceptors.

    Raises:
        RuntimeError: outside of an RPC and of `acting`.
    """
    cell = _cell.get()
    if cell is None:
        msg = "nobody is calling: this runs outside of an RPC"
        raise RuntimeError(msg)
    return cell


def find_caller() -> Caller | None:
    """The caller of the RPC at hand; None outside of one."""
    cell = _cell.get()
    return cell.caller if cell else None


def enter(cell: CallerCell) -> None:
    """Makes `cell` the caller of this task. Interceptors call it; an RPC has a task of its own."""
    _cell.set(cell)


@contextmanager
def acting(service: str, tenant_id: TenantId | None, request_id: str | None = None) -> Iterator[Caller]:
    """A service that acts for itself in a tenant (a job, a loop): its calls to other services say so.

    Args:
        service: its peer name.
        tenant_id: sent along as x-tenant-id.
        request_id: a fresh one by default.
    """
    with telemetry.request_scope(request_id) as named:
        caller = Caller(peer=service, tenant_id=tenant_id, request_id=named)
        token = _cell.set(CallerCell(caller))
        try:
            yield caller
        finally:
            _cell.reset(token)


async def reauthenticate(token: str) -> Caller:
    """Prolongs the stream at hand with a newer token of the same subject (the Reauth message of bidi streams).

    Raises:
        Unauthenticated: the token is not valid, or is someone else's.
        RuntimeError: outside of a stream.
    """
    cell = _cell.get()
    if cell is None or cell.reauthenticate is None:
        msg = "reauthenticate belongs in the handler of a stream"
        raise RuntimeError(msg)
    cell.caller = await cell.reauthenticate(token)
    return cell.caller


# Families that are revoked and whose tokens may still be alive → when they were revoked.
RevocationSource: TypeAlias = Callable[[], Awaitable[Mapping[str, datetime]]]


class Revocations:
    """The families that were revoked, polled every few seconds; open streams are judged by it as new calls are.

    Args:
        source: brings all revocations that still matter.
    """

    def __init__(self, source: RevocationSource) -> None:
        self._source = source
        self._families: Mapping[str, datetime] = {}

    @classmethod
    def from_table(cls, database: Database, table: Table) -> Revocations:
        """Reads `table` (family_id, revoke_time), which no tenant owns."""

        async def read() -> Mapping[str, datetime]:
            async with database.transaction(None, read_only=True) as tx:
                rows = await tx.execute(select(table.c.family_id, table.c.revoke_time))
                return {str(row.family_id): row.revoke_time for row in rows}

        return cls(read)

    async def refresh(self) -> None:
        """Asks the source. Run it every `POLL_SECONDS`; a failure leaves what is known."""
        self._families = dict(await self._source())

    def is_revoked(self, family: str) -> bool:
        """Whether tokens of the family are refused."""
        return family in self._families

    def raise_if_revoked(self, family: str) -> None:
        """
        Raises:
            Unauthenticated: TOKEN_REVOKED.
        """
        if self.is_revoked(family):
            raise Unauthenticated("the token was revoked: sign in anew", reason=problem_pb2.ERROR_REASON_TOKEN_REVOKED)


def with_claims(caller: Caller, claims: Claims, token: str) -> Caller:
    """The caller once its token is proved."""
    return replace(
        caller,
        role=claims.role,
        tenant_id=claims.tenant_id,
        subject_id=claims.subject_id,
        subject_kind=claims.subject_kind,
        site_ids=claims.site_ids,
        worker_id=claims.worker_id,
        camera_ids=claims.camera_ids,
        family=claims.family,
        token=token,
        expire_time=claims.expire_time,
    )
