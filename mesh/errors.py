"""The one taxonomy of refusals, and how it crosses the wire.

Code raises a `MeshError`; the errors interceptor renders it as a google.rpc.Status with ErrorInfo{reason, domain
"footfall", metadata}, BadRequest where fields are at fault, and RetryInfo where a wait helps. A reason is a value of
`footfall.type.v1.ErrorReason`; its gRPC code stands in `REASONS`, and nowhere else. The same error about one item of a
batch becomes a `footfall.type.v1.Problem`. Messages are for people, and never hold driver text or secrets.
"""

# ruff: noqa: N818  (a refusal is named by what it says: NotFound, not NotFoundError)

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

import grpc
from footfall.type.v1 import problem_pb2
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

if TYPE_CHECKING:
    Reason: TypeAlias = problem_pb2.ErrorReason.ValueType

DOMAIN: Final = "footfall"
_PREFIX: Final = "ERROR_REASON_"


def _reasons() -> dict[Reason, grpc.StatusCode]:
    p, code = problem_pb2, grpc.StatusCode
    groups: dict[grpc.StatusCode, tuple[Reason, ...]] = {
        code.INVALID_ARGUMENT: (
            p.ERROR_REASON_INVALID_FIELD,
            p.ERROR_REASON_PAGE_TOKEN_INVALID,
            p.ERROR_REASON_MIXED_TIME_ZONES,
            p.ERROR_REASON_PAYLOAD_TOO_LARGE,
            p.ERROR_REASON_RANGE_TOO_LARGE,
            p.ERROR_REASON_TENANT_REQUIRED,
            p.ERROR_REASON_EMBEDDING_SPACE_UNKNOWN,
            p.ERROR_REASON_EMBEDDING_INVALID,
            p.ERROR_REASON_SNAPSHOT_INVALID,
            p.ERROR_REASON_IMAGE_INVALID,
            p.ERROR_REASON_IMAGE_TOO_LARGE,
        ),
        code.NOT_FOUND: (p.ERROR_REASON_NOT_FOUND, p.ERROR_REASON_IMAGE_EXPIRED),
        code.ALREADY_EXISTS: (
            p.ERROR_REASON_REQUEST_ID_REUSED,
            p.ERROR_REASON_ALREADY_EXISTS,
            p.ERROR_REASON_FACE_ALREADY_KNOWN,
        ),
        code.ABORTED: (
            p.ERROR_REASON_CONFLICT,
            p.ERROR_REASON_REQUEST_IN_PROGRESS,
            p.ERROR_REASON_SESSION_SUPERSEDED,
        ),
        code.FAILED_PRECONDITION: (
            p.ERROR_REASON_STATE_NOT_ALLOWED,
            p.ERROR_REASON_IN_USE,
            p.ERROR_REASON_LIMIT_REACHED,
            p.ERROR_REASON_LAST_ADMIN,
            p.ERROR_REASON_PRIVACY_MODE_FORBIDS,
            p.ERROR_REASON_CAPTURE_TIME_IN_FUTURE,
            p.ERROR_REASON_CAPTURE_TIME_TOO_OLD,
            p.ERROR_REASON_LEASE_EPOCH_STALE,
            p.ERROR_REASON_CAMERA_DISABLED,
            p.ERROR_REASON_PERSON_ERASED,
            p.ERROR_REASON_CLOCK_UNCERTAIN,
            p.ERROR_REASON_IMAGE_WITHOUT_FACE,
            p.ERROR_REASON_IMAGE_SEVERAL_FACES,
            p.ERROR_REASON_IMAGE_QUALITY_LOW,
            p.ERROR_REASON_CUSTOMER_MERGED,
            p.ERROR_REASON_MODEL_MISSING,
            p.ERROR_REASON_SAMPLE_TOO_SMALL,
            p.ERROR_REASON_COMMAND_UNSUPPORTED,
            p.ERROR_REASON_PROTOCOL_VIOLATED,
            p.ERROR_REASON_AGENT_VERSION_UNSUPPORTED,
            p.ERROR_REASON_LEASE_NOT_HELD,
            p.ERROR_REASON_WORKER_FULL,
            p.ERROR_REASON_SOURCE_UNAUTHORIZED,
            p.ERROR_REASON_SOURCE_UNSUPPORTED,
            p.ERROR_REASON_SOURCE_NOT_ALLOWED,
            p.ERROR_REASON_CAMERA_PARKED,
            p.ERROR_REASON_SPOOL_KEY_INVALID,
        ),
        code.OUT_OF_RANGE: (p.ERROR_REASON_CURSOR_INVALID,),
        code.UNAUTHENTICATED: (
            p.ERROR_REASON_TOKEN_EXPIRED,
            p.ERROR_REASON_TOKEN_INVALID,
            p.ERROR_REASON_TOKEN_MISSING,
            p.ERROR_REASON_TOKEN_REVOKED,
            p.ERROR_REASON_TOKEN_REUSED,
            p.ERROR_REASON_CREDENTIALS_INVALID,
        ),
        code.PERMISSION_DENIED: (
            p.ERROR_REASON_ROLE_NOT_ALLOWED,
            p.ERROR_REASON_TENANT_DELETED,
            p.ERROR_REASON_PEER_NOT_ALLOWED,
            p.ERROR_REASON_SITE_NOT_ALLOWED,
            p.ERROR_REASON_CAMERA_NOT_ALLOWED,
            p.ERROR_REASON_SIGNATURE_INVALID,
            p.ERROR_REASON_WORKER_QUARANTINED,
            p.ERROR_REASON_WORKER_REMOVED,
        ),
        code.DEADLINE_EXCEEDED: (p.ERROR_REASON_DEADLINE_TOO_SHORT, p.ERROR_REASON_COMMAND_EXPIRED),
        code.RESOURCE_EXHAUSTED: (
            p.ERROR_REASON_RATE_LIMITED,
            p.ERROR_REASON_STREAM_LIMIT,
            p.ERROR_REASON_READER_TOO_SLOW,
        ),
        code.UNAVAILABLE: (
            p.ERROR_REASON_APPLYING,
            p.ERROR_REASON_SOURCE_UNREACHABLE,
            p.ERROR_REASON_SOURCE_FROZEN,
            p.ERROR_REASON_NO_WORKER,
            p.ERROR_REASON_DEPENDENCY_UNAVAILABLE,
            p.ERROR_REASON_SHUTTING_DOWN,
            p.ERROR_REASON_OVERLOADED,
        ),
        code.UNIMPLEMENTED: (p.ERROR_REASON_NOT_BUILT_YET,),
        code.INTERNAL: (p.ERROR_REASON_INTERNAL,),
    }
    return {reason: status for status, reasons in groups.items() for reason in reasons}


