import asyncio
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock
from uuid import UUID, uuid4

import jwt
import pytest

from mesh import tokens
from mesh.access import Role
from mesh.auth import Caller, Revocations, TokenVerifier, acting, current_caller, find_caller, reauthenticate
from mesh.clock import FakeClock
from mesh.errors import MeshError, PermissionDenied, Unauthenticated, Unavailable
from mesh.ids import SYSTEM_TENANT_ID, CameraId, SiteId, TenantId
from tests.support.mesh import TokenIssuer

TENANT = TenantId(uuid4())
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def issuer(clock: FakeClock) -> TokenIssuer:
    return TokenIssuer(clock)


class CountingSource:
    """A JWKS source whose keys change, and which counts how often it is asked."""

    def __init__(self, *issuers: TokenIssuer) -> None:
        self.issuers = list(issuers)
        self.asked = 0
        self.away = False

    async def __call__(self) -> dict[str, object]:
        self.asked += 1
        if self.away:
            raise Unavailable("away")
        keys = [await issuer.jwks() for issuer in self.issuers]
        return {"keys": [key for jwks in keys for key in jwks["keys"]]}


async def _refusal(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(MeshError) as refused:
        await verifier.verify(token)
    return refused.value.reason_name


async def test_a_good_token_says_who_is_calling(issuer: TokenIssuer) -> None:
    sites, cameras, worker = [uuid4(), uuid4()], [uuid4()], uuid4()
    token = issuer.token(Role.WORKER, tenant_id=TENANT, site_ids=sites, camera_ids=cameras, worker_id=worker)
    claims = await issuer.verifier().verify(token)
    assert (claims.role, claims.tenant_id, claims.worker_id) == (Role.WORKER, TENANT, worker)
    assert claims.site_ids == frozenset(sites)
    assert claims.camera_ids == frozenset(cameras)
    assert claims.subject_kind == tokens.API_KEY
    assert claims.expire_time == NOW + timedelta(minutes=15)


async def test_a_token_is_good_until_its_last_second_and_not_after(issuer: TokenIssuer, clock: FakeClock) -> None:
    verifier, token = issuer.verifier(), issuer.token(Role.VIEWER, tenant_id=TENANT)
    clock.advance(899.999)
    await verifier.verify(token)
    clock.advance(0.001)
    assert await _refusal(verifier, token) == "TOKEN_EXPIRED"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "someone-else"},
        {"iss": "someone-else"},
        {"aud": None},
        {"fam": None},
        {"sub": None},
        {"sub": "not-a-uuid"},
        {"role": "EMPEROR"},
        {"role": None},
        {"tenant_id": None},
        {"tenant_id": "not-a-uuid"},
        {"role": "SYSTEM_ADMIN"},
        {"role": "SITE_MANAGER"},
        {"iat": int(NOW.timestamp()) + 3600},
        {"exp": "soon"},
    ],
    ids=str,
)
async def test_a_token_with_a_wrong_claim_is_refused(issuer: TokenIssuer, claims: dict[str, object]) -> None:
    token = issuer.signed({**issuer.body(Role.VIEWER, tenant_id=TENANT), **claims})
    assert await _refusal(issuer.verifier(), token) == "TOKEN_INVALID"


async def test_a_forged_token_is_refused(issuer: TokenIssuer) -> None:
    forger = TokenIssuer(issuer.clock)  # the same kid, another key
    assert await _refusal(issuer.verifier(), forger.token(Role.VIEWER, tenant_id=TENANT)) == "TOKEN_INVALID"


