"""FeedService: visits as they happen, and pictures. Webhooks come with a later version."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc
from footfall.ingest.v1 import feed_pb2, feed_pb2_grpc, image_pb2, visit_pb2
from footfall.type.v1 import face_pb2
from google.api import httpbody_pb2

from mesh.access import Role
from mesh.auth import Caller, current_caller
from mesh.clock import Clock
from mesh.errors import problem
from mesh.ids import ImageId, SiteId
from mesh.interceptors.errors import understood
from mesh.wire import timestamp
from svc_ingest.feed.domain import Visit
from svc_ingest.feed.images import ImageService
from svc_ingest.feed.service import Line, VisitFeed


class FeedServicer(feed_pb2_grpc.FeedServiceServicer):
    """Protobuf ↔ domain.

    Args:
        feed: of visits.
        images: addresses, and what lies behind them.
        clock: tells whether a visit is still open.
    """

    def __init__(self, feed: VisitFeed, images: ImageService, clock: Clock) -> None:
        self._feed = feed
        self._images = images
        self._clock = clock

    async def WatchVisits(
        self,
        request: feed_pb2.WatchVisitsRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[feed_pb2.WatchVisitsResponse]:
        """See the contract."""
        caller = current_caller()
        sites = [SiteId(UUID(site)) for site in request.site_ids]
        begun = False
        try:
            async for line in self._feed.watch(caller, sites, request.cursor):
                begun = True
                yield self._write_line(line, caller)
        except Exception as error:
            if begun:  # a status in the middle of a JSON stream is invisible; before it, it is the status of the call
                yield feed_pb2.WatchVisitsResponse(problem=problem(understood(error)))
            raise

    async def GetImageUrls(
        self,
        request: image_pb2.GetImageUrlsRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> image_pb2.GetImageUrlsResponse:
        """See the contract."""
        found = await self._images.addresses(current_caller(), [ImageId(UUID(one)) for one in request.ids])
        return image_pb2.GetImageUrlsResponse(
            images=[
                image_pb2.ImageUrl(id=str(one.image_id), url=one.url, expire_time=timestamp(one.expire_time))
                for one in found
            ]
        )

    async def GetImage(
        self,
        request: image_pb2.GetImageRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> httpbody_pb2.HttpBody:
        """See the contract."""
        data, content_type = await self._images.fetch(ImageId(UUID(request.id)), request.sig, request.expire)
        return httpbody_pb2.HttpBody(content_type=content_type, data=data)

    def _write_line(self, line: Line, caller: Caller) -> feed_pb2.WatchVisitsResponse:
        if line.change is None or line.visit is None:
            return feed_pb2.WatchVisitsResponse(keepalive=feed_pb2.Keepalive(), cursor=line.cursor)
        record = write_visit(line.visit, self._clock.now(), faces=caller.role is not Role.VIEWER)
        change = feed_pb2.VisitChange(kind=feed_pb2.VisitChange.Kind.Value(f"KIND_{line.change.kind}"), visit=record)
        return feed_pb2.WatchVisitsResponse(change=change, cursor=line.cursor)


def write_visit(visit: Visit, now: datetime, *, faces: bool) -> visit_pb2.VisitRecord:
    """A visit in the contract's words.

    Args:
        now: tells whether it is still open.
        faces: whether its picture may be named.
    """
    record = visit_pb2.VisitRecord(
        id=str(visit.visit_id),
        customer_id=str(visit.customer_id),
        site_id=str(visit.site_id),
        start_time=timestamp(visit.start_time),
        end_time=timestamp(visit.end_time),
        sighting_count=visit.sighting_count,
        state=visit_pb2.VisitState.Value(f"VISIT_STATE_{visit.state(now)}"),
        superseded_by=str(visit.superseded_by) if visit.superseded_by else None,
        first_camera_id=str(visit.first_camera_id),
        last_camera_id=str(visit.last_camera_id),
        is_new=visit.is_new,
        image_id=str(visit.image_id) if faces and visit.image_id else None,
        similarity=visit.similarity,
        quality=visit.quality,
        gender=face_pb2.Gender.Value(f"GENDER_{visit.gender or 'UNSPECIFIED'}"),
        local_date=visit.local_date.isoformat(),
        create_time=timestamp(visit.create_time),
        update_time=timestamp(visit.update_time),
    )
    if visit.dwell is not None:
        record.dwell.FromTimedelta(visit.dwell)
    return record
