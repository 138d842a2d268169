"""Where svc_ingest is put together; the only place where its objects are made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from mesh.audit import Audit
from mesh.auth import Caller, JwksSource, Revocations, TokenVerifier
from mesh.channels import channel
from mesh.clock import Clock
from mesh.database import Database
from mesh.hints import Listener
from mesh.ids import Ids
from mesh.jwks import jwks_from_registry
from mesh.keyring import KeyRing
from mesh.objects import ImageSigner, ObjectStore, open_store
from mesh.server import MIB, Mount, Service
from mesh.tasks import Background
from mesh.tls import Tls
from schema.registry import token_revocations
from schema.reports import audit_entries
from svc_ingest.events.credit import Credits
from svc_ingest.events.domain import Limits
from svc_ingest.events.fairness import FairTurns
from svc_ingest.events.identity import IdentityMatcher
from svc_ingest.events.matching import Matcher
from svc_ingest.events.pictures import PictureKeeper
from svc_ingest.events.service import CHANNEL, EventService
from svc_ingest.events.servicer import IngestServicer
from svc_ingest.events.sweep import Sweep
from svc_ingest.feed.cursor import Cursors
from svc_ingest.feed.images import ImageService
from svc_ingest.feed.service import VisitFeed
from svc_ingest.feed.servicer import FeedServicer
from svc_ingest.policy import FEED_SERVICE, INGEST_SERVICE, POLICY
from svc_ingest.settings import IngestSettings

NAME: Final = "svc-ingest"
# So that a snapshot of 20 MB is one event's problem and not its stream's.
RECEIVE_BYTES: Final = 24 * MIB
DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class _Parts:
    """What both rooms need."""

    database: Database
    images: ObjectStore
    ring: KeyRing
    clock: Clock


@asynccontextmanager
async def build(settings: IngestSettings, clock: Clock, ids: Ids) -> AsyncIterator[Service]:
    """The whole service, its ports tied to the mesh."""
    tls = Tls.of(settings)
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(channel(settings.registry_target, "svc-registry", tls))
        identity = await stack.enter_async_context(channel(settings.identity_target, "svc-identity", tls))
        images = await stack.enter_async_context(open_store(settings.images.get_secret_value()))
        yield await stack.enter_async_context(
            assemble(
                settings,
                clock,
                ids,
                jwks=jwks_from_registry(registry),
                matcher=IdentityMatcher(identity),
                images=images,
            )
        )


@asynccontextmanager
async def assemble(
    settings: IngestSettings, clock: Clock, ids: Ids, *, jwks: JwksSource, matcher: Matcher, images: ObjectStore
) -> AsyncIterator[Service]:
    """The whole service between its ports: tests bring their own."""
    url = settings.database_url.get_secret_value()
    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    verifier = TokenVerifier(jwks, settings.token_issuer, settings.token_audience, clock)
    async with Database.connect(url, pool_size=settings.database_pool_size, application_name=NAME) as database:
        parts = _Parts(database, images, ring, clock)
        listener = Listener(url, [CHANNEL])
        audit = Audit(audit_entries, "svc_ingest", ids)

        async def note_cross_tenant(caller: Caller, method: str) -> None:
            async with database.as_caller(caller) as tx:
                await audit.record(tx, caller, "tenant.look", details={"rpc": method})

        sweep = Sweep(database, images, clock, feed_life=timedelta(days=settings.feed_days))
        yield Service(
            mounts=[
                Mount(INGEST_SERVICE, _ingest(settings, parts, matcher)),
                Mount(FEED_SERVICE, _feed(settings, parts, listener)),
            ],
            policy=POLICY,
            verifier=verifier,
            revocations=Revocations.from_table(database, token_revocations),
            checks={"database": database.check, "images": images.check, "keys": verifier.check},
            background=[
                Background("hints", listener.run),
                Background("partitions", sweep.make_partitions, DAY_SECONDS),
                Background("sweep", sweep.run, settings.sweep_seconds),
                Background("orphans", sweep.remove_orphans, DAY_SECONDS),
            ],
            on_cross_tenant=note_cross_tenant,
            max_receive_bytes=RECEIVE_BYTES,
        )


def _ingest(settings: IngestSettings, parts: _Parts, matcher: Matcher) -> IngestServicer:
    events = EventService(
        parts.database,
        matcher,
        PictureKeeper(parts.images, max_bytes=settings.snapshot_bytes, max_pixels=settings.snapshot_pixels),
        parts.ring,
        limits=Limits(
            future=timedelta(seconds=settings.future_seconds),
            lease_skew=timedelta(seconds=settings.lease_skew_seconds),
            clock_uncertainty=timedelta(seconds=settings.clock_uncertainty_seconds),
        ),
        turns=FairTurns(settings.batches),
        attempts=settings.batch_attempts,
        clock=parts.clock,
    )
    window = Credits(settings.credit_window, least=settings.least_credit, most=settings.stream_credit)
    return IngestServicer(events, window, settings.stream_batches)  # type: ignore[abstract]  # the quarantine: later


def _feed(settings: IngestSettings, parts: _Parts, listener: Listener) -> FeedServicer:
    cursors = Cursors(parts.ring, parts.clock, life=timedelta(days=settings.feed_days))
    signer = ImageSigner(parts.ring, parts.clock, life=timedelta(seconds=settings.image_url_seconds))
    return FeedServicer(  # type: ignore[abstract]  # webhooks: later
        VisitFeed(parts.database, listener, cursors, parts.clock, watchers=settings.watchers),
        ImageService(parts.database, parts.images, signer, parts.clock),
        parts.clock,
    )
