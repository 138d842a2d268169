"""Who may have which role and which sites, and what a change of a user means."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from mesh.access import Role
from mesh.ids import SYSTEM_TENANT_ID, CameraId, SiteId, TenantId, UserId
from svc_registry.access.api_keys.domain import ApiKeyDraft, enrols_worker
from svc_registry.access.domain import administrator_of, role_problem, sites_problem
from svc_registry.access.users.domain import User, UserChange, administers, changed, changes_rights

NOW = datetime(2026, 11, 20, tzinfo=UTC)
TENANT = TenantId(UUID(int=9))
SITE = SiteId(UUID(int=5))
MANAGER = User(UserId(UUID(int=1)), "m@acme.test", "", Role.SITE_MANAGER, frozenset({SITE}), False, NOW, NOW)


def test_system_admins_stand_outside_of_tenants() -> None:
    assert role_problem(Role.SYSTEM_ADMIN, SYSTEM_TENANT_ID) is None
    assert role_problem(Role.SYSTEM_ADMIN, TENANT)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.SYSTEM_ADMIN])
def test_everybody_else_stands_within_one(role: Role) -> None:
    assert role_problem(role, TENANT) is None
    assert role_problem(role, SYSTEM_TENANT_ID)


@pytest.mark.parametrize(
    ("role", "fits"),
    [
        (Role.SYSTEM_ADMIN, {0}),
        (Role.TENANT_ADMIN, {0}),
        (Role.SITE_MANAGER, {1, 2}),
        (Role.VIEWER, {0, 1, 2}),
        (Role.PRIVACY_OFFICER, {0, 1, 2}),
        (Role.WORKER, {1}),
    ],
)
def test_a_role_goes_with_so_many_sites(role: Role, fits: set[int]) -> None:
    assert {count for count in range(3) if sites_problem(role, [SITE] * count) is None} == fits


def test_a_tenant_is_run_by_its_own_administrators() -> None:
    assert administrator_of(TENANT) is Role.TENANT_ADMIN
    assert administrator_of(SYSTEM_TENANT_ID) is Role.SYSTEM_ADMIN


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        (UserChange(display_name="Maria"), False),
        (UserChange(email="maria@acme.test"), False),
        (UserChange(role=Role.VIEWER), True),
        (UserChange(site_ids=frozenset()), True),
        (UserChange(disabled=True), True),
        (UserChange(disabled=False), False),
    ],
)
def test_whoever_loses_or_gains_rights_signs_in_anew(change: UserChange, matters: bool) -> None:
    assert changes_rights(MANAGER, changed(MANAGER, change)) is matters


def test_a_disabled_administrator_administers_nothing() -> None:
    admin = replace(MANAGER, role=Role.TENANT_ADMIN)
    assert administers(admin, Role.TENANT_ADMIN)
    assert not administers(replace(admin, disabled=True), Role.TENANT_ADMIN)
    assert not administers(MANAGER, Role.TENANT_ADMIN)


def test_a_workers_key_enrols_one_unless_it_names_cameras() -> None:
    agent = ApiKeyDraft("Mac mini", Role.WORKER, frozenset({SITE}), frozenset(), None)
    assert enrols_worker(agent)
    assert not enrols_worker(replace(agent, camera_ids=frozenset({CameraId(UUID(int=3))})))
    assert not enrols_worker(replace(agent, role=Role.VIEWER))
