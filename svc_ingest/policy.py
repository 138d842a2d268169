"""Who may call which RPC of svc_ingest."""

from __future__ import annotations

from footfall.ingest.v1 import feed_pb2, ingest_pb2

from mesh.access import MANAGERS, WORKERS, Policy, Role, Rule, TenantFrom, rules

INGEST_SERVICE = ingest_pb2.DESCRIPTOR.services_by_name["IngestService"]
FEED_SERVICE = feed_pb2.DESCRIPTOR.services_by_name["FeedService"]

_TENANT_ADMINS = frozenset({Role.SYSTEM_ADMIN, Role.TENANT_ADMIN})

POLICY: Policy = {
    **rules(
        INGEST_SERVICE,
        StreamFaces=Rule(roles=WORKERS),
        IngestFace=Rule(roles=WORKERS),
        ListQuarantinedEvents=Rule(roles=MANAGERS),
        ReleaseQuarantinedEvents=Rule(roles=MANAGERS),
        DiscardQuarantinedEvents=Rule(roles=MANAGERS),
    ),
    **rules(
        FEED_SERVICE,
        WatchVisits=Rule(roles=MANAGERS | {Role.VIEWER}),
        GetImageUrls=Rule(roles=MANAGERS),
        # The signature in the address is the credential, and tells the tenant.
        GetImage=Rule(public=True, tenant=TenantFrom.NONE),
        ListWebhooks=Rule(roles=_TENANT_ADMINS),
        GetWebhook=Rule(roles=_TENANT_ADMINS),
        CreateWebhook=Rule(roles=_TENANT_ADMINS),
        UpdateWebhook=Rule(roles=_TENANT_ADMINS),
        DeleteWebhook=Rule(roles=_TENANT_ADMINS),
    ),
}
