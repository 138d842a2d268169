"""A worker for a test: a real stream to a running registry, spoken by hand or by itself.

async with worker(registry, token) as mac:                # says Hello, and waits for Welcome
    await until(lambda: mac.watching)                     # heartbeats by itself, names what Desired tells it
    mac.silent = True                                     # … until it falls silent
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import grpc
from footfall.registry.v1 import lease_pb2, worker_pb2_grpc, worker_session_pb2
from footfall.registry.v1.worker_session_pb2 import ConnectRequest, ConnectResponse, GoAway
from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.registry import Registry
from tests.support.waiting import until

Ref = tuple[str, int]


@dataclass
class ScriptedWorker:
    """What a worker has heard, and what it says.

    Attributes:
        renewed: what the last answer named.
        silent: no more heartbeats.
        activity, spare_frame_rate, slots, unhealthy_reason, coverage: what heartbeats say.
        end: how the stream ended, once it has.
    """

    call: Any
    boot_id: str
    slots: int = 8
    spare_frame_rate: float = 100.0
    unhealthy_reason: str = ""
    activity: worker_session_pb2.CameraActivity.ValueType = worker_session_pb2.CAMERA_ACTIVITY_WATCHING
    coverage: list[worker_session_pb2.CoverageSlice] = field(default_factory=list)
    silent: bool = False
    welcome: worker_session_pb2.Welcome | None = None
    desired: worker_session_pb2.Desired | None = None
    acknowledged: int = 0
    renewed: list[Ref] = field(default_factory=list)
    away: GoAway | None = None
    end: BaseException | None = None
    closed: bool = False
    seq: int = 0

    @property
    def leases(self) -> dict[str, lease_pb2.CameraLease]:
        """What it shall watch, by camera."""
        return {lease.camera_id: lease for lease in self.desired.leases} if self.desired else {}

    def epoch(self, camera_id: str) -> int:
        """Under which it shall watch a camera; 0 for not at all, or not yet."""
        return self.leases[camera_id].epoch if camera_id in self.leases else 0

    def watches(self, camera_id: str) -> bool:
        """Whether its lease of a camera was renewed."""
        lease = self.leases.get(camera_id)
        return lease is not None and (camera_id, lease.epoch) in self.renewed

    async def say(self, **message: Any) -> None:
        """Sends one message: hello=…, heartbeat=…, lease_released=…, …"""
        await self.call.write(ConnectRequest(**message))

    async def hello(self, held: Sequence[Ref] = (), **fields: Any) -> None:
        """The first message."""
        named = [
            worker_session_pb2.HeldLease(lease=lease_pb2.LeaseRef(camera_id=camera, epoch=epoch))
            for camera, epoch in held
        ]
        hello = {
            "boot_id": self.boot_id,
            "agent_version": "0.1.0",
            "embedding_spaces": ["mobilefacenet@1"],
            "capacity": self._capacity(),
            "held": named,
            "platform": "linux-x86_64",
            "execution_providers": ["CPU"],
        }
        await self.say(hello=worker_session_pb2.Hello(**{**hello, **fields}))

    async def heartbeat(self, leases: Sequence[Ref] | None = None) -> int:
        """One heartbeat, for everything that it shall watch unless told otherwise. Its seq."""
        self.seq += 1
        if leases is None:
            leases = [(camera, one.epoch) for camera, one in self.leases.items() if one.epoch]
        now = Timestamp()
        now.GetCurrentTime()
        reports = [
            worker_session_pb2.CameraReport(
                lease=lease_pb2.LeaseRef(camera_id=camera, epoch=epoch),
                activity=self.activity,
                frame_rate=8.0,
                complete_to_time=now,
            )
            for camera, epoch in leases
        ]
        await self.say(
            heartbeat=worker_session_pb2.Heartbeat(
                seq=self.seq,
                capacity=self._capacity(),
                cameras=reports,
                coverage=self.coverage,
                worker_time=now,
                unhealthy_reason=self.unhealthy_reason,
            )
        )
        return self.seq

    def _capacity(self) -> worker_session_pb2.Capacity:
        return worker_session_pb2.Capacity(slots=self.slots, spare_frame_rate=self.spare_frame_rate)

    async def listen(self) -> None:
        """Hears what the registry says until the stream ends."""
        try:
            async for response in self.call:
                self._hear(response)
        except grpc.aio.AioRpcError as error:
            self.end = error
        finally:
            self.closed = True

    def _hear(self, response: ConnectResponse) -> None:
        match response.WhichOneof("message"):
            case "welcome":
                self.welcome = response.welcome
            case "desired":
                self.desired = response.desired
            case "heartbeat_ack":
                self.acknowledged = response.heartbeat_ack.seq
                self.renewed = [(ref.camera_id, ref.epoch) for ref in response.heartbeat_ack.renewed]
            case "go_away":
                self.away = response.go_away

    async def beat(self) -> None:
        """Heartbeats as Welcome asked for, until it is silent or told to go."""
        assert self.welcome is not None
        pause = self.welcome.heartbeat_interval.ToTimedelta().total_seconds()
        while not self.closed:
            if not self.silent:
                with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
                    await self.heartbeat()
            await asyncio.sleep(pause)


@asynccontextmanager
async def worker(
    registry: Registry,
    token: str,
    *,
    boot_id: str | None = None,
    held: Sequence[Ref] = (),
    beating: bool = True,
    channel: grpc.aio.Channel | None = None,
    **fields: Any,
) -> AsyncIterator[ScriptedWorker]:
    """A worker that has said Hello, and was welcomed or sent away.

    Args:
        held: leases that Hello names.
        beating: it sends heartbeats by itself.
        channel: to outlive the registry's own.
        fields: of ScriptedWorker.
    """
    call = worker_pb2_grpc.WorkerServiceStub(channel or registry.channel(token)).Connect()
    made = ScriptedWorker(call, boot_id or str(uuid4()), **fields)
    tasks = [asyncio.create_task(made.listen())]
    try:
        await made.hello(held)
        await until(lambda: made.welcome or made.closed)
        if beating and made.welcome:
            tasks.append(asyncio.create_task(made.beat()))
        yield made
    finally:
        call.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
