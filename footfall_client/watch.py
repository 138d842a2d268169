"""Visits as they happen, for ever: the stream is opened again after every break, at the cursor where it broke.

from footfall_client import ApiKey, Tokens, connector, watch_visits
from mesh.clock import SystemClock

async def main() -> None:
    clock = SystemClock()
    connect = connector("footfall.example:8443", ca=Path("ca.pem").read_bytes())
    tokens = Tokens(connect, ApiKey(os.environ["FOOTFALL_API_KEY"]), clock)
    async for change, cursor in watch_visits(connect, tokens, clock, cursor=saved()):
        print(change.visit.site_id, change.visit.start_time, change.kind.name)
        save(cursor)
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final

import betterproto2
import structlog
from footfall_messages.footfall.ingest import v1 as ingest
from footfall_messages.footfall.type import v1 as types

from footfall_client.backoff import FullJitter
from footfall_client.channel import Connect, server_stream
from footfall_client.errors import Refused
from footfall_client.token import Tokens
from mesh.clock import Clock

WATCH_VISITS: Final = "/footfall.ingest.v1.FeedService/WatchVisits"

SILENCE: Final = 60.0
"""Seconds without a word after which the line counts as dead; the server speaks every 15 s."""

_log = structlog.get_logger(__name__)


class FeedEnded(Exception):  # noqa: N818
    """The feed cannot go on from here, e.g. CURSOR_INVALID: list the visits, then watch anew without a cursor."""

    def __init__(self, reason: str, message: str) -> None:
        """`reason`: the name of an ErrorReason."""
        super().__init__(f"{reason}: {message}")
        self.reason = reason


async def watch_visits(
    connect: Connect,
    tokens: Tokens,
    clock: Clock,
    *,
    site_ids: Sequence[str] = (),
    cursor: str = "",
    backoff: FullJitter | None = None,
) -> AsyncIterator[tuple[ingest.VisitChange, str]]:
    """Every change of every visit, without gap or repeat, with the cursor to come back to after it.

    Keep the cursor once the change is dealt with, and hand it in after a restart. Raises `FeedEnded`, and `Refused` for
    what trying again cannot help.
    """
    backoff = backoff or FullJitter()
    while True:
        try:
            messages = _listen(connect, tokens, ingest.WatchVisitsRequest(site_ids=list(site_ids), cursor=cursor))
            async with aclosing(messages):
                async for message in messages:
                    backoff.reset()
                    cursor = message.cursor or cursor
                    match betterproto2.which_one_of(message, "message"):
                        case ("change", ingest.VisitChange() as change):
                            yield change, cursor
                        case ("problem", types.Problem() as problem):
                            _raise_if_final(problem)
        except Refused as error:
            if not error.may_pass and error.code.name != "UNAUTHENTICATED":
                raise
            _log.warning("feed_broken", code=error.code.name, reason=error.reason)
        except (ConnectionError, TimeoutError) as error:
            _log.warning("feed_broken", problem=str(error))
        await clock.sleep(backoff.next())


async def _listen(
    connect: Connect, tokens: Tokens, request: ingest.WatchVisitsRequest
) -> AsyncGenerator[ingest.WatchVisitsResponse, None]:
    """One stream, until it ends or falls silent."""
    token = await tokens.get()
    channel = connect()
    stream = server_stream(channel, WATCH_VISITS, request, ingest.WatchVisitsResponse, token=token.value)
    try:
        while True:
            async with asyncio.timeout(SILENCE):
                message = await anext(stream, None)
            if message is None:
                return
            yield message
    except Refused as error:
        if error.code.name == "UNAUTHENTICATED":
            tokens.spoiled(token)
        raise
    finally:
        await stream.aclose()
        await channel.close()


def _raise_if_final(problem: types.Problem) -> None:
    if problem.reason == types.ErrorReason.CURSOR_INVALID:
        raise FeedEnded(problem.reason.name or "", problem.message)
