"""What must leave Milvus and the image store once its rows are gone: said in the act's transaction, done after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from mesh.database import Tx
from mesh.ids import EmbeddingId, TenantId
from mesh.objects import ObjectStore
from mesh.outbox import Handler, publish
from svc_identity.vectors.port import VectorIndex
from svc_identity.vectors.vault import VectorVault

QUEUE: Final = "svc-identity"
_VECTORS: Final = "vectors.delete"
_IMAGE: Final = "image.delete"
#: Ids of one message.
_MOST_IDS: Final = 500


async def forget_vectors(tx: Tx, tenant_id: TenantId, gone: Iterable[tuple[str, EmbeddingId]]) -> None:
    """Take these (space, embedding) out of the index once the transaction has committed."""
    by_space: dict[str, list[EmbeddingId]] = {}
    for space, id_ in gone:
        by_space.setdefault(space, []).append(id_)
    for space, ids in by_space.items():
        for start in range(0, len(ids), _MOST_IDS):
            payload = {
                "tenant_id": str(tenant_id),
                "space": space,
                "ids": [str(id_) for id_ in ids[start : start + _MOST_IDS]],
            }
            await publish(tx, QUEUE, _VECTORS, payload)


async def remove_image(tx: Tx, key: str) -> None:
    """Take an object out of the image store once the transaction has committed."""
    await publish(tx, QUEUE, _IMAGE, {"key": key})


def handlers(index: VectorIndex, vault: VectorVault, images: ObjectStore) -> Mapping[str, Handler]:
    """What applies these messages; each may be applied again."""

    async def delete_vectors(payload: Mapping[str, Any]) -> None:
        ids = [EmbeddingId(UUID(id_)) for id_ in payload["ids"]]
        vault.forget(ids)
        await index.delete(payload["space"], TenantId(UUID(payload["tenant_id"])), ids)

    async def delete_image(payload: Mapping[str, Any]) -> None:
        await images.delete(payload["key"])

    return {_VECTORS: delete_vectors, _IMAGE: delete_image}