async def test_a_changed_token_is_refused(issuer: TokenIssuer) -> None:
    header, body, signature = issuer.token(Role.VIEWER, tenant_id=TENANT).split(".")
    other = issuer.token(Role.TENANT_ADMIN, tenant_id=TENANT).split(".")[1]
    assert await _refusal(issuer.verifier(), f"{header}.{other}.{signature}") == "TOKEN_INVALID"
    assert await _refusal(issuer.verifier(), f"{header}.{body}.") == "TOKEN_INVALID"


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_an_algorithm_of_the_callers_choice_is_refused(issuer: TokenIssuer, algorithm: str) -> None:
    token = issuer.forged(issuer.body(Role.VIEWER, tenant_id=TENANT), algorithm)
    assert await _refusal(issuer.verifier(), token) == "TOKEN_INVALID"


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "eyJhbGciOiJSUzI1NiJ9.e30.x"])
async def test_what_is_no_token_is_refused(issuer: TokenIssuer, token: str) -> None:
    assert await _refusal(issuer.verifier(), token) == "TOKEN_INVALID"


async def test_a_verified_token_is_not_verified_again_for_a_minute(
    issuer: TokenIssuer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier, token = issuer.verifier(), issuer.token(Role.VIEWER, tenant_id=TENANT)
    decode = Mock(wraps=jwt.decode)
    monkeypatch.setattr(jwt, "decode", decode)
    await verifier.verify(token)
    clock.advance(59)
    await verifier.verify(token)
    assert decode.call_count == 1
    clock.advance(2)
    await verifier.verify(token)
    assert decode.call_count == 2


async def test_a_new_key_is_fetched_when_its_kid_is_first_seen(issuer: TokenIssuer, clock: FakeClock) -> None:
    source = CountingSource(issuer)
    verifier = TokenVerifier(source, "footfall", "footfall", clock)
    await verifier.verify(issuer.token(Role.VIEWER, tenant_id=TENANT))
    newer = TokenIssuer(clock, kid="newer")
    source.issuers.append(newer)
    clock.advance(tokens.REFETCH_SECONDS)
    await verifier.verify(newer.token(Role.VIEWER, tenant_id=TENANT))
    assert source.asked == 2


async def test_unknown_kids_do_not_make_us_ask_more_than_once_in_a_few_seconds(
    issuer: TokenIssuer, clock: FakeClock
) -> None:
    source = CountingSource(issuer)
    verifier = TokenVerifier(source, "footfall", "footfall", clock)
    strangers = [TokenIssuer(clock, kid=f"stranger-{n}") for n in range(3)]
    strange = [stranger.token(Role.VIEWER, tenant_id=TENANT) for stranger in strangers]
    await asyncio.gather(*(_refusal(verifier, token) for token in strange))
    assert source.asked == 1
    clock.advance(tokens.REFETCH_SECONDS)
    await _refusal(verifier, strange[0])
    assert source.asked == 2


async def test_a_key_that_was_withdrawn_is_believed_for_five_minutes_at_most(
    issuer: TokenIssuer, clock: FakeClock
) -> None:
    source = CountingSource(issuer)
    verifier = TokenVerifier(source, "footfall", "footfall", clock)
    token = issuer.token(Role.VIEWER, tenant_id=TENANT)
    await verifier.verify(token)
    source.issuers = [TokenIssuer(clock, kid="newer")]
    clock.advance(tokens.KEYS_SECONDS + 1)
    assert await _refusal(verifier, token) == "TOKEN_INVALID"


async def test_known_keys_stay_good_while_their_source_is_away(issuer: TokenIssuer, clock: FakeClock) -> None:
    source = CountingSource(issuer)
    verifier = TokenVerifier(source, "footfall", "footfall", clock)
    await verifier.verify(issuer.token(Role.VIEWER, tenant_id=TENANT))
    source.away = True
    clock.advance(tokens.KEYS_SECONDS + 1)
    await verifier.verify(issuer.token(Role.VIEWER, tenant_id=TENANT))


async def test_without_any_keys_a_token_cannot_be_judged(issuer: TokenIssuer, clock: FakeClock) -> None:
    source = CountingSource(issuer)
    source.away = True
    verifier = TokenVerifier(source, "footfall", "footfall", clock)
    assert await _refusal(verifier, issuer.token(Role.VIEWER, tenant_id=TENANT)) == "DEPENDENCY_UNAVAILABLE"


async def test_a_source_without_a_usable_key_counts_as_away(issuer: TokenIssuer, clock: FakeClock) -> None:
    verifier = TokenVerifier(CountingSource(), "footfall", "footfall", clock)
    assert await _refusal(verifier, issuer.token(Role.VIEWER, tenant_id=TENANT)) == "DEPENDENCY_UNAVAILABLE"


async def test_the_cache_does_not_grow_without_end(issuer: TokenIssuer) -> None:
    assert issuer.verifier()._verified.maxsize == tokens.CACHE_TOKENS


async def test_a_revoked_family_is_refused() -> None:
    revocations = Revocations(lambda: _answer({"family": NOW}))
    revocations.raise_if_revoked("family")  # not read yet
    await revocations.refresh()
    with pytest.raises(Unauthenticated) as refused:
        revocations.raise_if_revoked("family")
    assert refused.value.reason_name == "TOKEN_REVOKED"
    revocations.raise_if_revoked("another")


async def _answer(value: dict[str, datetime]) -> dict[str, datetime]:
    return value


def test_a_caller_without_a_tenant_is_told_so() -> None:
    with pytest.raises(MeshError) as refused:
        _ = Caller(peer="gateway").tenant
    assert refused.value.reason_name == "TENANT_REQUIRED"


def test_a_system_admin_without_a_tenant_acts_in_the_systems_own() -> None:
    assert Caller(peer="gateway", role=Role.SYSTEM_ADMIN).acting_tenant == SYSTEM_TENANT_ID
    assert Caller(peer="gateway", role=Role.SYSTEM_ADMIN, tenant_id=TENANT).acting_tenant == TENANT
    assert Caller(peer="svc-ingest").acting_tenant is None


def test_only_a_site_manager_is_held_to_sites_by_the_database() -> None:
    sites = frozenset({SiteId(uuid4())})
    assert Caller(peer="gateway", role=Role.SITE_MANAGER, site_ids=sites).visible_sites == sites
    assert Caller(peer="gateway", role=Role.SITE_MANAGER).visible_sites == frozenset()
    assert Caller(peer="gateway", role=Role.WORKER, site_ids=sites).visible_sites is None


def test_a_site_or_camera_beyond_ones_own_is_refused() -> None:
    site, camera = SiteId(uuid4()), CameraId(uuid4())
    caller = Caller(peer="gateway", site_ids=frozenset({site}), camera_ids=frozenset({camera}))
    caller.check_site(site)
    caller.check_camera(camera)
    with pytest.raises(PermissionDenied) as refused:
        caller.check_site(SiteId(uuid4()))
    assert refused.value.reason_name == "SITE_NOT_ALLOWED"
    with pytest.raises(PermissionDenied) as refused:
        caller.check_camera(CameraId(uuid4()))
    assert refused.value.reason_name == "CAMERA_NOT_ALLOWED"


def test_a_token_is_never_printed() -> None:
    assert "secret" not in repr(Caller(peer="gateway", token="secret"))


def test_a_service_that_acts_for_itself_is_its_own_caller() -> None:
    assert find_caller() is None
    with acting("svc-ingest", TENANT) as caller:
        assert current_caller() is caller
        assert (caller.peer, caller.tenant_id, caller.role) == ("svc-ingest", TENANT, None)
        assert str(UUID(caller.request_id)) == caller.request_id
        assert caller.principal == "svc-ingest"
    assert find_caller() is None


def test_outside_of_an_rpc_nobody_is_calling() -> None:
    with pytest.raises(RuntimeError, match="outside"):
        current_caller()


async def test_outside_of_a_stream_nothing_is_prolonged() -> None:
    with pytest.raises(RuntimeError, match="stream"):
        await reauthenticate("token")
