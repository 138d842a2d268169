"""One stream of the session: Hello, then heartbeats up and the registry's word down, until it breaks."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

import betterproto2
import structlog
from footfall_messages.footfall.registry import v1 as registry

from edge_agent.messages import camera_report, coverage_slice, ref_message
from edge_agent.session.domain import Ref, Timing
from edge_agent.session.heartbeat import CoverageTelling
from edge_agent.tasks import first_of, until_one_ends
from footfall_client.channel import Bidi
from footfall_client.token import Token

if TYPE_CHECKING:
    from edge_agent.session.session import Outside

MOST_UNANSWERED: Final = 2048
"""Coverage slices looked at for one heartbeat."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What Hello says of this process; none of it changes while it runs."""

    boot_id: UUID
    version: str
    embedding_spaces: Sequence[str]
    slots: int
    """Cameras it is willing to watch at once."""
    platform: str
    execution_providers: Sequence[str]
    spare_frame_rate: "SpareFrameRate"


class SpareFrameRate(Protocol):
    """Frames per second that can still be analysed, as of now."""

    def __call__(self) -> float:
        """As of now."""
        ...


class GoneAway(Exception):  # noqa: N818
    """The registry ended the session."""

    def __init__(self, message: registry.GoAway) -> None:
        """As it said."""
        super().__init__(message.message)
        self.reason = message.reason
        self.message = message.message
        self.retry_after = message.retry_after.total_seconds() if message.retry_after else 0.0


class Listener(Protocol):
    """Who acts on what the registry says."""

    async def welcome(self, welcome: registry.Welcome, sent: datetime, token: Token) -> None:
        """The session stands. `sent`: wall clock when Hello was."""
        ...

    def acknowledged(self, ack: registry.HeartbeatAck, sent: datetime, sent_at: float) -> None:
        """A heartbeat was answered. `sent`, `sent_at`: when it was sent, by the wall clock and the clock of leases."""
        ...

    def desired(self, message: registry.Desired) -> None:
        """Everything that is wanted."""
        ...

    async def command(self, command: registry.Command) -> None:
        """Something to do once."""
        ...

    def to_renew(self) -> list[Ref]:
        """The leases that a heartbeat names."""
        ...

    @property
    def timing(self) -> Timing:
        """As Welcome said."""
        ...

    @property
    def unhealthy_reason(self) -> str:
        """Why this worker cannot do its work; empty when it can."""
        ...