# Between services these two are our own mistakes, and say nothing about the caller's request.
_OURS_ALONE: Final = (problem_pb2.ERROR_REASON_INTERNAL, problem_pb2.ERROR_REASON_PEER_NOT_ALLOWED)

# What each reason is in gRPC's own words. A test walks the enum: every value but UNSPECIFIED is here, as documented.
REASONS: Final[Mapping[Reason, grpc.StatusCode]] = _reasons()


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field at fault.

    Attributes:
        field: its path from the request's (or the item's) root in proto names, e.g. "camera.source.uri".
        description: what is wrong, for people.
    """

    field: str
    description: str


class MeshError(Exception):
    """A refusal with its reason. Raise a subclass where one fits; the reason alone decides the gRPC code.

    Args:
        reason: a value of ErrorReason.
        message: for people, without driver text or secrets.
        violations: the fields at fault.
        metadata: of ErrorInfo, for programs; ids, never names.
        retry_after: when a retry makes sense.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        violations: Sequence[FieldViolation] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after

    @property
    def code(self) -> grpc.StatusCode:
        """What gRPC calls it."""
        return REASONS[self.reason]

    @property
    def reason_name(self) -> str:
        """ErrorInfo.reason: the value's name without its prefix."""
        return reason_name(self.reason)


class InvalidField(MeshError):
    """One field is wrong: INVALID_ARGUMENT."""

    def __init__(
        self, field: str, description: str, *, reason: Reason = problem_pb2.ERROR_REASON_INVALID_FIELD
    ) -> None:
        super().__init__(reason, f"{field}: {description}", violations=[FieldViolation(field, description)])


class InvalidFields(MeshError):
    """Several fields are wrong: INVALID_ARGUMENT."""

    def __init__(self, violations: Iterable[FieldViolation]) -> None:
        found = tuple(violations)
        message = "; ".join(f"{v.field}: {v.description}" for v in found)
        super().__init__(problem_pb2.ERROR_REASON_INVALID_FIELD, message, violations=found)


class NotFound(MeshError):
    """No such thing in the caller's tenant and sites: whether it exists elsewhere is not told."""

    def __init__(self, kind: str, thing_id: UUID | str) -> None:
        super().__init__(
            problem_pb2.ERROR_REASON_NOT_FOUND, f"there is no such {kind}", metadata={"kind": kind, "id": str(thing_id)}
        )


class AlreadyExists(MeshError):
    """Something else of the tenant bears this unique value."""

    def __init__(self, field: str, description: str = "is taken") -> None:
        super().__init__(
            problem_pb2.ERROR_REASON_ALREADY_EXISTS,
            f"{field} {description}",
            violations=[FieldViolation(field, description)],
        )


class Conflict(MeshError):
    """Somebody else changed it in between: read again, then retry."""

    def __init__(self, message: str) -> None:
        super().__init__(problem_pb2.ERROR_REASON_CONFLICT, message)


