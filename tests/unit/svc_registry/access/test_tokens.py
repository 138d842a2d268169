"""What tokens say, how credentials look, and when a refresh token is good."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import SYSTEM_TENANT_ID, CameraId, SiteId, TenantId, WorkerId
from svc_registry.access.tokens.domain import (
    Principal,
    RefreshToken,
    RefreshVerdict,
    SubjectKind,
    TokenPolicy,
    api_key_parts,
    api_key_text,
    claims,
    digest,
    judge,
    shown_prefix,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
POLICY = TokenPolicy("footfall", "footfall")
TENANT = TenantId(UUID(int=1))
ONE = timedelta(microseconds=1)


def body(principal: Principal) -> dict[str, object]:
    return claims(principal, POLICY, UUID(int=7), UUID(int=8), NOW)


def test_a_token_lives_for_fifteen_minutes() -> None:
    said = body(Principal(TENANT, UUID(int=2), SubjectKind.USER, "VIEWER"))
    assert said["exp"] == int((NOW + timedelta(minutes=15)).timestamp())
    assert (said["iss"], said["aud"], said["role"], said["kind"]) == ("footfall", "footfall", "viewer", "USER")


def test_a_system_admins_token_names_no_tenant() -> None:
    assert "tenant_id" not in body(Principal(SYSTEM_TENANT_ID, UUID(int=2), SubjectKind.USER, "SYSTEM_ADMIN"))


def test_what_restricts_nobody_is_not_said() -> None:
    said = body(Principal(TENANT, UUID(int=2), SubjectKind.USER, "TENANT_ADMIN"))
    assert said.keys().isdisjoint({"site_ids", "worker_id", "camera_ids"})


def test_a_managers_token_says_so_even_without_a_site() -> None:
    said = body(Principal(TENANT, UUID(int=2), SubjectKind.USER, "SITE_MANAGER", frozenset()))
    assert said["site_ids"] == []


def test_a_machines_token_names_its_worker_and_cameras() -> None:
    machine = Principal(
        TENANT,
        UUID(int=2),
        SubjectKind.API_KEY,
        "WORKER",
        frozenset({SiteId(UUID(int=3))}),
        WorkerId(UUID(int=4)),
        frozenset({CameraId(UUID(int=5))}),
    )
    said = body(machine)
    assert said["worker_id"] == str(UUID(int=4))
    assert said["camera_ids"] == [str(UUID(int=5))]


@given(st.uuids(), st.text("abcXYZ019_-", min_size=1, max_size=43))
def test_an_api_key_tells_its_id_and_its_secret(key_id: UUID, secret: str) -> None:
    assert api_key_parts(api_key_text(key_id, secret)) == (key_id, secret)


@pytest.mark.parametrize(
    "text", ["", "ffk_", "ffk_123_abc", "ffk_" + "g" * 32 + "_secret", "ffk_" + "a" * 32, "x" * 40]
)
def test_what_is_no_api_key_is_none(text: str) -> None:
    assert api_key_parts(text) is None


@given(st.uuids())
def test_what_is_shown_of_a_key_is_no_part_of_its_secret(key_id: UUID) -> None:
    assert shown_prefix(key_id) == api_key_text(key_id, "")[: len(shown_prefix(key_id))]
    assert len(shown_prefix(key_id)) >= 16


def test_a_digest_is_not_the_secret() -> None:
    assert digest("secret") == digest("secret") != digest("Secret")


# -- refreshing -------------------------------------------------------------------------------------------------------

FRESH = RefreshToken(UUID(int=1), UUID(int=2), NOW + timedelta(days=1), None, NOW + timedelta(days=9), None)


def test_a_fresh_token_is_good_until_its_end() -> None:
    assert judge(replace(FRESH, expire_time=NOW + ONE), NOW) is RefreshVerdict.GOOD
    assert judge(replace(FRESH, expire_time=NOW), NOW) is RefreshVerdict.DEAD


def test_a_used_token_is_a_copied_one_however_old() -> None:
    used = replace(FRESH, use_time=NOW - timedelta(days=3))
    assert judge(used, NOW) is RefreshVerdict.REUSED
    assert judge(replace(used, expire_time=NOW - ONE), NOW) is RefreshVerdict.REUSED


def test_a_token_of_a_session_that_has_ended_is_dead_used_or_not() -> None:
    ended = replace(FRESH, family_revoke_time=NOW - ONE)
    assert judge(ended, NOW) is RefreshVerdict.DEAD
    assert judge(replace(ended, use_time=NOW), NOW) is RefreshVerdict.DEAD
    assert judge(replace(FRESH, family_expire_time=NOW), NOW) is RefreshVerdict.DEAD
