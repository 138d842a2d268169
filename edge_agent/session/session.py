"""The session with the registry, kept for ever: one stream at a time, and a tick that outlives them all."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import structlog
from footfall_messages.footfall.registry import v1 as registry

from edge_agent.camera import Farewell, WorkerClock
from edge_agent.cameras import Cameras, FirstFrame
from edge_agent.messages import lease_of, problem, refs_of
from edge_agent.plan import Plan, Trouble
from edge_agent.session import domain
from edge_agent.session.domain import Leases, Phase, Ref, Timing
from edge_agent.session.stream import GoneAway, Listener, Stream, WorkerFacts
from edge_agent.session.timing import measured
from edge_agent.spool.crypto import PublicKey
from edge_agent.spool.spool import Spool, SpoolKeyError
from edge_agent.tasks import first_of, until_one_ends
from footfall_client.backoff import FullJitter
from footfall_client.channel import Connect, bidi, unary
from footfall_client.errors import Refused
from footfall_client.token import Token, Tokens
from mesh.ids import CameraId, LeaseEpoch

CONNECT: Final = "/footfall.registry.v1.WorkerService/Connect"
UNWRAP: Final = "/footfall.registry.v1.WorkerService/UnwrapSpoolKey"

TICK: Final = 1.0
"""Seconds between two looks at deadlines, at most; an earlier deadline is looked at when it comes."""

LAST_WORDS: Final = 3.0
"""Seconds that a leaving worker waits until its leases are given back."""

_FATAL: Final = frozenset(
    {
        registry.GoAwayReason.SUPERSEDED,
        registry.GoAwayReason.QUARANTINED,
        registry.GoAwayReason.REMOVED,
        registry.GoAwayReason.VERSION_UNSUPPORTED,
    }
)

_log = structlog.get_logger(__name__)


class WorkerDismissed(Exception):  # noqa: N818
    """The registry wants this process to stop and not to come back by itself."""

    def __init__(self, reason: str, message: str) -> None:
        """`reason`: GoAway's."""
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class Commands(Protocol):
    """Does what the registry asks once."""

    async def run(self, command: registry.Command) -> registry.CommandResult:
        """The result; never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Outside:
    """What the session works with."""

    connect: Connect
    tokens: Tokens
    spool: Spool
    cameras: Cameras
    commands: Commands
    clock: WorkerClock
    running_asleep: Callable[[], float]
    """The clock of leases."""
    check: Callable[[Plan], Trouble | None]
    """Why this agent may not or cannot ever watch by a plan."""
    backoff: FullJitter
    uniform: Callable[[], float] = random.SystemRandom().random


class Session(Listener):
    """What the registry said last, and what follows from it."""

    def __init__(self, facts: WorkerFacts, outside: Outside) -> None:
        """Starts nothing."""
        self._facts, self._out = facts, outside
        self._leases: Leases[Plan] = Leases()
        self._stream: Stream | None = None
        self._worker_id = ""
        self._keyed = False
        self._leaving = False
        self._woken = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()

    # -- for others ------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """A session stands."""
        return self._stream is not None and self._stream.generation > 0

    @property
    def unhealthy_reason(self) -> str:
        """Why this worker cannot do its work; empty when it can."""
        if not self._keyed:
            return "the registry gave no key to protect the spool with"
        return self._out.spool.trouble

    def is_alive(self, camera_id: CameraId, epoch: LeaseEpoch) -> bool:
        """Whether events of a camera may be captured under an epoch at this very moment."""
        return domain.is_alive(self._leases, Ref(camera_id, epoch), self._out.running_asleep())

    # -- life ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled; after a refusal it tries again, for ever. Raises `WorkerDismissed`."""
        await until_one_ends(self._tick(), self._notices(), self._reconnect())

    async def leave(self) -> None:
        """Stops every camera and gives its lease back, if the registry listens. To be called while `run` runs."""
        self._leaving = True
        self._leases = Leases(timing=self._leases.timing)
        self._changed()
        await self._out.cameras.stop()
        try:
            async with asyncio.timeout(LAST_WORDS):
                await self._out.cameras.notices.join()
                if self._stream is not None:
                    await self._stream.said()
        except TimeoutError:
            _log.warning("leases_not_given_back", note="they end with their ttl")

    async def _reconnect(self) -> None:
        while True:
            at_least = 0.0
            try:
                await self._connect_once()
            except GoneAway as away:
                if away.reason in _FATAL:
                    self._dismiss()
                    raise WorkerDismissed(away.reason.name or "UNKNOWN", away.message) from away
                at_least = away.retry_after
                _log.info("session_went_away", reason=away.reason.name, retry_after=at_least)
            except Refused as error:
                at_least = error.retry_after
                _log.warning("session_ended", code=error.code.name, reason=error.reason)
            except (ConnectionError, asyncio.InvalidStateError, TimeoutError) as error:
                _log.warning("session_ended", problem=str(error))
            await self._out.clock.clock.sleep(self._delay(at_least))

    def _delay(self, at_least: float) -> float:
        """While a FAILOVER lease lives, within a third of what is left; else by the backoff."""
        window = domain.reconnect_window(self._leases, self._out.running_asleep())
        if window is not None and self._out.backoff.failures < _HASTY_TRIES:
            self._out.backoff.next()
            return at_least + window * self._out.uniform()
        return self._out.backoff.next(at_least=at_least)

    async def _connect_once(self) -> None:
        token = await self._out.tokens.get()
        self._worker_id = token.worker_id
        channel = self._out.connect()
        try:
            async with bidi(channel, CONNECT, registry.ConnectResponse, token=token.value) as call:
                self._stream = Stream(call, self, self._facts, self._out, token)
                held = domain.held(self._leases, self._out.running_asleep())
                await self._stream.run(held)
        except Refused as error:
            if error.code.name == "UNAUTHENTICATED":
                self._out.tokens.spoiled(token)
            raise
        finally:
            self._stream = None
            await channel.close()

    async def _tick(self) -> None:
        """Deadlines pass also while nobody talks."""
        while True:
            self._woken.clear()
            self._apply()
            await self._out.cameras.tick()
            ahead = domain.next_change(self._leases, self._out.running_asleep())
            pause = self._out.clock.clock.sleep(TICK if ahead is None else min(TICK, max(ahead, 0.01)))
            await first_of(self._woken.wait(), pause)

    async def _notices(self) -> None:
        while True:
            notice = await self._out.cameras.notices.get()
            if isinstance(notice, FirstFrame):
                self._tell_ready()
            else:
                self._stopped(notice.camera_id, notice.farewell)
            self._out.cameras.notices.task_done()

    def _stopped(self, camera_id: CameraId, farewell: Farewell) -> None:
        lease = self._leases.desired.get(camera_id)
        if lease is not None and not self._past_release(lease):
            return  # it stopped for another plan, or its deadline passed: it is still this worker's
        self._leases = domain.given_up(self._leases, camera_id)
        released = registry.LeaseReleased(
            camera_id=str(camera_id),
            epoch=farewell.epoch or 0,
            end_time=farewell.end_time,
            last_event_id=str(farewell.last_event_id or ""),
        )
        self._say(registry.ConnectRequest(lease_released=released))

    # -- what the registry says ------------------------------------------------------------------------------------

    async def welcome(self, welcome: registry.Welcome, sent: datetime, token: Token) -> None:
        """See `Listener`."""
        self._measure(sent, welcome.server_time)
        self._leases = domain.welcomed(self._leases, refs_of(welcome.keep), _timing(welcome))
        self._changed()
        if (key := welcome.spool_public_key) is not None and key.der:
            try:
                await self._out.spool.wrap_key(PublicKey(key.key_id, key.der), token.worker_id)
                self._keyed = True
            except SpoolKeyError as error:
                _log.error("spool_key_not_wrapped", problem=str(error))
        self._spawn(self._unseal(token))

    def acknowledged(self, ack: registry.HeartbeatAck, sent: datetime, sent_at: float) -> None:
        """See `Listener`."""
        self._out.backoff.reset()
        self._measure(sent, ack.server_time)
        self._leases = domain.renewed(self._leases, refs_of(ack.renewed), sent_at)
        self._changed()

    def desired(self, message: registry.Desired) -> None:
        """See `Listener`."""
        wanted = [lease_of(one) for one in message.leases]
        before = self._leases
        if not self._leaving:
            self._leases = domain.desired(self._leases, message.revision, wanted)
        if self._leases is before:
            return
        for lease in wanted:
            trouble = self._out.check(lease.plan)
            if trouble is not None:
                self._leases = domain.given_up(self._leases, lease.camera_id)
                _log.warning("camera_refused", camera_id=str(lease.camera_id), reason=trouble.reason)
                released = registry.LeaseReleased(
                    camera_id=str(lease.camera_id), epoch=lease.epoch, problem=problem(trouble)
                )
                self._say(registry.ConnectRequest(lease_released=released))
        self._changed()
        self._tell_ready()
        if domain.awaits_renewal(self._leases, self._out.running_asleep()) and self._stream is not None:
            self._stream.beat_now()

    async def command(self, command: registry.Command) -> None:
        """See `Listener`."""
        known = await self._out.spool.receive_command(command.seq, command.id)
        self._say(registry.ConnectRequest(command_ack=registry.CommandAck(seq=command.seq)))
        if known is not None:
            self._say(registry.ConnectRequest(command_result=registry.CommandResult.parse(known)))
        else:
            self._spawn(self._do(command))

    def to_renew(self) -> list[Ref]:
        """See `Listener`."""
        return domain.to_renew(self._leases)

    @property
    def timing(self) -> Timing:
        """See `Listener`."""
        return self._leases.timing

    # -- within ----------------------------------------------------------------------------------------------------

    async def _do(self, command: registry.Command) -> None:
        result = await self._out.commands.run(command)
        kept = registry.CommandResult(command_id=result.command_id, outcome=result.outcome, problem=result.problem)
        await self._out.spool.finish_command(command.id, bytes(kept))
        self._say(registry.ConnectRequest(command_result=result))

    async def _unseal(self, token: Token) -> None:
        """Has the keys of earlier boots unwrapped, so that what they spooled can be sent."""
        for sealed in await self._out.spool.sealed():
            request = registry.UnwrapSpoolKeyRequest(key_id=sealed.key_id, wrapped_key=sealed.wrapped)
            channel = self._out.connect()
            try:
                answer = await unary(channel, UNWRAP, request, registry.UnwrapSpoolKeyResponse, token=token.value)
                await self._out.spool.unseal(sealed.boot_id, answer.key)
                _log.info("spool_unsealed", boot_id=str(sealed.boot_id))
            except (Refused, SpoolKeyError) as error:
                # Stays sealed; the next session asks again.
                _log.warning("spool_still_sealed", boot_id=str(sealed.boot_id), problem=str(error))
            finally:
                await channel.close()

    def _measure(self, sent: datetime, server_time: datetime | None) -> None:
        if server_time is None:
            return
        clock = self._out.clock
        clock.offset = measured(
            clock.offset, sent=sent, received=clock.clock.now(), server_time=server_time, now=clock.clock.monotonic()
        )

    def _apply(self) -> None:
        """Has the cameras do what follows from what is known now."""
        now, server_now = self._out.running_asleep(), self._out.clock.server_now()
        opened = self._out.cameras.reports().keys()
        watches = domain.to_watch(self._leases, now, server_now, opened) if self._keyed else {}
        self._out.cameras.watch(watches)

    def _changed(self) -> None:
        """Something new is known: the cameras follow at once, and the next deadline may be another."""
        self._apply()
        self._woken.set()

    def _dismiss(self) -> None:
        self._leases = Leases()
        self._out.cameras.watch({})

    def _past_release(self, lease: domain.Lease[Plan]) -> bool:
        deadline = lease.release_deadline
        over = deadline is not None and self._out.clock.server_now() >= deadline
        return lease.phase is Phase.RELEASING and over

    def _tell_ready(self) -> None:
        """PENDING leases whose camera delivers; said again in every session, and whenever Desired is told anew."""
        reports = self._out.cameras.reports()
        for camera_id, lease in self._leases.desired.items():
            report = reports.get(camera_id)
            if lease.phase is Phase.PENDING and report is not None and report.frame_age is not None:
                ready = registry.LeaseReady(camera_id=str(camera_id), revision=self._leases.revision)
                self._say(registry.ConnectRequest(lease_ready=ready))

    def _say(self, request: registry.ConnectRequest) -> None:
        """Into the stream, if there is one; if there is none, the next Hello tells as much."""
        if self._stream is not None:
            self._stream.say(request)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


_HASTY_TRIES: Final = 6
"""So often a reconnect may be hasty for a lease's sake; a server that is down is not helped by more."""


def _timing(welcome: registry.Welcome) -> Timing:
    """What Welcome says, with the contract's defaults for what it leaves out."""
    default = Timing()
    return Timing(
        heartbeat=welcome.heartbeat_interval.total_seconds() if welcome.heartbeat_interval else default.heartbeat,
        stop_after=welcome.stop_after.total_seconds() if welcome.stop_after else default.stop_after,
        ttl=welcome.lease_ttl.total_seconds() if welcome.lease_ttl else default.ttl,
    )
