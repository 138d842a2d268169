"""Where svc_reports is put together; the only place where its objects are made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from mesh.audit import Audit
from mesh.auth import JwksSource, Revocations, TokenVerifier
from mesh.channels import channel
from mesh.clock import Clock
from mesh.database import Database
from mesh.ids import Ids
from mesh.jwks import jwks_from_registry
from mesh.keyring import KeyRing
from mesh.paging import PageTokens
from mesh.server import Mount, Service
from mesh.tls import Tls
from schema.registry import token_revocations
from schema.reports import audit_entries
from svc_reports.policy import ALERT_SERVICE, AUDIT_SERVICE, JOB_SERVICE, POLICY, REPORT_SERVICE, VISIT_SERVICE
from svc_reports.reports.service import Reports
from svc_reports.reports.servicer import ReportServicer
from svc_reports.settings import ReportsSettings
from svc_reports.visits.servicer import VisitServicer

NAME: Final = "svc-reports"
DATABASE_NAME: Final = "svc_reports"


@asynccontextmanager
async def build(settings: ReportsSettings, clock: Clock, ids: Ids) -> AsyncIterator[Service]:
    """The whole service, its ports tied to the mesh."""
    async with (
        channel(settings.registry_target, "svc-registry", Tls.of(settings)) as registry,
        assemble(settings, clock, ids, jwks_from_registry(registry)) as service,
    ):
        yield service


@asynccontextmanager
async def assemble(settings: ReportsSettings, clock: Clock, ids: Ids, jwks: JwksSource) -> AsyncIterator[Service]:
    """The whole service between its ports: tests bring their own keys."""
    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    verifier = TokenVerifier(jwks, settings.token_issuer, settings.token_audience, clock)
    async with Database.connect(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        application_name=DATABASE_NAME,
        statement_seconds=settings.statement_seconds,
    ) as database:
        audit = Audit(audit_entries, DATABASE_NAME, ids)
        yield Service(
            mounts=[
                Mount(VISIT_SERVICE, VisitServicer(database, PageTokens(ring, clock))),
                Mount(REPORT_SERVICE, ReportServicer(Reports(database), database, audit)),  # type: ignore[abstract]
                Mount(AUDIT_SERVICE),
                Mount(JOB_SERVICE),
                Mount(ALERT_SERVICE),
            ],
            policy=POLICY,
            verifier=verifier,
            revocations=Revocations.from_table(database, token_revocations),
            checks={"database": database.check, "keys": verifier.check},
        )
