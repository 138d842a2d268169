"""The use cases of cameras. Each runs in the transaction that it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from mesh.audit import Audit
from mesh.auth import Caller
from mesh.database import Tx, notify
from mesh.errors import InvalidField, NotFound
from mesh.ids import CameraId, Ids
from mesh.keyring import KeyRing
from schema.registry import cameras
from svc_registry.directory.cameras import store
from svc_registry.directory.cameras.credentials import seal
from svc_registry.directory.cameras.domain import (
    Camera,
    CredentialsFate,
    SourceChange,
    credentials_fate,
    is_simple,
    scheme,
)
from svc_registry.hints import DESIRED
from svc_registry.room import Room, check_room

_KIND: Final = "camera"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cameras:
    """
    Attributes:
        ring: seals credentials.
        audit, ids: given.
        room: for how many.
    """

    ring: KeyRing
    audit: Audit
    ids: Ids
    room: Room = field(default_factory=Room)

    async def get(self, tx: Tx, camera_id: CameraId) -> Camera:
        """One camera, taken away or not.

        Raises:
            NotFound: not the caller's tenant's, or at none of the caller's sites.
        """
        camera = await store.get_camera(tx, camera_id)
        if camera is None:
            raise NotFound(_KIND, camera_id)
        return camera

    async def create(self, tx: Tx, caller: Caller, draft: Camera, source: SourceChange) -> Camera:
        """Makes a camera of the draft, whose id and times are the registry's to give.

        Raises:
            PermissionDenied: SITE_NOT_ALLOWED.
            NotFound: there is no such open site.
            FailedPrecondition: LIMIT_REACHED.
            InvalidField: a source or a mask that cannot be.
        """
        caller.check_site(draft.site_id)
        if not await store.site_is_open(tx, draft.site_id):
            raise NotFound("site", draft.site_id)
        there = (cameras.c.site_id == draft.site_id, cameras.c.delete_time.is_(None))
        await check_room(tx, cameras, self.room.cameras_per_site, *there)
        camera_id = CameraId(self.ids.uuid7())
        made = self._with_source(replace(draft, id=camera_id), source)
        _check(made)
        await store.insert_camera(tx, caller.tenant, made)
        details = {"site_id": str(made.site_id), "role": made.role.value}
        await self.audit.record(tx, caller, "camera.create", target_kind=_KIND, target_id=camera_id, details=details)
        await notify(tx, DESIRED)
        return await self.get(tx, camera_id)

    async def update(
        self,
        tx: Tx,
        caller: Caller,
        camera_id: CameraId,
        change: Callable[[Camera], Camera],
        source: SourceChange | None,
    ) -> Camera:
        """Changes a camera; whoever watches it hears of it within a second.

        Args:
            change: everything but the source, from what is stored to what shall be.
            source: the new one, whole; None: it stays.

        Raises:
            NotFound: no such camera of the caller's, or one that was taken away.
            InvalidField: as `create`.
        """
        before = await self._present(tx, camera_id)
        after = change(before)
        if source is not None:
            after = self._with_source(after, source)
        _check(after)
        # Somebody looked after it: what made it fail may be gone.
        await store.update_camera(tx, after, unpark=source is not None or after.disabled != before.disabled)
        details = {"disabled": after.disabled, "source": source is not None}
        await self.audit.record(tx, caller, "camera.update", target_kind=_KIND, target_id=camera_id, details=details)
        await notify(tx, DESIRED)
        return await self.get(tx, camera_id)

    async def delete(self, tx: Tx, caller: Caller, camera_id: CameraId) -> None:
        """Takes a camera away for ever.

        Raises:
            NotFound: no such camera of the caller's, or one that was taken away.
        """
        await self._present(tx, camera_id)
        await store.take_away(tx, camera_id)
        await self.audit.record(tx, caller, "camera.delete", target_kind=_KIND, target_id=camera_id)
        await notify(tx, DESIRED)

    async def _present(self, tx: Tx, camera_id: CameraId) -> Camera:
        camera = await store.get_camera(tx, camera_id, lock=True)
        if camera is None or camera.delete_time is not None:
            raise NotFound(_KIND, camera_id)
        return camera

    def _with_source(self, camera: Camera, source: SourceChange) -> Camera:
        fate = credentials_fate(camera.source_uri, source)
        credentials = camera.credentials if fate is CredentialsFate.KEEP else None
        if fate is CredentialsFate.REPLACE and source.credentials is not None:
            credentials = seal(self.ring, camera.id, source.credentials)
        return replace(
            camera,
            source_uri=source.uri,
            recording_start_time=source.recording_start_time,
            credentials=credentials,
        )


def _check(camera: Camera) -> None:
    if camera.recording_start_time is not None and scheme(camera.source_uri) != "file":
        raise InvalidField("camera.source.recording_start_time", "only for file:///…")
    for index, mask in enumerate(camera.masks):
        if not is_simple(mask):
            raise InvalidField(f"camera.masks[{index}].corners", "must be a simple polygon")
