"""Where the registry's objects are built, and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from footfall.registry.v1.worker_session_pb2 import GoAway

from mesh.audit import Audit
from mesh.auth import Caller, Revocations, TokenVerifier
from mesh.clock import Clock
from mesh.database import Database
from mesh.hints import Listener
from mesh.ids import Ids
from mesh.keyring import KeyRing
from mesh.paging import PageTokens
from mesh.server import Mount, Service
from mesh.tasks import Background
from schema.registry import token_revocations
from schema.reports import audit_entries
from svc_registry import policy
from svc_registry.access.api_keys.service import ApiKeys
from svc_registry.access.passwords import Argon2Passwords
from svc_registry.access.servicer import AuthServicer
from svc_registry.access.signing.service import SigningKeys
from svc_registry.access.tokens.limits import SignInLimits
from svc_registry.access.tokens.service import Sessions, Tokens
from svc_registry.access.users.service import Users
from svc_registry.directory.cameras.resealing import Resealing
from svc_registry.directory.cameras.service import Cameras
from svc_registry.directory.cameras.servicer import CameraServicer
from svc_registry.directory.sites.service import Sites
from svc_registry.directory.sites.servicer import SiteServicer
from svc_registry.directory.tenants.service import Tenants
from svc_registry.directory.tenants.servicer import TenantServicer
from svc_registry.hints import DESIRED
from svc_registry.leases.reconcile import Reconcile
from svc_registry.leases.servicer import FleetServicer
from svc_registry.sessions.renewing import Renewing
from svc_registry.sessions.roster import Farewell, Roster
from svc_registry.sessions.service import WorkerSessions
from svc_registry.sessions.servicer import WorkerServicer
from svc_registry.sessions.spool_keys import SpoolKeys
from svc_registry.sessions.stream import Connections
from svc_registry.sessions.telling import Telling
from svc_registry.sessions.workers import Workers
from svc_registry.settings import RegistrySettings
from svc_registry.transactions import Transactions

NAME: Final = "svc_registry"
KEYS_SECONDS: Final = 30.0  # between two looks at the table of signing keys
FORGET_SECONDS: Final = 300.0  # between two removals of what has run out
RESEAL_SECONDS: Final = 3600.0  # between two looks for what an older master key encrypted


@asynccontextmanager
async def build(settings: RegistrySettings, clock: Clock, ids: Ids) -> AsyncIterator[Service]:
    """The whole service, on a database that need not be there yet."""
    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    passwords = Argon2Passwords(settings.password_iterations, settings.password_memory_kib)
    url = settings.database_url.get_secret_value()
    try:
        async with Database.connect(url, pool_size=settings.database_pool_size, application_name=NAME) as database:
            yield _service(settings, clock, ids, ring=ring, passwords=passwords, database=database)
    finally:
        passwords.close()


def _service(
    settings: RegistrySettings,
    clock: Clock,
    ids: Ids,
    *,
    ring: KeyRing,
    passwords: Argon2Passwords,
    database: Database,
) -> Service:
    audit = Audit(audit_entries, NAME, ids)
    transactions = Transactions(database, ring)
    pages = PageTokens(ring, clock)

    signing = SigningKeys(database, ring, settings.rotation, clock, ids)
    sessions = Sessions(settings.tokens, clock)
    limits = SignInLimits(settings.sign_in_limits, clock)
    tokens = Tokens(
        database=database,
        passwords=passwords,
        signing=signing,
        sessions=sessions,
        limits=limits,
        audit=audit,
        policy=settings.tokens,
        clock=clock,
        ids=ids,
    )
    auth = AuthServicer(
        tokens=tokens,
        signing=signing,
        users=Users(passwords=passwords, sessions=sessions, limits=limits, audit=audit, ids=ids),
        passwords=passwords,
        api_keys=ApiKeys(sessions=sessions, audit=audit, clock=clock, ids=ids),
        transactions=transactions,
        pages=pages,
        clock=clock,
    )
    tenants = Tenants(sessions=sessions, audit=audit, clock=clock, ids=ids)
    sites = Sites(audit=audit, clock=clock, ids=ids)
    cameras = Cameras(ring=ring, audit=audit, ids=ids)

    listener = Listener(database.url, [DESIRED])
    roster = Roster()
    connections = Connections(
        sessions=WorkerSessions(
            database=database, audit=audit, clock=clock, ids=ids, timing=settings.timing, replica=settings.listen
        ),
        keys=SpoolKeys(database, ring, audit, ids),
        roster=roster,
        ring=ring,
        clock=clock,
        most_sessions=settings.most_worker_sessions,
    )
    workers = WorkerServicer(connections, Workers(audit), transactions, pages)
    renewing = Renewing(
        database=database,
        clock=clock,
        roster=roster,
        timing=settings.timing,
        replica_id=ids.uuid7(),
        replica=settings.listen,
        batch_seconds=settings.renewal_batch_seconds,
    )
    reconcile = Reconcile(
        database=database,
        clock=clock,
        ids=ids,
        listener=listener,
        timing=settings.timing,
        most_gap=renewing.most_gap,
    )
    telling = Telling(database=database, clock=clock, listener=listener, roster=roster)

    async def drain() -> None:
        await roster.dismiss_all(Farewell(GoAway.REASON_SHUTDOWN, "this replica stops: another answers"))
        await renewing.leave()

    async def note_cross_tenant(caller: Caller, method: str) -> None:
        await database.run_as_caller(caller, lambda tx: tenants.note_look(tx, caller, method))

    return Service(
        mounts=[
            Mount(policy.AUTH, auth),
            Mount(policy.TENANTS, TenantServicer(tenants, transactions, pages, clock)),
            Mount(policy.SITES, SiteServicer(sites, transactions, pages, clock)),
            Mount(policy.CAMERAS, CameraServicer(cameras, transactions, pages, clock)),
            Mount(policy.WORKERS_SERVICE, workers),
            Mount(policy.FLEET, FleetServicer(transactions, pages)),
            Mount(policy.PREVIEW_RELAY),
        ],
        policy=policy.POLICY,
        verifier=TokenVerifier(signing.jwks, settings.token_issuer, settings.token_audience, clock),
        revocations=Revocations.from_table(database, token_revocations),
        checks={"database": database.check, "signing keys": signing.check, "spool keys": connections.keys.check},
        background=[
            Background("signing keys", signing.rotate, KEYS_SECONDS),
            Background("forget sessions", tokens.forget, FORGET_SECONDS),
            Background("reseal camera passwords", Resealing(database, ring).run, RESEAL_SECONDS),
            Background("hints", listener.run),
            Background("renewals", renewing.run),
            Background("reconcile", reconcile.run),
            Background("telling", telling.run),
        ],
        on_drain=[drain],
        on_cross_tenant=note_cross_tenant,
    )
