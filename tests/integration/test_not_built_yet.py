"""What of the contracts is still to be written: exactly this list, which shrinks with each version."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import pytest

import svc_identity.settings
import svc_identity.wiring
import svc_ingest.settings
import svc_ingest.wiring
import svc_registry.settings
import svc_registry.wiring
import svc_reports.settings
import svc_reports.wiring
from mesh.clock import SystemClock
from mesh.ids import SystemIds
from mesh.mounts import unbuilt
from mesh.server import Service
from mesh.settings import ServiceSettings, load
from mesh.tls import Tls

SERVICES: Final[dict[str, tuple[type[ServiceSettings], Callable[..., AbstractAsyncContextManager[Service]]]]] = {
    "registry": (svc_registry.settings.RegistrySettings, svc_registry.wiring.build),
    "ingest": (svc_ingest.settings.IngestSettings, svc_ingest.wiring.build),
    "identity": (svc_identity.settings.IdentitySettings, svc_identity.wiring.build),
    "reports": (svc_reports.settings.ReportsSettings, svc_reports.wiring.build),
}

NOT_BUILT_YET: Final = [
    "footfall.identity.v1.CalibrationService/ApplyCalibration",
    "footfall.identity.v1.CalibrationService/Calibrate",
    "footfall.identity.v1.CalibrationService/ListCalibrations",
    "footfall.identity.v1.CalibrationService/RevertCalibration",
    "footfall.identity.v1.CustomerService/CreateCustomer",
    "footfall.identity.v1.CustomerService/DeleteCustomer",
    "footfall.identity.v1.CustomerService/EraseCustomer",
    "footfall.identity.v1.CustomerService/GetErasureReceipt",
    "footfall.identity.v1.CustomerService/ListMergeCandidates",
    "footfall.identity.v1.CustomerService/MergeCustomers",
    "footfall.identity.v1.CustomerService/MoveSighting",
    "footfall.identity.v1.CustomerService/RematchSightings",
    "footfall.identity.v1.CustomerService/UnmergeCustomer",
    "footfall.identity.v1.CustomerService/UpdateCustomer",
    "footfall.identity.v1.StaffService/ImportStaff",
    "footfall.identity.v1.StaffService/RecalculateStaffEmbeddings",
    "footfall.ingest.v1.FeedService/CreateWebhook",
    "footfall.ingest.v1.FeedService/DeleteWebhook",
    "footfall.ingest.v1.FeedService/GetWebhook",
    "footfall.ingest.v1.FeedService/ListWebhooks",
    "footfall.ingest.v1.FeedService/UpdateWebhook",
    "footfall.ingest.v1.IngestService/DiscardQuarantinedEvents",
    "footfall.ingest.v1.IngestService/ListQuarantinedEvents",
    "footfall.ingest.v1.IngestService/ReleaseQuarantinedEvents",
    "footfall.registry.v1.CameraService/TestSource",
    "footfall.registry.v1.FleetService/ListCommands",
    "footfall.registry.v1.FleetService/PinCamera",
    "footfall.registry.v1.FleetService/ReleaseCamera",
    "footfall.registry.v1.FleetService/SendCommand",
    "footfall.registry.v1.FleetService/WatchCameras",
    "footfall.registry.v1.FleetService/WatchPreview",
    "footfall.registry.v1.PreviewRelayService/RelayPreview",
    "footfall.registry.v1.WorkerService/DeleteWorker",
    "footfall.registry.v1.WorkerService/PushPreview",
    "footfall.registry.v1.WorkerService/ReportWorkerStolen",
    "footfall.reports.v1.AlertService/AcknowledgeAlert",
    "footfall.reports.v1.AlertService/ListAlerts",
    "footfall.reports.v1.AuditService/ListAuditEntries",
    "footfall.reports.v1.AuditService/VerifyAuditChain",
    "footfall.reports.v1.JobService/ListJobs",
    "footfall.reports.v1.JobService/RunJob",
    "footfall.reports.v1.ReportService/CreateCountCheck",
    "footfall.reports.v1.ReportService/ListCountChecks",
]


async def test_these_rpcs_and_no_others_answer_that_they_are_not_built_yet(
    peers: Callable[[str], Tls], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name, (settings, build) in SERVICES.items():
        for variable, value in environment(name, peers(f"svc-{name}"), tmp_path).items():
            monkeypatch.setenv(f"FOOTFALL_{variable}", value)
        # Nothing of it is started: a service is put together without contacting anybody.
        async with build(load(settings), SystemClock(), SystemIds()) as service:
            found += unbuilt(service.mounts)

    assert sorted(found) == NOT_BUILT_YET


def environment(name: str, tls: Tls, folder: Path) -> dict[str, Any]:
    """What the stack tells a service, with nobody at the addresses."""
    return {
        "LISTEN": "127.0.0.1:0",
        "METRICS_LISTEN": "127.0.0.1:0",
        "DATABASE_URL": f"postgresql://svc_{name}:nobody@127.0.0.1:1/footfall",
        "TLS_CA": str(tls.ca),
        "TLS_CERT": str(tls.cert),
        "TLS_KEY": str(tls.key),
        "MASTER_KEYS": "test:" + base64.b64encode(bytes(32)).decode(),
        "REGISTRY_TARGET": "127.0.0.1:1",
        "IDENTITY_TARGET": "127.0.0.1:1",
        "IMAGES": f"folder://{folder / 'images'}",
        "VECTORS": str(folder / "vectors"),
    }
