"""One malformed event is its sender's problem: refused with the field named, while its neighbours go on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from uuid import uuid4

import numpy as np
import pytest
from footfall.ingest.v1 import event_pb2, ingest_pb2_grpc
from footfall.type.v1 import problem_pb2

from tests.support.ingest import FaceSender, jpeg
from tests.support.slice import Shop, as_json, event, recently
from tests.support.stack import Mesh, Refused, eventually
from tests.support.waiting import until
from tests.support.worker import worker

MEGABYTE: Final = 1_000_000
Spoil = Callable[[event_pb2.FaceDetected], object]


@dataclass(frozen=True)
class Malformed:
    """What is wrong with an event, and what must be said of it.

    Attributes:
        spoil: does the wrong.
        field, reason: of the refusal.
        by_json: HTTP status of POST /v1/events/face; 200 where the event is judged, rather than misread.
    """

    spoil: Spoil
    field: str
    reason: str
    by_json: int = 400


def _vector(change: Callable[[np.ndarray[Any, np.dtype[np.float32]]], object]) -> Spoil:
    def spoil(made: event_pb2.FaceDetected) -> None:
        numbers = np.frombuffer(made.embedding.vector, "<f4").copy()
        change(numbers)
        made.embedding.vector = numbers.tobytes()

    return spoil


def _set(index: int, value: float) -> Spoil:
    return _vector(lambda numbers: numbers.__setitem__(index, value))


def _shorten(made: event_pb2.FaceDetected) -> None:
    made.embedding.vector = made.embedding.vector[: 128 * 4]


def _snapshot(size: int) -> Spoil:
    def spoil(made: event_pb2.FaceDetected) -> None:
        picture = jpeg()
        made.snapshot = picture + bytes(size - len(picture))

    return spoil


def _tomorrow(made: event_pb2.FaceDetected) -> None:
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    made.CopyFrom(event(made.camera_id, at=at, epoch=made.lease_epoch))


def _another_camera(camera_id: str) -> Spoil:
    return lambda made: setattr(made, "camera_id", camera_id)


MALFORMED: Final[dict[str, Malformed]] = {
    "a short embedding": Malformed(_shorten, "embedding.vector", "INVALID_FIELD"),
    "an embedding with NaN": Malformed(_set(7, float("nan")), "embedding.vector", "EMBEDDING_INVALID"),
    "an embedding with infinity": Malformed(_set(7, float("inf")), "embedding.vector", "EMBEDDING_INVALID"),
    "an embedding of norm 2": Malformed(
        _vector(lambda numbers: numbers.__imul__(2)), "embedding.vector", "EMBEDDING_INVALID"
    ),
    "no embedding": Malformed(lambda made: made.ClearField("embedding"), "embedding", "INVALID_FIELD", 200),
    "an embedding of a space that nobody knows": Malformed(
        lambda made: setattr(made.embedding, "space", "unheard-of@9"), "embedding.space", "EMBEDDING_SPACE_UNKNOWN", 200
    ),
    "a time to come": Malformed(_tomorrow, "capture_time", "CAPTURE_TIME_IN_FUTURE", 200),
    "a camera that nobody knows": Malformed(_another_camera(str(uuid4())), "camera_id", "NOT_FOUND", 200),
    "an id that is none": Malformed(lambda made: setattr(made, "id", "17"), "id", "INVALID_FIELD"),
    "an id of another time": Malformed(
        lambda made: setattr(made, "id", event(made.camera_id, at=recently(3600)).id), "id", "INVALID_FIELD"
    ),
    "a face outside of its frame": Malformed(lambda made: setattr(made.box, "left", 0.95), "box", "INVALID_FIELD"),
    "a quality beyond perfection": Malformed(
        lambda made: setattr(made.quality, "overall", 1.5), "quality.overall", "INVALID_FIELD"
    ),
    "a snapshot of 20 MB": Malformed(_snapshot(20 * MEGABYTE), "snapshot", "INVALID_FIELD"),
}


@pytest.fixture(scope="module")
def shop(real_mesh: Mesh) -> Shop:
    return Shop.open(real_mesh, "malformed events")


@pytest.fixture(scope="module")
def foreign_camera(real_mesh: Mesh) -> str:
    """Another tenant's."""
    tenant = real_mesh.tenant("neighbours")
    return tenant.camera(tenant.site())


@dataclass
class Agent:
    """A worker that holds the lease of the shop's camera, with its stream of faces."""

    camera_id: str
    epoch: int
    faces: FaceSender

    def sighting(self, **fields: Any) -> event_pb2.FaceDetected:
        return event(self.camera_id, epoch=self.epoch, at=datetime.now(UTC), **fields)


@asynccontextmanager
async def at_work(shop: Shop) -> AsyncIterator[Agent]:
    """A worker at a camera of its own, through the gateway."""
    site = shop.tenant.site()
    camera = shop.tenant.camera(site)
    token = shop.mesh.exchange(shop.tenant.worker_key(site)[0])["accessToken"]
    async with (
        shop.mesh.grpc(token) as session,
        shop.mesh.grpc(token) as road,
        worker(cast("Any", None), token, channel=session) as mac,
    ):
        await until(lambda: mac.watches(camera), within=60)
        faces = FaceSender(ingest_pb2_grpc.IngestServiceStub(road).StreamFaces())
        await faces.open()
        yield Agent(camera, mac.epoch(camera), faces)
        faces.call.cancel()


