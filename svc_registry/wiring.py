"""Where the registry's objects are built, and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
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
from mesh.server import Check, Mount, Service
from mesh.tasks import Background
from schema.registry import token_revocations
from schema.reports import audit_entries
from svc_registry import policy, reflection
from svc_registry.access.api_keys.service import ApiKeys
from svc_registry.access.passwords import Argon2Passwords, Passwords
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


@dataclass(frozen=True, slots=True)
class _Ground:
    """What every room stands on."""

    settings: RegistrySettings
    clock: Clock
    ids: Ids
    ring: KeyRing
    database: Database
    audit: Audit
    transactions: Transactions
    pages: PageTokens


@dataclass(frozen=True, slots=True)
class _Part:
    """What a group of rooms brings to the service."""

    mounts: Sequence[Mount]
    background: Sequence[Background] = ()
    checks: Mapping[str, Check] = field(default_factory=dict)
    on_drain: Sequence[Callable[[], Awaitable[None]]] = ()


@asynccontextmanager
async def build(settings: RegistrySettings, clock: Clock, ids: Ids) -> AsyncIterator[Service]:
    """The whole service, on a database that need not be there yet."""
    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    passwords = Argon2Passwords(settings.password_iterations, settings.password_memory_kib)
    url = settings.database_url.get_secret_value()
    try:
        async with Database.connect(url, pool_size=settings.database_pool_size, application_name=NAME) as database:
            ground = _Ground(
                settings=settings,
                clock=clock,
                ids=ids,
                ring=ring,
                database=database,
                audit=Audit(audit_entries, NAME, ids),
                transactions=Transactions(database, ring),
                pages=PageTokens(ring, clock),
            )
            yield _service(ground, passwords)
    finally:
        passwords.close()


def _service(ground: _Ground, passwords: Passwords) -> Service:
    settings, database = ground.settings, ground.database
    signing = SigningKeys(database, ground.ring, settings.rotation, ground.clock, ground.ids)
    sessions = Sessions(settings.tokens, ground.clock)
    tenants = Tenants(sessions=sessions, audit=ground.audit, clock=ground.clock, ids=ground.ids)
    parts = (_access(ground, passwords, signing, sessions), _directory(ground, tenants), _fleet(ground))

    async def note_cross_tenant(caller: Caller, method: str) -> None:
        await database.run_as_caller(caller, lambda tx: tenants.note_look(tx, caller, method))

    return Service(
        mounts=[mount for part in parts for mount in part.mounts],
        policy=policy.POLICY,
        verifier=TokenVerifier(signing.jwks, settings.token_issuer, settings.token_audience, ground.clock),
        revocations=Revocations.from_table(database, token_revocations),
        checks={"database": database.check} | {name: check for part in parts for name, check in part.checks.items()},
        background=[background for part in parts for background in part.background],
        on_drain=[hook for part in parts for hook in part.on_drain],
        on_cross_tenant=note_cross_tenant,
        reflected=reflection.OTHERS,
    )


def _access(ground: _Ground, passwords: Passwords, signing: SigningKeys, sessions: Sessions) -> _Part:
    settings, clock, ids, audit = ground.settings, ground.clock, ground.ids, ground.audit
    limits = SignInLimits(settings.sign_in_limits, clock)
    tokens = Tokens(
        database=ground.database,
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
        users=Users(passwords=passwords, sessions=sessions, limits=limits, audit=audit, ids=ids, room=settings.room),
        passwords=passwords,
        api_keys=ApiKeys(sessions=sessions, audit=audit, clock=clock, ids=ids, room=settings.room),
        transactions=ground.transactions,
        pages=ground.pages,
        clock=clock,
    )
    return _Part(
        mounts=[Mount(policy.AUTH, auth)],
        background=[
            Background("signing keys", signing.rotate, KEYS_SECONDS),
            Background("forget sessions", tokens.forget, FORGET_SECONDS),
        ],
        checks={"signing keys": signing.check},
    )


def _directory(ground: _Ground, tenants: Tenants) -> _Part:
    audit, clock, ids, room = ground.audit, ground.clock, ground.ids, ground.settings.room
    transactions, pages = ground.transactions, ground.pages
    sites = Sites(audit=audit, clock=clock, ids=ids, room=room)
    cameras = Cameras(ring=ground.ring, audit=audit, ids=ids, room=room)
    resealing = Resealing(ground.database, ground.ring)
    return _Part(
        mounts=[
            Mount(policy.TENANTS, TenantServicer(tenants, transactions, pages, clock)),
            Mount(policy.SITES, SiteServicer(sites, transactions, pages, clock)),
            Mount(policy.CAMERAS, CameraServicer(cameras, transactions, pages, clock)),
        ],
        background=[Background("reseal camera passwords", resealing.run, RESEAL_SECONDS)],
    )


def _fleet(ground: _Ground) -> _Part:
    settings, database, clock, ids = ground.settings, ground.database, ground.clock, ground.ids
    listener = Listener(database.url, [DESIRED])
    roster = Roster()
    connections = Connections(
        sessions=WorkerSessions(
            database=database, audit=ground.audit, clock=clock, ids=ids, timing=settings.timing, replica=settings.listen
        ),
        keys=SpoolKeys(database, ground.ring, ground.audit, ids),
        roster=roster,
        ring=ground.ring,
        clock=clock,
        most_sessions=settings.most_worker_sessions,
    )
    workers = WorkerServicer(connections, Workers(ground.audit), ground.transactions, ground.pages)
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

    return _Part(
        mounts=[
            Mount(policy.WORKERS_SERVICE, workers),
            Mount(policy.FLEET, FleetServicer(ground.transactions, ground.pages)),
            Mount(policy.PREVIEW_RELAY),
        ],
        background=[
            Background("hints", listener.run),
            Background("renewals", renewing.run),
            Background("reconcile", reconcile.run),
            Background("telling", telling.run),
        ],
        checks={"spool keys": connections.keys.check},
        on_drain=[drain],
    )
