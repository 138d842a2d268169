"""Streams that are meant to stay open do, in every form a client may ask for."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from footfall.ingest.v1 import feed_pb2, ingest_pb2
from google.api import httpbody_pb2

from tests.support.gateway import Gateway, running_gateway

WATCH_VISITS = "/footfall.ingest.v1.FeedService/WatchVisits"
STREAM_FACES = "/footfall.ingest.v1.IngestService/StreamFaces"
EXPORT_VISITS = "/footfall.reports.v1.ReportService/ExportVisits"
KEEPALIVE = feed_pb2.WatchVisitsResponse(keepalive=feed_pb2.Keepalive(), cursor="c1").SerializeToString()
AWAITED = feed_pb2.WatchVisitsResponse(keepalive=feed_pb2.Keepalive(), cursor="c2").SerializeToString()
PATIENCE_SECONDS = 30


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that gives up on silence, and on a slow call, after one second."""
    folder = tmp_path_factory.mktemp("gateway")
    with running_gateway(folder, stream_idle_seconds=1, rpc_timeout_seconds=1) as running:
        yield running


@pytest.fixture
def feed(gateway: Gateway) -> queue.SimpleQueue[bytes | None]:
    """What WatchVisits sends, after a first keepalive; None ends the stream."""
    messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def answer(_request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        yield KEEPALIVE
        while (message := messages.get(timeout=PATIENCE_SECONDS)) is not None:
            yield message

    gateway.mesh.answers[WATCH_VISITS] = answer
    return messages


def wait_until_a_silent_download_is_cut(gateway: Gateway) -> None:
    """An export that falls silent ends by the idle timeout: at least as long ago, every other stream was silent too."""

    def silent(_request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield httpbody_pb2.HttpBody(content_type="text/csv", data=b"first").SerializeToString()
        ended = queue.SimpleQueue[None]()
        context.add_callback(lambda: ended.put(None))
        ended.get(timeout=PATIENCE_SECONDS)

    gateway.mesh.answers[EXPORT_VISITS] = silent
    outcome = gateway.call(EXPORT_VISITS, token=gateway.token())
    assert len(outcome.messages) == 1
    assert outcome.code is not grpc.StatusCode.OK


def test_a_watch_outlives_the_idle_timeout_and_the_timeout_of_calls(
    gateway: Gateway, feed: queue.SimpleQueue[bytes | None]
) -> None:
    with gateway.channel() as channel:
        call: Any = channel.unary_stream(WATCH_VISITS, lambda message: message, lambda message: message)(
            b"", metadata=(("authorization", f"Bearer {gateway.token()}"),)
        )
        assert next(call) == KEEPALIVE

        wait_until_a_silent_download_is_cut(gateway)
        feed.put(AWAITED)

        assert next(call) == AWAITED
        feed.put(None)
        assert list(call) == []


def test_a_bidi_stream_outlives_them_too(gateway: Gateway) -> None:
    """As a worker's: the silent side speaks after the timeout, and is heard."""
    up: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    down: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    credit = ingest_pb2.StreamFacesResponse(credit=64).SerializeToString()

    def answer(_request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        while (message := down.get(timeout=PATIENCE_SECONDS)) is not None:
            yield message

    gateway.mesh.answers[STREAM_FACES] = answer
    with gateway.channel() as channel:
        call: Any = channel.stream_stream(STREAM_FACES, lambda message: message, lambda message: message)(
            iter(lambda: up.get(timeout=PATIENCE_SECONDS), None),
            metadata=(("authorization", f"Bearer {gateway.token()}"),),
        )
        up.put(b"")
        down.put(credit)
        assert next(call) == credit

        wait_until_a_silent_download_is_cut(gateway)
        down.put(credit)

        assert next(call) == credit
        up.put(None)
        down.put(None)
        assert list(call) == []


def test_json_is_a_message_a_line(gateway: Gateway, feed: queue.SimpleQueue[bytes | None]) -> None:
    with gateway.client(gateway.token()) as client, client.stream("GET", "/v1/visits:watch") as answer:
        assert answer.headers["content-type"] == "application/json"
        lines = answer.iter_lines()
        assert json.loads(next(lines))["cursor"] == "c1"
        feed.put(AWAITED)
        assert json.loads(next(lines))["cursor"] == "c2"
        feed.put(None)
        assert list(lines) == []


def test_events_are_sent_to_who_asks_for_them(gateway: Gateway, feed: queue.SimpleQueue[bytes | None]) -> None:
    headers = {"accept": "text/event-stream"}
    with (
        gateway.client(gateway.token()) as client,
        client.stream("GET", "/v1/visits:watch", headers=headers) as answer,
    ):
        assert answer.headers["content-type"] == "text/event-stream"
        events = (line for line in answer.iter_lines() if line)
        first = next(events)
        feed.put(None)
        assert list(events) == []

    assert first.startswith("data: ")
    assert json.loads(first.removeprefix("data: "))["cursor"] == "c1"


def test_a_download_is_sent_in_pieces_as_it_is(gateway: Gateway) -> None:
    pieces = [b"date,visits\n", b"2026-03-01,7\n"]

    def export(_request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        for piece in pieces:
            yield httpbody_pb2.HttpBody(content_type="text/csv", data=piece).SerializeToString()

    gateway.mesh.answers[EXPORT_VISITS] = export
    with gateway.client(gateway.token()) as client:
        answer = client.get("/v1/reports/export/visits")

    assert (answer.headers["content-type"], answer.content) == ("text/csv", b"".join(pieces))


def test_a_call_that_is_no_stream_ends_in_time(gateway: Gateway) -> None:
    def hang(_request: bytes, context: grpc.ServicerContext) -> bytes:
        ended = queue.SimpleQueue[None]()
        context.add_callback(lambda: ended.put(None))
        ended.get(timeout=PATIENCE_SECONDS)
        return b""

    gateway.mesh.answers["/footfall.registry.v1.SiteService/ListSites"] = hang
    with gateway.client(gateway.token()) as client:
        answer = client.get("/v1/sites")

    assert (answer.status_code, answer.json()["code"]) == (504, 4)
