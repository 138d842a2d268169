from typing import Any

import pytest
from footfall.registry.v1 import auth_pb2, role_pb2

from mesh.access import ADMINS, IncompletePolicyError, Role, Rule, TenantFrom, check_complete, full_method, rules

AUTH = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]


def test_roles_are_those_of_the_contract() -> None:
    contract = {name.removeprefix("ROLE_") for name in role_pb2.Role.keys()} - {"UNSPECIFIED"}  # noqa: SIM118 (a wrapper)
    assert {role.value for role in Role} == contract


def test_rows_are_named_as_grpc_spells_the_method() -> None:
    table = rules(AUTH, IssueToken=Rule(public=True, tenant=TenantFrom.NONE))
    assert list(table) == ["/footfall.registry.v1.AuthService/IssueToken"]


def test_a_default_stands_for_the_rpcs_not_named() -> None:
    table = rules(AUTH, Rule(roles=ADMINS), IssueToken=Rule(public=True))
    assert len(table) == len(AUTH.methods)
    assert table["/footfall.registry.v1.AuthService/IssueToken"].public


def test_an_rpc_that_the_service_has_not_is_refused() -> None:
    with pytest.raises(IncompletePolicyError, match="IssueTokn"):
        rules(AUTH, IssueTokn=Rule(public=True))


def test_every_missing_and_every_unknown_row_is_named() -> None:
    table = rules(AUTH, Rule(roles=ADMINS))
    del table[full_method(AUTH.methods[0])]
    table["/footfall.registry.v1.AuthService/Gone"] = Rule(roles=ADMINS)
    with pytest.raises(IncompletePolicyError) as refused:
        check_complete(table, [AUTH])
    assert str(refused.value).splitlines() == [
        f"no rule for {full_method(AUTH.methods[0])}",
        "a rule for unknown /footfall.registry.v1.AuthService/Gone",
    ]


def test_a_complete_table_passes() -> None:
    check_complete(rules(AUTH, Rule(roles=ADMINS)), [AUTH])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"peers": frozenset(), "roles": ADMINS}, "without peers"),
        ({"public": True, "roles": ADMINS}, "no roles"),
        ({}, "have roles"),
    ],
)
def test_a_rule_that_says_nothing_sensible_is_refused(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Rule(**arguments)
