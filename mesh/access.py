"""Who may call what: each service's table of allowed roles and peers, one row per RPC.

    POLICY: Policy = {
        **rules(
            auth_pb2.DESCRIPTOR.services_by_name["AuthService"],
            IssueToken=Rule(public=True, tenant=TenantFrom.NONE),
            ListUsers=Rule(roles=ADMINS),
        ),
        **rules(match_pb2.DESCRIPTOR.services_by_name["MatchService"],
            MatchFaces=Rule(peers=frozenset({"svc-ingest"}), tenant=TenantFrom.METADATA)),
    }

An RPC without a row, or a row without an RPC, keeps the server from starting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from mesh.roles import ADMINS, MANAGERS, READERS, WORKERS, Role

__all__ = [
    "ADMINS",
    "FRONT",
    "GATEWAY",
    "MANAGERS",
    "OPERATOR",
    "READERS",
    "WORKERS",
    "IncompletePolicyError",
    "Policy",
    "Role",
    "Rule",
    "TenantFrom",
    "check_complete",
    "full_method",
    "rules",
]


# The peers that bring people and machines in: behind them a valid token is always required.
GATEWAY: Final = "gateway"
OPERATOR: Final = "operator"
FRONT: Final = frozenset({GATEWAY, OPERATOR})


class TenantFrom(Enum):
    """Where an RPC's tenant comes from; never from a message."""

    # The caller's token. A system_admin names one in x-tenant-id, and that is audited.
    TOKEN = "token"  # noqa: S105
    # A service of the mesh names it in x-tenant-id (callers behind the gateway: as TOKEN).
    METADATA = "metadata"
    # The RPC acts in no tenant, or finds it by itself; the token's tenant is there when it has one.
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call one RPC.

    Attributes:
        roles: allowed roles of the token; empty: the RPC is for services alone.
        peers: allowed peers by the name in their certificate.
        tenant: where the tenant comes from.
        public: no token is asked for (signing in, keys, signed image URLs).
        default_seconds: the deadline of a unary call that brings none.
        least_seconds: a unary call with less time left is refused before anything is done.
    """

    roles: frozenset[Role] = frozenset()
    peers: frozenset[str] = FRONT
    tenant: TenantFrom = TenantFrom.TOKEN
    public: bool = False
    default_seconds: float = 30.0
    least_seconds: float = 0.005

    def __post_init__(self) -> None:
        if not self.peers:
            msg = "a rule without peers lets nobody in: leave the RPC to NOT_BUILT_YET or name a peer"
            raise ValueError(msg)
        if self.public and self.roles:
            msg = "a public RPC asks for no token, so it has no roles"
            raise ValueError(msg)
        if not self.public and not self.roles and self.peers & FRONT:
            msg = "callers behind the gateway have roles: name them, or make the RPC public"
            raise ValueError(msg)


# Full method ("/footfall.registry.v1.AuthService/IssueToken", as gRPC spells it) → who may call it.
Policy: TypeAlias = Mapping[str, Rule]


class IncompletePolicyError(Exception):
    """The table and the contracts disagree; the message lists every difference."""


def full_method(method: MethodDescriptor) -> str:
    """The RPC as gRPC spells it in `:path`."""
    return f"/{method.containing_service.full_name}/{method.name}"


def rules(service: ServiceDescriptor, default: Rule | None = None, /, **named: Rule) -> dict[str, Rule]:
    """The rows of one service by RPC name.

    Args:
        service: whose.
        default: for the RPCs not named. Leave it out where each RPC deserves a thought.
        named: RPC name → rule.

    Raises:
        IncompletePolicyError: a name that the service does not have.
    """
    unknown = named.keys() - {method.name for method in service.methods}
    if unknown:
        msg = f"{service.full_name} has no RPC {', '.join(sorted(unknown))}"
        raise IncompletePolicyError(msg)
    rows = {full_method(method): named.get(method.name, default) for method in service.methods}
    return {method: rule for method, rule in rows.items() if rule is not None}


def check_complete(policy: Policy, services: Iterable[ServiceDescriptor]) -> None:
    """Proves that every RPC of `services` has its row, and every row its RPC.

    Raises:
        IncompletePolicyError: listing what is missing and what is unknown.
    """
    served = {full_method(method) for service in services for method in service.methods}
    missing, unknown = sorted(served - policy.keys()), sorted(policy.keys() - served)
    if missing or unknown:
        lines = [f"no rule for {method}" for method in missing] + [f"a rule for unknown {method}" for method in unknown]
        raise IncompletePolicyError("\n".join(lines))
