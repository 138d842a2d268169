"""Who may call what of the registry: one row per RPC of every service that it serves."""

from __future__ import annotations

from typing import Final

from footfall.registry.v1 import auth_pb2, camera_pb2, fleet_pb2, preview_pb2, site_pb2, tenant_pb2, worker_pb2
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

from mesh.access import ADMINS, FRONT, MANAGERS, READERS, WORKERS, Policy, Role, Rule, TenantFrom, rules

_MESH: Final = FRONT | {"svc-registry", "svc-ingest", "svc-identity", "svc-reports"}

_SYSTEM: Final = frozenset({Role.SYSTEM_ADMIN})
_EVERYBODY: Final = READERS | WORKERS

_PUBLIC: Final = Rule(public=True, tenant=TenantFrom.NONE)
# Users and keys of the system's own tenant are a system_admin's who names none.
_ACCESS: Final = Rule(ADMINS, tenant=TenantFrom.NONE)
_SIGNED_IN: Final = Rule(_EVERYBODY, tenant=TenantFrom.NONE)


def service(file: FileDescriptor, name: str) -> ServiceDescriptor:
    """A service of a contract's file."""
    return file.services_by_name[name]


AUTH: Final = service(auth_pb2.DESCRIPTOR, "AuthService")
TENANTS: Final = service(tenant_pb2.DESCRIPTOR, "TenantService")
SITES: Final = service(site_pb2.DESCRIPTOR, "SiteService")
CAMERAS: Final = service(camera_pb2.DESCRIPTOR, "CameraService")
WORKERS_SERVICE: Final = service(worker_pb2.DESCRIPTOR, "WorkerService")
FLEET: Final = service(fleet_pb2.DESCRIPTOR, "FleetService")
PREVIEW_RELAY: Final = service(preview_pb2.DESCRIPTOR, "PreviewRelayService")

POLICY: Final[Policy] = {
    **rules(
        AUTH,
        IssueToken=_PUBLIC,
        RevokeToken=_SIGNED_IN,
        GetJwks=Rule(public=True, tenant=TenantFrom.NONE, peers=_MESH),
        ListUsers=_ACCESS,
        GetUser=_ACCESS,
        CreateUser=_ACCESS,
        UpdateUser=_ACCESS,
        DeleteUser=_ACCESS,
        # Users set their own, whatever their role; whose it is, the use case looks at.
        SetUserPassword=Rule(READERS, tenant=TenantFrom.NONE),
        ListApiKeys=_ACCESS,
        CreateApiKey=_ACCESS,
        RevokeApiKey=_ACCESS,
    ),
    **rules(
        TENANTS,
        ListTenants=Rule(_SYSTEM, tenant=TenantFrom.NONE),
        GetTenant=Rule(_EVERYBODY, tenant=TenantFrom.NONE),
        CreateTenant=Rule(_SYSTEM, tenant=TenantFrom.NONE),
        UpdateTenant=Rule(ADMINS, tenant=TenantFrom.NONE),
        DeleteTenant=Rule(_SYSTEM, tenant=TenantFrom.NONE),
        UndeleteTenant=Rule(_SYSTEM, tenant=TenantFrom.NONE),
    ),
    **rules(
        SITES,
        ListSites=Rule(_EVERYBODY),
        GetSite=Rule(_EVERYBODY),
        CreateSite=Rule(ADMINS),
        UpdateSite=Rule(MANAGERS),
        DeleteSite=Rule(ADMINS),
        ListSiteRules=Rule(_EVERYBODY),
    ),
    **rules(CAMERAS, Rule(MANAGERS)),
    **rules(
        WORKERS_SERVICE,
        Connect=Rule(WORKERS),
        PushPreview=Rule(WORKERS),
        UnwrapSpoolKey=Rule(WORKERS),
        ListWorkers=Rule(MANAGERS),
        GetWorker=Rule(MANAGERS),
        DrainWorker=Rule(MANAGERS),
        UndrainWorker=Rule(MANAGERS),
        SetWorkerMaintenance=Rule(MANAGERS),
        ReportWorkerStolen=Rule(MANAGERS),
        DeleteWorker=Rule(ADMINS),
    ),
    **rules(FLEET, Rule(MANAGERS)),
    # A viewer's replica asks the one where the worker's pictures arrive; it has checked the viewer itself.
    **rules(PREVIEW_RELAY, Rule(peers=frozenset({"svc-registry"}), tenant=TenantFrom.METADATA)),
}
