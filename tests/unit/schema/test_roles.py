"""The lists of grants and policies, checked against the tables without a database."""

from __future__ import annotations

import pytest

from schema.common import SERVICES, metadata
from schema.roles import EXECUTE, FOREIGN_READS, OWNER, SIGN_IN_COLUMNS, grants, is_tenant_table, policies


@pytest.mark.parametrize("service", SERVICES)
def test_foreign_reads_name_tables_of_others_and_columns_that_exist(service: str) -> None:
    for name, columns in FOREIGN_READS[service].items():
        table = metadata.tables[name]
        assert table.info["service"] != service, f"{service} writes {name}: it may read it anyway"
        assert set(columns) <= set(table.columns.keys()), name


def test_sealed_columns_are_never_among_foreign_reads_but_for_rematch() -> None:
    for service, tables in FOREIGN_READS.items():
        for name, columns in tables.items():
            read = columns or tuple(metadata.tables[name].columns.keys())
            sealed = {c for c in read if "Encrypted by" in (metadata.tables[name].columns[c].comment or "")}
            if (service, name) != ("svc_identity", "face_events"):
                assert sealed == set(), f"{service} would read {name}.{sealed}"


def test_nobody_is_granted_anything_twice() -> None:
    listed = [(grant.role, grant.table, grant.privilege) for grant in grants()]
    assert len(listed) == len(set(listed))


def test_the_owner_needs_no_grants_and_functions_are_for_services_only() -> None:
    assert all(grant.role != OWNER for grant in grants())
    assert {role for roles in EXECUTE.values() for role in roles} <= set(SERVICES)


def test_a_policy_never_compares_with_an_unset_setting_as_with_a_value() -> None:
    # current_setting answers '' on a reused connection: a bare cast of that would be an error, not an empty answer.
    for table in metadata.tables.values():
        for policy in policies(table):
            assert "current_setting" not in policy.condition or "nullif(current_setting" in policy.condition


def test_sign_in_sees_what_checks_a_secret_and_no_more() -> None:
    for name, columns in SIGN_IN_COLUMNS.items():
        assert is_tenant_table(metadata.tables[name])
        assert set(columns) <= set(metadata.tables[name].columns.keys())
        assert len(columns) <= 4
