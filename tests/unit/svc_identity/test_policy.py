"""The table of who may call what is whole, and what is between services stays there."""

from __future__ import annotations

from mesh.access import FRONT, TenantFrom, check_complete, full_method
from svc_identity.policy import CALIBRATION, CUSTOMERS, MATCHING, POLICY, STAFF


def test_every_rpc_has_its_rule() -> None:
    check_complete(POLICY, [MATCHING, STAFF, CUSTOMERS, CALIBRATION])


def test_matching_is_asked_by_ingest_alone() -> None:
    rule = POLICY["/footfall.identity.v1.MatchService/MatchFaces"]
    assert (rule.peers, rule.tenant, rule.roles) == (frozenset({"svc-ingest"}), TenantFrom.METADATA, frozenset())


def test_everything_else_comes_through_the_front_with_a_token_of_the_tenant() -> None:
    for service in (STAFF, CUSTOMERS, CALIBRATION):
        for method in service.methods:
            rule = POLICY[full_method(method)]
            assert rule.peers <= FRONT
            assert rule.tenant is TenantFrom.TOKEN
            assert rule.roles
