"""What the mesh answers when it refuses: the reason, in the contract's own words."""

from dataclasses import dataclass

import betterproto2
import grpc
from footfall_messages.google.protobuf import Any, Duration

STATUS_DETAILS = "grpc-status-details-bin"


@dataclass(eq=False, repr=False)
class _Status(betterproto2.Message):
    """google.rpc.Status, of which the package brings no dataclass."""

    code: int = betterproto2.field(1, betterproto2.TYPE_INT32)
    message: str = betterproto2.field(2, betterproto2.TYPE_STRING)
    details: list[Any] = betterproto2.field(3, betterproto2.TYPE_MESSAGE, repeated=True)  # noqa: RUF009  as generated code does


@dataclass(eq=False, repr=False)
class _ErrorInfo(betterproto2.Message):
    """google.rpc.ErrorInfo, the reason alone."""

    reason: str = betterproto2.field(1, betterproto2.TYPE_STRING)


@dataclass(eq=False, repr=False)
class _RetryInfo(betterproto2.Message):
    """google.rpc.RetryInfo."""

    retry_delay: Duration | None = betterproto2.field(1, betterproto2.TYPE_MESSAGE, optional=True)  # noqa: RUF009


class Refused(Exception):  # noqa: N818  what it is reads better than "Error"
    """A call that the mesh answered with an error."""

    def __init__(self, code: grpc.StatusCode, reason: str, message: str, retry_after: float) -> None:
        """See the properties."""
        super().__init__(f"{reason or code.name}: {message}")
        self.code = code
        """gRPC's own word; decides where `reason` is unknown."""
        self.reason = reason
        """Name of an ErrorReason without its prefix, e.g. "CREDENTIALS_INVALID"; "" when there is none."""
        self.message = message
        """For people."""
        self.retry_after = retry_after
        """Seconds that the server asks to wait; 0 when it does not say."""

    @property
    def may_pass(self) -> bool:
        """Trying the same again later can help."""
        return self.code in _PASSING


_PASSING = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        # Envoy's reset of an idle or drained stream arrives as INTERNAL.
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
    }
)


def refused(error: grpc.aio.AioRpcError) -> Refused:
    """The error of a call, with what its rich details tell."""
    reason, retry_after = "", 0.0
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS and isinstance(value, bytes):
            reason, retry_after = _details(value)
    return Refused(error.code(), reason, error.details() or "", retry_after)


def _details(value: bytes) -> tuple[str, float]:
    reason, retry_after = "", 0.0
    try:
        for detail in _Status.parse(value).details:
            if detail.type_url.endswith("/google.rpc.ErrorInfo"):
                reason = _ErrorInfo.parse(detail.value).reason
            elif detail.type_url.endswith("/google.rpc.RetryInfo"):
                delay = _RetryInfo.parse(detail.value).retry_delay
                retry_after = 0.0 if delay is None else delay.seconds + delay.nanos / 1e9
    except (ValueError, EOFError, TypeError):  # details that cannot be read leave the status, which is enough
        return "", 0.0
    return reason, retry_after
