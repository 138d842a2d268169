"""CameraService, between protobuf and the domain. TestSource needs a worker's session and is not built yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from uuid import UUID

from footfall.registry.v1 import camera_pb2, source_pb2
from footfall.type.v1 import face_pb2, problem_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict

from mesh.auth import Caller, current_caller
from mesh.clock import Clock
from mesh.database import Tx
from mesh.errors import InvalidField
from mesh.ids import CameraId, SiteId
from mesh.interceptors.base import Context
from mesh.paging import PageTokens, page_size
from mesh.wire import moment, timestamp
from svc_registry.directory.cameras import store
from svc_registry.directory.cameras.domain import (
    FRAME_RATE,
    MIN_FACE_PIXELS,
    Camera,
    CameraRole,
    CameraSettings,
    Credentials,
    OutagePolicy,
    SourceChange,
)
from svc_registry.directory.cameras.service import Cameras
from svc_registry.transactions import Transactions
from svc_registry.wire import ids_of, merged

_SOURCE: Final = "source"
_UNSET: Final = UUID(int=0)  # of a draft; the registry gives the id


class CameraServicer:
    """The RPCs of CameraService."""

    def __init__(self, cameras: Cameras, transactions: Transactions, pages: PageTokens, clock: Clock) -> None:
        self._cameras = cameras
        self._transactions = transactions
        self._pages = pages
        self._clock = clock

    async def ListCameras(
        self, request: camera_pb2.ListCamerasRequest, _context: Context
    ) -> camera_pb2.ListCamerasResponse:
        caller, size = current_caller(), page_size(request.page_size)
        position = self._pages.decode(request, caller.tenant)
        site_ids = ids_of(request.site_ids)
        for site_id in site_ids:
            caller.check_site(SiteId(site_id))

        async def work(tx: Tx, _caller: Caller) -> list[Camera]:
            return await store.list_cameras(
                tx,
                site_ids=site_ids,
                roles=[_role(role) for role in request.roles],
                show_deleted=request.show_deleted,
                after=position[0] if position else None,
                limit=size + 1,
            )

        found = await self._transactions.read(work)
        response = camera_pb2.ListCamerasResponse(cameras=[to_proto(camera) for camera in found[:size]])
        if len(found) > size:
            response.next_page_token = self._pages.encode(request, caller.tenant, [found[size - 1].id])
        return response

    async def GetCamera(self, request: camera_pb2.GetCameraRequest, _context: Context) -> camera_pb2.GetCameraResponse:
        camera_id = CameraId(UUID(request.id))
        camera = await self._transactions.read(lambda tx, _caller: self._cameras.get(tx, camera_id))
        return camera_pb2.GetCameraResponse(camera=to_proto(camera))

    async def CreateCamera(
        self, request: camera_pb2.CreateCameraRequest, _context: Context
    ) -> camera_pb2.CreateCameraResponse:
        now, wanted = self._clock.now(), request.camera
        blank = Camera(
            id=CameraId(_UNSET),
            site_id=SiteId(UUID(wanted.site_id)),
            display_name="",
            source_uri="",
            recording_start_time=None,
            credentials=None,
            role=CameraRole.ENTRANCE,
            masks=(),
            settings=CameraSettings(),
            outage_policy=None,
            disabled=False,
            pinned_worker_id=None,
            create_time=now,
            update_time=now,
        )
        draft, source = _values(blank, wanted), _source(wanted.source)

        async def work(tx: Tx, caller: Caller) -> camera_pb2.CreateCameraResponse:
            camera = await self._cameras.create(tx, caller, draft, source)
            return camera_pb2.CreateCameraResponse(camera=to_proto(camera))

        return await self._transactions.write(request, camera_pb2.CreateCameraResponse, work)

    async def UpdateCamera(
        self, request: camera_pb2.UpdateCameraRequest, _context: Context
    ) -> camera_pb2.UpdateCameraResponse:
        named = list(request.update_mask.paths)
        if any(path.startswith(f"{_SOURCE}.") for path in named):
            raise InvalidField("update_mask", "a source is written whole")
        source = None
        if _SOURCE in named:
            if not request.camera.HasField("source"):
                raise InvalidField("camera.source", "must not be empty")
            source = _source(request.camera.source)
        others = FieldMask(paths=[path for path in named if path != _SOURCE])

        def change(before: Camera) -> Camera:
            stored = to_proto(before)
            stored.settings.CopyFrom(_settings_to_proto(before.settings))  # defaults are not written back
            return _values(before, merged("camera", stored, request.camera, others))

        async def work(tx: Tx, caller: Caller) -> camera_pb2.UpdateCameraResponse:
            camera = await self._cameras.update(tx, caller, CameraId(UUID(request.camera.id)), change, source)
            return camera_pb2.UpdateCameraResponse(camera=to_proto(camera))

        return await self._transactions.write(request, camera_pb2.UpdateCameraResponse, work)

    async def DeleteCamera(
        self, request: camera_pb2.DeleteCameraRequest, _context: Context
    ) -> camera_pb2.DeleteCameraResponse:
        async def work(tx: Tx, caller: Caller) -> camera_pb2.DeleteCameraResponse:
            await self._cameras.delete(tx, caller, CameraId(UUID(request.id)))
            return camera_pb2.DeleteCameraResponse()

        return await self._transactions.write(request, camera_pb2.DeleteCameraResponse, work)


def _role(value: camera_pb2.CameraRole.ValueType) -> CameraRole:
    return CameraRole(camera_pb2.CameraRole.Name(value).removeprefix("CAMERA_ROLE_"))


def _values(before: Camera, wanted: camera_pb2.Camera) -> Camera:
    """`before` with everything from the request that a caller sets, but for site and source."""
    if not wanted.display_name:
        raise InvalidField("camera.display_name", "must not be empty")
    if not wanted.role:
        raise InvalidField("camera.role", "must not be empty")
    settings, policy = wanted.settings, wanted.outage_policy
    return replace(
        before,
        display_name=wanted.display_name,
        role=_role(wanted.role),
        masks=tuple(tuple((corner.x, corner.y) for corner in mask.corners) for mask in wanted.masks),
        settings=CameraSettings(
            frame_rate=settings.frame_rate if settings.HasField("frame_rate") else None,
            min_face_pixels=settings.min_face_pixels if settings.HasField("min_face_pixels") else None,
            motion_gate=settings.motion_gate if settings.HasField("motion_gate") else None,
            snapshots=settings.snapshots if settings.HasField("snapshots") else None,
        ),
        outage_policy=(
            OutagePolicy(camera_pb2.OutagePolicy.Name(policy).removeprefix("OUTAGE_POLICY_")) if policy else None
        ),
        disabled=wanted.disabled,
    )


def _source(wanted: source_pb2.CameraSource) -> SourceChange:
    credentials = Credentials(wanted.username, wanted.password)
    if credentials and wanted.clear_credentials:
        raise InvalidField("camera.source.clear_credentials", "not together with a user name or a password")
    recorded = wanted.HasField("recording_start_time")
    return SourceChange(
        uri=wanted.uri,
        recording_start_time=(
            moment("camera.source.recording_start_time", wanted.recording_start_time) if recorded else None
        ),
        credentials=credentials or None,
        clear_credentials=wanted.clear_credentials,
    )


def _settings_to_proto(settings: CameraSettings) -> camera_pb2.CameraSettings:
    return camera_pb2.CameraSettings(
        frame_rate=settings.frame_rate,
        min_face_pixels=settings.min_face_pixels,
        motion_gate=settings.motion_gate,
        snapshots=settings.snapshots,
    )


def _with_defaults(settings: CameraSettings) -> CameraSettings:
    return CameraSettings(
        frame_rate=FRAME_RATE if settings.frame_rate is None else settings.frame_rate,
        min_face_pixels=MIN_FACE_PIXELS if settings.min_face_pixels is None else settings.min_face_pixels,
        motion_gate=True if settings.motion_gate is None else settings.motion_gate,
        snapshots=True if settings.snapshots is None else settings.snapshots,
    )


def to_proto(camera: Camera) -> camera_pb2.Camera:
    """The camera as the contract has it, its credentials left out."""
    policy = camera.outage_policy.value if camera.outage_policy else "UNSPECIFIED"
    return camera_pb2.Camera(
        id=str(camera.id),
        site_id=str(camera.site_id),
        display_name=camera.display_name,
        source=source_pb2.CameraSource(
            uri=camera.source_uri,
            has_credentials=camera.credentials is not None,
            recording_start_time=timestamp(camera.recording_start_time),
        ),
        role=camera_pb2.CameraRole.Value(f"CAMERA_ROLE_{camera.role.value}"),
        masks=[camera_pb2.Mask(corners=[face_pb2.Point(x=x, y=y) for x, y in mask]) for mask in camera.masks],
        settings=_settings_to_proto(_with_defaults(camera.settings)),
        outage_policy=camera_pb2.OutagePolicy.Value(f"OUTAGE_POLICY_{policy}"),
        disabled=camera.disabled,
        pinned_worker_id=str(camera.pinned_worker_id or ""),
        state=camera_pb2.CameraState.Value(f"CAMERA_STATE_{camera.state.value}"),
        problem=ParseDict(camera.problem, problem_pb2.Problem()) if camera.problem else None,
        create_time=timestamp(camera.create_time),
        update_time=timestamp(camera.update_time),
        delete_time=timestamp(camera.delete_time),
    )