class Stream:
    """One stream, from Hello to its end."""

    def __init__(
        self,
        call: Bidi[betterproto2.Message, registry.ConnectResponse],
        listener: Listener,
        facts: WorkerFacts,
        outside: "Outside",
        token: Token,
    ) -> None:
        """`call`: open, nothing said yet."""
        self._call, self._listener, self._facts, self._out, self._token = call, listener, facts, outside, token
        self._to_say: asyncio.Queue[registry.ConnectRequest] = asyncio.Queue()
        self._writing = asyncio.Lock()
        self._beat = asyncio.Event()
        self._sent: dict[int, tuple[datetime, float]] = {}
        self._telling = CoverageTelling()
        self._answered_at = outside.clock.clock.monotonic()
        self.generation = 0
        """Welcome's; 0 before it."""

    def say(self, request: registry.ConnectRequest) -> None:
        """Sends after what waits already. Before Welcome it is dropped: Hello tells as much."""
        if self.generation:
            self._to_say.put_nowait(request)

    async def said(self) -> None:
        """Returns once everything that waited has been sent."""
        await self._to_say.join()

    def beat_now(self) -> None:
        """The next heartbeat is due at once."""
        self._beat.set()

    async def run(self, held: Sequence[Ref]) -> None:
        """Talks until the stream ends. Raises `GoneAway`, ConnectionError, and what the call raises."""
        sent = self._out.clock.clock.now()
        await self._call.write(registry.ConnectRequest(hello=await self._hello(held)))
        await until_one_ends(self._read(sent), self._write(), self._heartbeats(), self._reauthenticate())

    async def _hello(self, held: Sequence[Ref]) -> registry.Hello:
        facts = self._facts
        return registry.Hello(
            boot_id=str(facts.boot_id),
            agent_version=facts.version,
            embedding_spaces=list(facts.embedding_spaces),
            capacity=self._capacity(),
            held=[registry.HeldLease(lease=ref_message(ref)) for ref in held],
            last_command_seq=await self._out.spool.last_command(),
            platform=facts.platform,
            execution_providers=list(facts.execution_providers),
        )

    async def _read(self, hello_sent: datetime) -> None:
        async for message in self._call:
            self._answered_at = self._out.clock.clock.monotonic()
            match betterproto2.which_one_of(message, "message"):
                case ("welcome", registry.Welcome() as welcome):
                    await self._listener.welcome(welcome, hello_sent, self._token)
                    self.generation = welcome.generation
                    self.beat_now()
                case ("heartbeat_ack", registry.HeartbeatAck() as ack):
                    await self._acknowledged(ack)
                case ("desired", registry.Desired() as desired):
                    self._listener.desired(desired)
                case ("command", registry.Command() as command) if command.generation == self.generation:
                    await self._listener.command(command)
                case ("go_away", registry.GoAway() as away):
                    raise GoneAway(away)
                case (name, _):
                    # A newer registry's message, or a command of another session, which comes again in this one.
                    _log.info("session_message_ignored", message=name or "unknown")
        raise ConnectionError("the registry closed the stream")

    async def _acknowledged(self, ack: registry.HeartbeatAck) -> None:
        sent = self._sent.pop(ack.seq, None)
        if sent is None:
            return
        for older in [seq for seq in self._sent if seq < ack.seq]:
            del self._sent[older]
        self._listener.acknowledged(ack, *sent)
        await self._out.spool.answer_coverage(self._telling.answered(ack.seq), self._out.clock.clock.now())

    async def _write(self) -> None:
        while True:
            await self._send(await self._to_say.get())
            self._to_say.task_done()

    async def _send(self, request: registry.ConnectRequest) -> None:
        # Two writes at once on one call are an error of gRPC's.
        async with self._writing:
            await self._call.write(request)

    async def _heartbeats(self) -> None:
        seq = 0
        await self._beat.wait()
        while True:
            self._beat.clear()
            seq += 1
            heartbeat = await self._heartbeat(seq)
            # The deadline counts from the sending: before it, so that no delay can lengthen a lease.
            self._sent[seq] = (self._out.clock.clock.now(), self._out.running_asleep())
            heartbeat.worker_time = self._sent[seq][0]
            await self._send(registry.ConnectRequest(heartbeat=heartbeat))
            await self._pause(self._listener.timing.heartbeat)
            silent = self._out.clock.clock.monotonic() - self._answered_at
            if silent > self._listener.timing.ttl:
                raise ConnectionError("the registry is silent")

    async def _pause(self, seconds: float) -> None:
        """Until the next heartbeat is due, or wanted at once."""
        await first_of(self._beat.wait(), self._out.clock.clock.sleep(seconds))

    async def _heartbeat(self, seq: int) -> registry.Heartbeat:
        clock, spool, cameras = self._out.clock, self._out.spool, self._out.cameras
        await cameras.write_coverage()
        backlog, reports, server_now = await spool.backlog(), cameras.reports(), clock.server_now()
        unanswered = await spool.unanswered_coverage(MOST_UNANSWERED)
        slices = self._telling.choose(seq, unanswered, server_now, clock.clock.monotonic())
        return registry.Heartbeat(
            seq=seq,
            capacity=self._capacity(),
            cameras=[
                camera_report(ref, reports.get(ref.camera_id), backlog, server_now) for ref in self._listener.to_renew()
            ],
            coverage=[coverage_slice(one, self._facts.boot_id) for one in slices],
            spool_events=backlog.events,
            spool_bytes=backlog.bytes,
            spool_age=None if backlog.oldest is None else max(timedelta(), server_now - backlog.oldest),
            unhealthy_reason=self._listener.unhealthy_reason[:200],
        )

    async def _reauthenticate(self) -> None:
        """Sends a newer token before the session's own expires."""
        while True:
            left = self._token.renew_at - self._out.clock.clock.monotonic()
            await self._out.clock.clock.sleep(max(1.0, left))
            token = await self._out.tokens.get()
            if token.value != self._token.value:
                self._token = token
                self.say(registry.ConnectRequest(reauth=registry.Reauth(token=token.value)))

    def _capacity(self) -> registry.Capacity:
        return registry.Capacity(slots=self._facts.slots, spare_frame_rate=self._facts.spare_frame_rate())
