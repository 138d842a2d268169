"""Pictures: short-lived addresses for those who may see faces, and what lies behind such an address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from footfall.type.v1 import problem_pb2

from mesh.auth import Caller
from mesh.clock import Clock
from mesh.database import Database
from mesh.errors import MeshError
from mesh.ids import ImageId
from mesh.objects import ImageSigner, ObjectNotFound, ObjectStore
from svc_ingest.feed import store


@dataclass(frozen=True, slots=True)
class Address:
    """Where a picture can be fetched for a short while.

    Attributes:
        url: a path at the gateway; whoever has it sees the picture.
    """

    image_id: ImageId
    url: str = field(repr=False)
    expire_time: datetime


class ImageService:
    """Makes addresses, and honours them.

    Args:
        database: as svc_ingest.
        images: where pictures lie.
        signer: of addresses.
        clock: retention is judged on it.
    """

    def __init__(self, database: Database, images: ObjectStore, signer: ImageSigner, clock: Clock) -> None:
        self._database = database
        self._images = images
        self._signer = signer
        self._clock = clock

    async def addresses(self, caller: Caller, image_ids: Sequence[ImageId]) -> list[Address]:
        """Addresses of those of the images that the caller may see and that are still there, in the order asked."""
        tenant_id = caller.tenant
        async with self._database.as_caller(caller, read_only=True) as tx:
            found = await store.places(tx, tenant_id, image_ids, self._clock.now())
        there = [image_id for image_id in image_ids if image_id in found and found[image_id].object_key is not None]
        signed = [(image_id, self._signer.path(tenant_id, image_id)) for image_id in there]
        return [Address(image_id, one.path, one.expire_time) for image_id, one in signed]

    async def fetch(self, image_id: ImageId, signature: str, expire: int) -> tuple[bytes, str]:
        """The picture behind an address, and its media type.

        Raises:
            PermissionDenied: SIGNATURE_INVALID.
            MeshError: IMAGE_EXPIRED: it has been removed since.
        """
        tenant_id = self._signer.check(image_id, signature, expire)
        async with self._database.transaction(tenant_id, read_only=True) as tx:
            place = (await store.places(tx, tenant_id, [image_id], self._clock.now())).get(image_id)
        if place is None or place.object_key is None:
            raise _expired()
        try:
            found = await self._images.get(place.object_key)
        except ObjectNotFound:
            raise _expired() from None
        return found.data, place.content_type


def _expired() -> MeshError:
    return MeshError(problem_pb2.ERROR_REASON_IMAGE_EXPIRED, "the image has passed its retention and is gone")
