"""Faces for the real mesh: events as a good client sends them, and one passage from door to visit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from footfall.ingest.v1 import event_pb2
from footfall.type.v1 import embedding_pb2, face_pb2
from google.protobuf import json_format

from mesh.ids import SystemIds
from tests.support.ingest import vector
from tests.support.stack import Mesh, Tenant, User
from vision import demo

IDS = SystemIds()


def recently(seconds: float = 30.0) -> datetime:
    """A moment that lies safely in the past, to the millisecond."""
    at = datetime.now(UTC) - timedelta(seconds=seconds)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def event(
    camera_id: str,
    *,
    person: object = "anybody",
    at: datetime | None = None,
    epoch: int = 0,
    snapshot: bytes | None = None,
    noise: float = 0.0,
    seed: object = 0,
) -> event_pb2.FaceDetected:
    """A good event; tests break what they are about.

    Args:
        person: whose embedding; equal names are one person.
        at: its capture; half a minute ago unless given.
        epoch: of the lease; 0 from an integrator.
        noise, seed: how far the embedding lies beside the person's own, and in which direction.
    """
    at = at or recently()
    made = event_pb2.FaceDetected(
        id=str(IDS.uuid7(at)),
        camera_id=camera_id,
        lease_epoch=epoch,
        embedding=embedding_pb2.Embedding(space=demo.SPACE, vector=vector(person, noise=noise, seed=seed)),
        quality=face_pb2.FaceQuality(detection_score=0.9, overall=0.8, face_pixels=120),
        box=face_pb2.BoundingBox(left=0.4, top=0.3, width=0.1, height=0.2),
        snapshot=snapshot,
    )
    made.capture_time.FromDatetime(at)
    return made


def as_json(message: event_pb2.FaceDetected) -> dict[str, Any]:
    """As a client of the JSON API writes it: bytes in base64."""
    return json_format.MessageToDict(message)


@dataclass(frozen=True)
class Shop:
    """A tenant with one site, one camera, and a machine that sends events for it."""

    tenant: Tenant
    site_id: str
    camera_id: str
    integrator: str
    """Its access token."""

    @classmethod
    def open(cls, mesh: Mesh, name: str) -> Shop:
        tenant = mesh.tenant(name)
        site = tenant.site()
        camera = tenant.camera(site)
        return cls(tenant, site, camera, tenant.integrator_token(site, [camera]))

    @property
    def mesh(self) -> Mesh:
        return self.tenant.mesh

    @property
    def admin(self) -> User:
        return self.tenant.admin

    def sees(self, person: object, **fields: Any) -> dict[str, Any]:
        """Sends one passage by JSON; its outcome."""
        body = as_json(event(self.camera_id, person=person, **fields))
        answer: dict[str, Any] = self.mesh.call("POST", "/v1/events/face", self.integrator, json=body)
        return dict(answer["outcome"])
