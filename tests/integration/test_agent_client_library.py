"""The client library over real gRPC: one token for all who ask, and a feed that goes on where it broke."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
import pytest
from footfall_messages.footfall.ingest import v1 as ingest
from footfall_messages.footfall.registry import v1 as registry
from footfall_messages.footfall.type import v1 as types
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from footfall_client import (
    ApiKey,
    FeedEnded,
    FullJitter,
    Password,
    Refused,
    Tokens,
    connector,
    watch_visits,
)
from mesh.clock import FakeClock, SystemClock
from tests.support.waiting import until


def rich(context: Any, code: grpc.StatusCode, reason: str, *, retry_after: float = 0) -> Any:
    """Refuses as the mesh does, with google.rpc details."""
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="footfall"))
    retry, delay = any_pb2.Any(), error_details_pb2.RetryInfo()
    delay.retry_delay.FromTimedelta(timedelta(seconds=retry_after))
    retry.Pack(delay)
    status = status_pb2.Status(code=code.value[0], message="no", details=[info, retry])
    return context.abort(code, "no", (("grpc-status-details-bin", status.SerializeToString()),))


@dataclass
class Server:
    """Issues tokens and tells a feed of numbered visits."""

    grants: list[str] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    refuse: Callable[[str], tuple[grpc.StatusCode, str] | None] = lambda _: None
    seconds: float = 900
    cursors: list[str] = field(default_factory=list)
    breaks_after: int = 3
    last: int = 10
    problem: types.Problem | None = None
    port: int = 0

    def connect(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")

    async def issue(self, request: registry.IssueTokenRequest, context: Any) -> registry.IssueTokenResponse:
        grant = "refresh" if request.refresh else "password" if request.password else "api_key"
        self.grants.append(grant)
        await self.held.wait()
        if refused := self.refuse(grant):
            await rich(context, *refused, retry_after=3)
        return registry.IssueTokenResponse(
            access_token=f"token-{len(self.grants)}",
            expires_in=timedelta(seconds=self.seconds),
            refresh_token="" if request.api_key else f"refresh-{len(self.grants)}-of-the-session",
        )

    async def watch(self, request: ingest.WatchVisitsRequest, context: Any) -> Any:
        self.cursors.append(request.cursor)
        first = int(request.cursor or 0) + 1
        yield ingest.WatchVisitsResponse(keepalive=ingest.Keepalive(), cursor=str(first - 1))
        for number in range(first, min(first + self.breaks_after, self.last + 1)):
            change = ingest.VisitChange(visit=ingest.VisitRecord(id=str(number)))
            yield ingest.WatchVisitsResponse(change=change, cursor=str(number))
        if self.problem is not None:
            yield ingest.WatchVisitsResponse(problem=self.problem)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the server goes down")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    served = Server()
    served.held.set()
    handlers = {
        "IssueToken": grpc.unary_unary_rpc_method_handler(served.issue, registry.IssueTokenRequest.parse, bytes)
    }
    feed = {"WatchVisits": grpc.unary_stream_rpc_method_handler(served.watch, ingest.WatchVisitsRequest.parse, bytes)}
    running = grpc.aio.server()
    running.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler("footfall.registry.v1.AuthService", handlers),
            grpc.method_handlers_generic_handler("footfall.ingest.v1.FeedService", feed),
        ]
    )
    served.port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    yield served
    await running.stop(None)


KEY = ApiKey("a-key-of-the-tests-1234")
PERSON = Password("owner@books.example", "secret")


async def test_many_who_ask_at_once_get_one_token(server: Server) -> None:
    server.held.clear()
    tokens = Tokens(server.connect, KEY, SystemClock())
    asking = [asyncio.create_task(tokens.get()) for _ in range(20)]
    await until(lambda: server.grants)
    server.held.set()
    values = {(await task).value for task in asking}
    assert values == {"token-1"}
    assert server.grants == ["api_key"]


async def test_a_token_is_renewed_when_a_third_of_its_life_is_left(server: Server) -> None:
    clock = FakeClock()
    tokens = Tokens(server.connect, PERSON, clock)
    await tokens.get()
    clock.advance(599)
    assert (await tokens.get()).value == "token-1"
    clock.advance(2)
    assert (await tokens.get()).value == "token-2"
    assert server.grants == ["password", "refresh"]


async def test_a_refresh_that_is_refused_becomes_a_sign_in(server: Server) -> None:
    server.refuse = lambda grant: (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REUSED") if grant == "refresh" else None
    clock = FakeClock()
    tokens = Tokens(server.connect, PERSON, clock)
    await tokens.get()
    clock.advance(700)
    assert (await tokens.get()).value == "token-3"
    assert server.grants == ["password", "refresh", "password"]


async def test_while_a_token_is_good_a_server_that_is_away_does_no_harm(server: Server) -> None:
    clock = FakeClock()
    tokens = Tokens(server.connect, KEY, clock)
    await tokens.get()
    server.refuse = lambda _: (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    clock.advance(700)
    assert (await tokens.get()).value == "token-1"
    clock.advance(201)
    with pytest.raises(Refused) as refused:
        await tokens.get()
    assert (refused.value.reason, refused.value.retry_after, refused.value.may_pass) == ("STORE_UNAVAILABLE", 3, True)


async def test_a_wrong_credential_is_told_in_the_contracts_words(server: Server) -> None:
    server.refuse = lambda _: (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")
    with pytest.raises(Refused) as refused:
        await Tokens(server.connect, KEY, SystemClock()).get()
    assert (refused.value.reason, refused.value.may_pass) == ("CREDENTIALS_INVALID", False)
    assert KEY.key not in repr(KEY)


async def test_a_feed_goes_on_after_every_break_without_gap_or_repeat(server: Server) -> None:
    tokens = Tokens(server.connect, KEY, SystemClock())
    seen = []
    feed = watch_visits(server.connect, tokens, SystemClock(), backoff=FullJitter(base=0.001, cap=0.002))
    async with contextlib.aclosing(feed):  # type: ignore[type-var]
        async for change, cursor in feed:
            assert change.visit
            seen.append((change.visit.id, cursor))
            if len(seen) == server.last:
                break
    assert seen == [(str(number), str(number)) for number in range(1, 11)]
    assert server.cursors == ["", "3", "6", "9"]


async def test_a_cursor_that_is_too_old_ends_the_feed(server: Server) -> None:
    server.problem = types.Problem(reason=types.ErrorReason.CURSOR_INVALID, message="list, then watch anew")
    feed = watch_visits(server.connect, Tokens(server.connect, KEY, SystemClock()), SystemClock(), cursor="10")
    with pytest.raises(FeedEnded, match="CURSOR_INVALID"):
        await anext(feed)


def test_a_connector_opens_nothing_by_itself() -> None:
    connector("127.0.0.1:1", ca=None, server_name="gateway")
