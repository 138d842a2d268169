"""A running registry for a test: the real one, in this process, over mTLS, on the test's own database.

async with running_registry(database, peers) as registry:
    shop = await registry.tenant()                      # a tenant with its administrator, signed in
    site = await shop.site()
    camera = await shop.camera(site.id)
    key = await shop.worker_key(site.id)
    token = (await registry.by_api_key(key.secret)).access_token
    stub = auth_pb2_grpc.AuthServiceStub(registry.channel(token))

Everything that is made over a channel is closed with the block.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final
from uuid import UUID

import grpc
import pytest
from footfall.registry.v1 import (
    api_key_pb2,
    auth_pb2,
    auth_pb2_grpc,
    camera_pb2,
    camera_pb2_grpc,
    role_pb2,
    site_pb2,
    site_pb2_grpc,
    source_pb2,
    tenant_pb2,
    tenant_pb2_grpc,
    user_pb2,
)

from mesh.audit import Audit
from mesh.clock import Clock, SystemClock
from mesh.database import Database
from mesh.ids import SystemIds
from mesh.server import Service, running
from mesh.tls import Tls
from schema.reports import audit_entries
from svc_registry.access.passwords import Argon2Passwords
from svc_registry.access.tokens.limits import SignInLimits
from svc_registry.access.tokens.service import Sessions
from svc_registry.access.users.service import Users
from svc_registry.bootstrap import ensure_admin
from svc_registry.settings import RegistrySettings
from svc_registry.wiring import NAME, build
from tests.support.database import TestDatabase
from tests.support.mesh import connect, fields, reason

PEER: Final = "svc-registry"
PASSWORD: Final = "a password of tests"
ADMIN: Final = "root@footfall.test"
MASTER_KEYS: Final = "test:" + base64.b64encode(bytes(range(32))).decode()
_numbers = count(1)


def registry_settings(database: TestDatabase, tls: Tls, **changed: Any) -> RegistrySettings:
    """Settings of a registry on this database; password hashes as cheap as they may be."""
    return RegistrySettings(
        **{
            "listen": "127.0.0.1:0",
            "metrics_listen": "127.0.0.1:0",
            "database_url": database.url(NAME),
            "tls_ca": tls.ca,
            "tls_cert": tls.cert,
            "tls_key": tls.key,
            "master_keys": MASTER_KEYS,
            "password_iterations": 1,
            "password_memory_kib": 8192,
            **changed,
        }
    )


@dataclass
class Registry:
    """A running registry, seen from the gateway's side.

    Attributes:
        target: host:port.
        peers: key material by peer.
        admin: a system_admin's access token.
    """

    target: str
    peers: Callable[[str], Tls]
    settings: RegistrySettings
    service: Service = field(repr=False)
    stack: AsyncExitStack = field(repr=False)
    admin: str = field(default="", repr=False)

    def channel(
        self, token: str | None = None, *, tenant_id: UUID | str | None = None, peer: str = "gateway", **metadata: str
    ) -> grpc.aio.Channel:
        """A channel as this peer, with this token and tenant on every call."""
        extra = {name.replace("_", "-"): value for name, value in metadata.items()}
        if tenant_id is not None:
            extra["x-tenant-id"] = str(tenant_id)
        made = connect(self.target, PEER, self.peers(peer), token=token, metadata=extra)
        self.stack.push_async_callback(made.close)
        return made

    def auth(self, token: str | None = None, **options: Any) -> auth_pb2_grpc.AuthServiceStub:
        """AuthService; options as for `channel`."""
        return auth_pb2_grpc.AuthServiceStub(self.channel(token, **options))

    async def by_password(self, email: str, password: str = PASSWORD, **options: Any) -> auth_pb2.IssueTokenResponse:
        """A person's token."""
        grant = auth_pb2.PasswordGrant(email=email, password=password)
        return await self.auth(**options).IssueToken(auth_pb2.IssueTokenRequest(password=grant))

    async def by_api_key(self, key: str, **options: Any) -> auth_pb2.IssueTokenResponse:
        """A machine's token."""
        grant = auth_pb2.ApiKeyGrant(key=key)
        return await self.auth(**options).IssueToken(auth_pb2.IssueTokenRequest(api_key=grant))

    async def by_refresh_token(self, token: str, **options: Any) -> auth_pb2.IssueTokenResponse:
        """The next token of a session."""
        grant = auth_pb2.RefreshGrant(refresh_token=token)
        return await self.auth(**options).IssueToken(auth_pb2.IssueTokenRequest(refresh=grant))

    async def forget(self) -> None:
        """Removes what has run out, as the registry itself does every few minutes."""
        (background,) = [one for one in self.service.background if one.name == "forget sessions"]
        await background.work()

    async def tenant(self, name: str = "Acme", **settings: Any) -> Shop:
        """A new tenant with an administrator, who is signed in."""
        stub = tenant_pb2_grpc.TenantServiceStub(self.channel(self.admin))
        wanted = tenant_pb2.Tenant(display_name=name, settings=tenant_pb2.TenantSettings(**settings))
        tenant = (await stub.CreateTenant(tenant_pb2.CreateTenantRequest(tenant=wanted))).tenant
        email = f"admin{next(_numbers)}@acme.test"
        user = user_pb2.User(email=email, role=role_pb2.ROLE_TENANT_ADMIN, password=PASSWORD)
        made = await self.auth(self.admin, tenant_id=tenant.id).CreateUser(user_pb2.CreateUserRequest(user=user))
        return Shop(self, UUID(tenant.id), email, UUID(made.user.id), await self.by_password(email))


