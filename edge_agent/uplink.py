"""The road of events to ingest: batches up as far as the credit reaches, and nothing let go before its answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import betterproto2
import grpc
import structlog
from footfall_messages.footfall.ingest import v1 as ingest

from edge_agent.spool.records import Settlement, SnapshotVerdict, SpooledEvent, SpooledSnapshot, Verdict
from edge_agent.spool.spool import Spool
from edge_agent.tasks import first_of, until_one_ends
from footfall_client.backoff import FullJitter
from footfall_client.channel import Bidi, Connect, bidi
from footfall_client.errors import Refused
from footfall_client.token import Token, Tokens
from mesh.clock import Clock

STREAM_FACES: Final = "/footfall.ingest.v1.IngestService/StreamFaces"

BATCH_EVENTS: Final = 64
BATCH_BYTES: Final = 4 * 1024 * 1024
"""The contract's limits of a batch."""

SNAPSHOTS_AT_ONCE: Final = 16
RETRY_SNAPSHOTS: Final = 30.0
"""Seconds after which a snapshot that was answered PENDING again is sent once more on the same stream."""
RETRY_KEPT: Final = 60.0
"""Seconds after which a stream on which an event got no durable answer is given up for a new one."""

_Status = ingest.FaceOutcomeStatus
_VERDICTS: Final = {
    _Status.ACCEPTED: Verdict.ACCEPTED,
    _Status.REJECTED: Verdict.REJECTED,
    _Status.QUARANTINED: Verdict.QUARANTINED,
}
_SNAPSHOT_DONE: Final = frozenset(
    {
        ingest.SnapshotStatus.UNSPECIFIED,
        ingest.SnapshotStatus.STORED,
        ingest.SnapshotStatus.NOT_KEPT,
        ingest.SnapshotStatus.REFUSED,
    }
)

_Call = Bidi[betterproto2.Message, ingest.StreamFacesResponse]

_log = structlog.get_logger(__name__)


def settlement(outcome: ingest.FaceOutcome, event: SpooledEvent) -> Settlement | None:
    """What an answer means for the spool; None: it is not durable, or not known to this build: keep the event."""
    status = outcome.status
    if status == _Status.DUPLICATE:
        # The first answer counts; a server that does not tell it has the event all the same.
        status = _Status.QUARANTINED if outcome.first_status == _Status.QUARANTINED else _Status.ACCEPTED
    verdict = _VERDICTS.get(status)
    if verdict is None:
        return None
    reason = outcome.problem.reason.name or "" if outcome.problem and verdict is not Verdict.ACCEPTED else ""
    keep = event.snapshot is not None and verdict is not Verdict.REJECTED
    again = keep and outcome.snapshot_status not in _SNAPSHOT_DONE
    return Settlement(event.id, verdict, reason, SnapshotVerdict.SEND_AGAIN if again else SnapshotVerdict.LET_GO)


def fitting(events: Sequence[SpooledEvent], limit: int = BATCH_BYTES) -> list[SpooledEvent]:
    """As many of the first events as one batch may carry; always the first one."""
    batch: list[SpooledEvent] = []
    size = 0
    for event in events:
        size += event.size
        if batch and size > limit:
            break
        batch.append(event)
    return batch


@dataclass(slots=True)
class Window:
    """What one stream may send, and what it sent without an answer."""

    credit: int = 0
    """Absolute: how many events may be unanswered. A lost or repeated one does no harm."""
    events: dict[int, Sequence[SpooledEvent]] = field(default_factory=dict)
    """By batch."""
    snapshots: dict[int, Sequence[SpooledSnapshot]] = field(default_factory=dict)
    """By batch."""

    @property
    def room(self) -> int:
        """Events that may be sent now."""
        return max(0, min(self.credit - sum(len(batch) for batch in self.events.values()), BATCH_EVENTS))


class Uplink:
    """Sends what the spool holds, for ever."""

    def __init__(self, connect: Connect, tokens: Tokens, spool: Spool, clock: Clock, backoff: FullJitter) -> None:
        """Starts nothing."""
        self._connect, self._tokens, self._spool = connect, tokens, spool
        self._clock, self._backoff = clock, backoff

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            at_least = 0.0
            try:
                await self._stream_once()
            except Refused as error:
                at_least = error.retry_after
                _log.warning("uplink_ended", code=error.code.name, reason=error.reason)
            except (ConnectionError, asyncio.InvalidStateError) as error:
                _log.warning("uplink_ended", problem=str(error))
            await self._clock.sleep(self._backoff.next(at_least=at_least))

    async def _stream_once(self) -> None:
        token = await self._tokens.get()
        channel = self._connect()
        try:
            async with bidi(channel, STREAM_FACES, ingest.StreamFacesResponse, token=token.value) as call:
                stream = _Stream(call, self._spool, self._clock, self._backoff)
                await stream.run()
        except Refused as error:
            self._spoil(token, error)
            raise
        finally:
            # No answer will come to what is under way: it is sent again on the next stream, in other batches.
            self._spool.stream_ended()
            await channel.close()

    def _spoil(self, token: Token, error: Refused) -> None:
        if error.code is grpc.StatusCode.UNAUTHENTICATED:
            self._tokens.spoiled(token)
            self._backoff.reset()


