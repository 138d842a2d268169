"""Signing in, going on, signing out: what AuthService promises, asked over mTLS of a registry on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from footfall.registry.v1 import (
    api_key_pb2,
    auth_pb2,
    role_pb2,
    site_pb2,
    site_pb2_grpc,
    tenant_pb2,
    tenant_pb2_grpc,
    user_pb2,
)
from google.protobuf.field_mask_pb2 import FieldMask

from mesh.clock import SystemClock
from mesh.database import Database
from mesh.ids import SystemIds
from mesh.keyring import KeyRing
from mesh.tls import Tls
from svc_registry.access.signing.domain import RotationPolicy
from svc_registry.access.signing.service import SigningKeys
from svc_registry.wiring import NAME
from tests.support.database import TestDatabase
from tests.support.registry import (
    ADMIN,
    MASTER_KEYS,
    PASSWORD,
    MovableClock,
    Registry,
    Shop,
    refusal,
    running_registry,
    violations,
)

Peers = Callable[[str], Tls]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def registry(database: TestDatabase, peers: Peers, clock: MovableClock) -> AsyncIterator[Registry]:
    async with running_registry(database, peers, clock=clock) as running:
        yield running


@pytest.fixture
async def shop(registry: Registry) -> Shop:
    return await registry.tenant()


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def sites(registry: Registry, token: str | None, **options: Any) -> site_pb2_grpc.SiteServiceStub:
    return site_pb2_grpc.SiteServiceStub(registry.channel(token, **options))


async def list_sites(registry: Registry, token: str | None, **options: Any) -> site_pb2.ListSitesResponse:
    return await sites(registry, token, **options).ListSites(site_pb2.ListSitesRequest())


async def revoked(registry: Registry, token: str) -> None:
    """Waits until a token is refused because it was revoked: 10 s at most, says the contract."""
    async with asyncio.timeout(10):
        while await works(registry, token):  # noqa: ASYNC110 (another process's poll has no event here)
            await asyncio.sleep(0.1)
    assert await refusal(list_sites(registry, token)) == "TOKEN_REVOKED"


async def works(registry: Registry, token: str) -> bool:
    """Whether a token is still believed."""
    try:
        await list_sites(registry, token)
    except grpc.aio.AioRpcError:
        return False
    return True


# -- signing in -------------------------------------------------------------------------------------------------------


async def test_a_person_gets_a_token_that_says_who_and_whose(registry: Registry, shop: Shop) -> None:
    said = claims(shop.token)
    assert shop.session.token_type == "Bearer"
    assert shop.session.expires_in.ToTimedelta() == timedelta(minutes=15)
    assert shop.session.role == role_pb2.ROLE_TENANT_ADMIN
    assert shop.session.tenant_id == said["tenant_id"] == str(shop.tenant_id)
    assert shop.session.user_id == said["sub"] == str(shop.admin_id)
    assert said["role"] == "tenant_admin"
    assert not (await list_sites(registry, shop.token)).sites


async def test_upper_and_lower_case_of_an_address_are_one(registry: Registry, shop: Shop) -> None:
    assert (await registry.by_password(shop.email.upper())).user_id == str(shop.admin_id)


async def test_a_site_managers_token_names_the_sites(shop: Shop) -> None:
    site = await shop.site()
    _, session = await shop.user(role_pb2.ROLE_SITE_MANAGER, site.id)
    assert list(session.site_ids) == claims(session.access_token)["site_ids"] == [site.id]


async def test_a_machine_gets_a_token_without_a_refresh_token(registry: Registry, shop: Shop) -> None:
    site = await shop.site()
    key = await shop.worker_key(site.id)
    issued = await registry.by_api_key(key.secret)
    assert issued.role == role_pb2.ROLE_WORKER
    assert issued.worker_id == key.api_key.worker_id == claims(issued.access_token)["worker_id"]
    assert issued.api_key_id == key.api_key.id
    assert list(issued.site_ids) == [site.id]
    assert issued.refresh_token == ""


async def test_an_integrations_token_names_its_cameras_and_no_worker(registry: Registry, shop: Shop) -> None:
    site = await shop.site()
    camera = await shop.camera(site.id)
    key = await shop.worker_key(site.id, camera_ids=[camera.id])
    issued = await registry.by_api_key(key.secret)
    assert issued.worker_id == ""
    assert claims(issued.access_token)["camera_ids"] == [camera.id]


async def test_every_wrong_credential_is_answered_alike(registry: Registry, shop: Shop) -> None:
    user, _ = await shop.user(role_pb2.ROLE_VIEWER)
    disabled = user_pb2.User(id=user.id, disabled=True)
    await registry.auth(shop.token).UpdateUser(
        user_pb2.UpdateUserRequest(user=disabled, update_mask=FieldMask(paths=["disabled"]))
    )
    silent = user_pb2.User(email="silent@acme.test", role=role_pb2.ROLE_VIEWER)
    await registry.auth(shop.token).CreateUser(user_pb2.CreateUserRequest(user=silent))
    key = await shop.worker_key((await shop.site()).id)
    await registry.auth(shop.token).RevokeApiKey(api_key_pb2.RevokeApiKeyRequest(id=key.api_key.id))
    wrong = [
        registry.by_password(shop.email, "not the password"),
        registry.by_password("nobody@acme.test"),
        registry.by_password(user.email),
        registry.by_password(silent.email),
        registry.by_api_key(key.secret),
        registry.by_api_key(key.secret[:-1] + "x"),
        registry.by_api_key("ffk_" + uuid4().hex + "_" + "x" * 43),
        registry.by_api_key("some other thing"),
        registry.by_refresh_token("ffr_" + "x" * 43),
    ]
    assert {await refusal(call) for call in wrong} == {"CREDENTIALS_INVALID"}


async def test_a_key_that_has_expired_is_refused(registry: Registry, shop: Shop, clock: MovableClock) -> None:
    site = await shop.site()
    end = clock.now() + timedelta(minutes=5)
    key = await shop.worker_key(site.id, expire_time=end)
    await registry.by_api_key(key.secret)
    clock.advance(timedelta(minutes=6))
    assert await refusal(registry.by_api_key(key.secret)) == "CREDENTIALS_INVALID"


async def test_a_user_who_fails_too_often_has_to_wait(registry: Registry, shop: Shop, clock: MovableClock) -> None:
    for _ in range(10):
        assert await refusal(registry.by_password(shop.email, "wrong")) == "CREDENTIALS_INVALID"
    assert await refusal(registry.by_password(shop.email)) == "RATE_LIMITED"
    clock.advance(timedelta(seconds=31))
    assert (await registry.by_password(shop.email)).access_token


async def test_an_unknown_user_has_to_wait_just_so(registry: Registry) -> None:
    for _ in range(10):
        assert await refusal(registry.by_password("nobody@acme.test")) == "CREDENTIALS_INVALID"
    assert await refusal(registry.by_password("nobody@acme.test")) == "RATE_LIMITED"


async def test_an_address_that_tries_everybody_has_to_wait(
    database: TestDatabase, peers: Peers, clock: MovableClock
) -> None:
    async with running_registry(database, peers, clock=clock, settings={"sign_in_failures_per_address": 3}) as registry:
        away = {"x_forwarded_for": "198.51.100.9, 203.0.113.7"}
        for number in range(3):
            assert await refusal(registry.by_password(f"n{number}@acme.test", **away)) == "CREDENTIALS_INVALID"
        assert await refusal(registry.by_password(ADMIN, **away)) == "RATE_LIMITED"
        # Only what the gateway itself appended counts; and others go on.
        forged = {"x_forwarded_for": "198.51.100.10, 203.0.113.7"}
        assert await refusal(registry.by_password(ADMIN, **forged)) == "RATE_LIMITED"
        assert (await registry.by_password(ADMIN, x_forwarded_for="203.0.113.8")).access_token


async def test_a_malformed_request_names_the_field(registry: Registry) -> None:
    assert await violations(registry.auth().IssueToken(auth_pb2.IssueTokenRequest())) == ["grant"]
    assert await violations(registry.by_api_key("short")) == ["api_key.key"]


# -- tokens that are not good -----------------------------------------------------------------------------------------


async def test_without_a_token_nothing_is_told(registry: Registry) -> None:
    assert await refusal(list_sites(registry, None)) == "TOKEN_MISSING"


async def test_a_token_lives_for_fifteen_minutes_and_no_more(
    registry: Registry, shop: Shop, clock: MovableClock
) -> None:
    clock.advance(timedelta(minutes=14, seconds=50))
    await list_sites(registry, shop.token)
    clock.advance(timedelta(seconds=11))
    assert await refusal(list_sites(registry, shop.token)) == "TOKEN_EXPIRED"


@pytest.mark.parametrize("changed", [{"aud": "another"}, {"iss": "another"}, {"role": "tenant_admin"}])
async def test_a_forged_token_is_refused(registry: Registry, shop: Shop, changed: dict[str, str]) -> None:
    header = jwt.get_unverified_header(shop.token)
    key = rsa.generate_private_key(65537, 2048)
    forged = jwt.encode({**claims(shop.token), **changed}, key, algorithm="RS256", headers={"kid": header["kid"]})
    assert await refusal(list_sites(registry, forged)) == "TOKEN_INVALID"


@pytest.mark.parametrize("changed", ["token_audience", "token_issuer"])
async def test_a_token_of_another_audience_or_issuer_is_refused(
    database: TestDatabase, peers: Peers, shop: Shop, changed: str
) -> None:
    # The same signing keys: only the words differ.
    async with running_registry(database, peers, settings={changed: "another"}) as other:
        assert await refusal(list_sites(other, shop.token)) == "TOKEN_INVALID"


async def test_only_a_system_admin_names_a_tenant(registry: Registry, shop: Shop) -> None:
    other = await registry.tenant("Other")
    assert await refusal(list_sites(registry, other.token, tenant_id=shop.tenant_id)) == "ROLE_NOT_ALLOWED"
    assert await refusal(list_sites(registry, registry.admin)) == "TENANT_REQUIRED"
    await shop.site("Ours")
    seen = await list_sites(registry, registry.admin, tenant_id=shop.tenant_id)
    assert [site.display_name for site in seen.sites] == ["Ours"]


async def test_a_peer_that_is_not_on_the_list_is_refused_before_its_token(registry: Registry, shop: Shop) -> None:
    assert await refusal(list_sites(registry, shop.token, peer="svc-ingest")) == "PEER_NOT_ALLOWED"


# -- refreshing -------------------------------------------------------------------------------------------------------


async def test_a_session_goes_on_with_a_new_token_each_time(registry: Registry, shop: Shop) -> None:
    second = await registry.by_refresh_token(shop.session.refresh_token)
    third = await registry.by_refresh_token(second.refresh_token)
    assert len({shop.session.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert claims(third.access_token)["fam"] == claims(shop.token)["fam"]
    await list_sites(registry, third.access_token)


async def test_a_refresh_token_that_is_used_twice_ends_the_session_for_both(registry: Registry, shop: Shop) -> None:
    good = await registry.by_refresh_token(shop.session.refresh_token)
    assert await refusal(registry.by_refresh_token(shop.session.refresh_token)) == "TOKEN_REUSED"
    assert await refusal(registry.by_refresh_token(good.refresh_token)) == "CREDENTIALS_INVALID"
    await revoked(registry, good.access_token)
    assert (await registry.by_password(shop.email)).access_token  # a new session is another


async def test_of_two_uses_at_once_one_is_a_copy(registry: Registry, shop: Shop) -> None:
    uses = [registry.by_refresh_token(shop.session.refresh_token) for _ in range(5)]
    results = await asyncio.gather(*uses, return_exceptions=True)
    assert len([result for result in results if not isinstance(result, BaseException)]) == 1


async def test_a_refresh_token_carries_what_is_true_now(registry: Registry, shop: Shop) -> None:
    user, session = await shop.user(role_pb2.ROLE_VIEWER)
    renamed = user_pb2.User(id=user.id, display_name="Vera")
    await registry.auth(shop.token).UpdateUser(
        user_pb2.UpdateUserRequest(user=renamed, update_mask=FieldMask(paths=["display_name"]))
    )
    assert (await registry.by_refresh_token(session.refresh_token)).access_token  # a name changes no rights
    promoted = user_pb2.User(id=user.id, role=role_pb2.ROLE_TENANT_ADMIN)
    await registry.auth(shop.token).UpdateUser(
        user_pb2.UpdateUserRequest(user=promoted, update_mask=FieldMask(paths=["role"]))
    )
    assert (await registry.by_password(user.email)).role == role_pb2.ROLE_TENANT_ADMIN


async def test_a_session_ends_when_it_is_not_used(registry: Registry, shop: Shop, clock: MovableClock) -> None:
    clock.advance(timedelta(days=13))
    second = await registry.by_refresh_token(shop.session.refresh_token)
    clock.advance(timedelta(days=15))
    assert await refusal(registry.by_refresh_token(second.refresh_token)) == "CREDENTIALS_INVALID"


# -- signing out ------------------------------------------------------------------------------------------------------


async def test_signing_out_ends_this_session_and_no_other(registry: Registry, shop: Shop) -> None:
    other = await registry.by_password(shop.email)
    await registry.auth(shop.token).RevokeToken(auth_pb2.RevokeTokenRequest())
    assert await refusal(registry.by_refresh_token(shop.session.refresh_token)) == "CREDENTIALS_INVALID"
    await revoked(registry, shop.token)
    assert (await registry.by_refresh_token(other.refresh_token)).access_token


async def test_whoever_holds_a_refresh_token_may_end_its_session(registry: Registry, shop: Shop) -> None:
    stranger = await registry.tenant("Stranger")
    request = auth_pb2.RevokeTokenRequest(refresh_token=shop.session.refresh_token)
    await registry.auth(stranger.token).RevokeToken(request)
    await registry.auth(stranger.token).RevokeToken(request)  # once more changes nothing
    assert await refusal(registry.by_refresh_token(shop.session.refresh_token)) == "CREDENTIALS_INVALID"


async def test_an_unknown_session_is_revoked_without_complaint(registry: Registry, shop: Shop) -> None:
    auth = registry.auth(shop.token)
    await auth.RevokeToken(auth_pb2.RevokeTokenRequest(refresh_token="ffr_" + "x" * 43))
    await auth.RevokeToken(auth_pb2.RevokeTokenRequest(user_id=str(uuid4())))


async def test_an_administrator_ends_every_session_of_a_user(registry: Registry, shop: Shop) -> None:
    user, session = await shop.user(role_pb2.ROLE_VIEWER)
    request = auth_pb2.RevokeTokenRequest(user_id=user.id)
    stranger = await registry.tenant("Stranger")
    await registry.auth(stranger.token).RevokeToken(request)  # another tenant's user is as unknown
    assert (await registry.by_password(user.email)).access_token
    await registry.auth(shop.token).RevokeToken(request)
    assert await refusal(registry.by_refresh_token(session.refresh_token)) == "CREDENTIALS_INVALID"


async def test_others_end_only_their_own(registry: Registry, shop: Shop) -> None:
    user, session = await shop.user(role_pb2.ROLE_VIEWER)
    auth = registry.auth(session.access_token)
    others = auth_pb2.RevokeTokenRequest(user_id=str(shop.admin_id))
    assert await refusal(auth.RevokeToken(others)) == "ROLE_NOT_ALLOWED"
    await auth.RevokeToken(auth_pb2.RevokeTokenRequest(user_id=user.id))
    assert await refusal(registry.by_refresh_token(session.refresh_token)) == "CREDENTIALS_INVALID"


async def test_what_has_run_out_is_forgotten(
    registry: Registry, shop: Shop, clock: MovableClock, database: TestDatabase
) -> None:
    await registry.auth(shop.token).RevokeToken(auth_pb2.RevokeTokenRequest())
    key = await shop.worker_key((await shop.site()).id)
    await registry.by_api_key(key.secret)
    live = await registry.by_password(shop.email)

    def count(table: str) -> int:
        with database.superuser() as connection:
            (found,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)  # noqa: S608
            return int(found)

    sessions = count("token_families")
    assert count("token_revocations") == 1
    await registry.forget()
    assert (count("token_families"), count("token_revocations")) == (sessions, 1)
    clock.advance(timedelta(minutes=17))
    await registry.forget()
    assert (count("token_families"), count("token_revocations")) == (sessions - 1, 0)  # the machine's
    assert (await registry.by_refresh_token(live.refresh_token)).access_token
    clock.advance(timedelta(days=91))
    await registry.forget()
    assert count("token_families") == count("refresh_tokens") == 0


# -- signing keys -----------------------------------------------------------------------------------------------------


async def test_the_keys_are_told_to_everybody_of_the_mesh(registry: Registry, shop: Shop) -> None:
    for peer in ("gateway", "svc-ingest", "svc-identity", "svc-reports"):
        keys = (await registry.auth(peer=peer).GetJwks(auth_pb2.GetJwksRequest())).keys
        (key,) = [key for key in keys if key.kid == jwt.get_unverified_header(shop.token)["kid"]]
        assert (key.kty, key.use, key.alg, key.e) == ("RSA", "sig", "RS256", "AQAB")
        public = jwt.PyJWK({"kty": key.kty, "n": key.n, "e": key.e, "alg": key.alg})
        jwt.decode(shop.token, public, algorithms=["RS256"], audience="footfall", issuer="footfall")


async def test_a_new_key_is_published_before_it_signs_and_the_old_one_outlives_its_tokens(
    database: TestDatabase, clock: MovableClock
) -> None:
    policy = RotationPolicy(period=timedelta(days=2), lead=timedelta(minutes=10), overlap=timedelta(minutes=16))
    ring = KeyRing.parse(MASTER_KEYS)
    async with Database.connect(database.url(NAME)) as connected:
        keys = SigningKeys(connected, ring, policy, clock, SystemIds())
        replica = SigningKeys(connected, ring, policy, clock, SystemIds())

        def signer(of: SigningKeys) -> str:
            return str(jwt.get_unverified_header(of.sign({"sub": "x"}))["kid"])

        async def published(of: SigningKeys) -> set[str]:
            return {key["kid"] for key in (await of.jwks())["keys"]}

        await asyncio.gather(keys.rotate(), replica.rotate())
        first = signer(keys)
        assert signer(replica) == first
        assert await published(keys) == {first}

        clock.advance(timedelta(days=2) - timedelta(minutes=9))
        await asyncio.gather(keys.rotate(), replica.rotate())
        await keys.rotate()
        both = await published(keys)
        assert len(both) == 2
        assert await published(replica) == both
        assert signer(keys) == first

        clock.advance(timedelta(minutes=10))
        (second,) = both - {first}
        assert signer(keys) == signer(replica) == second
        assert await published(keys) == both

        clock.advance(timedelta(minutes=16))
        await keys.rotate()
        assert await published(keys) == {second}


async def test_another_replica_believes_the_tokens_of_this_one(
    database: TestDatabase, peers: Peers, shop: Shop
) -> None:
    async with running_registry(database, peers) as replica:
        await list_sites(replica, shop.token)


@pytest.mark.usefixtures("registry")
async def test_private_keys_are_sealed(database: TestDatabase) -> None:
    with database.superuser() as connection:
        ((private_key, public_jwk),) = connection.execute("SELECT private_key, public_jwk FROM signing_keys").fetchall()
    assert bytes(private_key[2:6]) == b"test"  # the master key's id
    assert public_jwk.keys() == {"kty", "use", "alg", "kid", "n", "e"}


# -- users ------------------------------------------------------------------------------------------------------------


async def test_users_are_made_listed_changed_and_forgotten(registry: Registry, shop: Shop) -> None:
    auth = registry.auth(shop.token)
    for name in ("carl", "Bert", "anne"):
        wanted = user_pb2.User(email=f"{name}@acme.test", role=role_pb2.ROLE_VIEWER, password=PASSWORD)
        made = (await auth.CreateUser(user_pb2.CreateUserRequest(user=wanted))).user
        assert made.password == ""
        assert made.HasField("create_time")
        assert not made.HasField("sign_in_time")
    names, token = [], ""
    while True:
        page = await auth.ListUsers(
            user_pb2.ListUsersRequest(page_size=2, page_token=token, roles=[role_pb2.ROLE_VIEWER])
        )
        names += [user.email for user in page.users]
        token = page.next_page_token
        if not token:
            break
    assert names == ["anne@acme.test", "Bert@acme.test", "carl@acme.test"]
    change = user_pb2.UpdateUserRequest(
        user=user_pb2.User(id=made.id, email="anna@acme.test", display_name="Anna"),
        update_mask=FieldMask(paths=["email"]),
    )
    changed = (await auth.UpdateUser(change)).user
    assert (changed.email, changed.display_name) == ("anna@acme.test", "")
    await auth.DeleteUser(user_pb2.DeleteUserRequest(id=made.id))
    assert await refusal(auth.GetUser(user_pb2.GetUserRequest(id=made.id))) == "NOT_FOUND"
    assert await refusal(registry.by_password("anna@acme.test")) == "CREDENTIALS_INVALID"


async def test_another_tenants_users_are_as_absent_ones(registry: Registry, shop: Shop) -> None:
    stranger = registry.auth((await registry.tenant("Stranger")).token)
    for user_id in (str(shop.admin_id), str(uuid4())):
        assert await refusal(stranger.GetUser(user_pb2.GetUserRequest(id=user_id))) == "NOT_FOUND"
        assert await refusal(stranger.DeleteUser(user_pb2.DeleteUserRequest(id=user_id))) == "NOT_FOUND"
        wanted = user_pb2.UpdateUserRequest(
            user=user_pb2.User(id=user_id, display_name="x"), update_mask=FieldMask(paths=["display_name"])
        )
        assert await refusal(stranger.UpdateUser(wanted)) == "NOT_FOUND"
        password = user_pb2.SetUserPasswordRequest(id=user_id, password=PASSWORD)
        assert await refusal(stranger.SetUserPassword(password)) == "NOT_FOUND"


async def test_an_address_is_one_users_in_the_whole_installation(registry: Registry, shop: Shop) -> None:
    other = await registry.tenant("Other")
    taken = user_pb2.User(email=shop.email.upper(), role=role_pb2.ROLE_VIEWER)
    for token in (shop.token, other.token):
        call = registry.auth(token).CreateUser(user_pb2.CreateUserRequest(user=taken))
        assert await refusal(call) == "ALREADY_EXISTS"
    wanted = user_pb2.User(email="both@acme.test", role=role_pb2.ROLE_VIEWER)
    at_once = await asyncio.gather(
        *(
            registry.auth(token).CreateUser(user_pb2.CreateUserRequest(user=wanted))
            for token in (shop.token, other.token)
        ),
        return_exceptions=True,
    )
    assert [isinstance(result, BaseException) for result in at_once].count(True) == 1


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"role": role_pb2.ROLE_SITE_MANAGER}, "user.site_ids"),
        ({"role": role_pb2.ROLE_SYSTEM_ADMIN}, "user.role"),
        ({"role": role_pb2.ROLE_WORKER}, "user.role"),
        ({"role": role_pb2.ROLE_VIEWER, "password": "short"}, "user.password"),
        ({"role": role_pb2.ROLE_VIEWER, "email": "no address"}, "user.email"),
    ],
)
async def test_a_user_that_cannot_be_is_refused_by_field(shop: Shop, wanted: dict[str, Any], field: str) -> None:
    user = user_pb2.User(**{"email": "x@acme.test", **wanted})
    call = shop.registry.auth(shop.token).CreateUser(user_pb2.CreateUserRequest(user=user))
    assert await violations(call) == [field]


async def test_a_user_is_not_held_to_a_site_that_is_not_there(registry: Registry, shop: Shop) -> None:
    foreign = await (await registry.tenant("Other")).site()
    for site_id in (foreign.id, str(uuid4())):
        user = user_pb2.User(email="m@acme.test", role=role_pb2.ROLE_SITE_MANAGER, site_ids=[site_id])
        call = registry.auth(shop.token).CreateUser(user_pb2.CreateUserRequest(user=user))
        assert await refusal(call) == "NOT_FOUND"


@pytest.mark.parametrize("path", ["role", "site_ids", "disabled"])
async def test_a_change_of_rights_revokes_the_tokens_that_the_user_holds(
    registry: Registry, shop: Shop, path: str
) -> None:
    one, two = await shop.site("One"), await shop.site("Two")
    user, session = await shop.user(role_pb2.ROLE_SITE_MANAGER, one.id)
    after = user_pb2.User(id=user.id, role=role_pb2.ROLE_VIEWER, site_ids=[one.id, two.id], disabled=True)
    await registry.auth(shop.token).UpdateUser(
        user_pb2.UpdateUserRequest(user=after, update_mask=FieldMask(paths=[path]))
    )
    assert await refusal(registry.by_refresh_token(session.refresh_token)) == "CREDENTIALS_INVALID"
    await revoked(registry, session.access_token)


async def test_the_last_administrator_stays(registry: Registry, shop: Shop) -> None:
    auth = registry.auth(shop.token)

    def change(path: str) -> Any:
        after = user_pb2.User(id=str(shop.admin_id), role=role_pb2.ROLE_VIEWER, disabled=True)
        return auth.UpdateUser(user_pb2.UpdateUserRequest(user=after, update_mask=FieldMask(paths=[path])))

    assert await refusal(change("role")) == "LAST_ADMIN"
    assert await refusal(change("disabled")) == "LAST_ADMIN"
    assert await refusal(auth.DeleteUser(user_pb2.DeleteUserRequest(id=str(shop.admin_id)))) == "LAST_ADMIN"
    await shop.user(role_pb2.ROLE_TENANT_ADMIN)
    await change("role")


async def test_two_administrators_cannot_remove_each_other(registry: Registry, shop: Shop) -> None:
    second, session = await shop.user(role_pb2.ROLE_TENANT_ADMIN)
    removals = [
        registry.auth(shop.token).DeleteUser(user_pb2.DeleteUserRequest(id=second.id)),
        registry.auth(session.access_token).DeleteUser(user_pb2.DeleteUserRequest(id=str(shop.admin_id))),
    ]
    results = await asyncio.gather(*removals, return_exceptions=True)
    assert [isinstance(result, BaseException) for result in results].count(True) == 1


async def test_the_last_system_admin_stays_and_names_no_tenant(registry: Registry) -> None:
    auth = registry.auth(registry.admin)
    (admin,) = (await auth.ListUsers(user_pb2.ListUsersRequest())).users
    assert admin.email == ADMIN
    assert await refusal(auth.DeleteUser(user_pb2.DeleteUserRequest(id=admin.id))) == "LAST_ADMIN"
    stray = user_pb2.User(email="v@acme.test", role=role_pb2.ROLE_VIEWER)
    assert await violations(auth.CreateUser(user_pb2.CreateUserRequest(user=stray))) == ["user.role"]
    second = user_pb2.User(email="second@footfall.test", role=role_pb2.ROLE_SYSTEM_ADMIN, password=PASSWORD)
    await auth.CreateUser(user_pb2.CreateUserRequest(user=second))
    assert (await registry.by_password(second.email)).tenant_id == ""


async def test_users_change_their_own_password_by_the_current_one(registry: Registry, shop: Shop) -> None:
    user, session = await shop.user(role_pb2.ROLE_VIEWER)
    elsewhere = await registry.by_password(user.email)
    auth = registry.auth(session.access_token)

    def change(current: str, request_id: str = "") -> Any:
        return auth.SetUserPassword(
            user_pb2.SetUserPasswordRequest(
                id=user.id, password="another long word", current_password=current, request_id=request_id
            )
        )

    assert await refusal(change("not the current one")) == "CREDENTIALS_INVALID"
    assert await violations(change("")) == ["current_password"]
    request_id = str(uuid4())
    await change(PASSWORD, request_id)
    await change(PASSWORD, request_id)  # a repeat is not judged by the new password
    assert await refusal(registry.by_password(user.email)) == "CREDENTIALS_INVALID"
    assert (await registry.by_password(user.email, "another long word")).access_token
    assert await refusal(registry.by_refresh_token(elsewhere.refresh_token)) == "CREDENTIALS_INVALID"
    assert (await registry.by_refresh_token(session.refresh_token)).access_token  # this session goes on


async def test_others_do_not_set_it_but_administrators_do(registry: Registry, shop: Shop) -> None:
    user, session = await shop.user(role_pb2.ROLE_VIEWER)
    forbidden = user_pb2.SetUserPasswordRequest(id=str(shop.admin_id), password="another long word")
    assert await refusal(registry.auth(session.access_token).SetUserPassword(forbidden)) == "ROLE_NOT_ALLOWED"
    await registry.auth(shop.token).SetUserPassword(
        user_pb2.SetUserPasswordRequest(id=user.id, password="another long word")
    )
    assert (await registry.by_password(user.email, "another long word")).access_token
    assert await refusal(registry.by_refresh_token(session.refresh_token)) == "CREDENTIALS_INVALID"


async def test_viewers_do_not_manage_users(registry: Registry, shop: Shop) -> None:
    _, session = await shop.user(role_pb2.ROLE_VIEWER)
    call = registry.auth(session.access_token).ListUsers(user_pb2.ListUsersRequest())
    assert await refusal(call) == "ROLE_NOT_ALLOWED"


# -- API keys ---------------------------------------------------------------------------------------------------------


async def test_keys_are_listed_the_newest_first_and_never_with_their_secret(registry: Registry, shop: Shop) -> None:
    auth = registry.auth(shop.token)
    one, two = await shop.site("One"), await shop.site("Two")
    made = [await shop.worker_key(site.id, name) for site, name in ((one, "a"), (two, "b"), (two, "c"))]
    assert made[0].secret.startswith(made[0].api_key.secret_prefix)
    names, token = [], ""
    while True:
        page = await auth.ListApiKeys(api_key_pb2.ListApiKeysRequest(page_size=2, page_token=token))
        names += [key.display_name for key in page.api_keys]
        token = page.next_page_token
        if not token:
            break
    assert names == ["c", "b", "a"]
    at_two = await auth.ListApiKeys(api_key_pb2.ListApiKeysRequest(site_ids=[two.id]))
    assert [key.display_name for key in at_two.api_keys] == ["c", "b"]
    await auth.RevokeApiKey(api_key_pb2.RevokeApiKeyRequest(id=made[1].api_key.id))
    left = await auth.ListApiKeys(api_key_pb2.ListApiKeysRequest())
    assert [key.display_name for key in left.api_keys] == ["c", "a"]
    everything = await auth.ListApiKeys(api_key_pb2.ListApiKeysRequest(show_revoked=True))
    assert len(everything.api_keys) == 3


async def test_a_revoked_key_ends_with_its_tokens_and_twice_changes_nothing(registry: Registry, shop: Shop) -> None:
    key = await shop.worker_key((await shop.site()).id)
    session = await registry.by_api_key(key.secret)
    request = api_key_pb2.RevokeApiKeyRequest(id=key.api_key.id)
    first = (await registry.auth(shop.token).RevokeApiKey(request)).api_key
    second = (await registry.auth(shop.token).RevokeApiKey(request)).api_key
    assert first.HasField("revoke_time")
    assert first == second
    assert await refusal(registry.by_api_key(key.secret)) == "CREDENTIALS_INVALID"
    await revoked(registry, session.access_token)


async def test_the_answer_to_a_repeat_has_no_secret(registry: Registry, shop: Shop, database: TestDatabase) -> None:
    wanted = api_key_pb2.ApiKey(display_name="k", role=role_pb2.ROLE_VIEWER)
    request = api_key_pb2.CreateApiKeyRequest(api_key=wanted, request_id=str(uuid4()))
    auth = registry.auth(shop.token)
    first, second = await auth.CreateApiKey(request), await auth.CreateApiKey(request)
    assert first.secret
    assert second.secret == ""
    assert first.api_key == second.api_key
    with database.superuser() as connection:
        kept = connection.execute("SELECT response FROM registry_requests").fetchall()
    assert all(first.secret.encode() not in bytes(response) for (response,) in kept)


async def test_another_body_under_the_same_request_id_is_refused(registry: Registry, shop: Shop) -> None:
    auth, request_id = registry.auth(shop.token), str(uuid4())
    for name, expected in (("a", None), ("b", "REQUEST_ID_REUSED")):
        wanted = api_key_pb2.ApiKey(display_name=name, role=role_pb2.ROLE_VIEWER)
        call = auth.CreateApiKey(api_key_pb2.CreateApiKeyRequest(api_key=wanted, request_id=request_id))
        if expected is None:
            await call
        else:
            assert await refusal(call) == expected


async def test_another_tenants_keys_sites_and_cameras_are_as_absent_ones(registry: Registry, shop: Shop) -> None:
    other = await registry.tenant("Other")
    foreign_site = await other.site()
    foreign_camera = await other.camera(foreign_site.id)
    foreign_key = await other.worker_key(foreign_site.id)
    site = await shop.site()
    revoke = api_key_pb2.RevokeApiKeyRequest(id=foreign_key.api_key.id)
    assert await refusal(registry.auth(shop.token).RevokeApiKey(revoke)) == "NOT_FOUND"
    assert await refusal(shop.worker_key(foreign_site.id)) == "NOT_FOUND"
    assert await refusal(shop.worker_key(site.id, camera_ids=[foreign_camera.id])) == "NOT_FOUND"


@pytest.mark.parametrize(
    "wanted",
    [
        {"role": role_pb2.ROLE_WORKER},
        {"role": role_pb2.ROLE_SITE_MANAGER},
        {"role": role_pb2.ROLE_SYSTEM_ADMIN},
        {"role": role_pb2.ROLE_VIEWER, "camera_ids": [str(uuid4())]},
        {"role": role_pb2.ROLE_VIEWER, "expire_time": SystemClock().now() - timedelta(days=1)},
    ],
)
async def test_a_key_that_cannot_be_is_refused(shop: Shop, wanted: dict[str, Any]) -> None:
    key = api_key_pb2.ApiKey(display_name="k", **wanted)
    call = shop.registry.auth(shop.token).CreateApiKey(api_key_pb2.CreateApiKeyRequest(api_key=key))
    assert await refusal(call) == "INVALID_FIELD"


async def test_a_repeat_keeps_no_password_that_could_be_guessed(
    registry: Registry, shop: Shop, database: TestDatabase
) -> None:
    # What is kept of the request is a digest under a key: two registries with other keys keep other digests.
    user = user_pb2.User(email="k@acme.test", role=role_pb2.ROLE_VIEWER, password=PASSWORD)
    request = user_pb2.CreateUserRequest(user=user, request_id=str(uuid4()))
    first = await registry.auth(shop.token).CreateUser(request)
    assert (await registry.auth(shop.token).CreateUser(request)) == first
    request.user.password = "another long word"
    assert await refusal(registry.auth(shop.token).CreateUser(request)) == "REQUEST_ID_REUSED"
    with database.superuser() as connection:
        (body_hash,) = connection.execute("SELECT body_hash FROM registry_requests").fetchone() or (b"",)
    request.user.password = PASSWORD

    assert bytes(body_hash) != hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


# -- a deleted tenant, and the audit ----------------------------------------------------------------------------------


async def test_a_deleted_tenant_is_locked_out_until_it_is_brought_back(registry: Registry, shop: Shop) -> None:
    key = await shop.worker_key((await shop.site()).id)
    tenants = tenant_pb2_grpc.TenantServiceStub(registry.channel(registry.admin))
    await tenants.DeleteTenant(tenant_pb2.DeleteTenantRequest(id=str(shop.tenant_id)))
    assert await refusal(registry.by_password(shop.email)) == "TENANT_DELETED"
    assert await refusal(registry.by_password(shop.email, "wrong")) == "CREDENTIALS_INVALID"
    assert await refusal(registry.by_api_key(key.secret)) == "TENANT_DELETED"
    await revoked(registry, shop.token)
    await tenants.UndeleteTenant(tenant_pb2.UndeleteTenantRequest(id=str(shop.tenant_id)))
    assert (await registry.by_password(shop.email)).access_token
    assert (await registry.by_api_key(key.secret)).access_token
    assert await refusal(registry.by_refresh_token(shop.session.refresh_token)) == "CREDENTIALS_INVALID"


async def test_every_act_is_in_the_tenants_audit_and_no_name_is(
    registry: Registry, shop: Shop, database: TestDatabase
) -> None:
    site = await shop.site("A shop with a name")
    key = await shop.worker_key(site.id)
    await registry.by_api_key(key.secret)
    await registry.by_api_key(key.secret)  # a worker's quarter of an hour is no news
    await registry.auth(shop.token).RevokeApiKey(api_key_pb2.RevokeApiKeyRequest(id=key.api_key.id))
    await registry.auth(shop.token).RevokeToken(auth_pb2.RevokeTokenRequest())
    with database.superuser() as connection:
        rows = connection.execute(
            "SELECT action, actor_kind, actor_id, details::text FROM audit_entries WHERE tenant_id = %s ORDER BY id",
            (shop.tenant_id,),
        ).fetchall()
    assert [row[0] for row in rows] == [
        "tenant.create",
        "tenant.look",  # the system admin, who makes the first user
        "user.create",
        "session.sign_in",
        "site.create",
        "api_key.create",
        "session.sign_in",
        "api_key.revoke",
        "session.revoke",
    ]
    assert [row[1] for row in rows].count("API_KEY") == 1
    assert all(row[2] is not None for row in rows)
    assert not [row for row in rows if "name" in row[3] or "acme" in row[3]]