@dataclass
class Shop:
    """A tenant, seen by its administrator.

    Attributes:
        session: of the administrator, with its refresh token.
    """

    registry: Registry
    tenant_id: UUID
    email: str
    admin_id: UUID
    session: auth_pb2.IssueTokenResponse = field(repr=False)

    @property
    def token(self) -> str:
        """The administrator's access token."""
        return self.session.access_token

    async def site(self, name: str = "Shop", **fields: Any) -> site_pb2.Site:
        """A new site."""
        wanted = site_pb2.Site(
            **{
                "display_name": name,
                "time_zone": "Europe/Vienna",
                "privacy_mode": site_pb2.PRIVACY_MODE_FULL,
                "lawful_basis": "GDPR Art. 6(1)(f)",
                **fields,
            }
        )
        stub = site_pb2_grpc.SiteServiceStub(self.registry.channel(self.token))
        return (await stub.CreateSite(site_pb2.CreateSiteRequest(site=wanted))).site

    async def camera(self, site_id: str, name: str = "Door", **fields: Any) -> camera_pb2.Camera:
        """A new camera."""
        wanted = camera_pb2.Camera(
            **{
                "site_id": site_id,
                "display_name": name,
                "role": camera_pb2.CAMERA_ROLE_ENTRANCE,
                "source": source_pb2.CameraSource(uri="rtsp://camera.invalid/1"),
                **fields,
            }
        )
        stub = camera_pb2_grpc.CameraServiceStub(self.registry.channel(self.token))
        return (await stub.CreateCamera(camera_pb2.CreateCameraRequest(camera=wanted))).camera

    async def worker_key(self, site_id: str, name: str = "Mac mini", **fields: Any) -> api_key_pb2.CreateApiKeyResponse:
        """A new worker with its API key."""
        wanted = api_key_pb2.ApiKey(display_name=name, role=role_pb2.ROLE_WORKER, site_ids=[site_id], **fields)
        stub = self.registry.auth(self.token)
        return await stub.CreateApiKey(api_key_pb2.CreateApiKeyRequest(api_key=wanted))

    async def user(
        self, role: role_pb2.Role.ValueType, *site_ids: str, email: str | None = None, **fields: Any
    ) -> tuple[user_pb2.User, auth_pb2.IssueTokenResponse]:
        """A new user, signed in."""
        wanted = user_pb2.User(
            email=email or f"user{next(_numbers)}@acme.test",
            role=role,
            site_ids=site_ids,
            password=PASSWORD,
            **fields,
        )
        made = await self.registry.auth(self.token).CreateUser(user_pb2.CreateUserRequest(user=wanted))
        return made.user, await self.registry.by_password(wanted.email)


@asynccontextmanager
async def running_registry(
    database: TestDatabase,
    peers: Callable[[str], Tls],
    *,
    clock: Clock | None = None,
    settings: Mapping[str, Any] | None = None,
) -> AsyncIterator[Registry]:
    """A registry for the length of the block, with a system_admin who is signed in.

    Args:
        database: migrated.
        peers: key material by peer; the fixture of that name.
        clock: the system's, unless another is given.
        settings: other than the usual ones, by name.
    """
    chosen = registry_settings(database, peers(PEER), **(settings or {}))
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(build(chosen, clock, SystemIds()))
        server = await stack.enter_async_context(running(service, tls=peers(PEER), clock=clock, grace=1.0))
        registry = Registry(f"127.0.0.1:{server.port}", peers, chosen, service, stack)
        await make_admin(chosen, clock)
        registry.admin = (await registry.by_password(ADMIN)).access_token
        yield registry


async def make_admin(settings: RegistrySettings, clock: Clock) -> None:
    """The first system_admin, as `bootstrap-admin` makes it."""
    ids = SystemIds()
    passwords = Argon2Passwords(settings.password_iterations, settings.password_memory_kib)
    users = Users(
        passwords=passwords,
        sessions=Sessions(settings.tokens, clock),
        limits=SignInLimits(settings.sign_in_limits, clock),
        audit=Audit(audit_entries, NAME, ids),
        ids=ids,
    )
    async with Database.connect(settings.database_url.get_secret_value(), pool_size=1) as connected:
        await ensure_admin(connected, users, passwords, ADMIN, PASSWORD)
    passwords.close()


class MovableClock(SystemClock):
    """The system's clock, which a test can put forward. Sleeping takes real time."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    def advance(self, by: timedelta) -> None:
        """Puts the clock forward."""
        self.ahead += by.total_seconds()


async def refusal(call: Awaitable[object]) -> str:
    """ErrorInfo.reason of a call that must be refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return reason(refused.value)


async def violations(call: Awaitable[object]) -> list[str]:
    """The fields that a call must be refused for."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return fields(refused.value)