class FailedPrecondition(MeshError):
    """Not now: by default the thing's state does not allow it, and `metadata["state"]` tells which."""

    def __init__(
        self,
        message: str,
        *,
        reason: Reason = problem_pb2.ERROR_REASON_STATE_NOT_ALLOWED,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(reason, message, metadata=metadata)


class PermissionDenied(MeshError):
    """The caller is known, and may not."""

    def __init__(self, message: str, *, reason: Reason = problem_pb2.ERROR_REASON_ROLE_NOT_ALLOWED) -> None:
        super().__init__(reason, message)


class Unauthenticated(MeshError):
    """Who is calling is not known, or no longer believed."""

    def __init__(self, message: str, *, reason: Reason = problem_pb2.ERROR_REASON_TOKEN_INVALID) -> None:
        super().__init__(reason, message)


class ResourceExhausted(MeshError):
    """Too much, too often, or too many at once."""

    def __init__(
        self,
        message: str,
        *,
        reason: Reason = problem_pb2.ERROR_REASON_RATE_LIMITED,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(reason, message, retry_after=retry_after)


class Unavailable(MeshError):
    """Try again later: by default because a store behind the service is down and nothing was written."""

    def __init__(
        self,
        message: str,
        *,
        reason: Reason = problem_pb2.ERROR_REASON_DEPENDENCY_UNAVAILABLE,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(reason, message, retry_after=retry_after)


class DeadlineTooShort(MeshError):
    """Less time is left than the call needs. Nothing was done."""

    def __init__(self, message: str) -> None:
        super().__init__(problem_pb2.ERROR_REASON_DEADLINE_TOO_SHORT, message)


class NotBuiltYet(MeshError):
    """A later version has it."""

    def __init__(self, rpc: str) -> None:
        super().__init__(problem_pb2.ERROR_REASON_NOT_BUILT_YET, f"{rpc} is not built yet", metadata={"rpc": rpc})


class Internal(MeshError):
    """A bug of ours. The request id leads to it in the log; the client learns nothing else."""

    def __init__(self) -> None:
        super().__init__(
            problem_pb2.ERROR_REASON_INTERNAL, "something went wrong on our side; the request id leads to it in the log"
        )


def reason_name(reason: Reason) -> str:
    """ErrorInfo.reason of an ErrorReason: its name without "ERROR_REASON_"."""
    return problem_pb2.ErrorReason.Name(reason).removeprefix(_PREFIX)


def problem(error: MeshError) -> problem_pb2.Problem:
    """The error as part of an answer: about one item of a batch, or as the last word of a stream."""
    return problem_pb2.Problem(
        reason=error.reason,
        message=error.message,
        violations=[problem_pb2.FieldViolation(field=v.field, description=v.description) for v in error.violations],
    )


def to_status(error: MeshError) -> status_pb2.Status:
    """The error as the rich status of a failed call (google.rpc.Status)."""
    details: list[ErrorDetail] = [
        error_details_pb2.ErrorInfo(reason=error.reason_name, domain=DOMAIN, metadata=error.metadata)
    ]
    if error.violations:
        fields = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
            for v in error.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=fields))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromTimedelta(error.retry_after)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = []
    for detail in details:
        box = any_pb2.Any()
        box.Pack(detail)
        packed.append(box)
    return status_pb2.Status(code=error.code.value[0], message=error.message, details=packed)


def from_status(status: status_pb2.Status) -> MeshError | None:
    """The error that a rich status carries; None when it is not one of ours."""
    info, bad_request, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    for detail in status.details:
        for message in (info, bad_request, retry):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    name = _PREFIX + info.reason
    if info.domain != DOMAIN or name not in problem_pb2.ErrorReason.keys():  # noqa: SIM118 (an enum wrapper, no dict)
        return None
    return MeshError(
        problem_pb2.ErrorReason.Value(name),
        status.message,
        violations=[FieldViolation(v.field, v.description) for v in bad_request.field_violations],
        metadata=dict(info.metadata),
        retry_after=retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None,
    )


def from_rpc_error(error: grpc.RpcError) -> MeshError:
    """What another service's refusal means to our own caller.

    Its reason and fields are passed on when it gave one; a service that is away is DEPENDENCY_UNAVAILABLE; what it
    could not do in time is DEADLINE_TOO_SHORT; anything else is our bug.
    """
    status = rpc_status.from_call(error)
    known = from_status(status) if status is not None else None
    if known is not None:
        return Internal() if known.reason in _OURS_ALONE else known
    code = error.code()
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED):
        return Unavailable("a service behind this one is not available", retry_after=timedelta(seconds=1))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineTooShort("a service behind this one did not answer in time")
    return Internal()


if TYPE_CHECKING:
    ErrorDetail: TypeAlias = error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo
