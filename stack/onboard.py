"""Making tenants, sites, cameras and the rest through the public API, as any client would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit
from uuid import UUID, uuid5

from footfall.identity.v1 import staff_face_pb2, staff_pb2
from footfall.registry.v1 import (
    api_key_pb2,
    camera_pb2,
    role_pb2,
    site_pb2,
    source_pb2,
    tenant_pb2,
    user_pb2,
)

from stack.client import Gateway, Session

CAMERA_ROLES: Final = {
    "entrance": camera_pb2.CAMERA_ROLE_ENTRANCE,
    "interior": camera_pb2.CAMERA_ROLE_INTERIOR,
    "outside": camera_pb2.CAMERA_ROLE_OUTSIDE,
}


@dataclass(frozen=True, slots=True)
class Person:
    """A user to make."""

    email: str
    password: str = field(repr=False)
    role: role_pb2.Role.ValueType = role_pb2.ROLE_TENANT_ADMIN


@dataclass(frozen=True, slots=True)
class Source:
    """Where a camera's pictures come from, its credentials apart."""

    uri: str
    username: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, address: str) -> Source:
        """Takes "rtsp://user:password@host/path" apart: the contract wants no credentials in the uri."""
        parts = urlsplit(address)
        if "@" not in parts.netloc:
            return cls(address)
        host = parts.netloc.rpartition("@")[2]
        bare = urlunsplit(parts._replace(netloc=host))
        return cls(bare, unquote(parts.username or ""), unquote(parts.password or ""))


@dataclass(frozen=True, slots=True)
class Onboarding:
    """What one principal makes. Every method raises grpc.aio.AioRpcError (client.explain tells it to a person)."""

    gateway: Gateway
    session: Session

    async def tenant(self, name: str, thresholds: Mapping[str, float] | None = None) -> str:
        """A new tenant's id; for a system_admin. `thresholds`: its own, cosines by embedding space."""
        policies = [
            tenant_pb2.MatchPolicy(embedding_space=space, threshold=threshold)
            for space, threshold in (thresholds or {}).items()
        ]
        wanted = tenant_pb2.Tenant(display_name=name, settings=tenant_pb2.TenantSettings(match_policies=policies))
        request = tenant_pb2.CreateTenantRequest(tenant=wanted)
        made = await self.session.ask(self.gateway.tenants.CreateTenant, request)
        return made.tenant.id

    async def user(self, person: Person) -> str:
        """A new user's id."""
        wanted = user_pb2.User(
            email=person.email, password=person.password, role=person.role, display_name=person.email
        )
        made = await self.session.ask(self.gateway.auth.CreateUser, user_pb2.CreateUserRequest(user=wanted))
        return made.user.id

    async def site(self, name: str, *, time_zone: str, lawful_basis: str) -> str:
        """A new site's id; privacy mode FULL, default rules."""
        wanted = site_pb2.Site(
            display_name=name,
            time_zone=time_zone,
            privacy_mode=site_pb2.PRIVACY_MODE_FULL,
            lawful_basis=lawful_basis,
        )
        made = await self.session.ask(self.gateway.sites.CreateSite, site_pb2.CreateSiteRequest(site=wanted))
        return made.site.id

    async def camera(self, site_id: str, name: str, source: Source, role: str) -> str:
        """A camera's id; `role` is a key of CAMERA_ROLES. The same one again within a day is not made twice."""
        wanted = camera_pb2.Camera(
            site_id=site_id,
            display_name=name,
            source=source_pb2.CameraSource(uri=source.uri, username=source.username, password=source.password),
            role=CAMERA_ROLES[role],
        )
        request_id = uuid5(UUID(site_id), f"{name}\n{source.uri}")
        request = camera_pb2.CreateCameraRequest(camera=wanted, request_id=str(request_id))
        made = await self.session.ask(self.gateway.cameras.CreateCamera, request)
        return made.camera.id

    async def worker_key(self, site_id: str, name: str) -> str:
        """The secret of a new API key that enrols one worker for a site."""
        wanted = api_key_pb2.ApiKey(display_name=name, role=role_pb2.ROLE_WORKER, site_ids=[site_id])
        made = await self.session.ask(self.gateway.auth.CreateApiKey, api_key_pb2.CreateApiKeyRequest(api_key=wanted))
        return made.secret

    async def staff(self, name: str, photos: Sequence[bytes]) -> str:
        """A new staff member's id, with a face per photo (JPEG)."""
        request = staff_pb2.CreateStaffRequest(staff=staff_pb2.Staff(display_name=name))
        made = await self.session.ask(self.gateway.staff.CreateStaff, request)
        for photo in photos:
            face = staff_face_pb2.AddStaffFaceRequest(staff_id=made.staff.id, image=photo)
            await self.session.ask(self.gateway.staff.AddStaffFace, face)
        return made.staff.id
