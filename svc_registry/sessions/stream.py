"""The shape of Connect: Hello, then everything that either side has to say, until one of them ends it.

What comes up is read in a task of its own, so that nothing that is slow to do stands before a heartbeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from footfall.registry.v1.worker_session_pb2 import ConnectRequest, ConnectResponse, GoAway, Hello

from mesh import telemetry
from mesh.auth import Caller, reauthenticate
from mesh.clock import Clock
from mesh.errors import InvalidField, InvalidFields, MeshError, Unauthenticated, Unavailable
from mesh.ids import CameraId, LeaseEpoch
from mesh.keyring import KeyRing
from svc_registry.sessions import wire
from svc_registry.sessions.domain import Greeting, Ref
from svc_registry.sessions.roster import Acknowledged, Farewell, LiveSession, Roster, Told
from svc_registry.sessions.service import WorkerSessions
from svc_registry.sessions.spool_keys import SpoolKeys

HELLO_SECONDS: Final = 10.0  # a stream that says nothing for so long is ended
RETRY: Final = timedelta(seconds=5)  # for a replica that is full

_GREETINGS: Final = {
    Greeting.REMOVED: Farewell(GoAway.REASON_REMOVED, "this worker was removed, or its key revoked"),
    Greeting.QUARANTINED: Farewell(GoAway.REASON_QUARANTINED, "this worker is quarantined: an administrator must act"),
}
_log = structlog.get_logger(__name__)
_unknown = telemetry.counter("session_messages_unknown", "Messages of workers that this build does not know")


class _Violation(Exception):  # noqa: N818 (named by what it is)
    """The worker broke the protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """What streams are made with.

    Attributes:
        sessions, keys: the use cases.
        roster: of this replica.
        ring: opens camera passwords for their holder.
        clock: given.
        most_sessions: that this replica takes.
    """

    sessions: WorkerSessions
    keys: SpoolKeys
    roster: Roster
    ring: KeyRing
    clock: Clock
    most_sessions: int

    async def connect(self, caller: Caller, requests: AsyncIterator[ConnectRequest]) -> AsyncIterator[ConnectResponse]:
        """One stream, from Hello to GoAway or to its client's leaving."""
        if len(self.roster) >= self.most_sessions:
            yield wire.go_away(Farewell(GoAway.REASON_OVERLOADED, "too many sessions here", RETRY))
            return
        try:
            hello = await self._hello(requests)
            held = [wire.ref_of(one.lease) for one in hello.held]
            key = await self.keys.current()
            opened = await self.sessions.open(caller, wire.introduction(hello), held)
        except (_Violation, InvalidField, InvalidFields) as error:
            yield wire.go_away(Farewell(GoAway.REASON_PROTOCOL_VIOLATED, str(error)))
            return
        if isinstance(opened, Greeting):
            yield wire.go_away(_GREETINGS[opened])
            return
        introduced = wire.introduction(hello)
        session = LiveSession(caller.tenant, opened.key, introduced.boot_id, caller.expire_time)
        reader = asyncio.create_task(self._read(session, requests))
        try:
            self.roster.add(session)
            yield wire.welcome(opened, self.sessions.timing, key, self.clock.now())
            while True:
                word = await session.next_word()
                if isinstance(word, Farewell):
                    if word.reason is not None:
                        yield wire.go_away(word)
                    return
                yield self._spoken(word)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            self.roster.remove(session)

    async def _hello(self, requests: AsyncIterator[ConnectRequest]) -> Hello:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                first = await anext(requests, None)
        except TimeoutError:
            first = None
        if first is None or first.WhichOneof("message") != "hello":
            msg = "the first message must be Hello"
            raise _Violation(msg)
        return first.hello

    def _spoken(self, word: Acknowledged | Told) -> ConnectResponse:
        if isinstance(word, Told):
            return wire.desired(word.revision, word.leases, self.ring)
        return wire.acknowledgement(word.seq, word.renewed, self.sessions.timing.ttl, self.clock.now())

    async def _read(self, session: LiveSession, requests: AsyncIterator[ConnectRequest]) -> None:
        """Does what the worker says. A half-close means nothing; whatever breaks ends the session with its reason."""
        try:
            async for request in requests:
                await self._hear(session, request)
        except (_Violation, InvalidField, InvalidFields) as error:
            session.dismiss(Farewell(GoAway.REASON_PROTOCOL_VIOLATED, str(error)))
        except Unauthenticated as error:
            session.dismiss(Farewell(GoAway.REASON_UNAUTHENTICATED, str(error)))
        except Unavailable as error:
            session.dismiss(Farewell(GoAway.REASON_SHUTDOWN, str(error), RETRY))
        except MeshError as error:
            _log.warning("session_broken", reason=error.reason_name)
            session.dismiss(Farewell(GoAway.REASON_SHUTDOWN, str(error)))
        except Exception:  # noqa: BLE001 (a bug: logged whole, and the worker comes again)
            _log.exception("session_broken")
            session.dismiss(Farewell(GoAway.REASON_SHUTDOWN, "something failed here", RETRY))

    async def _hear(self, session: LiveSession, request: ConnectRequest) -> None:
        match request.WhichOneof("message"):
            case "heartbeat":
                try:
                    beat = wire.beat_of(request.heartbeat, session, self.clock.now())
                except ValueError:
                    msg = "a time of the heartbeat lies outside of the years 1 to 9999"
                    raise _Violation(msg) from None
                self.roster.beat(session, beat)
            case "lease_ready":
                ready = request.lease_ready
                await self.sessions.ready(session.tenant_id, session.key, CameraId(UUID(ready.camera_id)))
            case "lease_released":
                released = request.lease_released
                ref = Ref(CameraId(UUID(released.camera_id)), LeaseEpoch(released.epoch))
                problem = wire.problem_of(released.problem) if released.HasField("problem") else None
                await self.sessions.release(session.tenant_id, session.key, ref, problem)
            case "reauth":
                caller = await reauthenticate(request.reauth.token)
                if caller.worker_id != session.key.worker_id:
                    msg = "the token is another worker's"
                    raise Unauthenticated(msg)
                session.token_expire_time = caller.expire_time
            case "hello":
                msg = "Hello comes once"
                raise _Violation(msg)
            case _:
                _unknown.inc()  # a newer worker's; commands are not sent yet, so nothing answers them
