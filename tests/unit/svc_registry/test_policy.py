"""Every RPC of the registry has its row, and the rows say what the contracts say."""

from __future__ import annotations

from mesh.access import FRONT, Role, check_complete
from svc_registry import policy
from svc_registry.policy import POLICY

AUTH = "/footfall.registry.v1.AuthService/"
SERVED = (
    policy.AUTH,
    policy.TENANTS,
    policy.SITES,
    policy.CAMERAS,
    policy.WORKERS_SERVICE,
    policy.FLEET,
    policy.PREVIEW_RELAY,
)


def test_every_rpc_has_a_row() -> None:
    check_complete(POLICY, SERVED)


def test_only_signing_in_and_the_keys_ask_for_no_token() -> None:
    assert {method for method, rule in POLICY.items() if rule.public} == {AUTH + "IssueToken", AUTH + "GetJwks"}


def test_nobody_but_workers_has_a_session() -> None:
    for rpc in ("Connect", "PushPreview", "UnwrapSpoolKey"):
        assert POLICY[f"/footfall.registry.v1.WorkerService/{rpc}"].roles == {Role.WORKER}


def test_pictures_are_relayed_between_replicas_alone() -> None:
    relay = POLICY["/footfall.registry.v1.PreviewRelayService/RelayPreview"]
    assert relay.peers == {"svc-registry"}
    assert not relay.peers & FRONT


def test_tenants_are_made_and_ended_by_system_admins_alone() -> None:
    for rpc in ("ListTenants", "CreateTenant", "DeleteTenant", "UndeleteTenant"):
        assert POLICY[f"/footfall.registry.v1.TenantService/{rpc}"].roles == {Role.SYSTEM_ADMIN}
