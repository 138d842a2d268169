"""The chain that every call passes: request id → log and metrics → auth → tenant → deadline budget → errors →
validation → handler. The order is part of the design: a call that auth refuses is logged, what a handler raises is
rendered before the deadline judges, and nothing is validated for someone who may not call.
"""

from __future__ import annotations

from mesh.access import Policy
from mesh.auth import Revocations, TokenVerifier
from mesh.interceptors.auth import Auth
from mesh.interceptors.base import Interceptor
from mesh.interceptors.deadline import Deadline
from mesh.interceptors.errors import Errors
from mesh.interceptors.request_id import RequestId
from mesh.interceptors.telemetry import Telemetry
from mesh.interceptors.tenant import CrossTenant, Tenant
from mesh.interceptors.validation import Validation
from mesh.streams import OpenStreams

__all__ = ["CrossTenant", "Interceptor", "chain"]


def chain(
    policy: Policy,
    verifier: TokenVerifier,
    revocations: Revocations | None,
    streams: OpenStreams,
    on_cross_tenant: CrossTenant | None = None,
) -> tuple[Interceptor, ...]:
    """The interceptors, outermost first."""
    return (
        RequestId(),
        Telemetry(),
        Auth(policy, verifier, revocations, streams),
        Tenant(policy, on_cross_tenant),
        Deadline(policy),
        Errors(),
        Validation(),
    )
