"""Where svc_identity is put together; the only place where its objects are made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from mesh.auth import JwksSource, Revocations, TokenVerifier
from mesh.channels import channel
from mesh.clock import Clock
from mesh.database import Database
from mesh.errors import Unavailable
from mesh.ids import Ids
from mesh.jwks import jwks_from_registry
from mesh.keyring import KeyRing
from mesh.objects import ObjectStore, open_store
from mesh.server import Check, Mount, Service
from mesh.tasks import Background
from mesh.tls import Tls
from schema.registry import token_revocations
from svc_identity.matching.domain import Policy
from svc_identity.matching.indexing import Indexer
from svc_identity.matching.service import Matching
from svc_identity.matching.servicer import MatchServicer
from svc_identity.policy import CALIBRATION, CUSTOMERS, MATCHING, POLICY, STAFF
from svc_identity.settings import IdentitySettings
from svc_identity.vectors.milvus import MilvusIndex
from svc_identity.vectors.port import VectorIndex
from svc_identity.vectors.vault import VectorVault
from vision import demo, manifest

NAME: Final = "svc-identity"


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
            assemble(settings, clock, ids, jwks_from_registry(registry), images, index)
        )


@asynccontextmanager
async def assemble(
    settings: IdentitySettings, clock: Clock, ids: Ids, jwks: JwksSource, images: ObjectStore, index: VectorIndex
) -> AsyncIterator[Service]:
    """The whole service between its ports: tests bring their own."""
    url = settings.database_url.get_secret_value()
    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    verifier = TokenVerifier(jwks, settings.token_issuer, settings.token_audience, clock)
    async with Database.connect(url, pool_size=settings.database_pool_size, application_name=NAME) as database:
        vault = VectorVault(ring)
        indexer = Indexer(database, index, vault)
        matching = Matching(
            database=database,
            index=index,
            vault=vault,
            ids=ids,
            defaults=default_policies(settings),
            enrolled=indexer.wake,
        )
        yield Service(
            mounts=[
                Mount(MATCHING, MatchServicer(matching)),
                Mount(STAFF, None),
                Mount(CUSTOMERS, None),
                Mount(CALIBRATION),
            ],
            policy=POLICY,
            verifier=verifier,
            revocations=Revocations.from_table(database, token_revocations),
            checks={
                "database": database.check,
                "vectors": _answering(index),
                "images": images.check,
                "keys": _first_time(verifier.refresh),
            },
            background=[Background("indexer", indexer.run)],
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


def _first_time(check: Check) -> Check:
    """Passes for ever once it has passed: known keys stay good while the registry is away."""
    passed = False

    async def once() -> None:
        nonlocal passed
        if not passed:
            await check()
            passed = True

    return once