class _Stream:
    """One stream."""

    def __init__(self, call: _Call, spool: Spool, clock: Clock, backoff: FullJitter) -> None:
        self._call, self._spool, self._clock, self._backoff = call, spool, clock, backoff
        self._unsealed = spool.unsealed
        self._window = Window()
        self._changed = asyncio.Event()
        self._batch = 0
        self._event_seq = 0
        self._snapshot_seq = 0
        self._kept_since: float | None = None
        self._pending_since: float | None = None

    async def run(self) -> None:
        """Until the stream ends."""
        await until_one_ends(self._read(), self._write())

    async def _read(self) -> None:
        async for answer in self._call:
            self._window.credit = answer.credit
            if answer.batch:
                await self._settle(answer)
                self._backoff.reset()
            self._changed.set()
        raise ConnectionError("ingest closed the stream")

    async def _settle(self, answer: ingest.StreamFacesResponse) -> None:
        events = self._window.events.get(answer.batch, ())
        snapshots = self._window.snapshots.get(answer.batch, ())
        if len(answer.outcomes) != len(events) or len(answer.snapshot_outcomes) != len(snapshots):
            raise ConnectionError("an answer does not fit its batch")
        settled = [settlement(outcome, event) for outcome, event in zip(answer.outcomes, events, strict=True)]
        await self._spool.settle([one for one in settled if one is not None], [event.seq for event in events])
        if None in settled and self._kept_since is None:
            self._kept_since = self._clock.monotonic()
        if any(one is not None and one.snapshot is SnapshotVerdict.SEND_AGAIN for one in settled):
            self._pending_again()
        done = [
            snapshot.event_id
            for outcome, snapshot in zip(answer.snapshot_outcomes, snapshots, strict=True)
            if outcome.status in _SNAPSHOT_DONE and outcome.status != ingest.SnapshotStatus.UNSPECIFIED
        ]
        if done:
            await self._spool.settle_snapshots(done)
        if len(done) < len(snapshots):
            self._pending_again()
        # Only now: what is not settled counts as unanswered.
        self._window.events.pop(answer.batch, None)
        self._window.snapshots.pop(answer.batch, None)
        for event, one in zip(events, settled, strict=True):
            if one is not None and one.verdict is not Verdict.ACCEPTED:
                _log.info("event_" + one.verdict.value, event_id=str(event.id), reason=one.reason)

    async def _write(self) -> None:
        while True:
            self._changed.clear()
            self._give_up_if_kept()
            request = await self._next_batch()
            if request is None:
                await first_of(self._changed.wait(), self._arrival(), self._clock.sleep(RETRY_SNAPSHOTS))
                continue
            await self._call.write(request)

    async def _arrival(self) -> None:
        if self._window.room:
            await self._spool.arrival()
        else:
            await self._changed.wait()

    async def _next_batch(self) -> ingest.StreamFacesRequest | None:
        events = await self._next_events()
        snapshots = [] if events else await self._next_snapshots()
        if not events and not snapshots:
            return None
        self._batch += 1
        if events:
            self._event_seq = events[-1].seq
            self._window.events[self._batch] = events
            self._spool.sent([event.seq for event in events])
        if snapshots:
            self._snapshot_seq = snapshots[-1].seq
            self._window.snapshots[self._batch] = snapshots
        return ingest.StreamFacesRequest(
            batch=self._batch,
            events=[_event(event) for event in events],
            snapshots=[ingest.FaceSnapshot(event_id=str(one.event_id), jpeg=one.jpeg) for one in snapshots],
        )

    async def _next_events(self) -> list[SpooledEvent]:
        room = self._window.room
        if not room:
            return []
        if self._unsealed != self._spool.unsealed:
            # What an earlier boot wrote can be read now, and it is older than what was sent already.
            self._unsealed, self._event_seq = self._spool.unsealed, 0
        under_way = {event.seq for batch in self._window.events.values() for event in batch}
        waiting = await self._spool.after(self._event_seq, room + len(under_way))
        return fitting([event for event in waiting if event.seq not in under_way][:room])

    async def _next_snapshots(self) -> list[SpooledSnapshot]:
        if self._window.snapshots:
            return []  # one batch of pictures at a time: events go first
        since = self._pending_since
        if since is not None and self._clock.monotonic() - since >= RETRY_SNAPSHOTS:
            self._pending_since, self._snapshot_seq = None, 0
        return await self._spool.snapshots_after(self._snapshot_seq, SNAPSHOTS_AT_ONCE)

    def _pending_again(self) -> None:
        if self._pending_since is None:
            self._pending_since = self._clock.monotonic()

    def _give_up_if_kept(self) -> None:
        """An event without a durable answer is sent again on the next stream: this one must end for that."""
        kept = self._kept_since
        if kept is not None and not self._window.events and self._clock.monotonic() - kept >= RETRY_KEPT:
            raise ConnectionError("some events got no durable answer")


def _event(event: SpooledEvent) -> ingest.FaceDetected:
    message = ingest.FaceDetected.parse(event.body)
    message.snapshot = event.snapshot
    return message
