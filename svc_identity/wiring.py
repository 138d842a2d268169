"""Where svc_identity is put together; the only place where its objects are made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from mesh.audit import Audit
from mesh.auth import JwksSource, Revocations, TokenVerifier
from mesh.channels import channel
from mesh.clock import Clock
from mesh.database import Database
from mesh.errors import Unavailable
from mesh.hints import Listener
from mesh.ids import Ids
from mesh.jwks import jwks_from_registry
from mesh.keyring import KeyRing
from mesh.objects import ObjectStore, open_store
from mesh.outbox import Worker
from mesh.paging import PageTokens
from mesh.server import MIB, Check, Mount, Service
from mesh.tasks import Background
from mesh.tls import Tls
from schema.registry import token_revocations
from schema.reports import audit_entries
from svc_identity.customers.housekeeping import Housekeeping
from svc_identity.customers.servicer import CustomerServicer
from svc_identity.matching.domain import Policy
from svc_identity.matching.indexing import Indexer
from svc_identity.matching.service import Matching
from svc_identity.matching.servicer import MatchServicer
from svc_identity.outbox import QUEUE, handlers
from svc_identity.policy import CALIBRATION, CUSTOMERS, MATCHING, POLICY, STAFF
from svc_identity.settings import IdentitySettings
from svc_identity.staff.faces import StaffFaces
from svc_identity.staff.faces_store import CHANNEL
from svc_identity.staff.gallery import Galleries
from svc_identity.staff.orphans import Orphans
from svc_identity.staff.portraits import Portraits
from svc_identity.staff.recognition import PhotoSearch
from svc_identity.staff.roster import Roster
from svc_identity.staff.servicer import StaffServicer
from svc_identity.transactions import Transactions
from svc_identity.vectors.milvus import MilvusIndex
from svc_identity.vectors.port import VectorIndex
from svc_identity.vectors.vault import VectorVault
from vision import demo, manifest
from vision.manifest import Models

NAME: Final = "svc-identity"
DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Ports:
    """What lies outside of the process, but for PostgreSQL.

    Attributes:
        jwks: the public keys of tokens.
        images: where the aligned faces of staff lie.
        index: of vectors.
    """

    jwks: JwksSource
    images: ObjectStore
    index: VectorIndex


@asynccontextmanager
async def build(settings: IdentitySettings, clock: Clock, ids: Ids) -> AsyncIterator[Service]:
    """The whole service, its ports tied to the mesh."""
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(channel(settings.registry_target, "svc-registry", Tls.of(settings)))
        images = await stack.enter_async_context(open_store(settings.images.get_secret_value()))
        index = MilvusIndex(
            settings.index_uri,
            token=settings.vectors_token.get_secret_value(),
            timeout=settings.vectors_seconds,
            partitions=settings.vectors_partitions,
        )
        stack.push_async_callback(index.close)
        yield await stack.enter_async_context(
            assemble(settings, clock, ids, Ports(jwks_from_registry(registry), images, index))
        )


@asynccontextmanager
async def assemble(settings: IdentitySettings, clock: Clock, ids: Ids, ports: Ports) -> AsyncIterator[Service]:
    """The whole service between its ports: tests bring their own."""
    url = settings.database_url.get_secret_value()
    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    verifier = TokenVerifier(ports.jwks, settings.token_issuer, settings.token_audience, clock)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database.connect(url, pool_size=settings.database_pool_size, application_name=NAME)
        )
        housekeeping = Housekeeping(database, clock, left_over_after=timedelta(seconds=settings.provisional_seconds))
        vault = VectorVault(ring)
        indexer = Indexer(database, ports.index, vault)
        matching = Matching(
            database=database,
            index=ports.index,
            vault=vault,
            ids=ids,
            defaults=default_policies(settings),
            enrolled=indexer.wake,
            matched=housekeeping.matched,
        )
        listener = Listener(url, [CHANNEL])
        portraits = Portraits(
            lambda: load_models(settings), max_pixels=settings.image_pixels, queue=settings.image_queue
        )
        stack.callback(portraits.close)
        audit = Audit(audit_entries, "svc_identity", ids)
        roster = Roster(audit=audit, clock=clock, ids=ids)
        transactions, pages = Transactions(database), PageTokens(ring, clock)
        staff = StaffServicer(  # type: ignore[abstract]  # import and recalculation: later
            roster=roster,
            faces=StaffFaces(
                audit=audit,
                clock=clock,
                ids=ids,
                database=database,
                images=ports.images,
                portraits=portraits,
                vault=vault,
                matching=matching,
                roster=roster,
                grown=indexer.wake,
            ),
            search=PhotoSearch(audit=audit, index=ports.index, vault=vault, matching=matching, roster=roster),
            galleries=Galleries(database, listener, vault, matching, clock, watchers=settings.gallery_watchers),
            transactions=transactions,
            pages=pages,
        )
        customers = CustomerServicer(transactions=transactions, pages=pages)  # type: ignore[abstract]  # corrections: later
        yield Service(
            mounts=[
                Mount(MATCHING, MatchServicer(matching)),
                Mount(STAFF, staff),
                Mount(CUSTOMERS, customers),
                Mount(CALIBRATION),
            ],
            policy=POLICY,
            verifier=verifier,
            revocations=Revocations.from_table(database, token_revocations),
            checks={
                "database": database.check,
                "vectors": _answering(ports.index),
                "images": ports.images.check,
                "keys": verifier.check,
            },
            background=[
                Background("hints", listener.run),
                Background("indexer", indexer.run),
                Background("housekeeping", housekeeping.turn, settings.housekeeping_seconds),
                Background("sightings", housekeeping.everybody, DAY_SECONDS),
                Background("orphans", Orphans(database, ports.images, clock).sweep, settings.orphan_seconds),
                Background("outbox", Worker(url, QUEUE, handlers(ports.index, vault, ports.images)).run),
            ],
            # A photograph of 8 MiB is refused by its field, not by the transport; an import brings 16 MiB of them.
            max_receive_bytes=24 * MIB,
        )


def load_models(settings: IdentitySettings) -> Models:
    """What photographs of staff are looked at with. Raises `vision.manifest.ModelProblem`."""
    if settings.models is None:
        return demo.load()
    return manifest.load(
        settings.models, detector=settings.detector, embedder=settings.embedder, provider=settings.provider
    )


def default_policies(settings: IdentitySettings) -> Mapping[str, Policy]:
    """What is decided by where a tenant has decided nothing, per embedding space; other spaces are refused.

    With weights, every space of the manifest: spools may still hold faces of the model before. Without, the demo's own.
    """
    if settings.models is None:
        return {demo.SPACE: Policy(demo.MATCH_THRESHOLD, settings.founding_quality)}
    return {
        entry.embedder.space: Policy(entry.embedder.match_threshold, settings.founding_quality)
        for entry in manifest.read().entries
        if entry.embedder is not None
    }


def _answering(index: VectorIndex) -> Check:
    async def check() -> None:
        if not await index.ready():
            raise Unavailable("the vector index does not answer")

    return check