def told(outcome: event_pb2.FaceOutcome) -> tuple[str, list[str]]:
    """Reason and fields of a refusal."""
    reason = problem_pb2.ErrorReason.Name(outcome.problem.reason).removeprefix("ERROR_REASON_")
    return reason, [violation.field for violation in outcome.problem.violations]


async def test_each_malformed_event_of_a_stream_is_refused_by_its_field_and_its_neighbours_are_taken(
    shop: Shop, foreign_camera: str
) -> None:
    cases = {
        **MALFORMED,
        "another tenant's camera": Malformed(_another_camera(foreign_camera), "camera_id", "NOT_FOUND"),
    }
    async with at_work(shop) as agent:
        for name, case in cases.items():
            spoilt = agent.sighting(person=f"spoilt {name}")
            case.spoil(spoilt)
            before, after = (agent.sighting(person=f"{place} {name}") for place in ("before", "after"))

            answers = await agent.faces.send(before, spoilt, after)

            assert [answer.event_id for answer in answers] == [before.id, spoilt.id, after.id], name
            assert answers[0].status == answers[2].status == event_pb2.FaceOutcome.STATUS_ACCEPTED, name
            assert answers[1].status == event_pb2.FaceOutcome.STATUS_REJECTED, name
            reason, fields = told(answers[1])
            assert (reason, case.field in fields) == (case.reason, True), (name, reason, fields)


async def test_a_stream_of_nothing_but_malformed_events_stays_open(shop: Shop) -> None:
    async with at_work(shop) as agent:
        for _ in range(5):
            spoilt = [agent.sighting() for _ in range(8)]
            for one in spoilt:
                _shorten(one)
            answers = await agent.faces.send(*spoilt)
            assert {answer.status for answer in answers} == {event_pb2.FaceOutcome.STATUS_REJECTED}
        (answer,) = await agent.faces.send(agent.sighting(person="the one who is well"))
        assert answer.status == event_pb2.FaceOutcome.STATUS_ACCEPTED


@pytest.mark.parametrize("name", MALFORMED)
def test_the_same_by_json(shop: Shop, name: str) -> None:
    case = MALFORMED[name]
    spoilt = event(shop.camera_id, person=f"json {name}")
    case.spoil(spoilt)

    with shop.mesh.client(shop.integrator) as client:
        response = client.post("/v1/events/face", json=as_json(spoilt))

    assert response.status_code == case.by_json, response.text
    if case.by_json == 200:
        outcome = response.json()["outcome"]
        assert outcome["status"] == "STATUS_REJECTED"
        assert outcome["problem"]["reason"] == f"ERROR_REASON_{case.reason}"
        assert [violation["field"] for violation in outcome["problem"]["violations"]] == [case.field]
    else:
        assert response.json()["details"][0]["reason"] == case.reason
        assert f"event.{case.field}" in [one["field"] for one in response.json()["details"][1]["fieldViolations"]]


def test_another_tenants_camera_by_json(shop: Shop, foreign_camera: str) -> None:
    answer = shop.mesh.call("POST", "/v1/events/face", shop.integrator, json=as_json(event(foreign_camera)))

    assert answer["outcome"]["status"] == "STATUS_REJECTED"
    assert [violation["field"] for violation in answer["outcome"]["problem"]["violations"]] == ["camera_id"]


def test_json_that_is_no_event_is_refused_and_the_next_one_is_taken(shop: Shop) -> None:
    for body in ({}, {"id": 17}, {"captureTime": "yesterday"}, {"embedding": {"vector": "%%%"}}):
        with pytest.raises(Refused) as error:
            shop.mesh.call("POST", "/v1/events/face", shop.integrator, json=body)
        assert error.value.status == 400

    assert shop.sees("somebody after the nonsense")["status"] == "STATUS_ACCEPTED"


def test_none_of_it_is_counted(shop: Shop) -> None:
    tenant = shop.mesh.tenant("only malformed events")
    site = tenant.site()
    camera = tenant.camera(site)
    token = tenant.integrator_token(site, [camera])
    for case in MALFORMED.values():
        spoilt = event(camera)
        case.spoil(spoilt)
        with shop.mesh.client(token) as client:
            client.post("/v1/events/face", json=as_json(spoilt))

    good = shop.mesh.call("POST", "/v1/events/face", token, json=as_json(event(camera, person="the good one")))
    visits = eventually(lambda: tenant.get("/v1/visits")["visits"], "the good one's visit is listed")
    assert [visit["id"] for visit in visits] == [good["outcome"]["visitId"]]
    customers = eventually(lambda: tenant.get("/v1/customers")["customers"], "the good one is a customer")
    assert [customer["id"] for customer in customers] == [good["outcome"]["personId"]]
